"""The right outputs of layers that run on one another, in float64: whole rows, or the whole of an image.

Codes follow the ONNX operator schemas (opset 17): a sum is divided by its scale, rounded to nearest even and
clipped, after each layer. Real values are not rounded between layers.
"""

from functools import lru_cache

import numpy as np

from bench.terms import ConvShape, GemmShape, Workload
from bench.workload import operands
from bench.workload.opcount import implicit_gemm, reduction

# Right outputs that are kept, so that a place which is looked at again costs nothing.
_KEPT = 64


def outputs(workload: Workload, offset: int, rows: tuple[int, ...], rotation: int = 0) -> np.ndarray:
    """Every column of the output at `rows` of the implicit GEMM, (rows, columns), for inputs at `offset`
    that are rotated (accuracy.Place).
    """
    shape = workload.shape
    if isinstance(shape, GemmShape):
        return _gemm_rows(workload, offset, rows, rotation)
    positions = implicit_gemm(shape)[0] // (shape.streams * shape.batch)
    found = [_image(workload, offset, row // positions, rotation)[row % positions] for row in rows]
    return np.stack(found)


def rotated(
    workload: Workload, rows: np.ndarray, columns: np.ndarray, rotation: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the elements at (rows, columns) of a stream's input came from when it was rotated.

    Seen as the pool lies in memory: of a GEMM (m, k), of images (batch * channels * height, width).
    """
    if rotation == 0:
        return rows, columns
    height, width = operands.pool_shape(workload, "a")
    height -= operands.POOL_ROWS * workload.shape.streams
    flat = (rows * width + columns + rotation) % (height * width)
    return flat // width, flat % width


def codes(sums: np.ndarray, shift: int) -> np.ndarray:
    """Sums of codes quantised again to 8 bits, without a zero point."""
    return np.asarray(np.clip(np.rint(sums / 2.0**shift), -128, 127))


def _after(workload: Workload, sums: np.ndarray, layer: int) -> np.ndarray:
    if workload.form.requantised:
        return codes(sums, operands.requantising_shifts(workload)[layer])
    return sums


def _finished(workload: Workload, values: np.ndarray) -> np.ndarray:
    return values + 128 if workload.form.out == "u8" else values


def _rounded(workload: Workload, values: np.ndarray) -> np.ndarray:
    """Real operands as the device gets them."""
    return operands.round_to(values, workload.form.a)


def _weights(workload: Workload, layer: int) -> np.ndarray:
    return _rounded(workload, operands.pool(workload, "b", real=True, layer=layer).astype(np.float64))


@lru_cache(maxsize=_KEPT)
def _gemm_rows(workload: Workload, offset: int, rows: tuple[int, ...], rotation: int) -> np.ndarray:
    shape = workload.shape
    assert isinstance(shape, GemmShape)
    numbers = np.array(rows, dtype=np.int64).reshape(-1, 1)
    row, column = rotated(workload, numbers % shape.m, np.arange(shape.k).reshape(1, -1), rotation)
    at = row + offset + operands.stream_offset(numbers // shape.m)
    drawn = operands.values(workload, "a", at, column, real=True)
    values = _rounded(workload, drawn)
    for layer in range(shape.depth):
        values = _after(workload, values @ _weights(workload, layer), layer)
    return _finished(workload, values)


@lru_cache(maxsize=_KEPT)
def _image(workload: Workload, offset: int, image: int, rotation: int) -> np.ndarray:
    """All positions of an image, (positions, filters)."""
    shape = workload.shape
    assert isinstance(shape, ConvShape)
    size = shape.channels * shape.height
    # One row more than the image has: a rotated one begins within a row.
    first, column = divmod(rotation, shape.width)
    rows = (image % shape.batch * size + first + np.arange(size + 1)) % (shape.batch * size)
    drawn: np.ndarray = np.empty((size + 1, shape.width))
    draw, key = operands.draw(workload, "a", real=True), operands.workload_key(workload, real=True)
    operands.fill(drawn, draw, key, 0, rows=rows + offset + operands.stream_offset(image // shape.batch))
    flat = drawn.reshape(-1)[column : column + size * shape.width]
    values = _rounded(workload, flat).reshape(shape.channels, shape.height, shape.width)
    for layer in range(shape.depth):
        weights = _weights(workload, layer)
        values = _after(workload, _convolved(values, weights, shape), layer)
    return _finished(workload, values.reshape(shape.filters, -1).T)


def _convolved(image: np.ndarray, weights: np.ndarray, shape: ConvShape) -> np.ndarray:
    """(filters, height, width) from (channels, height, width): the implicit GEMM, written out."""
    padded = np.pad(image, ((0, 0), (shape.padding,) * 2, (shape.padding,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (shape.kernel, shape.kernel), axis=(1, 2))
    # (channels, height, width, kernel, kernel) -> (channels, kernel, kernel, height, width)
    columns = np.moveaxis(windows, (1, 2), (3, 4)).reshape(reduction(shape), -1)
    sums: np.ndarray = weights @ columns
    return sums.reshape(shape.filters, shape.height, shape.width)
