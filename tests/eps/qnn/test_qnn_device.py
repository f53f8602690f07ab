"""Qualcomm's plugin as a device: what computes on x86-64 is a simulator, and is called one everywhere."""

import sysconfig
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from program import Program, one_line

from bench.devices import ort
from bench.terms import Device

LIBRARY = Path(sysconfig.get_path("purelib")) / "onnxruntime_qnn" / "libonnxruntime_providers_qnn.so"


def test_the_simulator_is_a_host_simulator_and_not_an_npu(device: Device) -> None:
    assert device.selector == "ort:QNNExecutionProvider:CPU:0"
    assert (device.kind, device.name) == ("cpu", "Qualcomm HTP host simulator, not an NPU")
    assert (device.fact("simulator"), device.fact("hardware-type")) == ("htp", "CPU")


def test_it_tells_the_plugin_that_it_is(device: Device) -> None:
    assert device.fact("ep-package") == f"onnxruntime-qnn {version('onnxruntime-qnn')}"
    assert device.fact("ep-metadata.library_path") == LIBRARY.name
    assert len(str(device.fact("ep-library-sha256"))) == 64


def test_a_session_on_it_has_every_node_there(device: Device, session: Callable[[Device], Any]) -> None:
    made = session(device)
    took = {part.ep_name: len(part.get_nodes()) for part in made.get_provider_graph_assignment_info()}
    assert took == {"QNNExecutionProvider": 1}


def test_the_simulator_computes_the_product(
    device: Device, session: Callable[[Device], Any], product: bytes
) -> None:
    x = np.random.default_rng(6).standard_normal((8, 64)).astype(np.float32)
    (ours,) = session(device).run(None, {"x": x})
    (exact,) = ReferenceEvaluator(onnx.load_from_string(product)).run(None, {"x": x})
    # An HTP may compute floats in fp16 whatever the graph says, with a mantissa of 10 bits.
    assert np.linalg.norm(ours - exact) < 2.0**-9 * np.linalg.norm(exact)


def test_options_that_were_typed_are_in_force(device: Device, session: Callable[[Device], Any]) -> None:
    (typed,) = ort.with_options([device], ["htp_performance_mode=burst"])
    assert session(typed).get_provider_options()["QNNExecutionProvider"] == {
        "backend_type": "htp",
        "htp_performance_mode": "burst",
    }


@pytest.mark.parametrize(
    "option",
    ["backend_type=nonsense", "backend_type=cpu", "htp_performance_mode=fast", "backend_path=x", "k"],
)
def test_an_option_that_would_be_passed_over_is_refused(bench: Program, option: str) -> None:
    said = bench("run", "--quick", "--device", "ort:QNNExecutionProvider", "--ep-option", option)
    assert (said.code, said.out) == (2, "")
    assert option in one_line(said.err)


@pytest.mark.parametrize("hardware", ["NPU", "GPU"])
def test_hardware_that_is_not_here_is_no_device(bench: Program, hardware: str) -> None:
    said = bench("run", "--quick", "--device", f"ort:QNNExecutionProvider:{hardware}")
    assert (said.code, said.out) == (2, "")
    assert "ort:QNNExecutionProvider:CPU:0" in one_line(said.err)


def test_a_library_under_another_name_is_the_same_simulator(bench: Program) -> None:
    said = bench("devices", "--json", "--ep-library", f"MyNPU={LIBRARY}")
    assert (said.code, said.err) == (0, "")
    devices = [device for family in said.json for device in family["devices"]]
    (mine,) = [device for device in devices if device["selector"].startswith("ort:MyNPU")]
    assert (mine["selector"], mine["kind"]) == ("ort:MyNPU:CPU:0", "cpu")
    assert mine["name"] == "Qualcomm HTP host simulator, not an NPU"


def test_a_named_library_takes_the_place_of_the_installed_one(bench: Program) -> None:
    said = bench("devices", "--ep-library", f"QNNExecutionProvider={LIBRARY}")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("Qualcomm HTP host simulator, not an NPU") == 1
    assert "ort:QNNExecutionProvider  unavailable" not in said.out


@pytest.mark.parametrize(
    ("library", "code", "words"),
    [
        ("MyNPU", 2, "expected NAME=PATH"),
        ("MyNPU=/no/such/file.so", 2, "there is no file"),
        (f"MyNPU={__file__}", 3, "ONNX Runtime refuses it"),
        (f"MyNPU={LIBRARY.with_name('libQnnSystem.so')}", 3, "undefined symbol: CreateEpFactories"),
        (f"CPUExecutionProvider={LIBRARY}", 3, "already registered"),
    ],
)
def test_a_library_that_is_none_is_refused(bench: Program, library: str, code: int, words: str) -> None:
    said = bench("devices", "--ep-library", library)
    assert (said.code, said.out) == (code, "")
    assert words in one_line(said.err)


def test_the_devices_are_listed_without_torch(bench: Program) -> None:
    said = bench("devices")
    assert (said.code, said.err) == (0, "")
    assert "ort:QNNExecutionProvider:CPU:0  Qualcomm HTP host simulator, not an NPU" in said.out


def test_evidence_is_verified_without_torch(bench: Program) -> None:
    assert bench("verify", "--help").code == 0
