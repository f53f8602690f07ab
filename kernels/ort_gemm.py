"""ONNX Runtime MatMul through an execution provider: Y (m, n) = X (m, k) W (k, n), row-major.

Counted: 2mnk for each layer. Path: run-time activation from a pool of row offsets, constant weights that the
provider may pack once; layers on one another where a device is asked for that. int8 forms: MatMulInteger
(s32 out), QLinearMatMul, and QDQ, which the provider fuses to an integer product, both with an 8-bit output;
each as u8*s8 and s8*s8 (reference: ONNX operator schemas, opset 17).
"""

from functools import partial

from bench.terms import Operation
from bench.workload.kernel import Kernel

from . import _onnx

_integer = partial(_onnx.integer, layout="row-major")
_floating = partial(_onnx.floating, name="MatMul", layout="row-major")


class OrtGemm(_onnx.OnnxKernel):
    name = "ort_gemm"
    operation: Operation = "gemm"
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
        _integer("MatMulInteger-u8s8-saturating", "u8", "s32", operand_set="int8-saturating"),
        _floating("fp64", "f64"),
    )


KERNEL: Kernel = OrtGemm()
