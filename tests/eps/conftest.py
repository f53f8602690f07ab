"""What tests on real execution providers share; each folder has an environment of its own: make test-eps."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from bench.devices import cpu, ort
from bench.devices.family import Inventory, select
from bench.terms import Device

Session = Callable[[Device], Any]
KERNELS = import_module("bench.kernels._ort")


@pytest.fixture(scope="session")
def offered() -> Inventory:
    """Everything that ONNX Runtime offers in this environment."""
    return ort.FAMILY.look()


@pytest.fixture(scope="session")
def device(offered: Inventory, provider: str) -> Device:
    """The one device of the environment's provider; its folder's conftest names the `provider`."""
    (found,) = select([f"ort:{provider}"], [offered])
    return found


@pytest.fixture(scope="session")
def product() -> bytes:
    """x (8, 64) by distinct random weights (64, 64) in fp32: a node that every provider takes."""
    weights = np.random.default_rng(5).standard_normal((64, 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="heavy")],
        "product",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [8, 64])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [8, 64])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def session(product: bytes) -> Session:
    """Makes a session of the product on a device that cannot fall back to another one."""

    def make(device: Device) -> Any:
        # The kernels' own, whose sessions share one pool of threads in this process.
        options = KERNELS.session_options(cpu.threads_here())
        if device.fact("ep") != "CPUExecutionProvider":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        ort.add_to(options, device)
        return onnxruntime.InferenceSession(product, options, enable_fallback=0)

    return make
