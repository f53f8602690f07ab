"""Operation counts against counting one by one."""

from dataclasses import fields, replace
from itertools import product

import pytest
from workload_cases import FORMS

from bench.terms import ConvShape, Form, GemmShape, Shape
from bench.workload import opcount


def counted_taps(size: int, kernel: int, padding: int) -> int:
    """Every output along one axis, every kernel position: does it meet the image?"""
    outputs = range(size + 2 * padding - kernel + 1)
    return sum(padding <= y + r < padding + size for y in outputs for r in range(kernel))


def counted_ops(shape: Shape) -> int:
    """Two for every multiply-add of the textbook loops whose operands are stored, in every layer of every
    stream.
    """
    layers = (shape.depth, shape.streams)
    if isinstance(shape, GemmShape):
        return sum(2 for _ in product(*map(range, (*layers, shape.m, shape.n, shape.k))))
    axes = (*layers, shape.batch, shape.filters, shape.out_height, shape.out_width, shape.channels)
    total = 0
    for _, _, _, _, y, x, _, r, s in product(*map(range, (*axes, shape.kernel, shape.kernel))):
        row, column = y + r - shape.padding, x + s - shape.padding
        if 0 <= row < shape.height and 0 <= column < shape.width:
            total += 2
    return total


def conv(height: int, width: int, kernel: int, padding: int) -> ConvShape:
    return ConvShape(
        batch=2, channels=3, filters=2, height=height, width=width, kernel=kernel, padding=padding
    )


def name(shape: Shape) -> str:
    return "x".join(str(getattr(shape, field.name)) for field in fields(shape))


SHAPES = (
    GemmShape(m=1, n=1, k=1),
    GemmShape(m=3, n=4, k=5),
    GemmShape(m=7, n=2, k=11),
    GemmShape(m=3, n=5, k=5, depth=4),
    GemmShape(m=3, n=4, k=5, streams=3),
    GemmShape(m=3, n=5, k=5, depth=2, streams=4),
    conv(5, 4, kernel=1, padding=0),
    conv(5, 4, kernel=3, padding=0),
    conv(6, 6, kernel=3, padding=1),
    conv(7, 7, kernel=3, padding=1),
    conv(4, 7, kernel=2, padding=1),
    conv(6, 5, kernel=4, padding=3),
    conv(6, 8, kernel=5, padding=2),
    conv(1, 3, kernel=5, padding=2),
    conv(3, 2, kernel=3, padding=4),
    conv(2, 3, kernel=1, padding=2),
    replace(conv(5, 4, kernel=3, padding=0), streams=3),
    replace(conv(5, 4, kernel=3, padding=1), filters=3, depth=3),
    replace(conv(4, 4, kernel=1, padding=0), filters=3, depth=2, streams=2),
)


@pytest.mark.parametrize("shape", SHAPES, ids=name)
def test_operations_are_those_of_the_textbook_loops(shape: Shape) -> None:
    assert opcount.ops(shape) == counted_ops(shape)


@pytest.mark.parametrize("kernel", range(1, 8))
def test_taps_along_an_axis_are_those_counted_one_by_one(kernel: int) -> None:
    cases = [(size, padding) for size in range(1, 9) for padding in range(8) if size + 2 * padding >= kernel]
    counted = {case: counted_taps(case[0], kernel, case[1]) for case in cases}
    assert {case: opcount.taps(case[0], kernel, case[1]) for case in cases} == counted


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 11])
def test_taps_of_same_padding_follow_the_closed_formula(kernel: int) -> None:
    padding = kernel // 2
    sizes = range(max(1, padding), 40)
    formula = [kernel * size - padding * (padding + 1) for size in sizes]
    assert [opcount.taps(size, kernel, padding) for size in sizes] == formula


def test_an_endless_image_is_counted_at_once() -> None:
    size = 2**53
    assert opcount.taps(size, 3, 1) == 3 * size - 2
    assert opcount.taps(size, 3, 5) == 3 * size


def test_padding_of_a_7x7_image_is_not_work() -> None:
    # Nine taps at every position would be 882 operations, a fifth more than there are.
    shape = ConvShape(batch=1, channels=1, filters=1, height=7, width=7, kernel=3, padding=1)
    assert opcount.ops(shape) == 2 * 19 * 19 == 722


