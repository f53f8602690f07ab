"""Operands that make every result predictable: counter-based, exact, and nobody's choice but the nonce's.

Generator: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The
code uses operators alone, so that numpy and torch arrays, on any device, give the same words.

An operand is one element of a matrix. Element (row, column) of matrix M of a label comes from
    key     = the first 8 bytes of SHA-256(nonce || label), two little-endian words
    counter = (column // lanes, row, M, 0)
and the lane column % lanes of the four output words: 8 lanes of 16 bits (low half first), 4 of 32, or
2 of 64 (first word high). A matrix is therefore the corner of every larger one with the same label.

Where a form's first operand is 2:4 sparse, elements (row, 4g) to (row, 4g + 3) keep the two that the g-th
element of that row chooses in a matrix of its own number, drawn uniformly from the six patterns.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bench.terms import ConvShape, Element, GemmShape, Shape, Workload
from bench.workload import opcount

# numpy's ndarray or torch's Tensor, int64: only operators that both have are used on it.
Array = Any

_MASK = 0xFFFFFFFF
_MULTIPLIER = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
# Counters drawn at a time: four int64 arrays of this length stay in a second-level cache.
_BLOCK = 1 << 14
# Rows that are thinned at a time.
_THINNED = 1 << 10

# A launch reads its first operand at one of these row offsets of a pool, so that no two launches in
# a row compute the same product. Multiples of 8 rows keep the operands aligned for vector loads.
OFFSETS = 16
_OFFSET_STEP = 8
_FEW_OFFSETS = 4
POOL_ROWS = OFFSETS * _OFFSET_STEP


def philox4x32(c0: Array, c1: Array, c2: Array, c3: Array, key: tuple[int, int]) -> tuple[Array, ...]:
    """Ten rounds over int64 arrays of 32-bit words of one shape; returns the four words.

    Products wrap modulo 2^64 in int64, and the high word is masked after an arithmetic shift, so
    signed arithmetic gives the unsigned result.
    """
    k0, k1 = key
    for _ in range(10):
        p0 = c0 * _MULTIPLIER[0]
        p1 = c2 * _MULTIPLIER[1]
        c0 = ((p1 >> 32) & _MASK) ^ c1 ^ k0
        c2 = ((p0 >> 32) & _MASK) ^ c3 ^ k1
        c1 = p1 & _MASK
        c3 = p0 & _MASK
        k0 = (k0 + _WEYL[0]) & _MASK
        k1 = (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def key(nonce: str, label: str) -> tuple[int, int]:
    """The Philox key of a label under a nonce (hexadecimal)."""
    digest = hashlib.sha256(bytes.fromhex(nonce) + label.encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Integers:
    """Uniform integers low..high times `scale`; a share of 1/64 comes from the wider `rare` range.

    lane bits w -> low + ((w mod 2^16) * (high - low + 1) >> 16), of 32-bit lanes all 32 bits unless
    `rare` is given, when the top six bits being zero choose the rare range.
    """

    low: int
    high: int
    lane_bits: int = 16
    rare: tuple[int, int] | None = None
    scale: float = 1.0

    def __call__(self, lane: Array) -> Array:
        if self.rare is None:
            return (lane * (self.high - self.low + 1) >> self.lane_bits) + self.low
        small, wide = self.high - self.low + 1, self.rare[1] - self.rare[0] + 1
        chosen = (lane >> 26) == 0
        span = chosen * (wide - small) + small
        base = chosen * (self.rare[0] - self.low) + self.low
        return ((lane & 0xFFFF) * span >> 16) + base


@dataclass(frozen=True, slots=True, kw_only=True)
class Reals:
    """Uniform in [-0.5, 0.5) with `bits` random bits: the lane's upper bits w -> w * 2^-bits - 0.5."""

    bits: int
    lane_bits: int

    @property
    def scale(self) -> float:
        return 2.0**-self.bits

    def __call__(self, lane: Array) -> Array:
        # An arithmetic shift of a 64-bit lane drags its sign along; the mask drops it again.
        kept = (lane >> (self.lane_bits - self.bits)) & ((1 << self.bits) - 1)
        return kept - (1 << (self.bits - 1))


