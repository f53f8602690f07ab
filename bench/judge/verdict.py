"""The judge: two questions about each device, answered apart, in the words of the rule and no others.

Is the declared figure borne out by what was delivered? Do the declared and the delivered figure meet
a tier? Pure: facts come in, a Verdict goes out. It never says "eligible", and where a comparison would
be a guess it says inconclusive or not-comparable, with a reason code.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from bench.errors import EvidenceInvalid
from bench.judge.catalog import ASSURANCE_LEVELS
from bench.judge.ceiling import exceeds
from bench.precision import DECLARABLE, PRECISIONS
from bench.terms import (
    Architecture,
    BorneOut,
    Claim,
    Declaration,
    DeclaredWord,
    Delivered,
    Device,
    DeviceSpec,
    Estimate,
    Figure,
    Finding,
    Limit,
    Reference,
    ReferenceShare,
    RuleSet,
    Scalar,
    Status,
    Threshold,
    ThresholdWord,
    Tier,
    Verdict,
)
from bench.terms.checks import require

# The history of the method, a line per version; a released one is never changed.
# verdict/1  first: share against the range a sourced measurement reached; tiers met by the whole interval.
METHOD = "verdict/1"

# A figure about twice the dense one is probably the sparse one (2:4 sparsity doubles the rate). Wider
# would catch honest boost clocks of other cards, narrower would miss rounding on data sheets.
SPARSE_RATIO = (1.9, 2.1)

# Data sheets round a claim, and the clock behind it, to two or three digits: what MACs x clock x 2 stays
# below a claim by less is the same figure. Wider would pass a part sold by its faster sister's figure.
ROUNDING = 0.02

# Engines that share a chip with others: a claim that names none may be the sum of them.
SHARING = ("cpu", "npu")

Answer = TypeVar("Answer", DeclaredWord, ThresholdWord)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything the judge may look at. `specs` is by device selector, None where no profile matched."""

    devices: Sequence[Device]
    delivered: Sequence[Delivered]
    figures: Sequence[Figure]
    claims: Sequence[Claim]
    rules: RuleSet
    specs: Mapping[str, DeviceSpec | None]
    quick: bool
    assurance: str

    def __post_init__(self) -> None:
        unknown = [claim.precision for claim in self.claims if claim.precision not in DECLARABLE]
        require(not unknown, f"a claim is in a known format, got {unknown}")

    def estimate(self, device: Device, precision: str) -> tuple[Estimate | None, str | None]:
        """The device's figure for a precision, or the reason code why there is none."""
        for figure in self.figures:
            if (figure.device, figure.precision) == (device.selector, precision):
                return figure.estimate, figure.reason
        return None, "precision-not-measured"

    def ceiling(self, device: Device, precision: str) -> float | None:
        """What the device can do at most in op/s: the highest ceiling of its rows, None when unknown."""
        rows = (row for row in self.delivered if (row.device, row.precision) == (device.selector, precision))
        # A ceiling with a reservation beside it accuses nobody.
        certain = (row.ceiling for row in rows if row.ceiling is not None and row.ceiling_reason is None)
        return max(certain, default=None)

    def above_ceiling(self, device: Device, precision: str) -> bool:
        """Whether the whole interval of the delivered figure lies above what the device can do."""
        estimate, ceiling = self.estimate(device, precision)[0], self.ceiling(device, precision)
        return estimate is not None and ceiling is not None and exceeds(estimate.low, ceiling)

    def declared(self, device: Device) -> tuple[Declaration, ...]:
        """Sourced figures of the device's profile."""
        spec = self.specs.get(device.selector)
        return () if spec is None else spec.declared

    def reference(self, device: Device, precision: str) -> Reference | None:
        spec = self.specs.get(device.selector)
        found = () if spec is None else spec.references
        return next((row for row in found if row.precision == precision), None)

    def architecture(self, device: Device, precision: str) -> Architecture | None:
        """What the device's engine is made of, by its profile."""
        spec = self.specs.get(device.selector)
        found = () if spec is None else spec.architecture
        return next((row for row in found if (row.engine, row.precision) == (device.kind, precision)), None)


