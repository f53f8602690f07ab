"""Whether a result is right, and in which arithmetic it was computed: numpy alone.

Exact operand sets are compared with ==. Real-valued operands give a relative RMS error, and bands of
that error name the arithmetic. Nothing here sees a backend: outputs come in as float64 arrays.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.precision import precision
from bench.terms import Check, ConvShape, Element, Form, GemmShape, Workload
from bench.workload import operands
from bench.workload.opcount import implicit_gemm, reduction

PPM = 1e6
# Arithmetics that are named for what they are, and are no mistake of anybody's.
ACCUMULATOR_UNSEEN = "int8-accumulator-unseen"
SATURATING = "int8-saturating"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A block of outputs of one launch: rows x columns of the implicit GEMM, and its operands' offset."""

    offset: int
    real: bool
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def choose_place(
    workload: Workload, purpose: str, index: int, *, offset: int, real: bool, size: int
) -> Place:
    """A size x 2*size block at places chosen by the nonce, its rows and columns spread over the output.

    No row or column comes twice where the output has that many, so that none is counted twice.
    """
    height, width = implicit_gemm(workload.shape)
    row_steps, column_steps = max(1, height // size), max(1, width // (2 * size))
    row, column, row_step, column_step = operands.random_below(
        workload, purpose, index, (height, width, row_steps, column_steps)
    )
    return Place(
        offset=offset,
        real=real,
        rows=tuple((row + i * (row_step + 1)) % height for i in range(size)),
        columns=tuple((column + i * (column_step + 1)) % width for i in range(2 * size)),
    )


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
    return values


# Elements of the first operand's pool at broadcast (rows, columns), as float64.
_Take = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _first_operand(workload: Workload, place: Place) -> np.ndarray:
    """Rows of the implicit GEMM's left matrix, (rows, K), zero where a convolution meets padding."""
    draw = operands.draw(workload, "a", real=place.real)
    key = operands.workload_key(workload, real=place.real)

    def take(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return operands.elements(draw, key, 0, rows, columns)

    return _gathered(workload, np.array(place.rows, dtype=np.int64), np.int64(place.offset), take)


def first_rows(workload: Workload, rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The same for many whole rows on exact operands, each at its own offset (both int64, equally many).

    Pool rows are drawn once each and whole, which takes an eighth of the time of single elements.
    """
    draw = operands.draw(workload, "a", real=False)
    key = operands.workload_key(workload, real=False)
    width = operands.pool_shape(workload, "a")[1]

    def take(pool_rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        needed, where = np.unique(pool_rows, return_inverse=True)
        table: np.ndarray = np.empty((len(needed), width))
        operands.fill(table, draw, key, 0, rows=needed)
        return np.asarray(table[where.reshape(pool_rows.shape), columns])

    return _gathered(workload, rows, offsets.reshape(-1, 1), take)


def _gathered(
    workload: Workload, row_numbers: np.ndarray, offset: np.ndarray | np.int64, take: _Take
) -> np.ndarray:
    """The left matrix's rows, their elements taken from the pool at its rows moved by `offset`."""
    shape = workload.shape
    rows = row_numbers.reshape(-1, 1)
    if isinstance(shape, GemmShape):
        return take(rows + offset, np.arange(shape.k, dtype=np.int64).reshape(1, -1))
    taps = np.arange(reduction(shape), dtype=np.int64).reshape(1, -1)
    channel, tap = taps // shape.kernel**2, taps % shape.kernel**2
    y = rows // shape.out_width % shape.out_height + tap // shape.kernel - shape.padding
    x = rows % shape.out_width + tap % shape.kernel - shape.padding
    image = rows // (shape.out_width * shape.out_height)
    inside = (y >= 0) & (y < shape.height) & (x >= 0) & (x < shape.width)
    # Outside the image the pool's row 0 is drawn in place of a negative one, then zeroed.
    y, x = np.where(inside, y, 0), np.where(inside, x, 0)
    if workload.form.layout == "channels-last":
        pool_row, pool_column = (image * shape.height + y) * shape.width + x, channel + 0 * x
    else:
        pool_row, pool_column = (image * shape.channels + channel) * shape.height + y, x
    return np.where(inside, take(pool_row + offset, pool_column), 0.0)


def _second_operand(workload: Workload, place: Place) -> np.ndarray:
    """Columns of the implicit GEMM's right matrix, (K, columns)."""
    draw = operands.draw(workload, "b", real=place.real)
    key = operands.workload_key(workload, real=place.real)
    columns = np.array(place.columns, dtype=np.int64).reshape(1, -1)
    k = np.arange(reduction(workload.shape), dtype=np.int64).reshape(-1, 1)
    if isinstance(workload.shape, ConvShape):
        return operands.elements(draw, key, 1, columns, k)
    return operands.elements(draw, key, 1, k, columns)


def expected(workload: Workload, place: Place) -> np.ndarray:
    """The right outputs at `place`, (rows, columns) in float64.

    Exact operands: the exact sum, rounded once to the output's type or quantised to its codes. Real
    operands: the sum of the operands as rounded to their type, not rounded further.
    """
    left, right = _first_operand(workload, place), _second_operand(workload, place)
    form = workload.form
    if place.real:
        return _real_product(round_to(left, form.a), round_to(right, form.b), exact=form.out == "f64")
    return outputs_of(workload, np.einsum("rk,kc->rc", left, right))


def outputs_of(workload: Workload, sums: np.ndarray) -> np.ndarray:
    """What a launch returns for sums of exact products: rounded once, or quantised to codes.

    The operands are integers scaled by powers of two: every partial sum is exact in float64, in any order.
    """
    form = workload.form
    if form.requantised:
        zero_point, low, high = (128, 0, 255) if form.out == "u8" else (0, -128, 127)
        codes = np.rint(sums / 2.0 ** operands.requantising_shift(workload)) + zero_point
        return np.asarray(np.clip(codes, low, high))
    return round_to(sums, form.out)


def _real_product(left: np.ndarray, right: np.ndarray, *, exact: bool) -> np.ndarray:
    """Products of float64 matrices; `exact` sums without rounding error, for outputs in float64.

    Without it the products of types up to fp32 are exact in float64 and the sum errs by 1e-16.
    """
    if not exact:
        return np.asarray(np.einsum("rk,kc->rc", left, right))
    out = np.empty((left.shape[0], right.shape[1]))
    for i, j in np.ndindex(*out.shape):
        product, error = _two_product(left[i], right[:, j])
        out[i, j] = math.fsum(np.concatenate((product, error)))
    return out


def _two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a * b as an unevaluated exact sum (Dekker, Numerische Mathematik 18, 1971, section 5)."""
    splitter = 2.0**27 + 1
    a_high = splitter * a - (splitter * a - a)
    b_high = splitter * b - (splitter * b - b)
    a_low, b_low = a - a_high, b - b_high
    product = a * b
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a launch returned at a place, as float64 (rows, columns)."""

    place: Place
    values: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts of compared outputs that add up over visits; `check` makes the domain value of them."""

    launches: int = 0
    compared: int = 0
    wrong: int = 0
    off_by_one: int = 0
    real_compared: int = 0
    squared_error: float = 0.0
    squared_value: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            launches=self.launches + other.launches,
            compared=self.compared + other.compared,
            wrong=self.wrong + other.wrong,
            off_by_one=self.off_by_one + other.off_by_one,
            real_compared=self.real_compared + other.real_compared,
            squared_error=self.squared_error + other.squared_error,
            squared_value=self.squared_value + other.squared_value,
        )

    def check(self) -> Check:
        error = None
        if self.real_compared:
            # Nine significant digits, so that a file's number does not depend on the last bit.
            error = float(f"{PPM * math.sqrt(self.squared_error / self.squared_value):.9g}")
        return Check(
            launches=self.launches,
            compared=self.compared,
            wrong=self.wrong,
            off_by_one=self.off_by_one,
            real_compared=self.real_compared,
            real_error_ppm=error,
        )


# An output that is not finite, or further off than this many times the right value, counts as that far
# off: enough to leave every band, and small enough that no square overflows to an infinity in a file.
_FARTHEST = 1e6


def tally(workload: Workload, outputs: Outputs) -> Tally:
    """Hold one launch's sampled outputs against the right ones."""
    right = expected(workload, outputs.place)
    farthest = _FARTHEST * (1 + np.abs(right))
    got = np.clip(np.where(np.isnan(outputs.values), farthest, outputs.values), -farthest, farthest)
    if outputs.place.real:
        return Tally(
            launches=1,
            real_compared=right.size,
            squared_error=float(np.sum((got - right) ** 2)),
            squared_value=float(np.sum(right**2)),
        )
    near = (np.abs(got - right) == 1) if workload.form.requantised else np.zeros(right.shape, dtype=bool)
    return Tally(
        launches=1,
        compared=right.size,
        wrong=int(np.sum((got != right) & ~near)),
        off_by_one=int(np.sum(near)),
    )


# A requantising device may round or saturate its own way: one code, on at most this share of outputs.
OFF_BY_ONE_SHARE = 0.05


def exact(check: Check) -> bool:
    """Whether the outputs on exact operands were right; none compared is not right."""
    return check.compared > 0 and check.wrong == 0 and check.off_by_one <= OFF_BY_ONE_SHARE * check.compared


# Relative RMS error in ppm of a product of real operands (uniform, zero mean, K = 1024) by the type
# of the output: from trials on torch and onnxruntime CPU kernels. For f32 summation order explains the
# width; f16 and bf16 are dominated by rounding the output once. f64 is f32's band times 2^-29.
_BANDS: dict[Element, tuple[float, float]] = {
    "f64": (0.1 * 2.0**-29, 1.5 * 2.0**-29),
    "f32": (0.1, 1.5),
    "f16": (180.0, 240.0),
    "bf16": (1500.0, 1800.0),
}

# What an error outside the asked band points to, from the upper end of each range in ppm: TF32 and
# fp16 keep 11 significant bits (261 ppm rounding, 685 truncating), bf16 8 (from 1,500), quantised
# 8-bit reals err by about 5,600; fp16 sums by 1,180 at K = 64 and 4,690 at K = 1024.
_NAMES: tuple[tuple[float, str], ...] = (
    (0.02, "fp64"),
    (2.0, "fp32"),
    (450.0, "tf32-or-fp16"),
    (1000.0, "tf32-truncated"),
    (4000.0, "bf16"),
    (20000.0, "int8-or-fp16-sums"),
)


def band(form: Form, k: int, compared: int) -> tuple[float, float]:
    """The errors, in ppm, that honest arithmetic of this form shows over `compared` outputs.

    An RMS over n outputs scatters by 1/sqrt(2n), so each end gives way by four times that. Errors of
    an unrounded sum grow at most like sqrt(K / 1024); below K = 1024 they may be that much smaller.
    """
    low, high = _BANDS[form.out]
    if form.a != form.out:
        low = 0.0  # narrow operands with a wide output: products are exact, only sums round
    slack = 4 / math.sqrt(2 * compared)
    growth = math.sqrt(k / 1024) if form.out in ("f64", "f32") else 1.0
    return low * min(1.0, growth) / (1 + slack), high * max(1.0, growth) * (1 + slack)


def real_error_fits(workload: Workload, check: Check) -> bool:
    """Whether timed real-valued outputs (some there must be) err no more than the asked arithmetic does."""
    if check.real_error_ppm is None:
        return False
    return check.real_error_ppm <= band(workload.form, reduction(workload.shape), check.real_compared)[1]


def fast_algorithm(workload: Workload, check: Check) -> bool:
    """Whether a convolution is inexact and yet errs no more than its precision does: Winograd or an FFT."""
    inexact = check.compared > 0 and not exact(check)
    return workload.operation == "conv" and inexact and real_error_fits(workload, check)


def name_arithmetic(workload: Workload, check: Check) -> str:
    """Name what a probe's outputs show: the precision asked for, or what they point to instead.

    `workload` is the probe's, on real or same-sign operands. Integers: exact int32 sums beyond fp32's
    exact range show integer arithmetic. An output that is quantised to 8 bits shows its codes only,
    and the accumulator stays unseen.
    """
    asked = workload.precision
    if precision(asked).kind == "integer":
        return _name_integer(workload, check)
    error = check.real_error_ppm
    if error is None:
        return "unknown"
    low, high = band(workload.form, reduction(workload.shape), check.real_compared)
    if low <= error <= high:
        return asked
    named = next((name for limit, name in _NAMES if error < limit), "unknown")
    return f"{asked}-out-of-band" if named == asked else named


def _name_integer(workload: Workload, check: Check) -> str:
    if not exact(check):
        return "unknown" if workload.form.requantised else "floating-point"
    if workload.form.requantised:
        return ACCUMULATOR_UNSEEN
    return SATURATING if workload.form.operand_set == "int8-saturating" else workload.precision
