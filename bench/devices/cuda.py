"""The family `cuda`: NVIDIA GPUs as NVML tells them, in NVML's order. Identity only.

Each question is guarded by itself: a GPU that does not answer one keeps its other facts, and the
answer it refused is absent with the reason. Of other processes only their number is read.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.devices.family import DeviceFamily, Inventory
from bench.devices.tree import absent
from bench.terms import Device, Fact, Scalar, Unavailable

# nvidia-ml-py carries no types: `nvml` is the module `pynvml`, or a scripted one in tests.
Nvml = Any

# Names of NVML's return codes, and ours. Any other is "nvml-error".
REASONS = {
    "NVML_ERROR_NOT_SUPPORTED": "not-supported",
    "NVML_ERROR_NO_PERMISSION": "not-permitted",
    "NVML_ERROR_FUNCTION_NOT_FOUND": "old-driver",
    "NVML_ERROR_LIBRARY_NOT_FOUND": "no-nvml",
    "NVML_ERROR_DRIVER_NOT_LOADED": "no-driver",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": "driver-mismatch",
    "NVML_ERROR_GPU_IS_LOST": "gpu-lost",
}


def _text(answer: Any) -> Scalar:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def _on(answer: Any) -> Scalar:
    return bool(answer)


def _current_on(answer: Any) -> Scalar:
    """Of [current, pending], the current one."""
    return bool(answer[0])


def _cuda_version(answer: Any) -> Scalar:
    return f"{answer // 1000}.{answer % 1000 // 10}"


def _watts(answer: Any) -> Scalar:
    return float(answer) / 1000


def _hertz(answer: Any) -> Scalar:
    return int(answer) * 1_000_000


@dataclass(frozen=True, slots=True)
class _Question:
    """A fact's name, the NVML function that answers it (`nvmlDevice...` gets the GPU), and its meaning.

    `arguments` are names of NVML's constants.
    """

    fact: str
    function: str
    meaning: Callable[[Any], Scalar]
    arguments: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return f"NVML {self.function}({', '.join(self.arguments)})"

    def ask(self, nvml: Nvml, handle: object) -> Fact:
        subject = (handle,) if self.function.startswith("nvmlDevice") else ()
        constants = (getattr(nvml, name) for name in self.arguments)
        try:
            answer = getattr(nvml, self.function)(*subject, *constants)
        except nvml.NVMLError as error:
            return absent(self.fact, self.source, _reason(nvml, error))
        return Fact(name=self.fact, value=self.meaning(answer), source=self.source)


# Units: NVML speaks mW, MHz and bytes (nvml.h); facts are W, Hz and bytes.
QUESTIONS = (
    _Question("name", "nvmlDeviceGetName", _text),
    _Question("uuid", "nvmlDeviceGetUUID", _text),
    _Question("serial", "nvmlDeviceGetSerial", _text),
    _Question("pci-id", "nvmlDeviceGetPciInfo", lambda answer: _text(answer.busId)),
    _Question("memory-bytes", "nvmlDeviceGetMemoryInfo", lambda answer: int(answer.total)),
    _Question("driver", "nvmlSystemGetDriverVersion", _text),
    _Question("driver-cuda", "nvmlSystemGetCudaDriverVersion", _cuda_version),
    _Question("vbios", "nvmlDeviceGetVbiosVersion", _text),
    _Question(
        "compute-capability", "nvmlDeviceGetCudaComputeCapability", lambda answer: f"{answer[0]}.{answer[1]}"
    ),
    _Question("ecc", "nvmlDeviceGetEccMode", _current_on),
    _Question("mig", "nvmlDeviceGetMigMode", _current_on),
    _Question("persistence", "nvmlDeviceGetPersistenceMode", _on),
    _Question("power-limit-default-w", "nvmlDeviceGetPowerManagementDefaultLimit", _watts),
    _Question("power-limit-w", "nvmlDeviceGetEnforcedPowerLimit", _watts),
    _Question("sm-clock-max-hz", "nvmlDeviceGetMaxClockInfo", _hertz, ("NVML_CLOCK_SM",)),
    _Question("sm-clock-hz", "nvmlDeviceGetClockInfo", _hertz, ("NVML_CLOCK_SM",)),
    _Question("memory-clock-max-hz", "nvmlDeviceGetMaxClockInfo", _hertz, ("NVML_CLOCK_MEM",)),
    _Question("memory-clock-hz", "nvmlDeviceGetClockInfo", _hertz, ("NVML_CLOCK_MEM",)),
    _Question("compute-processes", "nvmlDeviceGetComputeRunningProcesses", len),
)


def inventory(nvml: Nvml) -> Inventory:
    """Every GPU that NVML knows, whatever CUDA_VISIBLE_DEVICES says."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return _none(_reason(nvml, error), str(error))
    try:
        found = tuple(_look_at(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    except nvml.NVMLError as error:
        return _none(_reason(nvml, error), str(error))
    finally:
        nvml.nvmlShutdown()
    if not found:
        return _none("no-device", "nvmlDeviceGetCount answers 0")
    return Inventory(
        family="cuda",
        devices=tuple(item for item in found if isinstance(item, Device)),
        unavailable=tuple(item for item in found if isinstance(item, Unavailable)),
    )


def _here() -> Inventory:
    with warnings.catch_warnings():
        # Another distribution also installs a module `pynvml`, and warns about itself at import.
        warnings.simplefilter("ignore")
        try:
            import pynvml
        except ImportError as error:
            return _none("no-nvml", f"{error}. Type: pip install nvidia-ml-py")
        return inventory(pynvml)


FAMILY = DeviceFamily(name="cuda", look=_here)


def _look_at(nvml: Nvml, index: int) -> Device | Unavailable:
    selector = f"cuda:{index}"
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        return Unavailable(subject=selector, code=_reason(nvml, error), detail=str(error))
    facts = (
        Fact(name="index", value=index, source="NVML nvmlDeviceGetHandleByIndex()"),
        *(question.ask(nvml, handle) for question in QUESTIONS),
    )
    name = next(
        (str(item.value) for item in facts if item.name == "name" and item.value is not None), "unnamed GPU"
    )
    return Device(selector=selector, family="cuda", kind="gpu", name=name, vendor="NVIDIA", facts=facts)


def _none(code: str, detail: str) -> Inventory:
    why = Unavailable(subject="cuda", code=code, detail=detail)
    return Inventory(family="cuda", devices=(), unavailable=(why,))


def _reason(nvml: Nvml, error: Any) -> str:
    return next(
        (ours for theirs, ours in REASONS.items() if getattr(nvml, theirs) == error.value), "nvml-error"
    )