def judge(case: Case, *, method: str = METHOD) -> Verdict:
    """The verdict by a method of METHODS; EvidenceInvalid for one that this version does not know."""
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise EvidenceInvalid(f"unknown judging method {method!r}: known are {known}. Update bench.", step=8)
    return METHODS[method](case)


def _verdict_1(case: Case) -> Verdict:
    borne_out = tuple(
        _borne_out(case, device, row) for device in case.devices for row in _all_declared(case, device)
    )
    thresholds = tuple(
        _threshold(case, tier, device, precision, limit)
        for tier in case.rules.tiers
        for device in _measured_for(case, tier)
        for precision, limit in _limits(case, tier)
    )
    findings = chain.from_iterable(_findings(case, device) for device in case.devices)
    return Verdict(
        method="verdict/1",
        declared=borne_out,
        thresholds=thresholds,
        findings=(*findings, *_tier_findings(thresholds)),
    )


METHODS: Mapping[str, Callable[[Case], Verdict]] = {"verdict/1": _verdict_1}


# ------------------------------------------------------- question one: is the declared figure borne out?


def _borne_out(case: Case, device: Device, declared: Declaration) -> BorneOut:
    delivered, _ = case.estimate(device, declared.precision)
    comparable = incomparable(device, declared) is None
    share = _share(delivered, declared) if delivered is not None and comparable else None
    reference = _reference_share(case, device, declared) if comparable else None
    word, reason = _soften(case, *_borne_out_word(case, device, declared, share, reference))
    return BorneOut(
        device=device.selector,
        kind=device.kind,
        declared=declared,
        delivered=delivered,
        share=share,
        reference=reference,
        word=word,
        reason=reason,
    )


def _borne_out_word(
    case: Case,
    device: Device,
    declared: Declaration,
    share: Estimate | None,
    reference: ReferenceShare | None,
) -> tuple[DeclaredWord, str | None]:
    other = incomparable(device, declared)
    if other is not None:
        return "not-comparable", other
    contradiction = _contradiction(case, device, declared)
    if contradiction is not None:
        return "contradicted", contradiction
    if share is None:
        return "inconclusive", case.estimate(device, declared.precision)[1]
    if case.above_ceiling(device, declared.precision):
        return "implausible", "above-ceiling"
    if reference is None:
        return "no-reference", "nobody-measured-it"
    if share.low >= reference.low:
        return "borne-out", None
    if share.high >= reference.low:
        return "inconclusive", "interval-crosses"
    unstated = _unstated(device, declared)
    if unstated is not None:
        return "inconclusive", unstated
    if device.takes_graphs:
        return "not-demonstrated", "route"
    return "not-borne-out", None


def incomparable(device: Device, declared: Declaration) -> str | None:
    """Why a declared figure is not like the dense figure of one engine that was measured; None if it is."""
    if declared.precision == "unstated":
        return "precision-unstated"
    if declared.precision not in PRECISIONS:
        return "precision-unknown"
    if declared.density == "sparse":
        return "sparse"
    if len(declared.engines) > 1:
        return "sum-of-engines"
    if declared.engines and declared.engines[0] != device.kind:
        return "other-engine"
    return None


def _unstated(device: Device, declared: Declaration) -> str | None:
    """What a source leaves open and what would speak for it: a figure of sparse operations, or of a sum."""
    if declared.density == "unstated":
        return "density-unstated"
    # A profile is of one engine; a typed word is of whatever the vendor had in mind.
    if declared.provenance == "stated" and not declared.engines and device.kind in SHARING:
        return "engines-unstated"
    return None


