"""`bench verify` and `bench show`: both print only from bytes that were verified, and write nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.consoles import complain, say
from bench.cli.outcome import print_json, required_tiers_met, summary
from bench.errors import BenchError, EvidenceInvalid, SignatureNotTrusted, UsageError
from bench.printable import printable
from bench.units import parse_seconds

if TYPE_CHECKING:
    from bench.evidence.verify import Request, Step, Verified

_FILE = click.Path(path_type=Path)
_TRUST = click.option(
    "--trust", "trust_file", type=_FILE, help="Trust store. [default: this user's allowed_signers]"
)
_RULES = click.option("--rules", help="Rule set FILE.toml, where the evidence names one that is not shipped.")


def _request(trust_file: Path | None, rules: str | None, max_age: str | None) -> "Request":
    from bench.evidence import trust
    from bench.evidence.verify import Request

    return Request(
        signers=trust.read(trust_file),
        now=datetime.now(UTC),
        rules_file=rules,
        max_age=_age(max_age) if max_age is not None else None,
    )


def _age(text: str) -> timedelta:
    try:
        return timedelta(seconds=parse_seconds(text))
    except OverflowError as error:
        raise UsageError(f"--max-age {text} is longer than time is counted here: type e.g. 720h.") from error


def _follow(path: Path, request: "Request", tell: Callable[["Step"], None]) -> "Verified":
    from bench.evidence.verify import Verified, verify

    found = Verified()
    for step in verify(path, request, found):
        tell(step)
    return found


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@_TRUST
@_RULES
@click.option("--require", "required", multiple=True, help="Exit 1 unless this tier is met; may be repeated.")
@click.option("--max-age", help="Refuse evidence older than this, e.g. 720h.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
def verify(
    files: tuple[Path, ...],
    trust_file: Path | None,
    rules: str | None,
    required: tuple[str, ...],
    max_age: str | None,
    as_json: bool,
) -> int:
    """Check evidence in numbered steps and recompute its verdict.

    Exit codes: 0 valid; 1 valid, but --require not met; 4 invalid; 5 signature not trusted; 6 challenge
    refused. Of several files the first that fails gives the code.
    """
    request = _request(trust_file, rules, max_age)
    results = [_verify_one(path, request, required, quiet=as_json) for path in files]
    if as_json:
        print_json([result for _, result in results])
    return next((code for code, _ in results if code), 0)


def _verify_one(
    path: Path, request: "Request", required: tuple[str, ...], *, quiet: bool
) -> tuple[int, dict[str, object]]:
    from bench.judge import catalog

    steps: list[dict[str, object]] = []

    def tell(step: "Step") -> None:
        steps.append({"step": step.number, "name": step.name, "code": step.code, "values": step.values})
        if not quiet:
            say(_line(step))

    if not quiet:
        say(printable(str(path), limit=4096))
    try:
        found = _follow(path, request, tell)
        assert found.evidence is not None
        assert found.envelope is not None
        assert found.rules is not None
        catalog.require_tiers(found.rules, required)
    except BenchError as error:
        number = error.step if isinstance(error, EvidenceInvalid | SignatureNotTrusted) else None
        at = f"step {number}: " if number is not None else ""
        complain(f"{path}: {at}{error}")
        failure: dict[str, object] = {"file": str(path), "valid": False, "step": number, "error": str(error)}
        return error.exit_code, {**failure, "exitCode": error.exit_code, "steps": steps}
    code = required_tiers_met(found.evidence.verdict, required)
    if not quiet:
        state = "interrupted, " if found.evidence.interrupted else ""
        say(f"valid: assurance {found.evidence.assurance}, {state}{_verdict_words(found)}")
    result = summary(found.evidence, found.envelope, path=path, key=None)
    signers = [{"principal": s.principal, "fingerprint": s.fingerprint} for s in found.signers]
    return code, {
        "file": str(path),
        "valid": True,
        "exitCode": code,
        "signers": signers,
        "steps": steps,
        **result,
    }


def _line(step: "Step") -> str:
    from bench.report import sentences

    words = sentences.sentence(sentences.STEPS, step.code, step.values)
    return f"  {step.number} {step.name:<20} {printable(words)}"


def _verdict_words(found: "Verified") -> str:
    assert found.evidence is not None
    if found.evidence.mode == "quick":
        return "a smoke test: it decides nothing"
    return "; ".join(
        f"{row.tier} {row.precision}: {row.headline}" for row in found.evidence.verdict.thresholds
    )


@click.command()
@click.argument("file", type=_FILE)
@_TRUST
@_RULES
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def show(file: Path, trust_file: Path | None, rules: str | None, as_json: bool) -> None:
    """Print the report of evidence that verifies.

    What does not verify is not shown: `bench verify FILE` says why.
    """
    from bench.cli.consoles import stdout
    from bench.evidence.envelope import report_number
    from bench.report import text

    try:
        found = _follow(file, _request(trust_file, rules, None), lambda _step: None)
    except (EvidenceInvalid, SignatureNotTrusted) as error:
        error.args = (f"{file}: step {error.step}: {error}",)
        raise
    assert found.evidence is not None
    assert found.envelope is not None
    assert found.rules is not None
    if as_json:
        print_json(summary(found.evidence, found.envelope, path=file, key=None))
        return
    text.report(stdout(), found.evidence, found.rules, report_number(found.envelope))
