"""Which shape of the ladder a row is measured at: each is probed shortly, the fastest is taken.

The guard comes first: a shape whose launch would take too long, or whose operands do not fit, is not
tried, and the evidence says so.
"""

from collections.abc import Callable
from contextlib import suppress
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

_LEAST_LAUNCHES = 2
# So many of the fastest shapes are probed once more: one probe may have met a disturbance.
_AGAIN = 3
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
    predicted_ns = opcount.ops(shape) * NS_PER_S / best if best else 0.0
    if predicted_ns > schedule.launch_most_ns:
        return "too-slow"
    return "no-memory" if bytes_needed(replace(row.workload, shape=shape)) > room else None


def search(row: Row, clock: Clock, schedule: Schedule, room: int, tell: Callable[[float], None]) -> None:
    """Try the ladder from its smallest shape on; leaves the fastest in `row.workload` and all in `row.tried`.

    The fastest few are probed twice, and each shape's better probe stands. Refuses the row where no
    shape runs. `tell(ops_per_s)` hears of each probe.
    """
    tried: dict[Shape, Trial] = {}
    refusal = "no shape of the ladder fits"

    def rate_of(shape: Shape) -> float:
        ns = _launch_ns(row, replace(row.workload, shape=shape), clock, schedule)
        rate = float(f"{opcount.ops(shape) * NS_PER_S / ns:.6g}")
        tell(rate)
        return rate

    for shape in sorted(row.ladder, key=opcount.ops):
        best = max((trial.ops_per_s or 0.0 for trial in tried.values()), default=0.0)
        reason = _guarded(row, shape, best, schedule, room)
        try:
            rate = rate_of(shape) if reason is None else None
        except rows.BACKEND_ERRORS as error:
            rate, reason, refusal = None, "refused", str(error)
        tried[shape] = Trial(shape=shape, ops_per_s=rate, reason=reason)
    for shape, rate in _fastest(tried)[:_AGAIN]:
        # A probe that fails now leaves the first one standing.
        with suppress(*rows.BACKEND_ERRORS):
            tried[shape] = Trial(shape=shape, ops_per_s=max(rate, rate_of(shape)))
    row.tried = tuple(tried.values())
    if not _fastest(tried):
        row.refuse("no-shape-runs", refusal)
        return
    shape, rate = _fastest(tried)[0]
    row.workload, row.launch_ns = replace(row.workload, shape=shape), opcount.ops(shape) * NS_PER_S / rate


def _fastest(tried: dict[Shape, Trial]) -> list[tuple[Shape, float]]:
    """Shapes with their rates, the fastest first."""
    rated = [(trial.shape, trial.ops_per_s) for trial in tried.values() if trial.ops_per_s]
    return sorted(rated, key=lambda pair: -pair[1])
