"""Which shape a row is measured at: the ladder is climbed, its best rung refined, the fastest few run off.

    climb    every rung of the ladder, one short probe each
    refine   each dimension of the best shape varied alone, as many as the row's share of the time allows
    run off  the fastest four in probes of twice the length, then three of them in twice that, in turn

The guard comes first: a shape whose launch would take too long, or whose operands do not fit, is not
tried, and the evidence says so. From the first rates in the evidence everything here follows again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from bench.devices.clock import Clock
from bench.errors import CannotMeasure, NotAdmitted
from bench.measure import row as rows
from bench.measure.row import Row
from bench.terms import Family, Schedule, Shape, Trial, Workload
from bench.units import NS_PER_S
from bench.workload import opcount, operands
from bench.workload.kernel import Prepared
from bench.workload.ladder import Refinement

_LEAST_LAUNCHES = 2
# CUDA's queue takes about so many launches before it makes the host wait.
_MOST_QUEUED = 1000
# So many shapes enter each round of the run-off; its probes are twice as long from round to round.
RUN_OFF = (4, 3)
# A row whose best rung is slower than this share of the best rate of its precision so far is not refined:
# no variation of a shape makes up for it, and the time is better spent on the others.
_FAR_BEHIND = 0.7
# Operands lie in memory up to three times: as drawn, as the backend's, and packed by the backend; an
# exact and a real-valued set of each. In a GPU's own memory they are drawn where they stay: two sets, and
# room for a sparse operand's few compressed forms.
_COPIES, _COPIES_ON_GPU = 6, 3


def bytes_needed(workload: Workload, family: Family = "cpu") -> int:
    """Memory that a prepared workload takes at most, in bytes: the host's, or a GPU's own."""
    copies = _COPIES_ON_GPU if family == "cuda" else _COPIES
    return copies * opcount.cost(workload.shape, workload.form).bytes


# ------------------------------------------------------------------------- what follows from the rates


def fastest(tried: Sequence[Trial]) -> Trial | None:
    """The trial whose first rate is the highest; None where nothing ran."""
    return max((t for t in tried if t.ops_per_s), key=lambda t: t.ops_per_s[0], default=None)


def standing(trial: Trial) -> float:
    """What a shape's probes say together: the median of three, the better of two.

    A neighbour's load slows one probe in some, which must not decide; a lucky one must not either.
    """
    return sorted(trial.ops_per_s)[len(trial.ops_per_s) // 2]


def chosen(tried: Sequence[Trial]) -> Trial | None:
    """The shape to measure: the one that stands best of those that went furthest in the run-off."""
    ran = [trial for trial in tried if trial.ops_per_s]
    return max(ran, key=lambda trial: (len(trial.ops_per_s), standing(trial)), default=None)


def entrants(tried: Sequence[Trial], number: int) -> list[Trial]:
    """Who may enter round `number` of the run-off (from 0): who stands best after the round before it."""
    before = [replace(t, ops_per_s=t.ops_per_s[: number + 1]) for t in tried if len(t.ops_per_s) > number]
    return sorted(before, key=standing, reverse=True)[: RUN_OFF[number]]


def follows(rungs: Sequence[Shape], refinement: Refinement, tried: Sequence[Trial]) -> bool:
    """Whether a search can have tried these shapes in this order and let these into its run-off."""
    climbed = [trial for trial in tried if trial.round == 0]
    if not _climbs(rungs, climbed, refinement.idle_rungs):
        return False
    so_far = climbed
    for number in range(1, len(refinement.rounds) + 1):
        refined = [trial.shape for trial in tried if trial.round == number]
        expected = _around(so_far, refinement, number)
        if refined != expected[: len(refined)]:
            return False
        so_far = [trial for trial in tried if trial.round <= number]
        if len(refined) < len(expected):
            # The time was over, and no later round began.
            break
    return so_far == list(tried) and all(map(_is_fair, _rounds(tried)))


def _climbs(rungs: Sequence[Shape], climbed: Sequence[Trial], idle_rungs: int | None) -> bool:
    """Whether these are the rungs in their order, up to where climbing ends and no further."""
    if [trial.shape for trial in climbed] != list(rungs[: len(climbed)]):
        return False
    before_last = any(at_top(climbed[:n], idle_rungs) for n in range(len(climbed)))
    return not before_last and (len(climbed) == len(rungs) or at_top(climbed, idle_rungs))


def at_top(climbed: Sequence[Trial], idle_rungs: int | None) -> bool:
    """Whether so many rungs in a row have brought no higher rate than a rung before them."""
    best = fastest(climbed)
    if idle_rungs is None or best is None:
        return False
    return len(climbed) - 1 - climbed.index(best) >= idle_rungs


def _around(tried: Sequence[Trial], refinement: Refinement, number: int) -> list[Shape]:
    best = fastest(tried)
    known = {trial.shape for trial in tried}
    found = refinement.neighbours(best.shape, number) if best else ()
    return [shape for shape in found if shape not in known]


def _rounds(tried: Sequence[Trial]) -> Iterator[tuple[set[Shape], set[Shape]]]:
    """For each round of the run-off those who may have entered it, and those who did."""
    for number in range(len(RUN_OFF)):
        entered = [trial for trial in tried if len(trial.ops_per_s) > number + 1]
        yield {trial.shape for trial in entrants(tried, number)}, {trial.shape for trial in entered}


def _is_fair(round_: tuple[set[Shape], set[Shape]]) -> bool:
    """Nobody entered who may not; a probe that failed leaves one out."""
    may, did = round_
    return did <= may


# ------------------------------------------------------------------------------------------ probing


def _probe(prepared: Prepared, clock: Clock, probe_ns: int, *, queued: bool) -> float:
    """Nanoseconds of one launch: after one untimed launch, as many as fit the probe's time.

    A device that queues launches gets all that the rest of the time holds at once: waiting for each would
    take small shapes tens of percent, and large ones one.
    """
    prepared.launch(0, real=False)
    prepared.finish()
    begun, launches, together, spent = clock.host_ns(), 0, 1, 0
    while launches < _LEAST_LAUNCHES or spent < probe_ns:
        for _ in range(together):
            launches += 1
            prepared.launch(launches % operands.OFFSETS, real=False)
        prepared.finish()
        spent = clock.host_ns() - begun
        if launches > _LEAST_LAUNCHES and spent <= 0:
            raise CannotMeasure(f"the host's clock stood still during {launches} launches.")
        if queued and spent > 0:
            together = min(_MOST_QUEUED, max(1, (probe_ns - spent) * launches // spent))
    return spent / launches


@dataclass(slots=True, kw_only=True)
class _Search:
    row: Row
    clock: Clock
    schedule: Schedule
    room: int
    tell: Callable[[float], None]
    tried: dict[Shape, Trial] = field(default_factory=dict)
    code: str = "no-shape-runs"
    refusal: str = "no shape of the ladder fits"

    def trials(self) -> list[Trial]:
        return list(self.tried.values())

    def in_time(self) -> bool:
        """Whether refining has time left; the ladder is climbed whatever it takes."""
        return sum(trial.spent_ns for trial in self.trials() if trial.round) < self.schedule.refine_ns

    def _rate(self, shape: Shape, probe_ns: int) -> float:
        prepared = rows.prepare(self.row, replace(self.row.workload, shape=shape), real=False)
        try:
            ns = _probe(prepared, self.clock, probe_ns, queued=self.row.device.queues_launches)
        finally:
            prepared.close()
        rate = float(f"{opcount.ops(shape) * NS_PER_S / ns:.6g}")
        self.tell(rate)
        return rate

    def attempt(self, shape: Shape, number: int) -> None:
        """A shape's first probe, or the reason why it is not made."""
        begun = self.clock.host_ns()
        reason = self._guarded(shape)
        rates: tuple[float, ...] = ()
        if reason is None:
            try:
                rates = (self._rate(shape, self.schedule.probe_ns),)
            except MemoryError as error:
                # What was predicted to fit did not: smaller shapes, and what refinement makes of them, go on.
                reason, self.refusal = "no-memory", str(error) or self.refusal
            except rows.BACKEND_ERRORS as error:
                reason, self.refusal = "refused", str(error)
                self.code = error.code if isinstance(error, NotAdmitted) else self.code
        spent = self.clock.host_ns() - begun
        self.tried[shape] = Trial(
            shape=shape, round=number, ops_per_s=rates, spent_ns=max(0, spent), reason=reason
        )

    def again(self, trial: Trial, probe_ns: int) -> None:
        """One more probe; one that fails now leaves the earlier ones standing."""
        begun = self.clock.host_ns()
        rates = trial.ops_per_s
        with suppress(*rows.BACKEND_ERRORS):
            rates = (*rates, self._rate(trial.shape, probe_ns))
        spent = trial.spent_ns + max(0, self.clock.host_ns() - begun)
        self.tried[trial.shape] = replace(trial, ops_per_s=rates, spent_ns=spent)

    def _guarded(self, shape: Shape) -> str | None:
        """Why a shape is not tried, or None: its time is predicted by the best rate so far."""
        best = fastest(self.trials())
        predicted_ns = opcount.ops(shape) * NS_PER_S / best.ops_per_s[0] if best else 0.0
        if predicted_ns * self.row.least_launches > self.schedule.launch_most_ns:
            return "too-slow"
        need = bytes_needed(replace(self.row.workload, shape=shape), self.row.device.family)
        return "no-memory" if need > self.room else None


