"""What people type to time a GEMM or a convolution, one peer per call, library and shape.

torch is timed by torch.utils.benchmark, the others by a plain loop. Every rate is a mean, as the harness's
is. Nothing here knows how the harness measures; only the operation count of a shape is shared.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.terms import ConvShape, GemmShape, Operation, Shape
from bench.workload import opcount

# What people type: cubes, and the 3 x 3 layers of ResNet-50 at a batch of 8.
CUBES = tuple(GemmShape(m=n, n=n, k=n) for n in (512, 1024, 2048))
LAYERS = tuple(
    ConvShape(batch=8, channels=c, filters=c, height=size, width=size, kernel=3, padding=1)
    for c, size in ((64, 56), (128, 28), (256, 14))
)
TYPED: dict[Operation, tuple[Shape, ...]] = {"gemm": CUBES, "conv": LAYERS}

_ONNX_OPSET, _IR_VERSION = 17, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One call at one shape. `rate(seconds)` calls it for about so long and returns its mean op/s."""

    call: str
    shape: Shape
    rate: Callable[[float], float]

    @property
    def name(self) -> str:
        return f"{self.call} {words(self.shape)}"


def words(shape: Shape) -> str:
    if isinstance(shape, GemmShape):
        return f"{shape.m}x{shape.n}x{shape.k}"
    channels = f"n{shape.batch} c{shape.channels} f{shape.filters}"
    return f"{channels} {shape.height}x{shape.width} k{shape.kernel} p{shape.padding}"


def peers(operation: Operation, precision: str, shape: Shape, threads: int) -> Iterator[Peer]:
    """Every peer that computes a precision, at one shape."""
    rng = np.random.default_rng(1)
    if isinstance(shape, GemmShape):
        yield from _torch_gemm(precision, shape, rng, threads)
        yield from _numpy_gemm(precision, shape, rng)
    else:
        yield from _torch_conv(precision, shape, rng, threads)
    yield from _onnxruntime(operation, precision, shape, rng)


def _loop(call: Callable[[], object], shape: Shape) -> Callable[[float], float]:
    """A plain loop around a call, at least once."""
    ops = opcount.ops(shape)

    def rate(seconds: float) -> float:
        launches, begun, elapsed = 0, time.perf_counter(), 0.0
        while elapsed < seconds:
            call()
            launches += 1
            elapsed = time.perf_counter() - begun
        return ops * launches / elapsed

    return rate


# --------------------------------------------------------------------------------------------- torch

