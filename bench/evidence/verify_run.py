"""Steps 4 to 9 of `bench verify` over the evidence of a run: everything follows from its samples."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from bench.errors import ChallengeRefused, EvidenceInvalid, UsageError
from bench.evidence import answer, challenge, harness, ledger, soundness
from bench.evidence.ledger import Entry
from bench.evidence.opened import require_opened
from bench.evidence.steps import Request, Step, Verified, age_days, computable, require_limits, rules_of
from bench.evidence.trust import Signer, Trusted
from bench.judge.conclusion import Conclusion, conclude, observed_in, profile_digests
from bench.judge.verdict import METHODS
from bench.printable import printable
from bench.terms import Digest, Evidence, RuleSet, Sample, Scalar

# The limit of a report whose challenge was not at hand, and what step 5 says of it.
NOT_GIVEN = "challenge-not-given"


def steps(evidence: Evidence, request: Request, found: Verified) -> Iterator[Step]:
    """The steps from the rule set on, filling `found`. Raises as `verify` does."""
    rules = found.rules = _rules(evidence, request.rules_file)
    yield Step(number=4, code="rules", values={"rules": rules.id, "status": rules.status})
    if request.model is not None:
        raise UsageError("--model is for a count of a model's parameters, and this is a run: leave it out.")
    yield challenge_step(evidence.challenge, [evidence], request, found)
    conclusion = _recompute(evidence, rules)
    samples = sum(len(visit.samples) for m in evidence.measurements for visit in m.stays)
    yield Step(number=6, code="recomputed", values={"rows": len(evidence.measurements), "samples": samples})
    with computable(step=7):
        opened = require_opened(evidence)
    yield _openings_step(evidence, opened)
    _require_verdict(evidence, conclusion)
    found.evidence = established(evidence, request, rules)
    yield Step(number=8, code="verdict", values={"method": evidence.verdict.method})
    _in_order(evidence)
    values: dict[str, Scalar] = {"age_days": age_days(evidence, request)}
    files = harness.differing_files(evidence.harness)
    if files:
        yield Step(number=9, code="plausible-other-files", values={**values, "files": files})
    else:
        yield Step(number=9, code="plausible", values=values)


def require_run(evidence: Evidence, request: Request) -> None:
    """Every step from the rule set on, but for the challenge, over a run that is part of other evidence."""
    rules = _rules(evidence, request.rules_file)
    conclusion = _recompute(evidence, rules)
    with computable(step=7):
        require_opened(evidence)
    _require_verdict(evidence, conclusion)
    _in_order(evidence)


def challenge_step(
    answered: Digest | None, reports: Sequence[Evidence], request: Request, found: Verified
) -> Step:
    """Hold each report against the challenge that the verifier has at hand, and all against the ledger.

    `answered` is the challenge that they say they answer.
    """
    posed = request.challenge
    if posed is None:
        code = "no-challenge" if answered is None else NOT_GIVEN
        return Step(number=5, code=code, values={})
    assert found.envelope is not None
    report = hashlib.sha256(found.envelope.payload).hexdigest()
    entry = ledger.find(posed.challenge.nonce)
    if entry is not None and entry.digest != posed.digest:
        raise ChallengeRefused(
            f"challenge {posed.number} is not the one that was issued here with its nonce, {entry.number}: "
            "bench challenge list"
        )
    for evidence in reports:
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


def established(evidence: Evidence, request: Request, rules: RuleSet) -> Evidence:
    """The evidence as far as it was verified: nothing shows that it is fresh but its challenge at hand."""
    if request.challenge is not None or evidence.challenge is None:
        return evidence
    observed = replace(observed_in(evidence), challenge=None)
    lowered = conclude(observed, rules, method=evidence.verdict.method)
    limits = (NOT_GIVEN, *evidence.does_not_show)
    return replace(evidence, assurance=lowered.assurance, verdict=lowered.verdict, does_not_show=limits)


def _rules(evidence: Evidence, rules_file: str | None) -> RuleSet:
    """The rule set, with every section that it requires and the shipped device profiles."""
    rules = rules_of(evidence, rules_file)
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


def _recompute(evidence: Evidence, rules: RuleSet) -> Conclusion:
    with computable():
        soundness.require_sound(evidence)
    if evidence.verdict.method not in METHODS:
        raise EvidenceInvalid(
            f"judging method {printable(evidence.verdict.method)} is not known to this bench. Update bench.",
            step=8,
        )
    with computable():
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
    require_limits(evidence, conclusion.does_not_show)
    return conclusion


def _require_verdict(evidence: Evidence, conclusion: Conclusion) -> None:
    if conclusion.verdict != evidence.verdict:
        raise EvidenceInvalid("the verdict in the file is not the one that follows from its samples.", step=8)


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
