"""`bench compare`: the delivered figures of several runs side by side, and an answer for each."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.consoles import complain, say, stdout
from bench.cli.outcome import print_json
from bench.cli.outputs import require_no_evidence
from bench.cli.verify import By, follow, going_by
from bench.errors import (
    NOT_MET,
    ChallengeRefused,
    EvidenceInvalid,
    SignatureNotTrusted,
    UsageError,
)
from bench.printable import printable
from bench.report.language import tr
from bench.units import parse_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.evidence.steps import Request
    from bench.report.compare import ComparedFile
    from bench.terms.comparisons import Comparison

_FILE = click.Path(path_type=Path)
_MOST_FILES = 50
_SUFFIXES = (".html", ".csv")


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="BASE FILE...")
@going_by
@click.option("--all", "every_row", is_flag=True, help="Compare every row, besides the devices' figures.")
@click.option(
    "--margin", "margin_text", default="3%", show_default=True, help="What still counts as the same."
)
@click.option(
    "--fail-if-slower",
    "fail_text",
    metavar="SHARE",
    help="Exit 1 for figures slower by SHARE, or lost.",
)
@click.option("-o", "--output", type=_FILE, help="Write the comparison to FILE.html or FILE.csv too.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON on stdout.")
def compare(
    files: tuple[Path, ...],
    by: By,
    every_row: bool,
    margin_text: str,
    fail_text: str | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Compare the delivered figures of runs with those of a base.

    Each file is verified first. Slower by more than SHARE: the ratio's whole interval lies below 1 - SHARE.
    Exit codes: 1 slower; else those of `bench verify`.
    """
    from bench.report import compare as words

    margin = _share("--margin", margin_text)
    allowed = None if fail_text is None else _share("--fail-if-slower", fail_text)
    _refuse_number(files)
    _refuse_suffix(output)
    require_no_evidence(output, (*files, *by.files()))
    base, *others = _compared(files, by.request(), margin, every_row=every_row)
    if allowed is not None:
        _refuse_smoke_tests((base, *others))
    if output is not None:
        _write(output, base, others, margin)
    failures = [] if allowed is None else list(_failures(base, others, allowed))
    code = NOT_MET if failures else 0
    if as_json:
        print_json(_json(base, others, margin, allowed, code))
    else:
        words.report(stdout(), base, others, margin=margin)
        if output is not None:
            say(tr("written to {file}", file=printable(str(output), limit=4096)))
    for line in failures:
        complain(line)
    return code


# -------------------------------------------------------------------------------------- what is typed


def _share(option: str, text: str) -> float:
    """`3%` or `0.03`: from 0 to less than 1."""
    try:
        share = parse_share(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from error
    if share >= 1:
        raise UsageError(
            tr(
                "{option}: the share {text!r} is too large: expected less than 100%, for example 3% or 0.03.",
                option=option,
                text=text,
            )
        )
    return share


def _refuse_number(files: "Sequence[Path]") -> None:
    if not 2 <= len(files) <= _MOST_FILES:
        raise UsageError(
            tr(
                "compare takes 2 to {most} evidence files, got {number}: type bench compare BASE FILE.",
                most=_MOST_FILES,
                number=len(files),
            )
        )


def _refuse_suffix(output: Path | None) -> None:
    if output is not None and output.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            tr(
                "-o {file}: a comparison is written as {suffixes}, by the file's ending: type for example "
                "-o compared.html.",
                file=output,
                suffixes=", ".join(_SUFFIXES),
            )
        )


def _refuse_smoke_tests(files: "Sequence[ComparedFile]") -> None:
    for file in files:
        if file.evidence.mode == "quick":
            raise UsageError(
                tr(
                    "{file} is a smoke test, which decides nothing: leave --fail-if-slower out, or measure "
                    "with bench run without --quick.",
                    file=file.path,
                )
            )


# ---------------------------------------------------------------------------------- what is compared


def _compared(
    files: "Sequence[Path]", request: "Request", margin: float, *, every_row: bool
) -> "list[ComparedFile]":
    """The base, which is compared with nothing, and each other file as it stands to it."""
    from dataclasses import replace

    from bench.register import compare as register

    base, *others = read = [_read(place, path, request) for place, path in enumerate(files, 1)]
    _refuse_twice(read)
    found = [base]
    for file in others:
        runs = (base.evidence, file.evidence)
        rows = register.rows(*runs, margin=margin) if every_row else ()
        found.append(replace(file, comparisons=(*register.figures(*runs, margin=margin), *rows)))
    return found


