"""Operands that make every result predictable: counter-based, exact, and nobody's choice but the nonce's.

Generator: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The
code uses operators alone, so that numpy and torch arrays, on any device, give the same words.

An operand is one element of a matrix. Element (row, column) of matrix M of a label comes from
    key     = the first 8 bytes of SHA-256(nonce || label), two little-endian words
    counter = (column // lanes, row, M, 0)
and the lane column % lanes of the four output words: 8 lanes of 16 bits (low half first), 4 of 32, or
2 of 64 (first word high). A matrix is therefore the corner of every larger one with the same label.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bench.terms import Element, GemmShape, Workload
from bench.workload import opcount

# numpy's ndarray or torch's Tensor, int64: only operators that both have are used on it.
Array = Any

_MASK = 0xFFFFFFFF
_MULTIPLIER = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
# Counters drawn at a time: four int64 arrays of this length stay in a second-level cache.
_BLOCK = 1 << 14

# A launch reads its first operand at one of these row offsets of a pool, so that no two launches in
# a row compute the same product. Multiples of 8 rows keep the operands aligned for vector loads.
OFFSETS = 16
_OFFSET_STEP = 8
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
    """

    a: Integers
    b: Integers
    k_max: int
    real: Reals | None


_REAL32 = Reals(bits=24, lane_bits=32)


def _both(draw: Integers) -> tuple[Integers, Integers]:
    return draw, draw


def _set(pair: tuple[Integers, Integers], k_max: int, real: Reals | None) -> OperandSet:
    return OperandSet(a=pair[0], b=pair[1], k_max=k_max, real=real)


# Why these ranges: a product's standard deviation times sqrt(K) times eight or more stays below the
# accumulator's exact range (2^24 for fp32, 2^53 for fp64, 2^31 for int32), while the values need more
# bits than the next lower precision has. fp16 is scaled by 2^-4 on each side: its outputs' twelve
# standard deviations, 27,100 * sqrt(2048) * 12 * 2^-8 = 57,500, then fit below 65,504.
OPERAND_SETS: dict[str, OperandSet] = {
    "fp64": _set(_both(Integers(low=-(2**20), high=2**20, lane_bits=32)), 8192, Reals(bits=53, lane_bits=64)),
    "fp32": _set((Integers(low=-4095, high=4095), Integers(low=-15, high=15)), 8192, _REAL32),
    "tf32": _set(_both(Integers(low=-127, high=127, lane_bits=32, rare=(-1023, 1023))), 8192, _REAL32),
    "bf16": _set(_both(Integers(low=-255, high=255)), 8192, _REAL32),
    "fp16": _set(
        _both(Integers(low=-127, high=127, lane_bits=32, rare=(-2047, 2047), scale=2.0**-4)), 2048, _REAL32
    ),
    "fp8_e4m3": _set(_both(Integers(low=-7, high=7)), 2048, _REAL32),
    "int8": _set(_both(Integers(low=-127, high=127)), 66311, None),
    # Without VNNI, x86 adds two u8*s8 products in 16 bits, which saturate beyond these values.
    "int8-saturating": _set(_both(Integers(low=-63, high=63)), 66311, None),
    # All products of one sign: their sums leave fp32's exact range, so an integer product computed
    # in floating point shows. Used by the untimed probe.
    "int8-same-sign": _set(_both(Integers(low=90, high=127)), 66311, None),
}

# What no row runs on, and a diagnostic holds against it: operands on which nothing switches.
ZEROS = "zeros"
_ZEROS = _set(_both(Integers(low=0, high=0)), 66311, None)


def _chosen(workload: Workload) -> OperandSet:
    name = workload.form.operand_set
    return _ZEROS if name == ZEROS else OPERAND_SETS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The two constructors that operators cannot replace: int64 ranges, and conversion to float64."""

    arange: Callable[[int, int], Array]
    float64: Callable[[Array], Array]


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
    step = max(1, _BLOCK // blocks)
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
    if real:
        if chosen.real is None:
            raise ValueError(f"{workload.row} has no real-valued operands")
        return chosen.real
    return chosen.a if which == "a" else chosen.b


def has_reals(workload: Workload) -> bool:
    """Whether a share of the timed launches runs on real-valued operands (integers have none)."""
    return _chosen(workload).real is not None


@cache
def _label_key(seed: str, row: str, real: bool) -> tuple[int, int]:
    return key(seed, f"{row}/{'real' if real else 'exact'}")


def workload_key(workload: Workload, *, real: bool) -> tuple[int, int]:
    return _label_key(workload.seed, workload.row, real)


def pool_shape(workload: Workload, which: str) -> tuple[int, int]:
    """Rows and columns of an operand's pool; operand "a" has POOL_ROWS rows to move in.

    GEMM: a (m, k), b (k, n). Convolution: b (filters, channels * kernel * kernel); a is the image as
    it lies in memory, (batch * height * width, channels) for channels-last, else (.., width).
    """
    shape = workload.shape
    if isinstance(shape, GemmShape):
        return (shape.m + POOL_ROWS, shape.k) if which == "a" else (shape.k, shape.n)
    if which == "b":
        return shape.filters, shape.channels * shape.kernel**2
    if workload.form.layout == "channels-last":
        return shape.batch * shape.height * shape.width + POOL_ROWS, shape.channels
    return shape.batch * shape.channels * shape.height + POOL_ROWS, shape.width


_NUMPY_TYPES: dict[Element, type] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": np.float32,
    "s8": np.int8,
    "u8": np.uint8,
}


def pool(workload: Workload, which: str, *, real: bool) -> np.ndarray:
    """An operand's pool as numpy holds it: u8 with zero point 128; bf16 as float32, not yet rounded.

    Real values are rounded to the element's type on assignment, to nearest even.
    """
    element = workload.form.a if which == "a" else workload.form.b
    values = draw(workload, which, real=real)
    if element == "u8":
        assert isinstance(values, Integers)
        values = Integers(low=values.low + 128, high=values.high + 128, lane_bits=values.lane_bits)
    out: np.ndarray = np.empty(pool_shape(workload, which), dtype=_NUMPY_TYPES[element])
    fill(out, values, workload_key(workload, real=real), 0 if which == "a" else 1)
    return out


def offsets(workload: Workload) -> tuple[int, ...]:
    """The row offsets of operand "a" in the order the launches take them, chosen by the nonce."""
    order_key = key(workload.seed, f"{workload.row}/offsets")
    zero = np.zeros(OFFSETS, dtype=np.int64)
    words = philox4x32(np.arange(OFFSETS), zero, zero, zero, order_key)[0]
    return tuple(int(i) * _OFFSET_STEP for i in np.argsort(words, kind="stable"))


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


def requantising_shift(workload: Workload) -> int:
    """The power of two that an 8-bit output is divided by: sums then spread about 30 codes.

    An output scale of 2^shift keeps clipping rare (127 codes are over four standard deviations) and
    makes the scaling exact, so that only ties depend on the device.
    """
    chosen = _chosen(workload)
    deviation = (chosen.a.high * chosen.b.high / 3) * float(opcount.reduction(workload.shape)) ** 0.5
    shift = 0
    while deviation / 2**shift > 30:
        shift += 1
    return shift
