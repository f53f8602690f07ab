"""When a rate has settled, when a row is done, and how a run's time is shared."""

import dataclasses
import math
from collections.abc import Callable
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from scripted_device import MS, schedule

from bench.measure import stopping
from bench.terms import Estimate, Sample

OPS = 1000


def samples(*times_ns: int) -> list[Sample]:
    return [Sample(start_ns=0, host_ns=t, raw_ns=t, cpu_ns=t, launches=1, real=0) for t in times_ns]


def estimate(half_width: float) -> Estimate:
    return Estimate(
        value=1.0, low=1 - half_width, high=1 + half_width, level=0.95, unit="", method="", visits=5
    )


# ------------------------------------------------------------------------------------------ settling


def test_a_steady_rate_has_settled_after_the_least_time() -> None:
    assert stopping.settled(samples(*[MS] * 7), OPS, schedule()) is None
    assert stopping.settled(samples(*[MS] * 8), OPS, schedule()) == "settled"


def test_two_stretches_of_samples_are_needed_however_long_they_take() -> None:
    assert stopping.settled(samples(*[3 * MS] * 7), OPS, schedule()) is None


@pytest.mark.parametrize(("change", "expected"), [(1.009, "settled"), (1.03, None)])
def test_a_rate_that_moved_by_more_than_a_percent_has_not_settled(
    change: float, expected: str | None
) -> None:
    times = [MS] * 4 + [round(MS * change)] * 4
    assert stopping.settled(samples(*times), OPS, schedule()) == expected


def test_an_older_change_does_not_matter_once_the_last_stretches_agree() -> None:
    assert stopping.settled(samples(*[2 * MS] * 4, *[MS] * 8), OPS, schedule()) == "settled"


def test_settling_ends_at_its_limit_and_says_so() -> None:
    rising = [MS + i * MS // 10 for i in range(30)]
    assert stopping.settled(samples(*rising), OPS, schedule()) == "settle-limit"


def test_a_difference_that_the_scatter_explains_has_settled() -> None:
    # Stretches of 5 % difference: more than 1 %, and less than two standard errors of samples that
    # differ by 10 % from one to the next. The same difference without scatter has not settled.
    scattered = [round(MS * x) for x in (1.0, 1.1, 1.0, 1.1, 1.05, 1.15, 1.05, 1.15)]
    assert stopping.settled(samples(*scattered), OPS, schedule()) == "settled"
    plain = [round(MS * x) for x in [1.05] * 4 + [1.1] * 4]
    assert stopping.settled(samples(*plain), OPS, schedule()) is None


@pytest.mark.parametrize("since", [2, 3, 4, 5])
def test_a_step_does_not_pass_for_scatter(since: int) -> None:
    times = [MS] * (8 - since) + [2 * MS] * since
    assert stopping.settled(samples(*times), OPS, schedule()) is None


def test_one_slow_sample_is_scatter_and_no_step() -> None:
    assert stopping.settled(samples(*[MS] * 5, 2 * MS, *[MS] * 2), OPS, schedule()) == "settled"


def test_a_trend_through_both_stretches_has_not_settled_however_small_their_difference() -> None:
    # 0.1 % a sample: the stretches differ by 0.4 %, and the rate would move by 4 % in the 40 ms.
    falling = [round(MS * (1 + 0.001 * i)) for i in range(8)]
    assert stopping.settled(samples(*falling), OPS, schedule()) is None
    assert stopping.settled(samples(*falling[::-1]), OPS, schedule()) is None
    without = [falling[i] for i in (3, 0, 2, 1, 7, 4, 6, 5)]
    assert stopping.settled(samples(*without), OPS, schedule()) == "settled"


def test_a_trend_too_slow_to_matter_while_settling_has_settled() -> None:
    # 0.02 % a sample: 0.8 % in the 40 ms that settling takes at most.
    falling = [round(MS * (1 + 0.0002 * i)) for i in range(8)]
    assert stopping.settled(samples(*falling), OPS, schedule()) == "settled"


def test_a_trend_as_clear_as_that_is_rare_by_chance() -> None:
    # All orders of eight values are alike where there is no trend: 3.1 % of them pass for one.
    def excess(order: tuple[int, ...]) -> int:
        return sum(1 if b > a else -1 for a, b in combinations(order, 2))

    passing = sum(abs(excess(order)) >= stopping._TREND for order in permutations(range(8)))
    assert passing / math.factorial(8) == pytest.approx(0.031, abs=0.0005)


# How a series of 20 ms samples ends that is `level` times the usual rate at each second of its time, with
# normal noise: settling takes 0.2 to 0.6 s, as in a default run.
DEFAULT = schedule(sample_ns=20 * MS, settle_least_ns=200 * MS, settle_most_ns=600 * MS)
SERIES = 300


def share_settled(level: Callable[[float], float], noise: float) -> float:
    draw = np.random.default_rng(41)
    return sum(settles(level, noise, draw) for _ in range(SERIES)) / SERIES


def settles(level: Callable[[float], float], noise: float, draw: np.random.Generator) -> bool:
    seen: list[Sample] = []
    elapsed_ns, ended = 0, None
    while ended is None:
        rate = level(elapsed_ns / 1e9) * (1 + noise * draw.normal())
        seen += samples(round(20 * MS / rate))
        elapsed_ns += seen[-1].host_ns
        ended = stopping.settled(seen, OPS, DEFAULT)
    return ended == "settled"


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01, 0.05, 0.1])
def test_a_steady_rate_settles_in_time_however_noisy_it_is(noise: float) -> None:
    assert share_settled(lambda _s: 1.0, noise) >= 0.99


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01, 0.05])
def test_a_drift_of_one_percent_a_second_is_nothing_to_wait_for(noise: float) -> None:
    # It moves the rate by 0.6 % in the longest settling; the window and the visits show it.
    assert share_settled(lambda s: 1 - 0.01 * s, noise) >= 0.99


