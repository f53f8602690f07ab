"""Whether the clocks of this process are the system's: its own claim, made before it measures.

It sees a timer that was exchanged in the interpreter or in the C library, and clocks that run at different
rates. It does not see a lie below the system call, nor one that begins after it has looked.
"""

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType

from bench.devices import clock
from bench.devices.tree import absent, fact
from bench.terms import Fact

REPLACED = "timers-replaced"
OFF_LIBRARY = "clock-off-library-ns"
OFF_KERNEL = "clock-off-kernel-ns"
OFF_BOOTTIME = "raw-clock-off-boottime-ppm"
OFF_REALTIME = "raw-clock-off-realtime-ppm"
SOURCE = "clock-source"
VDSO = "vdso-mapped"

_SOURCES = "/sys/devices/system/clocksource/clocksource0"

# Clock sources that are read in tens of nanoseconds to a microsecond and count finer than that. Left out are
# those that a kernel falls back to when it distrusts the processor's counter: hpet and acpi_pm, which take
# microseconds and wrap around, and jiffies and pit, which count in milliseconds.
USUAL_SOURCES = frozenset(
    {
        *("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "hyperv_clocksource_msr", "xen"),
        *("arch_sys_counter", "riscv_clocksource", "timebase", "tod", "Constant", "stable_counter"),
    }
)

_BUILTIN = (
    *("clock_gettime", "clock_gettime_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"),
    *("process_time", "process_time_ns", "sleep", "time", "time_ns"),
)
_OWN = ("host_ns", "raw_ns", "cpu_ns")

# The clocks that a sample is read from.
_CLOCKS = ("CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_PROCESS_CPUTIME_ID")

# The number of the system call clock_gettime: the kernel's arch/*/entry/syscalls/*.tbl, and for aarch64,
# riscv64 and loongarch64 include/uapi/asm-generic/unistd.h.
CALLS: Mapping[str, int] = {
    "x86_64": 228,
    "aarch64": 113,
    "riscv64": 113,
    "loongarch64": 113,
    "ppc64le": 246,
    "s390x": 260,
}

# Long enough that reading two clocks a microsecond apart hides less than 0.01 %, and short for a start.
_SPAN_S = 0.02
# An interruption between two readings widens what is taken for agreement: the best try counts.
_TRIES = 5

Reader = Callable[[int], int]


def facts(root: Path) -> Iterator[Fact]:
    """Everything about the clocks; takes 20 ms. Whether functions were replaced is not among it."""
    yield fact(VDSO, root, "/proc/self/maps", lambda text: "[vdso]" in text)
    yield fact(SOURCE, root, f"{_SOURCES}/current_clocksource")
    yield fact("clock-sources-available", root, f"{_SOURCES}/available_clocksource")
    yield _off(OFF_LIBRARY, "clock_gettime of the C library", _library)
    yield _off(OFF_KERNEL, "system call clock_gettime", _kernel)
    yield from _rates()


# -------------------------------------------------------------------- are the functions the original ones?


def replaced() -> list[str]:
    """Names of the functions of time, and of the clock that samples are read from, that are others."""
    own = (f"HostClock.{name}" for name in _OWN if not _is_own(name))
    module = () if vars(clock).get("time") is time and sys.modules.get("time") is time else ("time",)
    return [*module, *(f"time.{name}" for name in _BUILTIN if not _is_builtin(name)), *own]


def _is_builtin(name: str) -> bool:
    function = getattr(time, name, None)
    return (
        type(function) is BuiltinFunctionType
        and (function.__module__, function.__name__) == ("time", name)
        and function.__self__ is time
    )


def _is_own(name: str) -> bool:
    function = getattr(clock.HostClock, name, None)
    return type(function) is FunctionType and function.__code__.co_filename == clock.__file__


# ------------------------------------------------------------------------ do others read the same time?


def _off(name: str, source: str, reader: Callable[[], Reader]) -> Fact:
    """How far another reading lies outside of two by the interpreter around it: 0 for the same clock."""
    if platform.system() != "Linux":
        return absent(name, source, "other-system")
    if sys.maxsize < 2**32:
        # A 32-bit process has other numbers of calls, and a choice of two sizes of seconds.
        return absent(name, source, "no-other-reading")
    try:
        read = reader()
        farthest = max(_outside_ns(read, getattr(time, clock)) for clock in _CLOCKS)
    except (OSError, AttributeError, KeyError):
        return absent(name, source, "no-other-reading")
    return Fact(name=name, value=farthest, source=source)


def _outside_ns(read: Reader, number: int) -> int:
    tries = []
    for _ in range(_TRIES):
        before, other, after = time.clock_gettime_ns(number), read(number), time.clock_gettime_ns(number)
        tries.append(max(0, before - other, other - after))
    return min(tries)


def _library() -> Reader:
    """The C library's function, found by its name as any program finds it."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    return _reader(library.clock_gettime)


def _kernel() -> Reader:
    """The kernel's own answer, neither by the C library's clock_gettime nor by the vDSO.

    Raises KeyError where the call's number is not known.
    """
    import ctypes

    call = ctypes.c_long(CALLS[platform.machine()])
    library = ctypes.CDLL(None, use_errno=True)
    return _reader(lambda number, into: library.syscall(call, ctypes.c_long(number), into))


def _reader(gettime: Callable[..., int]) -> Reader:
    import ctypes

    timespec = ctypes.c_long * 2

    def read(number: int) -> int:
        seconds_ns = timespec()
        if gettime(number, seconds_ns) != 0:
            raise OSError(ctypes.get_errno(), "clock_gettime")
        return int(seconds_ns[0]) * 10**9 + int(seconds_ns[1])

    return read


# ----------------------------------------------------------------------- do the clocks run at one rate?


def _rates() -> Iterator[Fact]:
    """CLOCK_MONOTONIC_RAW against clocks that a lie about the measuring ones may have left out."""
    try:
        raw = time.CLOCK_MONOTONIC_RAW
        others = {OFF_BOOTTIME: time.CLOCK_BOOTTIME, OFF_REALTIME: time.CLOCK_REALTIME}
    except AttributeError:
        yield from (absent(name, "clock_gettime", "no-clock") for name in (OFF_BOOTTIME, OFF_REALTIME))
        return
    first = {name: _pair(raw, number) for name, number in others.items()}
    time.sleep(_SPAN_S)
    for name, number in others.items():
        yield _rate(name, first[name], _pair(raw, number))


def _pair(one: int, other: int) -> tuple[int, int, int]:
    """A reading of `other` between two of `one`, the closest of some tries."""
    read = time.clock_gettime_ns
    return min(
        ((read(one), read(other), read(one)) for _ in range(_TRIES)), key=lambda times: times[2] - times[0]
    )


def _rate(name: str, first: tuple[int, int, int], last: tuple[int, int, int]) -> Fact:
    """How far the other clock's span lies outside of what the readings around it allow."""
    shortest, longest, other = last[0] - first[2], last[2] - first[0], last[1] - first[1]
    if min(longest, other) <= 0:
        return absent(name, "clock_gettime", "clock-stands-still")
    outside = max(0, shortest - other, other - longest)
    return Fact(name=name, value=round(1e6 * outside / max(longest, other)), source="clock_gettime")
