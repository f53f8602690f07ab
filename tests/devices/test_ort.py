"""The family `ort` before a scripted ONNX Runtime, and the real one."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.devices import cpu, ort
from bench.devices.ep_libraries import Library
from bench.devices.family import Inventory
from bench.devices.ort import Host
from bench.errors import CannotMeasure, UsageError
from bench.terms import Device, Fact, Unavailable

THREADS = Fact(name="threads-usable", value=2, source="scripted")


def offer(
    ep: str,
    kind: str,
    *,
    vendor: str = "Intel",
    device_id: int = 0,
    metadata: Mapping[str, str] | None = None,
    ep_metadata: Mapping[str, str] | None = None,
    ep_options: Mapping[str, str] | None = None,
) -> Any:
    hardware = SimpleNamespace(
        type=SimpleNamespace(name=kind),
        vendor=vendor,
        vendor_id=0x8086 if vendor else 0,
        device_id=device_id,
        metadata=metadata or {},
    )
    return SimpleNamespace(
        ep_name=ep,
        ep_vendor="Maker",
        ep_metadata={"version": "2.0", **(ep_metadata or {})},
        ep_options=ep_options or {},
        device=hardware,
    )


class Scripted(SimpleNamespace):
    """Told apart by identity, as modules are."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def runtime(*offers: Any, providers: tuple[str, ...] = ()) -> Any:
    return Scripted(
        __file__="/site-packages/onnxruntime/__init__.py",
        __version__="1.31.1",
        get_ep_devices=lambda: list(offers),
        get_available_providers=lambda: list(providers or {each.ep_name: None for each in offers}),
    )


def look(
    load: Any,
    owners: tuple[str, ...] = ("onnxruntime",),
    plugins: tuple[Library | Unavailable, ...] = (),
    processor: str = "x86_64",
) -> Inventory:
    return ort.inventory(load, owners, plugins, Host(processor=processor, facts=(THREADS,)))


def devices(*offers: Any) -> tuple[Device, ...]:
    return look(lambda: runtime(*offers)).devices


def refusal(
    module: Any = None, *, owners: tuple[str, ...] = ("onnxruntime",), error: Exception | None = None
) -> Unavailable:
    def load() -> Any:
        if error:
            raise error
        return module

    found = look(load, owners)
    assert found.devices == ()
    (why,) = found.unavailable
    return why


def fact(device: Device, name: str) -> Fact:
    (found,) = [item for item in device.facts if item.name == name]
    return found


CPU = offer("CPUExecutionProvider", "CPU")
NPU = offer("QNNExecutionProvider", "NPU", vendor="Qualcomm", device_id=0x4D41)
QNN_ON_CPU = offer("QNNExecutionProvider", "CPU")
OPENVINO = offer("OpenVINOExecutionProvider", "CPU", ep_metadata={"FULL_DEVICE_NAME": "A Xeon"})


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
    (why,) = look(lambda: module, ("onnxruntime-gpu",)).unavailable
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

    (why,) = look(load).unavailable
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


def test_a_cpu_device_has_the_threads_of_the_processor() -> None:
    cpu, npu = devices(CPU, NPU)
    assert (cpu.fact("threads-usable"), npu.fact("threads-usable")) == (2, None)


def test_the_simulator_of_an_npu_is_named_as_one_and_is_no_npu() -> None:
    (device,) = devices(QNN_ON_CPU)
    assert (device.kind, device.name) == ("cpu", "Qualcomm HTP host simulator, not an NPU")
    assert (device.fact("simulator"), device.fact("ep-option.backend_type")) == ("htp", "htp")


def test_the_simulator_is_known_by_its_library_under_any_name() -> None:
    library = {"library_path": "/opt/libonnxruntime_providers_qnn.so"}
    (device,) = devices(offer("MyNPU", "CPU", ep_metadata=library))
    assert (device.kind, device.fact("simulator")) == ("cpu", "htp")


