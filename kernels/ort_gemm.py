"""ONNX Runtime MatMul through an execution provider: Y (m, n) = X (m, k) W (k, n), row-major.

Counted: 2mnk for each layer. Path: run-time activation from a pool of row offsets, constant weights that the
provider may pack once; layers on one another where a device is asked for that. int8 forms: MatMulInteger
(s32 out), QLinearMatMul, and QDQ, which the provider fuses to an integer product, both with an 8-bit output;
each as u8*s8 and s8*s8 (reference: ONNX operator schemas, opset 17).
"""

from bench.terms import Device, Element, Family, Form, Operation, Unavailable, Workload
from bench.workload.kernel import Examined, Kernel, Prepared

from . import _ort


def _integer(name: str, a: Element, out: Element, operand_set: str = "int8") -> Form:
    return Form(
        precision="int8", name=name, a=a, b="s8", out=out, operand_set=operand_set, layout="row-major"
    )


def _floating(precision: str, element: Element) -> Form:
    return Form(
        precision=precision,
        name="MatMul",
        a=element,
        b=element,
        out=element,
        operand_set=precision,
        layout="row-major",
    )


class OrtGemm:
    name = "ort_gemm"
    backend = "onnxruntime"
    operation: Operation = "gemm"
    families: tuple[Family, ...] = ("cpu", "ort", "runner")
    forms = (
        _floating("fp32", "f32"),
        _integer("MatMulInteger-u8s8", "u8", "s32"),
        _integer("QDQ-u8s8", "u8", "u8"),
        _integer("MatMulInteger-s8s8", "s8", "s32"),
        _integer("QDQ-s8s8", "s8", "s8"),
        _integer("QLinearMatMul-u8s8", "u8", "u8"),
        _integer("QLinearMatMul-s8s8", "s8", "s8"),
        _floating("fp16", "f16"),
        _floating("bf16", "bf16"),
        _integer("MatMulInteger-u8s8-saturating", "u8", "s32", "int8-saturating"),
        _floating("fp64", "f64"),
    )

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:
        return _ort.unavailable(form, device)

    def prepare(self, workload: Workload, device: Device, *, threads: int, real: bool) -> Prepared:
        return _ort.prepare(workload, device, threads=threads, real=real)

    def examine(self, workload: Workload, device: Device, *, threads: int) -> Examined:
        return _ort.examine(workload, device, threads)

    def prepare_on_cpu(self, workload: Workload, *, threads: int) -> Prepared:
        return _ort.prepare_on_cpu(workload, threads=threads)


KERNEL: Kernel = OrtGemm()
