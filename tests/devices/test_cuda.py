"""The family `cuda` before a recorded NVML and torch, and the real ones where there are some."""

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pynvml
import pytest
from recorded_nvml import RecordedNvml, RecordedTorch, readings, record

from bench.devices import cuda, torch_view
from bench.devices.cuda_telemetry import GAUGES
from bench.devices.family import Inventory, select
from bench.devices.nvml import INSTANCE_QUESTIONS, QUESTIONS, REASONS
from bench.devices.torch_view import Seen, TorchView
from bench.errors import CannotMeasure
from bench.terms import Device, Fact, Unavailable

H100 = readings("h100-sxm.json")
UUID = "GPU-11111111-2222-3333-4444-555555555555"
ScriptedNvml = partial(RecordedNvml, H100)
NOWHERE = Path("/nowhere")


def inventory(nvml: Any, *, torch: Any = None, environ: Mapping[str, str] | None = None) -> Inventory:
    told = getattr(nvml, "told", H100)
    return cuda.inventory(nvml, torch or RecordedTorch(told), environ or {}, NOWHERE)


def only_device(nvml: RecordedNvml) -> Device:
    (device,) = inventory(nvml).devices
    return device


def fact(device: Device, name: str) -> Fact:
    (found,) = [item for item in device.facts if item.name == name]
    return found


def several(count: int) -> dict[str, Any]:
    """So many H100, which torch lists as NVML does."""
    gpus = [{**H100["gpus"][0], "nvmlDeviceGetUUID": f"GPU-{index}"} for index in range(count)]
    (seen,) = H100["torch"]["devices"]
    devices = [{**seen, "uuid": str(index)} for index in range(count)]
    return {**H100, "gpus": gpus, "torch": {**H100["torch"], "devices": devices}}


# ------------------------------------------------------------------------------------------------- identity


def test_a_gpu_is_named_by_nvml() -> None:
    device = only_device(ScriptedNvml())
    assert (device.selector, device.family, device.kind) == ("cuda:0", "cuda", "gpu")
    assert (device.name, device.vendor) == ("NVIDIA H100 80GB HBM3", "NVIDIA")


def test_identity_is_told_in_base_units() -> None:
    facts = {item.name: item.value for item in only_device(ScriptedNvml()).facts}
    assert facts == {
        "index": 0,
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": UUID,
        "serial": "1650000000000",
        "board-part-number": "692-2G520-0200-000",
        "pci-id": "00000000:1B:00.0",
        "pci-device": "10de:2330",
        "pci-subsystem": "10de:16c1",
        "memory-bytes": 85_520_809_984,
        "memory-free-bytes": 84_929_347_584,
        "driver": "570.86.15",
        "driver-cuda": "12.8",
        "vbios": "96.00.99.00.01",
        "compute-capability": "9.0",
        "ecc": True,
        "mig": False,
        "persistence": True,
        "power-limit-default-w": 700.0,
        "power-limit-w": 650.0,
        "sm-clock-max-hz": 1_980_000_000,
        "sm-clock-default-hz": 1_980_000_000,
        "sm-clock-hz": 345_000_000,
        "memory-clock-max-hz": 2_619_000_000,
        "memory-clock-default-hz": 2_619_000_000,
        "memory-clock-hz": 2_619_000_000,
        "other-processes": 1,
        "other-graphics-processes": 0,
        "nvlinks-active": 18,
        "sm-count": 132,
        "l2-bytes": 52_428_800,
        "cuda-runtime": "12.8",
        "cudnn": "9.10.2",
        "torch-index": 0,
    }


def test_the_source_is_the_function_with_its_constant() -> None:
    assert (
        fact(only_device(ScriptedNvml()), "sm-clock-hz").source
        == "NVML nvmlDeviceGetClockInfo(NVML_CLOCK_SM)"
    )


@pytest.mark.parametrize(
    "question", [each for each in QUESTIONS if each.fact != "uuid"], ids=lambda question: question.fact
)
def test_one_refused_question_leaves_the_other_facts(question: Any) -> None:
    device = only_device(ScriptedNvml(refuse={question.function: 3}))
    assert fact(device, question.fact).reason == "not-supported"
    assert {item.reason for item in device.facts if item.source != question.source} <= {None, "not-supported"}
    assert device.fact("index") == 0


def test_a_gpu_that_tells_no_uuid_is_not_offered() -> None:
    (why,) = inventory(ScriptedNvml(refuse={"nvmlDeviceGetUUID": 3})).unavailable
    assert (why.subject, why.code) == ("cuda:0", "not-supported")


