"""The phases of one measurement, and their order through a run.

    open     search the ladder, prepare the best shape, check its outputs, probe its arithmetic
    visit    settle until the rate stands still, measure one window, check its outputs; all samples are kept
    close    release the operands

Rows are opened one after the other and then visited in turn, at least five times each, so that every
row meets the machine in several of its states. Nothing here knows a backend or a device.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bench.devices.clock import Clock, together
from bench.errors import CannotMeasure
from bench.measure import row as rows
from bench.measure import search, stats, stopping
from bench.measure.row import Row
from bench.measure.stopping import Schedule
from bench.precision import precision
from bench.terms import Sample, Visit
from bench.workload import accuracy, operands, sampling
from bench.workload.accuracy import Outputs


class Progress(Protocol):
    """Whoever watches: told of every phase and of the current rate, never asked."""

    def phase(self, row: Row, phase: str, visit: int) -> None: ...

    def rate(self, row: Row, ops_per_s: float) -> None: ...


@dataclass(slots=True, kw_only=True)
class Loop:
    """Runs rows on one device. `after_visit` is called with nothing being timed (telemetry, saving)."""

    clock: Clock
    schedule: Schedule
    room: int
    progress: Progress
    before_visit: Callable[[], None]
    after_visit: Callable[[], None]
    origin_ns: int = field(default=0)

    def open(self, all_rows: list[Row]) -> None:
        """Open every row that the plan has not refused. KeyboardInterrupt passes through."""
        share = self.room // max(1, len(all_rows))
        for row in all_rows:
            if row.ended == "not-started":
                self._open(row, share)

    def visit(self, all_rows: list[Row]) -> None:
        """Visit the opened rows in turn until each has enough. KeyboardInterrupt passes through."""
        while waiting := [row for row in all_rows if row.ended == "measuring"]:
            for row in waiting:
                self.before_visit()
                try:
                    self._visit(row)
                    self._conclude(row)
                except rows.BACKEND_ERRORS as error:
                    row.refuse("backend-failed", str(error))
                self.after_visit()

    def close(self, all_rows: list[Row]) -> None:
        """Release all operands; a row that still wanted visits was interrupted."""
        for row in all_rows:
            if row.ended in ("measuring", "not-started"):
                row.ended = "interrupted"
            row.close()

    def _open(self, row: Row, room: int) -> None:
        try:
            self.progress.phase(row, "search", 0)
            search.search(row, self.clock, self.schedule, room, lambda rate: self.progress.rate(row, rate))
            if row.ended == "refused":
                return
            self.progress.phase(row, "check", 0)
            row.prepared = rows.prepare(row, row.workload, real=operands.has_reals(row.workload))
            row.offsets = operands.offsets(row.workload)
            rows.check(row)
            if row.ended == "wrong-outputs":
                return
            rows.probe_arithmetic(row)
            row.ended = "measuring"
        except CannotMeasure as error:
            row.refuse("backend-refused", str(error))
        except rows.BACKEND_ERRORS as error:
            row.refuse("backend-failed", str(error))

    def _visit(self, row: Row) -> None:
        """Settle and measure one window. An interrupt keeps the samples that are whole, then goes on up."""
        settle: list[Sample] = []
        samples: list[Sample] = []
        seen: list[Outputs] = []
        ended = "backend-failed"
        settle_ended = "interrupted"
        number = len(row.visits) + 1
        try:
            self.progress.phase(row, "settle", number)
            settle_ended = self._settle(row, settle)
            self.progress.phase(row, "measure", number)
            self._window(row, samples, seen)
            ended = "window-full"
        except KeyboardInterrupt:
            ended = "interrupted"
            raise
        finally:
            for outputs in seen:
                row.timed += accuracy.tally(row.workload, outputs)
            if settle or samples:
                row.visits.append(
                    Visit(
                        settle=tuple(settle), settle_ended=settle_ended, samples=tuple(samples), ended=ended
                    )
                )

    def _settle(self, row: Row, settle: list[Sample]) -> str:
        while True:
            settle.append(self._sample(row, real=False)[0])
            # The launch time of a settled device, not the search's first guess, sets the batch.
            row.launch_ns = settle[-1].host_ns / settle[-1].launches
            reason = stopping.settled(settle, row.ops, self.schedule)
            if reason is not None:
                return reason

    def _window(self, row: Row, samples: list[Sample], seen: list[Outputs]) -> None:
        elapsed = 0
        # Enough samples, however slow they are, that one of them runs on real-valued operands.
        while elapsed < self.schedule.window_ns or len(samples) < stopping.LEAST_SAMPLES:
            real = sampling.runs_on_reals(row.workload, len(row.visits), len(samples))
            sample, outputs = self._sample(row, real=real)
            samples.append(sample)
            seen.append(outputs)
            elapsed += sample.host_ns
            self.progress.rate(row, stats.rate([sample], row.ops))

    def _sample(self, row: Row, *, real: bool) -> tuple[Sample, Outputs]:
        """Time one batch of launches, each on other operands than the one before it.

        The outputs that are checked are read before the clock stops: a backend that says it has
        finished while work is pending either waits there, and is timed, or hands out a wrong result.
        """
        assert row.prepared is not None
        launch, finish = row.prepared.launch, row.prepared.finish
        launches = stopping.launches_per_sample(row.launch_ns, self.schedule)
        order = [(row.next_launch + i) % operands.OFFSETS for i in range(launches)]
        place = sampling.timed_place(row.workload, row.next_sample, offset=row.offsets[order[-1]], real=real)
        begun = together(self.clock)
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
        elapsed = self.clock.host_ns() - self.origin_ns
        reason = stopping.enough(len(row.visits), estimate, self.schedule, elapsed, visit_ns)
        if reason is not None:
            row.ended = reason
