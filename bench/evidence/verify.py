"""`bench verify`: numbered steps over one file, each yielding what it found; a failing step raises.

0 read, limits · 1 envelope · 2 signature · 3 decode · 4 rule set and profiles · 5 challenge ·
6 recompute counts and figures · 7 openings · 8 recompute the verdict · 9 plausibility.
It reads and recomputes, writes nothing, and calls the very functions that `bench run` called.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import ChallengeRefused, EvidenceInvalid
from bench.evidence import (
    answer,
    challenge,
    envelope,
    harness,
    ledger,
    soundness,
    statement,
    store,
    timestamp,
    trust,
)
from bench.evidence.challenge import Posed
from bench.evidence.keys import PublicKey
from bench.evidence.ledger import Entry
from bench.evidence.opened import require_opened
from bench.evidence.timestamp import Stamped, Unchecked
from bench.evidence.trust import SELF, Signer, Trusted
from bench.judge import catalog
from bench.judge.conclusion import Conclusion, conclude, observed_in, profile_digests
from bench.judge.verdict import METHODS
from bench.printable import printable
from bench.terms import Envelope, Evidence, RuleSet, Sample, Scalar
from bench.units import format_seconds

if TYPE_CHECKING:
    from bench.evidence.timestamp import Roots

NAMES = (
    "read",
    "envelope",
    "signature",
    "decode",
    "rules-and-profiles",
    "challenge",
    "recompute-figures",
    "openings",
    "recompute-verdict",
    "plausibility",
)

# The limit of a report whose challenge was not at hand, and what step 5 says of it.
NOT_GIVEN = "challenge-not-given"

# A clock that is ahead by more than this makes a report from the future; hosts without NTP drift by
# minutes, so that a day accuses nobody.
_FUTURE = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that did not fail: its number, a code for what it found, and the code's values."""

    number: int
    code: str
    values: dict[str, Scalar]

    @property
    def name(self) -> str:
        return NAMES[self.number]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the verifier asks for: who is trusted, which rules, and how old evidence may be."""

    signers: Sequence[Signer]
    now: datetime
    revoked: frozenset[PublicKey] = frozenset()
    roots: "Roots" = ()
    challenge: Posed | None = None
    rules_file: str | None = None
    max_age: timedelta | None = None


@dataclass(slots=True)
class Verified:
    """Filled step by step; `evidence` is set only from bytes whose signature was checked.

    `stamped_at` is when a time stamp shows that a trusted first signature existed. Where its challenge was
    not at hand, the level, the limits and the verdict in it are those that are left without one.
    """

    envelope: Envelope | None = None
    stamp: Stamped | Unchecked | None = None
    stamped_at: datetime | None = None
    signers: tuple[Trusted, ...] = ()
    evidence: Evidence | None = None
    rules: RuleSet | None = None


def verify(path: Path, request: Request, found: Verified) -> Iterator[Step]:
    """Run the steps in order over the file at `path`, filling `found`.

    Raises EvidenceInvalid, SignatureNotTrusted or ChallengeRefused at the step that fails, and
    UsageError when there is no such file.
    """
    data = store.read_limited(path)
    yield Step(number=0, code="read", values={"bytes": len(data)})
    signed = found.envelope = envelope.parse(data)
    number = envelope.report_number(signed)
    yield Step(number=1, code="envelope", values={"report": number, "signatures": len(signed.signatures)})
    found.stamp = timestamp.check(path, signed, request.roots)
    found.stamped_at = _stamped_at(found.stamp, signed, request)
    found.signers = trust.check_signatures(
        signed, request.signers, request.now, request.revoked, first_at=found.stamped_at
    )
    yield Step(number=2, code=_signature_code(found), values=_signature_values(found))
    evidence = statement.parse(signed.payload)
    yield Step(number=3, code="decoded", values={"format": evidence.format, "created": evidence.created})
    rules = found.rules = _rules(evidence, request.rules_file)
    yield Step(number=4, code="rules", values={"rules": rules.id, "status": rules.status})
    yield _challenge_step(evidence, request, found)
    with _computable():
        soundness.require_sound(evidence)
    conclusion = _recompute(evidence, rules)
    samples = sum(len(visit.samples) for m in evidence.measurements for visit in m.stays)
    yield Step(number=6, code="recomputed", values={"rows": len(evidence.measurements), "samples": samples})
    with _computable(step=7):
        opened = require_opened(evidence)
    yield _openings_step(evidence, opened)
    if conclusion.verdict != evidence.verdict:
        raise EvidenceInvalid("the verdict in the file is not the one that follows from its samples.", step=8)
    found.evidence = _established(evidence, request, rules)
    yield Step(number=8, code="verdict", values={"method": evidence.verdict.method})
    _in_order(evidence)
    values: dict[str, Scalar] = {"age_days": _age_days(evidence, request)}
    files = harness.differing_files(evidence.harness)
    if files:
        yield Step(number=9, code="plausible-other-files", values={**values, "files": files})
    else:
        yield Step(number=9, code="plausible", values=values)


def _stamped_at(stamp: Stamped | Unchecked | None, signed: Envelope, request: Request) -> datetime | None:
    """The stamp's time, where it was made for the signature of somebody who was trusted then.

    Anybody can have any bytes stamped, and put them before a signature that is made later.
    """
    if not isinstance(stamp, Stamped):
        return None
    genuine = trust.signed_first(signed, request.signers, stamp.at, request.revoked)
    return stamp.at if genuine else None


def _signature_code(found: Verified) -> str:
    own = "-by-self" if all(signer.principal == SELF for signer in found.signers) else ""
    if found.stamp is None:
        return f"signed{own}"
    if isinstance(found.stamp, Unchecked):
        return f"signed{own}-stamp-unchecked"
    return f"signed{own}-stamped" if found.stamped_at else f"signed{own}-stamp-of-others"


def _signature_values(found: Verified) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {
        "who": ", ".join(f"{signer.principal} ({signer.fingerprint})" for signer in found.signers),
        "keys": len(found.signers),
    }
    if isinstance(found.stamp, Stamped):
        values |= {"at": found.stamp.says, "authority": found.stamp.authority}
    return values


def _challenge_step(evidence: Evidence, request: Request, found: Verified) -> Step:
    """Hold the report against the challenge that the verifier has at hand, and against the ledger."""
    posed = request.challenge
    if posed is None:
        code = "no-challenge" if evidence.challenge is None else NOT_GIVEN
        return Step(number=5, code=code, values={})
    assert found.envelope is not None
    report = hashlib.sha256(found.envelope.payload).hexdigest()
    entry = ledger.find(posed.challenge.nonce)
    if entry is not None and entry.digest != posed.digest:
        raise ChallengeRefused(
            f"challenge {posed.number} is not the one that was issued here with its nonce, {entry.number}: "
            "bench challenge list"
        )
    answer.require_answered(
        posed,
        evidence,
        now=request.now,
        received=_received(found.stamped_at, entry, report),
        used_by=entry.report if entry else None,
        report=report,
        signed_by=_principals(found.signers),
        known=_principals(request.signers),
    )
    auditor = ", ".join(signer.principal for signer in posed.signers) or posed.challenge.auditor
    vendor = posed.challenge.vendor or "anybody"
    values: dict[str, Scalar] = {"challenge": posed.number, "auditor": auditor, "vendor": vendor}
    known = "challenge-unknown-here" if entry is None else "challenge-used" if entry.report else "challenge"
    return Step(number=5, code=known, values={**values, "expires": posed.challenge.expires})


def _principals(named: Sequence[Signer | Trusted]) -> frozenset[str]:
    return frozenset(name for signer in named for name in signer.principal.split(","))


def _received(stamped_at: datetime | None, entry: Entry | None, report: str) -> datetime | None:
    """When this very report is known to have existed: by a time stamp, or when its challenge was closed."""
    times = [] if stamped_at is None else [stamped_at]
    if entry is not None and entry.closed is not None and entry.report == report:
        times.append(challenge.moment(entry.closed))
    return min(times, default=None)


def _openings_step(evidence: Evidence, opened: int) -> Step:
    if not evidence.openings:
        return Step(number=7, code="no-openings", values={})
    whole = [opening.covers for opening in evidence.openings if opening.covers]
    figures = sum(figure.row is not None for figure in evidence.figures)
    values: dict[str, Scalar] = {"opened": opened, "rows": len(whole), "of": figures}
    if not whole:
        return Step(number=7, code="none-opened", values=values)
    shares: dict[str, Scalar] = {"left_out": whole[0].skipped_share, "confidence": whole[0].confidence}
    return Step(number=7, code="opened", values={**values, **shares})


def _established(evidence: Evidence, request: Request, rules: RuleSet) -> Evidence:
    """The evidence as far as it was verified: nothing shows that it is fresh but its challenge at hand."""
    if request.challenge is not None or evidence.challenge is None:
        return evidence
    observed = replace(observed_in(evidence), challenge=None)
    lowered = conclude(observed, rules, method=evidence.verdict.method)
    limits = (NOT_GIVEN, *evidence.does_not_show)
    return replace(evidence, assurance=lowered.assurance, verdict=lowered.verdict, does_not_show=limits)


def _rules(evidence: Evidence, rules_file: str | None) -> RuleSet:
    """The rule set of the evidence: the shipped one, or `rules_file`, if its digest is the same."""
    name = rules_file
    if name is None:
        name = evidence.rules.name
        if name not in catalog.rule_ids():
            raise EvidenceInvalid(
                f"rule set {printable(name)} is not shipped with this bench "
                f"({', '.join(catalog.rule_ids())}): give its file with --rules FILE.toml.",
                step=4,
            )
    rules = catalog.rules(name)
    if rules.digest != evidence.rules.sha256:
        raise EvidenceInvalid(
            f"rule set {rules.id}: the evidence was judged by one with digest "
            f"{printable(evidence.rules.sha256, limit=12)}, this one has {rules.digest[:12]}. "
            "Give the right file with --rules FILE.toml.",
            step=4,
        )
    _require_sections(evidence, rules)
    if profile_digests(evidence.devices) != evidence.profiles:
        raise EvidenceInvalid(
            "the device profiles named in the evidence are not the shipped ones. Verify with the version "
            f"of bench that wrote it ({printable(evidence.harness.version)}).",
            step=4,
        )
    return rules


def _require_sections(evidence: Evidence, rules: RuleSet) -> None:
    """A section that the rule set requires and that is empty is a failure."""
    for name in rules.required_sections:
        section = evidence.telemetry.readings if name == "telemetry" else getattr(evidence, name, ())
        if not section:
            raise EvidenceInvalid(f"the rule set requires the section {name}, and it is empty.", step=4)


@contextmanager
def _computable(step: int = 6) -> Iterator[None]:
    """What bench writes can be computed with: a count of zero or an unknown precision is not its own."""
    try:
        yield
    except (ArithmeticError, LookupError, ValueError) as error:
        raise EvidenceInvalid(
            f"it holds values that nothing can be computed from ({type(error).__name__}: "
            f"{printable(str(error))}).",
            step=step,
        ) from error


def _recompute(evidence: Evidence, rules: RuleSet) -> Conclusion:
    if evidence.verdict.method not in METHODS:
        raise EvidenceInvalid(
            f"judging method {printable(evidence.verdict.method)} is not known to this bench. Update bench.",
            step=8,
        )
    with _computable():
        conclusion = conclude(observed_in(evidence), rules, method=evidence.verdict.method)
    found = conclusion.delivered, conclusion.figures, conclusion.conditions
    if found != (evidence.delivered, evidence.figures, evidence.conditions):
        raise EvidenceInvalid(
            "the figures in the file are not the ones that follow from its samples.", step=6
        )
    if conclusion.assurance != evidence.assurance:
        raise EvidenceInvalid(
            f"it claims assurance {printable(evidence.assurance)}, and what it holds reaches "
            f"{conclusion.assurance}.",
            step=6,
        )
    if conclusion.does_not_show != evidence.does_not_show:
        missing = [code for code in conclusion.does_not_show if code not in evidence.does_not_show]
        words = f"{', '.join(missing)} left out" if missing else "it says something else there"
        raise EvidenceInvalid(f"it does not say what it does not show: {words}.", step=6)
    return conclusion


def _age_days(evidence: Evidence, request: Request) -> int:
    """How many whole days old it is; refused when it is from the future or older than asked for."""
    age = request.now - _created(evidence)
    if age < -_FUTURE:
        raise EvidenceInvalid(f"it says it was made at {evidence.created}, which is in the future.", step=9)
    if request.max_age is not None and age > request.max_age:
        raise EvidenceInvalid(
            f"it was made at {evidence.created}, {_long(age)} ago: older than --max-age allows "
            f"({_long(request.max_age)}).",
            step=9,
        )
    return max(0, age.days)


def _created(evidence: Evidence) -> datetime:
    """When it was made, written in one way only: what is read more freely is written back otherwise."""
    try:
        return challenge.moment(evidence.created)
    except ValueError as error:
        raise EvidenceInvalid(f"{error}.", step=9) from error


def _long(time: timedelta) -> str:
    return f"{time.days} days" if time.days > 1 else format_seconds(time.total_seconds())


def _in_order(evidence: Evidence) -> None:
    """A device's samples do not overlap, whatever their rows, and the counters were read around them all."""
    moments = [reading.at_ns for reading in evidence.telemetry.readings]
    if moments != sorted(moments):
        raise EvidenceInvalid("the telemetry's times run backwards.", step=9)
    ends: dict[str, int] = {}
    for device, row, sample in sorted(_timed(evidence), key=lambda timed: timed[2].start_ns):
        if not moments or sample.start_ns < moments[0] or sample.start_ns + sample.host_ns > moments[-1]:
            raise EvidenceInvalid(f"{row}: the telemetry does not cover its samples.", step=9)
        if sample.start_ns < ends.get(device, 0):
            raise EvidenceInvalid(f"{row}: samples overlap in time.", step=9)
        ends[device] = sample.start_ns + sample.host_ns


def _timed(evidence: Evidence) -> Iterator[tuple[str, str, Sample]]:
    """Every sample with its device and row; those of a row stand in the order of time."""
    for measurement in evidence.measurements:
        row = printable(measurement.workload.row)
        start = 0
        for sample in soundness.samples(measurement):
            if sample.start_ns < start:
                raise EvidenceInvalid(f"{row}: samples are not in the order of time.", step=9)
            start = sample.start_ns
            yield measurement.workload.device, row, sample
