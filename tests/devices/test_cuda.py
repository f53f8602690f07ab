"""The family `cuda` before a scripted NVML, and the real one where there is one."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from bench.devices import cuda
from bench.devices.cuda import QUESTIONS, REASONS, inventory
from bench.terms import Device, Fact

# What nvidia-ml-py answers for an H100 SXM, in its own types and units.
H100: Mapping[str, Any] = {
    "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
    "nvmlDeviceGetUUID": "GPU-11111111-2222-3333-4444-555555555555",
    "nvmlDeviceGetSerial": "1650000000000",
    "nvmlDeviceGetPciInfo": SimpleNamespace(busId=b"00000000:1B:00.0"),
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=85_520_809_984, free=84_929_347_584, used=591_462_400),
    "nvmlSystemGetDriverVersion": "570.86.15",
    "nvmlSystemGetCudaDriverVersion": 12080,
    "nvmlDeviceGetVbiosVersion": "96.00.99.00.01",
    "nvmlDeviceGetCudaComputeCapability": (9, 0),
    "nvmlDeviceGetEccMode": [1, 1],
    "nvmlDeviceGetMigMode": [0, 1],
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
    "nvmlDeviceGetEnforcedPowerLimit": 650_000,
    "nvmlDeviceGetMaxClockInfo": {1: 1980, 2: 2619},
    "nvmlDeviceGetClockInfo": {1: 345, 2: 2619},
    "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=4711, usedGpuMemory=1)],
}


class NvmlError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(
            {3: "Not Supported", 9: "Driver Not Loaded", 12: "NVML Shared Library Not Found"}.get(value)
        )
        self.value = value


class ScriptedNvml:
    """Answers like the module `pynvml`; `refuse` maps a function's name to the error code it ends with."""

    NVMLError = NvmlError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NO_PERMISSION = 3, 4
    NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIBRARY_NOT_FOUND = 9, 12
    NVML_ERROR_FUNCTION_NOT_FOUND, NVML_ERROR_GPU_IS_LOST, NVML_ERROR_LIB_RM_VERSION_MISMATCH = 13, 15, 18

    def __init__(
        self, *, gpus: int = 1, refuse: Mapping[str, int] | None = None, lost: int | None = None
    ) -> None:
        self.gpus, self.refuse, self.lost = gpus, refuse or {}, lost
        self.events: list[str] = []

    def nvmlInit(self) -> None:
        self._refuse("nvmlInit")
        self.events.append("init")

    def nvmlShutdown(self) -> None:
        self.events.append("shutdown")

    def nvmlDeviceGetCount(self) -> int:
        self._refuse("nvmlDeviceGetCount")
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if index == self.lost:
            raise NvmlError(15)
        return f"handle {index}"

    def _refuse(self, function: str) -> None:
        if function in self.refuse:
            raise NvmlError(self.refuse[function])

    def __getattr__(self, function: str) -> Any:
        answer = H100[function]

        def call(*arguments: Any) -> Any:
            self._refuse(function)
            assert function.startswith("nvmlSystem") or arguments[0].startswith("handle ")
            return answer[arguments[1]] if isinstance(answer, dict) else answer

        return call


def only_device(nvml: ScriptedNvml) -> Device:
    (device,) = inventory(nvml).devices
    return device


def fact(device: Device, name: str) -> Fact:
    (found,) = [item for item in device.facts if item.name == name]
    return found


def test_a_gpu_is_named_by_nvml() -> None:
    device = only_device(ScriptedNvml())
    assert (device.selector, device.family, device.kind) == ("cuda:0", "cuda", "gpu")
    assert (device.name, device.vendor) == ("NVIDIA H100 80GB HBM3", "NVIDIA")


def test_identity_is_told_in_base_units() -> None:
    facts = {item.name: item.value for item in only_device(ScriptedNvml()).facts}
    assert facts == {
        "index": 0,
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": "GPU-11111111-2222-3333-4444-555555555555",
        "serial": "1650000000000",
        "pci-id": "00000000:1B:00.0",
        "memory-bytes": 85_520_809_984,
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
        "sm-clock-hz": 345_000_000,
        "memory-clock-max-hz": 2_619_000_000,
        "memory-clock-hz": 2_619_000_000,
        "compute-processes": 1,
    }


def test_the_source_is_the_function_with_its_constant() -> None:
    assert (
        fact(only_device(ScriptedNvml()), "sm-clock-hz").source
        == "NVML nvmlDeviceGetClockInfo(NVML_CLOCK_SM)"
    )


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.fact)
def test_one_refused_question_leaves_the_other_facts(question: Any) -> None:
    device = only_device(ScriptedNvml(refuse={question.function: 3}))
    assert fact(device, question.fact).reason == "not-supported"
    assert {item.reason for item in device.facts if item.source != question.source} <= {None, "not-supported"}
    assert device.fact("index") == 0


@pytest.mark.parametrize(("value", "reason"), [(4, "not-permitted"), (13, "old-driver"), (999, "nvml-error")])
def test_nvmls_error_becomes_a_reason_code(value: int, reason: str) -> None:
    device = only_device(ScriptedNvml(refuse={"nvmlDeviceGetEccMode": value}))
    assert fact(device, "ecc").reason == reason


def test_a_gpu_that_tells_no_name_is_still_a_device() -> None:
    assert only_device(ScriptedNvml(refuse={"nvmlDeviceGetName": 3})).name == "unnamed GPU"


def test_several_gpus_are_numbered_as_nvml_does() -> None:
    assert [device.selector for device in inventory(ScriptedNvml(gpus=3)).devices] == [
        "cuda:0",
        "cuda:1",
        "cuda:2",
    ]


def test_a_lost_gpu_is_named_beside_the_sound_ones() -> None:
    found = inventory(ScriptedNvml(gpus=3, lost=1))
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
    found = inventory(ScriptedNvml(gpus=0))
    assert (found.devices, found.unavailable[0].code) == ((), "no-device")


@pytest.mark.parametrize("refuse", [{}, {"nvmlDeviceGetCount": 999}])
def test_what_was_started_is_shut_down(refuse: Mapping[str, int]) -> None:
    nvml = ScriptedNvml(refuse=refuse)
    inventory(nvml)
    assert nvml.events == ["init", "shutdown"]


def test_every_function_and_constant_exists_in_nvidia_ml_py() -> None:
    pynvml = pytest.importorskip("pynvml", reason="pip install nvidia-ml-py")
    asked = {name for question in QUESTIONS for name in (question.function, *question.arguments)}
    assert not [name for name in (*asked, *REASONS) if not hasattr(pynvml, name)]


@pytest.mark.hardware
def test_a_real_gpu_tells_name_uuid_and_memory() -> None:
    found = cuda.FAMILY.look()
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    for device in found.devices:
        assert device.name != "unnamed GPU"
        assert str(device.fact("uuid")).startswith("GPU-")
        assert device.fact("driver")
