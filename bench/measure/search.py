"""Which shape of the ladder a row is measured at: each is probed shortly, the fastest is taken.

The guard comes first: a shape whose launch would take too long, or whose operands do not fit, is not
tried, and the evidence says so.
"""

from collections.abc import Callable
from dataclasses import replace

from bench.devices.clock import Clock
from bench.errors import CannotMeasure
from bench.measure import row as rows
from bench.measure.row import Row
from bench.measure.stopping import Schedule
from bench.terms import Shape, Trial, Workload
from bench.units import NS_PER_S
from bench.workload import opcount, operands
from bench.workload.kernel import Prepared

# A larger shape may run this much slower than the rate seen so far before the guard's estimate of its
# time is wrong; rates usually rise with size, so that the estimate errs on the long side.
_LEAST_LAUNCHES = 2
# Operands lie in memory up to three times: as drawn, as the backend's, and packed by the backend; an
# exact and a real-valued set of each.
_COPIES = 6


def bytes_needed(workload: Workload) -> int:
    """Memory that a prepared workload takes at most, in bytes."""
    return _COPIES * opcount.cost(workload.shape, workload.form).bytes


def _probe(prepared: Prepared, clock: Clock, schedule: Schedule) -> float:
    """Nanoseconds of one launch: after one untimed launch, as many as fit the probe's time."""
    prepared.launch(0, real=False)
    prepared.finish()
    begun, launches = clock.host_ns(), 0
    while launches < _LEAST_LAUNCHES or clock.host_ns() - begun < schedule.probe_ns:
        prepared.launch((launches + 1) % operands.OFFSETS, real=False)
        prepared.finish()
        launches += 1
        if launches > _LEAST_LAUNCHES and clock.host_ns() <= begun:
            raise CannotMeasure(f"the host's clock stood still during {launches} launches.")
    return (clock.host_ns() - begun) / launches


def _launch_ns(row: Row, workload: Workload, clock: Clock, schedule: Schedule) -> float:
    prepared = rows.prepare(row, workload, real=False)
    try:
        return _probe(prepared, clock, schedule)
    finally:
        prepared.close()


def _guarded(row: Row, shape: Shape, best: float, schedule: Schedule, room: int) -> str | None:
    """Why a shape is not tried, or None. `best` is the best rate so far in op/s, 0 before the first."""
    if bytes_needed(replace(row.workload, shape=shape)) > room:
        return "no-memory"
    predicted_ns = opcount.ops(shape) * NS_PER_S / best if best else 0.0
    return "too-slow" if predicted_ns > schedule.launch_most_ns else None


def search(row: Row, clock: Clock, schedule: Schedule, room: int, tell: Callable[[float], None]) -> None:
    """Try the ladder from its smallest shape on; leaves the fastest in `row.workload` and all in `row.tried`.

    Refuses the row where no shape runs. `tell(ops_per_s)` hears of each probe.
    """
    tried: list[Trial] = []
    best, best_ns, refusal = 0.0, 0.0, "no shape of the ladder fits"
    for shape in sorted(row.ladder, key=opcount.ops):
        reason = _guarded(row, shape, best, schedule, room)
        if reason is None:
            workload = replace(row.workload, shape=shape)
            try:
                launch_ns = _launch_ns(row, workload, clock, schedule)
            except rows.BACKEND_ERRORS as error:
                reason, refusal = "refused", str(error)
        if reason is not None:
            tried.append(Trial(shape=shape, ops_per_s=None, reason=reason))
            continue
        rate = opcount.ops(shape) * NS_PER_S / launch_ns
        tell(rate)
        tried.append(Trial(shape=shape, ops_per_s=float(f"{rate:.6g}")))
        if rate > best:
            best, best_ns = rate, launch_ns
            row.workload = replace(row.workload, shape=shape)
    row.tried, row.launch_ns = tuple(tried), best_ns
    if not best:
        row.refuse("no-shape-runs", refusal)
