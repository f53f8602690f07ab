"""Why a GPU's fp32 and tf32 convolutions are of single pixels: Winograd's smallest algorithm leaves no trace.

F(m x m, 3 x 3) as Lavin and Gray give it (Fast Algorithms for Convolutional Neural Networks, CVPR 2016), its
transforms and sums in fp32.
"""

import numpy as np
import pytest
from workload_cases import FORMS, workload
from workload_references import OFFSET, image_at_offset, stored, whole_conv

from bench.terms import ConvShape, Workload
from bench.workload import accuracy
from bench.workload.accuracy import Outputs, Place

Transforms = tuple[list[list[float]], list[list[float]], list[list[float]]]

# Of the image, of the weights, and of the output.
TWO: Transforms = (
    [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
    [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]],
    [[1, 1, 1, 0], [0, 1, -1, -1]],
)
FOUR: Transforms = (
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
)


def winograd(row: Workload, transforms: Transforms, *, real: bool) -> np.ndarray:
    """One tile of the output, (positions, filters), of an image that is as large as the tile needs."""
    shape = row.shape
    assert isinstance(shape, ConvShape)
    of_image, of_weights, of_output = (np.array(matrix, dtype=np.float32) for matrix in transforms)
    image = image_at_offset(row, real=real)[0].astype(np.float32)
    weights = stored(row, "b", real=real).reshape(shape.filters, shape.channels, 3, 3).astype(np.float32)
    seen = np.einsum("ij,jkc,lk->cil", of_image, image, of_image)
    kept = np.einsum("ij,fcjk,lk->fcil", of_weights, weights, of_weights)
    sums = np.zeros((shape.filters, *seen.shape[1:]), dtype=np.float32)
    for channel in range(shape.channels):
        sums += kept[:, channel] * seen[channel]
    out = np.einsum("ij,fjk,lk->ilf", of_output, sums, of_output)
    return out.reshape(-1, shape.filters).astype(np.float64)


def of(name: str, tile: int) -> Workload:
    size = tile + 2
    form = FORMS[name]
    shape = ConvShape(batch=1, channels=128, filters=16, height=size, width=size, kernel=3, padding=0)
    return workload(form, shape)


def place(row: Workload, *, real: bool) -> Place:
    assert isinstance(row.shape, ConvShape)
    positions = row.shape.out_height * row.shape.out_width
    return Place(
        offset=OFFSET, real=real, rows=tuple(range(positions)), columns=tuple(range(row.shape.filters))
    )


@pytest.mark.parametrize("name", ["fp32", "tf32"])
def test_the_smallest_winograd_is_exact_on_the_integers_that_decide(name: str) -> None:
    row = of(name, 2)
    values = winograd(row, TWO, real=False)
    assert np.array_equal(values, whole_conv(row))
    assert accuracy.exact(accuracy.tally(row, Outputs(place=place(row, real=False), values=values)).check())


@pytest.mark.parametrize("name", ["fp32", "tf32"])
def test_a_larger_winograd_is_a_fast_algorithm_in_tf32_and_errs_beyond_fp32(name: str) -> None:
    # Twice what direct sums in fp32 err by: a row of fp32 would be refused as wrong.
    row = of(name, 4)
    seen = accuracy.tally(
        row, Outputs(place=place(row, real=False), values=winograd(row, FOUR, real=False))
    ) + accuracy.tally(row, Outputs(place=place(row, real=True), values=winograd(row, FOUR, real=True)))
    assert not accuracy.exact(seen.check())
    assert accuracy.fast_algorithm(row, seen.check()) == (name == "tf32")
