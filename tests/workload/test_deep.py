"""Layers on one another and several streams: counted and computed apart from the code under test.

The device's operands come from the pools, all else is done again: integers in int64, codes by Python's own
rounding, real values in float64, convolutions by the textbook loops.
"""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from other_arithmetic import rounded
from workload_cases import FORMS, workload
from workload_references import everywhere

from bench.terms import ConvShape, Form, GemmShape, Workload
from bench.workload import accuracy, deep, opcount, operands, sampling
from bench.workload.accuracy import Outputs, Place
from bench.workload.operands import POOL_ROWS

OFFSET = 16
U8 = replace(FORMS["int8"], name="u8", a="u8", out="u8", layout="nchw")
S8 = replace(FORMS["int8"], name="s8", a="s8", out="s8", layout="nchw")
INT8 = {"u8": U8, "s8": S8}
REAL = {name: replace(FORMS[name], layout="nchw") for name in ("fp32", "fp16", "bf16", "fp64")}

GEMM = GemmShape(m=6, n=40, k=40, depth=3, streams=2)
CONV = ConvShape(batch=2, channels=6, filters=6, height=5, width=4, kernel=3, padding=1, depth=3, streams=2)
SHAPES = {"gemm": GEMM, "conv": CONV}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def input_of(row: Workload, stream: int, rotation: int) -> np.ndarray:
    """What a stream of a launch at OFFSET reads, (m, k) or (n, c, y, x), as numbers in float64."""
    pool = operands.pool(row, "a", real=True).astype(np.float64)
    pool = rounded(pool, 8) if row.form.a == "bf16" else pool
    pool -= 128 if row.form.a == "u8" else 0
    shape, first = row.shape, OFFSET + 128 * stream
    if isinstance(shape, ConvShape):
        sizes: tuple[int, ...] = (shape.batch, shape.channels, shape.height, shape.width)
    else:
        sizes = (shape.m, shape.k)
    flat = pool[first:].reshape(-1)[: np.prod(sizes)]
    return np.concatenate((flat[rotation:], flat[:rotation])).reshape(sizes)


def weights_of(row: Workload, layer: int) -> np.ndarray:
    pool = operands.pool(row, "b", real=True, layer=layer).astype(np.float64)
    return rounded(pool, 8) if row.form.b == "bf16" else pool


def convolved(image: np.ndarray, weights: np.ndarray, shape: ConvShape) -> np.ndarray:
    """(n, f, y, x) from (n, c, y, x), a loop per output, tap and channel."""
    filters = weights.reshape(shape.filters, shape.channels, shape.kernel, shape.kernel)
    out = np.zeros((shape.batch, shape.filters, shape.out_height, shape.out_width))
    for y, x, r, s, c in product(*map(range, (*out.shape[2:], shape.kernel, shape.kernel, shape.channels))):
        row, column = y + r - shape.padding, x + s - shape.padding
        if 0 <= row < shape.height and 0 <= column < shape.width:
            out[:, :, y, x] += np.outer(image[:, c, row, column], filters[:, c, r, s])
    return out


def as_codes(sums: np.ndarray, shift: int) -> np.ndarray:
    """Divided by 2^shift, to nearest even, clipped to 8 bits; Python's integers throughout."""
    flat = [min(127, max(-128, round(Fraction(int(value), 2**shift)))) for value in sums.reshape(-1)]
    return np.array(flat, dtype=np.float64).reshape(sums.shape)


def by_layers(row: Workload, rotation: int = 0) -> list[np.ndarray]:
    """After each layer the outputs of all streams as (rows of the implicit GEMM, columns), no zero point."""
    shape, after = row.shape, []
    values = [input_of(row, stream, rotation) for stream in range(shape.streams)]
    for layer in range(shape.depth):
        weights = weights_of(row, layer)
        if isinstance(shape, ConvShape):
            values = [convolved(image, weights, shape) for image in values]
        else:
            values = [x @ weights for x in values]
        if row.form.requantised:
            shift = operands.requantising_shifts(row)[layer]
            values = [as_codes(sums, shift) for sums in values]
        after.append(np.concatenate([matrix_of(each) for each in values]))
    return after


