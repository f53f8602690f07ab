"""The machine around the devices: what the system is, how much memory is left, and its counters.

Field names follow MLPerf's system description where it has one. Host names, user names and other
processes' names are never read.
"""

import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.devices import cgroup
from bench.devices.tree import HERE, absent, fact, read, read_or_empty
from bench.errors import CannotMeasure
from bench.terms import Fact, Reading

OS_RELEASE = "/etc/os-release"
MEMINFO = "/proc/meminfo"
STAT = "/proc/stat"

# Marks that container engines leave: a file each, or a word in the path of the process's group.
CONTAINER_FILES = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
CONTAINER_WORDS = ("kubepods", "docker", "libpod", "containerd", "lxc")


def system(root: Path = HERE) -> tuple[Fact, ...]:
    """Everything about the host that stands in the evidence beside the devices."""
    return (
        fact("operating_system", root, OS_RELEASE, lambda text: _os_release(text, "PRETTY_NAME")),
        fact("operating_system_id", root, OS_RELEASE, lambda text: _os_release(text, "ID")),
        fact("operating_system_version", root, OS_RELEASE, lambda text: _os_release(text, "VERSION_ID")),
        fact("kernel_release", root, "/proc/sys/kernel/osrelease"),
        Fact(name="architecture", value=platform.machine(), source="uname"),
        Fact(name="python_version", value=platform.python_version(), source="sys.version"),
        fact("host_memory_capacity_bytes", root, MEMINFO, lambda text: kib(text, "MemTotal")),
        fact("memory_available_bytes", root, MEMINFO, lambda text: kib(text, "MemAvailable")),
        cgroup.memory_limit(root),
        _container(root),
        fact("load_average_1min", root, "/proc/loadavg", lambda text: float(text.split()[0])),
        *_timers(),
    )


def memory_room(root: Path = HERE) -> int:
    """Bytes that can be taken now without swapping or meeting a limit of the control groups."""
    try:
        available = kib(read(root, MEMINFO), "MemAvailable")
    except (OSError, ValueError) as error:
        raise CannotMeasure(
            f"cannot tell how much memory is free ({MEMINFO}: {error}): measuring is for Linux."
        ) from error
    left = cgroup.memory_left(root)
    return available if left is None else min(available, left)


def counters(clock_ns: Callable[[], int], affinity: frozenset[int], root: Path = HERE) -> Reading:
    """CPU time that the CPUs of `affinity`, where this process may run, have spent up to now.

    Neighbours on other CPUs are nobody's concern here, and time stolen from these must not drown there.
    busy = user + nice + system + irq + softirq; the time of guests is in user and nice already.
    """
    at_ns = clock_ns()
    own_us = time.process_time_ns() // 1000
    try:
        user, nice, kernel, _idle, _waiting, irq, softirq, steal = _cpu_ticks(_stat(root), affinity)
    except (OSError, ValueError) as error:
        raise CannotMeasure(
            f"cannot read the machine's load ({STAT}: {error}): measuring is for Linux."
        ) from error
    tick_us = 1_000_000 // os.sysconf("SC_CLK_TCK")
    busy = user + nice + kernel + irq + softirq
    return Reading(at_ns=at_ns, busy_us=busy * tick_us, own_us=own_us, steal_us=steal * tick_us)


def _stat(root: Path) -> str:
    """The counters' text, read the short way: ten times a second nothing of this is in the caches.

    A pathlib.Path and a text file took 270 us so, and this takes 70.
    """
    descriptor = os.open(f"{root}{STAT}", os.O_RDONLY)
    try:
        parts = []
        while part := os.read(descriptor, 2**16):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode("ascii", "replace")


def _cpu_ticks(text: str, affinity: frozenset[int]) -> list[int]:
    """The first eight numbers of the lines of these CPUs (proc(5), stat), added up."""
    wanted = {f"cpu{number}" for number in affinity}
    sums: list[int] | None = None
    for line in text.splitlines():
        if not line.startswith("cpu"):
            # The CPUs come first; the line of interrupts has thousands of numbers on large machines.
            break
        name, *numbers = line.split()
        if name in wanted:
            ticks = [int(number) for number in numbers[:8]]
            sums = [total + more for total, more in zip(sums or [0] * 8, ticks, strict=True)]
    if sums is None:
        raise ValueError("expected a line of eight numbers for each CPU")
    return sums


def _os_release(text: str, key: str) -> str:
    match = re.search(rf"^{key}=([\"']?)(.+)\1$", text, re.M)
    if match is None:
        raise ValueError(f"no line {key}")
    return match[2]


def kib(text: str, key: str) -> int:
    """A line of /proc/meminfo in bytes; raises ValueError where there is none."""
    match = re.search(rf"^{key}:\s+([0-9]+) kB$", text, re.M)
    if match is None:
        raise ValueError(f"no line {key}")
    return int(match[1]) * 1024


def _container(root: Path) -> Fact:
    for path, engine in CONTAINER_FILES.items():
        if (root / path.lstrip("/")).exists():
            return Fact(name="container", value=engine, source=path)
    groups = read_or_empty(root, "/proc/self/cgroup")
    word = next((word for word in CONTAINER_WORDS if word in groups), None)
    if word is None:
        return absent("container", "/proc/self/cgroup", "none-seen")
    return Fact(name="container", value=word, source="/proc/self/cgroup")


def _timers() -> Iterator[Fact]:
    """The step the system promises for each clock a sample is timed with."""
    for clock in ("CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW"):
        name, number = f"{clock.lower()}_resolution_ns", getattr(time, clock, None)
        if number is None:
            yield absent(name, "clock_getres", "no-clock")
        else:
            yield Fact(name=name, value=round(time.clock_getres(number) * 1e9), source="clock_getres")
