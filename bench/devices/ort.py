"""The family `ort`: what ONNX Runtime's execution providers (EPs) offer as devices.

A device is what `get_ep_devices()` offers once every library that can be found is registered;
`get_available_providers()` proves nothing and is only held against it. What hardware it is, its
OrtHardwareDevice says. An installation in which two distributions own the same folder is refused.
"""

import platform
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from bench.devices import cpu, ep_libraries, ep_profiles
from bench.devices.ep_libraries import Library
from bench.devices.ep_profiles import EpProfile, Placing
from bench.devices.family import DeviceFamily, Inventory
from bench.devices.overheard import overheard
from bench.devices.tree import absent
from bench.errors import CannotMeasure, UsageError
from bench.terms import Device, DeviceKind, Fact, Scalar, Unavailable

INSTALL = "pip install 'compute-evidence[measure]'"
OFFER = "onnxruntime get_ep_devices()"

_KINDS: dict[str, DeviceKind] = {"CPU": "cpu", "GPU": "gpu", "NPU": "npu"}
_LIBRARY = "library_path"
_OPTION = "ep-option."
_NAMED = "--ep-library"
# What a device of hardware type CPU has in common with the device `cpu`.
_OF_THE_CPU = ("threads-usable", "instruction-sets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What ONNX Runtime does not say: the processor's architecture, and facts of the device `cpu`."""

    processor: str
    facts: tuple[Fact, ...]


def inventory(
    load: Callable[[], Any], owners: Sequence[str], plugins: Sequence[Library | Unavailable], host: Host
) -> Inventory:
    """`load` imports and returns onnxruntime; `owners` are the distributions that own its folder."""
    with overheard() as words:
        runtime = _sound(load, owners)
        if isinstance(runtime, Unavailable):
            return Inventory(family="ort", devices=(), unavailable=(runtime,))
        package = f"{' '.join(owners)} {runtime.__version__}"
        libraries = {each.name: each for each in ep_libraries.bundled(runtime, package)}
        # A plugin stands for what the build holds under the same name.
        libraries |= {each.name: each for each in plugins if isinstance(each, Library)}
        outcomes = _register(runtime, libraries.values())
        offered, providers = runtime.get_ep_devices(), runtime.get_available_providers()
        said = words()
    whole = (
        _told("onnxruntime-version", runtime.__version__, "onnxruntime"),
        _told("onnxruntime-distribution", " ".join(owners), "installed distributions"),
        _told("available-providers", " ".join(providers), "onnxruntime get_available_providers()"),
    )
    packages = {"": package, **{str(each.path): each.package for each in libraries.values()}}
    found = [_device(selector, each, packages, host, whole) for selector, each in _numbered(offered)]
    silent = dict.fromkeys((*outcomes, *providers), said) | outcomes
    for each in offered:
        silent.pop(each.ep_name, None)
    return Inventory(
        family="ort",
        devices=tuple(each for each in found if isinstance(each, Device)),
        unavailable=(
            *(each for each in (*found, *plugins) if isinstance(each, Unavailable)),
            *(_offers_nothing(name, outcome) for name, outcome in silent.items()),
        ),
    )


def name_libraries(words: Sequence[str]) -> None:
    """Registers what --ep-library NAME=PATH names, so that its devices are found like any other.

    UsageError for words that name no library, CannotMeasure for one that does not load or has no device.
    """
    libraries = ep_libraries.named(words)
    if not libraries:
        return
    with overheard():
        runtime = _sound(_load, _owners())
    if isinstance(runtime, Unavailable):
        raise CannotMeasure(f"--ep-library: {runtime.detail}")
    for library in libraries:
        outcome = ep_libraries.register(runtime, library)
        if isinstance(outcome, Unavailable):
            raise CannotMeasure(f"--ep-library {library.name}: ONNX Runtime refuses it: {outcome.detail}")
        if str(library.path) not in {each.ep_metadata.get(_LIBRARY) for each in runtime.get_ep_devices()}:
            raise CannotMeasure(
                f"--ep-library {library.name}: {library.path.name} loads, and offers no device here"
                f"{_quoted(outcome)}. Check that its driver is loaded and its hardware is there."
            )


def with_options(devices: Sequence[Device], words: Sequence[str]) -> tuple[Device, ...]:
    """The devices, those of the one EP among them with the options of --ep-option KEY=VALUE in force.

    UsageError for a word that is none, for none or several EPs, and for what the EP would not do.
    """
    options = _options(words)
    if not options:
        return tuple(devices)
    providers = {str(device.fact("ep")) for device in devices if device.family == "ort"}
    if len(providers) != 1:
        named = ", ".join(sorted(providers)) or "none"
        raise UsageError(
            "--ep-option is for the devices of one execution provider: expected one among --device, "
            f"got {named}. Type for example --device ort:QNNExecutionProvider."
        )
    return tuple(_with(device, options) if device.family == "ort" else device for device in devices)


def add_to(session_options: Any, device: Device) -> None:
    """Adds the device, with its options in force, to an onnxruntime SessionOptions.

    CannotMeasure when this process is not offered it (any more).
    """
    offered = dict(_numbered(_load().get_ep_devices()))
    if device.selector not in offered:
        raise CannotMeasure(
            f"{device.selector} is no longer offered by ONNX Runtime, which offers "
            f"{', '.join(offered) or 'nothing'}. Type `bench devices` to see why."
        )
    session_options.add_provider_for_devices([offered[device.selector]], options_of(device))


def options_of(device: Device) -> dict[str, str]:
    """The EP options in force: its profile's, and those that were typed."""
    return {
        fact.name.removeprefix(_OPTION): str(fact.value)
        for fact in device.facts
        if fact.name.startswith(_OPTION)
    }


def _load() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onnxruntime
    return onnxruntime


def _owners() -> tuple[str, ...]:
    from importlib.metadata import packages_distributions

    return tuple(sorted(set(packages_distributions().get("onnxruntime", ()))))


def _here() -> Inventory:
    processor = cpu.inventory(cpu.affinity_here())
    shared = (fact for device in processor.devices for fact in device.facts if fact.name in _OF_THE_CPU)
    host = Host(processor=platform.machine(), facts=tuple(shared))
    return inventory(_load, _owners(), ep_libraries.installed(), host)


FAMILY = DeviceFamily(name="ort", look=_here)


# ------------------------------------------------------------------------------------------ the installation


def _sound(load: Callable[[], Any], owners: Sequence[str]) -> Any:
    """onnxruntime, or the Unavailable that says why it cannot be asked."""
    if len(owners) > 1:
        return _none("two-onnxruntimes", _mend(owners))
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
    return runtime


def _register(runtime: Any, libraries: Iterable[Library]) -> dict[str, str | Unavailable]:
    """How it went with each, by name; what is offered already came from a library that was named."""
    offered = {each.ep_name for each in runtime.get_ep_devices()}
    return {
        library.name: ep_libraries.register(runtime, library)
        for library in libraries
        if library.name not in offered
    }


def _none(code: str, detail: str) -> Unavailable:
    return Unavailable(subject="ort", code=code, detail=detail)


def _offers_nothing(provider: str, outcome: str | Unavailable) -> Unavailable:
    if isinstance(outcome, Unavailable):
        return outcome
    detail = f"get_ep_devices() offers no device of it{_quoted(outcome)}"
    return Unavailable(subject=f"ort:{provider}", code="no-ep-device", detail=detail)


def _quoted(words: str) -> str:
    return f"; onnxruntime said: {words}" if words else ""


def _mend(owners: Sequence[str]) -> str:
    both = " ".join(owners)
    return (
        f"{' and '.join(owners)} overwrote one another in the folder onnxruntime/. "
        f"Type: pip uninstall -y {both}; then install one of them: pip install {owners[-1]}"
    )


# ------------------------------------------------------------------------------------------------- devices


def _numbered(offered: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Each with its selector; those of one EP and type are numbered in the order of the offer."""
    seen: Counter[str] = Counter()
    for each in offered:
        route = f"ort:{each.ep_name}:{each.device.type.name}"
        yield f"{route}:{seen[route]}", each
        seen[route] += 1


def _device(
    selector: str, each: Any, packages: Mapping[str, str | None], host: Host, whole: tuple[Fact, ...]
) -> Device | Unavailable:
    hardware = each.device
    library = each.ep_metadata.get(_LIBRARY, "")
    profile = ep_profiles.profile(each.ep_name, Path(library).name)
    placing = profile.placing(hardware.type.name, host.processor)
    if profile.shares_out in each.ep_metadata:
        detail = f"it shares work out among devices by itself; name another device of {profile.provider}"
        return Unavailable(subject=selector, code="ep-shares-out", detail=detail)
    if placing is None:
        detail = f"{hardware.type.name}, on a processor of type {host.processor}"
        return Unavailable(subject=selector, code="ep-not-kept", detail=detail)
    return Device(
        selector=selector,
        family="ort",
        kind=_KINDS.get(hardware.type.name, "accelerator"),
        name=placing.name
        or each.ep_metadata.get(profile.described_by)
        or hardware.metadata.get("Description")
        or f"{hardware.vendor or 'unnamed'} {hardware.type.name}",
        vendor=hardware.vendor or None,
        facts=(
            *_facts(each),
            *_origin(library, packages),
            *_options_told(each, placing, profile),
            *(host.facts if hardware.type.name == "CPU" else ()),
            *whole,
        ),
    )


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


def _origin(library: str, packages: Mapping[str, str | None]) -> Iterator[Fact]:
    """What the EP was installed with; `library` is its file, "" for an EP that is part of ONNX Runtime."""
    package = packages.get(library)
    if package is None:
        yield absent("ep-package", _NAMED, "library-named")
    else:
        yield Fact(name="ep-package", value=package, source="installed distributions")
    if library:
        try:
            digest = ep_libraries.digest(Path(library))
        except OSError:
            yield absent("ep-library-sha256", _LIBRARY, "not-readable")
        else:
            yield Fact(name="ep-library-sha256", value=digest, source=_LIBRARY)


def _options_told(each: Any, placing: Placing, profile: EpProfile) -> Iterator[Fact]:
    """The options in force unless others are typed: the EP's own for the device, then its profile's."""
    own = {key: value for key, value in each.ep_options.items() if key not in placing.options}
    for key, value in own.items():
        yield Fact(name=f"{_OPTION}{key}", value=value, source=OFFER)
    for key, values in placing.options.items():
        yield Fact(name=f"{_OPTION}{key}", value=values[0], source=profile.file)
    if placing.simulator is not None:
        yield Fact(name="simulator", value=placing.simulator, source=profile.file)


def _told(name: str, value: Scalar, source: str) -> Fact:
    """ONNX Runtime writes "unknown" as an empty text or as the number 0."""
    return Fact(name=name, value=value, source=source) if value else absent(name, source, "not-told")


# ------------------------------------------------------------------------------------------------- options


def _options(words: Sequence[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"--ep-option {word!r} is not understood: expected KEY=VALUE, as in backend_type=htp."
            )
        if key in options:
            raise UsageError(f"--ep-option names {key!r} twice: expected one value for each key.")
        options[key] = value
    return options


def _with(device: Device, typed: Mapping[str, str]) -> Device:
    profile = ep_profiles.profile(str(device.fact("ep")), str(device.fact(f"ep-metadata.{_LIBRARY}")))
    profile.check(typed, str(device.fact("hardware-type")))
    new = tuple(
        Fact(name=f"{_OPTION}{key}", value=value, source="--ep-option") for key, value in typed.items()
    )
    replaced = {fact.name for fact in new}
    return replace(device, facts=(*(fact for fact in device.facts if fact.name not in replaced), *new))
