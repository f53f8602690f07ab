"""The loop on a scripted device: the order of events, what ends a row, and that no sample is lost."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from scripted_device import (
    FP32,
    INT8,
    MS,
    SMALL,
    Script,
    ScriptedClock,
    ScriptedKernel,
    Watcher,
    constant,
    device,
    drifting,
    loop,
    row,
    run_rows,
    slower_on_reals,
    step_change,
    telemetry,
    throttling,
)

from bench.judge.ceiling import NO_CLOCK
from bench.judge.delivered import deliver
from bench.measure import loop as loops
from bench.measure import search, stats
from bench.measure.row import Row
from bench.terms import SPARSE_LAYOUT, Delivered, Form, GemmShape
from bench.workload import opcount, operands
from bench.workload.ladder import Refinement

OPS = opcount.ops(SMALL)
QUARTER = MS // 4
STEADY = constant(QUARTER)
HALVED = Refinement(dimensions=(("m",), ("n",), ("k",)), rounds=((0.5,),), multiple=1, k_max=1 << 20)


def kernel(
    script: Script = STEADY, *, name: str = "scripted", clock: ScriptedClock | None = None
) -> ScriptedKernel:
    return ScriptedKernel(clock=clock or ScriptedClock(), script=script, name=name)


def measured(script: Script, **changes: int | float) -> Row:
    """One fp32 row through the whole loop."""
    scripted = kernel(script)
    one = row(scripted)
    run_rows(loop(scripted.clock, **changes), [one])
    return one


def delivered(one: Row) -> Delivered:
    (only,) = deliver([device()], [one.measurement()], telemetry(), clock=NO_CLOCK).rows
    return only


# ---------------------------------------------------------------------------------- order of events


def test_rows_are_all_opened_first_and_then_visited_in_turn() -> None:
    clock, watcher = ScriptedClock(), Watcher()
    rows = [row(kernel(name=name, clock=clock)) for name in ("one", "two")]
    run_rows(loop(clock, watcher), rows)
    opening = [(name, phase, 0) for name in ("one", "two") for phase in ("search", "check")]
    visits = [
        (name, phase, number)
        for number in range(1, 6)
        for name in ("one", "two")
        for phase in ("settle", "measure")
    ]
    assert [(name.partition("/")[0], phase, n) for name, phase, n in watcher.phases] == opening + visits


def test_what_was_measured_can_be_saved_after_every_visit() -> None:
    clock, watcher = ScriptedClock(), Watcher()
    rows = [row(kernel(name=name, clock=clock)) for name in ("one", "two")]
    running = loop(clock, watcher)
    running.after_visit = lambda _schedule: watcher.phases.append(("", "after", 0))
    run_rows(running, rows)
    phases = [phase for _row, phase, _n in watcher.phases if phase not in ("search", "check")]
    assert phases == ["settle", "measure", "after"] * 10


def test_the_clocks_are_read_once_a_window_right_after_it() -> None:
    clock, read_at = ScriptedClock(), []
    one = row(kernel(clock=clock))
    running = loop(clock)

    def read() -> tuple[int, ...]:
        read_at.append(clock.now_ns)
        return 3_000_000_000, 3_100_000_000

    running.read_clocks = read
    run_rows(running, [one])
    assert [visit.clocks_hz for visit in one.visits] == [(3_000_000_000, 3_100_000_000)] * 5
    assert read_at == [visit.samples[-1].start_ns + visit.samples[-1].host_ns for visit in one.visits]


def test_a_clock_that_is_counted_begins_when_settling_has_ended() -> None:
    clock, begun_at = ScriptedClock(), []
    one = row(kernel(clock=clock))
    running = loop(clock, hold_ns=100 * MS)
    running.begin_clocks = lambda: begun_at.append(clock.now_ns)
    run_rows(running, [one])
    assert one.held is not None
    assert begun_at == [visit.samples[0].start_ns for visit in (*one.visits, one.held)]


def test_operands_of_the_search_and_the_probe_are_released_before_the_first_visit() -> None:
    scripted, watcher = kernel(), Watcher()
    alive: list[int] = []
    watcher.when["settle", 1] = lambda: alive.append(scripted.live)
    one = row(scripted)
    running = loop(scripted.clock, watcher)
    run_rows(running, [one])
    running.close([one])
    assert (alive, scripted.live) == ([1], 0)


def test_a_row_that_the_plan_refused_is_neither_opened_nor_visited() -> None:
    clock = ScriptedClock()
    absent, present = kernel(name="absent", clock=clock), kernel(name="present", clock=clock)
    rows = [row(absent), row(present)]
    rows[0].refuse("not-installed", "pip install it")
    run_rows(loop(clock), rows)
    assert (absent.events, rows[0].ended, rows[1].ended) == ([], "refused", "precise")


# --------------------------------------------------------------------------------------- stopping


def test_a_steady_device_gets_five_visits_and_ends_as_precise() -> None:
    one = measured(constant(QUARTER))
    assert (len(one.visits), one.ended) == (5, "precise")
    assert delivered(one).estimate is not None
    assert delivered(one).counts


def test_the_figure_of_a_steady_device_is_work_over_time() -> None:
    figure = delivered(measured(constant(QUARTER))).estimate
    assert figure is not None
    assert figure.value == stats.rounded(OPS / 0.25e-3)


def test_a_device_whose_state_changes_is_visited_until_it_is_precise() -> None:
    # The first three visits (24 ms each and the search before them) run at a rate 6 % lower.
    one = measured(step_change(265_000, 250_000, at_ns=80 * MS), limit_ns=100_000 * MS)
    assert len(one.visits) > 5
    assert one.ended == "precise"
    figure = stats.mean_rate(one.visits, OPS, "TFLOPS", real_only=False)
    assert figure is not None
    assert stats.half_width(figure) <= 0.01


def test_a_device_that_never_stands_still_ends_at_the_time_limit_with_all_its_visits() -> None:
    one = measured(drifting(QUARTER, 0.002), limit_ns=400 * MS)
    assert one.ended == "time-limit"
    assert len(one.visits) >= 5


def test_every_row_gets_five_visits_even_if_the_time_is_long_over() -> None:
    one = measured(drifting(QUARTER, 0.002), limit_ns=1)
    assert (len(one.visits), one.ended) == (5, "time-limit")


# --------------------------------------------------------------------------------------- settling


def test_settling_goes_on_until_the_rate_stands_still() -> None:
    # Launches become 3 times faster in the midst of the first settling.
    begins = measured(constant(3 * QUARTER)).visits[0].settle[0].start_ns
    one = measured(step_change(3 * QUARTER, QUARTER, at_ns=begins + 8 * MS))
    first, *others = [len(visit.settle) for visit in one.visits]
    assert first > 8
    assert max(others) < first
    assert {visit.settle_ended for visit in one.visits} == {"settled"}
    for visit in one.visits:
        last, before = (stats.rate(visit.settle[a:b], OPS) for a, b in ((-4, None), (-8, -4)))
        assert abs(last - before) <= 0.01 * before


def test_a_warm_up_is_left_to_settling_and_kept_apart_from_the_window() -> None:
    # The device comes up 8 ms after the start, in the midst of the first settling.
    one = measured(step_change(2 * QUARTER, QUARTER, at_ns=8 * MS))
    first = one.visits[0]
    assert {s.host_ns / s.launches for s in first.settle} >= {2 * QUARTER, QUARTER}
    assert {s.host_ns / s.launches for s in first.samples} == {QUARTER}


def test_a_rate_that_never_settles_is_measured_all_the_same_and_says_so() -> None:
    one = measured(drifting(QUARTER, 0.02), settle_most_ns=20 * MS)
    assert [visit.settle_ended for visit in one.visits[:2]] == ["settle-limit"] * 2
    codes = [f.code for f in deliver([device()], [one.measurement()], telemetry(), clock=NO_CLOCK).findings]
    assert "not-settled" in codes


# -------------------------------------------------------------------------------- samples and windows


def test_throttled_samples_are_kept_and_the_figure_counts_them_in_full() -> None:
    # A quarter of the time four times slower: 0.75 + 0.25 / 4 of the rate, while the median hides it.
    script = throttling(QUARTER, 4.0, period_ns=8 * MS, share=0.25)
    result = delivered(measured(script, window_ns=160 * MS, limit_ns=1))
    assert result.estimate is not None
    assert result.median == stats.rounded(OPS / 0.25e-3)
    assert result.estimate.value / result.median == pytest.approx(0.75 + 0.25 / 4, rel=0.05)


def test_every_ns_of_scripted_work_in_a_visit_lies_in_a_sample() -> None:
    scripted, watcher = kernel(throttling(QUARTER, 3.0, period_ns=7 * MS, share=0.3)), Watcher()
    begun: list[int] = []
    watcher.when["settle", 1] = lambda: begun.append(scripted.clock.now_ns)
    one = row(scripted)
    run_rows(loop(scripted.clock, watcher), [one])
    samples = [s for visit in one.visits for s in (*visit.settle, *visit.samples)]
    assert sum(s.host_ns for s in samples) == scripted.clock.now_ns - begun[0]
    for sample, following in pairwise(samples):
        assert sample.start_ns + sample.host_ns == following.start_ns


def test_a_window_is_filled_and_has_eight_samples_however_slow_they_are() -> None:
    quick = measured(constant(QUARTER))
    slow = measured(constant(5 * MS))
    assert all(sum(s.host_ns for s in visit.samples) >= 16 * MS for visit in quick.visits)
    assert [len(visit.samples) for visit in slow.visits] == [8] * 5


def test_the_batch_follows_the_rate_of_the_settled_device() -> None:
    one = measured(step_change(MS, MS // 10, at_ns=10 * MS))
    assert one.visits[0].settle[0].launches == 1
    assert {s.launches for visit in one.visits for s in visit.samples} == {10}


@pytest.mark.parametrize("launch_ns", [MS, MS // 2, MS // 7, MS // 16, MS // 18])
def test_no_two_launches_in_a_row_run_on_the_same_operands(launch_ns: int) -> None:
    scripted, watcher = kernel(constant(launch_ns)), Watcher()
    begun: list[int] = []
    watcher.when["settle", 1] = lambda: begun.append(len(scripted.launched))
    one = row(scripted)
    run_rows(loop(scripted.clock, watcher), [one])
    indices = [index for index, _real in scripted.launched[begun[0] :]]
    assert all(index != following for index, following in pairwise(indices))
    assert set(indices) == set(range(operands.OFFSETS))


@pytest.mark.parametrize("launch_ns", [MS // 2, MS // 8, MS // 16, MS // 32])
def test_the_launches_that_are_looked_at_go_through_all_offsets(launch_ns: int) -> None:
    # A batch of 16 would end at the same operands every time, where an old output is still right.
    scripted = kernel(constant(launch_ns))
    one = row(scripted)
    run_rows(loop(scripted.clock), [one])
    ends, position = [], len(scripted.launched)
    for visit in reversed(one.visits):
        for sample in reversed((*visit.settle, *visit.samples)):
            ends.append(scripted.launched[position - 1][0])
            position -= sample.launches
    assert set(ends) == set(range(operands.OFFSETS))


def test_outputs_of_every_measured_sample_are_compared() -> None:
    one = measured(constant(QUARTER))
    check = one.measurement().timed
    samples = [s for visit in one.visits for s in visit.samples]
    assert check is not None
    assert check.launches == len(samples)
    assert (check.wrong, check.compared) == (0, 8 * sum(not s.real for s in samples))
    assert check.real_compared == 18 * sum(s.real for s in samples)


# -------------------------------------------------------------------------------- real-valued samples


def test_one_measured_sample_in_eight_runs_on_real_operands_in_every_visit() -> None:
    one = measured(constant(QUARTER), window_ns=32 * MS)
    for visit in one.visits:
        groups = [visit.samples[i : i + 8] for i in range(0, 32, 8)]
        assert [sum(s.real for s in group) for group in groups] == [1, 1, 1, 1]
        assert not any(s.real for s in visit.settle)


def test_the_shortest_window_still_has_one_sample_on_real_operands() -> None:
    one = measured(constant(2 * MS), window_ns=MS)
    assert [sum(s.real for s in visit.samples) for visit in one.visits] == [1] * 5


def _places(seed: str) -> list[int]:
    scripted = kernel()
    one = row(scripted)
    one.workload = type(one.workload)(
        **{name: getattr(one.workload, name) for name in one.workload.__slots__} | {"seed": seed}
    )
    run_rows(loop(scripted.clock, window_ns=64 * MS), [one])
    return [s.real for visit in one.visits for s in visit.samples]


def test_the_nonce_chooses_the_places_of_real_samples() -> None:
    assert _places("11" * 16) == _places("11" * 16)
    assert _places("11" * 16) != _places("22" * 16)
    places = [i % 8 for i, real in enumerate(_places("11" * 16)) if real]
    assert len(set(places)) > 4


def test_integers_have_no_real_samples_and_count_all_the_same() -> None:
    scripted = kernel()
    one = row(scripted, INT8)
    run_rows(loop(scripted.clock), [one])
    assert not any(s.real for visit in one.visits for s in visit.samples)
    assert delivered(one).counts


def test_a_device_slower_on_reals_is_given_the_rate_on_reals() -> None:
    one = measured(slower_on_reals(QUARTER, 1.25))
    result = deliver([device()], [one.measurement()], telemetry(), clock=NO_CLOCK)
    (figure,) = (r.estimate for r in result.rows)
    assert figure is not None
    assert figure.value == stats.rounded(OPS / 0.3125e-3)
    (finding,) = result.findings
    assert (finding.code, finding.numbers["value"]) == ("operand-rates-differ", 0.8)


# ------------------------------------------------------------------------------------ what goes wrong


def test_ctrl_c_in_a_window_keeps_the_whole_samples_and_marks_the_visit_and_the_row() -> None:
    scripted, watcher = kernel(), Watcher()
    # Four launches a sample: the seventh launch of the third window is in its second sample.
    watcher.when["measure", 3] = lambda: scripted.fail_after(7, KeyboardInterrupt())
    one = row(scripted)
    running = loop(scripted.clock, watcher)
    with pytest.raises(KeyboardInterrupt):
        run_rows(running, [one])
    running.close([one])
    assert [visit.ended for visit in one.visits] == ["window-full", "window-full", "interrupted"]
    assert [len(visit.samples) for visit in one.visits] == [16, 16, 1]
    assert one.visits[2].settle_ended == "settled"
    assert (one.ended, scripted.live) == ("interrupted", 0)
    assert one.measurement().timed is not None
    assert one.measurement().timed.launches == 33


def test_ctrl_c_while_settling_leaves_the_earlier_visits_and_no_empty_one() -> None:
    scripted, watcher = kernel(), Watcher()
    watcher.when["settle", 2] = lambda: scripted.fail_after(3, KeyboardInterrupt())
    one = row(scripted)
    running = loop(scripted.clock, watcher)
    with pytest.raises(KeyboardInterrupt):
        run_rows(running, [one])
    running.close([one])
    assert ([visit.ended for visit in one.visits], one.ended) == (["window-full"], "interrupted")


def test_ctrl_c_marks_rows_that_were_not_reached_and_not_those_that_were_done() -> None:
    clock, watcher = ScriptedClock(), Watcher()
    steady, unsteady = kernel(name="a", clock=clock), kernel(drifting(QUARTER, 0.004), name="b", clock=clock)
    rows = [row(steady), row(unsteady)]
    watcher.when["measure", 6] = lambda: unsteady.fail_after(1, KeyboardInterrupt())
    running = loop(clock, watcher, limit_ns=100_000 * MS)
    with pytest.raises(KeyboardInterrupt):
        run_rows(running, rows)
    running.close(rows)
    assert [one.ended for one in rows] == ["precise", "interrupted"]


def test_ctrl_c_during_the_search_marks_every_row_interrupted_and_without_a_figure() -> None:
    clock = ScriptedClock()
    first = kernel(name="a", clock=clock)
    first.fail_after(2, KeyboardInterrupt())
    rows = [row(first), row(kernel(name="b", clock=clock))]
    running = loop(clock)
    with pytest.raises(KeyboardInterrupt):
        run_rows(running, rows)
    running.close(rows)
    assert [one.ended for one in rows] == ["interrupted"] * 2
    assert [delivered(one).counts for one in rows] == [False] * 2
    assert first.live == 0


def test_an_interrupted_row_with_fewer_than_five_visits_does_not_count() -> None:
    scripted, watcher = kernel(), Watcher()
    watcher.when["settle", 5] = lambda: scripted.fail_after(1, KeyboardInterrupt())
    one = row(scripted)
    running = loop(scripted.clock, watcher)
    with pytest.raises(KeyboardInterrupt):
        run_rows(running, [one])
    running.close([one])
    assert (len(one.visits), delivered(one).counts, delivered(one).reason) == (4, False, "too-few-visits")


@pytest.mark.parametrize("error", [RuntimeError("device lost"), MemoryError("device lost")])
@pytest.mark.parametrize("phase", [("search", 0), ("check", 0), ("settle", 2), ("measure", 2)])
def test_a_failing_backend_ends_its_own_row_and_no_other(phase: tuple[str, int], error: Exception) -> None:
    clock, watcher = ScriptedClock(), Watcher()
    bad, good = kernel(name="bad", clock=clock), kernel(name="good", clock=clock)
    rows = [row(bad), row(good)]
    # The first row reaches every phase first; the second must not be hit as well.
    watcher.when[phase] = lambda: bad.fail_after(1, error) if bad.live < 2 and not rows[0].findings else None
    run_rows(loop(clock, watcher), rows)
    assert [one.ended for one in rows] == ["refused", "precise"]
    (finding,) = rows[0].findings
    assert (finding.status, finding.numbers["detail"]) == ("failure", "device lost")
    assert finding.code == ("no-shape-runs" if phase[0] == "search" else "backend-failed")
    assert not delivered(rows[0]).counts
    assert bad.live == 0


def test_a_backend_that_fails_in_the_probe_ends_the_row_and_releases_both_sets_of_operands() -> None:
    scripted, watcher = kernel(), Watcher()
    # Three launches are checked, the fourth is the probe's.
    watcher.when["check", 0] = lambda: scripted.fail_after(4, RuntimeError("device lost"))
    one = row(scripted)
    run_rows(loop(scripted.clock, watcher), [one])
    assert (one.ended, one.findings[0].code, scripted.live) == ("refused", "backend-failed", 0)
    assert one.probe is None


def test_a_backend_that_fails_in_a_window_leaves_its_samples_and_says_what_ended_the_visit() -> None:
    scripted, watcher = kernel(), Watcher()
    watcher.when["measure", 3] = lambda: scripted.fail_after(9, RuntimeError("device lost"))
    one = row(scripted)
    run_rows(loop(scripted.clock, watcher), [one])
    assert [visit.ended for visit in one.visits] == ["window-full", "window-full", "backend-failed"]
    assert len(one.visits[2].samples) == 2


def test_a_defect_of_the_program_is_not_mistaken_for_a_failing_backend() -> None:
    scripted, watcher = kernel(), Watcher()
    watcher.when["measure", 1] = lambda: scripted.fail_after(1, AttributeError("a typo"))
    with pytest.raises(AttributeError, match="a typo"):
        run_rows(loop(scripted.clock, watcher), [row(scripted)])


def test_rows_that_the_plan_refused_take_no_share_of_the_room() -> None:
    clock = ScriptedClock()
    rows = [row(kernel(name=name, clock=clock)) for name in ("absent", "present")]
    rows[0].refuse("not-installed", "pip install it")
    running = loop(clock)
    running.room = search.bytes_needed(rows[1].workload)
    run_rows(running, rows)
    assert rows[1].tried[0].reason is None


@pytest.mark.parametrize(
    "form",
    [replace(INT8, operand_set="int8-saturating"), replace(INT8, layout=SPARSE_LAYOUT)],
    ids=["saturating", "sparse"],
)
def test_a_row_that_can_never_count_sets_no_pace_for_the_others(form: Form) -> None:
    clock = ScriptedClock()
    fast = kernel(constant(QUARTER // 4), name="faster", clock=clock)
    rows = [row(fast, form), row(kernel(name="honest", clock=clock), INT8, refinement=HALVED)]
    run_rows(loop(clock), rows)
    assert any(trial.round for trial in rows[1].tried)


def test_a_row_that_counts_spares_the_search_of_those_far_behind_it() -> None:
    clock = ScriptedClock()
    fast = kernel(constant(QUARTER // 4), name="fast", clock=clock)
    rows = [row(fast), row(kernel(name="behind", clock=clock), refinement=HALVED)]
    run_rows(loop(clock), rows)
    assert not any(trial.round for trial in rows[1].tried)


def test_the_room_is_shared_evenly_by_the_rows() -> None:
    clock = ScriptedClock()
    ladder = (SMALL, GemmShape(m=64, n=64, k=64))
    rows = [row(kernel(name=name, clock=clock), FP32, ladder=ladder) for name in ("a", "b")]
    running = loop(clock)
    # Room for the larger shape once, not twice.
    running.room = 6 * 4 * 3 * 64 * 64
    run_rows(running, rows)
    assert [[trial.reason for trial in one.tried] for one in rows] == [[None, "no-memory"]] * 2


# --------------------------------------------------------------------------------------------- holding

HELD = {"hold_ns": 2000 * MS}


def test_a_row_is_held_for_its_time_after_the_visits_without_a_pause() -> None:
    one = measured(STEADY, **HELD)
    assert one.held is not None
    assert one.held.ended == "window-full"
    samples = one.held.samples
    assert sum(sample.host_ns for sample in samples) >= 2000 * MS
    # A short window has sixty samples, back to back; a launch more or less in each does not matter.
    assert 60 <= len(samples) <= 62
    assert all(b.start_ns == a.start_ns + a.host_ns for a, b in pairwise(samples))
    assert samples[0].start_ns > one.visits[-1].samples[-1].start_ns


def test_without_being_asked_no_row_is_held() -> None:
    assert measured(STEADY).held is None


def test_only_the_rows_that_were_chosen_are_held() -> None:
    clock = ScriptedClock()
    slow, fast = kernel(constant(2 * QUARTER), name="slow", clock=clock), kernel(name="fast", clock=clock)
    rows = [row(slow), row(fast), row(slow, INT8)]
    run_rows(loop(clock, **HELD), rows, hold=[rows[1], rows[2]])
    assert [one.held is not None for one in rows] == [False, True, True]


def test_a_held_row_delivers_what_it_did_in_its_held_window() -> None:
    # Full speed for as long as the visits take, half of it afterwards: a device that throttles.
    scripted, watcher = kernel(), Watcher()

    def throttle() -> None:
        scripted.script = constant(2 * QUARTER)

    watcher.when["hold", 0] = throttle
    one = row(scripted)
    run_rows(loop(scripted.clock, watcher, **HELD), [one])
    figure = delivered(one).estimate
    assert figure is not None
    assert (figure.value, figure.method) == (stats.rounded(OPS / (2 * QUARTER) * 1e9), stats.METHOD_HELD)


def test_a_rate_that_falls_while_held_is_a_finding_with_its_first_and_last_fifth() -> None:
    clock, watcher = ScriptedClock(), Watcher()
    scripted = kernel(clock=clock)
    one = row(scripted)

    def heat() -> None:
        begun = clock.now_ns
        scripted.script = lambda launch: round(QUARTER * (1 + (launch.at_ns - begun) / (20_000 * MS)))

    watcher.when["hold", 0] = heat
    run_rows(loop(clock, watcher, hold_ns=10_000 * MS), [one])
    result = deliver([device()], [one.measurement()], telemetry(), clock=NO_CLOCK)
    (finding,) = (found for found in result.findings if found.code == "rate-fell")
    drift = result.rows[0].drift
    assert drift is not None
    assert drift.ratio < 0.8
    assert (finding.numbers["first"], finding.numbers["last"]) == (drift.first, drift.last)
    per_second = result.rows[0].per_second
    assert 9 <= len(per_second) <= 10
    assert list(per_second) == sorted(per_second, reverse=True)


def test_a_steady_held_rate_has_no_finding() -> None:
    one = measured(STEADY, **HELD)
    assert deliver([device()], [one.measurement()], telemetry(), clock=NO_CLOCK).findings == ()


def test_an_interrupt_while_a_row_is_held_keeps_its_whole_samples() -> None:
    scripted, watcher = kernel(), Watcher()
    watcher.when["hold", 0] = lambda: scripted.fail_after(9, KeyboardInterrupt())
    one = row(scripted)
    with pytest.raises(KeyboardInterrupt):
        run_rows(loop(scripted.clock, watcher, hold_ns=8 * MS), [one])
    assert one.held is not None
    assert one.held.ended == "interrupted"
    assert len(one.held.samples) == 8
    assert len(one.visits) == 5


def test_a_backend_that_fails_while_a_row_is_held_refuses_the_row() -> None:
    scripted, watcher = kernel(), Watcher()
    watcher.when["hold", 0] = lambda: scripted.fail_after(9, RuntimeError("out of memory"))
    one = row(scripted)
    run_rows(loop(scripted.clock, watcher, **HELD), [one])
    assert (one.ended, one.findings[0].code) == ("refused", "backend-failed")


def test_a_held_window_that_was_interrupted_leaves_the_figure_to_the_visits() -> None:
    scripted, watcher = kernel(), Watcher()
    one = row(scripted)

    def throttle_and_stop() -> None:
        scripted.script = constant(8 * QUARTER)
        scripted.fail_after(12 * 400 + 1, KeyboardInterrupt())

    watcher.when["hold", 0] = throttle_and_stop
    with pytest.raises(KeyboardInterrupt):
        run_rows(loop(scripted.clock, watcher, hold_ns=20_000 * MS), [one])
    assert one.held is not None
    assert len(one.held.samples) >= 10
    figure = delivered(one).estimate
    assert figure is not None
    assert (figure.value, figure.method) == (stats.rounded(OPS / QUARTER * 1e9), stats.METHOD)


def test_a_row_gets_no_visit_once_those_before_it_have_used_the_time_up() -> None:
    clock = ScriptedClock()
    # The first row is never precise, and slows down so much that its sixth visit outlasts the limit.
    first = kernel(throttling(QUARTER, 3, period_ns=7 * MS, share=0.5), name="first", clock=clock)
    second = kernel(throttling(QUARTER, 3, period_ns=11 * MS, share=0.5), name="second", clock=clock)
    rows, watcher = [row(first), row(second)], Watcher()
    running = loop(clock, watcher, limit_ns=10_000 * MS)

    def slow_down() -> None:
        first.script = constant(5000 * MS)

    watcher.when["measure", 6] = slow_down
    run_rows(running, rows)
    assert [(len(one.visits), one.ended) for one in rows] == [(6, "time-limit"), (5, "time-limit")]


def test_an_interrupt_while_outputs_are_compared_leaves_none_unlooked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, calls = row(kernel()), []
    honest = loops.accuracy.tally

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 40:
            raise KeyboardInterrupt
        return honest(*arguments)

    scripted = one.kernel
    assert isinstance(scripted, ScriptedKernel)
    running, watcher = loop(scripted.clock), Watcher()
    running.progress = watcher
    watcher.when["measure", 1] = lambda: monkeypatch.setattr(loops.accuracy, "tally", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_rows(running, [one])
    assert one.timed.launches == sum(len(visit.samples) for visit in one.visits)