@pytest.mark.parametrize(("value", "reason"), [(4, "not-permitted"), (13, "old-driver"), (999, "nvml-error")])
def test_nvmls_error_becomes_a_reason_code(value: int, reason: str) -> None:
    device = only_device(ScriptedNvml(refuse={"nvmlDeviceGetEccMode": value}))
    assert fact(device, "ecc").reason == reason


def test_a_gpu_that_tells_no_name_is_still_a_device() -> None:
    assert only_device(ScriptedNvml(refuse={"nvmlDeviceGetName": 3})).name == "unnamed GPU"


def test_our_own_process_is_no_other() -> None:
    told = several(1)
    told["gpus"][0]["nvmlDeviceGetComputeRunningProcesses"] = [{"pid": os.getpid()}, {"pid": 1}, {"pid": 1}]
    assert only_device(RecordedNvml(told)).fact("other-processes") == 1


@pytest.mark.parametrize(
    ("links", "active"),
    [({"0": 1, "1": 0, "2": 1}, 2), ({"0": 0}, 0)],
    ids=["one of three is down", "the only one is down"],
)
def test_links_are_counted_that_are_up(links: dict[str, int], active: int) -> None:
    told = several(1)
    told["gpus"][0]["nvmlDeviceGetNvLinkState"] = {"by": links}
    assert only_device(RecordedNvml(told)).fact("nvlinks-active") == active


def test_a_gpu_without_links_says_so() -> None:
    links = fact(only_device(ScriptedNvml(refuse={"nvmlDeviceGetNvLinkState": 3})), "nvlinks-active")
    assert (links.value, links.reason) == (None, "not-supported")


def test_a_lost_gpu_is_named_beside_the_sound_ones() -> None:
    found = inventory(RecordedNvml(several(3), lost=1))
    assert [device.selector for device in found.devices] == ["cuda:0", "cuda:2"]
    assert [(why.subject, why.code) for why in found.unavailable] == [("cuda:1", "gpu-lost")]


@pytest.mark.parametrize(
    ("value", "code", "detail"),
    [(12, "no-nvml", "NVML Shared Library Not Found"), (9, "no-driver", "Driver Not Loaded")],
)
def test_nvml_that_does_not_start_is_quoted(value: int, code: str, detail: str) -> None:
    (why,) = inventory(ScriptedNvml(refuse={"nvmlInit": value})).unavailable
    assert (why.subject, why.code, why.detail) == ("cuda", code, detail)


def test_a_driver_without_a_gpu_is_no_device() -> None:
    found = inventory(RecordedNvml({**H100, "gpus": []}))
    assert (found.devices, found.unavailable[0].code) == ((), "no-device")


def test_torch_is_not_asked_where_there_is_no_gpu() -> None:
    torch = RecordedTorch(H100)
    inventory(ScriptedNvml(refuse={"nvmlInit": 12}), torch=torch)
    assert torch.asked == []


@pytest.mark.parametrize("refuse", [{}, {"nvmlDeviceGetCount": 999}])
def test_what_was_started_is_shut_down(refuse: Mapping[str, int]) -> None:
    nvml = ScriptedNvml(refuse=refuse)
    inventory(nvml)
    assert nvml.events == ["init", "shutdown"]


def test_every_function_and_constant_exists_in_nvidia_ml_py() -> None:
    asked = {
        name
        for question in (*QUESTIONS, *INSTANCE_QUESTIONS)
        for name in (question.function, *question.arguments)
    } | {name for gauge in GAUGES for name in (*gauge.functions, *gauge.arguments)}
    assert not [name for name in (*asked, *REASONS) if not hasattr(pynvml, name)]


def test_what_is_recorded_of_a_machine_reads_like_it() -> None:
    told = readings("eight-with-mig.json")
    again = record(RecordedNvml(told), RecordedTorch(told).view)

    def shown(of: Mapping[str, Any]) -> list[tuple[str, str, object]]:
        found = inventory(RecordedNvml(of)).devices
        return [
            (device.selector, item.name, item.value)
            for device in found
            for item in device.facts
            if item.name != "serial"
        ]

    assert shown(again) == shown(told)
    assert "1650000000000" not in str(again)


