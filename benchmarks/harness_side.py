"""All that these scripts know of the harness's insides: rows to run, evidence to read, a loop to drive.

Whoever changes the harness changes this file, and no script beside it.
"""

import atexit
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from bench.devices import cpu
from bench.terms import Device, Evidence, Operation, Sample, Shape

TOP = Path(__file__).resolve().parent.parent
_MS = 1_000_000
# Any nonce: the operands of a comparison need not surprise anybody.
_NONCE = "5e" * 32
# A thread pool that was just left spins on for up to about 0.1 s.
SETTLE_S = 0.2
# Rows that are this far behind the precision's fastest in the search only cost time here.
_BEHIND = 0.75


def processor() -> tuple[Device, int]:
    """The processor, and how many threads the harness uses on it. Imports no numpy."""
    device = cpu.FAMILY.look().devices[0]
    return device, int(str(device.fact("threads-usable")))


# ------------------------------------------------------------------------------------------ own rows


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRow:
    """A row of the harness, searched, checked and ready: `visit` settles, measures and tells the rate."""

    name: str
    shape: Shape
    visit: Callable[[], float]


class _Silent:
    """A progress that watches nothing."""

    def phase(self, row: object, phase: str, visit: int) -> None:
        pass

    def rate(self, row: object, ops_per_s: float) -> None:
        pass


@contextmanager
def own_rows(precision: str, operation: Operation, window_s: float) -> Iterator[list[OwnRow]]:
    """The fast rows of a precision and operation, opened as `bench run` opens them, windows of `window_s`."""
    from bench.devices.clock import HostClock
    from bench.measure.loop import Loop

    rows, planned, room = _planned(precision, operation)
    settle_ns, window_ns = int(SETTLE_S * 1000) * _MS, int(window_s * 1000) * _MS
    loop = Loop(
        clock=HostClock(),
        schedule=replace(
            planned, settle_least_ns=settle_ns, settle_most_ns=3 * settle_ns, window_ns=window_ns
        ),
        room=room,
        progress=_Silent(),
        after_visit=lambda _schedule: None,
    )
    try:
        loop.open(rows)
        yield [_own(loop, row) for row in _fast([row for row in rows if row.ended == "measuring"])]
    finally:
        loop.close(rows)


def _planned(precision: str, operation: Operation) -> tuple[list[Any], Any, int]:
    """Rows, schedule and room for operands, from the plan of a run of the usual length."""
    from bench import plan
    from bench.devices import host
    from bench.judge import catalog
    from bench.measure.row import Row
    from bench.workload import registry

    made = plan.make(
        devices=[processor()[0]],
        precisions=[precision],
        claims=[],
        rules=catalog.rules(catalog.rule_ids()[0]),
        quick=False,
        limit_s=None,
        nonce=_NONCE,
        room=host.memory_room(),
    )
    rows = [
        Row(
            workload=row.workload,
            kernel=registry.kernel(row.workload.kernel),
            ladder=row.ladder,
            device=row.device,
            refinement=row.refinement,
            threads=row.threads,
        )
        for row in made.rows
        if row.unavailable is None and row.workload.operation == operation
    ]
    return rows, made.schedule, made.room


def prepared(kernel: Any, form: Any, shape: Shape) -> Any:
    """A row's kernel with its operands in place at a shape, on the harness's number of threads."""
    from bench.terms import Workload

    workload = Workload(
        device="cpu",
        kernel=kernel.name,
        backend=kernel.backend,
        operation=kernel.operation,
        form=form,
        shape=shape,
        seed=_NONCE,
    )
    return kernel.prepare(workload, processor()[0], threads=processor()[1], real=False)


def _fast(rows: list[Any]) -> list[Any]:
    rates = [max(trial.ops_per_s[-1] for trial in row.tried if trial.ops_per_s) for row in rows]
    return [row for row, rate in zip(rows, rates, strict=True) if rate >= _BEHIND * max(rates)]


def _own(loop: Any, row: Any) -> OwnRow:
    from bench.measure import stats

    def visit() -> float:
        loop._visit(row)
        return stats.rate(row.visits[-1].samples, row.ops)

    return OwnRow(name=row.workload.row, shape=row.workload.shape, visit=visit)


def share_onnxruntime_pool(threads: int) -> None:
    """The one pool of threads that the harness's sessions run on, so that a peer's session shares it.

    A process may set its size once only.
    """
    from bench.kernels import _ort

    _ort._share_one_pool(threads)


# ------------------------------------------------------------------------------------------ the program


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A `bench` process that has ended: its wall time and its largest resident memory."""

    code: int
    out: str
    err: str
    wall_s: float
    resident_bytes: int


@cache
def _home() -> str:
    """A place for keys that is this process's own, and goes when it ends."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return folder.name


