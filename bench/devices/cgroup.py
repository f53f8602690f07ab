"""The CPU and memory limits that control groups put on this process, versions 1 and 2, at every level.

A limit of any ancestor holds for the process, so the smallest counts. Names of groups are never
given away: they may hold a user's name or a container's id.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.devices.tree import HERE, absent, read_or_empty
from bench.terms import Fact

# Version 1 writes "no limit" as the largest page-aligned int64 (9223372036854771712). Above 1 EiB no
# machine has memory to be limited, and below it no kernel means "none".
_NO_MEMORY_LIMIT = 2**60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """One group that holds the process: the folder with its files, and whose files they are."""

    version: int
    folder: str

    def text(self, root: Path, name: str) -> str:
        return read_or_empty(root, f"{self.folder}/{name}")

    def number(self, root: Path, name: str) -> int | None:
        text = self.text(root, name)
        return int(text) if text.removeprefix("-").isdigit() else None


def cpu_quota(root: Path = HERE) -> Fact:
    """How many CPUs' time the quota allows (1.5 is one and a half), or `no-limit`."""
    levels = _levels(root, "cpu")
    quotas = [
        (cpus, _CPU_FILE[level.version]) for level in levels if (cpus := _cpus(root, level)) is not None
    ]
    if not quotas:
        return absent("cpu-quota", "cgroup", "no-limit" if levels else "no-cgroup")
    cpus, source = min(quotas)
    return Fact(name="cpu-quota", value=cpus, source=source)


def memory_limit(root: Path = HERE) -> Fact:
    """The smallest memory limit over the process in bytes, or `no-limit`."""
    levels = _levels(root, "memory")
    limits = [limit for level in levels if (limit := _limit(root, level)) is not None]
    if not limits:
        return absent("memory_limit_bytes", "cgroup", "no-limit" if levels else "no-cgroup")
    return Fact(name="memory_limit_bytes", value=min(limits), source="cgroup memory limit")


def memory_left(root: Path = HERE) -> int | None:
    """Bytes up to the nearest limit. File cache that the kernel gives back is not counted as used."""
    rooms = [room for level in _levels(root, "memory") if (room := _room(root, level)) is not None]
    return min(rooms, default=None)


_CPU_FILE = {1: "cgroup cpu.cfs_quota_us", 2: "cgroup cpu.max"}
_USAGE_FILE = {1: "memory.usage_in_bytes", 2: "memory.current"}
_CACHE_ROW = {1: "total_inactive_file", 2: "inactive_file"}


def _cpus(root: Path, level: _Level) -> float | None:
    if level.version == 2:
        quota, _, period = level.text(root, "cpu.max").partition(" ")
        return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None
    allowed = level.number(root, "cpu.cfs_quota_us")
    each = level.number(root, "cpu.cfs_period_us")
    return allowed / each if allowed and each and allowed > 0 else None


def _limit(root: Path, level: _Level) -> int | None:
    # memory.high does not kill, but a process above it is slowed down by reclaim: no room to measure in.
    names = ("memory.max", "memory.high") if level.version == 2 else ("memory.limit_in_bytes",)
    limits = (level.number(root, name) for name in names)
    return min((limit for limit in limits if limit is not None and limit < _NO_MEMORY_LIMIT), default=None)


def _room(root: Path, level: _Level) -> int | None:
    limit, used = _limit(root, level), level.number(root, _USAGE_FILE[level.version])
    if limit is None or used is None:
        return limit
    rows = (row.split() for row in level.text(root, "memory.stat").splitlines())
    cache = next((int(row[1]) for row in rows if row[0] == _CACHE_ROW[level.version]), 0)
    return max(0, limit - max(0, used - cache))


def _levels(root: Path, controller: str) -> tuple[_Level, ...]:
    """Every group over the process that can limit `controller`, from its own up to the mount's root."""
    return tuple(
        _Level(version=version, folder=folder)
        for version, mounted, point in _mounts(root, controller)
        for path in _memberships(root, controller, version)
        for folder in _upward(path, mounted, point)
    )


def _memberships(root: Path, controller: str, version: int) -> Iterator[str]:
    for line in read_or_empty(root, "/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if (not controllers) if version == 2 else (controller in controllers.split(",")):
            yield path


def _mounts(root: Path, controller: str) -> Iterator[tuple[int, str, str]]:
    """Version, the group that is mounted, and where; the format is in proc(5), mountinfo."""
    for line in read_or_empty(root, "/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        mounted, point = left.split()[3:5]
        kind, *_, options = right.split()
        if kind == "cgroup2":
            yield 2, mounted, point
        elif kind == "cgroup" and controller in options.split(","):
            yield 1, mounted, point


def _upward(path: str, mounted: str, point: str) -> Iterator[str]:
    """Inside a container the group's path may lie outside of what is mounted: then the mount's root."""
    group = PurePosixPath(path)
    inside = group.is_relative_to(mounted) and ".." not in group.parts
    relative = group.relative_to(mounted) if inside else PurePosixPath()
    for step in (relative, *relative.parents):
        yield str(PurePosixPath(point) / step)
