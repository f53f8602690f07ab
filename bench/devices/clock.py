"""The clocks a sample is read from. The loop takes any Clock, so that a scripted one can drive it."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Three independent readings in integer ns."""

    def host_ns(self) -> int:
        """CLOCK_MONOTONIC: the figure's clock, slewed by the system's time keeping."""

    def raw_ns(self) -> int:
        """CLOCK_MONOTONIC_RAW: the hardware counter, not slewed."""

    def cpu_ns(self) -> int:
        """CPU time that all threads of this process have used."""


class HostClock:
    """The clocks of a Linux host."""

    def host_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def raw_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)

    def cpu_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The three clocks read together."""

    host_ns: int
    raw_ns: int
    cpu_ns: int


# Two clock reads take well under a microsecond; a wider gap means that the process was interrupted
# between them, and the clocks would seem to disagree by what the interruption took.
_TOGETHER_NS = 20_000
_TRIES = 8


def together(clock: Clock) -> Moment:
    """Read all clocks within a few microseconds of each other, trying again after an interruption."""
    for _ in range(_TRIES):
        cpu, raw, host = clock.cpu_ns(), clock.raw_ns(), clock.host_ns()
        if clock.raw_ns() - raw < _TOGETHER_NS:
            break
    return Moment(host_ns=host, raw_ns=raw, cpu_ns=cpu)
