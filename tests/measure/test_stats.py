"""The statistics: values worked out by hand, the t table against its closed form, and real coverage."""

import math
import random

import numpy as np
import pytest

from bench.measure import stats
from bench.terms import Estimate, Sample, Visit

OPS = 1000
TRUE = 1e6  # op/s of the coverage tests: 1000 operations in 1 ms


def sample(host_ns: int, *, launches: int = 1, real: int = 0) -> Sample:
    return Sample(start_ns=0, host_ns=host_ns, raw_ns=host_ns, cpu_ns=host_ns, launches=launches, real=real)


def visit(*samples: Sample) -> Visit:
    return Visit(settle=(), settle_ended="settled", samples=samples, ended="window-full")


def mean_rate(*visits: Visit, real_only: bool = False) -> Estimate:
    estimate = stats.mean_rate(visits, OPS, "TFLOPS", real_only=real_only)
    assert estimate is not None
    return estimate


# ------------------------------------------------------------------------------------ Student's t


def two_sided(t: float, degrees: int) -> float:
    """P(|T| < t), in closed form (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    theta = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(theta), math.sin(theta)
    if degrees % 2:
        total, term = 0.0, cosine
        for j in range(1, (degrees - 1) // 2 + 1):
            total += term
            term *= cosine**2 * (2 * j) / (2 * j + 1)
        return 2 / math.pi * (theta + sine * total)
    total, term = 0.0, 1.0
    for j in range(1, degrees // 2 + 1):
        total += term
        term *= cosine**2 * (2 * j - 1) / (2 * j)
    return sine * total


def test_the_closed_form_gives_the_known_cases_of_one_and_two_degrees() -> None:
    # One degree is Cauchy's: half lies within 1. Two degrees: t / sqrt(2 + t^2).
    assert two_sided(1.0, 1) == pytest.approx(0.5, abs=1e-12)
    assert two_sided(2.0, 2) == pytest.approx(2 / math.sqrt(6), abs=1e-12)


@pytest.mark.parametrize("degrees", [*range(1, 31), 40, 60, 120])
def test_each_tabulated_t_encloses_95_percent_to_its_last_digit(degrees: int) -> None:
    # The table has three decimals, so that the true value lies within half a unit of the last.
    t = stats.t95(degrees)
    assert two_sided(t - 0.0005, degrees) <= 0.95 <= two_sided(t + 0.0005, degrees)


@pytest.mark.parametrize("degrees", [31, 39, 41, 59, 61, 119, 121, 10_000])
def test_between_rows_of_the_table_the_interval_is_wider_never_narrower(degrees: int) -> None:
    assert two_sided(stats.t95(degrees), degrees) >= 0.95


# ---------------------------------------------------------------------------------------- the figure


def test_the_rate_is_work_over_elapsed_time_and_counts_a_slow_sample_in_full() -> None:
    # Nine samples of 1 us and one of 11 us: 10 launches of 1000 operations in 20 us, half the usual rate.
    samples = [sample(1000)] * 9 + [sample(11_000)]
    assert stats.rate(samples, OPS) == 0.5e9
    assert stats.median([stats.rate([s], OPS) for s in samples]) == 1e9


def test_the_rate_weighs_samples_by_their_launches() -> None:
    assert stats.rate([sample(1000, launches=3), sample(1000, launches=1)], OPS) == 2e9


def test_the_interval_is_student_t_on_the_means_of_visits() -> None:
    # Visits of 1, 2 and 4 us for one launch each: rates 1.0, 0.5 and 0.25 GOP/s, mean 7/12, squared
    # deviations (25 + 1 + 16) / 144, so s = sqrt(42 / 144 / 2); 3 launches in 7 us are 3/7 GOP/s.
    estimate = mean_rate(visit(sample(1000)), visit(sample(2000)), visit(sample(4000)))
    half = 4.303 * math.sqrt(42 / 288) / math.sqrt(3)
    assert estimate.value == pytest.approx(3 / 7 * 1e9, rel=1e-8)
    assert estimate.high - estimate.value == pytest.approx(half * 1e9, rel=1e-8)
    assert estimate.low == 0.0
    assert (estimate.visits, estimate.level, estimate.unit) == (3, 0.95, "TFLOPS")


def test_samples_within_a_visit_do_not_narrow_the_interval() -> None:
    few = mean_rate(visit(sample(1000)), visit(sample(1100)))
    many = mean_rate(visit(*[sample(1000)] * 50), visit(*[sample(1100)] * 50))
    assert (many.low, many.high) == (few.low, few.high)


def test_one_visit_has_no_interval_and_gives_no_estimate() -> None:
    assert stats.mean_rate([visit(sample(1000), sample(1100))], OPS, "TFLOPS", real_only=False) is None


def test_the_real_only_figure_leaves_out_the_exact_samples_and_visits_without_reals() -> None:
    mixed = visit(sample(1000), sample(4000, real=1))
    estimate = mean_rate(mixed, mixed, visit(sample(1000)), real_only=True)
    assert (estimate.value, estimate.visits) == (0.25e9, 2)


def test_stored_numbers_have_nine_significant_digits() -> None:
    assert stats.rounded(123456789.123) == 123456789.0
    assert stats.rounded(2 / 3) == 0.666666667
    estimate = mean_rate(visit(sample(3000)), visit(sample(7000)))
    assert all(x == float(f"{x:.9g}") for x in (estimate.value, estimate.low, estimate.high))


def test_half_width_is_half_the_interval_as_a_share_of_the_value() -> None:
    estimate = Estimate(value=200.0, low=190.0, high=206.0, level=0.95, unit="", method="", visits=5)
    assert stats.half_width(estimate) == 0.04


def test_deviation_divides_by_one_less_than_the_number() -> None:
    assert stats.deviation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == pytest.approx(math.sqrt(32 / 7))


def test_the_median_of_an_even_number_lies_between_the_middle_two() -> None:
    assert stats.median([4.0, 1.0, 3.0, 2.0]) == 2.5
    assert stats.median([3.0, 1.0, 2.0]) == 2.0


# ------------------------------------------------------------------------------------ operand ratio


def test_operand_ratio_is_none_without_samples_on_real_operands() -> None:
    assert stats.operand_ratio([visit(sample(1000), sample(1000))]) is None


def test_operand_ratio_is_none_where_a_real_sample_has_no_exact_neighbour() -> None:
    assert stats.operand_ratio([visit(sample(1000, real=1))]) is None


def ratio_of(visits: list[Visit]) -> float:
    ratio = stats.operand_ratio(visits)
    assert ratio is not None
    return ratio.value


def test_the_interval_of_the_operand_ratio_covers_the_median_of_noisy_pairs() -> None:
    # 95 % asked; over 400 seeds the share scatters by 1.1 %, and order statistics cover a little more.
    covered = 0
    for seed in range(400):
        times = np.random.default_rng(seed).normal(1_000_000, 30_000, (26, 3)).astype(int)
        visits = [visit(sample(int(a)), sample(int(b), real=1), sample(int(c))) for a, b, c in times]
        ratio = stats.operand_ratio(visits)
        assert ratio is not None
        covered += ratio.low <= 1.0 <= ratio.high
    assert 0.92 <= covered / 400 <= 0.995


def test_operand_ratio_is_the_rate_on_reals_over_that_on_the_exact_neighbours() -> None:
    # 1 us a launch on exact operands, 2 us on reals: half the rate, whatever the batch.
    samples = [sample(1000), sample(3000, launches=3), sample(8000, launches=4, real=1), sample(1000)]
    assert ratio_of([visit(*samples)]) == 0.5


def test_operand_ratio_looks_two_samples_to_either_side_so_that_drift_cancels() -> None:
    # Ever slower by 1 us a sample; the real one in the middle is as fast as its surroundings.
    samples = [sample(t * 1000, real=int(t == 14)) for t in range(10, 19)]
    assert ratio_of([visit(*samples)]) == 1.0


def test_operand_ratio_does_not_pair_samples_of_different_visits() -> None:
    fast, slow = visit(sample(1000), sample(1000)), visit(sample(5000), sample(5000, real=1))
    assert ratio_of([fast, slow]) == 1.0


def test_one_disturbed_real_sample_in_three_does_not_make_operand_rates_differ() -> None:
    calm = visit(sample(1000), sample(1000, real=1), sample(1000))
    disturbed = visit(sample(1000), sample(50_000, real=1), sample(1000))
    assert ratio_of([calm, disturbed, calm]) == 1.0


# ---------------------------------------------------------------------------------------- coverage


@pytest.mark.parametrize("visits", [5, 8])
def test_the_95_percent_interval_covers_the_true_rate_in_95_percent_of_runs(visits: int) -> None:
    # Visits' times are normal with 0.5 % spread, three samples each with 2 % of their own noise.
    draw, runs, covered = random.Random(20240607), 4000, 0
    for _ in range(runs):
        seen = []
        for _ in range(visits):
            state = draw.gauss(1.0, 0.005)
            seen.append(visit(*(sample(round(1e6 * state * draw.gauss(1.0, 0.02))) for _ in range(3))))
        estimate = mean_rate(*seen)
        covered += estimate.low <= TRUE <= estimate.high
    # Three standard errors of a binomial share of 0.95 in so many runs.
    assert abs(covered / runs - 0.95) < 3 * math.sqrt(0.95 * 0.05 / runs)


def test_an_interval_from_the_samples_of_one_state_would_not_cover() -> None:
    # The reason for visits: states differ by 3 %, samples within a state by 0.3 %. Student's t on the
    # ten samples of a single visit covers the grand rate far less often than it says.
    draw, runs, covered = random.Random(11), 1000, 0
    for _ in range(runs):
        state = draw.gauss(1.0, 0.03)
        one = [visit(sample(round(1e6 * state * draw.gauss(1.0, 0.003)))) for _ in range(10)]
        estimate = mean_rate(*one)
        covered += estimate.low <= TRUE <= estimate.high
    assert covered / runs < 0.3