def test_real_hardware_of_the_same_provider_is_no_simulator() -> None:
    (device,) = devices(NPU)
    assert (device.kind, device.fact("simulator"), device.fact("ep-option.backend_type")) == (
        "npu",
        None,
        "htp",
    )


def test_what_is_not_known_to_stay_on_its_hardware_is_no_device() -> None:
    found = look(lambda: runtime(CPU, QNN_ON_CPU), processor="aarch64")
    assert [device.selector for device in found.devices] == ["ort:CPUExecutionProvider:CPU:0"]
    (why,) = found.unavailable
    assert (why.subject, why.code) == ("ort:QNNExecutionProvider:CPU:0", "ep-not-kept")


def test_a_provider_that_chooses_among_devices_by_itself_is_no_device() -> None:
    auto = offer(
        "OpenVINOExecutionProvider.AUTO",
        "CPU",
        ep_metadata={
            "ov_meta_device": "AUTO",
            "library_path": "/ep/libonnxruntime_providers_openvino_plugin.so",
        },
    )
    found = look(lambda: runtime(OPENVINO, auto))
    assert [device.selector for device in found.devices] == ["ort:OpenVINOExecutionProvider:CPU:0"]
    (why,) = found.unavailable
    assert (why.subject, why.code) == ("ort:OpenVINOExecutionProvider.AUTO:CPU:0", "ep-shares-out")


def test_the_hardware_has_the_name_that_its_provider_tells() -> None:
    assert [device.name for device in devices(OPENVINO)] == ["A Xeon"]


def test_options_that_the_provider_sets_itself_are_told() -> None:
    (device,) = devices(offer("E", "GPU", ep_options={"device_id": "0"}))
    assert ort.options_of(device) == {"device_id": "0"}


# ---------------------------------------------------------------------------------------- libraries


def with_plugin(tmp_path: Path, *, offers: tuple[Any, ...] = (), error: str = "") -> tuple[Any, Library]:
    """A runtime that offers `offers` once the library is registered, or refuses it with `error`."""
    path = tmp_path / "libonnxruntime_providers_x.so"
    path.write_bytes(b"a library")
    module = runtime(CPU)

    def register(*_: str) -> None:
        os.write(2, b"word from below\n")
        if error:
            raise RuntimeError(error)
        module.get_ep_devices = lambda: [CPU, *offers]

    module.register_execution_provider_library = register
    return module, Library(name="XExecutionProvider", path=path, package="onnxruntime-x 1.2")


def test_a_plugins_device_tells_its_package_and_the_digest_of_its_library(tmp_path: Path) -> None:
    path = str(tmp_path / "libonnxruntime_providers_x.so")
    npu = offer("XExecutionProvider", "NPU", ep_metadata={"library_path": path})
    module, plugin = with_plugin(tmp_path, offers=(npu,))
    cpu, device = look(lambda: module, plugins=(plugin,)).devices
    assert device.fact("ep-package") == "onnxruntime-x 1.2"
    assert device.fact("ep-library-sha256") == hashlib.sha256(b"a library").hexdigest()
    assert (cpu.fact("ep-package"), cpu.fact("ep-library-sha256")) == ("onnxruntime 1.31.1", None)


def test_a_plugin_that_does_not_load_is_quoted_with_what_it_said(tmp_path: Path) -> None:
    module, plugin = with_plugin(tmp_path, error="undefined symbol: CreateEpFactories")
    (why,) = look(lambda: module, plugins=(plugin,)).unavailable
    assert (why.subject, why.code) == ("ort:XExecutionProvider", "ep-library-fails")
    assert why.detail == (
        "libonnxruntime_providers_x.so: undefined symbol: CreateEpFactories | word from below"
    )


def test_a_plugin_without_a_device_is_named_with_what_it_said(tmp_path: Path) -> None:
    module, plugin = with_plugin(tmp_path)
    for _ in range(2):
        (why,) = look(lambda: module, plugins=(plugin,)).unavailable
        assert (why.subject, why.code) == ("ort:XExecutionProvider", "no-ep-device")
        assert why.detail.endswith("onnxruntime said: word from below")


