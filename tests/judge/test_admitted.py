"""What the times of an admitted row say: work that grows, dispatch, the processor beside it, a simulator."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import scripted_device
from scripted_device import FP32, MS, workload

from bench.judge import admission
from bench.judge.ceiling import NO_CLOCK
from bench.judge.delivered import Result, deliver
from bench.terms import (
    Admission,
    Check,
    Cost,
    Device,
    DeviceKind,
    Fact,
    Family,
    Finding,
    GemmShape,
    Measurement,
    Pair,
    Placement,
    Sample,
    Visit,
)

SHAPE = GemmShape(m=512, n=512, k=512, depth=2)
OPS = 2 * 512**3 * 2
RIGHT = Check(launches=3, compared=384, wrong=0, off_by_one=0, real_compared=384, real_error_ppm=0.2)
PROBE = Check(launches=1, compared=0, wrong=0, off_by_one=0, real_compared=512, real_error_ppm=0.3)
US = 1000


def device(kind: DeviceKind = "npu", family: Family = "ort", **facts: str) -> Device:
    told = tuple(Fact(name=name, value=value, source="scripted") for name, value in facts.items())
    return Device(
        selector="ort:X", family=family, kind=kind, name="A scripted engine", vendor=None, facts=told
    )


def pairs(*times: tuple[int, int]) -> tuple[Pair, ...]:
    return tuple(Pair(usual_ns=usual, other_ns=other) for usual, other in times)


def admitted(**changes: Any) -> Admission:
    """A launch of 1 ms and a dispatch of 10 us: twice the work takes twice the net time."""
    values: dict[str, Any] = {
        "graph": "0" * 64,
        "placements": (Placement(node="heavy0", operator="MatMul", provider="X"),) * 2,
        "fused": None,
        "dispatch_ns": (10 * US, 12 * US),
        "times": 1,
        "depth_pairs": pairs((1000 * US, 1990 * US), (1100 * US, 2100 * US)),
        "cpu_pairs": (),
        "cpu_reason": "cpu-refused",
    }
    return Admission(**(values | changes))


def visit(launch_ns: int = MS, launches: int = 4) -> Visit:
    one = Sample(
        start_ns=0,
        host_ns=launches * launch_ns,
        raw_ns=launches * launch_ns,
        cpu_ns=launches * launch_ns,
        launches=launches,
        real=1,
    )
    return Visit(
        settle=(),
        settle_ended="settled",
        samples=(one,) * 8,
        device_ns=(),
        clocks_hz=(),
        ended="window-full",
    )


def measurement(admission: Admission | None, **changes: Any) -> Measurement:
    values: dict[str, Any] = {
        "workload": replace(workload(FP32, shape=SHAPE, kernel="one"), device="ort:X"),
        "cost": Cost(ops=OPS, bytes=1),
        "tried": (),
        "before": RIGHT,
        "probe": PROBE,
        "admission": admission,
        "visits": (visit(),) * 5,
        "held": None,
        "timed": replace(RIGHT, compared=0),
        "ended": "precise",
        "findings": (),
    }
    return Measurement(**(values | changes))


def found(of: Admission | None, on: Device | None = None, **changes: Any) -> dict[str, Finding]:
    told = admission.findings(measurement(of, **changes), on or device())
    return {finding.code: finding for finding in told}


def judged(on: Device, *rows: Measurement) -> Result:
    return deliver([on], rows, scripted_device.telemetry(), clock=NO_CLOCK)


# ---------------------------------------------------------------------------------------- work that grows


def slope(of: Admission) -> float | None:
    beside = admission.through(measurement(of))
    assert beside is not None
    return beside.slope


def test_of_an_honest_row_nothing_is_found() -> None:
    assert found(admitted()) == {}


def test_the_slope_goes_by_the_least_times() -> None:
    """536,870,912 operations more in 0.99 ms."""
    assert slope(admitted()) == pytest.approx(OPS / 0.99e-3)


def test_the_slope_is_that_of_the_work_that_was_compared() -> None:
    """A short launch is compared with more work in it: four times as much, and eight times."""
    assert slope(admitted(times=4)) == pytest.approx(4 * OPS / 0.99e-3)


def test_beside_the_figure_stands_where_it_was_placed_and_what_launching_takes() -> None:
    given = admitted()
    beside = admission.through(measurement(given))
    assert beside is not None
    assert beside.provider == given.placements[0].provider
    assert (beside.nodes, beside.operators) == (len(given.placements), given.fused)
    assert beside.dispatch_ns == min(given.dispatch_ns)
    nobody = admission.through(measurement(replace(given, placements=(), fused=None)))
    assert nobody is not None
    assert (nobody.provider, nobody.nodes, nobody.operators) == (None, 0, None)


@pytest.mark.parametrize(
    "times",
    [
        [(1000 * US, 1000 * US)],
        [(1000 * US, 1250 * US)],
        [(1000 * US, 900 * US)],
        [(11 * US, 12 * US)],
        [(1000 * US, 3000 * US), (900 * US, 1100 * US)],
    ],
    ids=["none", "too little", "faster", "all dispatch", "the least times"],
)
def test_work_that_does_not_grow_leaves_the_row_without_a_figure(times: Sequence[tuple[int, int]]) -> None:
    told = found(admitted(depth_pairs=pairs(*times)))
    assert told["work-does-not-grow"].status == "failure"
    assert slope(admitted(depth_pairs=pairs(*times))) is None
    result = judged(device(), measurement(admitted(depth_pairs=pairs(*times))))
    (row,) = result.rows
    assert (row.estimate, row.counts, row.reason) == (None, False, "work-does-not-grow")


def test_the_growth_is_that_of_the_times_without_the_dispatch() -> None:
    """From 1 ms to 1.25 ms, and half of the first is dispatch: what is left grew to 1.5 times."""
    slow = admitted(dispatch_ns=(500 * US,), depth_pairs=pairs((1000 * US, 1250 * US)))
    assert found(slow, visits=(visit(20 * MS),) * 5) == {}
    told = found(replace(slow, dispatch_ns=(10 * US,)))["work-does-not-grow"]
    assert told.numbers == {"growth": pytest.approx((1250 - 10) / (1000 - 10))}


def test_a_dispatch_longer_than_the_launches_proves_nothing() -> None:
    """Half of each time stays: noise in two launches of nothing is no growth."""
    told = found(admitted(dispatch_ns=(2000 * US,), depth_pairs=pairs((1000 * US, 1100 * US))))
    assert told["work-does-not-grow"].numbers == {"growth": pytest.approx(1.1)}


@pytest.mark.parametrize(("doubled_us", "grows"), [(1296, False), (1298, True)])
def test_three_tenths_more_is_the_least_growth(doubled_us: int, grows: bool) -> None:
    # 10 us of dispatch aside: 990 and 1287.
    assert (slope(admitted(depth_pairs=pairs((1000 * US, doubled_us * US)))) is not None) == grows


# ------------------------------------------------------------------------------------------------ dispatch


@pytest.mark.parametrize(("launch_us", "bound"), [(199, True), (200, False), (1000, False)])
def test_a_launch_of_fewer_than_twenty_dispatches_is_bound_by_them(launch_us: int, bound: bool) -> None:
    told = found(admitted(), visits=(visit(launch_us * US),) * 5)
    assert ("dispatch-bound" in told) == bound
    if bound:
        assert told["dispatch-bound"].status == "info"
        assert told["dispatch-bound"].numbers == {"dispatch_ns": 10 * US, "launch_ns": launch_us * US}


def test_a_row_that_was_never_visited_is_not_bound_by_anything() -> None:
    assert "dispatch-bound" not in found(admitted(), visits=())


# ------------------------------------------------------------------------------------ the processor beside


@pytest.mark.parametrize(
    ("processor_us", "as_fast"), [(790, False), (810, True), (1000, True), (1190, True), (1210, False)]
)
def test_as_fast_as_the_processor_within_a_fifth_is_a_warning(processor_us: int, as_fast: bool) -> None:
    beside = admitted(cpu_pairs=pairs((1000 * US, processor_us * US)), cpu_reason=None)
    told = found(beside)
    assert ("as-fast-as-processor" in told) == as_fast
    if as_fast:
        assert told["as-fast-as-processor"].status == "warning"
        assert told["as-fast-as-processor"].numbers == {"ratio": pytest.approx(processor_us / 1000)}


@pytest.mark.parametrize(
    ("kind", "warned"), [("npu", True), ("gpu", True), ("accelerator", True), ("cpu", False)]
)
def test_a_processor_is_as_fast_as_itself(kind: DeviceKind, warned: bool) -> None:
    beside = admitted(cpu_pairs=pairs((1000 * US, 1000 * US)), cpu_reason=None)
    assert ("as-fast-as-processor" in found(beside, device(kind))) == warned


def test_a_warning_leaves_the_row_its_figure() -> None:
    beside = admitted(cpu_pairs=pairs((1000 * US, 1000 * US)), cpu_reason=None)
    result = judged(device(), measurement(beside))
    assert result.rows[0].counts
    assert ("warning", "as-fast-as-processor") in [(f.status, f.code) for f in result.findings]


# --------------------------------------------------------------------------------------------- a simulator


def test_a_row_on_the_hosts_simulator_is_shown_and_counts_for_nothing() -> None:
    simulated = device("cpu", simulator="libQnnHtp.so on x86_64")
    assert admission.reservation(simulated) == "host-simulator"
    result = judged(simulated, measurement(admitted()))
    (row,) = result.rows
    assert row.estimate is not None
    assert (row.counts, row.reason) == (False, "host-simulator")
    (figure,) = result.figures
    assert (figure.estimate, figure.reason) == (None, "host-simulator")


def test_a_device_that_is_no_simulator_has_no_reservation() -> None:
    assert admission.reservation(device()) is None
    assert judged(device(), measurement(admitted())).rows[0].counts


# ----------------------------------------------------------------------------------- rows that need none


def test_a_row_that_was_not_admitted_says_nothing_about_it() -> None:
    assert found(None) == {}
    processor = device("cpu", "cpu")
    assert judged(processor, measurement(None)).findings == ()