_TORCH = {"fp64": "float64", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def _timer(statement: str, names: dict[str, Any], shape: Shape, threads: int) -> Callable[[float], float]:
    """torch.utils.benchmark's own timer: the mean time of a run over blocks that it sizes itself."""
    from torch.utils.benchmark import Timer

    timer, ops = Timer(statement, globals=names, num_threads=threads), opcount.ops(shape)
    return lambda seconds: ops / timer.blocked_autorange(min_run_time=seconds).mean


def _tensor(array: np.ndarray, precision: str) -> Any:
    import torch

    found = torch.from_numpy(array)
    return found if precision == "int8" else found.to(getattr(torch, _TORCH[precision]))


def _values(rng: np.random.Generator, precision: str, *size: int) -> np.ndarray:
    if precision == "int8":
        return rng.integers(-127, 128, size, dtype=np.int8)
    return rng.uniform(-0.5, 0.5, size)


def _torch_gemm(precision: str, shape: GemmShape, rng: np.random.Generator, threads: int) -> Iterator[Peer]:
    """torch.mm, and the same into an output that is there already; torch._int_mm."""
    import torch

    a = _tensor(_values(rng, precision, shape.m, shape.k), precision)
    b = _tensor(_values(rng, precision, shape.k, shape.n), precision)
    product = torch._int_mm if precision == "int8" else torch.mm
    kind = torch.int32 if precision == "int8" else a.dtype
    names = {"mm": product, "a": a, "b": b, "out": torch.empty((shape.m, shape.n), dtype=kind)}
    called = "torch._int_mm" if precision == "int8" else "torch.mm"
    for name, statement in ((called, "mm(a, b)"), (f"{called}(out=)", "mm(a, b, out=out)")):
        yield Peer(call=name, shape=shape, rate=_timer(statement, names, shape, threads))


def _torch_conv(precision: str, shape: ConvShape, rng: np.random.Generator, threads: int) -> Iterator[Peer]:
    """conv2d as people call it, with images and weights as they come and in channels-last order."""
    if precision not in _TORCH:
        return
    import torch

    x, w = (_tensor(_values(rng, precision, *size), precision) for size in _conv_sizes(shape))
    for name, order in (("conv2d", torch.contiguous_format), ("conv2d(channels-last)", torch.channels_last)):
        names = {
            "conv2d": torch.nn.functional.conv2d,
            "x": x.contiguous(memory_format=order),
            "w": w.contiguous(memory_format=order),
            "p": shape.padding,
        }
        rate = _timer("conv2d(x, w, padding=p)", names, shape, threads)
        yield Peer(call=f"torch {name}", shape=shape, rate=rate)


def _conv_sizes(shape: ConvShape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    images = (shape.batch, shape.channels, shape.height, shape.width)
    return images, (shape.filters, shape.channels, shape.kernel, shape.kernel)


# --------------------------------------------------------------------------------------------- numpy


def _numpy_gemm(precision: str, shape: GemmShape, rng: np.random.Generator) -> Iterator[Peer]:
    """a @ b, which is OpenBLAS; numpy multiplies matrices of other types without a BLAS."""
    if precision not in ("fp64", "fp32"):
        return
    kind = np.dtype(_TORCH[precision])
    a = _values(rng, precision, shape.m, shape.k).astype(kind)
    b = _values(rng, precision, shape.k, shape.n).astype(kind)
    yield Peer(call="numpy a @ b", shape=shape, rate=_loop(lambda: a @ b, shape))


# --------------------------------------------------------------------------------------- onnxruntime

# The node, its inputs and the type of its output, by operation and whether it computes on integers.
_NODES: dict[tuple[Operation, bool], tuple[str, tuple[str, ...], type | None]] = {
    ("gemm", False): ("MatMul", ("x", "w"), None),
    ("gemm", True): ("MatMulInteger", ("x", "w", "x_zero"), np.int32),
    ("conv", False): ("Conv", ("x", "w"), None),
    ("conv", True): (
        "QLinearConv",
        ("x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"),
        np.uint8,
    ),
}
_CONSTANTS = {
    "x_scale": np.float32(1),
    "x_zero": np.uint8(128),
    "w_scale": np.float32(1),
    "w_zero": np.int8(0),
    # Sums of about a thousand products of 127 by 127 come back into 8 bits.
    "y_scale": np.float32(2**14),
    "y_zero": np.uint8(128),
}
_FLOATING = (("gemm", "fp64"), ("gemm", "fp32"), ("conv", "fp32"))


def _onnxruntime(
    operation: Operation, precision: str, shape: Shape, rng: np.random.Generator
) -> Iterator[Peer]:
    """session.run in a loop: MatMul, MatMulInteger u8 s8, Conv, QLinearConv u8 s8."""
    if precision != "int8" and (operation, precision) not in _FLOATING:
        return
    left, right = (
        ((shape.m, shape.k), (shape.k, shape.n)) if isinstance(shape, GemmShape) else _conv_sizes(shape)
    )
    if precision == "int8":
        x, w = rng.integers(1, 256, left, dtype=np.uint8), _values(rng, precision, *right)
    else:
        x, w = (_values(rng, precision, *size).astype(_TORCH[precision]) for size in (left, right))
    node, session = _session(operation, shape, x, w)
    rate = _loop(lambda: session.run(None, {"x": x}), shape)
    yield Peer(call=f"onnxruntime {node}", shape=shape, rate=rate)


def _session(operation: Operation, shape: Shape, x: np.ndarray, w: np.ndarray) -> tuple[str, Any]:
    """A session of one node with a constant weight, on the process's one pool of threads."""
    import onnxruntime
    from onnx import helper, numpy_helper

    node, inputs, out = _NODES[operation, x.dtype == np.uint8]
    attributes: dict[str, Any] = {}
    if isinstance(shape, ConvShape):
        attributes = {"kernel_shape": [shape.kernel] * 2, "pads": [shape.padding] * 4}

    def value(name: str, kind: Any, size: list[int]) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), size)

    graph = helper.make_graph(
        [helper.make_node(node, inputs, ["y"], **attributes)],
        "peer",
        [value("x", x.dtype, list(x.shape))],
        [value("y", out or x.dtype, _output_size(shape))],
        [
            numpy_helper.from_array(w if name == "w" else np.asarray(_CONSTANTS[name]), name)
            for name in inputs[1:]
        ],
    )
    opset = helper.make_opsetid("", _ONNX_OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    return node, onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _output_size(shape: Shape) -> list[int]:
    if isinstance(shape, GemmShape):
        return [shape.m, shape.n]
    return [shape.batch, shape.filters, shape.out_height, shape.out_width]


# -------------------------------------------------------------------------------------------- triton


def do_bench_rates(precision: str) -> dict[str, float] | str:
    """torch.mm on the CUDA device by triton.testing.do_bench, op/s per shape, or why it cannot be had.

    do_bench times one launch at a time behind an emptied L2 cache.
    """
    import torch

    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    if find_spec("triton") is None:
        return "triton is not installed"
    from triton.testing import do_bench

    rng, rates = np.random.default_rng(1), {}
    product = torch._int_mm if precision == "int8" else torch.mm
    for cube in CUBES:
        a, b = (_tensor(_values(rng, precision, cube.m, cube.k), precision).cuda() for _ in range(2))
        milliseconds = do_bench(lambda a=a, b=b: product(a, b), return_mode="mean")
        rates[words(cube)] = opcount.ops(cube) / milliseconds * 1e3
    return rates