def test_a_plugin_that_names_no_library_is_named() -> None:
    broken = Unavailable(subject="ort:onnxruntime_x", code="ep-plugin-broken", detail="no file")
    assert look(lambda: runtime(CPU), plugins=(broken,)).unavailable == (broken,)


# ------------------------------------------------------------------------------------------ options


def test_a_typed_option_takes_the_place_of_the_profiles() -> None:
    (device,) = ort.with_options(devices(NPU), ["htp_performance_mode=burst", "backend_type=htp", "new=1"])
    assert ort.options_of(device) == {"htp_performance_mode": "burst", "backend_type": "htp", "new": "1"}
    assert {fact(device, f"ep-option.{key}").source for key in ort.options_of(device)} == {"--ep-option"}


def test_an_option_is_for_the_providers_devices_alone() -> None:
    cuda = Device(selector="cuda:0", family="cuda", kind="gpu", name="A card", vendor=None, facts=())
    first, second, third = ort.with_options([cuda, *devices(NPU, NPU)], ["soc_model=60"])
    assert first == cuda
    assert [device.fact("ep-option.soc_model") for device in (second, third)] == ["60", "60"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backend_type"], "'backend_type' is not understood: expected KEY=VALUE"),
        (["=htp"], "'=htp' is not understood: expected KEY=VALUE"),
        (["a=1", "a=2"], "names 'a' twice"),
        (["backend_type=nonsense"], "backend_type=nonsense is not known .* type NPU: expected htp"),
        (
            ["htp_performance_mode=fast"],
            "htp_performance_mode=fast is not known .* expected default or burst",
        ),
        (["backend_path=libQnnHtp.so"], "is refused for QNNExecutionProvider: .* type backend_type"),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ort.with_options(devices(NPU), words)


def test_openvinos_own_choice_of_a_device_is_refused() -> None:
    for value in ("AUTO", "HETERO:NPU,CPU", "MULTI:CPU", "CPU"):
        with pytest.raises(UsageError, match="the device that --device names decides it"):
            ort.with_options(devices(OPENVINO), [f"device_type={value}"])


@pytest.mark.parametrize(("offers", "got"), [((), "got none"), ((CPU, NPU), "got CPUEx.*, QNNEx")])
def test_an_option_without_one_provider_is_refused(offers: tuple[Any, ...], got: str) -> None:
    with pytest.raises(UsageError, match=got):
        ort.with_options(devices(*offers) if offers else [], ["a=1"])


# ------------------------------------------------------------------------------- the real runtime


@pytest.fixture
def cpu_provider() -> Device:
    found = ort.FAMILY.look()
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    return next(item for item in found.devices if item.selector == "ort:CPUExecutionProvider:CPU:0")


def test_a_session_is_made_on_the_device_itself(cpu_provider: Device) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    helper = pytest.importorskip("onnx.helper")
    value = [helper.make_tensor_value_info(name, 1, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    # The kernels' own: all sessions of a process share one pool of threads, once there is one.
    options = import_module("bench.kernels._ort").session_options(cpu.threads_here())
    ort.add_to(options, cpu_provider)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, enable_fallback=0)
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_a_device_that_is_gone_is_refused_with_what_there_is(cpu_provider: Device) -> None:
    gone = replace(cpu_provider, selector="ort:CPUExecutionProvider:CPU:7")
    with pytest.raises(CannotMeasure, match=r"CPU:7 is no longer offered .* ort:CPUExecutionProvider:CPU:0"):
        ort.add_to(None, gone)


@pytest.mark.usefixtures("cpu_provider")
def test_a_named_file_that_is_no_library_is_refused_in_onnxruntimes_words(tmp_path: Path) -> None:
    file = tmp_path / "x.so"
    file.write_bytes(b"no library")
    with pytest.raises(CannotMeasure, match=r"--ep-library X: ONNX Runtime refuses it: x\.so: .*x\.so"):
        ort.name_libraries([f"X={file}"])
