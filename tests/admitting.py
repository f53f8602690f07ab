"""One row of a real run through an execution provider: opened, not visited; and graphs that are not what
they are sold as.
"""

from collections.abc import Callable
from importlib import import_module
from itertools import chain

import numpy as np
import pytest
from onnx import ModelProto, helper, load_from_string, numpy_helper

from bench.devices.clock import HostClock
from bench.judge import findings
from bench.measure import stopping
from bench.measure.loop import Loop
from bench.measure.row import Row
from bench.terms import Device, Finding, Shape, Telemetry, Workload
from bench.workload import operands, registry

GRAPHS = import_module("bench.kernels._ort_graph")
BUILD: Callable[..., bytes] = GRAPHS.build

NOTHING_READ = Telemetry(origin_unix_us=0, period_ns=1, readings=(), sensors=(), meter=None)


class Silent:
    """Nobody watches."""

    def phase(self, row: Row, phase: str, visit: int) -> None:
        pass

    def rate(self, row: Row, ops_per_s: float) -> None:
        pass


def row_of(device: Device, kernel: str, form: str, shape: Shape) -> Row:
    """The row of a form ("int8/QDQ-u8s8") at this one shape."""
    found = registry.kernel(kernel)
    chosen = next(each for each in found.forms if f"{each.precision}/{each.name}" == form)
    workload = Workload(
        device=device.selector,
        kernel=kernel,
        backend=found.backend,
        operation=found.operation,
        form=chosen,
        shape=shape,
        seed="5e" * 32,
    )
    threads = device.fact("threads-usable")
    return Row(
        workload=workload,
        kernel=found,
        ladder=(shape,),
        device=device,
        threads=threads if isinstance(threads, int) else 1,
    )


def opened(row: Row) -> Row:
    """Everything that comes before the visits has been done with it."""
    loop = Loop(
        clock=HostClock(),
        schedule=stopping.schedule(1, 5.0, quick=True, hold_s=0.0),
        room=1 << 34,
        progress=Silent(),
        after_visit=lambda _: None,
    )
    loop.open([row])
    row.close()
    return row


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only the outputs would show passes: for what else shows it."""
    monkeypatch.setattr("bench.measure.row.check", lambda _: None)


def told(row: Row) -> dict[str, Finding]:
    """What is found out about an opened row, by code."""
    return {each.code: each for each in findings.of_row(row.measurement(), row.device, NOTHING_READ)}


# --------------------------------------------------------------------------------------- graphs that lie


def folded(workload: Workload, *, real: bool) -> bytes:
    """The whole product of constants, which any compiler folds; the activation comes in at the end only."""
    model = load_from_string(BUILD(workload, real=real))
    first = operands.offsets(workload)[0]
    pool = operands.pool(workload, "a", real=real)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    constant = pool[first : first + int(np.prod(shape)) // pool.shape[1]].reshape(shape)
    model.graph.initializer.append(numpy_helper.from_array(constant, "x_constant"))
    for node in model.graph.node:
        node.input[:] = ["x_constant" if name == "x" else name for name in node.input]
        node.output[:] = ["y_constant" if name == "y" else name for name in node.output]
    # One element of the input, times nothing: it is an input that is used.
    ends = [np.array([value], dtype=np.int64) for value in ([0] * len(shape), [1] * len(shape))]
    for name, value in zip(("starts", "ends"), ends, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(value.reshape(-1), name))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, dtype=constant.dtype), "nothing"))
    model.graph.node.extend(
        [
            helper.make_node("Slice", ["x", "starts", "ends"], ["x_corner"], name="corner"),
            helper.make_node("Mul", ["x_corner", "nothing"], ["x_nothing"], name="times_nothing"),
            helper.make_node("Add", ["y_constant", "x_nothing"], ["y"], name="end"),
        ]
    )
    return model.SerializeToString()


def dequantised(workload: Workload, *, real: bool) -> bytes:
    """A QDQ form whose weights were made floating point beforehand: int8 goes in and comes out."""
    model = load_from_string(BUILD(workload, real=real))
    scales = {
        each.name: float(numpy_helper.to_array(each))
        for each in model.graph.initializer
        if each.name.endswith("_scale")
    }
    for each in model.graph.initializer:
        if f"{each.name}_scale" in scales:
            values = numpy_helper.to_array(each).astype(np.float32) * np.float32(scales[f"{each.name}_scale"])
            each.CopyFrom(numpy_helper.from_array(values, f"{each.name}_real"))
    kept = [node for node in model.graph.node if not node.name.startswith("w")]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    _drop_unused(model)
    return model.SerializeToString()


def with_a_stranger(operator: str) -> Callable[..., bytes]:
    """The form's graph with one node more, of an operator that a provider may not take."""

    def build(workload: Workload, *, real: bool) -> bytes:
        model = load_from_string(BUILD(workload, real=real))
        for node in model.graph.node:
            node.output[:] = ["y_before" if name == "y" else name for name in node.output]
        model.graph.node.append(helper.make_node(operator, ["y_before"], ["y"], name="stranger"))
        return model.SerializeToString()

    return build


def _drop_unused(model: ModelProto) -> None:
    used = {*chain.from_iterable(node.input for node in model.graph.node)}
    kept = [each for each in model.graph.initializer if each.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
