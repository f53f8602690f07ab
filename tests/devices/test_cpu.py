"""The family `cpu` on recorded machines, and once on this one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.devices.cpu import affinity_here, clock_cpus, inventory, one_cpu_per_core
from bench.terms import Device, Fact

TREES = Path(__file__).parents[1] / "data" / "cpu"
ALL_8 = frozenset(range(8))

Plant = Callable[[dict[str, str]], Path]


def recorded(tree: str, affinity: frozenset[int]) -> Device:
    (device,) = inventory(affinity, root=TREES / tree).devices
    return device


def fact(device: Device, name: str) -> Fact:
    (found,) = [item for item in device.facts if item.name == name]
    return found


@pytest.fixture
def xeon() -> Device:
    return recorded("xeon-vm-2cpu", frozenset({0, 1}))


@pytest.fixture
def epyc() -> Device:
    return recorded("epyc-quota-v2-8cpu", ALL_8)


@pytest.fixture
def board() -> Device:
    return recorded("rk3588-aarch64-8cpu", ALL_8)


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Writes files below a root, and gives that root."""

    def write(files: dict[str, str]) -> Path:
        for path, text in files.items():
            target = tmp_path / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return tmp_path

    return write


def test_all_cpus_are_one_device(xeon: Device) -> None:
    assert (xeon.selector, xeon.family, xeon.kind) == ("cpu", "cpu", "cpu")


def test_model_and_vendor_are_the_machines_own_words(xeon: Device) -> None:
    assert (xeon.name, xeon.vendor) == ("Intel(R) Xeon(R) Processor", "GenuineIntel")


def test_every_fact_names_its_source(xeon: Device, epyc: Device, board: Device) -> None:
    assert all(item.source for device in (xeon, epyc, board) for item in device.facts)


def test_fact_names_are_unique(xeon: Device, epyc: Device, board: Device) -> None:
    for device in (xeon, epyc, board):
        names = [item.name for item in device.facts]
        assert len(names) == len(set(names))


def test_nothing_unknown_is_zero_or_empty(xeon: Device, epyc: Device, board: Device) -> None:
    values = [item.value for device in (xeon, epyc, board) for item in device.facts]
    assert not [value for value in values if value == "" or (value == 0 and not isinstance(value, bool))]


def test_instruction_sets_are_those_that_matter_in_our_order(xeon: Device) -> None:
    assert xeon.fact("instruction-sets") == (
        "sse4_2 avx avx2 fma f16c avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16 avx512_fp16 "
        "avx_vnni amx_tile amx_int8 amx_bf16 avx512_vbmi2"
    )


def test_sockets_cores_and_threads_are_counted(xeon: Device) -> None:
    assert [xeon.fact(name) for name in ("sockets", "cores", "logical-cpus")] == [1, 2, 2]


def test_smt_siblings_are_one_core(epyc: Device) -> None:
    assert (epyc.fact("cores"), epyc.fact("logical-cpus"), epyc.fact("smt-active")) == (4, 8, True)


def siblings(*groups: str) -> dict[str, str]:
    """Files of a machine whose CPUs 0, 1, ... lie in these groups of SMT siblings."""
    return {
        f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{group}\n"
        for cpu, group in enumerate(groups)
    } | {"/proc/cpuinfo": "".join(f"processor\t: {cpu}\n\n" for cpu in range(len(groups)))}


def test_cores_usable_are_distinct_cores_of_the_affinity(plant: Plant) -> None:
    root = plant(siblings("0,2", "1,3", "0,2", "1,3"))
    shown = []
    for affinity in ({0, 1, 2, 3}, {0, 2}, {1, 2}, {3}):
        (device,) = inventory(frozenset(affinity), root=root).devices
        shown.append((device.fact("threads-usable"), device.fact("cores-usable")))
    assert shown == [(4, 2), (2, 1), (2, 2), (1, 1)]


def test_cores_usable_are_at_most_the_threads_usable(xeon: Device, epyc: Device) -> None:
    assert (xeon.fact("cores-usable"), epyc.fact("cores-usable")) == (2, 1)