Draw = Integers | Reals


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandSet:
    """How both operands are drawn, and up to which K every partial sum stays exact.

    `a` and `b` are the values that decide (exact integers), `real` the full-mantissa values that a
    share of the timed launches uses. Integers have no second set: theirs is full range already.
    With `cancels` the second half of every sum takes back what the first half came to, but for one product.
    """

    a: Integers
    b: Integers
    k_max: int
    real: Reals | None
    cancels: bool = False


_REAL32 = Reals(bits=24, lane_bits=32)


def _both(draw: Integers) -> tuple[Integers, Integers]:
    return draw, draw


def _set(pair: tuple[Integers, Integers], k_max: int, real: Reals | None) -> OperandSet:
    return OperandSet(a=pair[0], b=pair[1], k_max=k_max, real=real)


# Why these ranges: a product's standard deviation times sqrt(K) times eight or more stays below the
# accumulator's exact range (2^24 for fp32, 2^53 for fp64, 2^31 for int32), while the values need more
# bits than the next lower precision has. Of fp8 sums Hopper and Ada keep 13 bits behind the leading one
# (DeepSeek-V3 technical report, section 3.5.2; SageAttention2, quoted in thu-ml/SageAttention#287; Blackwell
# 25, deepseek-ai/DeepGEMM#176), and not all of them are promoted on the way: the exact range is 2^14. fp16 is
# scaled by 2^-4 on each side: its outputs' twelve standard deviations, 27,100 * sqrt(2048) * 12 * 2^-8 =
# 57,500, then fit below 65,504.
OPERAND_SETS: dict[str, OperandSet] = {
    "fp64": _set(_both(Integers(low=-(2**20), high=2**20, lane_bits=32)), 8192, Reals(bits=53, lane_bits=64)),
    "fp32": _set((Integers(low=-4095, high=4095), Integers(low=-15, high=15)), 8192, _REAL32),
    "tf32": _set(_both(Integers(low=-127, high=127, lane_bits=32, rare=(-1023, 1023))), 8192, _REAL32),
    "bf16": _set(_both(Integers(low=-255, high=255)), 8192, _REAL32),
    "fp16": _set(
        _both(Integers(low=-127, high=127, lane_bits=32, rare=(-2047, 2047), scale=2.0**-4)), 2048, _REAL32
    ),
    "fp8_e4m3": _set(_both(Integers(low=-7, high=7)), 4096, _REAL32),
    # e5m2 paired with e4m3: 7 is the largest integer up to which e5m2 holds every one.
    "fp8_e5m2": _set(_both(Integers(low=-7, high=7)), 4096, _REAL32),
    "int8": _set(_both(Integers(low=-127, high=127)), 66311, None),
    # Without VNNI, x86 adds two u8*s8 products in 16 bits, which saturate beyond these values.
    "int8-saturating": _set(_both(Integers(low=-63, high=63)), 66311, None),
    # All products of one sign: their sums leave fp32's exact range, so an integer product computed
    # in floating point shows. Used by the untimed probe.
    "int8-same-sign": _set(_both(Integers(low=90, high=127)), 66311, None),
    # The same where only an 8-bit output is seen: the sum's first half, all of one sign, leaves fp32's exact
    # range, the second half takes it back, and what is left is one element of the first operand. An
    # accumulator in floating point has lost its last bits on the way, and other codes come out.
    "int8-cancelling": OperandSet(
        a=Integers(low=90, high=126), b=Integers(low=90, high=126), k_max=66311, real=None, cancels=True
    ),
}

# What no row runs on, and a diagnostic holds against it: operands on which nothing switches.
ZEROS = "zeros"
_ZEROS = _set(_both(Integers(low=0, high=0)), 66311, None)


