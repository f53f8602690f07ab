"""From the ranks' parts to what the system delivered at once, and the verdict on it; verify recomputes it.

The system's figure in a precision is the work of all ranks inside the window that they share, over its
length: never a sum of runs that were made apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.judge import catalog, rows
from bench.judge.catalog import ASSURANCE_LEVELS
from bench.judge.verdict import METHOD, Case, incomparable, judge
from bench.measure import stats, together
from bench.measure.together import SAME, Timebase, Track
from bench.precision import PRECISIONS, precision
from bench.terms import (
    SYSTEM,
    Claim,
    Declaration,
    Device,
    DeviceSpec,
    Evidence,
    Figure,
    Finding,
    Measurement,
    Member,
    RuleSet,
    Share,
    SystemFigure,
    Verdict,
    Visit,
)
from bench.units import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A rank's place in the system, and its evidence; None where that is missing."""

    member: Member
    evidence: Evidence | None

    @property
    def base(self) -> Timebase | None:
        """Its own time as rank 0's; None where too little was exchanged."""
        return SAME if self.member.rank == 0 else together.timebase(self.member.exchanges)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    assurance: str
    figures: tuple[SystemFigure, ...]
    verdict: Verdict
    does_not_show: tuple[str, ...]


def conclude(
    parts: Sequence[Part], rules: RuleSet, claims: Sequence[Claim], *, quick: bool, method: str = METHOD
) -> Conclusion:
    """Everything that follows from the parts.

    Raises EvidenceInvalid for a method that this version does not know.
    """
    found = [part.evidence for part in parts if part.evidence is not None]
    whole = len(found) == len(parts)
    reached = ASSURANCE_LEVELS[0]
    if whole:
        reached = min((evidence.assurance for evidence in found), key=ASSURANCE_LEVELS.index)
    measured = figures(parts)
    device = _as_one(found)
    verdict = judge(
        Case(
            devices=[device],
            delivered=(),
            figures=[
                Figure(device=SYSTEM, precision=f.precision, row=None, estimate=f.estimate, reason=f.reason)
                for f in measured
            ],
            claims=claims,
            rules=replace(rules, tiers=tuple(tier for tier in rules.tiers if tier.scope == "system")),
            specs={SYSTEM: _sum_of_data_sheets(found) if whole else None},
            quick=quick,
            assurance=reached,
        ),
        method=method,
    )
    findings = (*_findings(parts), *verdict.findings)
    return Conclusion(
        assurance=reached,
        figures=measured,
        verdict=replace(verdict, findings=findings),
        does_not_show=_does_not_show(parts),
    )


# ------------------------------------------------------------------------------------------ the figures


def figures(parts: Sequence[Part]) -> tuple[SystemFigure, ...]:
    """One for each precision that any rank has a figure or a reason for."""
    named = {f.precision for part in parts if part.evidence for f in part.evidence.figures}
    return tuple(_figure(parts, name) for name in PRECISIONS if name in named)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A rank's row in the common window. `counts` is the share of its work that counts there, 1 or less."""

    part: Part
    measurement: Measurement
    track: Track
    counts: float


def _figure(parts: Sequence[Part], name: str) -> SystemFigure:
    held = [_held(part, name) for part in parts]
    reasons = [each for each in held if isinstance(each, str)]
    windows = [each for each in held if isinstance(each, _Window)]
    if reasons:
        return _without(name, reasons[0])
    tracks = [_scaled(window) for window in windows]
    common = together.common_window(tracks)
    if common is None:
        return _without(name, "no-common-window")
    estimate = together.rate(tracks, common, precision(name).unit)
    if estimate is None:
        return _without(name, "too-few-samples")
    shares = tuple(_share(window, track, common) for window, track in zip(windows, tracks, strict=True))
    slowest = min(shares, key=lambda share: share.rate)
    rates = [share.rate for share in shares]
    lonely = [1 - share.rate / share.alone for share in shares if share.alone is not None]
    return SystemFigure(
        precision=name,
        estimate=estimate,
        begin_ns=common[0],
        end_ns=common[1],
        shares=shares,
        total=stats.rounded(math.fsum(share.own_rate for share in shares)),
        slowest=slowest.rank,
        spread=stats.rounded((max(rates) - min(rates)) * len(rates) / math.fsum(rates)),
        loss=stats.rounded(lonely[0]) if lonely else None,
        reason=None,
    )


