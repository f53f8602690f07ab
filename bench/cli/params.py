"""`bench params`: a model's parameters counted from its files, judged and signed."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bench.cli.consoles import say, stderr, tell
from bench.cli.outcome import naming, print_json, required_met, summary
from bench.cli.outputs import require_apart
from bench.errors import UsageError
from bench.judge.catalog import DEFAULT_RULES
from bench.report.language import tr

if TYPE_CHECKING:
    from bench.terms import Model, ModelEvidence, ParameterClaim, RuleSet

_FILE = click.Path(path_type=Path)
_LINE_EVERY_BYTES = 2 * 10**9


@click.command()
@click.argument("path", type=_FILE, required=False)
@click.option("--claim", "claim_text", help="The vendor's number, params=3B.")
@click.option("--hosted", metavar="NAME", help="Without PATH: a hosted service, of which there are no files.")
@click.option(
    "--digest",
    type=click.Choice(["sampled", "full"]),
    default="sampled",
    show_default=True,
    help="SHA-256 of headers and drawn blocks, or of every byte.",
)
@click.option("--rules", help=f"Rule set: an id or FILE.toml. [default: {DEFAULT_RULES}]")
@click.option("--require", "required", multiple=True, help="Exit 1 unless this item's answer is met.")
@click.option("-o", "--output", type=_FILE, help="Evidence file. [default: a new one in results/]")
@click.option("--key", "key_file", type=_FILE, help="Signing key. [default: this machine's own]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def params(
    path: Path | None,
    claim_text: str | None,
    hosted: str | None,
    digest: Literal["sampled", "full"],
    rules: str | None,
    required: tuple[str, ...],
    output: Path | None,
    key_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Count a model's parameters from its files, and sign the count.

    PATH is a file (safetensors, GGUF, ONNX, a PyTorch checkpoint) or a folder as published on model hubs.
    Nothing of it is executed. Headers are read, and drawn blocks looked at.
    """
    from bench.cli import keys_here
    from bench.evidence import envelope, statement
    from bench.evidence.destination import destination
    from bench.judge import catalog
    from bench.parameters.claims import parse_claim

    claim = None if claim_text is None else parse_claim(claim_text)
    _require_subject(path, hosted, claim)
    rule_set = catalog.rules(rules or DEFAULT_RULES)
    catalog.require_known_items(rule_set, required)
    to = destination(output, "params", datetime.now(UTC))
    require_apart(output, path)
    to.check()
    key = keys_here.signing_key(key_file)
    nonce = secrets.token_hex(32)
    model = None if path is None else _read(path, nonce, digest, quiet=quiet)
    evidence = _evidence(model, hosted, claim, rule_set, nonce)
    signed = envelope.sign(statement.build(evidence), envelope.PAYLOAD_TYPE, [key])
    written = to.finish(signed, whole=True)
    with naming(written, after="counting"):
        if as_json:
            print_json(summary(evidence, signed, path=written, key=key.fingerprint))
        else:
            own = rules if rules is not None and rules not in catalog.rule_ids() else None
            _print(evidence, rule_set, envelope.report_number(signed), written, key.fingerprint, own)
    return required_met(evidence, required)


def _require_subject(path: Path | None, hosted: str | None, claim: "ParameterClaim | None") -> None:
    if (path is None) == (hosted is None):
        raise UsageError(
            "give one of them: the PATH of a model, or --hosted NAME for a service without files."
        )
    if hosted is not None and not (0 < len(hosted.strip()) <= 200 and hosted.isprintable()):
        raise UsageError("--hosted is the service's name: 1 to 200 characters that can be printed.")
    if hosted is not None and claim is None:
        raise UsageError("of a hosted service there is a claim only: add --claim params=3B.")


def _read(path: Path, nonce: str, covers: Literal["sampled", "full"], *, quiet: bool) -> "Model":
    from bench.parameters import model

    with _progress(quiet=quiet or covers == "sampled") as told:
        return model.read(path, nonce=nonce, covers=covers, progress=told)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Tells now and then how many bytes were digested: a live line on a terminal, else lines."""
    from bench.units import format_bytes

    if quiet:
        yield None
        return
    live = stderr().is_terminal
    done = shown = 0

    def told(count: int) -> None:
        nonlocal done, shown
        done += count
        if done - shown >= _LINE_EVERY_BYTES:
            shown = done
            words = tr("digested {bytes}", bytes=format_bytes(done))
            tell(f"\r\x1b[2K{words}" if live else words, end=not live)

    try:
        yield told
    finally:
        if live and shown:
            tell("\r\x1b[2K", end=False)


def _evidence(
    model: "Model | None", hosted: str | None, claim: "ParameterClaim | None", rules: "RuleSet", nonce: str
) -> "ModelEvidence":
    from bench.evidence import harness, statement
    from bench.parameters import names
    from bench.parameters.conclusion import conclude
    from bench.terms import Digest, ModelEvidence

    concluded = conclude(model, claim, rules)
    return ModelEvidence(
        format=statement.MODEL_FORMAT,
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        nonce=nonce,
        harness=harness.describe(),
        rules=Digest(name=rules.id, sha256=rules.digest),
        names=names.table()[0],
        claim=claim,
        hosted=None if hosted is None else hosted.strip(),
        model=model,
        count=concluded.count,
        verdict=concluded.verdict,
        does_not_show=concluded.does_not_show,
    )


def _print(
    evidence: "ModelEvidence", rules: "RuleSet", number: str, path: Path, key: str, own: str | None
) -> None:
    from bench.cli.consoles import stdout
    from bench.printable import printable
    from bench.report import parameters
    from bench.report.typed import typed_verify

    parameters.report(stdout(), evidence, rules, number)
    shown = printable(str(path), limit=4096)
    say("")
    say(tr("evidence  {path}", path=shown))
    say(tr("key       {key}", key=key))
    command = typed_verify(str(path), {"--rules": own})
    command += "" if evidence.model is None else " --model PATH"
    say(tr("verify    {command}", command=command))
