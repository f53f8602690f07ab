"""Steps 4 to 9 of `bench verify` over the evidence of a system: each rank's report is verified as any is.

A rank's report is signed by the rank's own key, for which rank 0 speaks: its key stands in what rank 0
signed. Whoever is trusted to have signed the whole is trusted to have met the ranks.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.errors import EvidenceInvalid
from bench.evidence import envelope, harness, keys, soundness, statement, verify_run
from bench.evidence.steps import Request, Step, Verified, age_days, computable, require_limits, rules_of
from bench.judge import system
from bench.judge.system import Part
from bench.judge.verdict import METHODS
from bench.measure.together import Timebase
from bench.printable import printable
from bench.terms import Evidence, Exchange, Member, Rank, RuleSet, Scalar, SystemEvidence

# More than any one job of such a run has; each costs whoever verifies a report.
_MOST_RANKS = 1024


def steps(evidence: SystemEvidence, request: Request, found: Verified) -> Iterator[Step]:
    """The steps from the rule set on, filling `found`. Raises as `verify` does."""
    rules = found.rules = rules_of(evidence, request.rules_file)
    yield Step(number=4, code="rules", values={"rules": rules.id, "status": rules.status})
    parts = read_parts(evidence.members)
    reports = [part.evidence for part in parts if part.evidence is not None]
    yield verify_run.challenge_step(evidence.challenge, reports, request, found)
    with computable():
        _require_sound(evidence, parts)
    for part in parts:
        if part.evidence is not None:
            _require_part(part.member, part.evidence, request)
    conclusion = _recompute(evidence, parts, rules)
    samples = sum(len(v.samples) for e in reports for m in e.measurements for v in m.stays)
    values: dict[str, Scalar] = {"ranks": len(reports), "of": len(parts), "samples": samples}
    yield Step(number=6, code="recomputed-system", values=values)
    opened = sum(len(report.openings) > 0 for report in reports)
    values = {"ranks": opened, "of": len(parts)}
    yield Step(number=7, code="opened-ranks" if opened else "no-openings", values=values if opened else {})
    if conclusion.verdict != evidence.verdict:
        raise EvidenceInvalid(
            "the verdict in the file is not the one that follows from its ranks' reports.", step=8
        )
    found.parts = tuple(
        replace(part, evidence=part.evidence and verify_run.established(part.evidence, request, rules))
        for part in parts
    )
    found.evidence = _established(evidence, found.parts, request, rules)
    yield Step(number=8, code="verdict", values={"method": evidence.verdict.method})
    values = {"age_days": age_days(evidence, request)}
    files = harness.differing_files(evidence.harness)
    if files:
        yield Step(number=9, code="plausible-other-files", values={**values, "files": files})
    else:
        yield Step(number=9, code="plausible", values=values)


def read_parts(members: Sequence[Member]) -> tuple[Part, ...]:
    """Every rank's report, if its signature is by the key that rank 0 names. Raises EvidenceInvalid (3)."""
    return tuple(Part(member=member, evidence=_read(member)) for member in members)


def _read(member: Member) -> Evidence | None:
    if member.report is None:
        return None
    try:
        signed = envelope.parse(base64.b64decode(member.report, validate=True))
        key = keys.parse_public(member.key, f"rank {member.rank}")
        found = statement.parse(signed.payload)
    except (ValueError, EvidenceInvalid) as error:
        raise EvidenceInvalid(f"rank {member.rank}: {printable(str(error))}", step=3) from error
    message = envelope.pae(signed.payload_type, signed.payload)
    if not any(keys.verify(key, signature.sig, message) for signature in signed.signatures):
        raise EvidenceInvalid(
            f"rank {member.rank}: its report is not signed by the key that rank 0 names, {key.fingerprint}.",
            step=3,
        )
    if not isinstance(found, Evidence):
        raise EvidenceInvalid(f"rank {member.rank}: its report is not that of a run.", step=3)
    return found


def _require_part(member: Member, evidence: Evidence, request: Request) -> None:
    """The report by itself; what is wrong is told with the rank."""
    try:
        verify_run.require_run(evidence, request)
    except EvidenceInvalid as error:
        raise EvidenceInvalid(f"rank {member.rank}: {error}", step=error.step) from error


def _require(condition: object, message: str) -> None:
    if not condition:
        raise EvidenceInvalid(f"{message}.", step=6)


def _require_sound(evidence: SystemEvidence, parts: Sequence[Part]) -> None:
    """What no system's run writes: ranks twice, or parts of another run."""
    numbers = [part.member.rank for part in parts]
    _require(numbers == list(range(len(parts))), "its ranks are not all there, each once and in order")
    _require(2 <= len(parts) <= _MOST_RANKS, f"a system has 2 to {_MOST_RANKS} ranks, got {len(parts)}")
    for part in parts:
        _require_exchanges(part.member)
        if part.evidence is not None:
            _require_same_run(evidence, part, part.evidence, len(parts))
    _require_alike([part.evidence for part in parts if part.evidence is not None])
    _require(parts[0].evidence is not None, "rank 0 wrote it, and its own report is missing")
    _require_alone(parts)
    whole = all(part.evidence is not None and not part.evidence.interrupted for part in parts)
    _require(whole != evidence.interrupted, "it does not say whether each rank went through to its end")
    kinds = {
        (device.family, device.kind) for part in parts if part.evidence for device in part.evidence.devices
    }
    _require(len(kinds) == 1, "its ranks measured devices of several families")


