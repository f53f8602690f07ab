"""`bench verify` and `bench show`: both print only from bytes that were verified, and write nothing."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.consoles import complain, say
from bench.cli.outcome import print_json, required_met, summary
from bench.cli.spoken import in_language
from bench.errors import BenchError, ChallengeRefused, EvidenceInvalid, SignatureNotTrusted, UsageError
from bench.printable import printable
from bench.report.language import tr
from bench.units import parse_seconds

if TYPE_CHECKING:
    from bench.evidence.steps import Request, Step, Verified
    from bench.terms import Evidence, ModelEvidence, RuleSet, SystemEvidence

_FILE = click.Path(path_type=Path)
AT_A_STEP = (EvidenceInvalid, SignatureNotTrusted, ChallengeRefused)
# What a verifier goes by, the same for every command that verifies.
_BY = (
    click.option(
        "--trust", "trust_file", type=_FILE, help="Trust store. [default: this user's allowed_signers]"
    ),
    click.option("--revoked", type=_FILE, help="Revoked keys. [default: this user's revoked_keys]"),
    click.option(
        "--tsa-roots", type=_FILE, help="PEM roots of time stamps. [default: this user's tsa_roots]"
    ),
    click.option("--challenge", type=_FILE, help="The challenge that the evidence is to answer."),
    click.option("--rules", help="Rule set FILE.toml, where the evidence names one that is not shipped."),
    click.option("--model", type=_FILE, help="The model whose parameters were counted, to read again."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """What a verifier goes by, in the words typed."""

    trust_file: Path | None
    revoked: Path | None
    tsa_roots: Path | None
    challenge: Path | None
    rules: str | None
    model: Path | None

    def request(self, max_age: str | None = None) -> "Request":
        from bench.evidence import challenge, timestamp, trust
        from bench.evidence.steps import AtHand, Request

        now = datetime.now(UTC)
        signers, revoked = trust.read(self.trust_file), trust.read_revoked(self.revoked)
        file = self.challenge
        posed = None if file is None else challenge.read(file, signers, now, revoked)
        return Request(
            signers=signers,
            now=now,
            revoked=revoked,
            roots=timestamp.pinned_roots(self.tsa_roots),
            challenge=posed,
            rules_file=self.rules,
            model=None if self.model is None else AtHand(path=self.model, nonce=secrets.token_hex(32)),
            max_age=_age(max_age) if max_age is not None else None,
        )

    def files(self) -> tuple[Path | None, ...]:
        """Every file that is gone by."""
        rules = None if self.rules is None else Path(self.rules)
        return self.trust_file, self.revoked, self.tsa_roots, self.challenge, rules, self.model

    def refuse_what_only_verifying_needs(self, hint: str) -> None:
        for option, given in (
            ("challenge", self.challenge),
            ("rules", self.rules),
            ("tsa-roots", self.tsa_roots),
            ("model", self.model),
        ):
            if given is not None:
                raise UsageError(f"--{option} is for verifying evidence: {hint}")


def going_by(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of By, and hand them to it as one value called `by`."""

    @wraps(command)
    def called(**typed: Any) -> Any:
        given = {field.name: typed.pop(field.name) for field in fields(By)}
        return command(by=By(**given), **typed)

    for option in reversed(_BY):
        called = option(called)
    return called


def _age(text: str) -> timedelta:
    try:
        return timedelta(seconds=parse_seconds(text))
    except OverflowError as error:
        raise UsageError(f"--max-age {text} is longer than time is counted here: type e.g. 720h.") from error


