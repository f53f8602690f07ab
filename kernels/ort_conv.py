"""ONNX Runtime Conv through an execution provider, images in NCHW layout.

Y (n, f, y, x) = sum over c, r, s of X (n, c, y + r - p, x + s - p) W (f, c, r, s). Counted: the direct
algorithm's multiply-adds, padding excluded. Path: run-time image from windows of one pool, constant weights;
layers on one another where a device is asked for that. int8 forms: QLinearConv, and QDQ, which the provider
fuses to it; both with an 8-bit output, as u8*s8 and s8*s8 (reference: ONNX operator schemas, opset 17).
"""

from bench.terms import Device, Element, Family, Form, Operation, Unavailable, Workload
from bench.workload.kernel import Examined, Kernel, Prepared

from . import _ort


def _integer(name: str, element: Element) -> Form:
    return Form(
        precision="int8", name=name, a=element, b="s8", out=element, operand_set="int8", layout="nchw"
    )


def _floating(precision: str, element: Element) -> Form:
    return Form(
        precision=precision,
        name="Conv",
        a=element,
        b=element,
        out=element,
        operand_set=precision,
        layout="nchw",
    )


class OrtConv:
    name = "ort_conv"
    backend = "onnxruntime"
    operation: Operation = "conv"
    families: tuple[Family, ...] = ("cpu", "ort", "runner")
    forms = (
        _floating("fp32", "f32"),
        _integer("QLinearConv-u8s8", "u8"),
        _integer("QDQ-u8s8", "u8"),
        _integer("QLinearConv-s8s8", "s8"),
        _integer("QDQ-s8s8", "s8"),
        _floating("fp16", "f16"),
        _floating("bf16", "bf16"),
    )

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:
        return _ort.unavailable(form, device)

    def prepare(self, workload: Workload, device: Device, *, threads: int, real: bool) -> Prepared:
        return _ort.prepare(workload, device, threads=threads, real=real)

    def examine(self, workload: Workload, device: Device, *, threads: int) -> Examined:
        return _ort.examine(workload, device, threads)

    def prepare_on_cpu(self, workload: Workload, *, threads: int) -> Prepared:
        return _ort.prepare_on_cpu(workload, threads=threads)


KERNEL: Kernel = OrtConv()
