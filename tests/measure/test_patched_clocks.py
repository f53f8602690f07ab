"""Clocks that lie and devices that do not wait, through the real loop on a scripted device."""

import pytest
from scripted_device import (
    MS,
    SMALL,
    ScriptedClock,
    ScriptedKernel,
    constant,
    device,
    loop,
    row,
    run_rows,
)

from bench.judge.delivered import Result, deliver
from bench.measure import stats
from bench.workload import opcount

TRUE_RATE = stats.rounded(opcount.ops(SMALL) / 0.25e-3)


def run(kernel: ScriptedKernel, *, threads: int = 2) -> Result:
    one = row(kernel)
    run_rows(loop(kernel.clock), [one])
    return deliver([device(threads=threads)], [one.measurement()], [])


def on(clock: ScriptedClock, **others: bool) -> ScriptedKernel:
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
    running = loop(clock)

    def freeze() -> None:
        clock.host = 0.0

    running.before_visit = freeze
    run_rows(running, [one])
    result = deliver([device()], [one.measurement()], [])
    assert codes(result) == ["backend-failed"]
    assert result.figures[0].estimate is None


def test_an_asynchronous_device_is_waited_for_and_has_its_true_rate() -> None:
    result = run(on(ScriptedClock(), asynchronous=True))
    assert codes(result) == []
    assert result.figures[0].estimate is not None
    assert result.figures[0].estimate.value == pytest.approx(TRUE_RATE, rel=0.01)


def test_a_finish_that_does_not_wait_is_found_out_by_reading_outputs_that_are_not_there() -> None:
    result = run(on(ScriptedClock(), asynchronous=True, finish_waits=False, read_waits=False))
    assert codes(result) == ["wrong-outputs"]
    assert result.figures[0].estimate is None


def test_a_finish_that_stops_waiting_once_it_is_timed_gives_wrong_timed_outputs() -> None:
    kernel = on(ScriptedClock(), asynchronous=True)
    one = row(kernel)
    running = loop(kernel.clock)

    def patch() -> None:
        kernel.finish_waits = kernel.read_waits = False

    running.before_visit = patch
    run_rows(running, [one])
    result = deliver([device()], [one.measurement()], [])
    assert "wrong-timed-outputs" in codes(result)
    assert result.figures[0].estimate is None


def test_a_finish_that_does_not_wait_gains_nothing_where_reading_the_outputs_does() -> None:
    # The read that the check needs lies inside the timed region, so that the pending work is timed.
    result = run(on(ScriptedClock(), asynchronous=True, finish_waits=False))
    assert result.figures[0].estimate is not None
    assert result.figures[0].estimate.value == pytest.approx(TRUE_RATE, rel=0.01)