def matrix_of(out: np.ndarray) -> np.ndarray:
    return out.transpose(0, 2, 3, 1).reshape(-1, out.shape[1]) if out.ndim == 4 else out


# --------------------------------------------------------------------------------------- right outputs


@pytest.mark.parametrize("rotation", [0, 1, 37])
@pytest.mark.parametrize("name", INT8)
@each_shape
def test_right_codes_are_those_of_the_textbook_loops(
    shape: GemmShape | ConvShape, name: str, rotation: int
) -> None:
    row = workload(INT8[name], shape)
    right = by_layers(row, rotation)[-1] + (128 if name == "u8" else 0)
    rows = everywhere(row).rows
    assert np.array_equal(deep.outputs(row, OFFSET, rows, rotation), right)


@pytest.mark.parametrize("rotation", [0, 1, 37])
@pytest.mark.parametrize("name", REAL)
@each_shape
def test_right_real_outputs_are_those_of_the_textbook_loops(
    shape: GemmShape | ConvShape, name: str, rotation: int
) -> None:
    row = workload(REAL[name], shape)
    got = deep.outputs(row, OFFSET, everywhere(row).rows, rotation)
    # Sums of float64 in another order: far below the least error of a precision.
    assert np.allclose(got, by_layers(row, rotation)[-1], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("rotation", [0, 37])
@pytest.mark.parametrize("name", ["u8", "s8", "fp32"])
@each_shape
def test_what_is_expected_at_a_place_are_its_rows_and_columns(
    shape: GemmShape | ConvShape, name: str, rotation: int
) -> None:
    row = workload((INT8 | REAL)[name], shape)
    rows, columns = opcount.implicit_gemm(shape)
    place = Place(
        offset=OFFSET, real=True, rows=(rows - 1, 0, rows // 2), columns=(columns - 1, 2), rotation=rotation
    )
    whole = by_layers(row, rotation)[-1] + (128 if name == "u8" else 0)
    assert np.allclose(accuracy.expected(row, place), whole[np.ix_(place.rows, place.columns)], rtol=1e-11)


@pytest.mark.parametrize("name", ["u8", "s8", "fp32"])
@each_shape
def test_the_streams_of_a_single_layer_read_their_own_inputs(shape: GemmShape | ConvShape, name: str) -> None:
    row = workload((INT8 | REAL)[name], replace(shape, depth=1))
    first, second = np.split(accuracy.expected(row, everywhere(row, offset=OFFSET)), 2)
    alone = replace(row, shape=replace(row.shape, streams=1))
    # The second stream's input lies as many rows further as there are offsets to read the first one's at.
    assert POOL_ROWS == 128
    assert np.array_equal(accuracy.expected(alone, everywhere(alone, offset=OFFSET)), first)
    assert np.array_equal(accuracy.expected(alone, everywhere(alone, offset=OFFSET + 128)), second)
    assert not np.array_equal(first, second)


def test_the_pool_has_room_for_every_stream_at_every_offset() -> None:
    for shape in (replace(GEMM, streams=4), replace(CONV, streams=4)):
        row = workload(S8, shape)
        height, width = operands.pool_shape(row, "a")
        last = max(operands.offsets(row)) + 128 * 3
        read = opcount.elements(replace(shape, streams=1))[0] // width
        assert last + read <= height


def test_every_layer_has_weights_of_its_own() -> None:
    row = workload(S8, GEMM)
    layers = [operands.pool(row, "b", real=True, layer=layer) for layer in range(3)]
    assert all(not np.array_equal(layers[i], layers[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_a_single_layer_is_that_of_a_shape_without_layers() -> None:
    """Depth 1 of one stream is what every evidence before it had: not a value of it has moved."""
    row = workload(U8, GemmShape(m=6, n=40, k=40))
    one = operands.pool(row, "b", real=False)
    assert np.array_equal(operands.pool(row, "b", real=False, layer=0), one)
    assert operands.pool_shape(row, "a") == (6 + 128, 40)


# ------------------------------------------------------------------------------------- how far values spread


DEEPEST = {
    "gemm 256": GemmShape(m=32, n=256, k=256, depth=24),
    "gemm 64": GemmShape(m=32, n=64, k=64, depth=24),
    "conv 3x3": ConvShape(batch=1, channels=32, filters=32, height=7, width=7, kernel=3, padding=1, depth=24),
    "conv 1x1": ConvShape(batch=1, channels=64, filters=64, height=7, width=7, kernel=1, padding=0, depth=24),
}


@pytest.mark.parametrize("form", INT8.values(), ids=INT8.keys())
@pytest.mark.parametrize("shape", DEEPEST.values(), ids=DEEPEST.keys())
def test_codes_neither_fade_nor_clip_in_24_layers(shape: GemmShape | ConvShape, form: Form) -> None:
    # By the shifts 15 to 30 codes, which 24 draws of few weights let wander by up to a half.
    for layer, out in enumerate(fast_layers(workload(form, shape))):
        assert 12 < out.std() < 46, layer
        assert np.mean(np.abs(out) >= 127) < 0.02, layer


@pytest.mark.parametrize("name", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("shape", DEEPEST.values(), ids=DEEPEST.keys())
def test_real_values_neither_fade_nor_grow_in_24_layers(shape: GemmShape | ConvShape, name: str) -> None:
    # Uniform values spread by 0.289; a shift is off by a factor of 1.4 at most.
    for layer, out in enumerate(fast_layers(workload(REAL[name], shape))):
        assert 0.16 < out.std() < 0.5, layer


def fast_layers(row: Workload) -> list[np.ndarray]:
    """by_layers, its loops in numpy: float64 holds these sums of codes exactly."""
    values, shape, after = input_of(row, 0, 0), row.shape, []
    for layer in range(shape.depth):
        weights = weights_of(row, layer)
        if isinstance(shape, ConvShape):
            filters = weights.reshape(shape.filters, shape.channels, shape.kernel, shape.kernel)
            p = shape.padding
            padded = np.pad(values, ((0, 0), (0, 0), (p, p), (p, p)))
            seen = np.lib.stride_tricks.sliding_window_view(padded, (shape.kernel,) * 2, axis=(2, 3))
            values = np.einsum("ncyxrs,fcrs->nfyx", seen, filters, optimize=True)
        else:
            values = values @ weights
        if row.form.requantised:
            values = np.clip(np.rint(values / 2 ** operands.requantising_shifts(row)[layer]), -128, 127)
        after.append(values)
    return after


def test_there_is_a_shift_for_each_layer() -> None:
    for depth in (1, 3, 24):
        row = workload(U8, replace(GEMM, depth=depth))
        assert len(operands.requantising_shifts(row)) == len(operands.real_shifts(row)) == depth


# ---------------------------------------------------------------------------------- what is looked at


def test_a_deep_graph_runs_on_operands_compared_by_their_error_alone() -> None:
    for form in (U8, REAL["fp32"]):
        single, whole = workload(form, replace(GEMM, depth=1)), workload(form, GEMM)
        assert (operands.is_deep(single), operands.is_deep(whole)) == (False, True)
        assert operands.has_reals(whole)
        assert all(sampling.runs_on_reals(whole, visit, index) for visit in range(3) for index in range(20))
        assert sampling.all_on_reals(whole, [9, 0, 2]) == [[1] * 9, [], [1] * 2]
    assert not operands.has_reals(workload(U8, replace(GEMM, depth=1)))


def test_a_deep_graph_reads_four_inputs_in_turn() -> None:
    offsets = operands.offsets(workload(U8, GEMM))
    assert len(offsets) == operands.OFFSETS
    assert offsets == offsets[:4] * 4
    assert len({*offsets}) == 4
    assert offsets[:4] == operands.offsets(workload(U8, replace(GEMM, depth=1)))[:4]


@each_shape
def test_a_deep_graph_is_looked_at_in_one_place_for_each_input(shape: GemmShape | ConvShape) -> None:
    row = workload(U8, shape)
    offset, other = operands.offsets(row)[:2]
    places = {sampling.timed_place(row, index, offset=offset, real=True) for index in range(40)}
    assert len(places) == 1
    assert sampling.timed_place(row, 0, offset=other, real=True) not in places
    # A row of one layer is looked at everywhere.
    single = replace(row, shape=replace(shape, depth=1))
    assert len({sampling.timed_place(single, i, offset=offset, real=True) for i in range(40)}) > 20


def test_the_rows_of_a_deep_convolution_lie_in_one_image_and_all_images_come() -> None:
    shape = replace(CONV, batch=3, streams=2)
    row = workload(U8, shape)
    images = [
        {r // 20 for r in accuracy.choose_place(row, "test", i, offset=0, real=True, size=8).rows}
        for i in range(60)
    ]
    assert {len(found) for found in images} == {1}
    assert set().union(*images) == set(range(6))


@pytest.mark.parametrize("form", [U8, REAL["fp32"]], ids=["u8", "fp32"])
def test_before_timing_a_single_layer_is_exact_and_the_whole_compared_by_its_error(form: Form) -> None:
    row = workload(form, GEMM)
    layer = sampling.exact_workload(row)
    assert layer.shape == replace(GEMM, depth=1, streams=1)
    counts = sampling.before_counts(row)
    assert counts.compared == counts.real_compared > 0


@each_shape
def test_the_probe_is_of_a_single_layer_and_stream(shape: GemmShape | ConvShape) -> None:
    for form, operand_set in ((U8, "int8-cancelling"), (REAL["fp32"], "fp32")):
        probe = sampling.probe_workload(workload(form, shape))
        assert (probe.shape.depth, probe.shape.streams) == (1, 1)
        assert probe.form.operand_set == operand_set


# --------------------------------------------------------------------------------------- how much it errs


def seen(row: Workload, values: np.ndarray) -> accuracy.Tally:
    return accuracy.tally(row, Outputs(place=everywhere(row, real=True, offset=OFFSET), values=values))


@each_shape
def test_right_codes_err_by_nothing_and_a_layer_left_out_by_far(shape: GemmShape | ConvShape) -> None:
    row = workload(U8, shape)
    *_, before, last = by_layers(row)
    assert seen(row, last + 128).check().real_error_ppm == 0
    assert accuracy.real_error_fits(row, seen(row, last + 128).check())
    assert not accuracy.real_error_fits(row, seen(row, before + 128).check())


def test_codes_beside_the_right_ones_fit_on_a_twentieth_of_a_layers_outputs_and_not_on_all() -> None:
    row = workload(U8, GEMM)
    right = by_layers(row)[-1] + 128
    chance = np.random.default_rng(11)
    for share, fits in ((0.05, True), (1.0, False)):
        beside = right + np.where(chance.random(right.shape) < share, chance.choice((-1, 1), right.shape), 0)
        assert accuracy.real_error_fits(row, seen(row, beside).check()) == fits


@pytest.mark.parametrize(("bits", "fits"), [(24, True), (11, False), (8, False)])
def test_products_in_fewer_bits_do_not_fit_deep_fp32(bits: int, fits: bool) -> None:
    row = workload(REAL["fp32"], replace(GEMM, n=256, k=256))
    values = np.concatenate([input_of(row, stream, 0) for stream in range(2)])
    for layer in range(3):
        product_ = rounded(values, bits).astype(np.float32) @ rounded(weights_of(row, layer), bits).astype(
            np.float32
        )
        values = product_.astype(np.float64)
    assert accuracy.real_error_fits(row, seen(row, values).check()) == fits


def test_the_error_that_is_allowed_grows_like_the_root_of_the_depth() -> None:
    form = REAL["bf16"]
    one, four = (accuracy.band(form, 1024, 10**8, depth=depth)[1] for depth in (1, 4))
    assert four == pytest.approx(2 * one)


def test_a_deep_check_is_right_only_with_both_halves() -> None:
    row = workload(REAL["fp32"], GEMM)
    whole = replace(seen(row, by_layers(row)[-1]).check(), compared=100)
    assert accuracy.right(row, whole)
    assert not accuracy.right(row, replace(whole, wrong=1))
    assert not accuracy.right(row, replace(whole, compared=0))
    assert not accuracy.right(row, replace(whole, real_error_ppm=261.0))
    assert not accuracy.right(row, replace(whole, real_compared=0, real_error_ppm=None))


# ------------------------------------------------------------------------------------- sums that cancel


CANCELLING = {
    "gemm": GemmShape(m=9, n=13, k=64),
    "conv": ConvShape(batch=1, channels=32, filters=7, height=6, width=5, kernel=3, padding=0),
}


def cancelling(form: Form, shape: GemmShape | ConvShape) -> Workload:
    return workload(replace(form, operand_set="int8-cancelling"), shape)


@pytest.mark.parametrize("form", INT8.values(), ids=INT8.keys())
@pytest.mark.parametrize("shape", CANCELLING.values(), ids=CANCELLING.keys())
def test_single_elements_are_those_of_the_pool_that_cancels(shape: GemmShape | ConvShape, form: Form) -> None:
    row = cancelling(form, shape)
    for which in ("a", "b"):
        pool = operands.pool(row, which, real=False).astype(np.float64)
        pool -= 128 if which == "a" and form.a == "u8" else 0
        rows = np.arange(pool.shape[0])
        if which == "a" and isinstance(shape, ConvShape):
            # One image alone is read, where the first launch reads it.
            rows = operands.offsets(row)[0] + np.arange(shape.channels * shape.height)
        columns = np.arange(pool.shape[1])
        got = operands.values(row, which, rows.reshape(-1, 1), columns.reshape(1, -1), real=False)
        assert np.array_equal(got, pool[rows]), which


@pytest.mark.parametrize("shape", CANCELLING.values(), ids=CANCELLING.keys())
def test_of_sums_that_cancel_one_element_is_left(shape: GemmShape | ConvShape) -> None:
    row = cancelling(U8, shape)
    place = everywhere(row, offset=operands.offsets(row)[0])
    expected = accuracy.expected(row, place) - 128
    assert operands.requantising_shifts(row) == (0,)
    assert 90 <= expected.min() < expected.max() <= 126
    # Not everywhere the same one.
    assert len(np.unique(expected)) > 20


def test_the_probes_first_half_leaves_what_fp32_holds_exactly() -> None:
    for operation_shape in CANCELLING.values():
        probe = sampling.probe_workload(workload(U8, operation_shape))
        half = opcount.reduction(probe.shape) // 2
        assert half * 90 * 90 > 2 * 2**24
        assert half * 126 * 126 < 2**31


# ------------------------------------------------------------------------------------------ the shapes


@pytest.mark.parametrize(
    "sizes",
    [
        {"m": 4, "n": 8, "k": 16, "depth": 2},
        {"m": 4, "n": 8, "k": 8, "depth": 0},
        {"m": 4, "n": 8, "k": 8, "streams": 0},
    ],
    ids=str,
)
def test_a_gemm_that_cannot_be_stacked_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"GEMM shape is positive|have n = k"):
        GemmShape(**sizes)


@pytest.mark.parametrize(
    "change",
    [{"filters": 7}, {"padding": 0}, {"kernel": 1}, {"depth": 0}, {"streams": 0}],
    ids=str,
)
def test_a_convolution_that_cannot_be_stacked_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"layers on one another keep|got ConvShape"):
        replace(CONV, **change)