def _require_same_run(evidence: SystemEvidence, part: Part, report: Evidence, ranks: int) -> None:
    member, name = part.member, f"rank {part.member.rank}"
    expected = Rank(number=member.rank, of=ranks, node=member.node)
    _require(report.rank == expected, f"{name}: its report is that of another rank: {report.rank}")
    _require(
        [device.selector for device in report.devices] == [member.device],
        f"{name}: its report is about another device than {printable(member.device)}",
    )
    same = ("nonce", "challenge", "mode", "rules", "case")
    differing = [key for key in same if getattr(report, key) != getattr(evidence, key)]
    _require(not differing, f"{name}: its report is of another run: {', '.join(differing)}")
    _require(not report.claims, f"{name}: a claim is about the system, and stands in one rank's report")


def _require_alike(reports: Sequence[Evidence]) -> None:
    """All ranks were asked for the same, by the same program, and held their rows for the same time."""
    for what in (
        lambda report: report.asked,
        lambda report: report.schedule.hold_ns,
        lambda report: (report.harness.version, report.harness.files),
    ):
        _require(all(what(report) == what(reports[0]) for report in reports), "its ranks ran differently")


def _require_alone(parts: Sequence[Part]) -> None:
    """Rank 0 was measured alone in each row that it held, and no other rank has a sample at that time."""
    first = parts[0].evidence
    assert first is not None
    held = [m for m in first.measurements if m.held is not None and m.ended != "refused"]
    missing = [printable(m.workload.row) for m in held if m.alone is None]
    _require(not missing or first.interrupted, f"rank 0: {', '.join(missing)} was not measured alone")
    placed = [(part, part.evidence, part.base) for part in parts]
    known = [(part, report, base) for part, report, base in placed if report is not None and base is not None]
    for one, report, base in known:
        lonely = [visit for m in report.measurements if (visit := m.alone) is not None]
        samples = [sample for visit in lonely for sample in (*visit.settle, *visit.samples)]
        if not samples:
            continue
        begin, end = base(samples[0].start_ns), base(samples[-1].start_ns + samples[-1].host_ns)
        others = (other for other in known if other[0] is not one)
        _require(
            not any(_works_within(other, theirs, begin, end) for _, other, theirs in others),
            f"rank {one.member.rank}: it was not alone when it says so",
        )


def _works_within(report: Evidence, base: Timebase, begin: float, end: float) -> bool:
    """Whether it has a sample in that time, by more than clocks may err."""
    free = base.uncertainty_ns
    return any(
        base(sample.start_ns + sample.host_ns) > begin + free and base(sample.start_ns) < end - free
        for measurement in report.measurements
        for sample in soundness.samples(measurement)
    )


def _require_exchanges(member: Member) -> None:
    """Questions and answers that clocks can bring, in the order of time."""
    _require(member.rank or not member.exchanges, "rank 0 asks nobody for its own time")
    ordered = all(
        each.sent_ns <= each.back_ns
        and each.received_ns <= each.answered_ns
        and each.answered_ns - each.received_ns <= each.back_ns - each.sent_ns
        for each in member.exchanges
    )
    _require(ordered, f"rank {member.rank}: an answer about the time came before its question")
    _require(_phases_in_order(member.exchanges), f"rank {member.rank}: its questions are not in order")


def _phases_in_order(exchanges: Sequence[Exchange]) -> bool:
    """All before the common windows stand before all after them, in their order of time."""
    sent = [(each.phase == "after", each.sent_ns) for each in exchanges]
    return sent == sorted(sent)


def _recompute(evidence: SystemEvidence, parts: Sequence[Part], rules: RuleSet) -> system.Conclusion:
    if evidence.verdict.method not in METHODS:
        raise EvidenceInvalid(
            f"judging method {printable(evidence.verdict.method)} is not known to this bench. Update bench.",
            step=8,
        )
    with computable():
        conclusion = _conclude(evidence, parts, rules)
    if conclusion.figures != evidence.figures:
        raise EvidenceInvalid(
            "the system's figures in the file are not the ones that follow from its ranks' samples.", step=6
        )
    if conclusion.assurance != evidence.assurance:
        raise EvidenceInvalid(
            f"it claims assurance {printable(evidence.assurance)}, and what its ranks hold reaches "
            f"{conclusion.assurance}.",
            step=6,
        )
    require_limits(evidence, conclusion.does_not_show)
    return conclusion


def _conclude(evidence: SystemEvidence, parts: Sequence[Part], rules: RuleSet) -> system.Conclusion:
    return system.conclude(
        parts, rules, evidence.claims, quick=evidence.mode == "quick", method=evidence.verdict.method
    )


def _established(
    evidence: SystemEvidence, parts: Sequence[Part], request: Request, rules: RuleSet
) -> SystemEvidence:
    """The evidence as far as it was verified: nothing shows that it is fresh but its challenge at hand."""
    if request.challenge is not None or evidence.challenge is None:
        return evidence
    lowered = _conclude(evidence, parts, rules)
    return replace(
        evidence,
        assurance=lowered.assurance,
        verdict=lowered.verdict,
        does_not_show=lowered.does_not_show,
    )