@pytest.mark.parametrize(
    ("noise", "least", "most"), [(0.0, 0, 0), (0.001, 0, 0.01), (0.005, 0.98, 1.0), (0.05, 0.98, 1.0)]
)
def test_a_drift_of_ten_percent_a_second_does_not_settle_unless_noise_hides_it(
    noise: float, least: float, most: float
) -> None:
    # 0.2 % a sample: noise of 0.5 % hides that in eight of them.
    assert least <= share_settled(lambda s: 1 - 0.1 * s, noise) <= most


@pytest.mark.parametrize(
    ("noise", "least", "most"), [(0.0, 0, 0), (0.005, 0, 0.2), (0.02, 0.95, 1.0), (0.05, 0.95, 1.0)]
)
def test_a_slow_approach_does_not_settle_unless_noise_hides_it(
    noise: float, least: float, most: float
) -> None:
    # From 20 % below, nearer by a factor of e each 0.5 s: a quarter of that is left after 0.6 s. In the
    # last eight samples of 2 % noise it cannot be told from chance, and settling ends too early.
    assert least <= share_settled(lambda s: 1 - 0.2 * math.exp(-s / 0.5), noise) <= most


@pytest.mark.parametrize("noise", [0.0, 0.005, 0.02, 0.05])
def test_a_quick_approach_settles(noise: float) -> None:
    assert share_settled(lambda s: 1 - 0.2 * math.exp(-s / 0.05), noise) >= 0.99


def level_when_settled(level: Callable[[float], float], noise: float) -> list[float]:
    """The level at the end of each settling."""
    draw, levels = np.random.default_rng(43), []

    def kept(second: float) -> float:
        levels.append(level(second))
        return levels[-1]

    found = []
    for _ in range(SERIES):
        assert settles(kept, noise, draw)
        found.append(levels[-1])
    return found


