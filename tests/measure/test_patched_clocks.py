"""Clocks that lie and devices that do not wait, through the real loop on a scripted device."""

from typing import Any

import pytest
from scripted_device import (
    MS,
    SMALL,
    ScriptedClock,
    ScriptedKernel,
    Watcher,
    constant,
    device,
    loop,
    row,
    run_rows,
    telemetry,
)

from bench.judge.ceiling import NO_CLOCK
from bench.judge.delivered import Result, deliver
from bench.measure import stats
from bench.workload import opcount

TRUE_RATE = stats.rounded(opcount.ops(SMALL) / 0.25e-3)


def run(kernel: ScriptedKernel, *, threads: int = 2) -> Result:
    one = row(kernel)
    run_rows(loop(kernel.clock), [one])
    return deliver([device(threads=threads)], [one.measurement()], telemetry(), clock=NO_CLOCK)


def on(clock: ScriptedClock, **others: Any) -> ScriptedKernel:
    return ScriptedKernel(clock=clock, script=constant(MS // 4), **others)


def codes(result: Result) -> list[str]:
    return [finding.code for finding in result.findings]


def test_honest_clocks_give_the_true_rate_and_no_finding() -> None:
    result = run(on(ScriptedClock()))
    assert codes(result) == []
    assert result.figures[0].estimate is not None
    assert result.figures[0].estimate.value == TRUE_RATE


@pytest.mark.parametrize("factor", [0.5, 2.0, 0.98, 1.02])
def test_a_host_timer_that_is_scaled_disagrees_with_the_raw_one(factor: float) -> None:
    result = run(on(ScriptedClock(host=factor)))
    assert "clocks-disagree" in codes(result)
    assert result.figures[0].estimate is None
    assert (result.rows[0].counts, result.rows[0].reason) == (False, "clocks-disagree")


@pytest.mark.parametrize("factor", [0.995, 1.005])
def test_the_slewing_of_a_disciplined_clock_is_no_finding(factor: float) -> None:
    assert codes(run(on(ScriptedClock(host=factor)))) == []


def test_both_timers_scaled_by_two_are_seen_by_the_cpu_time_of_busy_threads() -> None:
    # Two threads kept busy for the true time use four times the elapsed time that the timers tell.
    result = run(on(ScriptedClock(host=0.5, raw=0.5, cpu=2.0)))
    assert codes(result) == ["cpu-time-exceeds-elapsed"]
    assert result.figures[0].estimate is None


def test_cpu_time_up_to_all_threads_is_no_finding() -> None:
    assert codes(run(on(ScriptedClock(cpu=2.0)))) == []


def test_not_seen_all_three_clocks_scaled_alike() -> None:
    """Only an auditor's own clock sees this (assurance A2); software cannot prove anything about itself."""
    result = run(on(ScriptedClock(host=0.5, raw=0.5, cpu=0.5)))
    assert codes(result) == []
    assert result.figures[0].estimate is not None
    assert result.figures[0].estimate.value == stats.rounded(2 * TRUE_RATE)


def test_a_frozen_host_timer_ends_the_row_without_a_figure() -> None:
    result = run(on(ScriptedClock(host=0.0)))
    assert codes(result) == ["no-shape-runs"]
    assert result.figures[0].estimate is None


def test_a_host_timer_that_freezes_after_the_search_ends_the_row_without_a_figure() -> None:
    clock = ScriptedClock()
    kernel = on(clock)
    one = row(kernel)
    watcher = Watcher()

    def freeze() -> None:
        clock.host = 0.0

    watcher.when["settle", 1] = freeze
    run_rows(loop(clock, watcher), [one])
    result = deliver([device()], [one.measurement()], telemetry(), clock=NO_CLOCK)
    assert codes(result) == ["backend-failed"]
    assert result.figures[0].estimate is None


def test_an_asynchronous_device_is_waited_for_and_has_its_true_rate() -> None:
    result = run(on(ScriptedClock(), asynchronous=True))
    assert codes(result) == []
    assert result.figures[0].estimate is not None
    assert result.figures[0].estimate.value == pytest.approx(TRUE_RATE, rel=0.01)


def test_a_finish_that_does_not_wait_is_found_out_by_reading_outputs_that_are_not_there() -> None:
    result = run(on(ScriptedClock(), asynchronous=True, finish_waits=False, read_waits=False))
    # The probe reads outputs that are not there, too.
    assert codes(result) == ["wrong-outputs", "arithmetic-differs"]
    assert result.figures[0].estimate is None


def test_a_finish_that_stops_waiting_once_it_is_timed_gives_wrong_timed_outputs() -> None:
    kernel = on(ScriptedClock(), asynchronous=True)
    one = row(kernel)
    watcher = Watcher()

    def patch() -> None:
        kernel.finish_waits = kernel.read_waits = False

    watcher.when["settle", 1] = patch
    run_rows(loop(kernel.clock, watcher), [one])
    result = deliver([device()], [one.measurement()], telemetry(), clock=NO_CLOCK)
    assert "wrong-timed-outputs" in codes(result)
    assert result.figures[0].estimate is None


def test_a_finish_that_does_not_wait_gains_nothing_where_reading_the_outputs_does() -> None:
    # The read that the check needs lies inside the timed region, so that the pending work is timed.
    result = run(on(ScriptedClock(), asynchronous=True, finish_waits=False))
    assert result.figures[0].estimate is not None
    assert result.figures[0].estimate.value == pytest.approx(TRUE_RATE, rel=0.01)


# ------------------------------------------------------------------------- the device's own clock


@pytest.mark.parametrize("factor", [0.995, 1.0, 1.005])
def test_a_device_clock_that_agrees_with_the_hosts_is_kept_and_is_no_finding(factor: float) -> None:
    kernel = on(ScriptedClock(), device_clock=factor)
    one = row(kernel)
    run_rows(loop(kernel.clock), [one])
    visit = one.measurement().visits[0]
    assert visit.device_ns == tuple(round(sample.host_ns * factor) for sample in visit.samples)
    assert codes(deliver([device()], [one.measurement()], telemetry(), clock=NO_CLOCK)) == []


@pytest.mark.parametrize("factor", [1.02, 2.0])
def test_events_that_tell_more_time_than_has_passed_give_no_figure(factor: float) -> None:
    result = run(on(ScriptedClock(), device_clock=factor))
    assert codes(result) == ["device-clock-disagrees"]
    assert (result.rows[0].counts, result.rows[0].reason) == (False, "device-clock-disagrees")
    assert result.figures[0].estimate is None


def test_events_that_tell_half_the_time_raise_nothing_and_are_told() -> None:
    result = run(on(ScriptedClock(), device_clock=0.5))
    assert codes(result) == ["device-idle-in-window"]
    assert result.figures[0].estimate is not None
    assert result.figures[0].estimate.value == TRUE_RATE
