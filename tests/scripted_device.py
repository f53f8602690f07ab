"""A scripted clock and kernel behind the real interfaces: time passes only when the kernel works.

A script tells how many ns a launch takes; results are right, computed by numpy from the operands' pools.
What goes wrong is asked for: failing launches, an asynchronous device, a finish that does not wait.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from bench.errors import CannotMeasure
from bench.measure.loop import Loop
from bench.measure.row import Row
from bench.terms import (
    Device,
    Fact,
    Family,
    Form,
    GemmShape,
    Operation,
    Reading,
    Schedule,
    Shape,
    Telemetry,
    Unavailable,
    Workload,
)
from bench.workload import opcount, operands
from bench.workload.ladder import Refinement

MS = 1_000_000
SEED = "5c" * 16

FP32 = Form(precision="fp32", name="mm", a="f32", b="f32", out="f32", operand_set="fp32", layout="row-major")
INT8 = Form(precision="int8", name="mm", a="s8", b="s8", out="s32", operand_set="int8", layout="row-major")
SMALL = GemmShape(m=32, n=32, k=64)


# -------------------------------------------------------------------------------------------- clock


@dataclass(slots=True, kw_only=True)
class ScriptedClock:
    """Advances when told; the three readings run at their own factors of the true time."""

    now_ns: int = 0
    host: float = 1.0
    raw: float = 1.0
    cpu: float = 1.0

    def advance(self, ns: int) -> None:
        self.now_ns += ns

    def host_ns(self) -> int:
        return round(self.now_ns * self.host)

    def raw_ns(self) -> int:
        return round(self.now_ns * self.raw)

    def cpu_ns(self) -> int:
        return round(self.now_ns * self.cpu)


# ------------------------------------------------------------------------------------------- script


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a script is asked about: when the launch begins, what it runs on, and on how many threads."""

    at_ns: int
    shape: Shape
    real: bool
    operand_set: str
    threads: int


Script = Callable[[Launch], int]


def constant(ns: int) -> Script:
    return lambda _launch: ns


def at_rate(ops_per_ns: float) -> Script:
    """The same rate at every shape."""
    return lambda launch: round(opcount.ops(launch.shape) / ops_per_ns)


def drifting(ns: int, share_per_ms: float) -> Script:
    """Ever slower: by that share of `ns` for each ms that has passed."""
    return lambda launch: round(ns * (1 + share_per_ms * launch.at_ns / MS))


def step_change(before_ns: int, after_ns: int, *, at_ns: int) -> Script:
    return lambda launch: before_ns if launch.at_ns < at_ns else after_ns


def slower_on_reals(ns: int, factor: float) -> Script:
    return lambda launch: round(ns * factor) if launch.real else ns


def throttling(ns: int, factor: float, *, period_ns: int, share: float) -> Script:
    """The last `share` of each period runs `factor` times slower."""
    return lambda launch: round(ns * factor) if launch.at_ns % period_ns >= (1 - share) * period_ns else ns


# ------------------------------------------------------------------------------------------- kernel


@lru_cache(maxsize=64)
def _pools(workload: Workload, real: bool) -> tuple[np.ndarray, np.ndarray]:
    left, right = (operands.pool(workload, which, real=real) for which in ("a", "b"))
    if workload.form.out == "s32":
        return left.astype(np.int64), right.astype(np.int64)
    return left, right


@dataclass(slots=True, kw_only=True)
class ScriptedKernel:
    """Runs by its script. `events` and `launched` tell what was asked of it, in order.

    `fail_after(n, error)` raises at the n-th launch from then on. An `asynchronous` device works when
    it is waited for; `finish_waits` and `read_waits` say whether finish and a read of outputs do wait.
    A device with a clock of its own runs it at the factor `device_clock` of the true time. Like torch it
    has one number of `threads` for all that was prepared, the last one asked for.
    """

    clock: ScriptedClock
    script: Script
    forms: tuple[Form, ...] = (FP32, INT8)
    name: str = "scripted"
    refuses: Callable[[Workload], str | None] = lambda _workload: None
    asynchronous: bool = False
    finish_waits: bool = True
    read_waits: bool = True
    enqueue_ns: int = 1000
    device_clock: float | None = None
    events: list[str] = field(default_factory=list)
    launched: list[tuple[int, bool]] = field(default_factory=list)
    backend: str = "scripted"
    operation: Operation = "gemm"
    families: tuple[Family, ...] = ("cpu",)
    live: int = 0
    threads: int = 0
    _failure: tuple[int, BaseException] | None = None

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:  # noqa: ARG002
        return None

    def prepare(
        self,
        workload: Workload,
        device: Device,  # noqa: ARG002
        *,
        threads: int,
        real: bool,  # noqa: ARG002
    ) -> "ScriptedPrepared":
        self.threads = threads
        reason = self.refuses(workload)
        if reason is not None:
            raise CannotMeasure(reason)
        shape = workload.shape
        assert isinstance(shape, GemmShape)
        self.events.append(f"prepare {shape.m}x{shape.n}x{shape.k}")
        self.live += 1
        return ScriptedPrepared(kernel=self, workload=workload)

    def fail_after(self, launches: int, error: BaseException) -> None:
        self._failure = (len(self.launched) + launches, error)

    def note(self, index: int, *, real: bool) -> None:
        """Record a launch, and raise if this is the one to fail."""
        self.launched.append((index, real))
        if self._failure is not None and len(self.launched) == self._failure[0]:
            raise self._failure[1]


