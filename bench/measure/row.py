"""A row in progress: its prepared workload, and what has been collected. The loop's only mutable state."""

from dataclasses import dataclass, field

import numpy as np

from bench.errors import CannotMeasure
from bench.terms import (
    Admission,
    Check,
    Cost,
    Device,
    Finding,
    Measurement,
    Shape,
    Status,
    Trial,
    Visit,
    Workload,
)
from bench.workload import accuracy, opcount, openings, operands, sampling
from bench.workload.accuracy import Outputs, Tally
from bench.workload.kernel import Kernel, Prepared
from bench.workload.ladder import Refinement

# What a backend raises when it refuses or a launch fails; the other rows go on.
BACKEND_ERRORS = (CannotMeasure, RuntimeError, MemoryError)
# Characters of a backend's own words that are kept.
_DETAIL = 400


@dataclass(slots=True, kw_only=True)
class Row:
    """One row. `shape` candidates come from the ladder; `workload` holds the one that was chosen."""

    workload: Workload
    kernel: Kernel
    ladder: tuple[Shape, ...]
    device: Device
    threads: int
    refinement: Refinement | None = None
    prepared: Prepared | None = None
    launch_ns: float = 0.0
    next_sample: int = 0
    next_launch: int = 0
    offsets: tuple[int, ...] = ()
    tried: tuple[Trial, ...] = ()
    before: Check | None = None
    probe: Check | None = None
    admission: Admission | None = None
    visits: list[Visit] = field(default_factory=list)
    alone: Visit | None = None
    held: Visit | None = None
    timed: Tally = field(default_factory=Tally)
    committed: dict[int, list[bytes]] = field(default_factory=dict)
    ended: str = "not-started"
    findings: list[Finding] = field(default_factory=list)

    @property
    def ops(self) -> int:
        return opcount.ops(self.workload.shape)

    @property
    def cost(self) -> Cost:
        return opcount.cost(self.workload.shape, self.workload.form)

    @property
    def least_launches(self) -> int:
        """In one sample. Of the runs that a runner is asked for at once the last is the one whose output it
        could have kept: with eight it gains an eighth at most.
        """
        return 8 if self.device.family == "runner" else 1

    @property
    def stays(self) -> int:
        """How many windows have ended, held ones aside: the number of the one at hand."""
        return len(self.visits) + (self.alone is not None)

    def refuse(self, code: str, detail: str, *, status: Status = "failure") -> None:
        """End the row without a figure; the reason, with the words of whoever refused, is its finding."""
        numbers = {"detail": detail[:_DETAIL]}
        self.findings.append(Finding(subject=self.workload.row, status=status, code=code, numbers=numbers))
        self.ended = "refused"
        self.close()

    def close(self) -> None:
        if self.prepared is not None:
            self.prepared.close()
            self.prepared = None

    def commit(self) -> None:
        """Keep the digests of the output rows that lie there now, the last launch's of the window at hand.

        Those of the first window and of the latest stay: the two ends of what was timed.
        """
        assert self.prepared is not None
        first = {stay: rows for stay, rows in self.committed.items() if stay == min(self.committed)}
        self.committed = {**first, self.stays: openings.leaves(self.workload, self.prepared.outputs)}

    def measurement(self) -> Measurement:
        return Measurement(
            workload=self.workload,
            cost=self.cost,
            tried=self.tried,
            before=self.before,
            probe=self.probe,
            admission=self.admission,
            visits=tuple(self.visits),
            alone=self.alone,
            held=self.held,
            timed=self.timed.check() if self.timed.launches else None,
            ended=self.ended,
            findings=tuple(self.findings),
        )


def prepare(row: Row, workload: Workload, *, real: bool) -> Prepared:
    return row.kernel.prepare(workload, row.device, threads=row.threads, real=real)


def read(prepared: Prepared, place: accuracy.Place) -> Outputs:
    return Outputs(place=place, values=prepared.outputs(np.array(place.rows), np.array(place.columns)))


def _run_checked(
    prepared: Prepared, workload: Workload, purpose: str, *, launches: int, real: bool, size: int
) -> Tally:
    """Launch untimed, at other operands each time, and hold every launch's outputs against the right ones."""
    total = Tally()
    for index in range(launches):
        prepared.launch(index, real=real)
        prepared.finish()
        place = sampling.untimed_place(workload, purpose, index, real=real, size=size)
        total += accuracy.tally(workload, read(prepared, place))
    return total


def check(row: Row) -> None:
    """Phase 2: a prepared workload whose outputs are wrong has no time, and the row ends here.

    Of a deep graph a single layer is held against the exact result, and the whole by its error.

    A convolution that is inexact but errs no more than its precision does has used a fast algorithm
    (Winograd, FFT): it goes on, and never counts.
    """
    assert row.prepared is not None
    workload, size = row.workload, sampling.BEFORE
    launches = sampling.BEFORE_LAUNCHES
    if operands.is_deep(workload):
        layer = sampling.exact_workload(workload)
        prepared = prepare(row, layer, real=False)
        try:
            total = _run_checked(prepared, layer, "before", launches=launches, real=False, size=size)
        finally:
            prepared.close()
    else:
        total = _run_checked(row.prepared, workload, "before", launches=launches, real=False, size=size)
    if operands.has_reals(workload):
        total += _run_checked(row.prepared, workload, "before", launches=launches, real=True, size=size)
    row.before = total.check()
    if not accuracy.right(workload, row.before) and not accuracy.fast_algorithm(workload, row.before):
        row.ended = "wrong-outputs"
        row.close()


def probe_arithmetic(row: Row) -> None:
    """Run the untimed probe whose errors name the arithmetic that the kernel really computes in."""
    workload = sampling.probe_workload(row.workload)
    real = operands.has_reals(workload)
    prepared = prepare(row, workload, real=real)
    try:
        row.probe = _run_checked(
            prepared, workload, "probe", launches=1, real=real, size=sampling.PROBE
        ).check()
    finally:
        prepared.close()
