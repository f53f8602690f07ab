"""The use case of `bench run`: plan, measure, judge, sign, save. Nothing later writes to anything earlier.

What has been measured so far is saved while the run goes on, so that neither an interrupt nor a power
cut loses it.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import bench
from bench.devices import cpu, host
from bench.devices.clock import Clock
from bench.errors import CannotMeasure, Interrupted
from bench.evidence import envelope, statement, store
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

# A1 needs an auditor's challenge, A2 and A3 the auditor's clock: this run has neither.
ASSURANCE = "A0"

# What a report of this level cannot show, as codes; report/sentences says them in words.
DOES_NOT_SHOW = (
    "no-challenge",
    "signer-is-the-machine",
    "software-cannot-prove-itself",
    "devices-not-counted",
    "outputs-not-opened",
)

_SUFFIXES = (".py", ".toml", ".json")
_LIBRARIES = ("numpy", "torch", "onnxruntime", "onnx", "cryptography")
# Most seconds between saves while measuring: what a power cut can lose of rows that have not ended.
_SAVE_EVERY_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where evidence goes: one file all along if `output` is given, else one named by its number.

    While the run goes on, the unnamed case saves to a file called partial, which the final one replaces.
    """

    output: Path | None
    folder: Path
    stem: str

    @property
    def partial(self) -> Path:
        return self.output or self.folder / f"{self.stem}-partial.evidence.json"

    def check(self) -> None:
        """Try the place before anything is measured; raises CannotMeasure."""
        store.check_writable(self.partial)

    def save(self, signed: Envelope) -> None:
        store.write_atomic(self.partial, envelope.to_json(signed))

    def finish(self, signed: Envelope) -> Path:
        """Save under the final name and return it."""
        if self.output is not None:
            self.save(signed)
            return self.output
        path = self.folder / f"{self.stem}-{envelope.report_number(signed)}.evidence.json"
        store.write_atomic(path, envelope.to_json(signed))
        self.partial.unlink(missing_ok=True)
        return path


def destination(output: Path | None, device: Device, now: datetime) -> Destination:
    """`results/<UTC time>-<device>-<report number>.evidence.json`, or the path that was asked for."""
    name = "".join(c if c.isalnum() else "-" for c in device.selector)
    return Destination(output=output, folder=Path("results"), stem=f"{now:%Y%m%dT%H%M%SZ}-{name}")


@dataclass(slots=True, kw_only=True)
class Run:
    """One run in progress. `progress` watches it; `key` signs what is saved."""

    plan: Plan
    key: SigningKey
    to: Destination
    clock: Clock
    progress: Progress
    look_up: Callable[[str], Kernel] = registry.kernel
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

        Raises Interrupted, after saving, when the operator stopped it.
        """
        self._created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._harness, self._system = harness(), host.system()
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
        except KeyboardInterrupt:
            interrupted = True
        self._read_counters()
        loop.close(self._rows)
        evidence, signed = self._sign(interrupted=interrupted)
        path = self._finish(signed)
        if interrupted:
            raise Interrupted(f"interrupted; what was measured is in {path}.")
        return path, evidence, signed

    def _finish(self, signed: Envelope) -> Path:
        """Save for good; where that place fails now, in the system's temporary folder, and say so."""
        try:
            return self.to.finish(signed)
        except CannotMeasure as error:
            spare = replace(self.to, output=None, folder=Path(tempfile.gettempdir()))
            path = spare.finish(signed)
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
            planned_rows=len(plan.rows),
            measurements=tuple(observed.measurements),
            telemetry=tuple(self._telemetry),
            delivered=conclusion.delivered,
            figures=conclusion.figures,
            verdict=conclusion.verdict,
            does_not_show=DOES_NOT_SHOW,
        )


def harness() -> Harness:
    """The measuring program as it describes itself: version, its files' digests, its libraries."""
    return Harness(
        version=bench.__version__,
        files=tuple(_file_digests()),
        libraries=tuple(_library(name) for name in _LIBRARIES),
    )


def _file_digests() -> Iterator[Digest]:
    """Every file of the program and its data, by its place in the package."""
    # In a checkout kernels/ and profiles/ lie beside the package, in a wheel inside it.
    inside, top = Path(bench.__path__[0]), Path(bench.__path__[-1])
    roots = {inside: inside, top / "kernels": top, top / "profiles": top}
    names = {path: path.relative_to(base) for root, base in roots.items() for path in root.rglob("*")}
    for path, name in sorted(names.items(), key=lambda item: item[1].as_posix()):
        if path.suffix in _SUFFIXES:
            yield Digest(name=name.as_posix(), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _library(name: str) -> Fact:
    try:
        return Fact(name=name, value=metadata.version(name), source="package metadata")
    except metadata.PackageNotFoundError:
        return Fact(name=name, value=None, source="package metadata", reason="not-installed")
