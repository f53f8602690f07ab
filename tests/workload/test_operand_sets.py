"""What each operand set holds, that no work can be saved on it, and why results on it are exact.

Draws are seeded, so that no test here depends on luck; a tolerance of five standard deviations would
fail one seed in 1.7 million.
"""

import math
from types import ModuleType

import numpy as np
import pytest
from operand_draws import DRAWS, INTEGERS, KEY, each_draw, each_rare_draw, each_real_draw, each_set, filled
from other_arithmetic import clipped, rounded

from bench.workload import operands
from bench.workload.operands import OPERAND_SETS, Draw, Integers, Reals

OF_ONE_SIGN = ("int8-same-sign", "int8-cancelling")


def deviation(draw: Draw) -> float:
    """The standard deviation of a draw, from the variance n(n + 1)/3 of the integers -n..n."""
    if isinstance(draw, Reals):
        return math.sqrt(1 / 12)

    def second_moment(low: int, high: int) -> float:
        span = high - low + 1
        return (span**2 - 1) / 12 + ((low + high) / 2) ** 2

    common = second_moment(draw.low, draw.high)
    if draw.rare is None:
        return math.sqrt(common) * draw.scale
    return math.sqrt(63 / 64 * common + 1 / 64 * second_moment(*draw.rare)) * draw.scale


# --------------------------------------------------------------------------------- what a set holds


def extreme_lanes(draw: Draw) -> np.ndarray:
    """All bits zero, and all bits one: as an int64, a 64-bit lane of ones is -1."""
    return np.array([0, -1 if draw.lane_bits == 64 else 2**draw.lane_bits - 1])


