"""Exact operation counts and the fewest bytes a launch must touch.

A multiply-add is two operations. Only products with stored elements count: a convolution's padding
is not work. Python integers throughout, since totals exceed 2^53.
"""

from bench.terms import ConvShape, Cost, Element, Form, GemmShape, Shape

_ELEMENT_BYTES: dict[Element, int] = {
    "f64": 8,
    "f32": 4,
    "bf16": 2,
    "f16": 2,
    "f8_e4m3": 1,
    "f8_e5m2": 1,
    "s32": 4,
    "s8": 1,
    "u8": 1,
}


def taps(size: int, kernel: int, padding: int) -> int:
    """Kernel positions that meet the image along one axis, summed over all outputs (stride 1).

    >>> taps(3, 3, 1)  # the outputs see 2, 3 and 2 elements
    7
    """
    outputs = size + 2 * padding - kernel + 1
    # Kernel position r meets the image at the outputs y with padding <= y + r < padding + size.
    return sum(max(0, min(outputs, padding + size - r) - max(0, padding - r)) for r in range(kernel))


def ops(shape: Shape) -> int:
    """Operations of one launch: 2mnk for a GEMM, the direct algorithm's for a convolution.

    Those of every layer and of every stream.
    """
    layers = shape.depth * shape.streams
    if isinstance(shape, GemmShape):
        return 2 * shape.m * shape.n * shape.k * layers
    rows = taps(shape.height, shape.kernel, shape.padding)
    columns = taps(shape.width, shape.kernel, shape.padding)
    return 2 * shape.batch * shape.channels * shape.filters * rows * columns * layers


def elements(shape: Shape) -> tuple[int, int, int]:
    """Elements of the first operand, the second operand and the output: all streams, all layers' weights.

    What passes from layer to layer need not leave the device, and is not counted.
    """
    if isinstance(shape, GemmShape):
        first, second, output = shape.m * shape.k, shape.k * shape.n, shape.m * shape.n
    else:
        first = shape.batch * shape.channels * shape.height * shape.width
        second = shape.filters * shape.channels * shape.kernel**2
        output = shape.batch * shape.filters * shape.out_height * shape.out_width
    return first * shape.streams, second * shape.depth, output * shape.streams


def cost(shape: Shape, form: Form) -> Cost:
    """Operations, and bytes with every operand read once and the output written once."""
    sizes = (_ELEMENT_BYTES[form.a], _ELEMENT_BYTES[form.b], _ELEMENT_BYTES[form.out])
    return Cost(ops=ops(shape), bytes=sum(n * b for n, b in zip(elements(shape), sizes, strict=True)))


def reduction(shape: Shape) -> int:
    """Products summed in one output element of a layer: K of the (implicit) GEMM."""
    return shape.k if isinstance(shape, GemmShape) else shape.channels * shape.kernel**2


def implicit_gemm(shape: Shape) -> tuple[int, int]:
    """Rows and columns of the output seen as a matrix.

    A convolution's row is one output position (image, y, x) in that order, its column one filter. The
    streams' rows follow one another.
    """
    if isinstance(shape, ConvShape):
        return shape.streams * shape.batch * shape.out_height * shape.out_width, shape.filters
    return shape.streams * shape.m, shape.n
