"""ONNX Runtime Conv through an execution provider, images in NCHW layout.

Y (n, f, y, x) = sum over c, r, s of X (n, c, y + r - p, x + s - p) W (f, c, r, s). Counted: the direct
algorithm's multiply-adds, padding excluded. Path: run-time image from windows of one pool, constant weights;
layers on one another where a device is asked for that. int8 forms: QLinearConv, and QDQ, which the provider
fuses to it; both with an 8-bit output, as u8*s8 and s8*s8 (reference: ONNX operator schemas, opset 17).
"""

from functools import partial

from bench.terms import Operation
from bench.workload.kernel import Kernel

from . import _onnx

_integer = partial(_onnx.integer, layout="nchw")
_floating = partial(_onnx.floating, name="Conv", layout="nchw")


class OrtConv(_onnx.OnnxKernel):
    name = "ort_conv"
    operation: Operation = "conv"
    forms = (
        _floating("fp32", "f32"),
        _integer("QLinearConv-u8s8", "u8", "u8"),
        _integer("QDQ-u8s8", "u8", "u8"),
        _integer("QLinearConv-s8s8", "s8", "s8"),
        _integer("QDQ-s8s8", "s8", "s8"),
        _floating("fp16", "f16"),
        _floating("bf16", "bf16"),
    )


KERNEL: Kernel = OrtConv()
