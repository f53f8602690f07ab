"""The use case of `bench run`: plan, measure, judge, sign, save. Nothing later writes to anything earlier.

What has been measured so far is saved while the run goes on, so that neither an interrupt nor a power
cut loses it.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.devices import cpu, host
from bench.devices.clock import Clock
from bench.errors import CannotMeasure, Interrupted
from bench.evidence import envelope, harness, statement, store
from bench.evidence.assurance import ASSURANCE, DOES_NOT_SHOW
from bench.evidence.keys import SigningKey
from bench.judge.conclusion import Observed, conclude, profile_digests
from bench.measure import stopping
from bench.measure.loop import Loop, Progress
from bench.measure.row import Row
from bench.measure.stopping import Schedule
from bench.plan import Plan, PlannedRow
from bench.terms import Device, Digest, Envelope, Evidence, Fact, Harness, Reading
from bench.units import NS_PER_S
from bench.workload import registry
from bench.workload.kernel import Kernel

# Most seconds between saves while measuring: what a power cut can lose of rows that have not ended.
_SAVE_EVERY_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where evidence goes: to `output` if that is given, else to a file named by its number.

    While the run goes on it is saved beside it, in a file called partial, which goes when the run ends.
    """

    output: Path | None
    folder: Path
    stem: str

    @property
    def partial(self) -> Path:
        if self.output is None:
            return self.folder / f"{self.stem}-partial.evidence.json"
        name = self.output.name
        suffix = next((end for end in (".evidence.json", ".json") if name.endswith(end)), "")
        return self.output.with_name(f"{name.removesuffix(suffix)}-partial{suffix}")

    def check(self) -> None:
        """Try the place before anything is measured; raises CannotMeasure."""
        store.check_writable(self.output or self.partial)

    def save(self, signed: Envelope) -> None:
        store.write_atomic(self.partial, envelope.to_json(signed))

    def finish(self, signed: Envelope, *, whole: bool) -> Path:
        """Save for good and return where: an interrupted run does not replace what stands there already."""
        number = envelope.report_number(signed)
        path = self.output or self.folder / f"{self.stem}-{number}.evidence.json"
        if not whole and path.exists():
            self.save(signed)
            return self.partial
        store.write_atomic(path, envelope.to_json(signed))
        with suppress(OSError):
            self.partial.unlink()
        return path


def destination(output: Path | None, device: Device, now: datetime) -> Destination:
    """`results/<UTC time>-<device>-<report number>.evidence.json`, or the path that was asked for."""
    name = "".join(c if c.isalnum() else "-" for c in device.selector)
    return Destination(output=output, folder=Path("results"), stem=f"{now:%Y%m%dT%H%M%SZ}-{name}")