@pytest.mark.parametrize(
    "name", [name for name, draw in INTEGERS.items() if draw.rare is None and draw.lane_bits == 16]
)
def test_every_integer_comes_equally_often_but_for_one_lane(name: str) -> None:
    draw = INTEGERS[name]
    span = draw.high - draw.low + 1
    values, counts = np.unique(draw(np.arange(2**16)), return_counts=True)
    assert np.array_equal(values, np.arange(draw.low, draw.high + 1))
    assert set(counts) <= {2**16 // span, -(-(2**16) // span)}


@pytest.mark.parametrize("name", [name for name, draw in INTEGERS.items() if draw.rare is None])
def test_both_ends_of_a_range_are_reached(name: str) -> None:
    draw = INTEGERS[name]
    assert draw(extreme_lanes(draw)).tolist() == [draw.low, draw.high]


@each_rare_draw
def test_both_ends_of_the_rare_range_are_reached(draw: Integers) -> None:
    assert draw(np.array([0, 0xFFFF])).tolist() == list(draw.rare or ())


@each_rare_draw
def test_both_ends_of_the_common_range_are_reached(draw: Integers) -> None:
    assert draw(np.array([1 << 26, 0xFFFFFFFF])).tolist() == [draw.low, draw.high]


@each_rare_draw
def test_one_value_in_64_is_rare(draw: Integers) -> None:
    # Of the rare range's values some lie in the common one too and are not seen as rare.
    assert draw.rare is not None
    beyond = 1 - (draw.high - draw.low + 1) / (draw.rare[1] - draw.rare[0] + 1)
    drawn = np.abs(filled(draw, 1000, 1000)) > draw.high * draw.scale
    share = beyond / 64
    assert abs(drawn.mean() - share) < 5 * math.sqrt(share * (1 - share) / drawn.size)


@each_real_draw
def test_reals_reach_from_minus_a_half_to_below_a_half(draw: Reals) -> None:
    assert (draw(extreme_lanes(draw)) * draw.scale).tolist() == [-0.5, 0.5 - 2.0**-draw.bits]


@each_real_draw
def test_reals_use_all_their_bits(draw: Reals) -> None:
    # The last bit of a uniform value is one half of the time.
    codes = (filled(draw, 300, 300) + 0.5) * 2.0**draw.bits
    odd = (codes % 2).astype(bool)
    assert abs(odd.mean() - 0.5) < 5 * 0.5 / math.sqrt(odd.size)


@each_draw
def test_no_drawn_value_leaves_its_range(draw: Draw) -> None:
    values = filled(draw, 500, 500) / draw.scale
    if isinstance(draw, Reals):
        low, high = -(2 ** (draw.bits - 1)), 2 ** (draw.bits - 1) - 1
    else:
        low, high = draw.rare or (draw.low, draw.high)
    assert low <= values.min() <= values.max() <= high
    assert np.array_equal(values, np.rint(values))


@pytest.mark.parametrize("name", [name for name in DRAWS if not name.startswith(OF_ONE_SIGN)])
def test_the_mean_is_zero_within_sampling_error(name: str) -> None:
    values = filled(DRAWS[name], 1000, 1000)
    assert abs(values.mean()) < 5 * deviation(DRAWS[name]) / math.sqrt(values.size)


@each_draw
def test_the_spread_is_that_of_a_uniform_draw(draw: Draw) -> None:
    # The variance of n values of kurtosis below 20 (rare draws have the largest) errs by at most
    # sqrt(19 / n) of itself, the deviation by half of that.
    values = filled(draw, 1000, 1000)
    mean = (draw.low + draw.high) / 2 if isinstance(draw, Integers) and draw.low > 0 else 0.0
    spread = math.sqrt(float(np.mean((values - mean) ** 2)))
    expected = math.sqrt(deviation(draw) ** 2 - mean**2)
    assert abs(spread / expected - 1) < 5 * math.sqrt(19 / values.size) / 2


def test_same_sign_integers_have_one_sign() -> None:
    chosen = OPERAND_SETS["int8-same-sign"]
    assert min(chosen.a.low, chosen.b.low) == 90
    assert max(chosen.a.high, chosen.b.high) == 127


# ------------------------------------------------------------------------------ nothing to save work


@each_draw
def test_random_blocks_have_full_rank(draw: Draw) -> None:
    places = np.random.default_rng(7).integers(0, 5000, size=(8, 2))
    for row, column in places:
        rows, columns = np.arange(row, row + 64).reshape(-1, 1), np.arange(column, column + 64)
        assert np.linalg.matrix_rank(operands.elements(draw, KEY, 0, rows, columns)) == 64


@each_draw
def test_no_two_rows_and_no_two_columns_are_equal(draw: Draw) -> None:
    values = filled(draw, 512, 512)
    assert len(np.unique(values, axis=0)) == 512
    assert len(np.unique(values, axis=1).T) == 512


@each_draw
def test_elements_on_a_diagonal_are_not_related(draw: Draw) -> None:
    """Neither Hankel nor Toeplitz: neighbours on a diagonal agree as often as any two values do."""
    values = filled(draw, 500, 500)
    agree = 2.0**-draw.bits if isinstance(draw, Reals) else 1 / (draw.high - draw.low + 1)
    n = 499 * 499
    allowed = agree + 5 * math.sqrt(agree / n) + 1 / n
    assert np.mean(values[1:, :-1] == values[:-1, 1:]) <= allowed
    assert np.mean(values[1:, 1:] == values[:-1, :-1]) <= allowed


# -------------------------------------------------------------------------- why each set is the right one


# Significant bits of the type that carries each set.
CARRIED_BITS = {"fp64": 53, "fp32": 24, "tf32": 11, "bf16": 8, "fp16": 11, "fp8_e4m3": 4, "fp8_e5m2": 3}


@pytest.mark.parametrize("name", CARRIED_BITS)
def test_every_value_of_a_set_is_exact_in_the_claimed_type(name: str) -> None:
    for draw in (OPERAND_SETS[name].a, OPERAND_SETS[name].b):
        values = filled(draw, 1000, 1000)
        assert np.array_equal(rounded(values, CARRIED_BITS[name]), values)


def test_fp16_values_are_exact_in_numpys_float16() -> None:
    values = filled(OPERAND_SETS["fp16"].a, 1000, 1000)
    assert np.array_equal(values.astype(np.float16), values)


def test_bf16_values_are_exact_in_torchs_bfloat16(torch: ModuleType) -> None:
    values = filled(OPERAND_SETS["bf16"].a, 1000, 1000)
    assert np.array_equal(torch.from_numpy(values).to(torch.bfloat16).double().numpy(), values)


@pytest.mark.parametrize("name", ["int8", "int8-saturating", "int8-same-sign", "int8-cancelling"])
def test_every_integer_of_a_set_is_exact_in_8_bits(name: str) -> None:
    for draw in (OPERAND_SETS[name].a, OPERAND_SETS[name].b):
        values = filled(draw, 1000, 1000)
        assert np.array_equal(clipped(values, 8), values)


# A set, the significant bits of the next lower precision, and the least share of values that it must
# fail to hold: of n-bit integers, those of the top octave that are odd are a quarter; of the rare ranges
# one value in 64 and of these at least half.
TOO_WIDE = [
    ("bf16", 4, 0.8, "fp8"),
    ("fp32", 11, 0.2, "tf32"),
    ("fp32", 8, 0.8, "bf16"),
    ("fp16", 8, 0.007, "bf16"),
    ("tf32", 8, 0.007, "bf16"),
    ("fp8_e4m3", 2, 0.2, "fp4"),
    ("fp8_e5m2", 2, 0.2, "fp4"),
]


@pytest.mark.parametrize(
    ("name", "bits", "least", "lower"), TOO_WIDE, ids=[f"{row[0]}-in-{row[3]}" for row in TOO_WIDE]
)
def test_a_share_of_a_set_does_not_fit_the_next_lower_precision(
    name: str, bits: int, least: float, lower: str
) -> None:
    values = filled(OPERAND_SETS[name].a, 1000, 1000)
    assert np.mean(rounded(values, bits) != values) > least, lower


@pytest.mark.parametrize(("name", "bits"), [("bf16", 8), ("int8", 4)])
def test_a_share_of_a_set_does_not_fit_fewer_integer_bits(name: str, bits: int) -> None:
    values = filled(OPERAND_SETS[name].a, 1000, 1000)
    assert np.mean(clipped(values, bits) != values) > 0.4


def test_most_products_of_fp64_values_do_not_fit_fp32() -> None:
    chosen = OPERAND_SETS["fp64"]
    products = filled(chosen.a, 500, 500) * filled(chosen.b, 500, 500, matrix=1)
    assert np.mean(products.astype(np.float32) != products) > 0.99


# The largest integer up to which the accumulator holds every one, in units of both scales.
EXACT_UP_TO = dict.fromkeys(OPERAND_SETS, 2.0**24) | {
    "fp64": 2.0**53,
    # 13 bits behind the leading one: see operands.OPERAND_SETS.
    "fp8_e4m3": 2.0**14,
    "fp8_e5m2": 2.0**14,
    "int8": 2.0**31,
    "int8-saturating": 2.0**31,
    "int8-same-sign": 2.0**31,
    "int8-cancelling": 2.0**31,
}


@pytest.mark.parametrize("name", CARRIED_BITS)
def test_eight_deviations_of_a_sum_fit_the_accumulator(name: str) -> None:
    chosen = OPERAND_SETS[name]
    one_product = deviation(chosen.a) * deviation(chosen.b) / (chosen.a.scale * chosen.b.scale)
    assert 8 * one_product * math.sqrt(chosen.k_max) < EXACT_UP_TO[name]


@each_set
def test_the_largest_partial_sum_seen_is_within_three_quarters_of_the_exact_range(name: str) -> None:
    # 256 walks of k_max steps: one that passes six of the eight deviations has a chance of 1e-6.
    chosen = OPERAND_SETS[name]
    left = filled(chosen.a, 16, chosen.k_max, matrix=0) / chosen.a.scale
    right = filled(chosen.b, chosen.k_max, 16, matrix=1) / chosen.b.scale
    worst = max(float(np.abs(np.cumsum(row[:, None] * right, axis=0)).max()) for row in left)
    assert worst < 0.75 * EXACT_UP_TO[name]


@pytest.mark.parametrize("name", ["int8", "int8-saturating", "int8-same-sign", "int8-cancelling"])
def test_not_even_the_worst_integer_sum_leaves_int32(name: str) -> None:
    chosen = OPERAND_SETS[name]
    assert (chosen.a.high + 128) * chosen.b.high * chosen.k_max < 2**31


def test_twelve_deviations_of_an_fp16_output_fit_fp16() -> None:
    chosen = OPERAND_SETS["fp16"]
    one_product = deviation(chosen.a) * deviation(chosen.b)
    assert 12 * one_product * math.sqrt(chosen.k_max) < float(np.finfo(np.float16).max)


def test_two_saturating_products_fit_16_bits() -> None:
    chosen = OPERAND_SETS["int8-saturating"]
    assert 2 * (chosen.a.high + 128) * chosen.b.high <= 2**15 - 1


def test_two_full_range_products_do_not_fit_16_bits() -> None:
    chosen = OPERAND_SETS["int8"]
    assert 2 * (chosen.a.high + 128) * chosen.b.high > 2**15 - 1


def test_most_same_sign_sums_leave_the_exact_range_of_fp32() -> None:
    chosen = OPERAND_SETS["int8-same-sign"]
    sums = filled(chosen.a, 64, 2048) @ filled(chosen.b, 2048, 64, matrix=1)
    assert np.mean(sums > 2**24) == 1.0
