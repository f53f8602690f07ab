"""What NVML says of each NVIDIA GPU and each MIG instance: questions, their units, and refusals.

Each question is guarded by itself: a GPU that does not answer one keeps its other facts, and the
answer it refused is absent with the reason. Of other processes only their number is read. Power is not read:
a limit is, what is drawn at one moment says nothing.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.devices.tree import absent
from bench.terms import Fact, Scalar, Unavailable

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
    "NVML_ERROR_DEPRECATED": "not-supported",
}

_LINK = "NVML nvmlDeviceGetNvLinkState()"


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


def hertz(answer: Any) -> int:
    return int(answer) * 1_000_000


def _pci_ids(answer: int) -> str:
    """NVML keeps the device above the vendor, in 16 bits each; written as lspci does: "10de:2330"."""
    return f"{answer & 0xFFFF:04x}:{answer >> 16:04x}"


def _others(answer: Any) -> Scalar:
    """Processes but our own. In a container NVML may tell other numbers: ours is not on the GPU yet."""
    return len({process.pid for process in answer} - {os.getpid()})


@dataclass(frozen=True, slots=True)
class Question:
    """A fact's name, the NVML function that answers it (`nvmlDevice...` gets the GPU), and its meaning.

    `arguments` are names of NVML's constants. `of_instance`: what NVML tells of a MIG instance by itself;
    all else an instance has from its GPU.
    """

    fact: str
    function: str
    meaning: Callable[[Any], Scalar]
    arguments: tuple[str, ...] = ()
    of_instance: bool = False

    @property
    def source(self) -> str:
        return f"NVML {self.function}({', '.join(self.arguments)})"

    def ask(self, nvml: Nvml, handle: object) -> Fact:
        subject = (handle,) if self.function.startswith("nvmlDevice") else ()
        constants = (getattr(nvml, name) for name in self.arguments)
        try:
            answer = getattr(nvml, self.function)(*subject, *constants)
        except nvml.NVMLError as error:
            return absent(self.fact, self.source, reason(nvml, error))
        return Fact(name=self.fact, value=self.meaning(answer), source=self.source)


# Units: NVML speaks mW, MHz and bytes (nvml.h); facts are W, Hz and bytes. Which questions a MIG instance
# answers by itself: the notes on MIG in NVML's API reference, group "Device Queries".
QUESTIONS = (
    Question("name", "nvmlDeviceGetName", _text, of_instance=True),
    Question("uuid", "nvmlDeviceGetUUID", _text, of_instance=True),
    Question("serial", "nvmlDeviceGetSerial", _text),
    Question("board-part-number", "nvmlDeviceGetBoardPartNumber", _text),
    Question("pci-id", "nvmlDeviceGetPciInfo", lambda answer: _text(answer.busId)),
    Question("pci-device", "nvmlDeviceGetPciInfo", lambda answer: _pci_ids(answer.pciDeviceId)),
    Question("pci-subsystem", "nvmlDeviceGetPciInfo", lambda answer: _pci_ids(answer.pciSubSystemId)),
    Question("memory-bytes", "nvmlDeviceGetMemoryInfo", lambda answer: int(answer.total), of_instance=True),
    Question(
        "memory-free-bytes", "nvmlDeviceGetMemoryInfo", lambda answer: int(answer.free), of_instance=True
    ),
    Question("driver", "nvmlSystemGetDriverVersion", _text),
    Question("driver-cuda", "nvmlSystemGetCudaDriverVersion", _cuda_version),
    Question("vbios", "nvmlDeviceGetVbiosVersion", _text),
    Question(
        "compute-capability", "nvmlDeviceGetCudaComputeCapability", lambda answer: f"{answer[0]}.{answer[1]}"
    ),
    Question("ecc", "nvmlDeviceGetEccMode", _current_on),
    Question("mig", "nvmlDeviceGetMigMode", _current_on),
    Question("persistence", "nvmlDeviceGetPersistenceMode", _on),
    Question("power-limit-default-w", "nvmlDeviceGetPowerManagementDefaultLimit", _watts),
    Question("power-limit-w", "nvmlDeviceGetEnforcedPowerLimit", _watts),
    Question("sm-clock-max-hz", "nvmlDeviceGetMaxClockInfo", hertz, ("NVML_CLOCK_SM",)),
    # Applications' clocks are set for graphics and memory; the SMs run at that of graphics.
    Question("sm-clock-default-hz", "nvmlDeviceGetDefaultApplicationsClock", hertz, ("NVML_CLOCK_GRAPHICS",)),
    Question("sm-clock-hz", "nvmlDeviceGetClockInfo", hertz, ("NVML_CLOCK_SM",)),
    Question("memory-clock-max-hz", "nvmlDeviceGetMaxClockInfo", hertz, ("NVML_CLOCK_MEM",)),
    Question("memory-clock-default-hz", "nvmlDeviceGetDefaultApplicationsClock", hertz, ("NVML_CLOCK_MEM",)),
    Question("memory-clock-hz", "nvmlDeviceGetClockInfo", hertz, ("NVML_CLOCK_MEM",)),
    Question("other-processes", "nvmlDeviceGetComputeRunningProcesses", _others, of_instance=True),
    Question("other-graphics-processes", "nvmlDeviceGetGraphicsRunningProcesses", _others, of_instance=True),
)

# nvmlDeviceGetAttributes_v2 "currently only supports MIG device handles".
INSTANCE_QUESTIONS = (
    Question("gpu-instance", "nvmlDeviceGetGpuInstanceId", int),
    Question("compute-instance", "nvmlDeviceGetComputeInstanceId", int),
    Question("sm-count", "nvmlDeviceGetAttributes_v2", lambda answer: int(answer.multiprocessorCount)),
    Question("gpu-slices", "nvmlDeviceGetAttributes_v2", lambda answer: int(answer.gpuInstanceSliceCount)),
    Question(
        "compute-slices", "nvmlDeviceGetAttributes_v2", lambda answer: int(answer.computeInstanceSliceCount)
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A MIG instance; `index` is NVML's within the GPU, and `also` its name in drivers before R470."""

    index: int
    uuid: str
    also: str
    facts: tuple[Fact, ...]

    def fact(self, name: str) -> Scalar | None:
        return value(self.facts, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU; `index` is NVML's. In MIG mode it is measured by its instances alone."""

    index: int
    uuid: str
    mig: bool
    instances: tuple[Instance, ...]
    facts: tuple[Fact, ...]

    @property
    def uuids(self) -> tuple[str, ...]:
        """What can be measured of it: each instance, or the GPU itself."""
        return tuple(instance.uuid for instance in self.instances) if self.mig else (self.uuid,)

    def fact(self, name: str) -> Scalar | None:
        return value(self.facts, name)


def value(facts: Iterable[Fact], name: str) -> Scalar | None:
    return next((fact.value for fact in facts if fact.name == name), None)


def load() -> Nvml | Unavailable:
    """The module, or why there is none."""
    with warnings.catch_warnings():
        # Another distribution also installs a module `pynvml`, and warns about itself at import.
        warnings.simplefilter("ignore")
        try:
            import pynvml
        except ImportError as error:
            return none("no-nvml", f"{error}. Type: pip install nvidia-ml-py")
        return pynvml


def read(nvml: Nvml) -> tuple[Gpu | Unavailable, ...]:
    """Every GPU that NVML knows, whatever CUDA_VISIBLE_DEVICES says, or the one reason why there is none."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return (none(reason(nvml, error), str(error)),)
    try:
        found = tuple(_look_at(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    except nvml.NVMLError as error:
        return (none(reason(nvml, error), str(error)),)
    finally:
        nvml.nvmlShutdown()
    return found or (none("no-device", "nvmlDeviceGetCount answers 0"),)


def none(code: str, detail: str) -> Unavailable:
    return Unavailable(subject="cuda", code=code, detail=detail)


def reason(nvml: Nvml, error: Any) -> str:
    """Our code for what NVML refused with."""
    return next(
        (ours for theirs, ours in REASONS.items() if getattr(nvml, theirs, None) == error.value), "nvml-error"
    )


def _look_at(nvml: Nvml, index: int) -> Gpu | Unavailable:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        # A GPU is chosen by its UUID: one that tells none cannot be.
        uuid = str(_text(nvml.nvmlDeviceGetUUID(handle)))
        facts = (
            Fact(name="index", value=index, source="NVML nvmlDeviceGetHandleByIndex()"),
            *(question.ask(nvml, handle) for question in QUESTIONS),
            _links(nvml, handle),
        )
        mig = value(facts, "mig") is True
        instances = tuple(_instances(nvml, handle, uuid, facts)) if mig else ()
    except nvml.NVMLError as error:
        return Unavailable(subject=f"cuda:{index}", code=reason(nvml, error), detail=str(error))
    return Gpu(index=index, uuid=uuid, mig=mig, instances=instances, facts=facts)


def _instances(nvml: Nvml, gpu: object, gpu_uuid: str, of_gpu: tuple[Fact, ...]) -> Iterator[Instance]:
    """Those that are there; their indices may have gaps."""
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
            uuid = str(_text(nvml.nvmlDeviceGetUUID(handle)))
        except nvml.NVMLError:
            continue
        own = {question.fact: question.ask(nvml, handle) for question in QUESTIONS if question.of_instance}
        more = tuple(question.ask(nvml, handle) for question in INSTANCE_QUESTIONS)
        facts = (
            *(own.get(fact.name, fact) for fact in of_gpu),
            Fact(name="mig-index", value=index, source="NVML nvmlDeviceGetMigDeviceHandleByIndex()"),
            Fact(name="gpu-uuid", value=gpu_uuid, source="NVML nvmlDeviceGetUUID()"),
            *more,
        )
        ids = "/".join(str(value(more, name)) for name in ("gpu-instance", "compute-instance"))
        yield Instance(index=index, uuid=uuid, also=f"MIG-{gpu_uuid}/{ids}", facts=facts)


def _links(nvml: Nvml, handle: object) -> Fact:
    """How many NVLink links are up. Beyond a GPU's last link NVML refuses; one that has none refuses all."""
    active, refused = 0, None
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        try:
            active += nvml.nvmlDeviceGetNvLinkState(handle, link) == nvml.NVML_FEATURE_ENABLED
        except nvml.NVMLError as error:
            refused = reason(nvml, error) if link == 0 else None
            break
    if refused is not None:
        return absent("nvlinks-active", _LINK, refused)
    return Fact(name="nvlinks-active", value=active, source=_LINK)
