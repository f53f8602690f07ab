"""ONNX graphs of heavy nodes on one another: static shapes, every attribute spelled out, run-time activation.

The weights are initializers with the workload's seeded operands, of each layer its own. Activations keep the
scale 1 from layer to layer; what a layer's sums are divided by, a power of two, stands in its weights' scale,
so that quantising adds no rounding of its own. Zero points are 128 for u8 and 0 for s8.
"""

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.terms import ConvShape, Element, GemmShape, Workload
from bench.workload import operands

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "x", "y"
# The names of the nodes that count begin so; the layer's number follows.
HEAVY = "heavy"

NUMPY_TYPES: dict[Element, type] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "s32": np.int32,
    "s8": np.int8,
    "u8": np.uint8,
}


def numpy_type(element: Element) -> type:
    if element == "bf16":
        import ml_dtypes

        bfloat16: type = ml_dtypes.bfloat16
        return bfloat16
    return NUMPY_TYPES[element]


def tensor_type(element: Element) -> int:
    """The number that ONNX gives the element's type."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(numpy_type(element))))


def _versions(workload: Workload) -> tuple[int, int]:
    """Operator set and IR version: the oldest that know the types, as many providers know no newer ones.

    Conv takes bfloat16 from operator set 22 on (ONNX operator schemas).
    """
    return (22, 10) if workload.form.a == "bf16" else (17, 8)


def input_shape(workload: Workload) -> list[int]:
    """Of one stream."""
    shape = workload.shape
    if isinstance(shape, GemmShape):
        return [shape.m, shape.k]
    return [shape.batch, shape.channels, shape.height, shape.width]


def output_shape(workload: Workload) -> list[int]:
    """Of one stream."""
    shape = workload.shape
    if isinstance(shape, GemmShape):
        return [shape.m, shape.n]
    return [shape.batch, shape.filters, shape.out_height, shape.out_width]


def _zero_point(element: Element) -> np.ndarray:
    return np.array(128 if element == "u8" else 0, dtype=NUMPY_TYPES[element])


def _weights(workload: Workload, layer: int, *, real: bool) -> np.ndarray:
    weights = operands.pool(workload, "b", real=real, layer=layer)
    if workload.form.b == "bf16":
        weights = weights.astype(numpy_type("bf16"))
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


def _layer(workload: Workload, layer: int) -> list["onnx.NodeProto"]:
    """The nodes of one layer, from the output of the one before it to its own."""
    from onnx.helper import make_node

    form, attributes = workload.form, _attributes(workload)
    x = INPUT if layer == 0 else f"h{layer}"
    y = OUTPUT if layer == workload.shape.depth - 1 else f"h{layer + 1}"
    w, w_scale, name = f"w{layer}", f"w{layer}_scale", f"{HEAVY}{layer}"
    plain = "MatMul" if workload.operation == "gemm" else "Conv"
    if form.name.startswith("QLinear"):
        inputs = [x, "one", "x_zero", w, w_scale, "w_zero", "one", "y_zero"]
        return [make_node(f"QLinear{plain}", inputs, [y], name=name, **attributes)]
    if form.name.startswith("MatMulInteger"):
        return [make_node("MatMulInteger", [x, w, "x_zero", "w_zero"], [y], name=name)]
    if form.name.startswith("QDQ"):
        return [
            make_node("DequantizeLinear", [x, "one", "x_zero"], [f"{x}_real"], name=f"{x}_dequantize"),
            make_node("DequantizeLinear", [w, w_scale, "w_zero"], [f"{w}_real"], name=f"{w}_dequantize"),
            make_node(plain, [f"{x}_real", f"{w}_real"], [f"{y}_sum"], name=name, **attributes),
            make_node("QuantizeLinear", [f"{y}_sum", "one", "y_zero"], [y], name=f"{y}_quantize"),
        ]
    return [make_node(plain, [x, w], [y], name=name, **attributes)]


def _constants(workload: Workload) -> dict[str, np.ndarray]:
    form = workload.form
    if form.a not in ("u8", "s8"):
        return {}
    constants = {"x_zero": _zero_point(form.a), "w_zero": _zero_point(form.b)}
    if form.requantised:
        constants |= {"one": np.array(1.0, dtype=np.float32), "y_zero": _zero_point(form.out)}
        for layer, shift in enumerate(operands.requantising_shifts(workload)):
            constants[f"w{layer}_scale"] = np.array(2.0**-shift, dtype=np.float32)
    return constants


def build(workload: Workload, *, real: bool) -> bytes:
    """The serialized model: input `x`, output `y`, the heavy nodes `heavy0`, `heavy1`, ..."""
    import onnx
    from onnx import helper, numpy_helper

    layers = range(workload.shape.depth)
    initializers = {f"w{layer}": _weights(workload, layer, real=real) for layer in layers}
    initializers |= _constants(workload)
    graph = helper.make_graph(
        [node for layer in layers for node in _layer(workload, layer)],
        workload.kernel,
        [helper.make_tensor_value_info(INPUT, tensor_type(workload.form.a), input_shape(workload))],
        [helper.make_tensor_value_info(OUTPUT, tensor_type(workload.form.out), output_shape(workload))],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    opset, ir_version = _versions(workload)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def digest(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()
