"""What was measured: samples, visits, checks, sensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.terms.devices import Scalar
from bench.terms.workloads import Cost, Shape, Workload

Status = Literal["info", "warning", "failure"]


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
class Pair:
    """Nanoseconds of one launch, as the row is measured and under another condition, in turn."""

    usual_ns: int
    other_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where one node of the graph that counts was put, as ONNX Runtime says it."""

    node: str
    operator: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What admits a figure through an execution provider, beside the checks that every row passes.

    `graph` is the SHA-256 of the ONNX file that was measured. `placements` are its heavy nodes', none where
    nobody tells (an external runner). `fused` are the operators that the provider really runs, None where it
    compiles them into one. `dispatch_ns` are launches of a graph that is next to nothing. `depth_pairs` are
    launches of a graph that holds `times` as many layers, and of one of twice as many again; `cpu_pairs` of
    the graph itself on the device, and of the same bytes on the CPU's provider; `cpu_reason` says why there
    are none.
    """

    graph: str
    placements: tuple[Placement, ...]
    fused: tuple[str, ...] | None
    dispatch_ns: tuple[int, ...]
    times: int
    depth_pairs: tuple[Pair, ...]
    cpu_pairs: tuple[Pair, ...]
    cpu_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything one row brought: every sample in order, and why the loop ended.

    `before` checks the outputs before timing, `probe` is the untimed probe of the arithmetic, `timed`
    checks outputs of timed launches. `alone` is a window of one of several devices while all others waited.
    `held` is the one long window of a row that was held under load (--sustain, or all devices at once). A row
    that could not be measured has no visits, and `findings` says why. `admission` is there for a row that ran
    through an execution provider or a runner, once its checks are passed.
    """

    workload: Workload
    cost: Cost
    tried: tuple[Trial, ...]
    before: Check | None
    probe: Check | None
    admission: Admission | None
    visits: tuple[Visit, ...]
    alone: Visit | None = None
    held: Visit | None
    timed: Check | None
    ended: str
    findings: tuple[Finding, ...]

    @property
    def stays(self) -> tuple[Visit, ...]:
        """Every visit in the order of time, after them the window alone, and the held one."""
        return (*self.visits, *(visit for visit in (self.alone, self.held) if visit is not None))

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


SensorUnit = Literal["Hz", "mdegC", "uJ", "B", "percent", "bits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """A quantity read at every `every`-th reading from the first on, or the reason why it was not.

    Units: Hz, mdegC (thousandths of a degree Celsius), uJ (a counter that only grows), B, percent, bits (each
    says something by itself).
    """

    name: str
    unit: SensorUnit
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