# ---------------------------------------------------------------------------------------- torch beside NVML


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (
            Unavailable(
                subject="cuda",
                code="torch-without-cuda",
                detail="torch 2.13.0+cpu computes on processors alone",
            ),
            "torch-without-cuda",
            "processors alone. Type: pip install --force-reinstall torch",
        ),
        (
            TorchView(version="2.13.0+rocm6.4", cuda=None, hip="6.4", cudnn=None, devices=()),
            "torch-without-cuda",
            "torch 2.13.0+rocm6.4 is built for AMD's GPUs. Type: pip install",
        ),
        (
            Unavailable(subject="cuda", code="no-torch", detail="Type: pip install x"),
            "no-torch",
            "pip install x",
        ),
        (
            TorchView(version="2.13.0", cuda="12.8", hip=None, cudnn=None, devices=()),
            "not-listed",
            "torch 2.13.0 does not find it",
        ),
    ],
)
def test_a_gpu_that_torch_cannot_compute_on_is_not_offered(answer: Any, code: str, words: str) -> None:
    found = inventory(ScriptedNvml(), torch=lambda _: answer)
    (why,) = found.unavailable
    assert (found.devices, why.subject, why.code) == ((), "cuda:0", code)
    assert why.detail.startswith("NVIDIA H100 80GB HBM3: ")
    assert words in why.detail


def test_torch_is_asked_with_nothing_hidden() -> None:
    torch = RecordedTorch(H100)
    inventory(ScriptedNvml(), torch=torch, environ={"CUDA_VISIBLE_DEVICES": "0", "HOME": "/h"})
    assert torch.asked == [{"HOME": "/h"}]


def test_torch_without_cuda_says_so_in_a_process_of_its_own() -> None:
    seen = torch_view.ask(os.environ)
    if isinstance(seen, TorchView):
        assert seen.cuda or seen.hip
    elif seen.code == "torch-without-cuda":
        assert seen.detail.startswith("torch ")
    else:
        pytest.skip(seen.detail)


@pytest.mark.parametrize(
    ("status", "said", "complained", "words"),
    [
        (-11, "", "", "ended with -11: it said nothing"),
        (1, "", "Traceback\nMemoryError: no room\n", "ended with 1: MemoryError: no room"),
        (0, "\n", "", "ended with 0: it said nothing"),
    ],
)
def test_a_torch_that_ends_badly_is_quoted(status: int, said: str, complained: str, words: str) -> None:
    why = torch_view.read(status, said, complained)
    assert isinstance(why, Unavailable)
    assert (why.code, words in why.detail) == ("torch-fails", True)


@pytest.mark.parametrize(
    ("number", "text"), [(8902, "8.9.2"), (91002, "9.10.2"), (90100, "9.1.0"), (None, None)]
)
def test_cudnn_is_told_as_people_write_it(number: int | None, text: str | None) -> None:
    assert torch_view.cudnn_version(number) == text


# ------------------------------------------------------------------------------------------------------- AMD

MI300X = Seen(
    name="AMD Instinct MI300X",
    uuid="18d1fd8e6f0b2d0c",
    multiprocessors=304,
    memory_bytes=205_822_885_888,
    l2_bytes=4_194_304,
    architecture="gfx942",
)
ROCM = TorchView(version="2.13.0+rocm6.4", cuda=None, hip="6.4.43482", cudnn=3_004_000, devices=(MI300X,) * 2)
NO_NVML = Unavailable(subject="cuda", code="no-nvml", detail="NVML Shared Library Not Found")


@pytest.fixture
def amd_machine(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "kfd").touch()
    return tmp_path


def test_amds_gpus_are_of_the_family_and_what_nvml_would_tell_is_named(amd_machine: Path) -> None:
    found = cuda.inventory(NO_NVML, lambda _: ROCM, {}, amd_machine)
    assert found.unavailable == ()
    first, second = found.devices
    assert (first.selector, first.vendor, first.name) == ("cuda:0", "AMD", "AMD Instinct MI300X")
    known = {item.name: item.value for item in first.facts if item.reason is None}
    assert known == {
        "index": 0,
        "name": "AMD Instinct MI300X",
        "uuid": "18d1fd8e6f0b2d0c",
        "memory-bytes": 205_822_885_888,
        "gcn-arch": "gfx942",
        "sm-count": 304,
        "l2-bytes": 4_194_304,
        "hip-runtime": "6.4.43482",
        "miopen": 3_004_000,
        "hip-visible": "0",
    }
    absent = {item.name for item in first.facts if item.reason == "not-nvidia"}
    assert absent == {question.fact for question in QUESTIONS} - {"name", "uuid", "memory-bytes"}
    assert second.fact("hip-visible") == "1"


