"""STREAM's copy and triad with torch in float64: copy a = b, triad a = b + s c.

Counted: the bytes that a pass reads and writes, two arrays for copy and three for triad; a cache that
reads a line before it is written moves more, which is not counted. Path: from the level that holds the
arrays and back. torch gives a thread 32768 elements at least, so that small arrays leave threads idle
and show less than their level has (reference: J. D. McCalpin, STREAM: Sustainable Memory Bandwidth in
High Performance Computers, University of Virginia, 1991-2007).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.errors import CannotMeasure
from bench.terms import Device, Pass, Transfer, Unavailable
from bench.workload.kernel import Bandwidth, HostTime

from . import _torch

if TYPE_CHECKING:
    import torch

_Operation = Literal["copy", "triad"]
# In the order in which they run at each size, with their arrays.
_ARRAYS: dict[_Operation, int] = {"copy": 2, "triad": 3}
_ELEMENT_BYTES = 8
_SCALE = 3.0

# A pass is this long at least: small arrays are gone through again and again until it is.
_PASS_NS = 8_000_000
_MOST_REPEATS = 1 << 20
# Passes go on for this long, within these numbers of them.
_ENOUGH_NS = 40_000_000
_LEAST_PASSES, _MOST_PASSES = 3, 16
# Outputs that are looked at after each pass, spread over the array.
_LOOKED_AT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One operation in place: `step` does it once on all of `a`, which is then `right` at `place`."""

    operation: _Operation
    footprint_bytes: int
    step: Callable[[], object]
    a: "torch.Tensor"
    place: "torch.Tensor"
    right: "torch.Tensor"

    def spoil(self) -> None:
        """So that a pass which does nothing shows."""
        self.a[self.place] = -1.0

    def is_right(self) -> bool:
        return bool((self.a[self.place] == self.right).all())


def _works(size: int) -> Iterator[_Work]:
    """Copy, then triad, in the same `size` bytes: touching fresh memory takes longer than the passes.

    b = 1, 2, .. and c = n, n - 1, .. are integers, so that the triad is exact with and without FMA.
    """
    import torch

    # numpy asks the system for huge pages; the operands of the rows lie in its memory, too.
    memory = torch.from_numpy(np.empty(size // _ELEMENT_BYTES))
    for operation, arrays in _ARRAYS.items():
        n = len(memory) // arrays
        a, b, c = (memory[i * n : (i + 1) * n] for i in range(3))
        spread = torch.linspace(0, n - 1, _LOOKED_AT, dtype=torch.float64).floor()
        torch.arange(1, n + 1, out=b)
        if operation == "copy":
            step, right = partial(a.copy_, b), spread + 1.0
        else:
            torch.arange(n, 0, -1, out=c)
            step = partial(torch.add, b, c, alpha=_SCALE, out=a)
            right = spread + 1.0 + _SCALE * (n - spread)
        footprint = arrays * n * _ELEMENT_BYTES
        yield _Work(
            operation=operation, footprint_bytes=footprint, step=step, a=a, place=spread.long(), right=right
        )


def _timed(work: _Work, clock: HostTime, repeats: int) -> int:
    """Nanoseconds of so many steps, to the end of reading one output back."""
    begun = clock.host_ns()
    for _ in range(repeats):
        work.step()
    float(work.a[-1])
    return clock.host_ns() - begun


def _repeats(work: _Work, clock: HostTime) -> int:
    """How many steps make a pass long enough; the first step, which meets fresh pages, does not tell."""
    work.step()
    repeats = 1
    while _timed(work, clock, repeats) < _PASS_NS and repeats < _MOST_REPEATS:
        repeats *= 2
    return repeats


def _passes(work: _Work, clock: HostTime, repeats: int) -> Iterator[Pass | None]:
    """Timed passes until there are enough; None for one whose outputs were wrong."""
    elapsed = number = 0
    while number < _LEAST_PASSES or (elapsed < _ENOUGH_NS and number < _MOST_PASSES):
        work.spoil()
        ns = _timed(work, clock, repeats)
        if ns <= 0:
            raise CannotMeasure("the host's clock stood still during a pass.")
        yield Pass(ns=ns) if work.is_right() else None
        elapsed, number = elapsed + ns, number + 1


def _transfer(work: _Work, device: str, clock: HostTime) -> Transfer:
    repeats = _repeats(work, clock)
    passes = tuple(_passes(work, clock, repeats))
    right = tuple(one for one in passes if one is not None)
    whole = len(right) == len(passes)
    return Transfer(
        device=device,
        operation=work.operation,
        footprint_bytes=work.footprint_bytes,
        moved_bytes=work.footprint_bytes * repeats,
        passes=right if whole else (),
        reason=None if whole else "wrong-outputs",
    )


def _transfers(device: str, threads: int, size: int, clock: HostTime) -> Iterator[Transfer]:
    """Both operations at one size; raises MemoryError, and CannotMeasure for anything else of torch's."""
    try:
        _torch.set_up(threads)
        for work in _works(size):
            yield _transfer(work, device, clock)
    except (CannotMeasure, MemoryError):
        raise
    except Exception as error:
        raise CannotMeasure(f"memory: torch failed: {str(error) or type(error).__name__}") from error


def _without(device: str, operations: Sequence[_Operation], size: int, reason: str) -> Iterator[Transfer]:
    for operation in operations:
        yield Transfer(
            device=device,
            operation=operation,
            footprint_bytes=size,
            moved_bytes=size,
            passes=(),
            reason=reason,
        )


class Stream:
    def unavailable(self) -> Unavailable | None:
        return _torch.missing()

    def run(
        self,
        device: Device,
        threads: int,
        sizes: Sequence[int],
        clock: HostTime,
        room: int,
        limit_ns: int,
    ) -> tuple[Transfer, ...]:
        """Copy and triad at each size in bytes, ascending, in at most `room` bytes and about `limit_ns`.

        A size is not begun where it would take longer than is left, at the last one's time for a byte.
        """
        done: list[Transfer] = []
        begun, ns_per_byte = clock.host_ns(), 0.0
        for size in sizes:
            now = clock.host_ns()
            if size > room:
                done += _without(device.selector, tuple(_ARRAYS), size, "no-memory")
            elif now - begun + size * ns_per_byte > limit_ns:
                done += _without(device.selector, tuple(_ARRAYS), size, "too-slow")
            else:
                done += self._at(device.selector, threads, size, clock)
                # The time of arrays that are gone through again and again does not grow with them.
                if done[-1].passes and done[-1].moved_bytes == done[-1].footprint_bytes:
                    ns_per_byte = (clock.host_ns() - now) / size
        return tuple(done)

    def _at(self, device: str, threads: int, size: int, clock: HostTime) -> list[Transfer]:
        done: list[Transfer] = []
        reason = ""
        try:
            done.extend(_transfers(device, threads, size, clock))
        except CannotMeasure:
            reason = "backend-failed"
        except MemoryError:
            reason = "no-memory"
        return [*done, *_without(device, tuple(_ARRAYS)[len(done) :], size, reason)]


BANDWIDTH: Bandwidth = Stream()
