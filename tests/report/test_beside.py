"""What stands beside the figures, as a reader of a terminal meets it: values, units, and reasons for gaps."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from program import Made
from rich.console import Console

from bench.evidence import statement
from bench.report import beside
from bench.terms import (
    Condition,
    Delivered,
    Drift,
    Energy,
    Evidence,
    Fact,
    GemmShape,
    Level,
    Pass,
    Roof,
    Sensor,
    Transfer,
    Trial,
)

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202e[bold]\nforged"
MEASURED = Fact(name="clock", value="imul-chain/3-cycles/an-arch", source="numba")


@pytest.fixture(scope="module")
def evidence(made: Made) -> Evidence:
    return statement.parse(made.payload)


def told(evidence: Evidence, width: int = 160) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    beside.beside(console, evidence)
    return out.getvalue()


def with_figure(evidence: Evidence, **changes: Any) -> Evidence:
    """The evidence with changes to the row behind the fp32 figure."""
    figure = next(figure for figure in evidence.figures if figure.precision == "fp32")
    rows = tuple(replace(row, **changes) if row.row == figure.row else row for row in evidence.delivered)
    return replace(evidence, delivered=rows)


def figure_row(evidence: Evidence) -> Delivered:
    figure = next(figure for figure in evidence.figures if figure.precision == "fp32")
    return next(row for row in evidence.delivered if row.row == figure.row)


def condition(name: Any, ratio: float | None, reason: str | None = None, detail: str = "") -> Condition:
    return Condition(
        device="cpu", row="torch_gemm/fp32/mm", name=name, detail=detail, ratio=ratio, low=ratio, high=ratio,
        reason=reason,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- bounds


def test_a_figure_stands_under_its_ceiling_and_what_the_memory_allows(evidence: Evidence) -> None:
    row = figure_row(evidence)
    assert row.estimate is not None
    ceiling = row.estimate.value / 0.8
    roof = Roof(intensity=100.0, bandwidth=3e10, ops_per_s=ceiling, bound="compute")
    lines = told(with_figure(evidence, ceiling=ceiling, ceiling_reason=None, roof=roof)).splitlines()
    (line,) = (line for line in lines if line.startswith("fp32"))
    assert "3.000 TFLOPS" in line
    assert line.split()[-2:] == ["80.0", "%"]
    assert "compute" in line


def test_without_a_ceiling_the_memory_is_the_bound_and_the_ceiling_is_unknown(evidence: Evidence) -> None:
    row = figure_row(evidence)
    assert row.estimate is not None
    roof = Roof(intensity=1.0, bandwidth=1e12, ops_per_s=row.estimate.value * 2, bound="memory")
    report = told(with_figure(evidence, ceiling=None, ceiling_reason="clock-not-measured", roof=roof))
    (line,) = (line for line in report.splitlines() if line.startswith("fp32"))
    assert "unknown" in line
    assert "memory" in line
    assert line.split()[-2:] == ["50.0", "%"]


# --------------------------------------------------------------------------------------------- held


def test_a_held_row_tells_its_fifths_and_its_slowest_and_fastest_second(evidence: Evidence) -> None:
    row = figure_row(evidence)
    rows = tuple(
        replace(m, held=m.visits[0]) if m.workload.row == row.row else m for m in evidence.measurements
    )
    drift = Drift(first=4e11, last=3e11, ratio=0.75)
    held = with_figure(
        replace(evidence, measurements=rows), drift=drift, per_second=(4e11, 3.5e11, 2.9e11, 3e11)
    )
    report = told(held)
    assert f"Held under load: {row.row} for " in report
    assert "first fifth 400.0 GFLOPS, last fifth 300.0 GFLOPS: -25.0 %" in report
    assert "second by second: slowest 290.0 GFLOPS, fastest 400.0 GFLOPS" in report


# --------------------------------------------------------------------------------------- conditions


def test_conditions_are_multiples_of_the_usual_rate_and_gaps_have_numbered_reasons(
    evidence: Evidence,
) -> None:
    found = (
        condition("zeros", 1.25),
        condition("cold-caches", None, "no-memory"),
        condition("one-thread", 0.5),
        condition("other-pool", None, "one-backend"),
        condition("placement", 0.9, detail="cpu 1"),
        condition("placement", 1.1, detail="cpu 2"),
    )
    report = told(replace(evidence, conditions=found))
    (line,) = (line for line in report.splitlines() if line.startswith("torch_gemm/fp32/mm"))
    assert line.split() == ["torch_gemm/fp32/mm", "1.25", "[1]", "0.50", "[2]", "0.90", "to", "1.10"]
    assert "[1] not enough memory for it\n" in report
    assert "[2] no row of another backend was measured\n" in report


# ------------------------------------------------------------------------------------------ the search


def trial(size: int, number: int, *ops_per_s: float) -> Trial:
    shape = GemmShape(m=size, n=size, k=size)
    return Trial(shape=shape, round=number, ops_per_s=ops_per_s, spent_ns=10**9, reason=None)


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        ((trial(8, 0, 1e9), trial(16, 0, 2e9)), "that made no row faster"),
        ((trial(8, 0, 2e9, 2e9), trial(16, 1, 1e9)), "that made no row faster"),
        ((trial(8, 0, 2e9, 2e9), trial(16, 1, 1.5e9, 2.2e9)), "of all torch_gemm/fp32/mm by 10.0 %"),
        # No rung reached the last round: what both have is compared.
        ((trial(8, 0, 2e9), trial(16, 1, 3e9, 9e9)), "of all torch_gemm/fp32/mm by 50.0 %"),
    ],
)  # fmt: skip
def test_what_refining_bought_is_told_of_rates_of_one_round(
    evidence: Evidence, tried: tuple[Trial, ...], expected: str
) -> None:
    rows = tuple(
        replace(m, tried=tried if m.workload.row == "torch_gemm/fp32/mm" else ())
        for m in evidence.measurements
    )
    assert expected in told(replace(evidence, measurements=rows))


# ------------------------------------------------------------------------------------------ the machine


def test_the_best_pass_of_each_size_is_its_bandwidth(evidence: Evidence) -> None:
    def transfer(operation: Any, moved: int, *ns: int, reason: str | None = None) -> Transfer:
        passes = tuple(Pass(ns=each) for each in ns)
        return Transfer(
            device="cpu", operation=operation, footprint_bytes=2_000_000, moved_bytes=moved, passes=passes,
            reason=reason,
        )  # fmt: skip

    memory = (transfer("copy", 2_000_000, 400, 200), transfer("triad", 4_000_000, 500, 1000))
    assert "memory: 10.0 TB/s in 2.0 MB (best pass of copy and triad)" in told(
        replace(evidence, memory=memory)
    )
    without = (transfer("copy", 2_000_000, reason="no-memory"),)
    assert "some sizes not measured: not enough memory for it" in told(replace(evidence, memory=without))


def with_sensors(evidence: Evidence, *sensors: Sensor) -> Evidence:
    return replace(evidence, telemetry=replace(evidence.telemetry, sensors=sensors))


def sensor(name: str, unit: Any, values: Sequence[int], reason: str | None = None) -> Sensor:
    levels = tuple(Level(value=value) for value in values)
    return Sensor(name=name, unit=unit, source="/sys", every=1, levels=levels, reason=reason)


def test_sensors_tell_their_range_or_why_there_is_none(evidence: Evidence) -> None:
    report = told(
        with_sensors(
            evidence,
            sensor("frequency-cpu0", "Hz", [2_500_000_000, 3_100_000_000]),
            sensor("temperature-package", "mdegC", [41_000, 78_600]),
            sensor("energy-package-0", "uJ", [], "not-permitted"),
        )
    )
    assert "frequency: 2.50 to 3.10 GHz, as the system tells it" in report
    assert "temperature: 41 to 79 °C" in report
    assert "not read: energy-package-0: this user may not read it" in report


@pytest.mark.parametrize(
    ("joules", "words"),
    [
        (840.0, "48.20 GFLOP/J (840 J in 5 s, by wall meter)"),
        (1050.0, "48.20 GFLOP/J (1.05 kJ in 5 s, by wall meter)"),
    ],
)
def test_energy_is_operations_per_joule_with_its_source(joules: float, words: str) -> None:
    energy = Energy(source="wall meter", joules=joules, seconds=5.0, ops_per_j=48.2e9)
    assert beside.energy_words(energy, "TFLOPS") == words


def test_a_figure_without_energy_says_why(evidence: Evidence) -> None:
    report = told(with_figure(evidence, energy=None, energy_reason="energy-too-coarse"))
    assert "energy: not told: the counter moves too seldom for the windows" in report


def test_hostile_words_in_new_places_are_inert(evidence: Evidence) -> None:
    forged = with_figure(
        with_sensors(evidence, sensor(ESCAPES, "Hz", [], ESCAPES)),
        energy=Energy(source=ESCAPES, joules=1.0, seconds=1.0, ops_per_j=1e9),
    )
    refused = Transfer(
        device="cpu", operation="copy", footprint_bytes=1, moved_bytes=1, passes=(), reason=ESCAPES
    )
    forged = replace(
        forged,
        clock=replace(MEASURED, value=None, reason=ESCAPES),
        memory=(refused,),
        conditions=(replace(condition("zeros", None, ESCAPES), row=ESCAPES),),
    )
    report = told(forged)
    assert {c for c in report if not c.isprintable()} == {"\n"}
    assert not any(line.startswith("forged") for line in report.splitlines())


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_longer_than_the_console(evidence: Evidence, width: int) -> None:
    found = tuple(condition(name, 1.0) for name in ("zeros", "cold-caches", "one-thread", "other-pool"))
    lines = told(replace(evidence, conditions=found), width).splitlines()
    assert max(map(len, lines)) <= width


def test_a_gpus_sensors_are_told_one_by_one_and_not_mixed_with_the_machines(evidence: Evidence) -> None:
    report = told(
        with_sensors(
            evidence,
            sensor("frequency-cpu0", "Hz", [2_500_000_000, 3_100_000_000]),
            sensor("sm-clock-cuda0", "Hz", [1_200_000_000, 1_980_000_000]),
            sensor("utilisation-cuda0", "percent", [97, 100]),
            sensor("clocks-event-reasons-cuda0", "bits", [4]),
        )
    )
    assert "frequency: 2.50 to 3.10 GHz, as the system tells it" in report
    assert "sm-clock-cuda0: 1.2 to 1.98 GHz" in report
    assert "utilisation-cuda0: 97 to 100 %" in report
    assert "clocks-event-reasons" not in report