def bench(*words: str | Path, launcher: Sequence[str] = ("-m", "bench")) -> Finished:
    """Run `bench` in a process of its own, as a user who has no other keys."""
    path = os.pathsep.join([str(TOP), str(TOP / "benchmarks")])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *launcher, *map(str, words)],
            env={**os.environ, "BENCH_HOME": _home(), "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        # Linux counts ru_maxrss in KiB.
        return Finished(
            code=process.returncode,
            out=out.read().decode(),
            err=err.read().decode(),
            wall_s=wall_s,
            resident_bytes=usage.ru_maxrss * 1024,
        )


def measured(*words: str | Path) -> Finished:
    """A `bench` process that must not fail."""
    ended = bench(*words)
    if ended.code != 0:
        raise SystemExit(f"bench {' '.join(map(str, words))} ended with {ended.code}: {ended.err.strip()}")
    return ended


class _Ending:
    """A prepared kernel whose first launch ends the process."""

    def launch(self, index: int, *, real: bool) -> NoReturn:  # noqa: ARG002
        os._exit(0)


def run_to_first_launch() -> None:
    """`bench`, ended where it would launch a kernel for the first time, its operands being in place."""
    from bench.cli import main
    from bench.workload import registry

    def ending(prepare: Callable[..., object]) -> Callable[..., _Ending]:
        def prepared(*args: object, **named: object) -> _Ending:
            prepare(*args, **named)
            return _Ending()

        return prepared

    for kernel in registry.kernels().values():
        kernel.prepare = ending(kernel.prepare)  # type: ignore[assignment, method-assign]
    main()


# -------------------------------------------------------------------------------------------- evidence


def evidence(path: Path) -> Evidence:
    """The evidence in a file. Its signature and its figures are the business of `bench verify`."""
    from bench.evidence import envelope, statement

    return statement.parse(envelope.parse(path.read_bytes()).payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Where a run's seconds went, as its evidence tells. `run_s` ends with the last telemetry reading.

    Bandwidth and diagnoses are their timed passes and launches only; the search is all that it took.
    """

    rows: int
    visits: int
    samples: int
    run_s: float
    bandwidth_s: float
    search_s: float
    settle_s: float
    windows_s: float
    diagnoses_s: float


def spent(file: Evidence) -> Spent:
    """The times in an evidence file; rows that were not measured are not counted."""
    rows = [row for row in file.measurements if row.visits]
    visits = [visit for row in rows for visit in (*row.visits, *((row.held,) if row.held else ()))]
    return Spent(
        rows=len(rows),
        visits=len(visits),
        samples=sum(len(visit.settle) + len(visit.samples) for visit in visits),
        run_s=file.telemetry.readings[-1].at_ns / 1e9,
        bandwidth_s=sum(one.ns for transfer in file.memory for one in transfer.passes) / 1e9,
        search_s=sum(trial.spent_ns for row in file.measurements for trial in row.tried) / 1e9,
        settle_s=_seconds(sample for visit in visits for sample in visit.settle),
        windows_s=_seconds(sample for visit in visits for sample in visit.samples),
        diagnoses_s=sum(pair.usual_ns + pair.other_ns for one in file.diagnostics for pair in one.pairs)
        / 1e9,
    )


def _seconds(samples: Iterator[Sample]) -> float:
    return sum(sample.host_ns for sample in samples) / 1e9


# ------------------------------------------------------------------------------------------ scripted loop


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopCost:
    """What the loop itself took for so many scripted rows, whose kernels take no time of their own."""

    rows: int
    visits: int
    samples: int
    seconds: float


# Real runs have samples of 20 ms and windows of up to a second.
SCRIPTED_SAMPLE_NS = 20 * _MS


def scripted_loop(rows: int) -> LoopCost:
    """Five visits to each scripted row: one launch of 20 ms a sample, in scripted time.

    The seconds are all real ones: choosing and checking outputs, clocks, statistics, the loop. The
    scripted kernel's own bookkeeping, a 32 x 64 product in numpy per sample, is among them.
    """
    sys.path.insert(0, str(TOP / "tests"))
    import scripted_device as scripted

    clock, script = scripted.ScriptedClock(), scripted.constant(SCRIPTED_SAMPLE_NS)
    kernels = [scripted.ScriptedKernel(clock=clock, script=script, name=f"scripted-{i}") for i in range(rows)]
    loop = scripted.loop(
        clock,
        sample_ns=SCRIPTED_SAMPLE_NS,
        settle_least_ns=200 * _MS,
        settle_most_ns=600 * _MS,
        window_ns=1000 * _MS,
        launch_most_ns=125 * _MS,
    )
    opened = [scripted.row(kernel) for kernel in kernels]
    loop.open(opened)
    begun = time.perf_counter()
    loop.visit(opened)
    seconds = time.perf_counter() - begun
    visits = [visit for row in opened for visit in row.visits]
    return LoopCost(
        rows=rows,
        visits=len(visits),
        samples=sum(len(visit.settle) + len(visit.samples) for visit in visits),
        seconds=seconds,
    )
