"""The family `cuda`: NVIDIA's GPUs and MIG instances as NVML tells them, and AMD's as torch does.

`cuda:3` is number 3 of NVML's, which nvidia-smi shows, and `cuda:0:mig:1` an instance. What torch cannot
compute on is not offered, with the reason. `pin` makes this process see one of them alone.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.devices import cuda_visible, nvml, torch_view
from bench.devices.family import DeviceFamily, Inventory
from bench.devices.nvml import QUESTIONS, Gpu, Nvml, none
from bench.devices.torch_view import Seen, TorchView
from bench.devices.tree import HERE, absent
from bench.errors import CannotMeasure
from bench.terms import Device, Fact, Scalar, Unavailable

# Asks torch in a process that has the environment which is given.
AskTorch = Callable[[Mapping[str, str]], TorchView | Unavailable]

_TORCH = "torch get_device_properties()"
# The device file of AMD's compute driver (Linux, drivers/gpu/drm/amd/amdkfd).
_AMD_DRIVER = "dev/kfd"
_ROCM_BUILDS = "https://pytorch.org/get-started/locally"
_WITHOUT_CUDA = "torch-without-cuda"
_HIP_VISIBLE = "HIP_VISIBLE_DEVICES"
# Facts of an AMD GPU that torch tells; of what else NVML would be asked, only that it cannot be.
_TORCH_TELLS = ("name", "uuid", "memory-bytes")


def inventory(
    library: Nvml | Unavailable, ask_torch: AskTorch, environ: Mapping[str, str], root: Path = HERE
) -> Inventory:
    """`library` is the module `pynvml` or why there is none, `root` what is looked at for AMD's driver."""
    found = (library,) if isinstance(library, Unavailable) else nvml.read(library)
    gpus = [each for each in found if isinstance(each, Gpu)]
    offered: list[Device | Unavailable] = [each for each in found if isinstance(each, Unavailable)]
    if gpus:
        offered += _nvidia(gpus, ask_torch(_whole(gpus, environ)), environ)
    elif (root / _AMD_DRIVER).exists():
        view = ask_torch(environ)
        of_amd = view if isinstance(view, Unavailable) else tuple(_amd(view, environ))
        # What NVML refused says nothing about a machine that has AMD's driver.
        if isinstance(of_amd, Unavailable):
            offered = [none(of_amd.code, _mended(of_amd, f"Install its ROCm build: {_ROCM_BUILDS}"))]
        else:
            offered = [*of_amd] or offered
    return Inventory(
        family="cuda",
        devices=tuple(each for each in offered if isinstance(each, Device)),
        unavailable=tuple(each for each in offered if isinstance(each, Unavailable)),
    )


def _here() -> Inventory:
    return inventory(nvml.load(), torch_view.ask, os.environ)


FAMILY = DeviceFamily(name="cuda", look=_here)


# ---------------------------------------------------------------------------------------------------- NVIDIA


