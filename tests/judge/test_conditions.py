"""What diagnostics come to: ratios of rates worked out by hand, and their intervals' coverage."""

import numpy as np
import pytest

from bench.judge.conditions import condition, ratio
from bench.terms import Diagnostic, Pair


def diagnostic(*pairs: tuple[int, int]) -> Diagnostic:
    return Diagnostic(
        device="cpu",
        row="one/fp32/mm",
        name="placement",
        detail="cpu 1",
        pairs=tuple(Pair(usual_ns=usual, other_ns=other) for usual, other in pairs),
        reason=None if pairs else "too-slow",
    )


def test_twice_the_time_under_the_condition_is_half_the_rate() -> None:
    found = ratio(diagnostic((100, 200), (110, 220), (90, 180)))
    assert found is not None
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_pairs_cancel_a_machine_that_drifts() -> None:
    found = ratio(diagnostic((100, 80), (200, 160), (400, 320)))
    assert found is not None
    assert (found.low, found.high) == (1.25, 1.25)


def test_one_disturbed_pair_in_three_moves_the_interval_and_not_the_ratio() -> None:
    found = ratio(diagnostic((100, 100), (100, 5000), (100, 100)))
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, 0.02, 1.0)


@pytest.mark.parametrize(("pairs", "left_out"), [(7, 0), (8, 1), (9, 1)])
def test_the_interval_leaves_out_the_outermost_of_many_pairs(pairs: int, left_out: int) -> None:
    found = ratio(diagnostic(*((1000 + i, 1000) for i in range(pairs))))
    assert found is not None
    assert (found.low, found.high) == (1 + left_out / 1000, 1 + (pairs - 1 - left_out) / 1000)


@pytest.mark.parametrize("pairs", [5, 9])
def test_the_interval_covers_the_true_ratio_as_often_as_order_statistics_do(pairs: int) -> None:
    # The least and largest of five medians cover in 1 - 2/32, the second ones of nine in 1 - 20/512:
    # 0.9375 and 0.961, here within three standard errors of 2000 runs.
    expected = {5: 1 - 2 / 32, 9: 1 - 20 / 512}[pairs]
    draw, covered = np.random.default_rng(20240607), 0
    for _ in range(2000):
        times = draw.normal(1_000_000, 30_000, (pairs, 2)).astype(int)
        found = ratio(diagnostic(*((int(usual), int(other)) for usual, other in times)))
        assert found is not None
        covered += found.low <= 1.0 <= found.high
    assert abs(covered / 2000 - expected) < 3 * (expected * (1 - expected) / 2000) ** 0.5


def test_without_pairs_there_is_no_ratio_and_the_reason_stands() -> None:
    assert ratio(diagnostic()) is None
    stored = condition(diagnostic())
    assert (stored.ratio, stored.low, stored.high, stored.reason) == (None, None, None, "too-slow")


def test_what_is_stored_has_nine_significant_digits_and_says_what_it_is_about() -> None:
    stored = condition(diagnostic((2, 3), (2, 3), (2, 3)))
    assert (stored.ratio, stored.low, stored.high, stored.reason) == (*(0.666666667,) * 3, None)
    assert (stored.device, stored.row, stored.name, stored.detail) == (
        "cpu",
        "one/fp32/mm",
        "placement",
        "cpu 1",
    )
