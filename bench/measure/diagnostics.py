"""What a changed condition does to a row's rate: paired probes after its visits, beside the figure.

    zeros        operands that are all zero
    one-thread   one thread instead of all
    placement    one thread on another CPU than the first
    other-pool   right after another backend used its threads
    cold-caches  caches emptied before the launch

Usual and changed probes take turns, so that a machine that drifts changes both. What cannot be probed
here has a reason; nothing here ends a run, and affinity and threads are left as they were found.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from bench.devices.clock import Clock
from bench.devices.cpu import affinity_here
from bench.errors import CannotMeasure
from bench.measure.row import BACKEND_ERRORS, Row
from bench.terms import (
    ConvShape,
    Device,
    Diagnostic,
    DiagnosticName,
    GemmShape,
    Operation,
    Pair,
    Shape,
    Workload,
)
from bench.workload import operands, traffic
from bench.workload.kernel import Prepared

# Fewer pairs have no middle; a cheap condition has more of them, to which the time is then fitted.
_LEAST_PAIRS, _MOST_PAIRS = 3, 9
# Probes last this long at most, after a quarter as many untimed launches.
_PROBE_NS = 10_000_000
_MOST_LAUNCHES = 10_000
_WARM_SHARE = 4
# ONNX Runtime after torch has its threads to itself within 12 ms, torch after ONNX Runtime within 50 to 77.
_SETTLE_NS = 80_000_000
_RIVAL_NS = 5_000_000
# A diagnosis says no more about placement with more CPUs than this.
_MOST_CPUS = 4
# Everything in the caches is written over this many times.
_TIMES_OVER = 2
# How the time is divided among the conditions: these two wait for a pool to settle, or for memory.
_SHARE, _LARGE_SHARE = 1, 3
# Characters of a backend's own words that are kept.
_DETAIL = 400

# Preparing sets a backend's threads; the least workload does so in no time.
_LEAST_SHAPES: dict[Operation, Shape] = {
    "gemm": GemmShape(m=1, n=1, k=1),
    "conv": ConvShape(batch=1, channels=1, filters=1, height=1, width=1, kernel=1, padding=0),
}

# Empties the caches of all CPUs in use. Where there can be none, its reason code stands in its place.
Flush = Callable[[], None]
_Probe = Callable[[], int]


class _NotHere(Exception):
    """A condition that cannot be had here, by its reason code."""


def flusher(device: Device, room: int) -> Flush | str:
    """Empties the device's caches, or the reason code why nothing does. Takes its memory at once.

    The buffer is twice as large as all caches together. Each CPU in use reads and writes its part of it
    itself: a core's own caches are not emptied from another core, and writing alone may pass them by.
    """
    held = traffic.cache_bytes(device)
    if held is None:
        return "caches-unknown"
    if _TIMES_OVER * held > room:
        return "no-memory"
    cpus = sorted(affinity_here())
    try:
        parts = np.array_split(np.ones(_TIMES_OVER * held // 8, dtype=np.int64), len(cpus))
    except MemoryError:
        return "no-memory"

    def flush() -> None:
        for cpu, part in zip(cpus, parts, strict=True):
            with _pinned(cpu):
                np.add(part, 1, out=part)

    return flush


def diagnose(
    row: Row, others: Sequence[Row], clock: Clock, budget_ns: int, flush: Flush | str
) -> tuple[Diagnostic, ...]:
    """Every condition of a row, in about `budget_ns` of the host clock; none of a row without visits.

    `others` are the run's rows, of which one of another backend serves as the disturbance. A condition
    whose least probes do not fit the time that is left is not begun.
    """
    if not row.visits:
        return ()
    diagnosis = _Diagnosis(
        row=row, others=others, clock=clock, until_ns=clock.host_ns() + budget_ns, flush=flush
    )
    try:
        return tuple(diagnosis.all())
    finally:
        diagnosis.end()


@contextmanager
def _pinned(cpu: int) -> Iterator[None]:
    """The calling thread on that CPU alone. Threads that begin meanwhile would stay there: begin none."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _launch(ready: Prepared, launches: int, first: int = 0) -> None:
    for index in range(first, first + launches):
        ready.launch(index % operands.OFFSETS, real=False)
    ready.finish()


