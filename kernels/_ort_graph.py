"""ONNX graphs of one heavy node each: static shapes, every attribute spelled out, run-time activation.

The weight is an initializer with the workload's seeded operands. Scales are powers of two, so that
quantising adds no rounding of its own; zero points are 128 for u8 and 0 for s8.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.terms import ConvShape, Element, GemmShape, Workload
from bench.workload import operands

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "x", "y"
_OPSET, _IR_VERSION = 17, 8

NUMPY_TYPES: dict[Element, type] = {
    "f64": np.float64,
    "f32": np.float32,
    "s32": np.int32,
    "s8": np.int8,
    "u8": np.uint8,
}


def input_shape(workload: Workload) -> list[int]:
    shape = workload.shape
    if isinstance(shape, GemmShape):
        return [shape.m, shape.k]
    return [shape.batch, shape.channels, shape.height, shape.width]


def output_shape(workload: Workload) -> list[int]:
    shape = workload.shape
    if isinstance(shape, GemmShape):
        return [shape.m, shape.n]
    return [shape.batch, shape.filters, shape.out_height, shape.out_width]


def _zero_point(element: Element) -> np.ndarray:
    return np.array(128 if element == "u8" else 0, dtype=NUMPY_TYPES[element])


def _weights(workload: Workload, *, real: bool) -> np.ndarray:
    weights = operands.pool(workload, "b", real=real)
    shape = workload.shape
    if isinstance(shape, ConvShape):
        return weights.reshape(shape.filters, shape.channels, shape.kernel, shape.kernel)
    return weights


def _attributes(workload: Workload) -> dict[str, Any]:
    shape = workload.shape
    if isinstance(shape, GemmShape):
        return {}
    return {
        "auto_pad": "NOTSET",
        "dilations": [1, 1],
        "group": 1,
        "kernel_shape": [shape.kernel] * 2,
        "pads": [shape.padding] * 4,
        "strides": [1, 1],
    }


def _nodes(workload: Workload) -> list["onnx.NodeProto"]:
    from onnx.helper import make_node

    form, attributes = workload.form, _attributes(workload)
    plain = "MatMul" if workload.operation == "gemm" else "Conv"
    if form.name.startswith("QLinearConv"):
        inputs = [INPUT, "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
        return [make_node("QLinearConv", inputs, [OUTPUT], name="heavy", **attributes)]
    if form.name.startswith("MatMulInteger"):
        return [make_node("MatMulInteger", [INPUT, "w", "x_zero", "w_zero"], [OUTPUT], name="heavy")]
    if form.name.startswith("QDQ"):
        return [
            make_node("DequantizeLinear", [INPUT, "x_scale", "x_zero"], ["x_real"], name="x_dequantize"),
            make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_real"], name="w_dequantize"),
            make_node(plain, ["x_real", "w_real"], ["y_real"], name="heavy", **attributes),
            make_node("QuantizeLinear", ["y_real", "y_scale", "y_zero"], [OUTPUT], name="y_quantize"),
        ]
    return [make_node(plain, [INPUT, "w"], [OUTPUT], name="heavy", **attributes)]


def _constants(workload: Workload) -> dict[str, np.ndarray]:
    form = workload.form
    if form.a not in ("u8", "s8"):
        return {}
    constants = {"x_zero": _zero_point(form.a), "w_zero": _zero_point(form.b)}
    if form.requantised:
        scale = 2.0 ** operands.requantising_shift(workload)
        one = np.array(1.0, dtype=np.float32)
        constants |= {"x_scale": one, "w_scale": one, "y_scale": np.array(scale, dtype=np.float32)}
        constants["y_zero"] = _zero_point(form.out)
    return constants


def build(workload: Workload, *, real: bool) -> bytes:
    """The serialized model: input `x`, output `y`, the heavy node called `heavy`."""
    import onnx
    from onnx import helper, numpy_helper

    tensor_type = {
        element: helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for element, kind in NUMPY_TYPES.items()
    }
    initializers = {"w": _weights(workload, real=real), **_constants(workload)}
    graph = helper.make_graph(
        _nodes(workload),
        workload.kernel,
        [helper.make_tensor_value_info(INPUT, tensor_type[workload.form.a], input_shape(workload))],
        [helper.make_tensor_value_info(OUTPUT, tensor_type[workload.form.out], output_shape(workload))],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized
