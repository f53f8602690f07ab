"""A whole run on this machine: search, visits, a held window, bandwidth, diagnoses, telemetry, a wall meter.

The meter is a thread that writes what a machine of constant power would have counted.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from program import Made, Program, one_line

from bench.evidence import statement
from bench.terms import Evidence, GemmShape
from bench.workload import ladder, traffic

WATTS = 50.0
HELD_S = 10


@contextmanager
def metered(log: Path) -> Iterator[None]:
    """A wall meter that logs its energy counter ten times a second."""
    ended = threading.Event()

    def write() -> None:
        begun = time.time()
        while not ended.wait(0.1):
            now = time.time()
            with log.open("a") as file:
                file.write(f"{now:.6f},{1000 + WATTS * (now - begun):.6f}\n")

    log.write_text("time,energy_j\n")
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("whole")
    program = Program(home=folder / "home", folder=folder)
    file, log = folder / "whole.evidence.json", folder / "meter.csv"
    words = ("run", "--precision", "fp32", "--time", "12s", "--sustain", f"{HELD_S}s")
    with metered(log):
        said = program(*words, "--power-log", log, "-o", file)
    assert said.code == 0, said.err
    return Made(file=file, bench=program, said=said)


@pytest.fixture(scope="module")
def evidence(whole: Made) -> Evidence:
    return statement.parse(whole.payload)


def test_it_verifies_and_is_small(whole: Made) -> None:
    assert whole.bench("verify", whole.file).code == 0
    assert whole.file.stat().st_size < 2_000_000


def test_the_best_rung_was_refined_in_each_dimension(evidence: Evidence) -> None:
    for measurement in evidence.measurements:
        rungs = [trial.shape for trial in measurement.tried if trial.round == 0]
        form = measurement.workload.form
        assert tuple(rungs) == ladder.rungs(measurement.workload.operation, form, "cpu", quick=False)
    gemm = [m for m in evidence.measurements if isinstance(m.workload.shape, GemmShape)]
    assert any(trial.round > 0 for m in gemm for trial in m.tried)


def test_one_row_was_held_for_the_time_asked_and_its_rate_is_told_by_the_second(evidence: Evidence) -> None:
    held = [m for m in evidence.measurements if m.held is not None]
    (measurement,) = held
    assert measurement.held is not None
    length_s = sum(sample.host_ns for sample in measurement.held.samples) / 1e9
    assert HELD_S <= length_s < HELD_S + 1
    row = evidence.delivered[evidence.measurements.index(measurement)]
    assert len(row.per_second) == HELD_S
    assert row.drift is not None
    assert row.estimate is not None
    assert min(row.per_second) <= row.estimate.value <= max(row.per_second)
    (figure,) = evidence.figures
    assert (figure.row, figure.estimate) == (row.row, row.estimate)


def test_the_bandwidth_of_every_size_was_measured_and_makes_a_roof(evidence: Evidence) -> None:
    (device,) = evidence.devices
    assert len(evidence.memory) == 2 * len(traffic.sizes(device))
    measured = [transfer for transfer in evidence.memory if transfer.passes]
    if not measured:
        pytest.skip("no memory to spare for any size here")
    figures = [row for row in evidence.delivered if row.estimate]
    assert all(row.roof is not None for row in figures)
    assert all(row.roof.bandwidth > 1e9 for row in figures if row.roof)


def test_the_figures_row_was_diagnosed(evidence: Evidence) -> None:
    names = {condition.name for condition in evidence.conditions}
    assert {"zeros", "cold-caches", "one-thread", "placement", "other-pool"} == names
    assert all((c.ratio is None) == (c.reason is not None) for c in evidence.conditions)
    (zeros,) = (c for c in evidence.conditions if c.name == "zeros")
    assert zeros.ratio is not None
    assert 0.2 < zeros.ratio < 5


def test_the_telemetry_covers_the_run_ten_times_a_second(evidence: Evidence) -> None:
    readings = evidence.telemetry.readings
    seconds = (readings[-1].at_ns - readings[0].at_ns) / 1e9
    # Fewer where the machine is busy: a missed tick is not made up for.
    assert 0.5 * 10 * seconds < len(readings) < 1.1 * 10 * seconds + 2
    (memory,) = (sensor for sensor in evidence.telemetry.sensors if sensor.unit == "B")
    assert len(memory.levels) == -(-len(readings) // memory.every)


def test_the_wall_meter_gives_the_held_window_its_joules(evidence: Evidence) -> None:
    measurement = next(m for m in evidence.measurements if m.held is not None)
    row = evidence.delivered[evidence.measurements.index(measurement)]
    assert row.energy is not None
    assert row.energy.source == "wall meter"
    assert row.energy.joules == pytest.approx(WATTS * row.energy.seconds, rel=0.02)
    assert row.estimate is not None
    assert row.energy.ops_per_j == pytest.approx(row.estimate.value / WATTS, rel=0.05)


@pytest.mark.skipif(find_spec("numba") is None, reason="pip install 'compute-evidence[clock]'")
def test_the_clock_of_each_core_stands_beside_every_window(evidence: Evidence) -> None:
    if evidence.clock.value is None:
        pytest.skip(f"the clock is not measured here: {evidence.clock.reason}")
    (device,) = evidence.devices
    for measurement in evidence.measurements:
        for visit in measurement.visits:
            assert len(visit.clocks_hz) == device.fact("cores-usable")
            assert all(0.5e9 < hertz < 8e9 for hertz in visit.clocks_hz)
    assert all(row.ceiling for row in evidence.delivered if row.estimate)


def test_the_report_tells_all_of_it(whole: Made) -> None:
    report = whole.said.out
    for words in (
        "What bounds the figures (roofline)",
        "Held under load: ",
        "The same rows under other conditions: the rate, times the usual one",
        "search: ",
        "memory: ",
        "load: in ",
        "visits: ",
        "energy of ",
        "by wall meter",
    ):
        assert words in report


# ---------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--precision", "fp32", "--sustain", "1s"), ("too short", "at least 10s")),
        (("--precision", "fp32", "--sustain", "9h"), ("too long", "at most 120 min 00 s")),
        (("--quick", "--precision", "fp32", "--sustain", "60s"), ("exclude each other",)),
        (("--power-log", "absent.csv"), ("absent.csv",)),
    ],
)
def test_what_cannot_be_held_or_read_is_refused_before_measuring(
    bench: Program, words: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    said = bench("run", *words)
    assert said.code == 2
    assert said.out == ""
    assert all(part in said.err for part in expected), said.err


def test_a_log_of_power_alone_is_refused_before_measuring(bench: Program) -> None:
    (bench.folder / "power.csv").write_text("time,power_w\n")
    said = bench("run", "--power-log", "power.csv")
    assert said.code == 2
    assert "energy counter" in one_line(said.err)


def test_a_log_that_says_nothing_about_the_run_loses_no_measurement(bench: Program) -> None:
    (bench.folder / "old.csv").write_text("time,energy_j\n1000,1\n1001,2\n")
    said = bench("run", "--quick", "--precision", "fp32", "--quiet", "--power-log", "old.csv")
    assert said.code == 2
    assert said.out.startswith("Report ")
    assert "What was measured without it is in results/" in said.err.splitlines()[-1]
    (saved,) = (bench.folder / "results").glob("*.evidence.json")
    assert bench("verify", saved).code == 0
