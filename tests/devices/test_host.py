"""The machine around the devices: facts, room in memory, counters."""

import os
import socket
import time
from pathlib import Path

import pytest

from bench.devices.cpu import affinity_here
from bench.devices.host import counters, memory_room, system
from bench.errors import CannotMeasure
from bench.terms import Fact

TREES = Path(__file__).parents[1] / "data" / "cpu"
XEON, EPYC, BOARD = (TREES / name for name in ("xeon-vm-2cpu", "epyc-quota-v2-8cpu", "rk3588-aarch64-8cpu"))
GIB = 2**30

ZERO = frozenset({0})


def fact(name: str, root: Path) -> Fact:
    (found,) = [item for item in system(root) if item.name == name]
    return found


def test_operating_system_is_what_os_release_says() -> None:
    names = ("operating_system", "operating_system_id", "operating_system_version")
    assert [fact(name, XEON).value for name in names] == ["Debian GNU/Linux 12 (bookworm)", "debian", "12"]


def test_kernel_release_and_memory_are_read() -> None:
    assert fact("kernel_release", XEON).value == "6.18.44-fc-v669"
    assert fact("host_memory_capacity_bytes", BOARD).value == 16_219_240 * 1024


def test_missing_os_release_is_absent_with_a_reason() -> None:
    assert fact("operating_system", BOARD).reason == "no-file"


def test_os_release_without_the_line_is_not_understood(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("NAME=Nothing\n")
    assert fact("operating_system_version", tmp_path).reason == "not-understood"


def test_clock_steps_are_positive() -> None:
    for name in ("clock_monotonic_resolution_ns", "clock_monotonic_raw_resolution_ns"):
        value = fact(name, XEON).value
        assert value is None or (isinstance(value, int) and value > 0)


def test_container_is_seen_by_the_engines_file(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").touch()
    assert fact("container", tmp_path).value == "podman"


def test_container_is_seen_in_the_groups_path_without_its_id(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/kubepods.slice/cri-containerd-1f2e.scope\n")
    assert fact("container", tmp_path).value == "kubepods"


def test_no_sign_of_a_container_is_absent_with_a_reason() -> None:
    assert fact("container", EPYC).reason == "none-seen"


def test_facts_hold_neither_host_nor_user_nor_group_names() -> None:
    told = " ".join(f"{item.value} {item.source}" for root in (Path("/"), EPYC) for item in system(root))
    assert "alice" not in told
    assert socket.gethostname() not in told.split()


def test_memory_limit_of_an_ancestor_is_shown() -> None:
    assert fact("memory_limit_bytes", EPYC).value == 4 * GIB


def test_room_ends_at_the_limit_of_an_ancestor_and_counts_cache_as_free() -> None:
    # limit 4 GiB, 1.5 GiB in use, of which 0.5 GiB is file cache that the kernel gives back
    assert memory_room(EPYC) == 3 * GIB


def test_room_without_a_limit_is_what_the_kernel_calls_available() -> None:
    assert memory_room(BOARD) == 15_000_000 * 1024


def test_version_1_limit_and_usage_bound_the_room(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\n",
        "proc/self/cgroup": "4:memory:/docker/1f2e\n",
        "proc/self/mountinfo": "31 28 0:32 /docker/1f2e /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 4}\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert memory_room(tmp_path) == GIB + GIB // 4


def test_room_of_this_machine_is_positive_and_below_its_memory() -> None:
    capacity = fact("host_memory_capacity_bytes", Path("/")).value
    assert isinstance(capacity, int)
    assert 0 < memory_room() < capacity


def test_without_meminfo_the_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasure, match="measuring is for Linux"):
        memory_room(tmp_path)


def test_counters_take_guests_once_and_keep_steal_apart(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    # user nice system idle iowait irq softirq steal guest guest_nice; guest is part of user
    lines = ("cpu 9 9 9 9 9 9 9 9 9 9", "cpu0 100 20 30 9000 500 4 6 70 50 10", "intr 1 2 3")
    (tmp_path / "proc/stat").write_text("\n".join(lines))
    tick_us = 1_000_000 // os.sysconf("SC_CLK_TCK")
    reading = counters(lambda: 42, ZERO, root=tmp_path)
    assert (reading.at_ns, reading.busy_us, reading.steal_us) == (42, 160 * tick_us, 70 * tick_us)


def test_counters_are_those_of_the_cpus_that_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    rows = "".join(f"cpu{n} {10**n} 0 0 0 0 0 0 {2 * 10**n}\n" for n in range(3))
    (tmp_path / "proc/stat").write_text(f"cpu 999 0 0 0 0 0 0 999\n{rows}")
    tick_us = 1_000_000 // os.sysconf("SC_CLK_TCK")
    reading = counters(lambda: 42, frozenset({0, 2}), root=tmp_path)
    assert (reading.busy_us, reading.steal_us) == (101 * tick_us, 202 * tick_us)


def test_own_work_shows_in_own_and_in_busy_time() -> None:
    before = counters(time.monotonic_ns, affinity_here())
    while time.process_time_ns() // 1000 < before.own_us + 100_000:
        sum(range(10_000))
    after = counters(time.monotonic_ns, affinity_here())
    assert after.own_us - before.own_us >= 100_000
    # /proc/stat counts in ticks of 10 ms, and a tick goes to whoever runs when it falls
    assert after.busy_us - before.busy_us >= 50_000
    assert after.at_ns > before.at_ns


@pytest.mark.parametrize("text", ["", "cpu 1 2 3 4 5 6 7 8\n", "cpu0 1 2 3\n", "cpu0 1 2 3 x 5 6 7 8\n"])
def test_a_load_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(text)
    with pytest.raises(CannotMeasure, match="/proc/stat"):
        counters(time.monotonic_ns, ZERO, root=tmp_path)
