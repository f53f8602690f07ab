"""What others took of the processors, or a GPU held back, while a row's windows were open: pure, recomputed.

The run's average hides a neighbour who came for one row; this tells that row from the others.

Resolution: /proc/stat counts in ticks of 10 ms, one count for each CPU and kind of use. Over five windows
of 1 s a CPU has 500 ticks. Each window cuts off less than one tick of each kind at either end, which leaves
about 0.2 % of the time for stolen time and 0.4 % for the load of others (standard deviation; 1 and 5 % at
the very worst), less by the square root of the number of CPUs. Kernels that look only at ticks who is
running add the scatter of that sample: 1 % at a load of 5 %. Between two readings the counters are taken
to grow evenly, so that what happens beside a window, up to a reading's distance away, counts in part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import fsum
from operator import or_

from bench.judge.energy import Counter, Window
from bench.terms import Reading, Sensor

# Why a GPU runs at a lower clock than it could (nvml.h, nvmlClocksEventReasons): the power cap; and hardware
# slowdown (8), heat by the driver's measure (32) and the hardware's (64), the power supply's brake (128). Not
# that it is idle, nor that somebody set its clocks.
POWER_CAP = 4
SLOWED = 8 | 32 | 64 | 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttling:
    """The share of readings at which a GPU was held back, and every reason that was given, as NVML's bits."""

    share: float
    reasons: int


def throttling(windows: Sequence[Window], readings: Sequence[Reading], reasons: Sensor) -> Throttling | None:
    """What the sensor of NVML's reasons told within these windows; None where it told nothing there."""
    times = [reading.at_ns for reading in readings[:: reasons.every]]
    held = [
        level.value & (POWER_CAP | SLOWED)
        for at_ns, level in zip(times, reasons.levels, strict=False)
        if any(begin_ns <= at_ns <= end_ns for begin_ns, end_ns in windows)
    ]
    if not held:
        return None
    return Throttling(share=sum(bits != 0 for bits in held) / len(held), reasons=reduce(or_, held))


def stolen(windows: Sequence[Window], readings: Sequence[Reading], cpus: int) -> float | None:
    """The share of these windows' time on `cpus` CPUs that the hypervisor took away.

    None without windows, or where one reaches beyond the readings.
    """
    return _share(windows, readings, cpus, lambda reading: reading.steal_us)


def taken(windows: Sequence[Window], readings: Sequence[Reading], cpus: int) -> float | None:
    """The share of these windows' time in which `cpus` CPUs were busy or stolen; None as for `stolen`."""
    return _share(windows, readings, cpus, lambda reading: reading.busy_us + reading.steal_us)


def foreign(windows: Sequence[Window], readings: Sequence[Reading], cpus: int) -> float | None:
    """The share of these windows' time on `cpus` CPUs that other processes and the kernel's own work used.

    None as for `stolen`. This process's time is exact and the CPUs' in ticks: with nobody else there the
    difference may come out below nothing, and is shown as nothing.
    """
    share = _share(windows, readings, cpus, lambda reading: reading.busy_us - reading.own_us)
    return None if share is None else max(0.0, share)


def _share(
    windows: Sequence[Window], readings: Sequence[Reading], cpus: int, count_us: Callable[[Reading], int]
) -> float | None:
    length_us = sum(end_ns - begin_ns for begin_ns, end_ns in windows) / 1000
    if length_us <= 0:
        return None
    counter = Counter(
        at_ns=[reading.at_ns for reading in readings], values=[count_us(reading) for reading in readings]
    )
    grown = [counter.increase(*window) for window in windows]
    known = [increase for increase in grown if increase is not None]
    return fsum(known) / (length_us * cpus) if len(known) == len(grown) else None
