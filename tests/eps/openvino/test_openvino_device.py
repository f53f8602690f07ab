"""OpenVINO's provider as a device: found inside its build of ONNX Runtime, and kept on what it names."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from program import Program, one_line

from bench.devices import ort
from bench.devices.family import Inventory
from bench.errors import CannotMeasure
from bench.terms import Device


def test_the_processor_is_offered_as_a_processor(device: Device) -> None:
    assert device.selector == "ort:OpenVINOExecutionProvider:CPU:0"
    assert (device.kind, device.fact("hardware-type"), device.fact("same-silicon-as")) == (
        "cpu",
        "CPU",
        "cpu",
    )
    assert device.fact("threads-usable") is not None


def test_it_tells_the_distribution_and_the_library_that_it_is(device: Device) -> None:
    assert device.fact("ep-package") == f"onnxruntime-openvino {version('onnxruntime-openvino')}"
    assert device.fact("ep-metadata.library_path") == "libonnxruntime_providers_openvino.so"
    assert len(str(device.fact("ep-library-sha256"))) == 64


def test_its_own_choice_among_devices_is_none_that_can_be_measured(offered: Inventory) -> None:
    (why,) = [each for each in offered.unavailable if each.code == "ep-shares-out"]
    assert why.subject == "ort:OpenVINOExecutionProvider.AUTO:CPU:0"


def test_a_session_on_it_has_every_node_there(device: Device, session: Callable[[Device], Any]) -> None:
    made = session(device)
    took = {part.ep_name: len(part.get_nodes()) for part in made.get_provider_graph_assignment_info()}
    assert took == {"OpenVINOExecutionProvider": 1}


def test_it_computes_what_the_processors_own_provider_does(
    device: Device, offered: Inventory, session: Callable[[Device], Any]
) -> None:
    (processor,) = [each for each in offered.devices if each.fact("ep") == "CPUExecutionProvider"]
    x = np.random.default_rng(6).standard_normal((8, 64)).astype(np.float32)
    (ours,), (theirs,) = (session(each).run(None, {"x": x}) for each in (device, processor))
    # 64 products of order one in fp32: 64 * 2^-24 of the sum of their magnitudes, which is below 64.
    assert np.abs(ours - theirs).max() < 64 * 64 * 2.0**-24


def test_an_option_that_the_provider_has_reaches_it(device: Device, session: Callable[[Device], Any]) -> None:
    (typed,) = ort.with_options([device], ["no_such_option=1"])
    with pytest.raises(Exception, match="no_such_option"):
        session(typed)


@pytest.mark.parametrize("value", ["AUTO", "HETERO:CPU", "MULTI:CPU", "NPU", "CPU"])
def test_the_type_of_device_is_named_by_the_device_alone(bench: Program, value: str) -> None:
    said = bench(
        *("run", "--quick", "--device", "ort:OpenVINOExecutionProvider"),
        *("--ep-option", f"device_type={value}"),
    )
    assert (said.code, said.out) == (2, "")
    assert f"device_type={value} is refused for OpenVINOExecutionProvider" in one_line(said.err)


@pytest.mark.parametrize("hardware", ["NPU", "GPU"])
def test_hardware_that_is_not_here_is_no_device(bench: Program, hardware: str) -> None:
    said = bench("run", "--quick", "--device", f"ort:OpenVINOExecutionProvider:{hardware}")
    assert (said.code, said.out) == (2, "")
    assert "ort:OpenVINOExecutionProvider:CPU:0" in one_line(said.err)


def test_a_device_that_another_build_offers_is_refused(session: Callable[[Device], Any]) -> None:
    elsewhere = Device(
        selector="ort:QNNExecutionProvider:NPU:0",
        family="ort",
        kind="npu",
        name="An NPU",
        vendor=None,
        facts=(),
    )
    with pytest.raises(CannotMeasure, match="is no longer offered"):
        session(elsewhere)


def test_the_devices_are_listed_without_torch(bench: Program) -> None:
    said = bench("devices")
    assert (said.code, said.err) == (0, "")
    assert "ort:OpenVINOExecutionProvider:CPU:0" in said.out
    assert (
        "ort:OpenVINOExecutionProvider.AUTO:CPU:0  unavailable: the work could leave the device" in said.out
    )


def test_evidence_is_verified_without_torch(bench: Program) -> None:
    assert bench("verify", "--help").code == 0
