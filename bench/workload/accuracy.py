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
from bench.workload import deep, operands
from bench.workload.opcount import implicit_gemm, reduction

PPM = 1e6
# An arithmetic that is named for what it is, and is no mistake of anybody's.
SATURATING = "int8-saturating"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A block of outputs of one launch: rows x columns of the implicit GEMM, and its operands' offset.

    The first operand of each stream, as it lies in memory, begins at its element `rotation`; what stands
    before that follows at the end.
    """

    offset: int
    real: bool
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    rotation: int = 0


def choose_place(
    workload: Workload, purpose: str, index: int, *, offset: int, real: bool, size: int
) -> Place:
    """A size x 2*size block at places chosen by the nonce, its rows and columns spread over the output.

    No row or column comes twice where the output has that many, so that none is counted twice. Of a deep
    convolution all rows lie in one image: the right output needs the whole of it.
    """
    height, width = implicit_gemm(workload.shape)
    first = 0
    if operands.is_deep(workload) and isinstance(workload.shape, ConvShape):
        images = workload.shape.streams * workload.shape.batch
        height //= images
        first = operands.random_below(workload, f"{purpose}/image", index, (images,))[0] * height
    row_steps, column_steps = max(1, height // size), max(1, width // (2 * size))
    row, column, row_step, column_step = operands.random_below(
        workload, purpose, index, (height, width, row_steps, column_steps)
    )
    return Place(
        offset=offset,
        real=real,
        rows=tuple(first + (row + i * (row_step + 1)) % height for i in range(size)),
        columns=tuple((column + i * (column_step + 1)) % width for i in range(2 * size)),
    )


# Elements of the first operand's pool at broadcast (rows, columns), as float64.
_Take = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _first_operand(workload: Workload, place: Place) -> np.ndarray:
    """Rows of the implicit GEMM's left matrix, (rows, K), zero where a convolution meets padding."""

    def take(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return operands.values(workload, "a", rows, columns, real=place.real)

    rows, offset = np.array(place.rows, dtype=np.int64), np.int64(place.offset)
    return _gathered(workload, rows, offset, take, rotation=place.rotation)


def first_rows(workload: Workload, rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The same for many whole rows on exact operands, each at its own offset (both int64, equally many).

    Pool rows are drawn once each and whole, which takes an eighth of the time of single elements.
    """
    width = operands.pool_shape(workload, "a")[1]

    def take(pool_rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        needed, where = np.unique(pool_rows, return_inverse=True)
        table: np.ndarray = np.empty((len(needed), width))
        operands.put(table, workload, "a", real=False, rows=needed)
        return np.asarray(table[where.reshape(pool_rows.shape), columns])

    return _gathered(workload, rows, offsets.reshape(-1, 1), take)


def _gathered(
    workload: Workload,
    row_numbers: np.ndarray,
    offset: np.ndarray | np.int64,
    take: _Take,
    *,
    rotation: int = 0,
) -> np.ndarray:
    """The left matrix's rows, their elements taken from the pool at its rows moved by `offset`."""
    shape = workload.shape
    rows = row_numbers.reshape(-1, 1)
    own = implicit_gemm(shape)[0] // shape.streams
    offset = offset + operands.stream_offset(rows // own)
    rows = rows % own
    if isinstance(shape, GemmShape):
        columns = np.arange(shape.k, dtype=np.int64).reshape(1, -1)
        row, column = deep.rotated(workload, rows, columns, rotation)
        return take(row + offset, column)
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
    pool_row, pool_column = deep.rotated(workload, pool_row, pool_column, rotation)
    return np.where(inside, take(pool_row + offset, pool_column), 0.0)


def _second_operand(workload: Workload, place: Place) -> np.ndarray:
    """Columns of the implicit GEMM's right matrix, (K, columns)."""
    columns = np.array(place.columns, dtype=np.int64).reshape(1, -1)
    k = np.arange(reduction(workload.shape), dtype=np.int64).reshape(-1, 1)
    if isinstance(workload.shape, ConvShape):
        return operands.values(workload, "b", columns, k, real=place.real)
    return operands.values(workload, "b", k, columns, real=place.real)


def expected(workload: Workload, place: Place) -> np.ndarray:
    """The right outputs at `place`, (rows, columns) in float64.

    Exact operands: the exact sum, rounded once to the output's type or quantised to its codes. Real
    operands: the sum of the operands as rounded to their type, not rounded further. A deep graph: the same
    from layer to layer, codes quantised after each.
    """
    if operands.is_deep(workload):
        return deep.outputs(workload, place.offset, place.rows, place.rotation)[:, list(place.columns)]
    left, right = _first_operand(workload, place), _second_operand(workload, place)
    form = workload.form
    if place.real:
        return _real_product(
            operands.round_to(left, form.a), operands.round_to(right, form.b), exact=form.out == "f64"
        )
    return outputs_of(workload, np.einsum("rk,kc->rc", left, right))


def outputs_of(workload: Workload, sums: np.ndarray) -> np.ndarray:
    """What a launch returns for sums of exact products: rounded once, or quantised to codes.

    The operands are integers scaled by powers of two: every partial sum is exact in float64, in any order.
    """
    form = workload.form
    if form.requantised:
        return deep.codes(sums, operands.requantising_shifts(workload)[0]) + zero_point(form.out)
    return operands.round_to(sums, form.out)


def zero_point(element: Element) -> int:
    return 128 if element == "u8" else 0


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
            squared_value=float(np.sum((right - zero_point(workload.form.out)) ** 2)),
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


def right(workload: Workload, check: Check) -> bool:
    """Whether a check's outputs were right: exact ones exact, those of a deep graph within its error."""
    return exact(check) and (not operands.is_deep(workload) or real_error_fits(workload, check))


# Relative RMS error in ppm of a product of real operands (uniform, zero mean, K = 1024) by the type
# of the output: from trials on torch and onnxruntime CPU kernels. For f32 summation order explains the
# width; f16 and bf16 are dominated by rounding the output once. f64 is f32's band times 2^-29.
_BANDS: dict[Element, tuple[float, float]] = {
    "f64": (0.1 * 2.0**-29, 1.5 * 2.0**-29),
    "f32": (0.1, 1.5),
    "f16": (180.0, 240.0),
    "bf16": (1500.0, 1800.0),
}

# The same where the device itself rounds operands of a wider type: TF32's, of fp32 reals, by 261 ppm to
# nearest and by 685 to 760 truncating, whatever K is. bf16 begins at 1,500.
_ROUNDED_BY_THE_DEVICE: dict[str, tuple[float, float]] = {"tf32": (190.0, 800.0)}

# What sums may err by that keep 13 bits behind the leading one (operands.OPERAND_SETS): in a model that adds
# 32 products at a time and truncates, 520 ppm at K = 1024 and 1,560 at 8192; promoted to fp32 after each
# 128, 85 to 110. Hopper promotes when asked to, Ada is not known to: both are honest.
_COARSE_SUMS = {"fp8_e4m3": 600.0, "fp8_e5m2": 600.0}

# Tensor cores cut their fp32 sums off after each step, which errs to one side: like K, not like its root
# (Fasi, Higham, Mikaitis, Pranesh: "Numerical behavior of NVIDIA tensor cores", PeerJ CS 7:e330, 2021). A
# model that cuts off after 16 or 8 products errs by 0.9 to 1.7 ppm at K = 1024, and by up to 10.3 at 8192;
# TF32 begins at 190.
_TRUNCATED_SUMS = 4.0

# What an error outside the asked band points to, from the upper end of each range in ppm: TF32 and
# fp16 keep 11 significant bits (261 ppm rounding, 685 truncating), bf16 8 (from 1,500), quantised
# 8-bit reals err by about 5,600; fp16 sums by 1,180 at K = 64 and 4,690 at K = 1024. Operands in e4m3 keep 4
# bits (29,600 to 34,900), in e5m2 and e4m3 3 and 4 (45,000 to 64,400), in e5m2 3 (56,600 to 76,900).
_NAMES: tuple[tuple[float, str], ...] = (
    (0.02, "fp64"),
    (2.0, "fp32"),
    (450.0, "tf32-or-fp16"),
    (1000.0, "tf32-truncated"),
    (4000.0, "bf16"),
    (20000.0, "int8-or-fp16-sums"),
    (40000.0, "fp8_e4m3"),
    (90000.0, "fp8_e5m2"),
)


# The codes of a deep graph: a layer may round OFF_BY_ONE_SHARE of its outputs to the code beside the right
# one, of which about 20 make the least spread (operands.requantising_shifts gives 15 to 30).
_CODES = PPM * math.sqrt(OFF_BY_ONE_SHARE) / 15


def band(form: Form, k: int, compared: int, *, depth: int = 1) -> tuple[float, float]:
    """The errors, in ppm, that honest arithmetic of this form shows over `compared` outputs.

    An RMS over n outputs scatters by 1/sqrt(2n), so each end gives way by four times that. Errors of
    an unrounded sum grow at most like sqrt(K / 1024); below K = 1024 they may be that much smaller. Each of
    `depth` layers adds its own errors, which do not know of one another: they grow like sqrt(depth).
    """
    slack = 4 / math.sqrt(2 * compared)
    if form.precision in _ROUNDED_BY_THE_DEVICE:
        low, high = _ROUNDED_BY_THE_DEVICE[form.precision]
        return low / (1 + slack), high * (1 + slack)
    low, high = (0.0, _CODES) if form.requantised else _BANDS[form.out]
    longer = math.sqrt(k / 1024)
    growth = longer if form.out in ("f64", "f32") else 1.0
    if form.a != form.out and form.out == "f32":
        # Narrow operands with a wide output: products are exact, and only sums err.
        low, high, growth = 0.0, _TRUNCATED_SUMS, max(1.0, k / 1024)
    high = math.hypot(high * max(1.0, growth), _COARSE_SUMS.get(form.precision, 0.0) * longer)
    layers = math.sqrt(depth)
    return low * min(1.0, growth) / (1 + slack), high * layers * (1 + slack)


def real_error_fits(workload: Workload, check: Check) -> bool:
    """Whether timed outputs that are compared by their error (some there must be) err no more than the asked
    arithmetic does.
    """
    if check.real_error_ppm is None:
        return False
    shape = workload.shape
    most = band(workload.form, reduction(shape), check.real_compared, depth=shape.depth)[1]
    return check.real_error_ppm <= most


def fast_algorithm(workload: Workload, check: Check) -> bool:
    """Whether a convolution is inexact and yet errs no more than its precision does: Winograd or an FFT."""
    inexact = check.compared > 0 and not exact(check)
    return workload.operation == "conv" and inexact and real_error_fits(workload, check)


def name_arithmetic(workload: Workload, check: Check) -> str:
    """Name what a probe's outputs show: the precision asked for, or what they point to instead.

    `workload` is the probe's, on real, same-sign or cancelling operands. Integers: exact int32 sums beyond
    fp32's exact range show integer arithmetic.
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
    # What cancels leaves no tie to round, and no code to be off by: here every output is exact, or is not.
    if check.compared == 0 or check.wrong or check.off_by_one:
        return "floating-point"
    return SATURATING if workload.form.operand_set == "int8-saturating" else workload.precision
