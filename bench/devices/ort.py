"""The family `ort`: what ONNX Runtime's execution providers (EPs) offer as devices. Identity only.

A device is what `get_ep_devices()` offers; `get_available_providers()` proves nothing and is only
held against it. An installation in which two distributions own the same folder is refused.
"""

import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import PureWindowsPath
from typing import IO, Any

from bench.devices.family import DeviceFamily, Inventory
from bench.devices.tree import absent
from bench.terms import Device, DeviceKind, Fact, Scalar, Unavailable

INSTALL = "pip install 'compute-evidence[measure]'"
OFFER = "onnxruntime get_ep_devices()"


def inventory(load: Callable[[], Any], owners: Sequence[str]) -> Inventory:
    """`load` imports and returns onnxruntime; `owners` are the distributions that own its folder."""
    if len(owners) > 1:
        return _none("two-onnxruntimes", _mend(owners))
    with _overheard() as file:
        try:
            runtime = load()
        except ModuleNotFoundError as error:
            return _none("no-onnxruntime", f"{error}. Type: {INSTALL}")
        except ImportError as error:
            return _none("broken-onnxruntime", f"{error}. Type: pip install --force-reinstall onnxruntime")
        if runtime.__file__ is None:
            return _none(
                "hollow-onnxruntime",
                "its folder holds no module. Type: pip install --force-reinstall onnxruntime",
            )
        if not hasattr(runtime, "get_ep_devices"):
            return _none(
                "old-onnxruntime", f"{runtime.__version__} has no get_ep_devices(). Type: {INSTALL} --upgrade"
            )
        offered, providers = runtime.get_ep_devices(), runtime.get_available_providers()
        words = _words(file)
    whole = (
        _told("onnxruntime-version", runtime.__version__, "onnxruntime"),
        _told("onnxruntime-distribution", " ".join(owners), "installed distributions"),
        _told("available-providers", " ".join(providers), "onnxruntime get_available_providers()"),
    )
    idle = (name for name in providers if name not in {device.ep_name for device in offered})
    return Inventory(
        family="ort",
        devices=tuple(_devices(offered, whole)),
        unavailable=tuple(_offers_nothing(name, words) for name in idle),
    )


def _load() -> Any:
    import onnxruntime

    return onnxruntime


def _owners() -> tuple[str, ...]:
    from importlib.metadata import packages_distributions

    return tuple(sorted(set(packages_distributions().get("onnxruntime", ()))))


def _here() -> Inventory:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return inventory(_load, _owners())


FAMILY = DeviceFamily(name="ort", look=_here)


_KINDS: dict[str, DeviceKind] = {"CPU": "cpu", "GPU": "gpu", "NPU": "npu"}


def _devices(offered: Iterable[Any], whole: tuple[Fact, ...]) -> Iterator[Device]:
    """Several devices of one EP and type are numbered in the order in which the EP offers them."""
    seen: Counter[str] = Counter()
    for each in offered:
        hardware = each.device.type.name
        route = f"ort:{each.ep_name}:{hardware}"
        yield Device(
            selector=f"{route}:{seen[route]}",
            family="ort",
            kind=_KINDS.get(hardware, "accelerator"),
            name=each.device.metadata.get("Description") or f"{each.device.vendor or 'unnamed'} {hardware}",
            vendor=each.device.vendor or None,
            facts=(*_facts(each), *whole),
        )
        seen[route] += 1


def _facts(each: Any) -> Iterator[Fact]:
    hardware = each.device
    yield _told("ep", each.ep_name, OFFER)
    yield _told("ep-vendor", each.ep_vendor, OFFER)
    yield _told("hardware-type", hardware.type.name, OFFER)
    yield _told("hardware-vendor", hardware.vendor, OFFER)
    yield _told("vendor-id", hardware.vendor_id, OFFER)
    yield _told("device-id", hardware.device_id, OFFER)
    yield from _metadata("ep-metadata", each.ep_metadata)
    yield from _metadata("hardware-metadata", hardware.metadata)
    if hardware.type.name == "CPU":
        # Reached by another road, never summed with it.
        yield Fact(name="same-silicon-as", value="cpu", source="hardware-type")


def _metadata(prefix: str, table: Mapping[str, str]) -> Iterator[Fact]:
    """Paths are cut to the file's name: what stands before it may hold a user's name."""
    for key in sorted(table):
        text = table[key]
        is_path = text.startswith("/") or PureWindowsPath(text).is_absolute()
        yield _told(f"{prefix}.{key}", PureWindowsPath(text).name if is_path else text, OFFER)


def _told(name: str, value: Scalar, source: str) -> Fact:
    """ONNX Runtime writes "unknown" as an empty text or as the number 0."""
    return Fact(name=name, value=value, source=source) if value else absent(name, source, "not-told")


def _none(code: str, detail: str) -> Inventory:
    why = Unavailable(subject="ort", code=code, detail=detail)
    return Inventory(family="ort", devices=(), unavailable=(why,))


def _offers_nothing(provider: str, words: str) -> Unavailable:
    said = f"; onnxruntime said: {words}" if words else ""
    detail = f"get_available_providers() lists it, get_ep_devices() offers no device of it{said}"
    return Unavailable(subject=f"ort:{provider}", code="no-ep-device", detail=detail)


def _mend(owners: Sequence[str]) -> str:
    both = " ".join(owners)
    return (
        f"{' and '.join(owners)} overwrote one another in the folder onnxruntime/. "
        f"Type: pip uninstall -y {both}; then install one of them: pip install {owners[-1]}"
    )


@contextmanager
def _overheard() -> Iterator[IO[bytes]]:
    """What is written to the terminal meanwhile goes to a file, also from below Python.

    At its import ONNX Runtime warns on file descriptor 2 about graphics cards it cannot read, and
    neither an option nor an environment variable stops it (microsoft/onnxruntime issue 27092).
    """
    with tempfile.TemporaryFile() as file:
        kept = dict(_copies((1, 2)))
        _flush()
        for number in kept:
            os.dup2(file.fileno(), number)
        try:
            yield file
        finally:
            _flush()
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)


def _copies(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Of those descriptors that are open."""
    for number in numbers:
        with suppress(OSError):
            yield number, os.dup(number)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _words(file: IO[bytes]) -> str:
    _flush()
    file.seek(0)
    return " | ".join(file.read().decode(errors="replace").split("\n")).strip(" |")
