"""The ladder: the guard comes before a launch, everything tried is written down, the fastest is taken."""

from collections import Counter

import pytest
from scripted_device import (
    FP32,
    MS,
    Launch,
    ScriptedClock,
    ScriptedKernel,
    at_rate,
    constant,
    row,
    schedule,
    workload,
)

from bench.measure import search
from bench.measure.row import Row
from bench.terms import GemmShape, Shape
from bench.workload import opcount

TINY, MIDDLE, LARGE = (GemmShape(m=size, n=size, k=size) for size in (16, 32, 64))
LADDER = (TINY, MIDDLE, LARGE)
ROOM = 1 << 40


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


def test_the_three_fastest_shapes_are_probed_twice_and_no_other() -> None:
    # The larger the shape, the higher its rate.
    kernel = scripted(lambda launch: round(opcount.ops(launch.shape) ** 0.8))
    smallest = GemmShape(m=8, n=8, k=8)
    run(row(kernel, ladder=(smallest, *LADDER)), kernel)
    assert [event for event in kernel.events if event != "close"] == [
        "prepare 8x8x8", "prepare 16x16x16", "prepare 32x32x32", "prepare 64x64x64",
        "prepare 64x64x64", "prepare 32x32x32", "prepare 16x16x16",
    ]  # fmt: skip


def test_a_shape_disturbed_in_its_first_probe_is_taken_by_its_second() -> None:
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
    assert [(t.shape, t.ops_per_s, t.reason) for t in one.tried] == [(s, 1e9, None) for s in LADDER]
    assert told == [1e9] * 6


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


@pytest.mark.parametrize("error", [RuntimeError("no kernel for this"), MemoryError()])
def test_a_shape_whose_launch_fails_is_refused_and_its_operands_released(error: Exception) -> None:
    kernel = scripted()
    kernel.fail_after(1, error)
    one = row(kernel, ladder=LADDER)
    run(one, kernel)
    assert [trial.reason for trial in one.tried] == ["refused", None, None]
    assert kernel.live == 0


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
    # The fastest shapes are probed again: another untimed launch, and four.
    assert len(kernel.launched) == 1 + 4 + 1 + 4
    assert one.launch_ns == MS / 4


def test_a_launch_longer_than_the_probe_is_timed_twice_at_least() -> None:
    kernel = scripted(constant(5 * MS))
    run(row(kernel), kernel)
    assert len(kernel.launched) == 2 * (1 + 2)


def test_a_clock_that_stands_still_ends_the_probe_instead_of_hanging() -> None:
    kernel = scripted()
    kernel.clock.host = 0.0
    one = row(kernel)
    run(one, kernel)
    assert one.ended == "refused"
    assert "stood still" in str(one.findings[0].numbers["detail"])
