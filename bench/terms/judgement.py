"""Figures, declarations, rules, and what the judge answers."""

from dataclasses import dataclass
from typing import Literal

from bench.terms.checks import require
from bench.terms.devices import DeviceKind
from bench.terms.measurements import DiagnosticName, Finding
from bench.terms.workloads import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number that left a measurement, with its interval at `level` and the method's name."""

    value: float
    low: float
    high: float
    level: float
    unit: str
    method: str
    visits: int

    def __post_init__(self) -> None:
        require(self.low <= self.value <= self.high, f"an interval holds its value, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """The roofline above a row (Williams, Waterman and Patterson, CACM 52:4, 2009).

    `intensity` is operations per byte that one launch must touch, `bandwidth` in B/s that of the memory
    level which holds its operands, `ops_per_s` the lower of intensity x bandwidth and the ceiling, and
    `bound` says which. Without a ceiling it is the memory's bound alone.
    """

    intensity: float
    bandwidth: float
    ops_per_s: float
    bound: Literal["compute", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What a counter of energy says about the counted windows of a row; for information, never a verdict."""

    source: str
    joules: float
    seconds: float
    ops_per_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The mean rate of the first and of the last fifth of a long window, in op/s, and last over first."""

    first: float
    last: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """Where a row ran that went through an execution provider, and what its figure is not; for information.

    `provider` is None where nobody tells, `operators` what it really ran, None where it does not show them.
    `dispatch_ns` is what a launch of next to nothing takes. `slope` is the rate in op/s from one graph to
    one that does twice the work, None where the work did not grow. `cpu_ratio` is the device's rate over
    that of the processor beside it on the same bytes, or `cpu_reason` why it is not known.
    """

    provider: str | None
    nodes: int
    operators: tuple[str, ...] | None
    dispatch_ns: int
    slope: float | None
    cpu_ratio: float | None
    cpu_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A row's figure. `counts` is False when it may not stand for the precision; `reason` says why.

    `measured` names the arithmetic that the probe saw, `error_ppm` is its relative RMS error (None for
    integers, which are exact or not). `per_second` is the mean rate of each
    second of a row that was held under load, and `drift` what became of it; no other row has them.
    """

    device: str
    row: str
    precision: str
    operation: Operation
    backend: str
    measured: str | None
    error_ppm: float | None
    estimate: Estimate | None
    median: float | None
    best: float | None
    ceiling: float | None
    ceiling_reason: str | None
    roof: Roof | None
    roof_reason: str | None
    energy: Energy | None
    energy_reason: str | None
    per_second: tuple[float, ...]
    drift: Drift | None
    through: Through | None
    counts: bool
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a diagnostic came to: the rate under its condition over the usual one, with a 95 % interval.

    None of the three where the diagnostic has no pairs, next to its reason.
    """

    device: str
    row: str
    name: DiagnosticName
    detail: str
    ratio: float | None
    low: float | None
    high: float | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The device's figure for one precision: its best row that counts, or the reason why none does."""

    device: str
    precision: str
    row: str | None
    estimate: Estimate | None
    reason: str | None


Density = Literal["dense", "sparse", "unstated"]

# Where a declared figure was read: S1, S2, V at a source of the vendor's; S3 on a third party's page;
# M from memory, not re-read; "stated" is a figure typed with --claim: somebody's word.
Provenance = Literal["S1", "S2", "V", "S3", "M", "stated"]
READ_AT_SOURCE: tuple[Provenance, ...] = ("S1", "S2", "V")


def _require_fitting(verified: bool, provenance: Provenance) -> None:
    read = provenance in READ_AT_SOURCE
    require(verified == read, f"verified = {verified} does not fit provenance {provenance}")


DeclaredWord = Literal[
    "borne-out",
    "not-borne-out",
    "no-reference",
    "not-demonstrated",
    "not-comparable",
    "contradicted",
    "implausible",
    "inconclusive",
    "smoke-test",
]
ThresholdWord = Literal["threshold-met", "threshold-not-met", "inconclusive", "stated-only", "smoke-test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A vendor's word, as typed: op/s in a precision. More than one engine makes it a sum of engines."""

    precision: str
    ops_per_s: float
    density: Density
    engines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A declared figure with its source. `verified` is False where nobody re-read the source.

    `contradicted_by` names another first-hand document of the same vendor that disagrees.
    """

    precision: str
    ops_per_s: float
    density: Density
    engines: tuple[str, ...]
    source: str
    date: str | None
    provenance: Provenance
    verified: bool
    contradicted_by: str | None
    remark: str | None

    def __post_init__(self) -> None:
        require(self.ops_per_s > 0, f"a declared figure is positive, got {self.ops_per_s}")
        _require_fitting(self.verified, self.provenance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The rate that somebody else measured on the same device and precision, its range, and where."""

    precision: str
    ops_per_s: float
    low_ops_per_s: float
    high_ops_per_s: float
    source: str
    verified: bool

    def __post_init__(self) -> None:
        ordered = 0 < self.low_ops_per_s <= self.ops_per_s <= self.high_ops_per_s
        require(ordered, f"a reference lies in its range, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What an engine is made of, by a document: its dense multiply-adds per cycle, and its clock.

    `verified` is False where nobody re-read the source.
    """

    engine: str
    precision: str
    macs_per_cycle: int
    clock_hz: int
    source: str
    provenance: Provenance
    verified: bool

    def __post_init__(self) -> None:
        require(self.macs_per_cycle > 0 and self.clock_hz > 0, f"an engine computes, got {self}")
        _require_fitting(self.verified, self.provenance)

    @property
    def ops_per_s(self) -> float:
        """MACs per cycle x clock x 2: a multiply-add is two operations."""
        return 2.0 * self.macs_per_cycle * self.clock_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceShare:
    """A reference as a share of the declared figure at hand: the range that an honest device reaches."""

    low: float
    high: float
    source: str
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a device of a profile shows besides its name, which a part of it, or another, may bear too.

    `memory_gib` are the sizes that it is sold with. `source` says where somebody read them.
    """

    sm_count: int
    memory_gib: tuple[int, ...]
    compute_capability: str
    source: str

    def __post_init__(self) -> None:
        whole = self.sm_count > 0 and min(self.memory_gib, default=0) > 0
        require(whole, f"a device has multiprocessors and memory, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """Declared figures of one device (profiles/devices). `names` are the exact names it reports.

    `identity` is what it must show besides, None where nothing more is known. `architecture` has at most
    one row for an engine and precision.
    """

    id: str
    name: str
    kind: DeviceKind
    names: tuple[str, ...]
    identity: Identity | None = None
    declared: tuple[Declaration, ...]
    references: tuple[Reference, ...]
    architecture: tuple[Architecture, ...]
    note: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """From how many op/s on a tier is met, in which precision; None: in the one that the claim names."""

    ops_per_s: float
    unit: str
    precision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A threshold of a rule: what it is for, in whose words, for what kinds of device.

    Any of its limits is enough. Scope "system": the figure of all accelerators running at once.
    """

    id: str
    title_en: str
    title_zh: str
    quote_en: str
    quote_zh: str
    scope: Literal["system", "device"]
    kinds: tuple[DeviceKind, ...]
    limits: tuple[Limit, ...]


# How an item takes a number of parameters: its model has them, it works with such a model, it must support
# such models, or they are one of several ways in.
ItemCondition = Literal["uses", "assists", "supports", "one-of-several"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A service item of a rule set with a condition on parameters; the Chinese text is what counts."""

    id: str
    title_en: str
    title_zh: str
    quote_en: str
    quote_zh: str
    condition: ItemCondition
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """A rule as we read it, with the argument for and against the reading (profiles/rules)."""

    id: str
    version: str
    status: str
    title_en: str
    title_zh: str
    source: str
    decided_by: Literal["declared", "delivered"]
    decided_by_quote_en: str
    decided_by_quote_zh: str
    reading: str
    reading_basis: Literal["text", "inference"]
    reading_for: tuple[str, ...]
    reading_against: tuple[str, ...]
    examples: tuple[str, ...]
    minimum_assurance: str
    required_sections: tuple[str, ...]
    tiers: tuple[Tier, ...]
    items: tuple[Item, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BorneOut:
    """Question one: is the declared figure borne out by what was delivered?"""

    device: str
    kind: DeviceKind
    declared: Declaration
    delivered: Estimate | None
    share: Estimate | None
    reference: ReferenceShare | None
    word: DeclaredWord
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Question two: do the declared and the delivered figure meet the tier? Answered apart.

    `headline` is the answer the rule goes by (`decided_by`).
    """

    tier: str
    device: str
    kind: DeviceKind
    precision: str
    limit: float
    declared: Declaration | None
    declared_word: ThresholdWord
    declared_reason: str | None
    delivered: Estimate | None
    delivered_word: ThresholdWord
    delivered_reason: str | None
    headline: ThresholdWord


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge found, by the method of that version."""

    method: str
    declared: tuple[BorneOut, ...]
    thresholds: tuple[Threshold, ...]
    findings: tuple[Finding, ...]
