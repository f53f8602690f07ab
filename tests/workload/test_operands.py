"""Operands: the generator bit by bit, what each set holds, and why results on it are exact.

Draws are seeded, so that no test here depends on luck; a tolerance of five standard deviations would
fail one seed in 1.7 million.
"""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from other_arithmetic import clipped, rounded
from workload_cases import FORMS, SEED, SMALL_CONV, SMALL_GEMM, workload

from bench.terms import GemmShape, Workload
from bench.workload import operands
from bench.workload.operands import OPERAND_SETS, Draw, Integers, Library, Reals

KEY = operands.key(SEED, "tests")
TORCH = Library(arange=torch.arange, float64=lambda array: array.to(torch.float64))

# Every way of drawing an operand that exists, by name.
DRAWS: dict[str, Draw] = {
    f"{name}-{part}": draw
    for name, chosen in OPERAND_SETS.items()
    for part, draw in (("a", chosen.a), ("b", chosen.b), ("real", chosen.real))
    if draw is not None
}
INTEGERS = {name: draw for name, draw in DRAWS.items() if isinstance(draw, Integers)}
RARE = {name: draw for name, draw in INTEGERS.items() if draw.rare is not None}
REALS = {name: draw for name, draw in DRAWS.items() if isinstance(draw, Reals)}

each_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
each_integer_draw = pytest.mark.parametrize("draw", INTEGERS.values(), ids=INTEGERS.keys())
each_real_draw = pytest.mark.parametrize("draw", REALS.values(), ids=REALS.keys())
each_rare_draw = pytest.mark.parametrize("draw", RARE.values(), ids=RARE.keys())
each_set = pytest.mark.parametrize("name", OPERAND_SETS)


def filled(draw: Draw, rows: int, columns: int, matrix: int = 0) -> np.ndarray:
    out = np.empty((rows, columns))
    operands.fill(out, draw, KEY, matrix)
    return out


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


# ------------------------------------------------------------------------------------- the generator


def philox_in_plain_integers(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 as the paper's figure 2 has it, one word at a time."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * x0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * x2, 2**32)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return x0, x1, x2, x3


# Random123, tests/kat_vectors, lines "philox4x32 10".
KNOWN_ANSWERS = {
    "zeros": ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS.values(), ids=KNOWN_ANSWERS.keys())
def test_numpy_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    got = operands.philox4x32(*(np.array([word]) for word in counter), key)
    assert tuple(int(word[0]) for word in got) == words


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS.values(), ids=KNOWN_ANSWERS.keys())
def test_torch_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    got = operands.philox4x32(*(torch.tensor([word]) for word in counter), key)
    assert tuple(int(word[0]) for word in got) == words


def test_a_key_is_the_first_eight_bytes_of_the_digest() -> None:
    digest = hashlib.sha256(bytes.fromhex("00ff") + b"row/exact").digest()
    words = np.frombuffer(digest[:8], dtype="<u4")
    assert operands.key("00ff", "row/exact") == tuple(int(word) for word in words)


