"""torch conv2d on CUDA: Y (n, f, y, x) = sum over c, r, s of X (n, c, y + r - p, x + s - p) W (f, c, r, s).

Counted: the direct algorithm's multiply-adds, padding excluded. Path: channels-last images in the device's
memory, windows of one pool, several pools, weights and outputs in turn so that no cache holds them; torch
calls cuDNN, which tries its algorithms at a shape's first launch, before anything is timed. Sums are in fp32;
of fp32 operands without TF32, or as tf32, rounded by the device (reference: torch.nn.functional.conv2d and
torch.backends.cudnn, torch 2.13).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.terms import ConvShape, Device, Element, Family, Form, Operation, Unavailable, Workload
from bench.workload import operands
from bench.workload.kernel import Kernel, Prepared

from . import _cuda

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class _Kept:
    """The image at each offset, windows of one pool, and the weights."""

    images: list["torch.Tensor"]
    weights: "torch.Tensor"
    pool: "torch.Tensor"


class _Conv(_cuda.Queued[_Kept]):
    def __init__(self, workload: Workload, on: _cuda.Place, *, real: bool) -> None:
        import torch

        shape = workload.shape
        assert isinstance(shape, ConvShape)
        self._shape, self._offsets = shape, operands.offsets(workload)
        self._conv2d = torch.nn.functional.conv2d
        super().__init__(workload, on, real=real)

    def draw(self, *, real: bool) -> _Kept:
        import torch

        shape = self._shape
        weights = _cuda.pool(self.workload, "b", self.on, real=real)
        weights = weights.view(shape.filters, shape.channels, shape.kernel, shape.kernel)
        pool = _cuda.pool(self.workload, "a", self.on, real=real)
        return self._windows(pool, weights.contiguous(memory_format=torch.channels_last))

    def _windows(self, pool: "torch.Tensor", weights: "torch.Tensor") -> _Kept:
        shape = self._shape
        pixels = shape.batch * shape.height * shape.width
        # Any window of pixels is a channels-last image: moving by one pixel moves one pool row.
        images = [
            pool[o : o + pixels]
            .view(shape.batch, shape.height, shape.width, shape.channels)
            .permute(0, 3, 1, 2)
            for o in self._offsets
        ]
        return _Kept(images, weights, pool)

    def copy(self, drawn: _Kept) -> _Kept:
        return self._windows(drawn.pool.clone(), drawn.weights.clone())

    def multiply(self, drawn: _Kept, index: int) -> "torch.Tensor":
        return self._conv2d(drawn.images[index], drawn.weights, padding=self._shape.padding)

    def as_matrix(self, out: "torch.Tensor") -> "torch.Tensor":
        # (n, f, y, x) -> (n, y, x, f): a row of the implicit GEMM is one output position.
        return out.permute(0, 2, 3, 1).reshape(-1, self._shape.filters)


def _form(precision: str, element: Element) -> Form:
    return Form(
        precision=precision,
        name="conv2d",
        a=element,
        b=element,
        out=element,
        operand_set=precision,
        layout="channels-last",
    )


class CudaConv:
    """`place` tells where a device's workloads are prepared."""

    name = "cuda_conv"
    backend = _cuda.BACKEND
    operation: Operation = "conv"
    families: tuple[Family, ...] = ("cuda",)
    forms = (_form("bf16", "bf16"), _form("fp16", "f16"), _form("tf32", "f32"), _form("fp32", "f32"))

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
            return _Conv(workload, self._place(device), real=real)


KERNEL: Kernel = CudaConv()