def follow(path: Path, request: "Request", tell: Callable[["Step"], None]) -> "Verified":
    """Verify a file, telling each step as it is done."""
    from bench.evidence.steps import Verified
    from bench.evidence.verify import verify

    found = Verified()
    for step in verify(path, request, found):
        tell(step)
    return found


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@going_by
@click.option(
    "--require", "required", multiple=True, help="Exit 1 unless this tier, level (A1) or item is reached."
)
@click.option("--max-age", help="Refuse evidence older than this, e.g. 720h.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
def verify(
    files: tuple[Path, ...],
    by: By,
    required: tuple[str, ...],
    max_age: str | None,
    as_json: bool,
) -> int:
    """Check evidence in numbered steps and recompute its verdict.

    Exit codes: 0 valid; 1 valid, but --require not met; 4 invalid; 5 signature not trusted; 6 challenge
    refused. Of several files the first that fails gives the code.
    """
    request = by.request(max_age)
    results = [_verify_one(path, request, required, quiet=as_json) for path in files]
    if as_json:
        print_json([result for _, result in results])
    return next((code for code, _ in results if code), 0)


def _verify_one(
    path: Path, request: "Request", required: tuple[str, ...], *, quiet: bool
) -> tuple[int, dict[str, object]]:
    from bench.judge import catalog
    from bench.terms import ModelEvidence

    steps: list[dict[str, object]] = []

    def tell(step: "Step") -> None:
        steps.append({"step": step.number, "name": step.name, "code": step.code, "values": step.values})
        if not quiet:
            say(_line(step))

    if not quiet:
        say(printable(str(path), limit=4096))
    try:
        found = follow(path, request, tell)
        assert found.evidence is not None
        assert found.envelope is not None
        assert found.rules is not None
        if isinstance(found.evidence, ModelEvidence):
            catalog.require_known_items(found.rules, required)
        else:
            catalog.require_known(found.rules, required)
    except BenchError as error:
        number = error.step if isinstance(error, AT_A_STEP) else None
        at = f"step {number}: " if number is not None else ""
        complain(f"{path}: {at}{error}")
        failure: dict[str, object] = {"file": str(path), "valid": False, "step": number, "error": str(error)}
        return error.exit_code, {**failure, "exitCode": error.exit_code, "steps": steps}
    code = required_met(found.evidence, required)
    if not quiet:
        say(tr("valid: {verdict}", verdict=_verdict_words(found.evidence, found.rules)))
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


def _verdict_words(evidence: "Evidence | ModelEvidence | SystemEvidence", rules: "RuleSet") -> str:
    from bench.report import sentences
    from bench.terms import ModelEvidence

    if isinstance(evidence, ModelEvidence):
        # Brings the terminal's library along, which takes a tenth of a second that no run needs here.
        from bench.report.parameters import parameters

        counted = tr("nothing was counted") if evidence.count is None else parameters(evidence.count)
        items = (
            tr(
                "{subject}: {words}",
                subject=sentences.title(rules, row.item),
                words=sentences.answer(row.answer),
            )
            for row in evidence.verdict.items
        )
        return tr("; ").join([counted, *items])
    if evidence.mode == "quick":
        answers = tr("a smoke test: it decides nothing")
    else:
        answers = tr("; ").join(
            tr(
                "{subject}: {words}",
                subject=f"{sentences.title(rules, row.tier)} {row.precision}",
                words=sentences.answer(row.headline),
            )
            for row in evidence.verdict.thresholds
        )
    if evidence.interrupted:
        return tr("assurance {level}, interrupted, {answers}", level=evidence.assurance, answers=answers)
    return tr("assurance {level}, {answers}", level=evidence.assurance, answers=answers)


@click.command()
@click.argument("file", type=_FILE)
@going_by
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@in_language()
def show(file: Path, by: By, as_json: bool) -> None:
    """Print evidence that verifies, or a signed verdict.

    What does not verify is not shown: `bench verify FILE` says why.
    """
    from bench.cli.consoles import stdout
    from bench.evidence import result, store
    from bench.evidence.envelope import report_number
    from bench.report import parameters, text
    from bench.terms import ModelEvidence, SystemEvidence

    try:
        data = store.read_limited(file)
        if result.is_result(data):
            _show_verdict(data, by, as_json=as_json)
            return
        found = follow(file, by.request(), lambda _step: None)
    except AT_A_STEP as error:
        error.args = (f"{file}: step {error.step}: {error}",)
        raise
    assert found.evidence is not None
    assert found.envelope is not None
    assert found.rules is not None
    if as_json:
        print_json(summary(found.evidence, found.envelope, path=file, key=None))
        return
    number = report_number(found.envelope)
    if isinstance(found.evidence, ModelEvidence):
        parameters.report(stdout(), found.evidence, found.rules, number)
    elif isinstance(found.evidence, SystemEvidence):
        from bench.evidence.parts import shown
        from bench.report import system

        system.report(stdout(), found.evidence, shown(found.parts), found.rules, number)
    else:
        text.report(stdout(), found.evidence, found.rules, number)


def _show_verdict(data: bytes, by: By, *, as_json: bool) -> None:
    """What an auditor signed after verifying (bench sign --verdict), whose signature is checked first."""
    from bench.evidence import result, trust

    by.refuse_what_only_verifying_needs("this is a verdict. Leave it out.")
    signers, revoked = trust.read(by.trust_file), trust.read_revoked(by.revoked)
    checked = result.read(data, signers, datetime.now(UTC), revoked)
    if as_json:
        print_json(result.summary(checked))
        return
    for line in result.lines(checked.statement, checked.who):
        say(line)