def test_cores_usable_of_a_machine_that_does_not_tell_siblings_are_absent(plant: Plant) -> None:
    (device,) = inventory(ALL_8, root=plant({"/proc/cpuinfo": "processor\t: 0\n"})).devices
    assert fact(device, "cores-usable").reason == "no-file"


def test_one_cpu_stands_for_each_core(plant: Plant) -> None:
    root = plant(siblings("0-1", "0-1", "2-3", "2-3"))
    assert one_cpu_per_core(frozenset({0, 1, 2, 3}), root) == (0, 2)
    assert one_cpu_per_core(frozenset({1, 2, 3}), root) == (1, 2)


def test_a_cpu_whose_siblings_nobody_tells_is_a_core(plant: Plant) -> None:
    assert one_cpu_per_core(frozenset({4, 2}), plant({})) == (2, 4)


def test_the_clock_is_measured_on_no_more_cpus_than_threads_may_run(epyc: Device, xeon: Device) -> None:
    assert clock_cpus(epyc, ALL_8, TREES / "epyc-quota-v2-8cpu") == (0,)
    assert clock_cpus(xeon, frozenset({0, 1}), TREES / "xeon-vm-2cpu") == (0, 1)


def test_caches_have_size_sharing_and_number(xeon: Device) -> None:
    l1d = [xeon.fact(f"l1d-cache-{name}") for name in ("bytes", "cpus", "count")]
    l3 = [xeon.fact(f"l3-cache-{name}") for name in ("bytes", "cpus", "count")]
    assert (l1d, l3) == ([48 * 1024, 1, 2], [480 * 1024 * 1024, 2, 1])


def test_cache_shared_by_siblings_counts_both(epyc: Device) -> None:
    assert epyc.fact("l2-cache-cpus") == 2


def test_untold_caches_are_absent_with_a_reason(board: Device) -> None:
    assert fact(board, "l3-cache-bytes").reason == "no-file"


def test_quota_of_one_and_a_half_cpus_leaves_one_thread_of_eight(epyc: Device) -> None:
    shown = [epyc.fact(name) for name in ("threads-affinity", "cpu-quota", "threads-usable")]
    assert shown == [8, 1.5, 1]


def test_quota_of_an_ancestor_holds_without_giving_its_name_away(epyc: Device) -> None:
    assert fact(epyc, "cpu-quota").source == "cgroup cpu.max"


def test_affinity_below_the_quota_decides() -> None:
    assert recorded("xeon-vm-2cpu", frozenset({1})).fact("threads-usable") == 1


def test_no_quota_is_absent_with_a_reason_and_limits_nothing(xeon: Device) -> None:
    assert (fact(xeon, "cpu-quota").reason, xeon.fact("threads-usable")) == ("no-limit", 2)


def test_machine_without_control_groups_says_so(board: Device) -> None:
    assert fact(board, "cpu-quota").reason == "no-cgroup"


def test_quota_below_one_cpu_still_leaves_one_thread(plant: Plant) -> None:
    root = plant(
        {
            "/proc/cpuinfo": "processor\t: 0\n",
            "/proc/self/cgroup": "0::/\n",
            "/proc/self/mountinfo": "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "/sys/fs/cgroup/cpu.max": "50000 100000\n",
        }
    )
    (device,) = inventory(ALL_8, root=root).devices
    assert (device.fact("cpu-quota"), device.fact("threads-usable")) == (0.5, 1)


def test_version_1_quota_inside_a_container_is_found(plant: Plant) -> None:
    root = plant(
        {
            "/proc/cpuinfo": "processor\t: 0\n",
            "/proc/self/cgroup": "4:cpu,cpuacct:/docker/1f2e\n2:memory:/docker/1f2e\n",
            "/proc/self/mountinfo": (
                "35 24 0:30 /docker/1f2e /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
            ),
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        }
    )
    (device,) = inventory(ALL_8, root=root).devices
    assert (device.fact("cpu-quota"), device.fact("threads-usable")) == (2.5, 2)