def search(
    row: Row,
    clock: Clock,
    schedule: Schedule,
    room: int,
    tell: Callable[[float], None],
    *,
    best_so_far: float = 0.0,
) -> None:
    """Leave the fastest shape in `row.workload` and everything tried in `row.tried`.

    Refuses the row where no shape runs. `tell(ops_per_s)` hears of each probe. `best_so_far` is the best
    rate in op/s that another row of the precision has shown.
    """
    this = _Search(row=row, clock=clock, schedule=schedule, room=room, tell=tell)
    idle_rungs = row.refinement.idle_rungs if row.refinement else None
    for shape in sorted(row.ladder, key=opcount.ops):
        if at_top(this.trials(), idle_rungs):
            break
        this.attempt(shape, 0)
    best = fastest(this.trials())
    if best is not None and best.ops_per_s[0] >= _FAR_BEHIND * best_so_far:
        _refine(this, row.refinement)
        _run_off(this)
    row.tried = tuple(this.trials())
    picked = chosen(row.tried)
    if picked is None:
        row.refuse(this.code, this.refusal)
        return
    row.workload = replace(row.workload, shape=picked.shape)
    row.launch_ns = opcount.ops(picked.shape) * NS_PER_S / standing(picked)


def _refine(this: _Search, refinement: Refinement | None) -> None:
    for number in range(1, len(refinement.rounds) + 1 if refinement else 1):
        assert refinement is not None
        for shape in _around(this.trials(), refinement, number):
            if not this.in_time():
                return
            this.attempt(shape, number)


def _run_off(this: _Search) -> None:
    for number in range(len(RUN_OFF)):
        into = entrants(this.trials(), number)
        if len(into) < 2:
            return
        for trial in into:
            this.again(trial, this.schedule.probe_ns << (number + 1))