def _without(name: str, reason: str) -> SystemFigure:
    return SystemFigure(
        precision=name,
        estimate=None,
        begin_ns=None,
        end_ns=None,
        shares=(),
        total=None,
        slowest=None,
        spread=None,
        loss=None,
        reason=reason,
    )


def _held(part: Part, name: str) -> _Window | str:
    """The rank's row that was held while all others held theirs, or the reason code why it does not count."""
    evidence, base = part.evidence, part.base
    if evidence is None or part.member.reason is not None:
        return "rank-missing"
    measurement = _row_held(evidence, name)
    if measurement is None:
        return "rank-without-figure"
    assert measurement.held is not None
    if base is None or measurement.held.ended != "window-full":
        return "no-common-window"
    if not base.agrees:
        return "clocks-disagree"
    subject = f"{measurement.workload.device}/{name}"
    if any(f.code == "delivered-above-ceiling" and f.subject == subject for f in evidence.verdict.findings):
        return "rank-above-ceiling"
    ops = measurement.cost.ops
    return _Window(
        part=part,
        measurement=measurement,
        track=together.track(measurement.held.samples, ops, base),
        counts=_counts(measurement, measurement.held),
    )


def _row_held(evidence: Evidence, name: str) -> Measurement | None:
    """The row that was held in a precision, if it may stand for it."""
    counting = {(row.device, row.row) for row in evidence.delivered if row.counts}
    held = [m for m in evidence.measurements if m.workload.precision == name and m.held is not None]
    return next((m for m in held if (m.workload.device, m.workload.row) in counting), None)


def _counts(measurement: Measurement, held: Visit) -> float:
    """What the work of the window counts: where a row runs slower on real-valued operands, at their rate."""
    reals = [sample for sample in held.samples if sample.real]
    if not reals or not rows.reals_are_slower(stats.operand_ratio(measurement.stays)):
        return 1.0
    ops = measurement.cost.ops
    return min(1.0, stats.rate(reals, ops) / stats.rate(held.samples, ops))


def _scaled(window: _Window) -> Track:
    spans = ((first, last, ops * window.counts) for first, last, ops in window.track.spans)
    return replace(window.track, spans=tuple(spans))


def _share(window: _Window, track: Track, common: tuple[int, int]) -> Share:
    begin, end = common
    work, busy_ns = together.inside(track.spans, begin, end)
    alone = window.measurement.alone
    ops = window.measurement.cost.ops
    lonely = None
    if alone is not None and alone.ended == "window-full":
        lonely = stats.rounded(stats.rate(alone.samples, ops) * window.counts)
    return Share(
        rank=window.part.member.rank,
        row=window.measurement.workload.row,
        rate=stats.rounded(work * NS_PER_S / (end - begin)),
        own_rate=stats.rounded(work * NS_PER_S / busy_ns),
        alone=lonely,
    )


# ------------------------------------------------------------------------------------------ the verdict


def _as_one(found: Sequence[Evidence]) -> Device:
    """All devices as one, of the kind that they have in common."""
    devices = [device for evidence in found for device in evidence.devices]
    first = devices[0]
    names = dict.fromkeys(device.name for device in devices)
    counted = (f"{sum(device.name == name for device in devices)} x {name}" for name in names)
    return Device(
        selector=SYSTEM,
        family=first.family,
        kind=first.kind if all(device.kind == first.kind for device in devices) else "accelerator",
        name=", ".join(counted),
        vendor=None,
        facts=(),
    )


