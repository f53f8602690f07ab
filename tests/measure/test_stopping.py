"""When a rate has settled, when a row is done, and how a run's time is shared."""

import dataclasses
from itertools import pairwise

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
