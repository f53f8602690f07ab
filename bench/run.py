"""The use case of `bench run`: plan, measure, judge, sign, save. Nothing later writes to anything earlier.

What has been measured is saved between visits, so that a power cut loses little of it, and an interrupt
nothing.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from bench.core_clock import CoreClock
from bench.devices import cpu, host, inspect, power_log
from bench.devices.clock import Clock
from bench.devices.cuda_telemetry import cuda_probes
from bench.devices.telemetry import Recorder, host_probes
from bench.errors import BenchError, CannotMeasure, Interrupted, RankLost
from bench.evidence import envelope, harness, statement
from bench.evidence.challenge import Posed
from bench.evidence.destination import Destination
from bench.evidence.keys import SigningKey
from bench.judge.ceiling import NO_CLOCK
from bench.judge.conclusion import Observed, conclude, profile_digests
from bench.judge.delivered import deliver
from bench.measure import diagnostics, loop, stopping
from bench.measure.loop import Loop
from bench.measure.row import Row
from bench.plan import Plan, PlannedRow
from bench.precision import PRECISIONS
from bench.terms import (
    Diagnostic,
    Digest,
    Envelope,
    Evidence,
    Fact,
    Harness,
    Inspection,
    Meter,
    Opening,
    Rank,
    Schedule,
    Transfer,
)
from bench.units import NS_PER_S
from bench.workload import openings, registry, traffic
from bench.workload.kernel import Kernel

# Seconds after which the next visit that ends is followed by a save: what a power cut can lose, but for the
# search at the beginning and the one long window of a row that is held.
_SAVE_EVERY_S = 10
# How long the wall meter's log is waited for when the run has ended.
_METER_NS = 3 * NS_PER_S
# What the bandwidth kernel may take, and each diagnosed row.
_MEMORY_NS = 8 * NS_PER_S
_DIAGNOSIS_NS = 5 * NS_PER_S // 4


class Company(Protocol):
    """The other ranks of a system, each with a device of its own, and the way to them."""

    @property
    def rank(self) -> Rank: ...

    def meet(self, where: str, said: Sequence[str] = ()) -> list[list[str]]:
        """Wait until all ranks are here; what each said. Raises RankLost."""

    def exchange(self, phase: Literal["before", "after"], now_ns: Callable[[], int]) -> None:
        """Hold this rank's time against rank 0's."""


class Progress(loop.Progress, Protocol):
    """Whoever watches a run: told of what belongs to no row, too."""

    def stage(self, words: str) -> None: ...


@dataclass(slots=True, kw_only=True)
class Run:
    """One run in progress. `progress` watches it; `key` signs what is saved.

    `hold` is called when measuring is over: until the file is written nothing may interrupt. `unread` says
    afterwards why the wall meter's log (`power_log`), or the telemetry's last reading, told nothing. With
    `company` all ranks hold their best rows at once. `signed` is what was saved last.
    """

    plan: Plan
    key: SigningKey
    to: Destination
    clock: Clock
    progress: Progress
    power_log: Path | None = None
    look_up: Callable[[str], Kernel] = registry.kernel
    hold: Callable[[], None] = lambda: None
    company: Company | None = None
    unread: BenchError | None = None
    signed: Envelope | None = None
    _rows: list[Row] = field(default_factory=list)
    _memory: list[Transfer] = field(default_factory=list)
    _diagnostics: list[Diagnostic] = field(default_factory=list)
    _origin_ns: int = 0
    _saved_ns: int = 0
    _save_ns: int = 0
    _created: str = ""
    _harness: Harness | None = None
    _system: tuple[Fact, ...] = ()
    _core_clock: CoreClock = field(default_factory=lambda: CoreClock(fact=NO_CLOCK))
    _recorder: Recorder | None = None
    _openings: tuple[Opening, ...] = ()
    _inspection: Inspection = field(default_factory=lambda: Inspection(facts=(), libraries=()))

    def __call__(self) -> tuple[Path, Evidence, Envelope]:
        """Measure everything; returns where the evidence lies, and the evidence.

        Raises Interrupted, after saving, when the operator stopped it; any other error that ends the
        measuring goes up after saving too, with a note of where.
        """
        gpus = [device for device in self.plan.devices if device.family == "cuda"]
        self._created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._harness, self._system = harness.describe(), host.system()
        self._inspection = Inspection(facts=inspect.facts(), libraries=())
        self._rows = [self._live(planned) for planned in self.plan.rows]
        self._core_clock = CoreClock.of(self.plan.devices)
        self._origin_ns = self._saved_ns = self.clock.host_ns()
        affinity = cpu.affinity_here()
        self._recorder = Recorder(
            clock_ns=self._now_ns,
            affinity=affinity,
            probes=(*host_probes(affinity), *(probe for gpu in gpus for probe in cuda_probes(gpu))),
            origin_unix_us=time.time_ns() // 1000,
        )
        measuring = Loop(
            clock=self.clock,
            schedule=self.plan.schedule,
            room=self.plan.room,
            progress=self.progress,
            after_visit=self._after_visit,
            begin_clocks=self._core_clock.begin,
            read_clocks=self._core_clock.read,
            origin_ns=self._origin_ns,
            commits=self.plan.challenge is not None,
        )
        with self._recorder:
            interrupted = self._measure(measuring)
            path, evidence, signed = self._end(measuring, interrupted=interrupted)
        if interrupted:
            raise Interrupted(f"interrupted; what was measured is in {path}.")
        return path, evidence, signed

    def _measure(self, measuring: Loop) -> bool:
        """Every phase in turn; whether the operator interrupted them. Saves before a defect goes up."""
        try:
            if not self.plan.quick:
                self._read_bandwidth()
            measuring.begun_ns = self.clock.host_ns()
            measuring.open(self._rows)
            measuring.schedule = self._paced(measuring)
            measuring.visit(self._rows)
            if self.company is not None:
                self._together(measuring, self.company)
            elif measuring.schedule.hold_ns:
                measuring.hold(self._best())
            if not self.plan.quick:
                self._diagnose()
            if self.plan.challenge is not None:
                self.progress.stage("openings")
                self._open(self.plan.challenge.challenge.skipped_share)
            # Within the try: a signal comes before this, and is caught here, or waits.
            self.hold()
        except (KeyboardInterrupt, RankLost):
            self.hold()
            return True
        except Exception as defect:
            self.hold()
            defect.add_note(self._keep(measuring))
            raise
        return False

    def _together(self, measuring: Loop, company: Company) -> None:
        """One device alone, while the others wait; then all at once, a precision after the other."""
        best = {row.workload.precision: row for row in self._best()}
        said = company.meet("visited", list(best))
        company.exchange("before", self._now_ns)
        if company.rank.number == 0:
            measuring.alone(list(best.values()))
        for name in PRECISIONS:
            if any(name in names for names in said):
                company.meet(f"hold/{name}")
                measuring.hold([best[name]] if name in best else [])
        company.meet("held")
        company.exchange("after", self._now_ns)

    def _now_ns(self) -> int:
        """The run's own time base, which samples and telemetry share."""
        return self.clock.host_ns() - self._origin_ns

    def _read_bandwidth(self) -> None:
        self.progress.stage("memory bandwidth")
        bandwidth = registry.bandwidth()
        for device in self.plan.devices:
            if device.family != "cpu":
                continue
            threads = max(row.threads for row in self.plan.rows if row.workload.device == device.selector)
            self._memory += bandwidth.run(
                device, threads, traffic.sizes(device), self.clock, self.plan.room, _MEMORY_NS
            )

    def _diagnose(self) -> None:
        self.progress.stage("diagnoses")
        for device in self.plan.devices:
            if device.family != "cpu":
                continue
            flush = diagnostics.flusher(device, self.plan.room)
            for row in self._best():
                if row.workload.device == device.selector:
                    self._diagnostics += diagnostics.diagnose(
                        row, self._rows, self.clock, _DIAGNOSIS_NS, flush
                    )

    def _best(self, opened: Sequence[Opening] = ()) -> list[Row]:
        """The rows behind the devices' figures, as they stand now."""
        assert self._recorder is not None
        measurements = [row.measurement() for row in self._rows]
        telemetry = self._recorder.snapshot()
        clock = self._core_clock.fact
        figures = deliver(self.plan.devices, measurements, telemetry, clock=clock, openings=opened).figures
        best = {(figure.device, figure.row) for figure in figures}
        return [row for row in self._rows if (row.workload.device, row.workload.row) in best]

    def _end(self, measuring: Loop, *, interrupted: bool) -> tuple[Path, Evidence, Envelope]:
        measuring.close(self._rows)
        assert self._recorder is not None
        meter = self._meter(self._recorder)
        try:
            self._recorder.stop()
        except CannotMeasure as error:
            self.unread = error
        # Only now has all been loaded that the run needed.
        loaded, unread = inspect.libraries()
        self._inspection = Inspection(facts=(*self._inspection.facts, *unread), libraries=loaded)
        evidence, signed = self._sign(measuring.schedule, interrupted=interrupted, meter=meter)
        self.signed = signed
        return self._finish(signed, whole=not interrupted), evidence, signed

    def _open(self, skipped_share: float) -> None:
        """Open the rows behind the figures; where one turns out wrong, another one stands there."""
        opened: dict[tuple[str, str], Opening] = {}
        while waiting := [
            row
            for row in self._best(tuple(opened.values()))
            if (row.workload.device, row.workload.row) not in opened
        ]:
            for row in waiting:
                opened[row.workload.device, row.workload.row] = openings.open_rows(
                    row.workload, row.measurement().stays, row.committed, skipped_share
                )
        self._openings = tuple(opened.values())

    def _meter(self, recorder: Recorder) -> Meter | None:
        """What the wall meter's log says about the run. Why it says nothing stands in `unread`."""
        end_ns, found = self._now_ns(), None
        # What writes the log may be a line behind.
        while self.power_log is not None and self._now_ns() < end_ns + _METER_NS:
            time.sleep(_METER_NS / NS_PER_S / 10)
            try:
                found, self.unread = power_log.meter(self.power_log, recorder.origin_unix_us, end_ns), None
            except BenchError as error:
                self.unread = error
                continue
            if found.readings[-1].at_ns >= end_ns:
                break
        return found

    def _keep(self, measuring: Loop) -> str:
        """Save what a defect of ours has left, and say where."""
        try:
            return f"What was measured is in {self._end(measuring, interrupted=True)[0]}."
        except CannotMeasure as error:
            return str(error)

    def _finish(self, signed: Envelope, *, whole: bool) -> Path:
        """Save for good; where that place fails now, in the system's temporary folder, and say so."""
        try:
            return self.to.finish(signed, whole=whole)
        except CannotMeasure as error:
            spare = replace(self.to, output=None, folder=Path(tempfile.gettempdir()))
            path = spare.finish(signed, whole=whole)
            raise CannotMeasure(f"{error} What was measured is in {path}.") from error

    def _paced(self, measuring: Loop) -> Schedule:
        """The schedule for the time that opening the rows has left."""
        rows = sum(row.ended == "measuring" for row in self._rows)
        left_ns = measuring.schedule.limit_ns - (self.clock.host_ns() - measuring.begun_ns)
        return stopping.pace(measuring.schedule, rows, max(0, left_ns))

    def _live(self, planned: PlannedRow) -> Row:
        row = Row(
            workload=planned.workload,
            kernel=self.look_up(planned.workload.kernel),
            device=planned.device,
            ladder=planned.ladder,
            threads=planned.threads,
            refinement=planned.refinement,
        )
        if planned.unavailable is not None:
            reason = planned.unavailable
            row.refuse(reason.code, reason.detail, status="info")
        return row

    def _after_visit(self, schedule: Schedule) -> None:
        """Save now and then, in a tenth of the time at most: a save takes longer as the evidence grows."""
        begun_ns = self.clock.host_ns()
        if begun_ns - self._saved_ns > max(_SAVE_EVERY_S * NS_PER_S, 10 * self._save_ns):
            # A place that is full or gone now is tried again later; the last save speaks up.
            assert self._recorder is not None
            self._recorder.wait_past(self._now_ns())
            with suppress(CannotMeasure):
                self.to.save(self._sign(schedule, interrupted=True, meter=None)[1])
            self._saved_ns = self.clock.host_ns()
            self._save_ns = self._saved_ns - begun_ns

    def _sign(
        self, schedule: Schedule, *, interrupted: bool, meter: Meter | None
    ) -> tuple[Evidence, Envelope]:
        evidence = self._evidence(schedule, interrupted=interrupted, meter=meter)
        return evidence, envelope.sign(statement.build(evidence), envelope.PAYLOAD_TYPE, [self.key])

    def _evidence(self, schedule: Schedule, *, interrupted: bool, meter: Meter | None) -> Evidence:
        assert self._harness is not None
        assert self._recorder is not None
        plan = self.plan
        observed = Observed(
            devices=plan.devices,
            clock=self._core_clock.fact,
            measurements=tuple(row.measurement() for row in self._rows),
            memory=tuple(self._memory),
            diagnostics=tuple(self._diagnostics),
            telemetry=replace(self._recorder.snapshot(), meter=meter),
            claims=plan.claims,
            quick=plan.quick,
            challenge=_named(plan.challenge),
            openings=self._openings,
            interrupted=interrupted,
            inspection=self._inspection,
            with_case=plan.case is not None,
        )
        conclusion = conclude(observed, plan.rules)
        return Evidence(
            format=statement.FORMAT,
            created=self._created,
            mode="quick" if plan.quick else "default",
            assurance=conclusion.assurance,
            interrupted=interrupted,
            nonce=plan.nonce,
            challenge=observed.challenge,
            case=plan.case,
            rank=None if self.company is None else self.company.rank,
            harness=self._harness,
            inspection=self._inspection,
            system=self._system,
            devices=plan.devices,
            claims=plan.claims,
            rules=Digest(name=plan.rules.id, sha256=plan.rules.digest),
            profiles=profile_digests(plan.devices),
            asked=plan.asked,
            schedule=schedule,
            clock=self._core_clock.fact,
            measurements=tuple(observed.measurements),
            openings=tuple(observed.openings),
            memory=tuple(observed.memory),
            diagnostics=tuple(self._diagnostics),
            telemetry=observed.telemetry,
            delivered=conclusion.delivered,
            figures=conclusion.figures,
            conditions=conclusion.conditions,
            verdict=conclusion.verdict,
            does_not_show=conclusion.does_not_show,
        )


def _named(posed: Posed | None) -> Digest | None:
    return None if posed is None else Digest(name="challenge", sha256=posed.digest)
