"""The family `ort` before a scripted ONNX Runtime, and the real one."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.devices import ort
from bench.devices.ort import inventory
from bench.terms import Device, Fact, Unavailable


def offer(
    ep: str,
    kind: str,
    *,
    vendor: str = "Intel",
    device_id: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> Any:
    hardware = SimpleNamespace(
        type=SimpleNamespace(name=kind),
        vendor=vendor,
        vendor_id=0x8086 if vendor else 0,
        device_id=device_id,
        metadata=metadata or {},
    )
    return SimpleNamespace(
        ep_name=ep, ep_vendor="Maker", ep_metadata={"version": "2.0"}, ep_options={}, device=hardware
    )


def runtime(*offers: Any, providers: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(
        __file__="/site-packages/onnxruntime/__init__.py",
        __version__="1.31.1",
        get_ep_devices=lambda: list(offers),
        get_available_providers=lambda: list(providers or {each.ep_name: None for each in offers}),
    )


def devices(*offers: Any) -> tuple[Device, ...]:
    return inventory(lambda: runtime(*offers), ["onnxruntime"]).devices


def refusal(
    module: Any = None, *, owners: tuple[str, ...] = ("onnxruntime",), error: Exception | None = None
) -> Unavailable:
    def load() -> Any:
        if error:
            raise error
        return module

    found = inventory(load, owners)
    assert found.devices == ()
    (why,) = found.unavailable
    return why


def fact(device: Device, name: str) -> Fact:
    (found,) = [item for item in device.facts if item.name == name]
    return found


CPU = offer("CPUExecutionProvider", "CPU")
NPU = offer("QNNExecutionProvider", "NPU", vendor="Qualcomm", device_id=0x4D41)


def test_a_device_is_selected_by_provider_type_and_index() -> None:
    assert [item.selector for item in devices(CPU, NPU, NPU)] == [
        "ort:CPUExecutionProvider:CPU:0",
        "ort:QNNExecutionProvider:NPU:0",
        "ort:QNNExecutionProvider:NPU:1",
    ]


def test_the_kind_is_the_hardwares_own_type() -> None:
    assert [item.kind for item in devices(CPU, NPU)] == ["cpu", "npu"]


def test_identity_is_what_the_provider_tells() -> None:
    (device,) = devices(NPU)
    names = ("ep", "ep-vendor", "hardware-type", "hardware-vendor", "device-id", "ep-metadata.version")
    told = [device.fact(name) for name in names]
    assert told == ["QNNExecutionProvider", "Maker", "NPU", "Qualcomm", 0x4D41, "2.0"]


def test_the_hardwares_description_is_its_name() -> None:
    (device,) = devices(offer("E", "NPU", metadata={"Description": "Intel(R) AI Boost"}))
    assert device.name == "Intel(R) AI Boost"


def test_untold_vendor_and_ids_are_absent_with_a_reason() -> None:
    (device,) = devices(offer("E", "NPU", vendor=""))
    assert device.vendor is None
    assert {fact(device, name).reason for name in ("hardware-vendor", "vendor-id", "device-id")} == {
        "not-told"
    }


def test_a_cpu_device_is_the_same_silicon_as_cpu() -> None:
    cpu, npu = devices(CPU, NPU)
    assert (cpu.fact("same-silicon-as"), npu.fact("same-silicon-as")) == ("cpu", None)


@pytest.mark.parametrize("path", ["/home/alice/ep/libqnn.so", r"C:\Users\alice\libqnn.so"])
def test_a_path_in_the_metadata_is_cut_to_its_file_name(path: str) -> None:
    (device,) = devices(offer("E", "NPU", metadata={"library_path": path}))
    assert device.fact("hardware-metadata.library_path") == "libqnn.so"


def test_a_listed_provider_that_offers_no_device_is_named() -> None:
    module = runtime(CPU, providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    (why,) = inventory(lambda: module, ["onnxruntime-gpu"]).unavailable
    assert (why.subject, why.code) == ("ort:CUDAExecutionProvider", "no-ep-device")


def test_missing_onnxruntime_comes_with_the_install_command() -> None:
    why = refusal(error=ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime"))
    assert (why.subject, why.code) == ("ort", "no-onnxruntime")
    assert "pip install 'compute-evidence[measure]'" in why.detail


def test_onnxruntime_that_does_not_import_is_quoted() -> None:
    why = refusal(error=ImportError("libcudart.so.12: cannot open shared object file"))
    assert (why.code, "libcudart.so.12" in why.detail) == ("broken-onnxruntime", True)


def test_two_distributions_in_one_folder_are_refused_with_the_mending_commands() -> None:
    why = refusal(owners=("onnxruntime", "onnxruntime-gpu"), error=AssertionError("must not be imported"))
    assert why.code == "two-onnxruntimes"
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in why.detail
    assert "pip install onnxruntime-gpu" in why.detail


def test_two_distributions_are_found_by_the_folder_they_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime_gpu", "onnxruntime_openvino"):
        folder = tmp_path / f"{name}-1.24.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.24.0\n"
        )
        (folder / "RECORD").write_text("onnxruntime/__init__.py,,\nonnxruntime/capi/__init__.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    (why,) = ort.FAMILY.look().unavailable
    assert why.code == "two-onnxruntimes"
    assert "onnxruntime-gpu" in why.detail
    assert "onnxruntime-openvino" in why.detail


def test_the_hollow_folder_that_an_uninstall_leaves_is_refused() -> None:
    assert refusal(SimpleNamespace(__file__=None)).code == "hollow-onnxruntime"


def test_onnxruntime_before_devices_existed_is_refused() -> None:
    assert refusal(SimpleNamespace(__file__="x", __version__="1.18.0")).code == "old-onnxruntime"


def test_what_the_import_writes_below_python_is_kept_and_quoted(capfd: pytest.CaptureFixture[str]) -> None:
    def load() -> Any:
        os.write(2, b"cannot read card0\n")
        return runtime(CPU, providers=("CUDAExecutionProvider",))

    (why,) = inventory(load, ["onnxruntime"]).unavailable
    os.write(2, b"heard again\n")
    assert why.detail.endswith("onnxruntime said: cannot read card0")
    assert capfd.readouterr() == ("", "heard again\n")


def test_looking_at_this_machine_prints_nothing() -> None:
    look = [sys.executable, "-W", "error", "-c", "from bench.devices import ort; ort.FAMILY.look()"]
    done = subprocess.run(look, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_real_cpu_provider_is_a_device_here() -> None:
    found = ort.FAMILY.look()
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    (device,) = [item for item in found.devices if item.selector == "ort:CPUExecutionProvider:CPU:0"]
    assert (device.kind, device.fact("same-silicon-as")) == ("cpu", "cpu")
