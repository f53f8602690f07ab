"""The search: the guard comes before a launch, everything tried is written down, the fastest is taken."""

from collections import Counter
from dataclasses import replace

import pytest
from scripted_device import (
    FP32,
    MS,
    Launch,
    ScriptedClock,
    ScriptedKernel,
    ScriptedPrepared,
    at_rate,
    constant,
    row,
    schedule,
    workload,
)

from bench.measure import search
from bench.measure.row import Row
from bench.terms import ConvShape, GemmShape, Shape, Trial
from bench.workload import opcount
from bench.workload.ladder import Refinement

TINY, MIDDLE, LARGE = (GemmShape(m=size, n=size, k=size) for size in (16, 32, 64))
LADDER = (TINY, MIDDLE, LARGE)
ROOM = 1 << 40
EACH = (("m",), ("n",), ("k",))
IMAGES = (("batch",), ("channels",), ("filters",), ("height", "width"))
HALVE = Refinement(dimensions=EACH, rounds=((0.5, 2.0),), multiple=1, k_max=1 << 20)
HALVE_TWICE = replace(HALVE, rounds=((0.5, 2.0), (0.5, 2.0)))


def run(one: Row, kernel: ScriptedKernel, *, room: int = ROOM, **changes: int) -> list[float]:
    """Search, and hand back the rates that were told on the way."""
    told: list[float] = []
    search.search(one, kernel.clock, schedule(**changes), room, told.append)
    return told


def scripted(script=at_rate(1.0), **others) -> ScriptedKernel:  # noqa: B008
    return ScriptedKernel(clock=ScriptedClock(), script=script, **others)


def test_the_ladder_is_climbed_from_the_least_work_whatever_its_order() -> None:
    kernel = scripted()
    run(row(kernel, ladder=(LARGE, TINY, MIDDLE)), kernel)
    prepared = [event for event in kernel.events if event != "close"]
    assert prepared[:3] == ["prepare 16x16x16", "prepare 32x32x32", "prepare 64x64x64"]
    assert kernel.live == 0


def test_the_fastest_four_run_off_and_the_fastest_three_of_them_once_more() -> None:
    # The larger the shape, the higher its rate.
    kernel = scripted(lambda launch: round(opcount.ops(launch.shape) ** 0.8))
    smallest = [GemmShape(m=size, n=size, k=size) for size in (4, 8)]
    one = row(kernel, ladder=(*smallest, *LADDER))
    run(one, kernel)
    assert [event.removeprefix("prepare ") for event in kernel.events if event != "close"] == [
        "4x4x4", "8x8x8", "16x16x16", "32x32x32", "64x64x64",
        "64x64x64", "32x32x32", "16x16x16", "8x8x8",
        "64x64x64", "32x32x32", "16x16x16",
    ]  # fmt: skip
    assert [len(trial.ops_per_s) for trial in one.tried] == [1, 2, 3, 3, 3]


def test_a_shape_disturbed_in_its_first_probe_is_taken_by_the_run_off() -> None:
    # The middle shape is the fastest by far, but its first probe (two launches and a warm-up) stalls.
    seen = Counter[Shape]()

    def script(launch: Launch) -> int:
        seen[launch.shape] += 1
        stalled = launch.shape == MIDDLE and seen[MIDDLE] <= 3
        return opcount.ops(launch.shape) * (50 if stalled else 1) // (4 if launch.shape == MIDDLE else 1)

    kernel = scripted(script)
    one = row(kernel, ladder=LADDER)
    run(one, kernel, probe_ns=1)
    assert one.workload.shape == MIDDLE


