"""ONNX Runtime Conv: Y (n, f, y, x) = sum over c, r, s of X (n, c, y + r - p, x + s - p) W (f, c, r, s).

On the CPU execution provider, images in NCHW layout.
Counted: the direct algorithm's multiply-adds, padding excluded. Path: run-time image from windows of
one pool, constant weight. int8 forms: QLinearConv, and QDQ, which the provider fuses to it; both with
an 8-bit output, as u8*s8 and s8*s8 (reference: ONNX operator schemas, opset 17).
"""

from bench.terms import Device, Element, Family, Form, Operation, Unavailable, Workload
from bench.workload.kernel import Kernel, Prepared

from . import _ort


def _integer(name: str, element: Element) -> Form:
    return Form(
        precision="int8", name=name, a=element, b="s8", out=element, operand_set="int8", layout="nchw"
    )


class OrtConv:
    name = "ort_conv"
    backend = "onnxruntime"
    operation: Operation = "conv"
    families: tuple[Family, ...] = ("cpu",)
    forms = (
        Form(precision="fp32", name="Conv", a="f32", b="f32", out="f32", operand_set="fp32", layout="nchw"),
        _integer("QLinearConv-u8s8", "u8"),
        _integer("QDQ-u8s8", "u8"),
        _integer("QLinearConv-s8s8", "s8"),
        _integer("QDQ-s8s8", "s8"),
    )

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:
        return _ort.unavailable(form, device)

    def prepare(self, workload: Workload, *, threads: int, real: bool) -> Prepared:
        return _ort.BoundSession(workload, threads, (False, True) if real else (False,))


KERNEL: Kernel = OrtConv()