@dataclass(slots=True, kw_only=True)
class _Diagnosis:
    """One row's, in progress. What had to be prepared for a condition serves those that follow, too."""

    row: Row
    others: Sequence[Row]
    clock: Clock
    until_ns: int
    flush: Flush | str
    _threads: int = 0
    _own: dict[str, Prepared] = field(default_factory=dict)

    def all(self) -> Iterator[Diagnostic]:
        conditions: list[tuple[DiagnosticName, str, int, Callable[[int], tuple[Pair, ...]]]] = [
            ("zeros", "", _SHARE, self._zeros),
            ("one-thread", "", _SHARE, self._one_thread),
            *(self._placement(cpu) for cpu in self._elsewhere()),
            ("other-pool", "", _LARGE_SHARE, self._other_pool),
            ("cold-caches", "", _LARGE_SHARE, self._cold_caches),
        ]
        for number, (name, detail, share, pairs) in enumerate(conditions):
            now = self.clock.host_ns()
            shares = sum(condition[2] for condition in conditions[number:])
            until_ns = now + max(0, self.until_ns - now) * share // shares
            yield self._observed(name, detail, partial(pairs, until_ns))

    def end(self) -> None:
        """Give the backend its threads back and release the operands."""
        # A backend that fails now has said so in a reason, and the next row that prepares sets its own.
        with suppress(*BACKEND_ERRORS):
            self._use(self.row.threads)
        for ready in self._own.values():
            ready.close()

    def _observed(
        self, name: DiagnosticName, detail: str, observe: Callable[[], tuple[Pair, ...]]
    ) -> Diagnostic:
        """What was observed, or why it could not be: in the backend's words where they are all there is."""
        pairs: tuple[Pair, ...] = ()
        reason = None
        try:
            pairs = observe()
        except _NotHere as why:
            reason = str(why)
        except CannotMeasure as error:
            reason, detail = "backend-refused", detail or str(error)[:_DETAIL]
        except MemoryError:
            reason = "no-memory"
        except OSError:
            reason = "not-permitted"
        except BACKEND_ERRORS as error:
            reason, detail = "backend-failed", detail or str(error)[:_DETAIL]
        workload = self.row.workload
        return Diagnostic(
            device=workload.device, row=workload.row, name=name, detail=detail, pairs=pairs, reason=reason
        )

    # -------------------------------------------------------------------------------- the conditions

    def _zeros(self, until_ns: int) -> tuple[Pair, ...]:
        self._afford(4 * self.row.launch_ns)
        other, usual = self._zeroed(), self._usual()
        return self._pairs(self._fitted(usual, until_ns), self._fitted(other, until_ns), until_ns)

    def _one_thread(self, until_ns: int) -> tuple[Pair, ...]:
        if self.row.threads == 1:
            raise _NotHere("one-thread-only")
        self._afford(2 * self.row.launch_ns * (1 + self.row.threads))
        other = self._fitted(self._alone(), until_ns)
        usual = self._fitted(self._usual(), until_ns)

        def with_threads(threads: int, probe: _Probe) -> int:
            self._use(threads)
            return probe()

        return self._pairs(
            partial(with_threads, self.row.threads, usual), partial(with_threads, 1, other), until_ns
        )

    def _elsewhere(self) -> Sequence[int]:
        """Up to three CPUs in use beside the first, spread evenly; the first where there is no other."""
        cpus = sorted(affinity_here())
        number = min(len(cpus), _MOST_CPUS)
        return [cpus[i * len(cpus) // number] for i in range(1, number)] or cpus

    def _placement(self, cpu: int) -> tuple[DiagnosticName, str, int, Callable[[int], tuple[Pair, ...]]]:
        return "placement", f"cpu {cpu}", _SHARE, partial(self._placed, cpu)

    def _placed(self, cpu: int, until_ns: int) -> tuple[Pair, ...]:
        """Without a worker thread, all work is done where the calling thread is."""
        if cpu == min(affinity_here()):
            raise _NotHere("one-cpu-only")
        self._afford(4 * self.row.launch_ns * self.row.threads)
        probe = self._fitted(self._alone(), until_ns)

        def on(place: int) -> int:
            with _pinned(place):
                return probe()

        return self._pairs(partial(on, min(affinity_here())), partial(on, cpu), until_ns)

    def _other_pool(self, until_ns: int) -> tuple[Pair, ...]:
        rival = self._rival()
        self._afford(_SETTLE_NS + _RIVAL_NS + 3 * self.row.launch_ns + rival.launch_ns)
        theirs = rival.prepared or self._ready("rival", rival, rival.workload, rival.threads)
        own = self._usual()
        launches = self._launches(own, _RIVAL_NS)

        def settled() -> int:
            _launch(own, _as_many_as(_SETTLE_NS, self.row.launch_ns))
            return self._timed(own, launches)

        def disturbed() -> int:
            _launch(theirs, _as_many_as(_RIVAL_NS, rival.launch_ns))
            return self._timed(own, launches)

        return self._pairs(settled, disturbed, until_ns)

    def _rival(self) -> Row:
        """The measured row of another backend on the same device whose launches are the shortest."""
        own = self.row.workload
        rivals = [
            row
            for row in self.others
            if row.visits and row.workload.device == own.device and row.workload.backend != own.backend
        ]
        if not rivals:
            raise _NotHere("one-backend")
        return min(rivals, key=lambda row: row.launch_ns)

    def _cold_caches(self, until_ns: int) -> tuple[Pair, ...]:
        """One launch with cold operands, then the same again.

        While the caches are emptied the backend's threads fall asleep. Waking them is not the caches' fault,
        and is left to a launch on other operands.
        """
        flush = self.flush
        if isinstance(flush, str):
            raise _NotHere(flush)
        self._afford(3 * self.row.launch_ns)
        waking, own = self._zeroed(), self._usual()
        _launch(own, 1)
        begun = self.clock.host_ns()
        flush()
        self._afford(self.clock.host_ns() - begun + 3 * self.row.launch_ns)
        pairs: list[Pair] = []
        while self._goes_on(pairs, until_ns):
            flush()
            _launch(waking, 1)
            cold = self._timed(own, 1, len(pairs))
            pairs.append(Pair(usual_ns=self._timed(own, 1, len(pairs)), other_ns=cold))
        return tuple(pairs)

    # ------------------------------------------------------------------------------------ the probes

    def _pairs(self, usual: _Probe, other: _Probe, until_ns: int) -> tuple[Pair, ...]:
        pairs: list[Pair] = []
        while self._goes_on(pairs, until_ns):
            pairs.append(Pair(usual_ns=usual(), other_ns=other()))
        return tuple(pairs)

    def _goes_on(self, pairs: Sequence[Pair], until_ns: int) -> bool:
        in_time = len(pairs) < _MOST_PAIRS and self.clock.host_ns() < until_ns
        return len(pairs) < _LEAST_PAIRS or in_time

    def _afford(self, pair_ns: float) -> None:
        """Go on only if the fewest pairs, at what one takes at least, fit into the time of all conditions."""
        if _LEAST_PAIRS * pair_ns > self.until_ns - self.clock.host_ns():
            raise _NotHere("too-slow")

    def _fitted(self, ready: Prepared, until_ns: int) -> _Probe:
        """A probe of as many launches as let the pairs end in time."""
        left_ns = max(0, until_ns - self.clock.host_ns())
        launches = self._launches(ready, min(_PROBE_NS, left_ns // (2 * _MOST_PAIRS)))

        def probe() -> int:
            _launch(ready, -(-launches // _WARM_SHARE))
            return self._timed(ready, launches)

        return probe

    def _launches(self, ready: Prepared, probe_ns: int) -> int:
        """How many launches take that long; the first, which may still set something up, does not tell."""
        _launch(ready, 1)
        return min(_MOST_LAUNCHES, max(1, probe_ns // self._timed(ready, 1)))

    def _timed(self, ready: Prepared, launches: int, first: int = 0) -> int:
        """Nanoseconds of one launch, over so many and the wait for the last of them."""
        begun = self.clock.host_ns()
        _launch(ready, launches, first)
        elapsed = self.clock.host_ns() - begun
        if elapsed <= 0:
            raise CannotMeasure("the host's clock stood still during a probe.")
        return max(1, elapsed // launches)

    # -------------------------------------------------------------------------- operands and threads

    def _usual(self) -> Prepared:
        """As it was measured, with the backend's threads as they were."""
        self._use(self.row.threads)
        return self.row.prepared or self._ready("usual", self.row, self.row.workload, self.row.threads)

    def _zeroed(self) -> Prepared:
        workload = self.row.workload
        zeros = replace(workload, form=replace(workload.form, operand_set=operands.ZEROS))
        return self._ready("zeros", self.row, zeros, self.row.threads)

    def _alone(self) -> Prepared:
        ready = self._ready("alone", self.row, self.row.workload, 1)
        self._use(1)
        return ready

    def _ready(self, name: str, owner: Row, workload: Workload, threads: int) -> Prepared:
        """Prepared by the owner's kernel, once under that name."""
        if name not in self._own:
            # Preparing may set the backend's threads, and may fail with that done.
            self._threads = 0
            self._own[name] = owner.kernel.prepare(workload, owner.device, threads=threads, real=False)
        return self._own[name]

    def _use(self, threads: int) -> None:
        """Set the backend's threads: torch has one number of them for all that was ever prepared."""
        if self._threads == threads:
            return
        least = replace(self.row.workload, shape=_LEAST_SHAPES[self.row.workload.operation])
        self.row.kernel.prepare(least, self.row.device, threads=threads, real=False).close()
        self._threads = threads


def _as_many_as(ns: int, launch_ns: float) -> int:
    """Launches that take at least so long."""
    return min(_MOST_LAUNCHES, max(1, round(ns / max(1.0, launch_ns))))