def _whole(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which CUDA lists every GPU that is not cut into instances.

    Where nothing is hidden it lists one instance and nothing else, if there is an instance (MIG User Guide,
    "CUDA Device Enumeration"): then the other GPUs are named.
    """
    shown = {name: text for name, text in environ.items() if name != cuda_visible.VISIBLE}
    whole = [gpu.uuid for gpu in gpus if not gpu.mig]
    return shown | {cuda_visible.VISIBLE: ",".join(whole)} if 0 < len(whole) < len(gpus) else shown


def _nvidia(
    gpus: Sequence[Gpu], view: TorchView | Unavailable, environ: Mapping[str, str]
) -> Iterator[Device | Unavailable]:
    if isinstance(view, TorchView) and view.cuda is None:
        view = none(_WITHOUT_CUDA, f"torch {view.version} is built for AMD's GPUs")
    empty = [gpu for gpu in gpus if gpu.mig and not gpu.instances]
    yield from map(_in_mig_mode, empty)
    if isinstance(view, Unavailable):
        why = _mended(view, "Type: pip install --force-reinstall torch")
        yield from (_refused(gpu, view.code, why) for gpu in gpus if gpu not in empty)
        return
    # torch tells a UUID without the prefix that NVML and CUDA_VISIBLE_DEVICES write before it.
    seen = {f"GPU-{each.uuid}": each for each in view.devices}
    numbered = cuda_visible.order(gpus, environ, [*seen])
    shown = environ.get(cuda_visible.VISIBLE)
    visible = cuda_visible.visible(gpus, shown, numbered)
    for gpu in gpus:
        if gpu not in empty:
            yield from _offered(gpu, view, seen.get(gpu.uuid), visible, shown or "")


def _offered(
    gpu: Gpu, view: TorchView, seen: Seen | None, visible: Mapping[str, int | None] | None, shown: str
) -> Iterator[Device | Unavailable]:
    if visible is None:
        detail = (
            f"CUDA_VISIBLE_DEVICES={shown} counts GPUs in an order of CUDA's own. "
            "Type: export CUDA_DEVICE_ORDER=PCI_BUS_ID, or name the GPUs by their UUIDs"
        )
        yield _refused(gpu, "order-not-known", detail)
    elif gpu.mig:
        for instance in gpu.instances:
            selector = f"cuda:{gpu.index}:mig:{instance.index}"
            if instance.uuid not in visible:
                yield _hidden(selector, instance.uuid, shown)
            else:
                l2 = absent("l2-bytes", _TORCH, "not-told")
                facts = (*instance.facts, l2, *_build(view), _number(visible[instance.uuid]))
                yield _device(selector, instance.fact("name"), facts, "NVIDIA")
    elif gpu.uuid not in visible:
        yield _hidden(f"cuda:{gpu.index}", gpu.uuid, shown)
    elif seen is None:
        yield _refused(gpu, "not-listed", f"torch {view.version} does not find it among CUDA's GPUs")
    else:
        facts = (*gpu.facts, *_parts(seen), *_build(view), _number(visible[gpu.uuid]))
        yield _device(f"cuda:{gpu.index}", gpu.fact("name"), facts, "NVIDIA")


def _in_mig_mode(gpu: Gpu) -> Unavailable:
    one, off = f"mig -i {gpu.index} -cgi 0 -C", f"-i {gpu.index} -mig 0"
    detail = f"it has no instance. Type: sudo nvidia-smi {one}, or to leave the mode sudo nvidia-smi {off}"
    return _refused(gpu, "in-mig-mode", detail)


def _mended(why: Unavailable, advice: str) -> str:
    return f"{why.detail}. {advice}" if why.code == _WITHOUT_CUDA else why.detail


def _refused(gpu: Gpu, code: str, detail: str) -> Unavailable:
    name = gpu.fact("name") or "unnamed GPU"
    return Unavailable(subject=f"cuda:{gpu.index}", code=code, detail=f"{name}: {detail}")


def _hidden(selector: str, uuid: str, shown: str) -> Unavailable:
    detail = f"CUDA_VISIBLE_DEVICES={shown} leaves out {uuid}. Type: unset CUDA_VISIBLE_DEVICES"
    return Unavailable(subject=selector, code="not-visible", detail=detail)


def _number(index: int | None) -> Fact:
    """By which number torch would know it here; for the reader, since `pin` leaves it number 0."""
    source = f"{cuda_visible.VISIBLE} and {cuda_visible.ORDER}"
    if index is None:
        return absent("torch-index", source, "order-not-known")
    return Fact(name="torch-index", value=index, source=source)


def _parts(seen: Seen) -> Iterator[Fact]:
    yield Fact(name="sm-count", value=seen.multiprocessors, source=_TORCH)
    yield _told("l2-bytes", seen.l2_bytes, _TORCH)


def _build(view: TorchView) -> Iterator[Fact]:
    if view.cuda is not None:
        yield Fact(name="cuda-runtime", value=view.cuda, source="torch.version.cuda")
    if view.hip is not None:
        yield Fact(name="hip-runtime", value=view.hip, source="torch.version.hip")
    # On AMD's GPUs torch tells MIOpen's version in the same place, and counts it otherwise.
    library = "cudnn" if view.hip is None else "miopen"
    version = torch_view.cudnn_version(view.cudnn) if view.hip is None else view.cudnn
    yield _told(library, version, "torch.backends.cudnn.version()")


def _told(name: str, value: Scalar | None, source: str) -> Fact:
    return absent(name, source, "not-told") if value is None else Fact(name=name, value=value, source=source)


def _device(selector: str, name: Scalar | None, facts: tuple[Fact, ...], vendor: str) -> Device:
    return Device(
        selector=selector,
        family="cuda",
        kind="gpu",
        name=str(name or "unnamed GPU"),
        vendor=vendor,
        facts=facts,
    )


# ------------------------------------------------------------------------------------------------------- AMD


def _amd(view: TorchView, environ: Mapping[str, str]) -> Iterator[Device]:
    """AMD's GPUs, which a ROCm build of torch calls cuda, as far as torch tells them."""
    if view.hip is None:
        return
    shown = environ.get(_HIP_VISIBLE, environ.get(cuda_visible.VISIBLE))
    words = shown.split(",") if shown is not None else [str(index) for index in range(len(view.devices))]
    for index, seen in enumerate(view.devices):
        facts = (
            Fact(name="index", value=index, source="torch"),
            Fact(name="name", value=seen.name, source=_TORCH),
            _told("uuid", seen.uuid, _TORCH),
            Fact(name="memory-bytes", value=seen.memory_bytes, source=_TORCH),
            _told("gcn-arch", seen.architecture, _TORCH),
            *_parts(seen),
            *_build(view),
            # Under this name HIP will find it once it is the only one.
            Fact(name="hip-visible", value=words[index].strip(), source=_HIP_VISIBLE),
            *(
                absent(question.fact, question.source, "not-nvidia")
                for question in QUESTIONS
                if question.fact not in _TORCH_TELLS
            ),
        )
        yield _device(f"cuda:{index}", seen.name, facts, "AMD")


# ------------------------------------------------------------------------------------------ one GPU a process


def pin(device: Device) -> None:
    """Let CUDA see `device` alone in this process, under the number 0; before torch looks at any GPU.

    Raises CannotMeasure where torch has opened another one already.
    """
    variable, word = _route(device)
    if os.environ.get(variable) == word:
        return
    if torch_view.opened():
        raise CannotMeasure(
            f"{device.selector} cannot be chosen any more: this process has opened others, expected none. "
            f"Measure it in a run of its own: bench run --device {device.selector}."
        )
    os.environ[variable] = word


def require_pinned(device: Device) -> None:
    """Initialise CUDA and hold torch's one GPU against the one that was chosen.

    Raises CannotMeasure where torch has another one, or several.
    """
    require_same(device, torch_view.uuids_here())


def require_same(device: Device, uuids: Sequence[str | None]) -> None:
    """Whether `uuids`, as torch tells them, are those of `device` alone; raises CannotMeasure.

    For an instance CUDA has two answers: its own UUID (cuDeviceGetUuid_v2) and its GPU's (cuDeviceGetUuid).
    """
    known = {_bare(device.fact(name)) for name in ("uuid", "gpu-uuid")} - {None}
    if len(uuids) == 1 and (_bare(uuids[0]) in known or not known):
        return
    got = ", ".join(str(uuid) for uuid in uuids) or "none"
    raise CannotMeasure(
        f"{device.selector} was chosen, UUID {device.fact('uuid')}, and torch has {got}. Start again with "
        f"nothing that opens a GPU before: bench run --device {device.selector}."
    )


def _route(device: Device) -> tuple[str, str]:
    if device.vendor == "AMD":
        return _HIP_VISIBLE, str(device.fact("hip-visible"))
    return cuda_visible.VISIBLE, str(device.fact("uuid"))


def _bare(uuid: Scalar | None) -> str | None:
    """Without the prefix that says of what it is."""
    return None if uuid is None else str(uuid).lower().removeprefix("gpu-").removeprefix("mig-")
