"""`bench report`: verified evidence as a page, or its chart of figures; an invalid file as a page in red."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.consoles import say
from bench.cli.outputs import require_no_evidence
from bench.cli.spoken import in_language
from bench.cli.verify import AT_A_STEP, By, follow, going_by
from bench.errors import ChallengeRefused, EvidenceInvalid, SignatureNotTrusted, UsageError
from bench.printable import printable

if TYPE_CHECKING:
    from bench.evidence.steps import Step, Verified
    from bench.report.html import Checked

_SUFFIXES = (".html", ".svg", ".png")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@going_by
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Where to: FILE.html is the page, FILE.svg or .png the chart of the figures.",
)
@in_language()
def report(file: Path, by: By, output: Path) -> None:
    """Write evidence that verifies as a page to read, print and keep.

    The page needs no network. Of a file that does not verify it says so and shows nothing else.
    """
    from bench.evidence import envelope, result, store

    kind = output.suffix.lower()
    if kind not in _SUFFIXES:
        raise UsageError(
            f"cannot tell what {output} is to be: its name ends in none of {', '.join(_SUFFIXES)}."
            " Give for example -o report.html"
        )
    data = store.read_limited(file)
    if result.is_result(data):
        raise UsageError(f"{file} is a signed verdict, not evidence: bench show {file} prints it.")
    require_no_evidence(output, (file, *by.files()))
    store.check_writable(output)
    steps: list[Step] = []
    try:
        found = follow(file, by.request(), steps.append)
    except AT_A_STEP as error:
        if kind == ".html":
            store.write_atomic(output, _refusal(file, by, error, steps).encode())
        error.args = (f"{file}: step {error.step}: {error}",)
        raise
    if envelope.parse(data) != found.envelope:
        raise UsageError(f"{file} changed while it was read: type the command again.")
    checked = _checked(file, by, data, found, steps)
    store.write_atomic(output, _written(found, checked, kind))
    say(str(output))


def _written(found: "Verified", checked: "Checked", kind: str) -> bytes:
    from bench.report import html, plot
    from bench.terms import ModelEvidence, SystemEvidence

    assert found.evidence is not None
    assert found.rules is not None
    if isinstance(found.evidence, ModelEvidence):
        if kind != ".html":
            raise UsageError("a count of parameters has no chart of figures: give -o FILE.html")
        return html.parameters(found.evidence, found.rules, checked).encode()
    if kind == ".html":
        if isinstance(found.evidence, SystemEvidence):
            from bench.evidence.parts import shown

            return html.system(found.evidence, shown(found.parts), found.rules, checked).encode()
        return html.report(found.evidence, found.rules, checked).encode()
    return plot.figures_file(found.evidence, found.rules, checked.number, "svg" if kind == ".svg" else "png")


def _command(file: Path, by: By) -> str:
    """What was gone by here as a command, by the files' names alone: its reader has them elsewhere."""
    from bench.report.typed import typed_verify

    given = {
        "--challenge": by.challenge,
        "--trust": by.trust_file,
        "--revoked": by.revoked,
        "--tsa-roots": by.tsa_roots,
        "--rules": None if by.rules is None else Path(by.rules),
        "--model": by.model,
    }
    return typed_verify(
        file.name,
        {name: None if path is None else path.name or str(path) for name, path in given.items()},
    )


def _checked(file: Path, by: By, data: bytes, found: "Verified", steps: "list[Step]") -> "Checked":
    from bench.evidence.envelope import report_number
    from bench.report.html import Checked

    assert found.envelope is not None
    return Checked(
        number=report_number(found.envelope),
        command=_command(file, by),
        digest=hashlib.sha256(found.envelope.payload).hexdigest(),
        file_digest=hashlib.sha256(data).hexdigest(),
        signers=tuple(f"{signer.principal} {signer.fingerprint}" for signer in found.signers),
        steps=_told(steps),
    )


def _refusal(
    file: Path, by: By, error: EvidenceInvalid | SignatureNotTrusted | ChallengeRefused, steps: "list[Step]"
) -> str:
    """The page in red, with the steps that passed before."""
    from bench.evidence.steps import NAMES
    from bench.report import html

    names = steps[-1].names if steps else NAMES
    return html.invalid(
        html.Refused(
            file=printable(file.name),
            command=_command(file, by),
            step=error.step,
            name=names[error.step],
            error=printable(str(error), limit=2000),
            steps=_told(steps),
        )
    )


def _told(steps: "list[Step]") -> tuple[tuple[int, str, str], ...]:
    from bench.report import sentences

    return tuple(
        (
            step.number,
            step.name,
            printable(sentences.sentence(sentences.STEPS, step.code, step.values), limit=600),
        )
        for step in steps
    )
