"""Right results built apart from the code under test, and where they are compared."""

from dataclasses import replace
from itertools import product

import numpy as np
import other_arithmetic as other
from other_arithmetic import Product

from bench.terms import Check, ConvShape, GemmShape, Workload
from bench.workload import opcount, operands
from bench.workload.accuracy import Place, Tally

OFFSET = 24


def everywhere(row: Workload, *, real: bool = False, offset: int = OFFSET) -> Place:
    height, width = opcount.implicit_gemm(row.shape)
    return Place(offset=offset, real=real, rows=tuple(range(height)), columns=tuple(range(width)))


def stored(row: Workload, which: str, *, real: bool) -> np.ndarray:
    """An operand's pool as the numbers that the device sees, in float64."""
    element = row.form.a if which == "a" else row.form.b
    pool = operands.pool(row, which, real=real).astype(np.float64)
    if element == "u8":
        return pool - 128
    if element in ("f8_e4m3", "f8_e5m2"):
        return other.in_fp8(pool, element)
    return other.rounded(pool, 8) if element == "bf16" else pool


def whole_gemm(row: Workload, multiply: Product, *, real: bool = False) -> np.ndarray:
    """All outputs, by `multiply` on the operands that a launch at OFFSET reads."""
    assert isinstance(row.shape, GemmShape)
    left = stored(row, "a", real=real)[OFFSET : OFFSET + row.shape.m]
    return multiply(left, stored(row, "b", real=real))


def image_at_offset(row: Workload, *, real: bool) -> np.ndarray:
    """The image (n, y, x, c) that a launch at OFFSET reads from the pool, as its layout has it."""
    shape = row.shape
    assert isinstance(shape, ConvShape)
    window = stored(row, "a", real=real)[OFFSET:]
    if row.form.layout == "channels-last":
        pixels = window[: shape.batch * shape.height * shape.width]
        return pixels.reshape(shape.batch, shape.height, shape.width, shape.channels)
    lines = window[: shape.batch * shape.channels * shape.height]
    return lines.reshape(shape.batch, shape.channels, shape.height, shape.width).transpose(0, 2, 3, 1)


def whole_conv(row: Workload, *, real: bool = False) -> np.ndarray:
    """All outputs of the direct convolution, (positions, filters), a loop per output and tap."""
    shape = row.shape
    assert isinstance(shape, ConvShape)
    image, p, k = image_at_offset(row, real=real), shape.padding, shape.kernel
    weights = stored(row, "b", real=real).reshape(shape.filters, shape.channels, k, k)
    padded = np.zeros((shape.batch, shape.height + 2 * p, shape.width + 2 * p, shape.channels))
    padded[:, p : p + shape.height, p : p + shape.width] = image
    out = np.zeros((shape.batch, shape.out_height, shape.out_width, shape.filters))
    for y, x, r, s in product(range(shape.out_height), range(shape.out_width), range(k), range(k)):
        out[:, y, x] += padded[:, y + r, x + s] @ weights[:, :, r, s].T
    return out.reshape(-1, shape.filters)


def with_form(row: Workload, **changes: object) -> Workload:
    return replace(row, form=replace(row.form, **changes))


def check(**counts: int) -> Check:
    empty = Tally(launches=1).check()
    return replace(empty, **counts)