def lane_by_the_specification(row: int, column: int, matrix: int, bits: int) -> int:
    """The module's docstring, read literally."""
    lanes = 128 // bits
    words = philox_in_plain_integers((column // lanes, row, matrix, 0), KEY)
    if bits == 64:
        return words[2 * (column % 2)] << 32 | words[2 * (column % 2) + 1]
    if bits == 32:
        return words[column % 4]
    word = words[column % 8 // 2]
    return word >> 16 if column % 2 else word & 0xFFFF


def value_by_the_specification(draw: Draw, lane: int) -> float:
    if isinstance(draw, Reals):
        return (lane >> draw.lane_bits - draw.bits) / 2**draw.bits - 0.5
    low, high, bits = draw.low, draw.high, draw.lane_bits
    if draw.rare is not None:
        low, high = draw.rare if lane >> 26 == 0 else (low, high)
        lane, bits = lane % 2**16, 16
    return (low + (lane * (high - low + 1) >> bits)) * draw.scale


@each_draw
def test_elements_are_what_the_specification_says(draw: Draw) -> None:
    rows = [0, 1, 2, 1000, 40_000, 2**31]
    expected = [
        [
            value_by_the_specification(draw, lane_by_the_specification(r, c, 1, draw.lane_bits))
            for c in range(300)
        ]
        for r in rows
    ]
    got = operands.elements(draw, KEY, 1, np.array(rows).reshape(-1, 1), np.arange(300).reshape(1, -1))
    assert np.array_equal(got, expected)


# ------------------------------------------------------------------------------- the same everywhere


# (300, 515) takes several blocks of counters, and no lane count divides 515.
@pytest.mark.parametrize("shape", [(1, 1), (37, 29), (300, 515)])
@each_draw
def test_filling_gives_the_single_elements(draw: Draw, shape: tuple[int, int]) -> None:
    rows, columns = np.arange(shape[0]).reshape(-1, 1), np.arange(shape[1]).reshape(1, -1)
    assert np.array_equal(filled(draw, *shape, matrix=1), operands.elements(draw, KEY, 1, rows, columns))


@pytest.mark.parametrize("matrix", [0, 1])
@each_draw
def test_numpy_and_torch_fill_the_same_matrix(draw: Draw, matrix: int) -> None:
    out = torch.empty((300, 515), dtype=torch.float64)
    operands.fill(out, draw, KEY, matrix, TORCH)
    assert np.array_equal(out.numpy(), filled(draw, 300, 515, matrix))


@each_real_draw
def test_numpy_and_torch_round_reals_alike(draw: Reals) -> None:
    ours = np.empty((64, 100), dtype=np.float16)
    operands.fill(ours, draw, KEY, 0)
    theirs = torch.empty((64, 100), dtype=torch.float16)
    operands.fill(theirs, draw, KEY, 0, TORCH)
    assert np.array_equal(theirs.numpy(), ours)


@each_draw
def test_a_matrix_is_the_corner_of_every_larger_one(draw: Draw) -> None:
    assert np.array_equal(filled(draw, 50, 70), filled(draw, 200, 333)[:50, :70])


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


@pytest.mark.parametrize("name", [name for name in DRAWS if "same-sign" not in name])
def test_the_mean_is_zero_within_sampling_error(name: str) -> None:
    values = filled(DRAWS[name], 1000, 1000)
    assert abs(values.mean()) < 5 * deviation(DRAWS[name]) / math.sqrt(values.size)


@each_draw
def test_the_spread_is_that_of_a_uniform_draw(draw: Draw) -> None:
    # The variance of n values of kurtosis below 20 (rare draws have the largest) errs by at most
    # sqrt(19 / n) of itself, the deviation by half of that.
    values = filled(draw, 1000, 1000)
    mean = 108.5 if isinstance(draw, Integers) and draw.low > 0 else 0.0
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


def gemm_of(name: str, k: int, rows: int = 8, columns: int = 8) -> Workload:
    return workload(FORMS[name], GemmShape(m=rows, n=columns, k=k))


# Significant bits of the type that carries each set.
CARRIED_BITS = {"fp64": 53, "fp32": 24, "tf32": 11, "bf16": 8, "fp16": 11, "fp8_e4m3": 4}


@pytest.mark.parametrize("name", CARRIED_BITS)
def test_every_value_of_a_set_is_exact_in_the_claimed_type(name: str) -> None:
    for draw in (OPERAND_SETS[name].a, OPERAND_SETS[name].b):
        values = filled(draw, 1000, 1000)
        assert np.array_equal(rounded(values, CARRIED_BITS[name]), values)


def test_fp16_values_are_exact_in_numpys_float16() -> None:
    values = filled(OPERAND_SETS["fp16"].a, 1000, 1000)
    assert np.array_equal(values.astype(np.float16), values)


def test_bf16_values_are_exact_in_torchs_bfloat16() -> None:
    values = filled(OPERAND_SETS["bf16"].a, 1000, 1000)
    assert np.array_equal(torch.from_numpy(values).to(torch.bfloat16).double().numpy(), values)


@pytest.mark.parametrize("name", ["int8", "int8-saturating", "int8-same-sign"])
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
    "int8": 2.0**31,
    "int8-saturating": 2.0**31,
    "int8-same-sign": 2.0**31,
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


@pytest.mark.parametrize("name", ["int8", "int8-saturating", "int8-same-sign"])
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


# ----------------------------------------------------------------------------------- pools and choices


@pytest.mark.parametrize("which", ["a", "b"])
@pytest.mark.parametrize("name", OPERAND_SETS)
def test_a_pool_holds_the_drawn_values(name: str, which: str) -> None:
    row = gemm_of(name, k=33)
    draw = operands.draw(row, which, real=False)
    pool = operands.pool(row, which, real=False)
    drawn = np.empty(pool.shape)
    operands.fill(drawn, draw, operands.workload_key(row, real=False), 0 if which == "a" else 1)
    zero_point = 128 if (row.form.a if which == "a" else row.form.b) == "u8" else 0
    assert np.array_equal(pool.astype(np.float64) - zero_point, drawn)


@pytest.mark.parametrize("name", ["fp64", "fp32", "bf16", "fp16"])
def test_a_pool_of_reals_is_rounded_to_its_element_at_most_once(name: str) -> None:
    row = gemm_of(name, k=33)
    pool = operands.pool(row, "b", real=True)
    drawn = np.empty(pool.shape)
    operands.fill(drawn, operands.draw(row, "b", real=True), operands.workload_key(row, real=True), 1)
    assert np.array_equal(pool, drawn.astype(pool.dtype))


def test_the_first_operands_pool_has_room_to_move_in() -> None:
    row = gemm_of("fp32", k=33, rows=5, columns=7)
    assert operands.pool_shape(row, "a") == (5 + operands.POOL_ROWS, 33)
    assert operands.pool_shape(row, "b") == (33, 7)


@pytest.mark.parametrize(
    ("layout", "rows", "columns"), [("channels-last", 2 * 7 * 4, 3), ("nchw", 2 * 3 * 7, 4)]
)
def test_the_image_pool_lies_as_the_layout_says(layout: str, rows: int, columns: int) -> None:
    row = workload(replace(FORMS["fp32"], layout=layout), SMALL_CONV)
    assert operands.pool_shape(row, "a") == (rows + operands.POOL_ROWS, columns)
    assert operands.pool_shape(row, "b") == (5, 27)


def test_another_nonce_gives_other_operands(gemm: Workload) -> None:
    other = replace(gemm, seed="c0de" * 16)
    assert np.mean(operands.pool(gemm, "a", real=False) == operands.pool(other, "a", real=False)) < 0.01


def test_another_row_gives_other_operands(gemm: Workload) -> None:
    other = replace(gemm, kernel="other")
    assert np.mean(operands.pool(gemm, "a", real=False) == operands.pool(other, "a", real=False)) < 0.01


def test_exact_and_real_operands_are_drawn_from_other_keys(gemm: Workload) -> None:
    assert operands.workload_key(gemm, real=False) != operands.workload_key(gemm, real=True)


def test_both_operands_differ() -> None:
    row = gemm_of("fp64", k=200, rows=8, columns=200)
    left, right = operands.pool(row, "a", real=False)[:100], operands.pool(row, "b", real=False)[:100]
    assert np.mean(left == right) < 0.01


def test_the_same_workload_gives_the_same_operands_again(gemm: Workload) -> None:
    again = workload(FORMS["fp32"], SMALL_GEMM)
    assert np.array_equal(operands.pool(gemm, "a", real=True), operands.pool(again, "a", real=True))


def test_integers_have_no_real_operands() -> None:
    row = gemm_of("int8", k=8)
    assert not operands.has_reals(row)
    with pytest.raises(ValueError, match="any/int8/plain has no real-valued operands"):
        operands.draw(row, "a", real=True)


@pytest.mark.parametrize("name", ["fp64", "fp32", "tf32", "bf16", "fp16", "fp8_e4m3"])
def test_floating_point_has_real_operands(name: str) -> None:
    assert operands.has_reals(gemm_of(name, k=8))


def test_offsets_are_a_permutation_of_the_pools_steps(gemm: Workload) -> None:
    assert sorted(operands.offsets(gemm)) == list(range(0, operands.POOL_ROWS, 8))


def test_no_offset_leaves_the_pool(gemm: Workload) -> None:
    assert max(operands.offsets(gemm)) < operands.POOL_ROWS


def test_the_nonce_chooses_the_order_of_offsets(gemm: Workload) -> None:
    orders = {operands.offsets(replace(gemm, seed=f"{seed:064x}")) for seed in range(50)}
    assert len(orders) == 50


def test_random_below_stays_below_its_bounds(gemm: Workload) -> None:
    bounds = (1, 2, 7, 2**31)
    drawn = [operands.random_below(gemm, "test", index, bounds) for index in range(2000)]
    assert all(0 <= value < bound for values in drawn for value, bound in zip(values, bounds, strict=True))


@pytest.mark.parametrize("bound", [2, 8, 100])
def test_random_below_is_uniform(gemm: Workload, bound: int) -> None:
    # Chi-square over n bins has mean n - 1 and variance 2(n - 1).
    draws = 5000
    values = [operands.random_below(gemm, "test", index, (bound,))[0] for index in range(draws)]
    expected = draws / bound
    chi_square = sum((count - expected) ** 2 / expected for count in np.bincount(values, minlength=bound))
    assert chi_square < bound - 1 + 5 * math.sqrt(2 * (bound - 1))


def test_random_below_depends_on_purpose_and_index(gemm: Workload) -> None:
    bounds = (2**31,) * 4
    places = [(purpose, index) for purpose in ("before", "timed") for index in range(50)]
    assert len({operands.random_below(gemm, *place, bounds) for place in places}) == 100


def unclipped_codes(name: str, k: int) -> np.ndarray:
    chosen = OPERAND_SETS[name]
    sums = filled(chosen.a, 200, k) @ filled(chosen.b, k, 200, matrix=1)
    return sums / 2.0 ** operands.requantising_shift(gemm_of(name, k=k))


# 72 is a 3x3 filter over 8 channels; 4608 one over 512, the largest of the ladder.
@pytest.mark.parametrize("k", [72, 1024, 2048, 4608])
@pytest.mark.parametrize("name", ["int8", "int8-saturating"])
def test_a_requantised_output_rarely_clips(name: str, k: int) -> None:
    # The shift leaves at most 30 codes of deviation: 127 codes are 4.2 of them, 1 in 40,000.
    codes = unclipped_codes(name, k)
    assert np.mean(np.abs(codes) > 127) < 1e-3


@pytest.mark.parametrize("k", [72, 1024, 2048, 4608])
@pytest.mark.parametrize("name", ["int8", "int8-saturating"])
def test_a_requantised_output_keeps_most_of_its_codes(name: str, k: int) -> None:
    # The next smaller shift would leave more than 30 codes of deviation, so this one leaves over 15;
    # the sampling error of 40,000 outputs is below 1 %.
    codes = unclipped_codes(name, k)
    assert 14.8 < codes.std() < 31