@dataclass(slots=True, kw_only=True)
class ScriptedPrepared:
    kernel: ScriptedKernel
    workload: Workload
    _pending: list[tuple[int, bool]] = field(default_factory=list)
    _shown: tuple[int, bool] | None = None
    _marked_ns: int = 0

    def mark(self) -> None:
        self._marked_ns = self.kernel.clock.now_ns

    def device_ns(self) -> int | None:
        factor = self.kernel.device_clock
        return None if factor is None else round((self.kernel.clock.now_ns - self._marked_ns) * factor)

    def launch(self, index: int, *, real: bool) -> None:
        self.kernel.note(index, real=real)
        self._pending.append((index, real))
        if self.kernel.asynchronous:
            self.kernel.clock.advance(self.kernel.enqueue_ns)
        else:
            self._work()

    def _work(self) -> None:
        for index, real in self._pending:
            launch = Launch(
                at_ns=self.kernel.clock.now_ns,
                shape=self.workload.shape,
                real=real,
                operand_set=self.workload.form.operand_set,
                threads=self.kernel.threads,
            )
            self.kernel.clock.advance(self.kernel.script(launch))
            self._shown = (index, real)
        self._pending.clear()

    def finish(self) -> float:
        if self.kernel.finish_waits:
            self._work()
        return 0.0

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        if self.kernel.read_waits:
            self._work()
        if self._shown is None:
            return np.zeros((len(rows), len(columns)))
        index, real = self._shown
        left, right = _pools(self.workload, real)
        block = left[operands.offsets(self.workload)[index] + rows] @ right[:, columns]
        return operands.round_to(block.astype(np.float64), self.workload.form.out)

    def close(self) -> None:
        self.kernel.live -= 1
        self.kernel.events.append("close")


# -------------------------------------------------------------------------------- rows, loop, device


class Watcher:
    """A Progress that writes down the phases and does what it was told to at one of them."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, str, int]] = []
        self.when: dict[tuple[str, int], Callable[[], None]] = {}

    def phase(self, row: Row, phase: str, visit: int) -> None:
        self.phases.append((row.workload.row, phase, visit))
        self.when.get((phase, visit), lambda: None)()

    def rate(self, row: Row, ops_per_s: float) -> None: ...


def workload(
    form: Form = FP32, *, shape: Shape = SMALL, kernel: str = "scripted", seed: str = SEED
) -> Workload:
    return Workload(
        device="cpu", kernel=kernel, backend=kernel, operation="gemm", form=form, shape=shape, seed=seed
    )


def row(
    kernel: ScriptedKernel,
    form: Form = FP32,
    *,
    ladder: Sequence[Shape] = (SMALL,),
    refinement: Refinement | None = None,
) -> Row:
    chosen = workload(form, shape=ladder[0], kernel=kernel.name)
    return Row(
        workload=chosen,
        kernel=kernel,
        ladder=tuple(ladder),
        device=device(),
        threads=2,
        refinement=refinement,
    )


def schedule(**changes: int | float) -> Schedule:
    """Samples of 1 ms, settling in 8 to 40 ms, windows of 16 ms, five visits, 1 s in all."""
    values: dict[str, int | float] = {
        "visits": 5,
        "sample_ns": MS,
        "settle_least_ns": 8 * MS,
        "settle_most_ns": 40 * MS,
        "window_ns": 16 * MS,
        "launch_most_ns": 2 * MS,
        "probe_ns": MS,
        "refine_ns": 1000 * MS,
        "limit_ns": 1000 * MS,
        "hold_ns": 0,
        "half_width": 0.01,
    }
    return Schedule(**(values | changes))  # type: ignore[arg-type]


def loop(clock: ScriptedClock, watcher: Watcher | None = None, **changes: int | float) -> Loop:
    return Loop(
        clock=clock,
        schedule=schedule(**changes),
        room=1 << 40,
        progress=watcher or Watcher(),
        after_visit=lambda _schedule: None,
        origin_ns=clock.host_ns(),
    )


def telemetry(*readings: Reading) -> Telemetry:
    """What was read, without sensors and without a meter."""
    return Telemetry(origin_unix_us=0, period_ns=100 * MS, readings=readings, sensors=(), meter=None)


def device(*, threads: int = 2, cpus: int = 2, selector: str = "cpu") -> Device:
    return Device(
        selector=selector,
        family="cpu",
        kind="cpu",
        name="Scripted processor",
        vendor=None,
        facts=(
            Fact(name="threads-usable", value=threads, source="script"),
            Fact(name="threads-affinity", value=cpus, source="script"),
            Fact(name="logical-cpus", value=cpus, source="script"),
        ),
    )


def run_rows(the_loop: Loop, rows: list[Row], *, hold: Sequence[Row] | None = None) -> None:
    """All parts of a run, as `bench run` takes them, without pacing; all rows are held if any is to be."""
    the_loop.open(rows)
    the_loop.visit(rows)
    if the_loop.schedule.hold_ns:
        the_loop.hold(rows if hold is None else hold)