def _contradiction(case: Case, device: Device, declared: Declaration) -> str | None:
    """Why the vendor's own documents, read at their source, refute a declared figure; None if they do not."""
    if declared.contradicted_by is not None:
        return "own-documents-differ"
    below = _architecture_below(case, device, declared)
    if below is None or not (below.verified and declared.verified) or _unstated(device, declared):
        return None
    return "architecture-below-claim"


def _architecture_below(case: Case, device: Device, declared: Declaration) -> Architecture | None:
    """The profile's MACs x clock x 2 where they stay below a sourced figure of the same kind, else None."""
    if declared.provenance == "stated" or incomparable(device, declared) is not None:
        return None
    found = case.architecture(device, declared.precision)
    return found if found and found.ops_per_s < (1 - ROUNDING) * declared.ops_per_s else None


def _share(delivered: Estimate, declared: Declaration) -> Estimate:
    value, low, high = (x / declared.ops_per_s for x in (delivered.value, delivered.low, delivered.high))
    return replace(delivered, value=value, low=low, high=high, unit="share")


def _reference_share(case: Case, device: Device, declared: Declaration) -> ReferenceShare | None:
    """The share others reached: of this figure, or, for a typed claim, of the vendor's own highest one.

    Else a claim of any size would be borne out by a share as small as itself.
    """
    reference = case.reference(device, declared.precision)
    basis = [declared] if declared.provenance != "stated" else _comparable(case, device, declared.precision)
    if reference is None or not basis:
        return None
    whole = max(row.ops_per_s for row in basis)
    return ReferenceShare(
        low=reference.low_ops_per_s / whole,
        high=reference.high_ops_per_s / whole,
        source=reference.source,
        verified=reference.verified,
    )


def _all_declared(case: Case, device: Device) -> tuple[Declaration, ...]:
    """Sourced figures first, typed claims after them."""
    return (*case.declared(device), *(_stated(claim) for claim in case.claims))


def _comparable(case: Case, device: Device, precision: str) -> list[Declaration]:
    rows = [row for row in case.declared(device) if row.precision == precision]
    return [row for row in rows if incomparable(device, row) is None]


def _stated(claim: Claim) -> Declaration:
    return Declaration(
        precision=claim.precision,
        ops_per_s=claim.ops_per_s,
        density=claim.density,
        engines=claim.engines,
        source="--claim",
        date=None,
        provenance="stated",
        verified=False,
        contradicted_by=None,
        remark=None,
    )


# --------------------------------------------------------------- question two: does a figure meet a tier?


def _threshold(case: Case, tier: Tier, device: Device, precision: str, limit: Limit) -> Threshold:
    declared, said_word, said_reason = _declared_answer(case, device, precision, limit)
    delivered, _ = case.estimate(device, precision)
    done_word, done_reason = _delivered_answer(case, device, precision, limit)
    said_word, said_reason = _guarded(case, tier, device, said_word, said_reason)
    done_word, done_reason = _guarded(case, tier, device, done_word, done_reason)
    return Threshold(
        tier=tier.id,
        device=device.selector,
        kind=device.kind,
        precision=precision,
        limit=limit.ops_per_s,
        declared=declared,
        declared_word=said_word,
        declared_reason=said_reason,
        delivered=delivered,
        delivered_word=done_word,
        delivered_reason=done_reason,
        headline=_headline(case, said_word, done_word, delivered),
    )


def _headline(
    case: Case, declared: ThresholdWord, delivered: ThresholdWord, figure: Estimate | None
) -> ThresholdWord:
    """The word that the rule goes by. A data sheet says nothing about a machine that was not measured."""
    if case.rules.decided_by == "delivered":
        return delivered
    return "inconclusive" if figure is None and declared == "threshold-met" else declared


