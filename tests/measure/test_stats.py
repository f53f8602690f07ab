"""The statistics: values worked out by hand, the t table against its closed form, and real coverage."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from bench.measure import stats
from bench.terms import Drift, Estimate, Sample, Visit
from bench.units import NS_PER_S

OPS = 1000
MS = 1_000_000


def sample(host_ns: int, *, launches: int = 1, real: int = 0) -> Sample:
    return Sample(start_ns=0, host_ns=host_ns, raw_ns=host_ns, cpu_ns=host_ns, launches=launches, real=real)


def visit(*samples: Sample) -> Visit:
    return Visit(
        settle=(),
        settle_ended="settled",
        samples=samples,
        device_ns=(),
        clocks_hz=(),
        ended="window-full",
    )


def window(times_ns: Sequence[float] | np.ndarray) -> Visit:
    """A launch a sample, in so many ns."""
    return visit(*(sample(round(float(ns))) for ns in times_ns))


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


def test_visits_that_agree_by_chance_have_the_interval_of_the_blocks_inside_them() -> None:
    # Two visits alike, so that Student's t over visits is 0 wide. Inside, times of 1, 1, 3, 3, 1, 1, 3
    # and 3 us make four blocks of two samples (a quarter of a visit at most): rates of 1 and 1/3 GOP/s,
    # each 1/3 from the mean. Squares of 8/9 in all, 8 - 2 degrees; 16 launches in 32 us are 0.5 GOP/s.
    one = window([1000, 1000, 3000, 3000, 1000, 1000, 3000, 3000])
    estimate = mean_rate(one, one)
    half = 2.447 * math.sqrt(8 / 9 / 6) / math.sqrt(8)
    assert estimate.value == 0.5e9
    assert estimate.high - estimate.value == pytest.approx(half * 1e9, rel=1e-8)
    assert estimate.method == "mean-rate/visits+blocks/student-t/2"


def test_the_blocks_of_a_long_window_give_it_an_interval_of_its_own() -> None:
    # Ten samples are ten blocks, of 1 and 0.5 GOP/s in turn, each 0.25 from the mean: squares of 0.625
    # in all, 9 degrees. Ten launches in 15 us.
    estimate = stats.window_rate(window([1000, 2000] * 5), OPS, "TFLOPS")
    assert estimate is not None
    half = 2.262 * math.sqrt(0.625 / 9) / math.sqrt(10)
    assert estimate.value == pytest.approx(10 / 15 * 1e9, rel=1e-8)
    assert estimate.high - estimate.value == pytest.approx(half * 1e9, rel=1e-8)
    assert (estimate.visits, estimate.unit) == (1, "TFLOPS")
    assert estimate.method == "mean-rate/one-window/batch-means/1"


def test_a_window_too_short_for_ten_blocks_has_no_estimate() -> None:
    assert stats.window_rate(window([1000] * 9), OPS, "TFLOPS") is None
    assert stats.window_rate(window([1000] * 10), OPS, "TFLOPS") is not None


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


# ---------------------------------------------------------------------------------- autocorrelation


def autoregressive(draw: np.random.Generator, shape: tuple[int, ...], rho: float) -> np.ndarray:
    """A stationary series of unit variance along the last axis: each value is rho of the one before."""
    series = draw.normal(0, 1, shape)
    for index in range(1, shape[-1]):
        series[..., index] = rho * series[..., index - 1] + math.sqrt(1 - rho * rho) * series[..., index]
    return series


def test_the_correlation_time_adds_up_to_the_first_correlation_that_is_not_positive() -> None:
    # Around 0.5 the products at lag 1 are 1/4, -1/4, 1/4 over a power of 1, those at lag 2 negative.
    assert stats.correlation_time([[0, 0, 1, 1]]) == 1 + 2 * 0.25


def test_the_correlation_time_is_pooled_over_series_each_around_its_own_mean() -> None:
    # 1/4 of one and -1/4 of the other cancel; that the levels are 1000 apart is no correlation.
    assert stats.correlation_time([[0, 0, 1, 1], [1000, 1001, 1001, 1000]]) == 1


def test_a_constant_series_has_no_correlation() -> None:
    assert stats.correlation_time([[7, 7, 7, 7]]) == 1


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_correlation_time_of_an_autoregressive_series_is_the_known_one(rho: float) -> None:
    # (1 + rho) / (1 - rho); its estimate from n values scatters by sqrt(2 (2 M + 1) / n) of it, where M,
    # the last lag summed, is here below 30 (Sokal): 8 % at most.
    found = stats.correlation_time([list(autoregressive(np.random.default_rng(3), (20_000,), rho))])
    assert found == pytest.approx((1 + rho) / (1 - rho), rel=3 * 0.08)


# -------------------------------------------------------------------------------------------- drift


def test_the_rate_series_shares_a_sample_out_among_the_seconds_it_runs_in() -> None:
    # 6 launches in 0.6 s, 16 in 0.8 s, 14 in 0.7 s: 6 + 16 / 2 in the first second, 16 / 2 + 12 in the
    # second; the 0.1 s that is left is no whole second.
    samples = (sample(600 * MS, launches=6), sample(800 * MS, launches=16), sample(700 * MS, launches=14))
    assert stats.rate_series(visit(*samples), OPS) == (14_000.0, 20_000.0)


def test_a_sample_of_many_seconds_has_the_same_rate_in_each() -> None:
    assert stats.rate_series(visit(sample(2500 * MS, launches=5)), OPS) == (2000.0, 2000.0)


def test_the_mean_of_the_rate_series_is_the_rate_of_its_seconds() -> None:
    times = np.random.default_rng(5).integers(50 * MS, 150 * MS, 40).tolist()
    times.append(5 * NS_PER_S - sum(times))
    series = stats.rate_series(window(times), OPS)
    assert len(series) == 5
    assert math.fsum(series) / 5 == pytest.approx(stats.rate(window(times).samples, OPS), rel=1e-8)


def test_a_window_of_less_than_a_second_has_no_rate_series() -> None:
    assert stats.rate_series(visit(sample(999 * MS)), OPS) == ()
    assert stats.rate_series(visit(), OPS) == ()


def test_drift_is_the_rate_of_the_last_fifth_over_that_of_the_first() -> None:
    launches = [4, 4, 3, 3, 3, 3, 3, 3, 2, 2]
    drifted = visit(*(sample(1000, launches=n) for n in launches))
    assert stats.drift(drifted, OPS) == Drift(first=4e9, last=2e9, ratio=0.5)


def test_fifths_are_of_the_time_and_share_the_sample_that_reaches_over_their_edge() -> None:
    # A fifth of 20 us is 4 us: four launches of 1 us, and 4/11 of the last launch, which takes 11 us.
    found = stats.drift(window([1000] * 9 + [11_000]), OPS)
    assert found is not None
    assert found.first == 1e9
    assert found.ratio == pytest.approx(1 / 11, rel=1e-8)


def test_a_window_of_fewer_than_ten_samples_tells_no_drift() -> None:
    assert stats.drift(window([1000] * 9), OPS) is None


@pytest.mark.parametrize(("slower", "real"), [(0.0, False), (0.02, False), (0.03, True), (-0.03, True)])
def test_drift_of_more_than_two_percent_between_the_fifths_is_real(slower: float, real: bool) -> None:
    # Evenly from first to last; the means of the fifths lie 0.8 of the whole way apart.
    assert stats.drift_is_real(window(MS * np.linspace(1, 1 + slower, 100)), OPS) == real


def test_fifths_of_three_samples_are_too_short_to_tell_a_drift() -> None:
    assert not stats.drift_is_real(window([1000] * 7 + [2000] * 8), OPS)
    assert stats.drift_is_real(window([1000] * 10 + [2000] * 20), OPS)


def share_of_drifts(slower: float, rho: float) -> float:
    """In how many of 300 windows of 400 samples with 10 % noise a drift is found."""
    noise = 0.1 * autoregressive(np.random.default_rng(17), (300, 400), rho)
    times = MS * (1 + noise + slower * np.linspace(0, 1, 400))
    return float(np.mean([stats.drift_is_real(window(one), OPS) for one in times]))


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_scatter_passes_for_drift_in_no_more_than_5_percent_of_windows(rho: float) -> None:
    # Three standard errors of a binomial share of 0.05 in 300.
    assert share_of_drifts(0.0, rho) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_a_drift_of_ten_percent_is_found_in_independent_noise_as_large() -> None:
    # 8 % between fifths of 80 samples, with a standard error of 0.1 sqrt(2 / 80) = 1.6 %.
    assert share_of_drifts(0.1, 0.0) >= 0.95


# ------------------------------------------------------------------------------------- between runs


def test_the_spread_between_runs_is_students_t_over_runs() -> None:
    # Mean 5, squared deviations 32; t of 7 degrees is 2.365.
    spread = stats.between_runs([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert spread is not None
    deviation = math.sqrt(32 / 7)
    assert (spread.runs, spread.mean) == (8, 5.0)
    assert spread.deviation == pytest.approx(deviation, rel=1e-8)
    assert spread.variation == pytest.approx(deviation / 5, rel=1e-8)
    assert spread.high - 5 == pytest.approx(2.365 * deviation / math.sqrt(8), rel=1e-8)
    assert 5 - spread.low == pytest.approx(2.365 * deviation / math.sqrt(8), rel=1e-8)


def test_one_run_has_no_spread() -> None:
    assert stats.between_runs([5.0]) is None


# ---------------------------------------------------------------------------------------- coverage

RUNS = 1000
# Three standard errors of a binomial share of 0.95 in so many runs: what chance takes from 0.95.
CHANCE = 3 * math.sqrt(0.95 * 0.05 / RUNS)
USUAL = OPS * NS_PER_S / MS  # op/s at 1 ms a launch


def covered(
    made: Callable[[np.ndarray], Estimate | None], times_ns: np.ndarray, true: float
) -> tuple[float, float]:
    """In how many of the runs the interval holds the true rate, and its mean half-width as a share."""
    estimates = [made(one) for one in times_ns]
    found = [estimate for estimate in estimates if estimate is not None]
    assert len(found) == len(times_ns) == RUNS
    shares = [(estimate.high - estimate.low) / 2 / true for estimate in found]
    return sum(e.low <= true <= e.high for e in found) / RUNS, math.fsum(shares) / RUNS


def over_visits(times_ns: np.ndarray) -> Estimate:
    return mean_rate(*map(window, times_ns))


def over_window(times_ns: np.ndarray) -> Estimate | None:
    return stats.window_rate(window(times_ns), OPS, "TFLOPS")


@pytest.mark.parametrize(("visits", "samples"), [(5, 8), (5, 40), (8, 8)])
def test_the_interval_covers_where_visits_differ_and_samples_scatter(visits: int, samples: int) -> None:
    draw = np.random.default_rng(20240607)
    states = 0.005 * draw.normal(0, 1, (RUNS, visits, 1))
    noise = 0.02 * draw.normal(0, 1, (RUNS, visits, samples))
    share, half = covered(over_visits, MS * (1 + states + noise), USUAL)
    assert share >= 0.95 - CHANCE
    # Student's t of normal means is 2.6 standard errors wide on average for five of them; the larger of
    # two intervals is a little wider.
    error = math.sqrt((0.005**2 + 0.02**2 / samples) / visits)
    assert half <= 2.9 * error


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_the_interval_covers_where_samples_depend_on_the_ones_before(rho: float) -> None:
    noise = 0.02 * autoregressive(np.random.default_rng(7), (RUNS, 5, 40), rho)
    share, half = covered(over_visits, MS * (1 + noise), USUAL)
    assert share >= 0.95 - CHANCE
    assert half <= 2.9 * 0.02 * math.sqrt((1 + rho) / (1 - rho) / 5 / 40)


@pytest.mark.parametrize(("samples", "least", "most"), [(8, 0.83, 0.90), (40, 0.89, 0.94)])
def test_the_interval_falls_short_where_a_few_samples_are_very_slow(
    samples: int, least: float, most: float
) -> None:
    # Known and not mended: slow samples of a lognormal tail (median 5 % slower, one in a hundred 160 %)
    # are rare, and a run that met few of them looks better and surer than it is, as with any interval
    # for the mean of a skewed quantity. More samples help.
    slow = 0.05 * np.random.default_rng(23).lognormal(0, 1.5, (RUNS, 5, samples))
    true = USUAL / (1 + 0.05 * math.exp(1.5**2 / 2))
    share, _ = covered(over_visits, MS * (1 + slow), true)
    assert least <= share <= most


def test_the_interval_covers_where_slow_samples_are_moderately_skewed() -> None:
    slow = 0.05 * np.random.default_rng(29).lognormal(0, 1, (RUNS, 5, 40))
    share, _ = covered(over_visits, MS * (1 + slow), USUAL / (1 + 0.05 * math.exp(0.5)))
    assert share >= 0.95 - CHANCE


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_interval_of_one_long_window_covers_however_its_samples_depend(rho: float) -> None:
    # 1000 samples; with rho 0.9 they are worth 53 independent ones, and ten blocks are left.
    noise = 0.02 * autoregressive(np.random.default_rng(31), (RUNS, 1000), rho)
    share, half = covered(over_window, MS * (1 + noise), USUAL)
    assert share >= 0.95 - CHANCE
    # Student's t of ten block means is 2.2 standard errors wide on average.
    assert half <= 2.3 * 0.02 * math.sqrt((1 + rho) / (1 - rho) / 1000)


def test_an_interval_that_took_samples_for_independent_would_not_cover() -> None:
    # The reason for blocks: the same windows, with Student's t on their 1000 samples.
    noise = 0.02 * autoregressive(np.random.default_rng(31), (RUNS, 1000), 0.9)
    half = stats.t95(999) * noise.std(axis=1, ddof=1) / math.sqrt(1000)
    assert np.mean(np.abs(noise.mean(axis=1)) <= half) < 0.5


def test_an_interval_from_the_samples_of_one_state_would_not_cover() -> None:
    # The reason for visits: states differ by 3 %, samples within a state by 0.3 %. Student's t on the
    # ten samples of a single visit covers the grand rate far less often than it says.
    draw = np.random.default_rng(11)
    times = 1 + 0.03 * draw.normal(0, 1, (RUNS, 1)) + 0.003 * draw.normal(0, 1, (RUNS, 10))
    share, _ = covered(lambda one: mean_rate(*(window([ns]) for ns in one)), MS * times, USUAL)
    assert share < 0.3