def _chosen(workload: Workload) -> OperandSet:
    name = workload.form.operand_set
    return _ZEROS if name == ZEROS else OPERAND_SETS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The two constructors that operators cannot replace: int64 ranges, and conversion to float64.

    `block` counters are drawn at a time: of a device with thousands of threads, more than fit a cache.
    """

    arange: Callable[[int, int], Array]
    float64: Callable[[Array], Array]
    block: int = _BLOCK


NUMPY = Library(arange=np.arange, float64=lambda array: array.astype(np.float64))


def _lanes(words: tuple[Array, ...], lane_bits: int) -> list[Array]:
    if lane_bits == 16:
        return [half for word in words for half in (word & 0xFFFF, word >> 16)]
    if lane_bits == 32:
        return list(words)
    return [(words[0] << 32) | words[1], (words[2] << 32) | words[3]]


def fill(
    out: Array,
    draw: Draw,
    philox_key: tuple[int, int],
    matrix: int,
    library: Library = NUMPY,
    *,
    rows: Array | None = None,
    first_column: int = 0,
) -> None:
    """Write the matrix into `out` (rows, columns), an array of `library` of any element type.

    The whole of it, or its `rows` (their numbers, int64) and the columns from `first_column` on, a multiple
    of eight. The assignment rounds real values to the element's type, to nearest even.
    """
    height, columns = out.shape
    lanes = 128 // draw.lane_bits
    first_block, blocks = first_column // lanes, -(-columns // lanes)
    step = max(1, library.block // blocks)
    for first in range(0, height, step):
        last = min(first + step, height)
        row = (library.arange(first, last) if rows is None else rows[first:last]).reshape(-1, 1)
        block = library.arange(first_block, first_block + blocks).reshape(1, -1)
        zero = row * 0 + block * 0
        words = philox4x32(zero + block, zero + row, zero + matrix, zero, philox_key)
        for lane, bits in enumerate(_lanes(words, draw.lane_bits)):
            wanted = len(range(lane, columns, lanes))
            out[first:last, lane::lanes] = (library.float64(draw(bits)) * draw.scale)[:, :wanted]


def elements(
    draw: Draw, philox_key: tuple[int, int], matrix: int, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Single elements at broadcast (rows, columns), as float64; `fill` gives the same values."""
    lanes = 128 // draw.lane_bits
    rows, columns = np.broadcast_arrays(rows, columns)
    zero = np.zeros(rows.shape, dtype=np.int64)
    words = philox4x32(columns // lanes, rows + zero, zero + matrix, zero, philox_key)
    lane = np.choose(columns % lanes, _lanes(words, draw.lane_bits))
    return NUMPY.float64(draw(lane)) * draw.scale  # type: ignore[no-any-return]


def draw(workload: Workload, which: str, *, real: bool) -> Draw:
    """How operand "a" or "b" of a workload is drawn, on the exact or the real-valued set."""
    chosen = _chosen(workload)
    if real and chosen.real is not None:
        return chosen.real
    if real and not is_deep(workload):
        raise ValueError(f"{workload.row} has no real-valued operands")
    return chosen.a if which == "a" else chosen.b


def is_deep(workload: Workload) -> bool:
    """Whether layers run on one another: then no operands keep every sum exact, and all launches run on
    those whose outputs are compared by their error (integers on their full range).
    """
    return workload.shape.depth > 1


def has_reals(workload: Workload) -> bool:
    """Whether timed launches run on operands whose outputs are compared by their error.

    Of a single layer a share of them, and none of integers; of a deep graph all.
    """
    return is_deep(workload) or _chosen(workload).real is not None


# Six patterns of four bits, two of them set, the first one lowest; and the number of the matrix whose
# elements choose among them, which no layer's weights reach.
_PATTERNS, _CHOICE = 0xCA9653, Integers(low=0, high=5)
_CHOOSING = 1 << 20


def put(
    out: Array,
    workload: Workload,
    which: str,
    *,
    real: bool,
    library: Library = NUMPY,
    rows: Array | None = None,
    layer: int = 0,
) -> None:
    """Write an operand's pool as drawn, or its `rows` (int64), into `out`; u8 without its zero point.

    Operand "b" is the weight of a `layer` (from 0).
    """
    key_ = workload_key(workload, real=real)
    fill(out, draw(workload, which, real=real), key_, 0 if which == "a" else 1 + layer, library, rows=rows)
    if which == "a" and workload.form.sparse:
        _thin(out, key_, library, rows)


def _thin(out: Array, philox_key: tuple[int, int], library: Library, rows: Array | None) -> None:
    """Zero two of each four neighbours in a row of `out`."""
    height, columns = out.shape
    for first in range(0, height, _THINNED):
        last = min(first + _THINNED, height)
        part = library.arange(first, last) if rows is None else rows[first:last]
        # One column of choices serves four of the operand's.
        chosen = library.float64(part.reshape(-1, 1) * 0 + library.arange(0, -(-columns // 4)).reshape(1, -1))
        fill(chosen, _CHOICE, philox_key, _CHOOSING, library, rows=part)
        for place in range(4):
            width = len(range(place, columns, 4))
            out[first:last, place::4] *= (_kept(chosen, place) != 0)[:, :width]


def _kept(chosen: Array, place: int) -> Array:
    """One where the chosen pattern keeps the element at that place of its four, else zero."""
    bits = [(_PATTERNS >> (4 * pattern + place)) & 1 for pattern in range(6)]
    return sum((chosen == pattern) * bit for pattern, bit in enumerate(bits))


@cache
def _label_key(seed: str, row: str, real: bool) -> tuple[int, int]:
    return key(seed, f"{row}/{'real' if real else 'exact'}")


def workload_key(workload: Workload, *, real: bool) -> tuple[int, int]:
    return _label_key(workload.seed, workload.row, real)


def pool_shape(workload: Workload, which: str) -> tuple[int, int]:
    """Rows and columns of an operand's pool; operand "a" has POOL_ROWS rows to move in for each stream.

    GEMM: a (m, k), b (k, n). Convolution: b (filters, channels * kernel * kernel); a is the image as
    it lies in memory, (batch * height * width, channels) for channels-last, else (.., width).
    """
    shape = workload.shape
    room = POOL_ROWS * shape.streams
    if isinstance(shape, GemmShape):
        return (shape.m + room, shape.k) if which == "a" else (shape.k, shape.n)
    if which == "b":
        return shape.filters, shape.channels * shape.kernel**2
    if workload.form.layout == "channels-last":
        return shape.batch * shape.height * shape.width + room, shape.channels
    return shape.batch * shape.channels * shape.height + room, shape.width


def stream_offset(stream: Array) -> Array:
    """How many rows of the pool further than the first stream another one reads its input."""
    return stream * POOL_ROWS


_NUMPY_TYPES: dict[Element, type] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": np.float32,
    "f8_e4m3": np.float32,
    "f8_e5m2": np.float32,
    "s8": np.int8,
    "u8": np.uint8,
}
# Significant bits, and a normal number's least exponent (OCP 8-bit Floating Point Specification, table 1).
_FP8: dict[Element, tuple[int, int]] = {"f8_e4m3": (4, -6), "f8_e5m2": (3, -14)}


def round_to(values: np.ndarray, element: Element) -> np.ndarray:
    """float64 values rounded once, to nearest even, to what `element` can hold; still float64."""
    if element == "f32":
        return np.asarray(values.astype(np.float32), dtype=np.float64)
    if element == "f16":
        return values.astype(np.float16).astype(np.float64)
    if element == "bf16":
        # bf16 is the upper half of a float32. The operands and exact sums here have at most 24
        # significant bits, so that passing through float32 does not round twice.
        bits = values.astype(np.float32).view(np.uint32)
        bits = bits + 0x7FFF + ((bits >> 16) & 1)
        return np.asarray((bits & np.uint32(0xFFFF0000)).view(np.float32), dtype=np.float64)
    if element in _FP8:
        # Operands here are far below what fp8 ends at, 448 and 57,344.
        bits8, least = _FP8[element]
        step = np.ldexp(1.0, np.maximum(np.frexp(values)[1] - 1, least) - (bits8 - 1))
        return np.asarray(np.rint(values / step) * step)
    return values


def pool(workload: Workload, which: str, *, real: bool, layer: int = 0) -> np.ndarray:
    """An operand's pool as numpy holds it: u8 with zero point 128; bf16 and fp8 as float32, not yet rounded.

    Real values are rounded to the element's type on assignment, to nearest even. Operand "b" is the weight
    of a `layer` (from 0).
    """
    element = workload.form.a if which == "a" else workload.form.b
    values = draw(workload, which, real=real)
    out: np.ndarray = np.empty(pool_shape(workload, which), dtype=_NUMPY_TYPES[element])
    if element == "u8":
        assert isinstance(values, Integers)
        values = Integers(low=values.low + 128, high=values.high + 128, lane_bits=values.lane_bits)
        fill(out, values, workload_key(workload, real=real), 0 if which == "a" else 1 + layer)
    else:
        put(out, workload, which, real=real, layer=layer)
    if which == "b" and isinstance(values, Reals) and is_deep(workload):
        # Powers of two: nothing is rounded a second time.
        out *= 2.0 ** -real_shifts(workload)[layer]
    if _chosen(workload).cancels:
        _let_cancel(workload, which, out)
    return out


def _let_cancel(workload: Workload, which: str, out: np.ndarray) -> None:
    """Make the pool one whose sums cancel: what `values` says of single elements."""
    shape = workload.shape
    if which == "a" and isinstance(shape, GemmShape):
        out[:, shape.k // 2 :] = out[:, : shape.k // 2]
    elif which == "a":
        assert isinstance(shape, ConvShape)
        first = offsets(workload)[0]
        image = out[first : first + shape.channels * shape.height].reshape(shape.channels, -1)
        image[shape.channels // 2 :] = image[: shape.channels // 2]
    else:
        # Seen as (K, columns), of a convolution too.
        matrix = out if isinstance(shape, GemmShape) else out.T
        half = opcount.reduction(shape) // 2
        matrix[half:] = -matrix[:half]
        column = np.arange(matrix.shape[1])
        matrix[half + _left_over(workload, column), column] += 1


def _left_over(workload: Workload, columns: np.ndarray) -> np.ndarray:
    """For each output column the product of the first half (from 0) that is not taken back in full."""
    return random_series(workload, "left-over", columns, opcount.reduction(workload.shape) // 2)


def values(
    workload: Workload, which: str, rows: np.ndarray, columns: np.ndarray, *, real: bool
) -> np.ndarray:
    """Single elements of a pool (of "b" the first layer's) at broadcast (rows, columns), as float64.

    Codes without their zero point; real values as drawn, not yet rounded to the element's type.
    """
    drawn = draw(workload, which, real=real)
    key_ = workload_key(workload, real=real)
    matrix = 0 if which == "a" else 1
    if which == "a" and workload.form.sparse:
        chosen = elements(_CHOICE, key_, _CHOOSING, rows, columns // 4)
        kept = np.choose(columns % 4, [_kept(chosen, place) for place in range(4)])
        return np.asarray(elements(drawn, key_, matrix, rows, columns) * kept)
    if not _chosen(workload).cancels:
        return elements(drawn, key_, matrix, rows, columns)
    shape = workload.shape
    half = opcount.reduction(shape) // 2
    if which == "a" and isinstance(shape, GemmShape):
        return elements(drawn, key_, matrix, rows, columns % half)
    if which == "a":
        assert isinstance(shape, ConvShape)
        # The one image, which begins where the first launch reads it.
        first, height = offsets(workload)[0], shape.height
        return elements(drawn, key_, matrix, (rows - first) % (shape.channels // 2 * height) + first, columns)
    k, column = (rows, columns) if isinstance(shape, GemmShape) else (columns, rows)
    at = (k % half, column) if isinstance(shape, GemmShape) else (column, k % half)
    sign = np.where(k < half, 1.0, -1.0)
    left_over = k == half + _left_over(workload, np.asarray(column).reshape(-1)).reshape(np.shape(column))
    return np.asarray(elements(drawn, key_, matrix, *at) * sign + left_over)


def offsets(workload: Workload) -> tuple[int, ...]:
    """The row offsets of operand "a" in the order the launches take them, chosen by the nonce.

    Of a deep graph the same few come round: the right outputs of each cost as much as a launch. So they do of
    a sparse operand, of which each is compressed and kept by itself.
    """
    order_key = key(workload.seed, f"{workload.row}/offsets")
    zero = np.zeros(OFFSETS, dtype=np.int64)
    words = philox4x32(np.arange(OFFSETS), zero, zero, zero, order_key)[0]
    found = tuple(int(i) * _OFFSET_STEP for i in np.argsort(words, kind="stable"))
    few = is_deep(workload) or workload.form.sparse
    return found[:_FEW_OFFSETS] * (OFFSETS // _FEW_OFFSETS) if few else found


def random_below(workload: Workload, purpose: str, index: int, bounds: tuple[int, ...]) -> tuple[int, ...]:
    """Nonce-chosen integers, the n-th below bounds[n]; up to four of them per index."""
    words = _random_words(workload, purpose, np.array([index], dtype=np.int64))
    return tuple(int(word[0]) * bound >> 32 for word, bound in zip(words, bounds, strict=False))


def random_series(workload: Workload, purpose: str, indices: np.ndarray, bound: int) -> np.ndarray:
    """The first integer of random_below at each of many indices (int64), for one bound below 2^31."""
    return np.asarray(_random_words(workload, purpose, indices)[0] * bound >> 32)


def _random_words(workload: Workload, purpose: str, indices: np.ndarray) -> tuple[Array, ...]:
    zero = np.zeros_like(indices)
    return philox4x32(indices, zero, zero, zero, key(workload.seed, f"{workload.row}/{purpose}"))


def _products(shape: Shape) -> tuple[float, ...]:
    """By how much each layer multiplies the mean square of its input, in those of one weight: K, and less
    where a convolution's sums meet padding.
    """
    if isinstance(shape, GemmShape):
        return (float(shape.k),) * shape.depth
    axes = (_taps_met(size, shape) for size in (shape.height, shape.width))
    return tuple(shape.channels * rows * columns for rows, columns in zip(*axes, strict=True))


def _taps_met(size: int, shape: ConvShape) -> Iterator[float]:
    """The same of each layer along one axis: what is weaker at the edge brings less to the next layer."""
    squares = np.ones(size)
    for _ in range(shape.depth):
        sums = np.convolve(np.pad(squares, shape.padding), np.ones(shape.kernel), mode="valid")
        yield float(sums.mean() / squares.mean())
        squares = sums / sums.mean()


def requantising_shifts(workload: Workload) -> tuple[int, ...]:
    """The power of two that each layer's sums are divided by: 8-bit outputs then spread about 30 codes.

    A scale of 2^shift keeps clipping rare (127 codes are over four standard deviations) and makes the
    scaling exact, so that only ties depend on the device.
    """
    chosen = _chosen(workload)
    if chosen.cancels:
        # What is left of a sum is an element of the operand, and seen to the last bit.
        return (0,)
    spread, shifts = chosen.a.high / 3**0.5, []
    for products in _products(workload.shape):
        spread *= chosen.b.high / 3**0.5 * products**0.5
        shift = max(0, math.ceil(math.log2(spread / 30))) if spread else 0
        spread /= 2**shift
        shifts.append(shift)
    return tuple(shifts)


def real_shifts(workload: Workload) -> tuple[int, ...]:
    """The power of two that each layer's real weights are divided by, so that values neither grow nor fade.

    Weights in [-0.5, 0.5) have a variance of 1/12, and a layer scales values by sqrt(K / 12).
    """
    grown, shifts = 0.0, []
    for products in _products(workload.shape):
        grown += math.log2(products / 12) / 2
        shifts.append(round(grown))
        grown -= shifts[-1]
    return tuple(shifts)