def test_a_lucky_first_probe_wins_nothing() -> None:
    # The clock stumbles in the smallest shape's first probe, which then seems fifty times as fast.
    seen = Counter[Shape]()

    def script(launch: Launch) -> int:
        seen[launch.shape] += 1
        lucky = launch.shape == TINY and seen[TINY] <= 3
        return max(1, opcount.ops(launch.shape) // (50 if lucky else 2 if launch.shape == MIDDLE else 1))

    kernel = scripted(script)
    one = row(kernel, ladder=LADDER)
    run(one, kernel, probe_ns=1)
    assert one.workload.shape == MIDDLE


def test_a_row_far_behind_another_of_its_precision_is_neither_refined_nor_run_off() -> None:
    kernel = scripted()
    one = row(kernel, ladder=LADDER, refinement=HALVE)
    search.search(one, kernel.clock, schedule(), ROOM, lambda _rate: None, best_so_far=2e9)
    assert [(trial.round, len(trial.ops_per_s)) for trial in one.tried] == [(0, 1)] * 3
    assert one.ended == "not-started"


def test_the_fastest_shape_is_taken_with_its_launch_time() -> None:
    # A rate of 1 op/ns everywhere but at the middle shape, which runs at 4.
    kernel = scripted(lambda launch: opcount.ops(launch.shape) // (4 if launch.shape == MIDDLE else 1))
    one = row(kernel, ladder=LADDER)
    run(one, kernel)
    assert one.workload.shape == MIDDLE
    assert one.launch_ns == opcount.ops(MIDDLE) / 4


def test_every_shape_is_in_the_evidence_with_its_rate() -> None:
    kernel = scripted()
    one = row(kernel, ladder=LADDER)
    told = run(one, kernel)
    assert [(t.shape, t.ops_per_s, t.reason) for t in one.tried] == [
        (TINY, (1e9, 1e9, 1e9), None),
        (MIDDLE, (1e9, 1e9, 1e9), None),
        (LARGE, (1e9, 1e9, 1e9), None),
    ]
    assert told == [1e9] * 9
    assert sum(trial.spent_ns for trial in one.tried) == kernel.clock.now_ns


def test_a_shape_predicted_too_slow_is_not_launched_and_says_so() -> None:
    kernel = scripted()
    one = row(kernel, ladder=LADDER)
    # At 1 op/ns the largest takes 524,288 ns and the middle one 65,536.
    run(one, kernel, launch_most_ns=100_000)
    assert [trial.reason for trial in one.tried] == [None, None, "too-slow"]
    assert "prepare 64x64x64" not in kernel.events
    assert one.workload.shape in (TINY, MIDDLE)


def test_a_prediction_at_the_limit_is_still_tried() -> None:
    kernel = scripted()
    one = row(kernel, ladder=LADDER)
    run(one, kernel, launch_most_ns=opcount.ops(LARGE))
    assert [trial.reason for trial in one.tried] == [None, None, None]


def test_a_shape_without_room_for_its_operands_is_not_prepared_and_says_so() -> None:
    kernel = scripted()
    one = row(kernel, ladder=LADDER)
    run(one, kernel, room=search.bytes_needed(workload(FP32, shape=MIDDLE)))
    assert [trial.reason for trial in one.tried] == [None, None, "no-memory"]
    assert "prepare 64x64x64" not in kernel.events


def test_a_shape_that_the_backend_refuses_is_passed_over() -> None:
    kernel = scripted(refuses=lambda w: "odd size" if w.shape == TINY else None)
    one = row(kernel, ladder=LADDER)
    run(one, kernel)
    assert [trial.reason for trial in one.tried] == ["refused", None, None]
    assert one.ended == "not-started"


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("no kernel for this"), "refused"), (MemoryError("all of it"), "no-memory")],
)
def test_a_shape_whose_launch_fails_says_why_and_its_operands_are_released(
    error: Exception, reason: str
) -> None:
    kernel = scripted()
    kernel.fail_after(1, error)
    one = row(kernel, ladder=LADDER)
    run(one, kernel)
    assert [trial.reason for trial in one.tried] == [reason, None, None]
    assert kernel.live == 0


def test_where_memory_runs_out_at_a_large_shape_the_best_of_the_smaller_ones_is_measured() -> None:
    def memory(launch: Launch) -> int:
        if launch.shape == LARGE:
            raise MemoryError("out of memory")
        return opcount.ops(launch.shape)

    kernel = scripted(memory)
    one = row(kernel, ladder=LADDER, refinement=HALVE)
    run(one, kernel)
    assert next(trial for trial in one.tried if trial.shape == LARGE).reason == "no-memory"
    assert one.ended == "not-started"
    assert one.workload.shape != LARGE
    assert [trial.shape for trial in one.tried if trial.round == 1]
    assert search.follows(LADDER, HALVE, one.tried)


def test_a_gpus_own_memory_holds_fewer_copies_of_the_operands() -> None:
    one = workload(FP32, shape=MIDDLE)
    assert search.bytes_needed(one, "cuda") * 2 == search.bytes_needed(one, "cpu") == search.bytes_needed(one)


def test_a_row_that_no_shape_runs_for_is_refused_in_the_backends_words() -> None:
    kernel = scripted(refuses=lambda _w: "needs AVX-512")
    one = row(kernel, ladder=LADDER)
    run(one, kernel)
    (finding,) = one.findings
    assert one.ended == "refused"
    assert (finding.code, finding.status, finding.numbers["detail"]) == (
        "no-shape-runs", "failure", "needs AVX-512",
    )  # fmt: skip