def test_amds_gpu_is_chosen_by_its_place_among_those_the_operator_shows(
    amd_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HIP_VISIBLE_DEVICES": "3, 5"}
    second = cuda.inventory(NO_NVML, lambda _: ROCM, environ, amd_machine).devices[1]
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", environ["HIP_VISIBLE_DEVICES"])
    cuda.pin(second)
    assert os.environ["HIP_VISIBLE_DEVICES"] == "5"


def test_amds_driver_with_a_torch_for_processors_says_where_the_build_is(amd_machine: Path) -> None:
    without = Unavailable(subject="cuda", code="torch-without-cuda", detail="torch 2.13.0+cpu computes")
    (why,) = cuda.inventory(NO_NVML, lambda _: without, {}, amd_machine).unavailable
    assert (why.subject, why.code) == ("cuda", "torch-without-cuda")
    assert "Install its ROCm build: https://" in why.detail


def test_without_amds_driver_torch_is_not_asked() -> None:
    found = cuda.inventory(NO_NVML, lambda _: pytest.fail("asked"), {}, NOWHERE)
    assert found.unavailable == (NO_NVML,)


# ------------------------------------------------------------------------------------------ one GPU a process


def test_to_pin_lets_cuda_see_one_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    cuda.pin(only_device(ScriptedNvml()))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == UUID


OPENED = """
import os, sys, types
sys.modules["torch"] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=lambda: True))
from bench.devices import cuda
from bench.errors import CannotMeasure
from bench.terms import Device, Fact
facts = (Fact(name="uuid", value="GPU-1", source=""),)
device = Device(selector="cuda:3", family="cuda", kind="gpu", name="A card", vendor="NVIDIA", facts=facts)
os.environ["CUDA_VISIBLE_DEVICES"] = sys.argv[1]
try:
    cuda.pin(device)
except CannotMeasure as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(("shown", "refused"), [("GPU-1", False), ("GPU-2", True), ("", True)])
def test_a_process_that_opened_another_gpu_cannot_choose(shown: str, refused: bool) -> None:
    child = subprocess.run(
        [sys.executable, "-c", OPENED, shown],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == (1 if refused else 0), child.stderr
    assert ("bench run --device cuda:3" in child.stderr) == refused


def test_torchs_uuid_is_held_against_nvmls() -> None:
    device = only_device(ScriptedNvml())
    bare = UUID.removeprefix("GPU-")
    cuda.require_same(device, [bare])
    cuda.require_same(device, [bare.upper()])


@pytest.mark.parametrize("uuids", [[], ["22222222"], [None], [UUID.removeprefix("GPU-"), "22222222"]])
def test_another_gpu_than_the_chosen_one_is_refused(uuids: list[str | None]) -> None:
    with pytest.raises(CannotMeasure, match=r"cuda:0 was chosen, .* and torch has"):
        cuda.require_same(only_device(ScriptedNvml()), uuids)


def test_where_torch_has_no_gpu_it_is_quoted() -> None:
    seen = torch_view.ask(os.environ)
    if isinstance(seen, TorchView) or seen.code != "torch-without-cuda":
        pytest.skip("torch computes on GPUs, or there is none")
    with pytest.raises(
        CannotMeasure, match="torch cannot open the GPU: Torch not compiled with CUDA enabled"
    ):
        cuda.require_pinned(only_device(ScriptedNvml()))


def test_selectors_mean_what_they_say() -> None:
    found = inventory(RecordedNvml(several(4)))
    assert [device.selector for device in select(["cuda"], [found])] == [
        f"cuda:{index}" for index in range(4)
    ]
    assert [device.selector for device in select(["cuda:3", "cuda:GPU-1"], [found])] == ["cuda:3", "cuda:1"]


# ---------------------------------------------------------------------------------------------- on a real GPU

PINNED = """
import sys
from bench.devices import cuda, family
(device,) = family.select([sys.argv[1]], [cuda.FAMILY.look()])
cuda.pin(device)
cuda.require_pinned(device)
"""


def real() -> Inventory:
    found = cuda.FAMILY.look()
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    return found


@pytest.mark.hardware
def test_a_real_gpu_tells_name_uuid_and_memory() -> None:
    for device in real().devices:
        assert device.name != "unnamed GPU"
        assert device.fact("uuid")
        assert device.fact("memory-bytes")
        assert device.fact("sm-count")


@pytest.mark.hardware
def test_each_real_gpu_is_the_one_that_torch_has_once_it_is_pinned() -> None:
    for device in real().devices:
        subprocess.run(
            [sys.executable, "-c", PINNED, device.selector],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
        )
