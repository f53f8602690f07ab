"""The answers of tests/data/nvml behind the interfaces of `pynvml` and torch, and how they are recorded."""

import json
import sys
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

from bench.devices import torch_view
from bench.devices.torch_view import Seen, TorchView

READINGS = Path(__file__).parents[1] / "data" / "nvml"
# So many links does NVML ask for at most.
_LINKS = 36


def readings(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((READINGS / name).read_text("utf-8"))
    return told


class RecordedNvml:
    """Answers like the module `pynvml`, with its constants and its error.

    `refuse` maps a function's name to the error code it ends with; a GPU that is `lost` has no handle. What
    was not recorded is not supported.
    """

    NVMLError = pynvml.NVMLError

    def __init__(
        self, told: Mapping[str, Any], *, refuse: Mapping[str, int] | None = None, lost: int | None = None
    ) -> None:
        self.told, self.refuse, self.lost = told, dict(refuse or {}), lost
        self.events: list[str] = []

    def nvmlInit(self) -> None:
        self._refuse("nvmlInit")
        self.events.append("init")

    def nvmlShutdown(self) -> None:
        self.events.append("shutdown")

    def nvmlDeviceGetCount(self) -> int:
        self._refuse("nvmlDeviceGetCount")
        return len(self.told["gpus"])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Mapping[str, Any]:
        if index == self.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return ChainMap(self.told["gpus"][index], self.told.get("every", {}))

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Mapping[str, Any]:
        self._refuse("nvmlDeviceGetHandleByUUID")
        every = [self.nvmlDeviceGetHandleByIndex(index) for index in range(len(self.told["gpus"]))]
        found = [gpu for gpu in every if gpu["nvmlDeviceGetUUID"] == uuid]
        if not found:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return found[0]

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: Mapping[str, Any], index: int) -> dict[str, Any]:
        if str(index) not in gpu["instances"]:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        found: dict[str, Any] = gpu["instances"][str(index)]
        return found

    def _refuse(self, function: str) -> None:
        if function in self.refuse:
            raise pynvml.NVMLError(self.refuse[function])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_"):
            return getattr(pynvml, name)
        if not hasattr(pynvml, name):
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            self._refuse(name)
            told = self.told["system"] if name.startswith("nvmlSystem") else arguments[0]
            return _answer(told.get(name, {"error": pynvml.NVML_ERROR_NOT_SUPPORTED}), arguments[1:])

        return call


def _answer(told: Any, arguments: tuple[Any, ...]) -> Any:
    if isinstance(told, list):
        return [_answer(each, ()) for each in told]
    if not isinstance(told, dict):
        return told
    if "error" in told:
        raise pynvml.NVMLError(told["error"])
    if "by" in told:
        return _answer(told["by"].get(str(arguments[0]), {"error": pynvml.NVML_ERROR_INVALID_ARGUMENT}), ())
    return SimpleNamespace(**told)


class RecordedTorch:
    """What torch tells in a process with a given environment; `asked` keeps the environments.

    Of CUDA_VISIBLE_DEVICES it knows whole UUIDs, which is how it is asked.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.view = TorchView(
            **{**told["torch"], "devices": tuple(Seen(**each) for each in told["torch"]["devices"])}
        )
        self.asked: list[Mapping[str, str]] = []

    def __call__(self, environ: Mapping[str, str]) -> TorchView:
        self.asked.append(environ)
        shown = environ.get("CUDA_VISIBLE_DEVICES")
        if shown is None:
            return self.view
        by_uuid = {f"GPU-{each.uuid}": each for each in self.view.devices}
        devices = tuple(by_uuid[uuid] for uuid in shown.split(",") if uuid in by_uuid)
        return TorchView(**{**{f: getattr(self.view, f) for f in _BUILD}, "devices": devices})


_BUILD = ("version", "cuda", "hip", "cudnn")


# ----------------------------------------------------------------------------------------------- recording


def record(nvml: Any, torch: TorchView) -> dict[str, Any]:
    """Everything that `bench` asks, of each GPU and instance, as a file of tests/data/nvml holds it."""
    from bench.devices.cuda_telemetry import GAUGES
    from bench.devices.nvml import INSTANCE_QUESTIONS, QUESTIONS

    asked: dict[str, set[str]] = {}
    for question in (*QUESTIONS, *INSTANCE_QUESTIONS):
        asked.setdefault(question.function, set()).update(question.arguments)
    for gauge in GAUGES:
        for function in gauge.functions:
            asked.setdefault(function, set()).update(gauge.arguments)

    def told(function: str, *arguments: Any) -> Any:
        try:
            return _plain(getattr(nvml, function)(*arguments))
        except nvml.NVMLError as error:
            return {"error": error.value}

    def of(handle: Any) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        for function, constants in asked.items():
            if function.startswith("nvmlDevice") and function != "nvmlDeviceGetSerial":
                by = {
                    str(getattr(nvml, name)): told(function, handle, getattr(nvml, name))
                    for name in constants
                }
                answers[function] = {"by": by} if by else told(function, handle)
        links = {str(link): told("nvmlDeviceGetNvLinkState", handle, link) for link in range(_LINKS)}
        return {
            **answers,
            "nvmlDeviceGetSerial": {"error": nvml.NVML_ERROR_NOT_SUPPORTED},
            "nvmlDeviceGetNvLinkState": {"by": links},
        }

    def gpu(handle: Any) -> dict[str, Any]:
        instances = {}
        most = told("nvmlDeviceGetMaxMigDeviceCount", handle)
        for index in range(most) if isinstance(most, int) else ():
            try:
                instances[str(index)] = of(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
            except nvml.NVMLError:
                continue
        return {**of(handle), "nvmlDeviceGetMaxMigDeviceCount": most, "instances": instances}

    nvml.nvmlInit()
    return {
        "system": {function: told(function) for function in asked if function.startswith("nvmlSystem")},
        "gpus": [gpu(nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(nvml.nvmlDeviceGetCount())],
        "torch": asdict(torch),
    }


def _plain(answer: Any) -> Any:
    if isinstance(answer, bytes):
        return answer.decode()
    if isinstance(answer, list | tuple):
        return [_plain(each) for each in answer]
    if isinstance(answer, int | float | str):
        return answer
    fields = [name for name, *_ in answer._fields_] if hasattr(answer, "_fields_") else vars(answer)
    return {name: _plain(getattr(answer, name)) for name in fields if getattr(answer, name) is not None}


if __name__ == "__main__":
    from os import environ

    seen = torch_view.ask({name: text for name, text in environ.items() if name != "CUDA_VISIBLE_DEVICES"})
    if not isinstance(seen, TorchView):
        raise SystemExit(f"{seen.code}: {seen.detail}")
    sys.stdout.write(json.dumps(record(pynvml, seen), indent=1) + "\n")
