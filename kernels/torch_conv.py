"""torch conv2d: Y (n, f, y, x) = sum over c, r, s of X (n, c, y + r - p, x + s - p) W (f, c, r, s).

Counted: the direct algorithm's multiply-adds, padding excluded. Path: channels-last images in memory,
windows of one pool; torch calls oneDNN, which sums in fp32 (reference: torch.nn.functional.conv2d).
"""

import numpy as np

from bench.terms import ConvShape, Device, Family, Form, Operation, Unavailable, Workload
from bench.workload import operands
from bench.workload.kernel import HostTimed, Kernel, Prepared

from . import _torch
from ._refusal import refusal, refused_by


class _Conv(HostTimed):
    def __init__(self, workload: Workload, threads: int, sets: tuple[bool, ...]) -> None:
        import torch

        _torch.set_up(threads)
        shape = workload.shape
        assert isinstance(shape, ConvShape)
        self._workload, self._shape = workload, shape
        self._images: dict[bool, list[torch.Tensor]] = {}
        self._weights: dict[bool, torch.Tensor] = {}
        pixels = shape.batch * shape.height * shape.width
        for real in sets:
            pool = _torch.pool(workload, "a", real=real)
            # Any window of pixels is a channels-last image: moving by one pixel moves one pool row.
            self._images[real] = [
                pool[o : o + pixels]
                .view(shape.batch, shape.height, shape.width, shape.channels)
                .permute(0, 3, 1, 2)
                for o in operands.offsets(workload)
            ]
            weights = _torch.pool(workload, "b", real=real)
            weights = weights.view(shape.filters, shape.channels, shape.kernel, shape.kernel)
            self._weights[real] = weights.contiguous(memory_format=torch.channels_last)
        self._out = torch.zeros(0)
        self._conv2d = torch.nn.functional.conv2d

    def launch(self, index: int, *, real: bool) -> None:
        images, weights = self._images[real][index], self._weights[real]
        try:
            self._out = self._conv2d(images, weights, padding=self._shape.padding)
        except Exception as error:
            raise refusal(self._workload, "torch failed", error) from error

    def finish(self) -> float:
        return float(self._out[0, 0, 0, 0])

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        # (n, f, y, x) -> (n, y, x, f): a row of the implicit GEMM is one output position.
        flat = self._out.permute(0, 2, 3, 1).reshape(-1, self._shape.filters)
        block: np.ndarray = flat[rows][:, columns].double().numpy()
        return block

    def close(self) -> None:
        self._images, self._weights = {}, {}


class TorchConv:
    name = "torch_conv"
    backend = "torch"
    operation: Operation = "conv"
    families: tuple[Family, ...] = ("cpu",)
    forms = (
        Form(
            precision="fp32",
            name="conv2d",
            a="f32",
            b="f32",
            out="f32",
            operand_set="fp32",
            layout="channels-last",
        ),
        Form(
            precision="bf16",
            name="conv2d",
            a="bf16",
            b="bf16",
            out="bf16",
            operand_set="bf16",
            layout="channels-last",
        ),
    )

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:  # noqa: ARG002
        return _torch.missing()

    def prepare(
        self,
        workload: Workload,
        device: Device,  # noqa: ARG002
        *,
        threads: int,
        real: bool,
    ) -> Prepared:
        with refused_by(self.backend, workload):
            return _Conv(workload, threads, (False, True) if real else (False,))


KERNEL: Kernel = TorchConv()
