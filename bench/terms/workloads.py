"""What is run: shapes, forms, rows, and what a launch counts."""

from dataclasses import dataclass
from typing import Literal

from bench.terms.checks import require

Operation = Literal["gemm", "conv"]

# Elements as they lie in memory. "u8" carries zero point 128, so that its values are s8's plus 128. The two
# of fp8 are those of the OCP 8-bit Floating Point Specification 1.0 (torch: float8_e4m3fn, float8_e5m2).
Element = Literal["f64", "f32", "bf16", "f16", "f8_e4m3", "f8_e5m2", "s32", "s8", "u8"]

# The layout of a product whose first operand is stored without the zeros of its 2:4 pattern.
SPARSE_LAYOUT = "2:4-sparse x column-major"


# A launch runs `depth` layers, one on the output of the other and each with weights of its own, on
# `streams` inputs at the same time. Deep graphs are what NPUs are built for: a single layer shows dispatch.


@dataclass(frozen=True, slots=True, kw_only=True)
class GemmShape:
    """C (m, n) = A (m, k) times B (k, n). A deep one is square: each layer's C is the next one's A."""

    m: int
    n: int
    k: int
    depth: int = 1
    streams: int = 1

    def __post_init__(self) -> None:
        sizes = (self.m, self.n, self.k, self.depth, self.streams)
        require(min(sizes) > 0, f"a GEMM shape is positive, got {self}")
        require(self.depth == 1 or self.n == self.k, f"layers on one another have n = k, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvShape:
    """Stride 1, dilation 1, one group; `kernel` and `padding` hold for both axes.

    A deep one keeps the image's size and channels from layer to layer.
    """

    batch: int
    channels: int
    filters: int
    height: int
    width: int
    kernel: int
    padding: int
    depth: int = 1
    streams: int = 1

    def __post_init__(self) -> None:
        sizes = (self.batch, self.channels, self.filters, self.kernel, self.depth, self.streams)
        require(min(sizes) > 0 <= self.padding, f"got {self}")
        require(min(self.out_height, self.out_width) > 0, f"the image is smaller than the kernel: {self}")
        kept = self.channels == self.filters and 2 * self.padding == self.kernel - 1
        require(self.depth == 1 or kept, f"layers on one another keep the image and its channels, got {self}")

    @property
    def out_height(self) -> int:
        return self.height + 2 * self.padding - self.kernel + 1

    @property
    def out_width(self) -> int:
        return self.width + 2 * self.padding - self.kernel + 1


Shape = GemmShape | ConvShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a kernel does a precision: the element types that go in and out, and their operand set.

    `name` is the kernel's own word for it ("mm", "MatMulInteger"). `layout` says how operands lie in
    memory. An output that is quantised again to 8 bits may differ by one code (measurement: exactness).
    """

    precision: str
    name: str
    a: Element
    b: Element
    out: Element
    operand_set: str
    layout: str

    @property
    def requantised(self) -> bool:
        return self.out in ("s8", "u8")

    @property
    def sparse(self) -> bool:
        """Whether of four neighbours along K two of the first operand are zero, and never multiplied.

        Its operations are counted as vendors count them, zeros included: such a row is no dense one.
        """
        return self.layout == SPARSE_LAYOUT

    @property
    def chains(self) -> bool:
        """Whether one layer's output is what the next one takes."""
        return self.a == self.out


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One row of a run: which kernel computes what, on which device and operands."""

    device: str
    kernel: str
    backend: str
    operation: Operation
    form: Form
    shape: Shape
    seed: str

    @property
    def row(self) -> str:
        """The row's name in every table and file, unique within a run."""
        return f"{self.kernel}/{self.form.precision}/{self.form.name}"

    @property
    def precision(self) -> str:
        return self.form.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one launch counts: operations (a multiply-add is two) and the bytes it must touch once."""

    ops: int
    bytes: int
