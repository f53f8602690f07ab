"""The recorder: a real thread on this machine, and the sensors of machines planted as file trees."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bench.devices.cpu import affinity_here
from bench.devices.telemetry import PERIOD_NS, Probe, Recorder, host_probes
from bench.errors import CannotMeasure
from bench.terms import Sensor, Telemetry

TREES = Path(__file__).parents[1] / "data" / "cpu"
MS = 1_000_000
STAT = {"proc/stat": "cpu 9 9 9 9 9 9 9 9\n" + "".join(f"cpu{n} 1 0 0 0 0 0 0 0 0 0\n" for n in range(256))}
CPU0 = frozenset({0})
UNREACHABLE = 1_000 * PERIOD_NS

Plant = Callable[[dict[str, str]], Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Writes files below a root that has counters already, and gives that root."""

    def write(files: dict[str, str]) -> Path:
        for path, text in {**STAT, **files}.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return tmp_path

    return write


def recorder(root: Path, cpus: frozenset[int] = CPU0, period_ns: int = UNREACHABLE) -> Recorder:
    """One whose thread never comes to read, unless a period is given: start and stop read once each."""
    return Recorder(
        clock_ns=time.monotonic_ns,
        affinity=cpus,
        probes=host_probes(cpus, root),
        origin_unix_us=1_700_000_000_000_000,
        period_ns=period_ns,
        root=root,
    )


def first_reading(root: Path, cpus: frozenset[int] = CPU0) -> Telemetry:
    with recorder(root, cpus) as recording:
        return recording.snapshot()


def sensors(telemetry: Telemetry, unit: str) -> dict[str, Sensor]:
    return {sensor.name: sensor for sensor in telemetry.sensors if sensor.unit == unit}


def said(telemetry: Telemetry, unit: str) -> dict[str, list[int]]:
    return {name: [level.value for level in s.levels] for name, s in sensors(telemetry, unit).items()}


def is_consistent(telemetry: Telemetry) -> bool:
    readings = len(telemetry.readings)
    full = {sensor: math.ceil(readings / sensor.every) for sensor in telemetry.sensors}
    return all(
        len(sensor.levels) == most if sensor.reason is None else len(sensor.levels) < most
        for sensor, most in full.items()
    )


