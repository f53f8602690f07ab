"""torch.mm: C (m, n) = A (m, k) B (k, n), row-major, output in the form's type.

Counted: 2mnk. Path: operands and output in memory, a pool of row offsets for A, one B; torch calls
MKL for fp64 and fp32 and oneDNN for bf16 and fp16, both summing in fp32 or wider; int8 is
torch._int_mm, s8*s8 into s32 (reference: the operators' documentation, torch 2.13).
"""

import numpy as np

from bench.terms import Device, Family, Form, GemmShape, Operation, Unavailable, Workload
from bench.workload import operands
from bench.workload.kernel import HostTimed, Kernel, Prepared

from . import _torch
from ._refusal import refusal, refused_by


class _Gemm(HostTimed):
    def __init__(self, workload: Workload, threads: int, sets: tuple[bool, ...]) -> None:
        import torch

        _torch.set_up(threads)
        shape = workload.shape
        assert isinstance(shape, GemmShape)
        self._workload = workload
        self._left: dict[bool, list[torch.Tensor]] = {}
        self._right: dict[bool, torch.Tensor] = {}
        for real in sets:
            pool = _torch.pool(workload, "a", real=real)
            self._left[real] = [pool[o : o + shape.m] for o in operands.offsets(workload)]
            self._right[real] = _torch.pool(workload, "b", real=real)
        self._out = torch.zeros((shape.m, shape.n), dtype=_torch.element_type(workload.form.out))
        self._product = torch._int_mm if workload.form.out == "s32" else torch.mm

    def launch(self, index: int, *, real: bool) -> None:
        try:
            self._product(self._left[real][index], self._right[real], out=self._out)
        except Exception as error:
            raise refusal(self._workload, "torch failed", error) from error

    def finish(self) -> float:
        return float(self._out[0, 0])

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        block: np.ndarray = self._out[rows][:, columns].double().numpy()
        return block

    def close(self) -> None:
        self._left, self._right = {}, {}


class TorchGemm:
    name = "torch_gemm"
    backend = "torch"
    operation: Operation = "gemm"
    families: tuple[Family, ...] = ("cpu",)
    forms = (
        Form(
            precision="fp32", name="mm", a="f32", b="f32", out="f32", operand_set="fp32", layout="row-major"
        ),
        Form(
            precision="bf16",
            name="mm",
            a="bf16",
            b="bf16",
            out="bf16",
            operand_set="bf16",
            layout="row-major",
        ),
        Form(
            precision="fp16", name="mm", a="f16", b="f16", out="f16", operand_set="fp16", layout="row-major"
        ),
        Form(
            precision="int8", name="int_mm", a="s8", b="s8", out="s32", operand_set="int8", layout="row-major"
        ),
        Form(
            precision="fp64", name="mm", a="f64", b="f64", out="f64", operand_set="fp64", layout="row-major"
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
            return _Gemm(workload, threads, (False, True) if real else (False,))


KERNEL: Kernel = TorchGemm()
