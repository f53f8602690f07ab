"""Stolen time and the load of others within a row's windows, by hand and on this machine."""

import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.devices.cpu import affinity_here
from bench.devices.telemetry import Recorder
from bench.judge.disturbance import POWER_CAP, Throttling, foreign, stolen, throttling
from bench.terms import Level, Reading, Sensor

S = 10**9
MS = 10**6
CPUS = 2


def readings(rows: Iterable[tuple[float, float, float, float]]) -> list[Reading]:
    """From seconds: the moment, then busy, own and stolen time up to then."""
    return [
        Reading(
            at_ns=round(at * S),
            busy_us=round(busy * 1e6),
            own_us=round(own * 1e6),
            steal_us=round(steal * 1e6),
        )
        for at, busy, own, steal in rows
    ]


# Two CPUs kept busy by this process for 10 s; from 4 to 6 s the hypervisor takes one of them.
STOLEN = readings([(0, 50, 10, 5), (4, 58, 18, 5), (6, 60, 20, 7), (10, 68, 28, 7)])
# The same, but another process has one CPU from 4 to 6 s.
SHARED = readings([(0, 50, 10, 5), (4, 58, 18, 5), (6, 62, 20, 5), (10, 70, 28, 5)])


@pytest.mark.parametrize(
    ("windows", "share"),
    [
        ([(0, 10)], 0.1),
        ([(1, 3)], 0.0),
        ([(4, 6)], 0.5),
        ([(4.5, 5)], 0.5),
        ([(3, 5)], 0.25),
        ([(1, 2), (4, 5), (7, 8)], 0.5 / 3),
    ],
)
def test_the_share_is_that_of_the_rows_own_windows(windows: list[tuple[float, float]], share: float) -> None:
    ns = [(round(begin * S), round(end * S)) for begin, end in windows]
    assert stolen(ns, STOLEN, CPUS) == pytest.approx(share)
    assert foreign(ns, STOLEN, CPUS) == pytest.approx(0.0)
    assert foreign(ns, SHARED, CPUS) == pytest.approx(share)
    assert stolen(ns, SHARED, CPUS) == 0.0


def test_a_row_that_was_disturbed_is_told_from_one_that_was_not() -> None:
    quiet, loud = ([(begin * S, (begin + 1) * S)] for begin in (1, 4))
    assert foreign(quiet, SHARED, CPUS) == 0.0
    assert foreign(loud, SHARED, CPUS) == 0.5


@pytest.mark.parametrize("window", [(-1, S), (9 * S, 10 * S + 1), (20 * S, 21 * S)])
def test_a_window_beyond_the_readings_is_not_known(window: tuple[int, int]) -> None:
    assert stolen([(S, 2 * S), window], STOLEN, CPUS) is None
    assert foreign([(S, 2 * S), window], STOLEN, CPUS) is None


@pytest.mark.parametrize("windows", [[], [(S, S)]])
def test_no_time_has_no_share(windows: list[tuple[int, int]]) -> None:
    assert stolen(windows, STOLEN, CPUS) is None
    assert foreign(windows, STOLEN, CPUS) is None


def test_without_readings_nothing_is_known() -> None:
    assert stolen([(0, S)], [], CPUS) is None


def test_own_time_that_the_ticks_missed_is_no_load_below_nothing() -> None:
    found = readings([(0, 0, 0, 0), (1, 1.99, 2.0, 0)])
    assert foreign([(0, S)], found, CPUS) == 0.0


def test_five_windows_see_a_share_to_the_ticks_of_the_kernel() -> None:
    # A neighbour takes 4 % of each of two CPUs, whose busy time the kernel counts in whole ticks of 10 ms.
    times = [i * 97 * MS for i in range(200)]
    rows = [
        Reading(
            at_ns=at, busy_us=2 * (at * 104 // 100 // (10 * MS)) * 10_000, own_us=2 * at // 1000, steal_us=0
        )
        for at in times
    ]
    windows = [(begin, begin + S) for begin in range(S, 16 * S, 3 * S)]
    assert foreign(windows, rows, CPUS) == pytest.approx(0.04, abs=0.01)


def test_a_busy_process_on_this_machine_is_seen_as_foreign_load() -> None:
    affinity = affinity_here()
    recorder = Recorder(clock_ns=time.monotonic_ns, affinity=affinity, probes=(), origin_unix_us=0)
    neighbour = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    try:
        assert neighbour.stdout is not None
        neighbour.stdout.readline()
        with recorder:
            begun_ns, before = time.monotonic_ns(), _cpu_seconds(neighbour.pid)
            time.sleep(1)
            used, ended_ns = _cpu_seconds(neighbour.pid) - before, time.monotonic_ns()
    finally:
        neighbour.kill()
        neighbour.communicate()
    share = foreign([(begun_ns, ended_ns)], recorder.snapshot().readings, len(affinity))
    # Others may be busy beside it, so there is no upper end.
    assert share is not None
    assert share * len(affinity) * (ended_ns - begun_ns) / S >= 0.8 * used - 0.05
    assert share > 0


def _cpu_seconds(pid: int) -> float:
    """User and system time in ticks of 10 ms (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# ------------------------------------------------------------------------------------ a GPU held back


def reasons(*levels: int, every: int = 1) -> Sensor:
    return Sensor(
        name="clocks-event-reasons-cuda0",
        unit="bits",
        source="NVML",
        every=every,
        levels=tuple(Level(value=level) for level in levels),
        reason=None,
    )


# Eleven readings, one a second.
SECONDS = readings([(second, 0, 0, 0) for second in range(11)])
IDLE, CAPPED, HEATED = 1, POWER_CAP, 64


def test_the_share_of_readings_that_were_held_back_is_that_of_the_rows_own_windows() -> None:
    sensor = reasons(CAPPED, CAPPED, 0, CAPPED, 0, CAPPED | HEATED, 0, 0, 0, 0, CAPPED)
    # Readings at 3, 4, 5 and at 8 s lie within.
    found = throttling([(3 * S, 5 * S), (7 * S + 1, 9 * S - 1)], SECONDS, sensor)
    assert found == Throttling(share=0.5, reasons=CAPPED | HEATED)


def test_idling_and_clocks_that_somebody_set_are_no_throttling() -> None:
    sensor = reasons(*[IDLE | 2 | 256] * 11)
    assert throttling([(0, 10 * S)], SECONDS, sensor) == Throttling(share=0.0, reasons=0)


def test_a_sensor_that_is_read_less_often_is_held_against_its_own_readings() -> None:
    # Read at 0, 5 and 10 s.
    sensor = reasons(0, CAPPED, 0, every=5)
    assert throttling([(4 * S, 6 * S)], SECONDS, sensor) == Throttling(share=1.0, reasons=CAPPED)
    assert throttling([(6 * S, 9 * S)], SECONDS, sensor) is None


def test_a_sensor_that_went_away_tells_of_the_time_before() -> None:
    sensor = replace(reasons(CAPPED, CAPPED), reason="gpu-lost")
    assert throttling([(0, 10 * S)], SECONDS, sensor) == Throttling(share=1.0, reasons=CAPPED)
    assert throttling([(5 * S, 10 * S)], SECONDS, sensor) is None