@dataclass(slots=True, kw_only=True)
class Run:
    """One run in progress. `progress` watches it; `key` signs what is saved.

    `hold` is called when measuring is over: until the file is written nothing may interrupt.
    """

    plan: Plan
    key: SigningKey
    to: Destination
    clock: Clock
    progress: Progress
    look_up: Callable[[str], Kernel] = registry.kernel
    hold: Callable[[], None] = lambda: None
    _telemetry: list[Reading] = field(default_factory=list)
    _rows: list[Row] = field(default_factory=list)
    _origin_ns: int = 0
    _saved_ns: int = 0
    _saved_rows: int = 0
    _created: str = ""
    _harness: Harness | None = None
    _system: tuple[Fact, ...] = ()

    def __call__(self) -> tuple[Path, Evidence, Envelope]:
        """Measure everything; returns where the evidence lies, and the evidence.

        Raises Interrupted, after saving, when the operator stopped it; any other error that ends the
        measuring goes up after saving too, with a note of where.
        """
        self._created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._harness, self._system = harness.describe(), host.system()
        self._rows = [self._live(planned) for planned in self.plan.rows]
        self._origin_ns = self._saved_ns = self.clock.host_ns()
        loop = Loop(
            clock=self.clock,
            schedule=self.plan.schedule,
            room=self.plan.room,
            progress=self.progress,
            before_visit=self._read_counters,
            after_visit=self._after_visit,
            origin_ns=self._origin_ns,
        )
        interrupted = False
        self._read_counters()
        try:
            loop.open(self._rows)
            loop.schedule = self._paced(loop.schedule)
            loop.visit(self._rows)
            # Within the try: a signal comes before this, and is caught here, or waits.
            self.hold()
        except KeyboardInterrupt:
            self.hold()
            interrupted = True
        except Exception as defect:
            self.hold()
            defect.add_note(self._keep(loop))
            raise
        path, evidence, signed = self._end(loop, interrupted=interrupted)
        if interrupted:
            raise Interrupted(f"interrupted; what was measured is in {path}.")
        return path, evidence, signed

    def _end(self, loop: Loop, *, interrupted: bool) -> tuple[Path, Evidence, Envelope]:
        self._read_counters()
        loop.close(self._rows)
        evidence, signed = self._sign(interrupted=interrupted)
        return self._finish(signed, whole=not interrupted), evidence, signed

    def _keep(self, loop: Loop) -> str:
        """Save what a defect of ours has left, and say where."""
        try:
            return f"What was measured is in {self._end(loop, interrupted=True)[0]}."
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

    def _paced(self, schedule: Schedule) -> Schedule:
        """The schedule for the time that opening the rows has left."""
        measuring = sum(row.ended == "measuring" for row in self._rows)
        left_ns = schedule.limit_ns - (self.clock.host_ns() - self._origin_ns)
        return stopping.pace(schedule, measuring, max(0, left_ns))

    def _live(self, planned: PlannedRow) -> Row:
        kernel = self.look_up(planned.workload.kernel)
        row = Row(workload=planned.workload, kernel=kernel, ladder=planned.ladder, threads=planned.threads)
        if planned.unavailable is not None:
            reason = planned.unavailable
            row.refuse(reason.code, reason.detail, status="info")
        return row

    def _read_counters(self) -> None:
        self._telemetry.append(
            host.counters(lambda: self.clock.host_ns() - self._origin_ns, cpu.affinity_here())
        )

    def _after_visit(self) -> None:
        """Save when a row has come to its end, and now and then in between."""
        self._read_counters()
        ended = sum(row.ended != "measuring" for row in self._rows)
        if ended > self._saved_rows or self.clock.host_ns() - self._saved_ns > _SAVE_EVERY_S * NS_PER_S:
            # A place that is full or gone now is tried again later; the last save speaks up.
            with suppress(CannotMeasure):
                self.to.save(self._sign(interrupted=True)[1])
            self._saved_ns, self._saved_rows = self.clock.host_ns(), ended

    def _sign(self, *, interrupted: bool) -> tuple[Evidence, Envelope]:
        evidence = self._evidence(interrupted=interrupted)
        return evidence, envelope.sign(statement.build(evidence), envelope.PAYLOAD_TYPE, [self.key])

    def _evidence(self, *, interrupted: bool) -> Evidence:
        assert self._harness is not None
        plan = self.plan
        observed = Observed(
            devices=plan.devices,
            measurements=tuple(row.measurement() for row in self._rows),
            telemetry=tuple(self._telemetry),
            claims=plan.claims,
            quick=plan.quick,
            assurance=ASSURANCE,
        )
        conclusion = conclude(observed, plan.rules)
        return Evidence(
            format=statement.FORMAT,
            created=self._created,
            mode="quick" if plan.quick else "default",
            assurance=ASSURANCE,
            interrupted=interrupted,
            nonce=plan.nonce,
            harness=self._harness,
            system=self._system,
            devices=plan.devices,
            claims=plan.claims,
            rules=Digest(name=plan.rules.id, sha256=plan.rules.digest),
            profiles=profile_digests(plan.devices),
            asked=plan.asked,
            measurements=tuple(observed.measurements),
            telemetry=tuple(self._telemetry),
            delivered=conclusion.delivered,
            figures=conclusion.figures,
            verdict=conclusion.verdict,
            does_not_show=DOES_NOT_SHOW,
        )