def test_without_padding_every_output_counts_its_whole_reduction() -> None:
    shape = ConvShape(batch=4, channels=16, filters=8, height=12, width=9, kernel=3, padding=0)
    rows, columns = opcount.implicit_gemm(shape)
    assert opcount.ops(shape) == 2 * rows * columns * opcount.reduction(shape)


def test_totals_beyond_2_to_the_53_stay_exact() -> None:
    # 300,007^3 is odd, so that a float64 cannot hold twice it: 5.4e16 has a spacing of 8.
    total = opcount.ops(GemmShape(m=300_007, n=300_007, k=300_007))
    assert total == 54_003_780_088_200_686
    assert int(float(total)) != total


def test_totals_of_convolutions_beyond_2_to_the_53_stay_exact() -> None:
    shape = ConvShape(batch=1, channels=100_003, filters=100_003, height=1001, width=999, kernel=3, padding=1)
    assert opcount.ops(shape) == 2 * 100_003**2 * (3 * 1001 - 2) * (3 * 999 - 2)
    assert isinstance(opcount.ops(shape), int)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("fp64", 8 * 6 + 8 * 15 + 8 * 10),
        ("fp32", 4 * 6 + 4 * 15 + 4 * 10),
        ("bf16", 2 * 6 + 2 * 15 + 2 * 10),
        ("fp16", 2 * 6 + 2 * 15 + 2 * 10),
        ("int8", 1 * 6 + 1 * 15 + 4 * 10),
        ("int8-saturating", 1 * 6 + 1 * 15 + 4 * 10),
    ],
)
def test_bytes_are_each_operand_read_once_and_the_output_written_once(form: str, expected: int) -> None:
    assert opcount.cost(GemmShape(m=2, n=5, k=3), FORMS[form]).bytes == expected


def test_bytes_of_a_convolution_leave_its_padding_out() -> None:
    shape = ConvShape(batch=2, channels=3, filters=5, height=4, width=6, kernel=3, padding=1)
    image, weights, output = 2 * 3 * 4 * 6, 5 * 3 * 9, 2 * 5 * 4 * 6
    assert opcount.cost(shape, FORMS["fp32"]).bytes == 4 * (image + weights + output)


def test_bytes_are_those_of_all_inputs_outputs_and_layers_weights() -> None:
    shape = GemmShape(m=2, n=5, k=5, depth=3, streams=4)
    assert opcount.cost(shape, FORMS["fp32"]).bytes == 4 * (4 * 2 * 5 + 3 * 5 * 5 + 4 * 2 * 5)
    image = ConvShape(
        batch=2, channels=3, filters=3, height=4, width=6, kernel=3, padding=1, depth=2, streams=3
    )
    activation = 3 * 2 * 3 * 4 * 6
    assert opcount.cost(image, FORMS["fp32"]).bytes == 4 * (activation + 2 * 3 * 3 * 9 + activation)


def test_the_rows_of_streams_follow_one_another() -> None:
    assert opcount.implicit_gemm(GemmShape(m=2, n=5, k=5, depth=3, streams=4)) == (8, 5)
    shape = replace(conv(5, 4, kernel=3, padding=0), streams=3)
    assert opcount.implicit_gemm(shape) == (3 * 2 * 3 * 2, 2)
    assert opcount.reduction(shape) == 27


def test_a_quantised_output_counts_one_byte_an_element() -> None:
    form = Form(
        precision="int8", name="QDQ", a="u8", b="s8", out="u8", operand_set="int8", layout="row-major"
    )
    assert opcount.cost(GemmShape(m=2, n=5, k=3), form).bytes == 6 + 15 + 10


def test_cost_carries_the_operations() -> None:
    shape = GemmShape(m=2, n=5, k=3)
    assert opcount.cost(shape, FORMS["fp32"]).ops == 60


def test_a_convolution_is_a_product_of_positions_and_filters() -> None:
    shape = ConvShape(batch=2, channels=3, filters=5, height=7, width=4, kernel=3, padding=0)
    assert opcount.implicit_gemm(shape) == (2 * 5 * 2, 5)
    assert opcount.reduction(shape) == 27


def test_a_gemm_is_itself() -> None:
    shape = GemmShape(m=2, n=5, k=3)
    assert (opcount.implicit_gemm(shape), opcount.reduction(shape)) == ((2, 5), 3)