def until(recording: Recorder, satisfied: Callable[[Telemetry], bool]) -> Telemetry:
    """The first snapshot that satisfies, within ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if satisfied(snapshot := recording.snapshot()):
            return snapshot
        time.sleep(0.002)
    raise AssertionError("the recorder never came so far")


# ------------------------------------------------------------------------------------- the real thread


@pytest.fixture(scope="module")
def real() -> tuple[Telemetry, int, int]:
    """About a second of this machine, read ten times a second, and when it began and ended."""
    origin_ns = time.monotonic_ns()
    recording = Recorder(
        clock_ns=lambda: time.monotonic_ns() - origin_ns,
        affinity=affinity_here(),
        probes=host_probes(affinity_here()),
        origin_unix_us=time.time_ns() // 1000,
    )
    with recording:
        time.sleep(1.05)
    return recording.snapshot(), 0, time.monotonic_ns() - origin_ns


def test_ten_readings_a_second_and_one_at_either_end(real: tuple[Telemetry, int, int]) -> None:
    telemetry, begin_ns, end_ns = real
    # 1 at the start, 10 ticks, 1 at the stop; a machine under load may miss ticks, which are not made up for
    assert 4 <= len(telemetry.readings) <= 12
    assert telemetry.period_ns == 100 * MS
    times = [reading.at_ns for reading in telemetry.readings]
    assert times == sorted(set(times))
    assert begin_ns <= times[0] < 100 * MS
    assert times[-1] >= 1050 * MS
    assert times[-1] <= end_ns


def test_counters_of_this_machine_only_grow(real: tuple[Telemetry, int, int]) -> None:
    for name in ("busy_us", "own_us", "steal_us"):
        values = [getattr(reading, name) for reading in real[0].readings]
        assert values == sorted(values)


def test_every_sensor_of_this_machine_has_all_its_levels_or_a_reason(
    real: tuple[Telemetry, int, int],
) -> None:
    telemetry = real[0]
    assert is_consistent(telemetry)
    assert {sensor.unit for sensor in telemetry.sensors} == {"Hz", "mdegC", "uJ", "B"}
    (memory,) = sensors(telemetry, "B").values()
    assert all(10 * MS < level.value < 2**50 for level in memory.levels)
    assert len(memory.levels) >= 1


def test_a_thread_that_is_asked_while_it_reads_answers_with_whole_readings(plant: Plant) -> None:
    root = plant({"sys/class/hwmon/hwmon0/name": "coretemp", "sys/class/hwmon/hwmon0/temp1_input": "40000"})
    with recorder(root, period_ns=MS) as recording:
        found = []
        for _ in range(200):
            found.append(recording.snapshot())
            time.sleep(0.001)
    assert all(is_consistent(telemetry) for telemetry in found)
    assert len(found[-1].readings) > len(found[0].readings) + 20


def test_a_late_reading_keeps_its_time_and_missed_ticks_are_not_made_up_for(plant: Plant) -> None:
    root = plant({})
    late = threading.Event()

    def clock() -> int:
        # Something holds the thread up for ten ticks.
        if late.is_set():
            late.clear()
            time.sleep(0.2)
        return time.monotonic_ns()

    recording = Recorder(
        clock_ns=clock, affinity=CPU0, probes=(), origin_unix_us=0, period_ns=20 * MS, root=root
    )
    with recording:
        until(recording, lambda telemetry: len(telemetry.readings) >= 3)
        late.set()
        time.sleep(0.4)
    times = [reading.at_ns for reading in recording.snapshot().readings]
    # The reading at the stop may come at any time; all others keep about half a period's distance.
    gaps = [after - before for before, after in pairwise(times)][:-1]
    assert max(gaps) >= 200 * MS
    assert min(gaps) >= 9 * MS


def test_a_second_stop_does_nothing(plant: Plant) -> None:
    recording = recorder(plant({}))
    recording.start()
    recording.stop()
    recording.stop()
    assert len(recording.snapshot().readings) == 2


def test_a_machine_without_counters_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasure, match="measuring is for Linux"):
        recorder(tmp_path).start()


def test_counters_that_vanish_surface_at_the_stop_and_cost_no_reading(plant: Plant) -> None:
    root = plant({})
    recording = recorder(root, period_ns=2 * MS)
    recording.start()
    until(recording, lambda telemetry: len(telemetry.readings) >= 3)
    (root / "proc/stat").unlink()
    time.sleep(0.05)
    with pytest.raises(CannotMeasure, match="/proc/stat"):
        recording.stop()
    assert len(recording.snapshot().readings) >= 3
    assert is_consistent(recording.snapshot())


def test_what_ended_the_run_is_not_hidden_by_what_ended_its_telemetry(plant: Plant) -> None:
    root = plant({})

    def interrupted_run() -> None:
        with recorder(root, period_ns=2 * MS):
            (root / "proc/stat").unlink()
            time.sleep(0.05)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()


# ------------------------------------------------------------------------------------- planted sensors


def test_a_machine_without_sensors_has_one_reason_for_each_kind(plant: Plant) -> None:
    telemetry = first_reading(plant({}), frozenset(range(64)))
    reasons = {sensor.name: sensor.reason for sensor in telemetry.sensors}
    assert reasons == {
        "energy-package": "no-file",
        "frequency": "no-file",
        "temperature": "no-file",
        "memory-available": "no-file",
    }
    assert all(sensor.levels == () for sensor in telemetry.sensors)


def test_available_memory_is_read_in_bytes_and_seldom(plant: Plant) -> None:
    telemetry = first_reading(plant({"proc/meminfo": "MemTotal: 16 kB\nMemAvailable:       12 kB\n"}))
    (memory,) = sensors(telemetry, "B").values()
    assert (memory.source, memory.every) == ("/proc/meminfo", 10)
    assert said(telemetry, "B") == {"memory-available": [12 * 1024]}


CPUFREQ = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"


def test_frequencies_are_those_of_the_cpus_in_use_in_hertz(plant: Plant) -> None:
    root = plant({CPUFREQ.format(n): f"{1_000_000 + n}\n" for n in range(4)})
    telemetry = first_reading(root, frozenset({1, 3}))
    assert said(telemetry, "Hz") == {"frequency-cpu1": [1_000_001_000], "frequency-cpu3": [1_000_003_000]}
    assert sensors(telemetry, "Hz")["frequency-cpu3"].source == "/" + CPUFREQ.format(3)


def test_two_threads_of_a_core_have_one_frequency(plant: Plant) -> None:
    siblings = {
        f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n % 2},{n % 2 + 2}\n"
        for n in range(4)
    }
    root = plant({**siblings, **{CPUFREQ.format(n): "2000000\n" for n in range(4)}})
    telemetry = first_reading(root, frozenset(range(4)))
    assert list(sensors(telemetry, "Hz")) == ["frequency-cpu0", "frequency-cpu1"]


def test_cores_that_share_a_clock_are_read_once(plant: Plant) -> None:
    root = plant({f"sys/devices/system/cpu/cpufreq/policy{n}/scaling_cur_freq": "1800000\n" for n in (0, 4)})
    for cpu in range(8):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}"
        folder.mkdir()
        (folder / "cpufreq").symlink_to(f"../cpufreq/policy{cpu // 4 * 4}")
    telemetry = first_reading(root, frozenset(range(8)))
    assert list(sensors(telemetry, "Hz")) == ["frequency-cpu0", "frequency-cpu4"]


def test_a_stopped_clock_is_not_understood(plant: Plant) -> None:
    telemetry = first_reading(plant({CPUFREQ.format(0): "0\n"}))
    assert sensors(telemetry, "Hz")["frequency-cpu0"].reason == "not-understood"


def test_a_recorded_board_gives_its_frequencies() -> None:
    probes = host_probes(frozenset({0, 4}), TREES / "rk3588-aarch64-8cpu")
    found = {probe.name: probe.read() for probe in probes if probe.unit == "Hz"}
    assert set(found) == {"frequency-cpu0", "frequency-cpu4"}
    assert all(hertz >= 100_000_000 for hertz in found.values())


def test_temperatures_are_those_of_the_cpus_own_sensors(plant: Plant) -> None:
    hwmon = "sys/class/hwmon/"
    root = plant(
        {
            f"{hwmon}hwmon0/name": "nvme\n",
            f"{hwmon}hwmon0/temp1_input": "33850\n",
            f"{hwmon}hwmon1/name": "k10temp\n",
            f"{hwmon}hwmon1/temp1_input": "61125\n",
            f"{hwmon}hwmon1/temp1_label": "Tctl\n",
            f"{hwmon}hwmon2/name": "k10temp\n",
            f"{hwmon}hwmon2/temp1_input": "-4000\n",
            f"{hwmon}hwmon2/temp1_label": "Tctl\n",
            "sys/class/thermal/thermal_zone0/type": "acpitz\n",
            "sys/class/thermal/thermal_zone0/temp": "27800\n",
        }
    )
    telemetry = first_reading(root)
    assert said(telemetry, "mdegC") == {
        "temperature-k10temp-tctl": [61125],
        "temperature-k10temp-tctl-2": [-4000],
    }
    assert {sensor.every for sensor in sensors(telemetry, "mdegC").values()} == {10}


@pytest.mark.parametrize("chip", ["coretemp", "cpu_thermal", "zenpower", "bigcore0_thermal", "via_cputemp"])
def test_a_cpus_sensor_is_known_by_its_name(plant: Plant, chip: str) -> None:
    root = plant({"sys/class/hwmon/hwmon0/name": chip, "sys/class/hwmon/hwmon0/temp1_input": "50000"})
    assert list(said(first_reading(root), "mdegC").values()) == [[50000]]


def test_thermal_zones_stand_in_where_the_cpu_has_no_sensor(plant: Plant) -> None:
    root = plant(
        {
            "sys/class/hwmon/hwmon0/name": "amdgpu\n",
            "sys/class/hwmon/hwmon0/temp1_input": "45000\n",
            "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
            "sys/class/thermal/thermal_zone0/temp": "52000\n",
            "sys/class/thermal/thermal_zone1/type": "soc-thermal\n",
            "sys/class/thermal/thermal_zone1/temp": "off\n",
        }
    )
    found = sensors(first_reading(root), "mdegC")
    assert [level.value for level in found["temperature-x86-pkg-temp"].levels] == [52000]
    assert found["temperature-soc-thermal"].reason == "not-understood"


RAPL = "sys/class/powercap/"


def rapl(zone: str, name: str, energy_uj: int, range_uj: int = 1_000_000) -> dict[str, str]:
    return {
        f"{RAPL}{zone}/name": f"{name}\n",
        f"{RAPL}{zone}/energy_uj": f"{energy_uj}\n",
        f"{RAPL}{zone}/max_energy_range_uj": f"{range_uj}\n",
    }


def test_energy_is_that_of_whole_packages_only(plant: Plant) -> None:
    root = plant(
        {
            **rapl("intel-rapl:0", "package-0", 10),
            **rapl("intel-rapl:0:0", "core", 20),
            **rapl("intel-rapl:1", "psys", 30),
            **rapl("intel-rapl:2", "package-1", 40),
            **rapl("intel-rapl-mmio:0", "package-0", 50),
        }
    )
    telemetry = first_reading(root)
    assert said(telemetry, "uJ") == {"energy-package-0": [10], "energy-package-1": [40]}
    assert sensors(telemetry, "uJ")["energy-package-1"].source == f"/{RAPL}intel-rapl:2/energy_uj"


def test_the_board_alone_is_not_a_package(plant: Plant) -> None:
    telemetry = first_reading(plant(rapl("intel-rapl:0", "psys", 30)))
    assert sensors(telemetry, "uJ")["energy-package"].reason == "no-file"


def test_an_energy_counter_that_begins_again_goes_on_growing(plant: Plant) -> None:
    root = plant(rapl("intel-rapl:0", "package-0", 900_000))
    (probe,) = [probe for probe in host_probes(CPU0, root) if probe.unit == "uJ"]
    levels = []
    for energy_uj in (900_000, 100, 999_999, 50):
        plant(rapl("intel-rapl:0", "package-0", energy_uj))
        levels.append(probe.read())
    assert levels == [900_000, 1_000_100, 1_999_999, 2_000_050]


def test_an_energy_counter_beyond_its_range_ends_where_it_falls(plant: Plant) -> None:
    recording = recorder(plant(rapl("intel-rapl:0", "package-0", 900, range_uj=500)))
    recording.start()
    plant(rapl("intel-rapl:0", "package-0", 100, range_uj=500))
    recording.stop()
    package = sensors(recording.snapshot(), "uJ")["energy-package-0"]
    assert (len(package.levels), package.reason) == (1, "not-understood")


def test_a_sensor_that_only_root_may_read_has_a_reason(plant: Plant) -> None:
    def refuse() -> int:
        raise PermissionError

    probe = Probe(name="energy-package-0", unit="uJ", source="of a family's own", every=1, read=refuse)
    recording = replace(recorder(plant({})), probes=(probe,))
    recording.start()
    recording.stop()
    (sensor,) = recording.snapshot().sensors
    assert (sensor.source, sensor.levels, sensor.reason) == ("of a family's own", (), "not-permitted")


def test_a_source_that_refuses_to_be_read_has_a_reason(plant: Plant) -> None:
    root = plant({f"{RAPL}intel-rapl:0/name": "package-0"})
    # Reading a folder fails with EISDIR, as a driver fails with EIO.
    (root / f"{RAPL}intel-rapl:0/energy_uj").mkdir()
    assert sensors(first_reading(root), "uJ")["energy-package-0"].reason == "not-readable"


def test_a_sensor_that_vanishes_keeps_what_it_said_and_gets_a_reason(plant: Plant) -> None:
    root = plant({CPUFREQ.format(n): "2000000\n" for n in (0, 1)})
    recording = recorder(root, frozenset({0, 1}), period_ns=2 * MS)
    with recording:
        until(recording, lambda telemetry: len(telemetry.readings) >= 5)
        (root / CPUFREQ.format(1)).unlink()
        until(recording, lambda telemetry: sensors(telemetry, "Hz")["frequency-cpu1"].reason is not None)
        # Back again, it is not asked any more: its levels would no longer stand beside their readings.
        plant({CPUFREQ.format(1): "1000000\n"})
        time.sleep(0.02)
    telemetry = recording.snapshot()
    gone = sensors(telemetry, "Hz")["frequency-cpu1"]
    assert gone.reason == "no-file"
    assert {level.value for level in gone.levels} == {2_000_000_000}
    assert 5 <= len(gone.levels) < len(telemetry.readings)
    assert is_consistent(telemetry)


def test_a_large_machine_reads_about_sixteen_files_at_a_reading(plant: Plant) -> None:
    files = {CPUFREQ.format(n): "2000000\n" for n in range(256)}
    for chip in range(2):
        files[f"sys/class/hwmon/hwmon{chip}/name"] = "coretemp\n"
        files |= {f"sys/class/hwmon/hwmon{chip}/temp{n}_input": "50000\n" for n in range(1, 66)}
        files |= rapl(f"intel-rapl:{chip}", f"package-{chip}", 10)
    probes = host_probes(frozenset(range(256)), plant(files))
    assert len(probes) == 256 + 130 + 2 + 1
    assert sum(1 / probe.every for probe in probes) <= 16
    assert {probe.every for probe in probes if probe.unit == "uJ"} == {1}
    assert len({probe.name for probe in probes}) == len(probes)
