"""Operands: the generator bit by bit, the same words everywhere, and what the nonce chooses."""

import hashlib
import math
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from operand_draws import KEY, each_draw, each_real_draw, filled
from workload_cases import FORMS, SMALL_CONV, SMALL_GEMM, gemm_of, workload

from bench.terms import Workload
from bench.workload import operands
from bench.workload.operands import OPERAND_SETS, Draw, Library, Reals


def torch_library(torch: ModuleType) -> Library:
    return Library(arange=torch.arange, float64=lambda array: array.to(torch.float64))


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
    torch: ModuleType, counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
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
def test_numpy_and_torch_fill_the_same_matrix(torch: ModuleType, draw: Draw, matrix: int) -> None:
    out = torch.empty((300, 515), dtype=torch.float64)
    operands.fill(out, draw, KEY, matrix, torch_library(torch))
    assert np.array_equal(out.numpy(), filled(draw, 300, 515, matrix))


@each_real_draw
def test_numpy_and_torch_round_reals_alike(torch: ModuleType, draw: Reals) -> None:
    ours = np.empty((64, 100), dtype=np.float16)
    operands.fill(ours, draw, KEY, 0)
    theirs = torch.empty((64, 100), dtype=torch.float16)
    operands.fill(theirs, draw, KEY, 0, torch_library(torch))
    assert np.array_equal(theirs.numpy(), ours)


@each_draw
def test_a_matrix_is_the_corner_of_every_larger_one(draw: Draw) -> None:
    assert np.array_equal(filled(draw, 50, 70), filled(draw, 200, 333)[:50, :70])


# ----------------------------------------------------------------------------------- pools and choices


@pytest.mark.parametrize("which", ["a", "b"])
@pytest.mark.parametrize("name", [name for name, chosen in OPERAND_SETS.items() if not chosen.cancels])
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
    return sums / 2.0 ** operands.requantising_shifts(gemm_of(name, k=k))[0]


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