@pytest.mark.parametrize("noise", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("at_s", [0.05, 0.1, 0.15])
def test_a_step_is_waited_out(noise: float, at_s: float) -> None:
    levels = level_when_settled(lambda s: 1.0 if s < at_s else 0.8, noise)
    assert levels.count(0.8) >= 0.99 * SERIES


# -------------------------------------------------------------------------------------------- enough


@pytest.mark.parametrize("visits", [1, 4])
def test_fewer_than_the_least_visits_are_never_enough_whatever_time_it_is(visits: int) -> None:
    assert stopping.enough(visits, estimate(0.0), schedule(), 10**15, MS) is None


def test_a_narrow_interval_ends_a_row_as_precise() -> None:
    assert stopping.enough(5, estimate(0.0099), schedule(), 0, MS) == "precise"


def test_a_wide_interval_asks_for_one_more_visit_while_it_fits_the_limit() -> None:
    assert stopping.enough(5, estimate(0.011), schedule(), 999 * MS, MS) is None


def test_a_visit_that_would_pass_the_limit_ends_the_row_as_time_limit() -> None:
    assert stopping.enough(5, estimate(0.011), schedule(), 999 * MS, MS + 1) == "time-limit"


def test_precise_is_the_reason_even_when_the_time_is_up() -> None:
    assert stopping.enough(5, estimate(0.005), schedule(), 2000 * MS, MS) == "precise"


def test_a_row_without_an_estimate_goes_on_to_the_limit() -> None:
    assert stopping.enough(5, None, schedule(), 0, MS) is None
    assert stopping.enough(5, None, schedule(), 1000 * MS, MS) == "time-limit"


# ---------------------------------------------------------------------------------------- batch, time


@pytest.mark.parametrize(
    ("launch_ns", "expected"), [(MS / 4, 4), (MS / 4.4, 4), (MS, 1), (50 * MS, 1), (0.0, MS)]
)
def test_a_sample_holds_as_many_launches_as_make_it_long_enough(launch_ns: float, expected: int) -> None:
    assert stopping.launches_per_sample(launch_ns, schedule()) == expected


@pytest.mark.parametrize("rows", [1, 3, 10, 18, 40])
@pytest.mark.parametrize("quick", [False, True])
def test_every_schedule_has_five_visits_and_room_for_eight_samples_in_a_window(
    rows: int, quick: bool
) -> None:
    made = stopping.schedule(rows, 12.0 if quick else 145.0, quick=quick)
    assert made.visits == 5
    assert made.window_ns >= 8 * made.sample_ns
    assert made.window_ns >= 8 * made.launch_most_ns
    assert made.settle_least_ns < made.settle_most_ns


@pytest.mark.parametrize("rows", [4, 10, 18])
def test_settling_and_windows_of_all_visits_fit_three_quarters_of_the_limit(rows: int) -> None:
    made = stopping.schedule(rows, 145.0, quick=False)
    assert rows * made.visits * (made.settle_least_ns + made.window_ns) <= made.limit_ns * 3 / 4


def test_a_visit_takes_at_least_its_samples_and_two_stretches_of_settling() -> None:
    assert stopping.least_visit_ns(schedule()) == (8 + 2 * 4) * MS


def test_a_window_is_held_only_where_it_is_asked_for_and_beside_the_limit() -> None:
    assert stopping.schedule(4, 60.0, quick=False).hold_ns == 0
    held = stopping.schedule(4, 60.0, quick=False, hold_s=600.0)
    assert held.hold_ns == 600_000 * MS
    assert dataclasses.replace(held, hold_ns=0) == stopping.schedule(4, 60.0, quick=False)


def test_the_searches_of_all_rows_fit_the_time_for_opening() -> None:
    made = stopping.schedule(18, 145.0, quick=False)
    assert 18 * made.refine_ns <= stopping.OPENING * made.limit_ns


@pytest.mark.parametrize("left_s", [30.0, 60.0, 90.0])
def test_paced_visits_fill_the_time_that_is_left_and_no_more(left_s: float) -> None:
    made = stopping.pace(stopping.schedule(18, 145.0, quick=False), 18, int(left_s * 1e9))
    taken = 18 * made.visits * (1.6 * made.settle_least_ns + made.window_ns)
    assert 0.98 * left_s * 1e9 <= taken <= 1.01 * left_s * 1e9


def test_without_time_left_windows_keep_their_least_samples() -> None:
    made = stopping.pace(stopping.schedule(18, 145.0, quick=False), 18, 0)
    assert made.window_ns == stopping.LEAST_SAMPLES * made.sample_ns


def test_more_rows_never_get_longer_windows() -> None:
    windows = [stopping.schedule(rows, 145.0, quick=False).window_ns for rows in range(1, 60)]
    assert all(next_ <= window for window, next_ in pairwise(windows))


def test_a_schedule_is_a_frozen_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule().visits = 1  # type: ignore[misc]
