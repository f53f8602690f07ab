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
    """One stay with a row: samples until the rate was settled, then the samples that count."""

    settle: tuple[Sample, ...]
    settle_ended: str
    samples: tuple[Sample, ...]
    ended: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One shape of the ladder: the rate a short probe saw, or the reason code why it was not run."""

    shape: Shape
    ops_per_s: float | None
    reason: str | None = None


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
    checks outputs of timed launches. A row that could not be measured has no visits, and `findings`
    says why.
    """

    workload: Workload
    cost: Cost
    tried: tuple[Trial, ...]
    before: Check | None
    probe: Check | None
    visits: tuple[Visit, ...]
    timed: Check | None
    ended: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counters at one moment: CPU time in microseconds since boot, of the CPUs that the run may use.

    `busy_us` is everything but idle, waiting and stolen time; `own_us` this process's own share of it.
    """

    at_ns: int
    busy_us: int
    own_us: int
    steal_us: int


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
class Delivered:
    """A row's figure. `counts` is False when it may not stand for the precision; `reason` says why.

    `measured` names the arithmetic that the probe saw, `error_ppm` is its relative RMS error (None for
    integers, which are exact or not).
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
    counts: bool
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
class Harness:
    """The measuring program, as it describes itself: a claim of the machine, not a proof."""

    version: str
    files: tuple[Digest, ...]
    libraries: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The predicate of the signed statement: everything the verdict follows from, and the verdict.

    `asked` are the precisions asked for, none where the default was run: with the devices' facts they
    decide which rows there are.
    """

    format: str
    created: str
    mode: Literal["default", "quick"]
    assurance: str
    interrupted: bool
    nonce: str
    harness: Harness
    system: tuple[Fact, ...]
    devices: tuple[Device, ...]
    claims: tuple[Claim, ...]
    rules: Digest
    profiles: tuple[Digest, ...]
    asked: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    telemetry: tuple[Reading, ...]
    delivered: tuple[Delivered, ...]
    figures: tuple[Figure, ...]
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
