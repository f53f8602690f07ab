"""A GPU's row as it is delivered: its ceiling by the clock of its windows, and what held it back."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import scripted_device

from bench.judge.delivered import Result, deliver
from bench.terms import (
    Cost,
    Device,
    Fact,
    Form,
    GemmShape,
    Level,
    Measurement,
    Reading,
    Sample,
    Sensor,
    Telemetry,
    Visit,
)
from bench.terms.workloads import SPARSE_LAYOUT
from bench.workload.kernel import BY_SENSOR, IN_STREAM

MS = 10**6
BF16 = Form(
    precision="bf16", name="mm", a="bf16", b="bf16", out="f32", operand_set="bf16", layout="row-major"
)
SPARSE = replace(BF16, name="sparse_mm", layout=SPARSE_LAYOUT)
DEVICE = Device(
    selector="cuda:0",
    family="cuda",
    kind="gpu",
    name="A Hopper",
    vendor="NVIDIA",
    facts=(
        Fact(name="compute-capability", value="9.0", source="typed"),
        Fact(name="sm-count", value=132, source="typed"),
    ),
)


def clock(way: str = IN_STREAM) -> Fact:
    return Fact(name="clock", value=f"{way}/nvidia-sm-90", source="typed")


def row(*clocks_hz: int, form: Form = BF16) -> Measurement:
    """A window of eight samples of 10 ms for each clock, 20 ms apart."""
    sample = Sample(start_ns=0, host_ns=10 * MS, raw_ns=10 * MS, cpu_ns=10 * MS, launches=1, real=0)
    windows = [
        tuple(replace(sample, start_ns=(100 * window + 10 * n) * MS) for n in range(8))
        for window in range(len(clocks_hz))
    ]
    visits = tuple(
        Visit(
            settle=(),
            settle_ended="settled",
            samples=samples,
            device_ns=(),
            clocks_hz=(hertz,),
            ended="window-full",
        )
        for samples, hertz in zip(windows, clocks_hz, strict=True)
    )
    shape = GemmShape(m=8192, n=8192, k=8192)
    return Measurement(
        workload=replace(scripted_device.workload(form, shape=shape), device="cuda:0"),
        cost=Cost(ops=7 * 10**12, bytes=1),
        tried=(),
        before=None,
        probe=None,
        admission=None,
        visits=visits,
        held=None,
        timed=None,
        ended="precise",
        findings=(),
    )


def delivered(measured: Measurement, by: Fact, telemetry: Telemetry | None = None) -> Result:
    return deliver([DEVICE], [measured], telemetry or scripted_device.telemetry(), clock=by)


def with_reasons(levels: Sequence[int]) -> Telemetry:
    """A reading every 50 ms from 0 on."""
    readings = [Reading(at_ns=50 * MS * n, busy_us=0, own_us=0, steal_us=0) for n in range(len(levels))]
    sensor = Sensor(
        name="clocks-event-reasons-cuda0",
        unit="bits",
        source="NVML",
        every=1,
        levels=tuple(Level(value=level) for level in levels),
        reason=None,
    )
    return replace(scripted_device.telemetry(*readings), sensors=(sensor,))


def test_the_ceiling_of_a_row_is_that_of_its_windows_mean_clock() -> None:
    (only,) = delivered(row(1_700_000_000, 1_800_000_000), clock()).rows
    assert (only.ceiling, only.ceiling_reason) == (132 * 4096 * 1.75e9, None)


@pytest.mark.parametrize("way", BY_SENSOR)
def test_the_ceiling_by_a_sensors_clock_is_told_with_its_reservation(way: str) -> None:
    (only,) = delivered(row(1_700_000_000), clock(way)).rows
    assert (only.ceiling, only.ceiling_reason) == (132 * 4096 * 1.7e9, "clock-sampled")


def test_a_sparse_row_is_held_against_the_rate_of_sparse_products() -> None:
    (only,) = delivered(row(1_700_000_000, form=SPARSE), clock()).rows
    assert (only.ceiling, only.ceiling_reason) == (132 * 8192 * 1.7e9, "sparse")


# Windows are from 0 to 80, 100 to 180 and 200 to 280 ms: readings at 0, 50, 100, 150, 200 and 250.
@pytest.mark.parametrize(
    ("levels", "status", "share", "reasons"),
    [
        ([4, 4, 0, 0, 0, 0, 0], "info", 2 / 6, 4),
        ([4, 64, 4, 8, 5, 0, 128], "warning", 5 / 6, 4 | 8 | 64),
    ],
)
def test_a_row_that_was_held_back_says_for_how_long_and_why(
    levels: list[int], status: str, share: float, reasons: int
) -> None:
    measured = row(*[1_700_000_000] * 3)
    (finding,) = (
        finding
        for finding in delivered(measured, clock(), with_reasons(levels)).findings
        if finding.code == "row-throttled"
    )
    assert (finding.subject, finding.status) == (measured.workload.row, status)
    assert finding.numbers == {"share": pytest.approx(share), "reasons": reasons}


@pytest.mark.parametrize("levels", [[0] * 7, [1, 2, 1, 2, 0, 0, 256], [0, 0, 0, 0, 0, 0, 64]])
def test_a_row_that_was_not_held_back_in_its_windows_has_no_such_finding(levels: list[int]) -> None:
    found = delivered(row(*[1_700_000_000] * 3), clock(), with_reasons(levels)).findings
    assert "row-throttled" not in [finding.code for finding in found]
