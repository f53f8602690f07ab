"""ONNX Runtime MatMul on the CPU execution provider: Y (m, n) = X (m, k) W (k, n), row-major.

Counted: 2mnk. Path: run-time activation from a pool of row offsets, constant weight that the provider
may pack once. int8 forms: MatMulInteger (s32 out), and QDQ, which the provider fuses to an integer
product with an 8-bit output; each as u8*s8 and s8*s8 (reference: ONNX operator schemas, opset 17).
"""

from bench.terms import Device, Element, Family, Form, Operation, Unavailable, Workload
from bench.workload.kernel import Kernel, Prepared

from . import _ort


def _integer(name: str, a: Element, out: Element, operand_set: str = "int8") -> Form:
    return Form(
        precision="int8", name=name, a=a, b="s8", out=out, operand_set=operand_set, layout="row-major"
    )


class OrtGemm:
    name = "ort_gemm"
    backend = "onnxruntime"
    operation: Operation = "gemm"
    families: tuple[Family, ...] = ("cpu",)
    forms = (
        Form(
            precision="fp32",
            name="MatMul",
            a="f32",
            b="f32",
            out="f32",
            operand_set="fp32",
            layout="row-major",
        ),
        _integer("MatMulInteger-u8s8", "u8", "s32"),
        _integer("QDQ-u8s8", "u8", "u8"),
        _integer("MatMulInteger-s8s8", "s8", "s32"),
        _integer("QDQ-s8s8", "s8", "s8"),
        _integer("MatMulInteger-u8s8-saturating", "u8", "s32", "int8-saturating"),
        Form(
            precision="fp64",
            name="MatMul",
            a="f64",
            b="f64",
            out="f64",
            operand_set="fp64",
            layout="row-major",
        ),
    )

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:
        return _ort.unavailable(form, device)

    def prepare(self, workload: Workload, *, threads: int, real: bool) -> Prepared:
        return _ort.BoundSession(workload, threads, (False, True) if real else (False,))


KERNEL: Kernel = OrtGemm()