def test_group_outside_of_what_is_mounted_is_read_at_the_mount(plant: Plant) -> None:
    root = plant(
        {
            "/proc/cpuinfo": "processor\t: 0\n",
            "/proc/self/cgroup": "0::/../../other\n",
            "/proc/self/mountinfo": "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "/sys/fs/cgroup/cpu.max": "300000 100000\n",
        }
    )
    (device,) = inventory(ALL_8, root=root).devices
    assert device.fact("cpu-quota") == 3.0


def test_frequencies_are_in_hertz(epyc: Device) -> None:
    names = ("frequency-current-hz", "frequency-min-hz", "frequency-max-hz")
    assert [epyc.fact(name) for name in names] == [3_699_204_000, 1_500_000_000, 3_707_812_000]


def test_frequencies_are_those_of_a_cpu_the_process_may_use() -> None:
    big_cores = recorded("rk3588-aarch64-8cpu", frozenset({4, 5, 6, 7}))
    assert big_cores.fact("frequency-max-hz") == 2_256_000_000


def test_without_cpufreq_the_current_frequency_is_cpuinfos(xeon: Device) -> None:
    current = fact(xeon, "frequency-current-hz")
    assert (current.value, current.source) == (2_600_000_000, "/proc/cpuinfo")


def test_unreadable_governor_is_absent_with_a_reason(xeon: Device, epyc: Device) -> None:
    assert (fact(xeon, "governor").reason, epyc.fact("governor")) == ("no-file", "performance")


def test_path_that_is_no_file_is_not_readable(plant: Plant) -> None:
    folder = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    root = plant({"/proc/cpuinfo": "processor\t: 0\n", f"{folder}/inside": "tsc"})
    (device,) = inventory(ALL_8, root=root).devices
    assert fact(device, "clock-source").reason == "not-readable"


@pytest.mark.parametrize("text", ["many", "0", "-1"])
def test_senseless_frequency_is_not_understood(plant: Plant, text: str) -> None:
    path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    (device,) = inventory(ALL_8, root=plant({"/proc/cpuinfo": "processor\t: 0\n", path: text})).devices
    assert fact(device, "frequency-current-hz").reason == "not-understood"


def test_empty_product_name_is_absent_with_a_reason(epyc: Device) -> None:
    assert (epyc.fact("system-vendor"), fact(epyc, "system-product").reason) == ("Supermicro", "empty")


def test_hypervisor_is_seen_in_the_flags(xeon: Device, epyc: Device) -> None:
    assert (xeon.fact("hypervisor"), epyc.fact("hypervisor")) == (True, False)


def test_an_architecture_that_cannot_tell_a_hypervisor_does_not_deny_one(board: Device) -> None:
    assert fact(board, "hypervisor").reason == "not-told"


def test_board_without_a_model_name_is_called_by_vendor_and_parts(board: Device) -> None:
    assert (board.name, board.vendor) == ("ARM CPU, part 0xd05 + 0xd0b", "ARM")


def test_missing_model_name_is_absent_with_a_reason(board: Device) -> None:
    assert fact(board, "model").reason == "no-line"


def test_board_name_comes_without_its_trailing_nul(board: Device) -> None:
    assert board.fact("board") == "Orange Pi 5 Plus"


def test_arm_instruction_sets_are_those_every_core_has(board: Device) -> None:
    assert board.fact("instruction-sets") == "asimd asimdhp asimddp"


def test_unknown_package_is_not_a_socket(board: Device) -> None:
    assert fact(board, "sockets").reason == "not-told"


def test_serial_number_in_cpuinfo_is_not_recorded(board: Device) -> None:
    assert not [item for item in board.facts if item.value == "0123456789abcdef"]


def test_system_without_proc_is_unavailable_with_the_path(tmp_path: Path) -> None:
    found = inventory(ALL_8, root=tmp_path)
    assert found.devices == ()
    assert (found.unavailable[0].code, "/proc/cpuinfo" in found.unavailable[0].detail) == ("no-cpuinfo", True)


def test_this_machine_has_a_model_or_a_reason_and_usable_threads() -> None:
    found = inventory(affinity_here())
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    (device,) = found.devices
    usable = device.fact("threads-usable")
    assert fact(device, "model").value or fact(device, "model").reason
    assert isinstance(usable, int)
    assert 1 <= usable <= len(affinity_here())
