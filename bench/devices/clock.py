"""The clocks a sample is read from. The loop takes any Clock, so that a scripted one can drive it."""

import time
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