def _read(place: int, path: Path, request: "Request") -> "ComparedFile":
    """A file that verifies; what does not ends the command with its step."""
    from bench.evidence.envelope import report_number
    from bench.report.compare import ComparedFile
    from bench.terms import ModelEvidence, SystemEvidence

    try:
        found = follow(path, request, lambda _step: None)
    except (EvidenceInvalid, SignatureNotTrusted, ChallengeRefused) as error:
        error.args = (f"{path}: step {error.step}: {error}",)
        raise
    assert found.evidence is not None
    assert found.envelope is not None
    if isinstance(found.evidence, ModelEvidence):
        raise UsageError(
            tr(
                "{file} is a count of a model's parameters, and has no rates to compare: give evidence of "
                "bench run.",
                file=path,
            )
        )
    if isinstance(found.evidence, SystemEvidence):
        raise UsageError(
            tr(
                "{file} is about several devices at once, which cannot be compared: a system's figure is of "
                "another kind than a run's. Give evidence of bench run on single devices; bench show FILE "
                "prints a system's figures.",
                file=path,
            )
        )
    return ComparedFile(
        place=place,
        path=str(path),
        number=report_number(found.envelope),
        evidence=found.evidence,
        comparisons=(),
    )


def _refuse_twice(files: "Sequence[ComparedFile]") -> None:
    """A run against itself would always be the same: its two rates are not independent."""
    seen: dict[str, ComparedFile] = {}
    for file in files:
        first = seen.setdefault(file.number, file)
        if first is not file:
            raise UsageError(
                tr(
                    "{file} and {other} are the same report: give reports of different runs.",
                    file=first.path,
                    other=file.path,
                )
            )


# --------------------------------------------------------------------------------------- what is told


def _failures(base: "ComparedFile", others: "Sequence[ComparedFile]", allowed: float) -> list[str]:
    """A line for each file that was compared in nothing, and for each figure of the base that is too slow, or
    that could not be compared: what was lost, or is of another thing now, was not found to be as fast.
    """
    from bench.register import compare as register

    lines = []
    for file in others:
        figures = [each for each in file.comparisons if each.row is None]
        if not any(map(register.is_comparable, figures)):
            lines.append(tr("{file}: none of its figures could be compared.", file=file.path))
        lines += [_not_compared(base, file, each) for each in register.lost(figures)]
        lines += [_too_slow(file, each, allowed) for each in register.slower_than(figures, allowed)]
    return lines


def _not_compared(base: "ComparedFile", file: "ComparedFile", figure: "Comparison") -> str:
    from bench.report import compare as words

    assert figure.base is not None
    return tr(
        "{file}: {precision} on {device} could not be compared with the base: {reason}.",
        file=file.path,
        precision=figure.precision,
        device=figure.base.device,
        reason=words.why(figure, base.path, file.path),
    )


def _too_slow(file: "ComparedFile", figure: "Comparison", allowed: float) -> str:
    assert figure.other is not None
    assert figure.ratio is not None
    return tr(
        "{file}: {precision} on {device} is slower than the base by more than {share}: {value} times its "
        "rate, {low} to {high}.",
        file=file.path,
        precision=figure.precision,
        device=figure.other.device,
        share=f"{100 * allowed:g} %",
        value=f"{figure.ratio.value:#.4g}",
        low=f"{figure.ratio.low:#.4g}",
        high=f"{figure.ratio.high:#.4g}",
    )


def _json(
    base: "ComparedFile", others: "Sequence[ComparedFile]", margin: float, allowed: float | None, code: int
) -> dict[str, Any]:
    from bench.evidence.codec import encode
    from bench.register.compare import METHOD

    return {
        "method": METHOD,
        "margin": margin,
        "failIfSlower": allowed,
        "exitCode": code,
        "base": _described(base),
        "compared": [
            {**_described(file), "comparisons": [encode(each) for each in file.comparisons]}
            for file in others
        ],
    }


def _described(file: "ComparedFile") -> dict[str, Any]:
    evidence = file.evidence
    return {
        "file": file.path,
        "report": file.number,
        "created": evidence.created,
        "mode": evidence.mode,
        "assurance": evidence.assurance,
    }


def _write(output: Path, base: "ComparedFile", others: "Sequence[ComparedFile]", margin: float) -> None:
    from bench.evidence import store
    from bench.report import compare as words
    from bench.report.csv_cells import csv_file

    if output.suffix.lower() == ".html":
        data = words.page(base, others, margin=margin).encode()
    else:
        data = csv_file(words.csv_text(base, others))
    store.write_atomic(output, data)
