"""The phases of one measurement, and their order through a run.

    open     search for the best shape, prepare it, check its outputs, probe its arithmetic
    visit    settle until the rate stands still, measure one window, check its outputs; all samples are kept
    alone    where several devices are measured: one more visit to one of them, while the others wait
    hold     settle once more, then one long window without a pause
    close    release the operands

Rows are opened one after the other and then visited in turn, at least five times each, so that every
row meets the machine in several of its states. Nothing here knows a backend or a device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.devices.clock import Clock, together
from bench.errors import CannotMeasure, NotAdmitted
from bench.measure import admission, search, stats, stopping
from bench.measure import row as rows
from bench.measure.row import Row
from bench.precision import precision
from bench.terms import Sample, Schedule, Visit
from bench.workload import accuracy, operands, sampling
from bench.workload.accuracy import Outputs


class Progress(Protocol):
    """Whoever watches: told of every phase and of the current rate, never asked."""

    def phase(self, row: Row, phase: str, visit: int) -> None: ...

    def rate(self, row: Row, ops_per_s: float) -> None: ...


@dataclass(slots=True, kw_only=True)
class _Window:
    """A visit while it goes on."""

    settle: list[Sample] = field(default_factory=list)
    settle_ended: str = "interrupted"
    samples: list[Sample] = field(default_factory=list)
    device_ns: list[int] = field(default_factory=list)
    clocks_hz: tuple[int, ...] = ()
    seen: list[Outputs] = field(default_factory=list)
    ended: str = "backend-failed"

    def visit(self) -> Visit:
        return Visit(
            settle=tuple(self.settle),
            settle_ended=self.settle_ended,
            samples=tuple(self.samples),
            device_ns=tuple(self.device_ns),
            clocks_hz=self.clocks_hz,
            ended=self.ended,
        )


@dataclass(slots=True, kw_only=True)
class Loop:
    """Runs rows on one device. `after_visit` is called with nothing being timed (saving).

    `read_clocks` gives the clock in Hz of each core in use; it is called when a window has just ended, and
    `begin_clocks` when it begins, for a clock that is counted over the window.
    Samples count their time from `origin_ns`, the schedule's limit from `begun_ns`. With `commits` the output
    of each window's last launch is committed, where that ran on exact operands.
    """

    clock: Clock
    schedule: Schedule
    room: int
    progress: Progress
    after_visit: Callable[[Schedule], None]
    begin_clocks: Callable[[], None] = lambda: None
    read_clocks: Callable[[], tuple[int, ...]] = lambda: ()
    origin_ns: int = field(default=0)
    begun_ns: int = field(default=0)
    commits: bool = False

    def open(self, all_rows: list[Row]) -> None:
        """Open every row that the plan has not refused. KeyboardInterrupt passes through."""
        share = self.room // max(1, sum(row.ended == "not-started" for row in all_rows))
        best: dict[tuple[str, str], float] = {}
        for row in all_rows:
            if row.ended == "not-started":
                same = row.workload.device, row.workload.precision
                self._open(row, share, best.get(same, 0.0))
                fastest = search.fastest(row.tried)
                if fastest is not None and _may_count(row):
                    best[same] = max(best.get(same, 0.0), fastest.ops_per_s[0])

    def _examined(self, row: Row) -> bool:
        """Whether the provider takes the row's form at all: many forms are tried, and few are taken."""
        self.progress.phase(row, "admit", 0)
        try:
            admission.examine(row, row.workload)
        except NotAdmitted as error:
            row.refuse(error.code, str(error), status="info")
        except CannotMeasure as error:
            row.refuse("backend-refused", str(error), status="info")
        return row.ended != "refused"

    def visit(self, all_rows: list[Row]) -> None:
        """Visit the opened rows in turn until each has enough. KeyboardInterrupt passes through."""
        while waiting := [row for row in all_rows if row.ended == "measuring"]:
            for row in waiting:
                # Those before it in this round may have used the time up.
                self._conclude(row)
                if row.ended != "measuring":
                    continue
                try:
                    self._visit(row)
                except NotAdmitted as error:
                    row.refuse(error.code, str(error))
                except rows.BACKEND_ERRORS as error:
                    row.refuse("backend-failed", str(error))
                else:
                    self._conclude(row)
                self.after_visit(self.schedule)

    def hold(self, chosen: Sequence[Row]) -> None:
        """Keep each of these rows under load for the schedule's hold_ns."""
        for row in chosen:
            try:
                self._hold(row)
            except NotAdmitted as error:
                row.refuse(error.code, str(error))
            except rows.BACKEND_ERRORS as error:
                row.refuse("backend-failed", str(error))
            self.after_visit(self.schedule)

    def alone(self, chosen: Sequence[Row]) -> None:
        """Visit each of these rows once more, while no other device of the system works."""
        for row in chosen:
            try:
                self._alone(row)
            except NotAdmitted as error:
                row.refuse(error.code, str(error))
            except rows.BACKEND_ERRORS as error:
                row.refuse("backend-failed", str(error))
            self.after_visit(self.schedule)

    def close(self, all_rows: list[Row]) -> None:
        """Release all operands; a row that still wanted visits was interrupted."""
        for row in all_rows:
            if row.ended in ("measuring", "not-started"):
                row.ended = "interrupted"
            row.close()

    def _open(self, row: Row, room: int, best_so_far: float) -> None:
        def tell(rate: float) -> None:
            self.progress.rate(row, rate)

        try:
            if row.device.takes_graphs and not self._examined(row):
                return
            self.progress.phase(row, "search", 0)
            search.search(row, self.clock, self.schedule, room, tell, best_so_far=best_so_far)
            if row.ended == "refused":
                return
            self.progress.phase(row, "check", 0)
            row.prepared = rows.prepare(row, row.workload, real=operands.has_reals(row.workload))
            row.offsets = operands.offsets(row.workload)
            rows.check(row)
            # Also of a row that ends here: what it computes in is most often why its outputs are wrong.
            rows.probe_arithmetic(row)
            if row.ended == "wrong-outputs":
                return
            if row.device.takes_graphs:
                self.progress.phase(row, "admit", 0)
                row.admission = admission.measure(row, self.clock)
            row.ended = "measuring"
        except NotAdmitted as error:
            row.refuse(error.code, str(error))
        except CannotMeasure as error:
            row.refuse("backend-refused", str(error))
        except rows.BACKEND_ERRORS as error:
            row.refuse("backend-failed", str(error))

    def _visit(self, row: Row) -> None:
        window = _Window()
        try:
            self._stay(row, window, self.schedule, "measure", len(row.visits) + 1)
        finally:
            if window.settle or window.samples:
                row.visits.append(window.visit())

    def _alone(self, row: Row) -> None:
        window = _Window()
        try:
            self._stay(row, window, self.schedule, "alone")
        finally:
            if window.settle or window.samples:
                row.alone = window.visit()

    def _hold(self, row: Row) -> None:
        """One long window, after a longer settling; what is whole of it stays when it is interrupted."""
        window = _Window()
        try:
            self._stay(row, window, stopping.held(self.schedule), "hold")
        finally:
            if window.settle or window.samples:
                row.held = window.visit()

    def _stay(self, row: Row, window: _Window, schedule: Schedule, phase: str, number: int = 0) -> None:
        """Settle and measure one window. An interrupt keeps the samples that are whole, then goes on up."""
        try:
            self.progress.phase(row, "settle", number)
            window.settle_ended = self._settle(row, window.settle, schedule)
            self.progress.phase(row, phase, number)
            self.begin_clocks()
            self._measure(row, window, schedule)
            window.clocks_hz = self.read_clocks()
            if self.commits and not window.samples[-1].real:
                row.commit()
            window.ended = "window-full"
        except KeyboardInterrupt:
            window.ended = "interrupted"
            raise
        finally:
            _compare(row, window.seen)

    def _settle(self, row: Row, settle: list[Sample], schedule: Schedule) -> str:
        while True:
            settle.append(self._sample(row, self.schedule, real=False)[0])
            # The launch time of a settled device, not the search's first guess, sets the batch.
            row.launch_ns = settle[-1].host_ns / settle[-1].launches
            reason = stopping.settled(settle, row.ops, schedule)
            if reason is not None:
                return reason

    def _measure(self, row: Row, window: _Window, schedule: Schedule) -> None:
        elapsed, samples = 0, window.samples
        # Enough samples, however slow they are, that one of them runs on real-valued operands.
        while elapsed < schedule.window_ns or len(samples) < stopping.LEAST_SAMPLES:
            real = sampling.runs_on_reals(row.workload, row.stays, len(samples))
            sample, outputs = self._sample(row, schedule, real=real)
            samples.append(sample)
            window.seen.append(outputs)
            assert row.prepared is not None
            device_ns = row.prepared.device_ns()
            if device_ns is not None:
                window.device_ns.append(device_ns)
            elapsed += sample.host_ns
            self.progress.rate(row, stats.rate([sample], row.ops))

    def _sample(self, row: Row, schedule: Schedule, *, real: bool) -> tuple[Sample, Outputs]:
        """Time one batch of launches, each on other operands than the one before it.

        The outputs that are checked are read before the clock stops: a backend that says it has
        finished while work is pending either waits there, and is timed, or hands out a wrong result.
        """
        assert row.prepared is not None
        launch, finish = row.prepared.launch, row.prepared.finish
        launches = max(row.least_launches, stopping.launches_per_sample(row.launch_ns, schedule))
        order = [(row.next_launch + i) % operands.OFFSETS for i in range(launches)]
        place = sampling.timed_place(row.workload, row.next_sample, offset=row.offsets[order[-1]], real=real)
        begun = together(self.clock)
        row.prepared.mark()
        for index in order:
            launch(index, real=real)
        finish()
        outputs = rows.read(row.prepared, place)
        ended = together(self.clock)
        if ended.host_ns <= begun.host_ns:
            raise CannotMeasure("the host's clock stood still during a sample.")
        row.next_sample += 1
        # An odd step takes the samples' last launches, which are looked at, through all offsets.
        row.next_launch += launches | 1
        sample = Sample(
            start_ns=begun.host_ns - self.origin_ns,
            host_ns=ended.host_ns - begun.host_ns,
            raw_ns=ended.raw_ns - begun.raw_ns,
            cpu_ns=ended.cpu_ns - begun.cpu_ns,
            launches=launches,
            real=int(real),
        )
        return sample, outputs

    def _conclude(self, row: Row) -> None:
        """Say why the row ends, if it does."""
        unit = precision(row.workload.precision).unit
        estimate = stats.mean_rate(row.visits, row.ops, unit, real_only=False)
        visit_ns = self.schedule.window_ns + self.schedule.settle_least_ns
        elapsed = self.clock.host_ns() - max(self.origin_ns, self.begun_ns)
        reason = stopping.enough(len(row.visits), estimate, self.schedule, elapsed, visit_ns)
        if reason is not None:
            row.ended = reason


def _may_count(row: Row) -> bool:
    """Whether the row may set the pace for others of its precision: it was right, by the direct algorithm."""
    right = row.ended == "measuring" and row.before is not None and accuracy.right(row.workload, row.before)
    form = row.workload.form
    return right and form.operand_set == row.workload.precision and not form.sparse


def _compare(row: Row, seen: Sequence[Outputs]) -> None:
    """Compare a window's outputs. An interrupt waits for all of them: samples without a look are refused."""
    interrupt: KeyboardInterrupt | None = None
    for outputs in seen:
        found = None
        while found is None:
            try:
                found = accuracy.tally(row.workload, outputs)
            except KeyboardInterrupt as stop:
                interrupt = stop
        row.timed += found
    if interrupt is not None:
        raise interrupt
