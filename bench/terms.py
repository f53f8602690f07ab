"""Every domain type: the words that all rooms speak.

All are frozen values, checked when built. They hold SI base units, read no clock, file or device,
and say None only next to a reason. What they look like in a file is the business of evidence/codec.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Scalar = str | int | float | bool
Operation = Literal["gemm", "conv"]
Family = Literal["cpu", "cuda", "ort"]
DeviceKind = Literal["cpu", "gpu", "npu", "accelerator"]
Status = Literal["info", "warning", "failure"]

# Elements as they lie in memory. "u8" carries zero point 128, so that its values are s8's plus 128.
Element = Literal["f64", "f32", "bf16", "f16", "s32", "s8", "u8"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


# ---------------------------------------------------------------------------------------- devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One observed property: where it was read, or the reason code why it could not be."""

    name: str
    value: Scalar | None
    source: str
    reason: str | None = None

    def __post_init__(self) -> None:
        _require(
            (self.value is None) == (self.reason is not None), f"{self.name}: a value or a reason, not both"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What is measured: the identity that was observed, as the machine itself tells it."""

    selector: str
    family: Family
    kind: DeviceKind
    name: str
    vendor: str | None
    facts: tuple[Fact, ...]

    def fact(self, name: str) -> Scalar | None:
        """The value of the fact called `name`, None when it is absent or was not readable."""
        return next((fact.value for fact in self.facts if fact.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Why something cannot be had here: a code, and the words of whoever refused."""

    subject: str
    code: str
    detail: str


# --------------------------------------------------------------------------------------- workloads


@dataclass(frozen=True, slots=True, kw_only=True)
class GemmShape:
    """C (m, n) = A (m, k) times B (k, n)."""

    m: int
    n: int
    k: int

    def __post_init__(self) -> None:
        _require(min(self.m, self.n, self.k) > 0, f"a GEMM shape is positive, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvShape:
    """Stride 1, dilation 1, one group; `kernel` and `padding` hold for both axes."""

    batch: int
    channels: int
    filters: int
    height: int
    width: int
    kernel: int
    padding: int

    def __post_init__(self) -> None:
        _require(min(self.batch, self.channels, self.filters, self.kernel) > 0 <= self.padding, f"got {self}")
        _require(min(self.out_height, self.out_width) > 0, f"the image is smaller than the kernel: {self}")

    @property
    def out_height(self) -> int:
        return self.height + 2 * self.padding - self.kernel + 1

    @property
    def out_width(self) -> int:
        return self.width + 2 * self.padding - self.kernel + 1


Shape = GemmShape | ConvShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a kernel does a precision: the element types that go in and out, and their operand set.

    `name` is the kernel's own word for it ("mm", "MatMulInteger"). `layout` says how operands lie in
    memory. An output that is quantised again to 8 bits may differ by one code (measurement: exactness).
    """

    precision: str
    name: str
    a: Element
    b: Element
    out: Element
    operand_set: str
    layout: str

    @property
    def requantised(self) -> bool:
        return self.out in ("s8", "u8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One row of a run: which kernel computes what, on which device and operands."""

    device: str
    kernel: str
    backend: str
    operation: Operation
    form: Form
    shape: Shape
    seed: str

    @property
    def row(self) -> str:
        """The row's name in every table and file, unique within a run."""
        return f"{self.kernel}/{self.form.precision}/{self.form.name}"

    @property
    def precision(self) -> str:
        return self.form.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one launch counts: operations (a multiply-add is two) and the bytes it must touch once."""

    ops: int
    bytes: int


# ----------------------------------------------------------------------------------- measurements


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A batch of launches timed as one. Times are integer ns; `real` is 1 for real-valued operands.

    `host_ns` is CLOCK_MONOTONIC (the figure's clock), `raw_ns` CLOCK_MONOTONIC_RAW and `cpu_ns` the
    CPU time of the process over the same batch. `start_ns` counts from the start of the run.
    """

    start_ns: int
    host_ns: int
    raw_ns: int
    cpu_ns: int
    launches: int
    real: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One stay with a row: samples until the rate was settled, then the samples that count.

    `device_ns` is each counted sample's time by the device's own clock (events), none where the device
    has no clock but the host's. `clocks_hz` is the clock of each core in use, measured right after the
    window; none where it could not be measured.
    """

    settle: tuple[Sample, ...]
    settle_ended: str
    samples: tuple[Sample, ...]
    device_ns: tuple[int, ...]
    clocks_hz: tuple[int, ...]
    ended: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One shape that was tried: its rates in op/s, or the reason code why it was not run.

    `round` is 0 for a rung of the ladder, then counts the rounds of refinement around the best shape so
    far. The first rate is a short probe's; the fastest shapes go on to longer ones, a rate each.
    `spent_ns` is what trying it took in all, preparation included.
    """

    shape: Shape
    round: int
    ops_per_s: tuple[float, ...]
    spent_ns: int
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Sampled outputs of launches held against the exact result.

    `compared` and `wrong` count outputs on the exact operand set, `off_by_one` those that differ by
    one code where the output is requantised. `real_error_ppm` is the relative RMS error, in parts per
    million, of the `real_compared` outputs on real-valued operands (None when there were none).
    """

    launches: int
    compared: int
    wrong: int
    off_by_one: int
    real_compared: int
    real_error_ppm: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a reader must know: a code and its numbers. Sentences are made at the edge."""

    subject: str
    status: Status
    code: str
    numbers: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything one row brought: every sample in order, and why the loop ended.

    `before` checks the outputs before timing, `probe` is the untimed probe of the arithmetic, `timed`
    checks outputs of timed launches. `held` is the one long window of a row that was held under load
    (--sustain). A row that could not be measured has no visits, and `findings` says why.
    """

    workload: Workload
    cost: Cost
    tried: tuple[Trial, ...]
    before: Check | None
    probe: Check | None
    visits: tuple[Visit, ...]
    held: Visit | None
    timed: Check | None
    ended: str
    findings: tuple[Finding, ...]

    @property
    def stays(self) -> tuple[Visit, ...]:
        """Every visit in the order of time, and the held window after them."""
        return self.visits if self.held is None else (*self.visits, self.held)

    @property
    def counted(self) -> tuple[Visit, ...]:
        """The windows that the figure stands on: a held one that is whole, else those of the visits."""
        return (self.held,) if self.held is not None and self.held.ended == "window-full" else self.visits


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long each part of a measurement takes; all times in ns of the host clock.

    `visits` is the least number of visits to every row; more are paid while `limit_ns` of the whole
    run allows and a row's half-width is above `half_width`. `refine_ns` is what a row's search may take
    for refining the ladder's best. `hold_ns` is the length of the one long window after the visits, 0
    without it.
    """

    visits: int
    sample_ns: int
    settle_least_ns: int
    settle_most_ns: int
    window_ns: int
    launch_most_ns: int
    probe_ns: int
    refine_ns: int
    limit_ns: int
    hold_ns: int
    half_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass of a bandwidth kernel over its arrays."""

    ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """The bandwidth kernel at one size, or the reason code why it did not run there.

    copy is a = b, triad a = b + s c (McCalpin's STREAM). `footprint_bytes` is what the arrays take
    together, `moved_bytes` what one pass reads and writes: two or three arrays, no write-allocate.
    """

    device: str
    operation: Literal["copy", "triad"]
    footprint_bytes: int
    moved_bytes: int
    passes: tuple[Pass, ...]
    reason: str | None


DiagnosticName = Literal["zeros", "cold-caches", "one-thread", "placement", "other-pool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Nanoseconds of one launch, as the row is measured and under the diagnostic's condition, in turn."""

    usual_ns: int
    other_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """What one changed condition does to a row's rate, beside the figure and never the figure itself.

    zeros: operands that are all zero; cold-caches: caches emptied before the launch; one-thread: one
    thread instead of all; placement: one thread on the CPU that `detail` names against one on the
    first; other-pool: right after another backend used its threads. `reason` says why there are no pairs.
    """

    device: str
    row: str
    name: DiagnosticName
    detail: str
    pairs: tuple[Pair, ...]
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counters at one moment: CPU time in microseconds since boot, of the CPUs that the run may use.

    `busy_us` is everything but idle, waiting and stolen time; `own_us` this process's own share of it.
    """

    at_ns: int
    busy_us: int
    own_us: int
    steal_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What a sensor said at one reading, in the sensor's unit."""

    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """A quantity read at every `every`-th reading from the first on, or the reason why it was not.

    Units: Hz, mdegC (thousandths of a degree Celsius), uJ (a counter that only grows), B.
    """

    name: str
    unit: Literal["Hz", "mdegC", "uJ", "B"]
    source: str
    every: int
    levels: tuple[Level, ...]
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """A wall meter's energy counter at a time of the run's own base, within the run and beside it."""

    at_ns: int
    energy_uj: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """The part of a wall meter's log (--power-log) that covers the run; the digest is of the whole file."""

    file: str
    sha256: str
    readings: tuple[MeterReading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """The machine's state through the run, on the samples' time base.

    `origin_unix_us` is the wall clock (us since 1970, UTC) at time 0 of the run. `period_ns` is the time
    between readings that was aimed at.
    """

    origin_unix_us: int
    period_ns: int
    readings: tuple[Reading, ...]
    sensors: tuple[Sensor, ...]
    meter: Meter | None


# --------------------------------------------------------------------------------------- judgement


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
        _require(self.low <= self.value <= self.high, f"an interval holds its value, got {self}")


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
        _require(self.ops_per_s > 0, f"a declared figure is positive, got {self.ops_per_s}")
        read = self.provenance in READ_AT_SOURCE
        _require(
            self.verified == read, f"verified = {self.verified} does not fit provenance {self.provenance}"
        )


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
        _require(ordered, f"a reference lies in its range, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceShare:
    """A reference as a share of the declared figure at hand: the range that an honest device reaches."""

    low: float
    high: float
    source: str
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """Declared figures of one device (profiles/devices). `names` are the exact names it reports."""

    id: str
    name: str
    kind: DeviceKind
    names: tuple[str, ...]
    declared: tuple[Declaration, ...]
    references: tuple[Reference, ...]
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


# ---------------------------------------------------------------------------------------- evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """SHA-256 of the bytes that `name` names."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What an auditor asks of one run: the nonce that seeds it, what to measure, for whom, until when.

    `vendor` and `device` are what the vendor claims, None where that is left open; `device` is the name
    that a device calls itself by, or the id of its profile. No `precisions` means the default.
    `sustain_s` is the least time that each precision's best row is held under load, 0 for none.
    So many outputs are opened that leaving out `skipped_share` of the committed rows is caught. Times are
    RFC 3339 in UTC, to the second.
    """

    format: str
    nonce: str
    auditor: str
    vendor: str | None
    device: str | None
    rules: Digest
    precisions: tuple[str, ...]
    sustain_s: int
    skipped_share: float
    issued: str
    expires: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a row's work an opening covers: `committed` of the `timed` launches.

    Launches read windows of one pool, so that the rows of two of them may be the same in part.

    Whoever left out `skipped_share` of the committed rows, and tried 2^64 commitments for one that would
    hide it, is caught with probability `confidence`.
    """

    committed: int
    timed: int
    skipped_share: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Outputs of timed launches of a row: committed by a Merkle root, opened where nonce and root say.

    `stays` are the row's windows (its visits in order, then the held one), from 0, whose last launch is
    committed; `leaves` counts the rows of their outputs and `opened` those that were drawn. `siblings` is
    the base64 of the digests that lead from the opened leaves to `root`. `reason` says why there is none.
    """

    device: str
    row: str
    stays: tuple[int, ...]
    leaves: int
    opened: int
    root: str | None
    siblings: str | None
    covers: Coverage | None
    reason: str | None

    def __post_init__(self) -> None:
        parts = (self.root, self.siblings, self.covers)
        whole = all(part is not None for part in parts)
        none = all(part is None for part in parts)
        _require(whole if self.reason is None else none, f"{self.row}: an opening or a reason, not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What the process that measured says about itself: a claim of the machine, never a proof.

    `libraries` are the shared objects that it had loaded when it ended, by their file's name.
    """

    facts: tuple[Fact, ...]
    libraries: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """The measuring program, as it describes itself: a claim of the machine, not a proof."""

    version: str
    files: tuple[Digest, ...]
    libraries: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The predicate of the signed statement: everything the verdict follows from, and the verdict.

    `asked` are the precisions asked for, none where the default was run: with the devices' facts they
    decide which rows there are. `schedule` is the one that the visits followed; `clock` says how the
    cores' clock was measured, or why it was not. `challenge` is the digest of the auditor's challenge that
    the run answers, whose nonce is then `nonce`.
    """

    format: str
    created: str
    mode: Literal["default", "quick"]
    assurance: str
    interrupted: bool
    nonce: str
    challenge: Digest | None
    harness: Harness
    inspection: Inspection
    system: tuple[Fact, ...]
    devices: tuple[Device, ...]
    claims: tuple[Claim, ...]
    rules: Digest
    profiles: tuple[Digest, ...]
    asked: tuple[str, ...]
    schedule: Schedule
    clock: Fact
    measurements: tuple[Measurement, ...]
    openings: tuple[Opening, ...]
    memory: tuple[Transfer, ...]
    diagnostics: tuple[Diagnostic, ...]
    telemetry: Telemetry
    delivered: tuple[Delivered, ...]
    figures: tuple[Figure, ...]
    conditions: tuple[Condition, ...]
    verdict: Verdict
    does_not_show: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature of an envelope: the key's OpenSSH fingerprint (a hint only) and the raw bytes."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """DSSE: the exact payload bytes, their type, and who signed them."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]
