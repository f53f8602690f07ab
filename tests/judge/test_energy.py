"""Joules of a row's windows, worked out by hand, and the reasons why there are none."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.devices.telemetry import Recorder, host_probes
from bench.judge.energy import energy
from bench.terms import Level, Meter, MeterReading, Reading, Sensor, Telemetry

S = 10**9
MS = 10**6
WATT = 10**6
OPS = 10**12
WINDOW = [(2 * S, 3 * S)]


def every_100_ms(seconds: float) -> list[int]:
    return [i * 100 * MS for i in range(round(seconds * 10) + 1)]


def package(
    levels: Sequence[int], *, name: str = "energy-package-0", every: int = 1, reason: str | None = None
) -> Sensor:
    return Sensor(
        name=name,
        unit="uJ",
        source="/sys/class/powercap/intel-rapl:0/energy_uj",
        every=every,
        levels=tuple(Level(value=level) for level in levels),
        reason=reason,
    )


def wall(*readings: tuple[float, int]) -> Meter:
    """Readings as seconds and joules."""
    return Meter(
        file="meter.csv",
        sha256="00" * 32,
        readings=tuple(
            MeterReading(at_ns=round(at * S), energy_uj=joules * 10**6) for at, joules in readings
        ),
    )


def telemetry(times: Sequence[int], *sensors: Sensor, meter: Meter | None = None) -> Telemetry:
    return Telemetry(
        origin_unix_us=0,
        period_ns=100 * MS,
        readings=tuple(Reading(at_ns=at, busy_us=0, own_us=0, steal_us=0) for at in times),
        sensors=sensors,
        meter=meter,
    )


def steady(watts: int, times: Sequence[int], start_uj: int = 0) -> list[int]:
    return [start_uj + watts * at // 1000 for at in times]


def test_a_steady_power_over_a_window_is_watts_times_seconds() -> None:
    times = every_100_ms(5)
    found = energy(WINDOW, OPS, telemetry(times, package(steady(90, times)))).energy
    assert found is not None
    assert (found.source, found.joules, found.seconds) == ("RAPL package-0", 90.0, 1.0)
    assert found.ops_per_j == 1.11111111e10


def test_windows_between_readings_are_interpolated() -> None:
    # 10 W up to 2.5 s, 30 W from then on; 2.05 to 2.55 s is 0.45 s at 10 W and 0.05 s at 30 W.
    times = every_100_ms(5)
    levels = [
        10 * at // 1000 if at <= 2500 * MS else 25 * WATT + 30 * (at - 2500 * MS) // 1000 for at in times
    ]
    found = energy([(2050 * MS, 2550 * MS)], OPS, telemetry(times, package(levels))).energy
    assert found is not None
    assert found.joules == pytest.approx(4.5 + 1.5, rel=1e-9)


def test_windows_and_packages_add_up() -> None:
    times = every_100_ms(9)
    sensors = (package(steady(90, times)), package(steady(60, times), name="energy-package-1"))
    found = energy([(S, 2 * S), (4 * S, 6 * S)], OPS, telemetry(times, *sensors)).energy
    assert found is not None
    assert (found.source, found.joules, found.seconds) == ("RAPL package-0 + package-1", 450.0, 3.0)


def test_a_counter_that_is_old_and_large_loses_no_digits() -> None:
    times = every_100_ms(5)
    young, old = (
        energy(WINDOW, OPS, telemetry(times, package(steady(1, times, start)))) for start in (0, 10**29)
    )
    assert young == old


def test_other_sensors_of_energy_are_not_the_processors() -> None:
    times = every_100_ms(5)
    sensors = (package(steady(90, times)), package(steady(300, times), name="energy-gpu-0"))
    found = energy(WINDOW, OPS, telemetry(times, *sensors)).energy
    assert found is not None
    assert found.joules == 90.0


def test_a_sensor_that_is_read_every_second_time_stands_beside_its_readings() -> None:
    times = every_100_ms(5)
    found = energy(WINDOW, OPS, telemetry(times, package(steady(90, times[::2]), every=2))).energy
    assert found is not None
    assert found.joules == 90.0


def test_the_wall_meter_is_preferred_where_it_covers_all_windows() -> None:
    times = every_100_ms(5)
    meter = wall(*((i / 5, i * 40) for i in range(26)))
    found = energy(WINDOW, OPS, telemetry(times, package(steady(90, times)), meter=meter)).energy
    assert found is not None
    assert (found.source, found.joules) == ("wall meter", 200.0)


@pytest.mark.parametrize(
    "meter",
    [wall((2.0, 0), (2.5, 100), (2.9, 180)), wall((0.0, 0), (10.0, 2000)), wall()],
    ids=["ends early", "every ten seconds", "empty"],
)
def test_the_packages_stand_in_for_a_meter_that_does_not_serve(meter: Meter) -> None:
    times = every_100_ms(5)
    found = energy(WINDOW, OPS, telemetry(times, package(steady(90, times)), meter=meter)).energy
    assert found is not None
    assert (found.source, found.joules) == ("RAPL package-0", 90.0)


def test_a_meter_that_does_not_serve_says_why_where_nothing_else_does() -> None:
    meter = wall((0.0, 0), (10.0, 2000))
    found = energy(WINDOW, OPS, telemetry(every_100_ms(5), meter=meter))
    assert (found.energy, found.reason) == (None, "energy-too-coarse")


@pytest.mark.parametrize(
    "sensors", [(), (package((), reason="not-permitted"),)], ids=["no sensor", "not readable"]
)
def test_without_a_counter_there_is_no_energy(sensors: tuple[Sensor, ...]) -> None:
    found = energy(WINDOW, OPS, telemetry(every_100_ms(5), *sensors))
    assert (found.energy, found.reason) == (None, "no-energy-counter")


def test_beside_a_gpu_the_processors_counters_are_not_its_energy() -> None:
    times = every_100_ms(5)
    processors, gpu = package(steady(90, times)), package(steady(650, times), name="energy-cuda3")
    found = energy(WINDOW, OPS, telemetry(times, processors, gpu)).energy
    assert found is not None
    assert (found.source, found.joules) == ("NVML cuda3", 650.0)
    silent = package((), name="energy-cuda3", reason="not-supported")
    assert energy(WINDOW, OPS, telemetry(times, processors, silent)).reason == "no-energy-counter"


def test_a_frequency_is_no_energy() -> None:
    times = every_100_ms(5)
    hertz = Sensor(
        name="frequency-cpu0",
        unit="Hz",
        source="",
        every=1,
        levels=(Level(value=1),) * len(times),
        reason=None,
    )
    assert energy(WINDOW, OPS, telemetry(times, hertz)).reason == "no-energy-counter"


@pytest.mark.parametrize("window", [(-1, S), (4 * S, 5 * S + 1), (6 * S, 7 * S)])
def test_a_window_beyond_the_readings_has_no_energy(window: tuple[int, int]) -> None:
    times = every_100_ms(5)
    found = energy([*WINDOW, window], OPS, telemetry(times, package(steady(90, times))))
    assert (found.energy, found.reason) == (None, "energy-not-covered")


def test_one_package_that_went_away_leaves_the_sum_unknown() -> None:
    times = every_100_ms(5)
    gone = package(steady(60, times[:25]), name="energy-package-1", reason="no-file")
    assert (
        energy(WINDOW, OPS, telemetry(times, package(steady(90, times)), gone)).reason == "energy-not-covered"
    )


@pytest.mark.parametrize(("spacing_ms", "reason"), [(200, None), (201, "energy-too-coarse")])
def test_readings_around_an_edge_are_at_most_a_fifth_of_the_window_apart(
    spacing_ms: int, reason: str | None
) -> None:
    times = [1950 * MS + i * spacing_ms * MS for i in range(10)]
    assert energy(WINDOW, OPS, telemetry(times, package(steady(90, times)))).reason == reason


def test_a_gap_within_a_window_costs_a_counter_nothing() -> None:
    times = [at for at in every_100_ms(5) if not 2100 * MS < at < 2900 * MS]
    found = energy(WINDOW, OPS, telemetry(times, package(steady(90, times)))).energy
    assert found is not None
    assert found.joules == 90.0


def test_a_slow_counter_is_slow_however_often_it_was_read() -> None:
    # Read every 0.1 s, it moves once a second; windows of 5 s are long enough for that, one of 1 s is not.
    times = every_100_ms(20)
    meter = wall(*((at / S, at // S * 50) for at in times))
    long, short = (
        energy([window], OPS, telemetry(times, meter=meter))
        for window in ((2500 * MS, 12500 * MS), (2500 * MS, 3500 * MS))
    )
    assert short.reason == "energy-too-coarse"
    assert long.energy is not None
    assert long.energy.joules == 500.0


def test_a_counter_that_stands_still_covers_nothing() -> None:
    times = every_100_ms(5)
    found = energy(WINDOW, OPS, telemetry(times, package([7] * len(times))))
    assert (found.energy, found.reason) == (None, "energy-not-covered")


@pytest.mark.parametrize("windows", [[], [(2 * S, 2 * S)], [(2 * S, 3 * S), (5, 4)]])
def test_without_a_window_that_has_a_length_there_is_no_energy(windows: list[tuple[int, int]]) -> None:
    times = every_100_ms(5)
    assert energy(windows, OPS, telemetry(times, package(steady(90, times)))).reason == "no-windows"


def test_the_error_at_an_edge_is_within_what_the_rule_promises() -> None:
    # All but idle around a window of 1 s at 100 W, read every 0.2 s at any phase: a tenth at most is missed.
    for phase_ms in range(0, 200, 7):
        times = [(phase_ms + 200 * i) * MS for i in range(25)]
        levels = [100 * (min(max(at, 2 * S), 3 * S) - 2 * S) // 1000 + at // MS for at in times]
        found = energy(WINDOW, OPS, telemetry(times, package(levels))).energy
        assert found is not None
        assert 89.9 <= found.joules <= 100.1


def test_what_the_recorder_reads_of_a_package_is_found(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("1000000000\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu0 1 0 0 0 0 0 0 0 0 0\n")
    now_ns = 0
    cpus = frozenset({0})
    recorder = Recorder(
        clock_ns=lambda: now_ns,
        affinity=cpus,
        probes=host_probes(cpus, tmp_path),
        origin_unix_us=0,
        period_ns=1000 * S,
        root=tmp_path,
    )
    (zone / "energy_uj").write_text("999000000\n")
    recorder.start()
    now_ns = S
    # 60 J later it has begun again.
    (zone / "energy_uj").write_text("59000000\n")
    recorder.stop()
    found = energy([(0, S)], OPS, recorder.snapshot()).energy
    assert found is not None
    assert found.joules == 60.0