def _sum_of_data_sheets(found: Sequence[Evidence]) -> DeviceSpec | None:
    """What the data sheets of all devices come to together; None where one of them has none."""
    devices = [device for evidence in found for device in evidence.devices]
    specs = [catalog.device_spec(device) for device in devices]
    known = [spec for spec in specs if spec is not None]
    if len(known) < len(specs):
        return None
    each = [
        [row for row in spec.declared if incomparable(device, row) is None]
        for device, spec in zip(devices, known, strict=True)
    ]
    declared = [
        _sum([_of(rows, name, lowest=lowest) for rows in each])
        for name in PRECISIONS
        if all(any(row.precision == name for row in rows) for rows in each)
        for lowest in (True, False)
    ]
    return DeviceSpec(
        id=SYSTEM,
        name=SYSTEM,
        kind=known[0].kind,
        names=(),
        declared=tuple(dict.fromkeys(declared)),
        references=(),
        architecture=(),
        note="",
        digest="",
    )


def _of(rows: Sequence[Declaration], name: str, *, lowest: bool) -> Declaration:
    found = sorted((row for row in rows if row.precision == name), key=lambda row: row.ops_per_s)
    return found[0 if lowest else -1]


def _sum(rows: Sequence[Declaration]) -> Declaration:
    """One data sheet's figure for each device, added up; as doubtful as the most doubtful of them."""
    weakest = min(rows, key=lambda row: (row.verified, row.density != "unstated"))
    contradicted = next((row.contradicted_by for row in rows if row.contradicted_by), None)
    return replace(
        weakest,
        ops_per_s=stats.rounded(math.fsum(row.ops_per_s for row in rows)),
        density="unstated" if any(row.density == "unstated" for row in rows) else rows[0].density,
        source="; ".join(dict.fromkeys(row.source for row in rows)),
        date=None,
        verified=all(row.verified for row in rows),
        contradicted_by=contradicted,
        remark=None,
    )


def _findings(parts: Sequence[Part]) -> list[Finding]:
    found = [
        Finding(
            subject=f"rank {part.member.rank}",
            status="failure",
            code="rank-missing" if part.evidence is None else "rank-cut-off",
            numbers={"node": part.member.node, "why": part.member.reason},
        )
        for part in parts
        if part.member.reason is not None
    ]
    for node in sorted({part.member.node for part in parts}):
        found += _cores_findings(node, [p.evidence for p in parts if p.evidence and p.member.node == node])
    devices = [device for part in parts if part.evidence for device in part.evidence.devices]
    if len(devices) == len(parts) and all(catalog.device_spec(device) is not None for device in devices):
        numbers = {"devices": len(devices)}
        found.append(Finding(subject=SYSTEM, status="info", code="declared-is-sum", numbers=numbers))
    return found


def _cores_findings(node: int, found: Sequence[Evidence]) -> list[Finding]:
    """Processors of one machine whose ranks used more cores together than it has."""
    cpus = [device for evidence in found for device in evidence.devices if device.family == "cpu"]
    used, there = ([device.fact(name) for device in cpus] for name in ("cores-usable", "cores"))
    counts = [count for count in used if isinstance(count, int)]
    cores = max((count for count in there if isinstance(count, int)), default=None)
    if cores is None or sum(counts) <= cores:
        return []
    numbers = {"node": node, "used": sum(counts), "cores": cores}
    return [Finding(subject=SYSTEM, status="info", code="ranks-share-cores", numbers=numbers)]


def _does_not_show(parts: Sequence[Part]) -> tuple[str, ...]:
    """What no rank's report shows, and what a system's does not beyond them."""
    own = [code for part in parts if part.evidence for code in part.evidence.does_not_show]
    nodes = {part.member.node for part in parts}
    further = ("ranks-vouched-by-rank-0", *(("offsets-by-network",) if len(nodes) > 1 else ()))
    return (*dict.fromkeys(own), *further)
