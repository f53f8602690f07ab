"""A row in progress: its prepared workload, and what has been collected. The loop's only mutable state."""

from dataclasses import dataclass, field, replace

import numpy as np

from bench.errors import CannotMeasure
from bench.terms import (
    Check,
    ConvShape,
    Cost,
    Finding,
    GemmShape,
    Measurement,
    Shape,
    Trial,
    Visit,
    Workload,
)
from bench.workload import accuracy, opcount, operands
from bench.workload.accuracy import Outputs, Tally
from bench.workload.kernel import Kernel, Prepared

# Outputs compared per launch, as a block of n x 2n: before timing, in the untimed probe, and of each
# timed sample on exact and on real-valued operands.
_BEFORE, _PROBE, _TIMED_EXACT, _TIMED_REAL = 8, 16, 2, 3
_BEFORE_LAUNCHES = 3
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
    threads: int
    prepared: Prepared | None = None
    launch_ns: float = 0.0
    next_sample: int = 0
    next_launch: int = 0
    offsets: tuple[int, ...] = ()
    tried: tuple[Trial, ...] = ()
    before: Check | None = None
    probe: Check | None = None
    visits: list[Visit] = field(default_factory=list)
    timed: Tally = field(default_factory=Tally)
    ended: str = "not-started"
    findings: list[Finding] = field(default_factory=list)

    @property
    def ops(self) -> int:
        return opcount.ops(self.workload.shape)

    @property
    def cost(self) -> Cost:
        return opcount.cost(self.workload.shape, self.workload.form)

    def refuse(self, code: str, detail: str) -> None:
        """End the row without a figure; the reason, with the words of whoever refused, is its finding."""
        numbers = {"detail": detail[:_DETAIL]}
        self.findings.append(Finding(subject=self.workload.row, status="failure", code=code, numbers=numbers))
        self.ended = "refused"
        self.close()

    def close(self) -> None:
        if self.prepared is not None:
            self.prepared.close()
            self.prepared = None

    def measurement(self) -> Measurement:
        return Measurement(
            workload=self.workload,
            cost=self.cost,
            tried=self.tried,
            before=self.before,
            probe=self.probe,
            visits=tuple(self.visits),
            timed=self.timed.check() if self.timed.launches else None,
            ended=self.ended,
            findings=tuple(self.findings),
        )


def prepare(row: Row, workload: Workload, *, real: bool) -> Prepared:
    return row.kernel.prepare(workload, threads=row.threads, real=real)


def read(prepared: Prepared, place: accuracy.Place) -> Outputs:
    return Outputs(place=place, values=prepared.outputs(np.array(place.rows), np.array(place.columns)))


def _run_checked(
    prepared: Prepared, workload: Workload, purpose: str, *, launches: int, real: bool, size: int
) -> Tally:
    """Launch untimed, at other operands each time, and hold every launch's outputs against the right ones."""
    offsets = operands.offsets(workload)
    total = Tally()
    for index in range(launches):
        prepared.launch(index, real=real)
        prepared.finish()
        place = accuracy.choose_place(workload, purpose, index, offset=offsets[index], real=real, size=size)
        total += accuracy.tally(workload, read(prepared, place))
    return total


def check(row: Row) -> None:
    """Phase 2: a prepared workload whose outputs are wrong has no time, and the row ends here."""
    assert row.prepared is not None
    workload = row.workload
    total = _run_checked(
        row.prepared, workload, "before", launches=_BEFORE_LAUNCHES, real=False, size=_BEFORE
    )
    row.before = total.check()
    if not accuracy.exact(row.before):
        row.ended = "wrong-outputs"
        row.close()


def probe_workload(workload: Workload) -> Workload:
    """The untimed probe's workload: K = 1024 real-valued operands, or K of 2048 and more same-sign integers.

    256 x 256 outputs, or an 18 x 18 image whose channels give about that K.
    """
    integer = not operands.has_reals(workload)
    form = workload.form
    if integer and not form.requantised and form.operand_set == "int8":
        form = replace(form, operand_set="int8-same-sign")
    shape: Shape
    if workload.operation == "gemm":
        shape = GemmShape(m=256, n=256, k=2048 if integer else 1024)
    else:
        channels = 256 if integer else 112
        shape = ConvShape(batch=1, channels=channels, filters=64, height=18, width=18, kernel=3, padding=0)
    return replace(workload, form=form, shape=shape)


def probe_arithmetic(row: Row) -> None:
    """Run the untimed probe whose errors name the arithmetic that the kernel really computes in."""
    workload = probe_workload(row.workload)
    real = operands.has_reals(workload)
    prepared = prepare(row, workload, real=real)
    try:
        row.probe = _run_checked(prepared, workload, "probe", launches=1, real=real, size=_PROBE).check()
    finally:
        prepared.close()


def timed_place(row: Row, index: int, *, offset: int, real: bool) -> accuracy.Place:
    """Where the index-th timed sample's last launch is looked at."""
    size = _TIMED_REAL if real else _TIMED_EXACT
    return accuracy.choose_place(row.workload, "timed", index, offset=offset, real=real, size=size)


# One timed sample in this many runs on real-valued operands, its place in each group chosen by the nonce.
REAL_SHARE = 8
# Groups of samples in a visit, at most: the visits' groups are numbered apart.
_MOST_GROUPS = 1 << 16


def runs_on_reals(row: Row, visit: int, index: int) -> bool:
    """Whether the index-th measured sample of a visit (both from 0) runs on real-valued operands.

    Groups begin anew with each visit, so that a visit of REAL_SHARE samples has one.
    """
    if not operands.has_reals(row.workload):
        return False
    group = visit * _MOST_GROUPS + index // REAL_SHARE
    return operands.random_below(row.workload, "real", group, (REAL_SHARE,))[0] == index % REAL_SHARE