def _declared_answer(
    case: Case, device: Device, precision: str, limit: Limit
) -> tuple[Declaration | None, ThresholdWord, str | None]:
    """By the lowest sourced figure, where a vendor printed several; a typed claim answers nothing."""
    rows = sorted(_comparable(case, device, precision), key=lambda row: row.ops_per_s)
    if rows:
        contradicted = [reason for row in rows if (reason := _contradiction(case, device, row))]
        if contradicted:
            return rows[0], "inconclusive", contradicted[0]
        return rows[0], *_sourced_answer(rows, limit)
    claims = [_stated(claim) for claim in case.claims if claim.precision == precision]
    claims = [claim for claim in claims if incomparable(device, claim) != "other-engine"]
    if claims:
        # Of several the highest, and one of another kind (sparse, a sum) only where there is no other.
        shown = max(claims, key=lambda row: (incomparable(device, row) is None, row.ops_per_s))
        return shown, "stated-only", "typed-claim"
    for row in case.declared(device):
        if row.precision == precision:
            return row, "inconclusive", incomparable(device, row)
    matched = case.specs.get(device.selector) is not None
    return None, "inconclusive", "precision-not-declared" if matched else "no-declared-figure"


def _sourced_answer(rows: Sequence[Declaration], limit: Limit) -> tuple[ThresholdWord, str | None]:
    """`rows` are sorted: what the lowest meets all meet, what the highest misses all miss."""
    if rows[-1].ops_per_s < limit.ops_per_s:
        return "threshold-not-met", None
    if rows[0].ops_per_s < limit.ops_per_s:
        return "inconclusive", "declarations-differ"
    if any(row.density == "unstated" for row in rows):
        return "inconclusive", "density-unstated"
    return "threshold-met", None


def _delivered_answer(
    case: Case, device: Device, precision: str, limit: Limit
) -> tuple[ThresholdWord, str | None]:
    """Unrounded: 44.9999 does not meet 45."""
    estimate, reason = case.estimate(device, precision)
    if estimate is None:
        return "inconclusive", reason
    if case.above_ceiling(device, precision):
        return "inconclusive", "above-ceiling"
    if estimate.low >= limit.ops_per_s:
        # Nobody but an external runner's own words says that the board did the work.
        return ("inconclusive", "placement-unknown") if device.family == "runner" else ("threshold-met", None)
    if estimate.high < limit.ops_per_s:
        return "threshold-not-met", None
    return "inconclusive", "interval-crosses"


def _guarded(
    case: Case, tier: Tier, device: Device, word: ThresholdWord, reason: str | None
) -> tuple[ThresholdWord, str | None]:
    """A tier speaks of kinds of device, and of a system's accelerators running at once."""
    alone = tier.scope == "device" or len(_measured_for(case, tier)) == 1
    if word in ("threshold-met", "threshold-not-met") and not alone:
        return "inconclusive", "not-measured-at-once"
    if word == "threshold-met" and device.kind not in tier.kinds:
        return "inconclusive", "kind-not-named"
    return _soften(case, word, reason)


def _measured_for(case: Case, tier: Tier) -> Sequence[Device]:
    """A system is judged by its accelerators; one without any by what it has."""
    if tier.scope == "device":
        return case.devices
    return [device for device in case.devices if device.kind in tier.kinds] or case.devices


def _limits(case: Case, tier: Tier) -> list[tuple[str, Limit]]:
    """Each limit with its precision; one for "the precision that the claim names" per floating claim."""
    floats = [name for name, row in PRECISIONS.items() if row.kind == "floating"]
    floating = dict.fromkeys(claim.precision for claim in case.claims if claim.precision in floats)
    return [
        (precision, limit)
        for limit in tier.limits
        for precision in ([limit.precision] if limit.precision is not None else floating)
    ]


def _soften(case: Case, word: Answer, reason: str | None) -> tuple[Answer, str | None]:
    """A smoke test decides nothing; a report below the rule's assurance decides nothing in favour."""
    if case.quick and word in ("borne-out", "not-borne-out", "threshold-met", "threshold-not-met"):
        return "smoke-test", "quick"
    asked = ASSURANCE_LEVELS.index(case.rules.minimum_assurance)
    if word in ("borne-out", "threshold-met") and ASSURANCE_LEVELS.index(case.assurance) < asked:
        return "inconclusive", "assurance-below-minimum"
    return word, reason


