"""torch products on a CUDA device: C (m, n) = A (m, k) B (k, n).

Counted: 2mnk; of a 2:4 sparse form too, as vendors count it, though half of it is never multiplied.
Path: operands drawn in the device's memory, a pool of row offsets for A, one B, several of each and of C in
turn so that no cache holds them. torch.mm calls cuBLAS: fp64, fp32 without TF32, tf32 (fp32 operands that the
device rounds), bf16 and fp16 with sums in fp32, their output rounded or, as mm-f32, not. torch._scaled_mm
(fp8, scales of one, without fast accumulation) and torch._int_mm call cuBLASLt, torch._cslt_sparse_mm calls
cuSPARSELt; these three take B column by column (reference: the operators' documentation and checks, torch
2.13).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.terms import (
    SPARSE_LAYOUT,
    Device,
    Element,
    Family,
    Form,
    GemmShape,
    Operation,
    Unavailable,
    Workload,
)
from bench.workload import operands
from bench.workload.kernel import Kernel, Prepared

from . import _cuda, _torch

if TYPE_CHECKING:
    import torch

_ROWS, _COLUMNS = "row-major", "row-major x column-major"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A window of A for each offset, or what is compressed of it; and B. Windows lie in one pool."""

    left: dict[int, "torch.Tensor"]
    right: "torch.Tensor"
    pool: "torch.Tensor | None"


class _Gemm(_cuda.Queued[_Kept]):
    def __init__(self, workload: Workload, on: _cuda.Place, *, real: bool) -> None:
        shape = workload.shape
        assert isinstance(shape, GemmShape)
        self._shape, self._offsets = shape, operands.offsets(workload)
        super().__init__(workload, on, real=real)
        self._product = _PRODUCTS[workload.form.name](workload.form, on)

    def draw(self, *, real: bool) -> _Kept:
        import torch

        form = self.workload.form
        pool = _cuda.pool(self.workload, "a", self.on, real=real)
        right = _cuda.pool(self.workload, "b", self.on, real=real, columns_first=form.layout != _ROWS)
        if not form.sparse:
            return self._windows(pool, right)
        compressed = {o: torch._cslt_compress(pool[o : o + self._shape.m]) for o in {*self._offsets}}
        return _Kept(compressed, right, None)

    def _windows(self, pool: "torch.Tensor", right: "torch.Tensor") -> _Kept:
        return _Kept({o: pool[o : o + self._shape.m] for o in self._offsets}, right, pool)

    def copy(self, drawn: _Kept) -> _Kept:
        right = drawn.right.clone()
        if drawn.pool is not None:
            return self._windows(drawn.pool.clone(), right)
        return _Kept({o: left.clone() for o, left in drawn.left.items()}, right, None)

    def multiply(self, drawn: _Kept, index: int) -> "torch.Tensor":
        return self._product(drawn.left[self._offsets[index]], drawn.right)

    def as_matrix(self, out: "torch.Tensor") -> "torch.Tensor":
        return out


# ------------------------------------------------------------------------------------- the products

_Product = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def _mm(form: Form, on: _cuda.Place) -> _Product:  # noqa: ARG001
    import torch

    product: _Product = torch.mm
    return product


def _mm_f32(form: Form, on: _cuda.Place) -> _Product:  # noqa: ARG001
    import torch

    return lambda left, right: torch.mm(left, right, out_dtype=torch.float32)


def _scaled_mm(form: Form, on: _cuda.Place) -> _Product:
    import torch

    one, out_type = torch.ones((), device=on.device), _torch.element_type(form.out)
    return lambda left, right: torch._scaled_mm(
        left, right, scale_a=one, scale_b=one, out_dtype=out_type, use_fast_accum=False
    )


def _int_mm(form: Form, on: _cuda.Place) -> _Product:  # noqa: ARG001
    import torch

    product: _Product = torch._int_mm
    return product


def _sparse_mm(form: Form, on: _cuda.Place) -> _Product:  # noqa: ARG001
    import torch

    # Of operands in floating point the output has their type; only of 8-bit ones it may be asked for.
    out_type = torch.int32 if form.out == "s32" else None
    return lambda left, right: torch._cslt_sparse_mm(left, right, out_dtype=out_type)


_PRODUCTS = {
    "mm": _mm,
    "mm-f32": _mm_f32,
    "scaled_mm": _scaled_mm,
    "int_mm": _int_mm,
    "sparse_mm": _sparse_mm,
}


def _form(
    precision: str, name: str, a: Element, out: Element, *, b: Element | None = None, layout: str = _ROWS
) -> Form:
    return Form(precision=precision, name=name, a=a, b=b or a, out=out, operand_set=precision, layout=layout)


class CudaGemm:
    """`place` tells where a device's workloads are prepared."""

    name = "cuda_gemm"
    backend = _cuda.BACKEND
    operation: Operation = "gemm"
    families: tuple[Family, ...] = ("cuda",)
    forms = (
        _form("bf16", "mm", "bf16", "bf16"),
        _form("fp16", "mm", "f16", "f16"),
        _form("tf32", "mm", "f32", "f32"),
        _form("fp32", "mm", "f32", "f32"),
        _form("fp8_e4m3", "scaled_mm", "f8_e4m3", "bf16", layout=_COLUMNS),
        # e5m2 times e5m2 does not exist on CUDA: cuBLASLt pairs it with e4m3.
        _form("fp8_e5m2", "scaled_mm", "f8_e5m2", "bf16", b="f8_e4m3", layout=_COLUMNS),
        _form("int8", "int_mm", "s8", "s32", layout=_COLUMNS),
        _form("fp64", "mm", "f64", "f64"),
        _form("bf16", "mm-f32", "bf16", "f32"),
        _form("fp16", "mm-f32", "f16", "f32"),
        _form("bf16", "sparse_mm", "bf16", "bf16", layout=SPARSE_LAYOUT),
        _form("int8", "sparse_mm", "s8", "s32", layout=SPARSE_LAYOUT),
    )

    def __init__(self, place: Callable[[Device], _cuda.Place] = _cuda.place) -> None:
        self._place = place

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:
        return _cuda.unavailable(form, device)

    def prepare(
        self,
        workload: Workload,
        device: Device,
        *,
        threads: int,  # noqa: ARG002
        real: bool,
    ) -> Prepared:
        with _cuda.refusing(workload):
            return _Gemm(workload, self._place(device), real=real)


KERNEL: Kernel = CudaGemm()