def test_a_row_without_room_for_any_shape_is_refused() -> None:
    kernel = scripted()
    one = row(kernel, ladder=LADDER)
    run(one, kernel, room=0)
    assert [trial.reason for trial in one.tried] == ["no-memory"] * 3
    assert (one.ended, kernel.events) == ("refused", [])


def test_a_probe_is_one_untimed_launch_and_as_many_as_fit_its_time() -> None:
    # The first launch of a kernel takes 50 ms (a warm-up), the others 0.25 ms; four fit the probe's 1 ms.
    kernel = scripted(constant(MS // 4))
    kernel.script = lambda _launch: 50 * MS if len(kernel.launched) == 1 else MS // 4
    one = row(kernel)
    run(one, kernel)
    # A shape alone has nobody to run off against.
    assert len(kernel.launched) == 1 + 4
    assert one.launch_ns == MS / 4


def test_a_device_that_queues_launches_gets_the_rest_of_the_probes_time_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Waiting takes as long as a launch: of the probe's 1 ms nine tenths go to launches, and not a half."""
    finish, waits = ScriptedPrepared.finish, []

    def waiting(prepared: ScriptedPrepared) -> float:
        waits.append(prepared)
        prepared.kernel.clock.advance(MS // 40)
        return finish(prepared)

    monkeypatch.setattr(ScriptedPrepared, "finish", waiting)
    kernel = scripted(constant(MS // 40))
    gpu = row(kernel)
    gpu.device = replace(gpu.device, family="cuda", kind="gpu")
    run(gpu, kernel)
    assert len(kernel.launched) >= 1 + 30
    assert len(waits) <= 6


def test_a_launch_longer_than_the_probe_is_timed_twice_at_least() -> None:
    kernel = scripted(constant(5 * MS))
    run(row(kernel), kernel)
    assert len(kernel.launched) == 1 + 2


def test_a_clock_that_stands_still_ends_the_probe_instead_of_hanging() -> None:
    kernel = scripted()
    kernel.clock.host = 0.0
    one = row(kernel)
    run(one, kernel)
    assert one.ended == "refused"
    assert "stood still" in str(one.findings[0].numbers["detail"])


# ------------------------------------------------------------------------------------------- refining


def shapes_of(one: Row, number: int) -> list[Shape]:
    return [trial.shape for trial in one.tried if trial.round == number]


def test_each_dimension_of_the_best_rung_is_varied_alone() -> None:
    kernel = scripted()
    one = row(kernel, ladder=(MIDDLE,), refinement=HALVE)
    run(one, kernel)
    assert shapes_of(one, 1) == [
        replace(MIDDLE, m=16), replace(MIDDLE, m=64), replace(MIDDLE, n=16), replace(MIDDLE, n=64),
        replace(MIDDLE, k=16), replace(MIDDLE, k=64),
    ]  # fmt: skip


def test_a_better_shape_beside_the_best_rung_is_found_and_measured() -> None:
    # Four times as fast where m is 128, which no rung has.
    kernel = scripted(
        lambda launch: round(opcount.ops(launch.shape) ** 0.9) // (4 if launch.shape.m == 128 else 1)
    )
    one = row(kernel, ladder=LADDER, refinement=HALVE_TWICE)
    run(one, kernel)
    assert (one.workload.shape.m, shapes_of(one, 1)[1]) == (128, replace(LARGE, m=128))


def test_the_second_round_starts_from_the_best_of_the_first_and_repeats_no_shape() -> None:
    kernel = scripted(lambda launch: round(opcount.ops(launch.shape) / launch.shape.m))
    one = row(kernel, ladder=(MIDDLE,), refinement=HALVE_TWICE)
    run(one, kernel)
    base = replace(MIDDLE, m=64)
    assert shapes_of(one, 2) == [
        replace(base, m=128), replace(base, n=16), replace(base, n=64),
        replace(base, k=16), replace(base, k=64),
    ]  # fmt: skip


def test_refinement_ends_with_its_time_and_the_run_off_still_comes() -> None:
    kernel = scripted()
    one = row(kernel, ladder=(MIDDLE,), refinement=HALVE)
    # A neighbour's probe takes more than a millisecond.
    run(one, kernel, refine_ns=MS)
    assert len(shapes_of(one, 1)) == 1
    assert len(one.tried[0].ops_per_s) == 3


def test_no_neighbour_sums_more_products_than_the_operands_stay_exact_for() -> None:
    narrow = replace(HALVE, k_max=32)
    assert all(shape.k <= 32 for shape in narrow.neighbours(MIDDLE, 1))
    conv = ConvShape(batch=1, channels=3, filters=8, height=9, width=9, kernel=3, padding=0)
    assert all(
        opcount.reduction(shape) <= 32 for shape in replace(narrow, dimensions=IMAGES).neighbours(conv, 1)
    )


def test_neighbours_are_multiples_of_what_suits_the_device_once_they_are_that_large() -> None:
    aligned = Refinement(dimensions=EACH, rounds=((0.75, 1.5),), multiple=64, k_max=1 << 20)
    found = aligned.neighbours(GemmShape(m=512, n=192, k=64), 1)
    assert [(s.m, s.n, s.k) for s in found] == [
        (384, 192, 64), (768, 192, 64), (512, 128, 64), (512, 256, 64), (512, 192, 48),
    ]  # fmt: skip


def test_an_image_smaller_than_its_kernel_is_no_neighbour() -> None:
    smallest = ConvShape(batch=1, channels=2, filters=2, height=3, width=3, kernel=3, padding=0)
    assert all(shape.height >= 3 for shape in replace(HALVE, dimensions=IMAGES).neighbours(smallest, 1))


def test_what_is_scaled_together_grows_together_and_no_further_than_the_most() -> None:
    deep = GemmShape(m=64, n=32, k=32, depth=8, streams=2)
    chained = replace(
        HALVE, dimensions=(("n", "k"), ("depth",), ("streams",)), most=(("depth", 8), ("streams", 4))
    )
    found = chained.neighbours(deep, 1)
    assert [(s.n, s.k, s.depth, s.streams) for s in found] == [
        (16, 16, 8, 2), (64, 64, 8, 2), (32, 32, 4, 2), (32, 32, 8, 1), (32, 32, 8, 4),
    ]  # fmt: skip


def test_a_single_layer_that_is_not_square_has_no_deeper_neighbour() -> None:
    chained = replace(HALVE, dimensions=(("depth",),))
    assert chained.neighbours(GemmShape(m=64, n=32, k=16), 1) == ()
    assert chained.neighbours(GemmShape(m=64, n=32, k=32), 1) == (GemmShape(m=64, n=32, k=32, depth=2),)


# ------------------------------------------------------------------------------- climbing until nothing comes

RUNGS = tuple(GemmShape(m=size, n=16, k=16) for size in (16, 32, 64, 128, 256))
CLIMBED_BY_TWO = replace(HALVE, dimensions=(), rounds=(), idle_rungs=2)


def climbed(*ops_per_s: float) -> tuple[Trial, ...]:
    return tuple(trial(shape, rate) for shape, rate in zip(RUNGS, ops_per_s, strict=False))


@pytest.mark.parametrize(
    ("rates", "tried"),
    [
        ((1.0, 2.0, 3.0, 4.0, 5.0), 5),
        ((3.0, 2.0, 1.0, 9.0, 9.0), 3),
        ((1.0, 3.0, 2.0, 4.0, 3.0), 5),
        ((1.0, 3.0, 2.0, 2.5, 9.0), 4),
        ((2.0, 2.0, 2.0, 2.0, 2.0), 3),
    ],
    ids=["ever faster", "first best", "one idle rung", "two idle rungs", "all alike"],
)
def test_climbing_ends_after_two_rungs_that_brought_nothing(rates: tuple[float, ...], tried: int) -> None:
    by_shape = dict(zip(RUNGS, rates, strict=True))
    kernel = scripted(lambda launch: round(opcount.ops(launch.shape) / by_shape[launch.shape]))
    one = row(kernel, ladder=RUNGS, refinement=CLIMBED_BY_TWO)
    run(one, kernel)
    assert [t.shape for t in one.tried] == list(RUNGS[:tried])
    assert search.follows(RUNGS, CLIMBED_BY_TWO, one.tried)


def test_without_a_number_of_idle_rungs_all_are_tried() -> None:
    kernel = scripted(constant(MS // 10))
    one = row(kernel, ladder=RUNGS, refinement=replace(CLIMBED_BY_TWO, idle_rungs=None))
    run(one, kernel)
    assert len(one.tried) == len(RUNGS)
    assert not search.follows(RUNGS, replace(CLIMBED_BY_TWO, idle_rungs=None), climbed(3.0, 2.0, 1.0))


def test_before_anything_ran_no_rung_is_the_top() -> None:
    failed = tuple(replace(t, ops_per_s=(), reason="refused") for t in climbed(1.0, 1.0, 1.0))
    assert not search.at_top((), 2)
    assert not search.at_top(failed, 2)
    # A rung that was refused brought nothing, too.
    assert search.at_top((*climbed(1.0), *failed[1:]), 2)
    assert not search.at_top((*climbed(1.0), failed[1]), 2)


@pytest.mark.parametrize("rates", [(3.0,), (3.0, 2.0), (1.0, 3.0, 2.0), (1.0, 2.0, 3.0, 4.0)], ids=str)
def test_a_climb_that_ended_too_early_does_not_follow(rates: tuple[float, ...]) -> None:
    assert not search.follows(RUNGS, CLIMBED_BY_TWO, climbed(*rates))


@pytest.mark.parametrize(
    "rates", [(3.0, 2.0, 1.0, 9.0), (3.0, 2.0, 1.0, 9.0, 9.0), (1.0, 3.0, 2.0, 2.0, 1.0)]
)
def test_a_climb_that_went_on_too_long_does_not_follow(rates: tuple[float, ...]) -> None:
    assert not search.follows(RUNGS, CLIMBED_BY_TWO, climbed(*rates))


def test_a_climb_that_ended_where_it_should_follows() -> None:
    for rates in ((3.0, 2.0, 1.0), (1.0, 3.0, 2.0, 2.0), (1.0, 2.0, 3.0, 4.0, 5.0)):
        assert search.follows(RUNGS, CLIMBED_BY_TWO, climbed(*rates))


# ---------------------------------------------------------------------------------- what verify follows


def searched(**changes: int) -> tuple[Row, tuple[Trial, ...]]:
    kernel = scripted(lambda launch: round(opcount.ops(launch.shape) ** 0.9))
    one = row(kernel, ladder=LADDER, refinement=HALVE_TWICE)
    run(one, kernel, **changes)
    return one, one.tried


@pytest.mark.parametrize("refine_ns", [1, 12 * MS, 15 * MS, 1000 * MS])
def test_what_a_search_has_tried_follows_whenever_its_time_ended(refine_ns: int) -> None:
    _, tried = searched(refine_ns=refine_ns)
    assert search.follows(LADDER, HALVE_TWICE, tried)


def test_a_trial_left_out_added_or_moved_does_not_follow() -> None:
    _, tried = searched()
    assert not search.follows(LADDER, HALVE_TWICE, tried[1:])
    assert not search.follows(LADDER, HALVE_TWICE, (*tried[:4], *tried[5:]))
    assert not search.follows(LADDER, HALVE_TWICE, (*tried[:3], tried[4], tried[3], *tried[5:]))
    assert not search.follows(LADDER, HALVE, tried)
    strange = replace(tried[-1], shape=GemmShape(m=7, n=7, k=7))
    assert not search.follows(LADDER, HALVE_TWICE, (*tried, strange))


def test_a_slow_shape_let_into_the_run_off_does_not_follow() -> None:
    _, tried = searched()
    slow = min(range(len(tried)), key=lambda index: tried[index].ops_per_s[0])
    lifted = replace(tried[slow], ops_per_s=(*tried[slow].ops_per_s, 1e12))
    assert not search.follows(LADDER, HALVE_TWICE, (*tried[:slow], lifted, *tried[slow + 1 :]))


def trial(shape: Shape, *ops_per_s: float) -> Trial:
    return Trial(shape=shape, round=0, ops_per_s=ops_per_s, spent_ns=1, reason=None)


@pytest.mark.parametrize(
    ("tried", "best"),
    [
        ((trial(TINY, 9e9), trial(LARGE, 2e9, 2e9)), LARGE),
        ((trial(TINY, 9e9, 1e9, 1e9), trial(LARGE, 2e9, 2e9, 2e9)), LARGE),
        ((trial(TINY, 3.4e9, 3.8e9, 1.9e9), trial(LARGE, 3.1e9, 3.3e9, 3.3e9)), TINY),
        ((trial(TINY, 1e9, 3e9), trial(LARGE, 2e9, 2e9)), TINY),
    ],
    ids=["furthest", "lucky once", "disturbed once", "better of two"],
)
def test_one_lucky_or_disturbed_probe_chooses_nothing(tried: tuple[Trial, ...], best: Shape) -> None:
    picked = search.chosen(tried)
    assert picked is not None
    assert picked.shape == best