# ----------------------------------------------------------------------------------------------- findings


def _findings(case: Case, device: Device) -> Iterator[Finding]:
    if case.specs.get(device.selector) is None:
        yield Finding(subject=device.selector, status="info", code="no-declared-figure", numbers={})
    for figure in case.figures:
        if figure.device == device.selector and figure.estimate is not None:
            yield from _figure_findings(case, device, figure.precision, figure.estimate)
    decisive = {limit.precision for tier in case.rules.tiers for limit in tier.limits}
    for row in case.declared(device):
        if not row.verified and (row.precision in decisive or case.estimate(device, row.precision)[0]):
            yield _finding(device, row.precision, "info", "declared-not-verified", declared=row.ops_per_s)
        yield from _architecture_findings(case, device, row)
    for claim in case.claims:
        yield from _claim_findings(case, device, _stated(claim))


def _figure_findings(case: Case, device: Device, precision: str, estimate: Estimate) -> Iterator[Finding]:
    ceiling, reference = case.ceiling(device, precision), case.reference(device, precision)
    if ceiling is not None and case.above_ceiling(device, precision):
        yield _finding(
            device, precision, "failure", "delivered-above-ceiling", delivered=estimate.value, ceiling=ceiling
        )
    if reference is not None and not reference.verified:
        yield _finding(device, precision, "info", "reference-not-verified", reference=reference.ops_per_s)


def _architecture_findings(case: Case, device: Device, declared: Declaration) -> Iterator[Finding]:
    """Both figures with their sources. What was not read at its source is a note, and accuses nobody."""
    below = _architecture_below(case, device, declared)
    if below is None:
        return
    read = below.verified and declared.verified
    yield _finding(
        device,
        declared.precision,
        "info" if _contradiction(case, device, declared) is None else "warning",
        "architecture-below-claim" if read else "architecture-not-verified",
        macs=below.macs_per_cycle,
        clock_hz=below.clock_hz,
        architecture=below.ops_per_s,
        source=below.source,
        declared=declared.ops_per_s,
        declared_source=declared.source,
    )


def _claim_findings(case: Case, device: Device, claim: Declaration) -> Iterator[Finding]:
    """What is odd about a typed claim on this device. A claim that names itself sparse is not odd."""
    if incomparable(device, claim) is not None:
        return
    ceiling = case.ceiling(device, claim.precision)
    # What was measured on some of a processor's cores says nothing about a claim for all of them.
    whole = device.family != "cpu" or device.fact("cores") == device.fact("cores-usable")
    if whole and ceiling is not None and exceeds(claim.ops_per_s, ceiling):
        numbers = {"claimed": claim.ops_per_s, "ceiling": ceiling}
        yield _finding(device, claim.precision, "warning", "claim-above-ceiling", **numbers)
    for row in _comparable(case, device, claim.precision):
        ratio = claim.ops_per_s / row.ops_per_s
        if SPARSE_RATIO[0] <= ratio <= SPARSE_RATIO[1]:
            numbers = {"claimed": claim.ops_per_s, "dense": row.ops_per_s, "ratio": ratio}
            yield _finding(device, claim.precision, "warning", "claim-probably-sparse", **numbers)


def _tier_findings(thresholds: Iterable[Threshold]) -> Iterator[Finding]:
    """A processor that meets a tier says nothing about an NPU beside it."""
    for row in thresholds:
        if row.kind == "cpu" and "threshold-met" in (row.declared_word, row.delivered_word):
            subject = f"{row.device}/{row.precision}"
            yield Finding(subject=subject, status="info", code="cpu-not-npu", numbers={"limit": row.limit})


def _finding(device: Device, precision: str, status: Status, code: str, **numbers: Scalar) -> Finding:
    return Finding(subject=f"{device.selector}/{precision}", status=status, code=code, numbers=numbers)
