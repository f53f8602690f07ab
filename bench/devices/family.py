"""What a device family is, where all of them are found, and how typed selectors choose among them.

To add a family is to add one file to this folder that defines `FAMILY`. A selector is the family
("cuda"), the device's own selector ("cuda:3"), its beginning up to a colon ("ort:EP:NPU"), or the
family and a UUID ("cuda:GPU-...", "cuda:MIG-..."). One that cannot be had in full is refused, never cut down.
"""

import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from bench.errors import CannotMeasure, UsageError
from bench.terms import Device, Family, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a family found here, and each thing it did not find with the reason.

    An Unavailable's subject is a selector or its beginning: "cuda" for all of the family, "cuda:5" for one.
    """

    family: Family
    devices: tuple[Device, ...]
    unavailable: tuple[Unavailable, ...]

    def __post_init__(self) -> None:
        if not self.devices and not self.unavailable:
            raise ValueError(f"{self.family}: a family without a device says why")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFamily:
    """One kind of device that is found the same way. `look` asks this machine, at every call."""

    name: Family
    look: Callable[[], Inventory]


def families(package: str = "bench.devices") -> Mapping[str, DeviceFamily]:
    """Every family defined in the package's files, in the files' order; a duplicate names both files."""
    found: dict[str, tuple[str, DeviceFamily]] = {}
    for module in sorted(
        pkgutil.iter_modules(import_module(package).__path__), key=lambda module: module.name
    ):
        family = getattr(import_module(f"{package}.{module.name}"), "FAMILY", None)
        if family is None:
            continue
        if family.name in found:
            first = found[family.name][0]
            raise CannotMeasure(
                f"{first}.py and {module.name}.py in {package} both define the device family "
                f"{family.name!r}: expected one file. Remove or rename the other."
            )
        found[family.name] = (module.name, family)
    return {name: family for name, (_, family) in found.items()}


def inventory() -> tuple[Inventory, ...]:
    """Everything that can be measured on this machine, and the reasons for what cannot."""
    return tuple(family.look() for family in families().values())


def select(selectors: Sequence[str], inventories: Sequence[Inventory]) -> tuple[Device, ...]:
    """The devices that were asked for, each once, in the order asked.

    Raises UsageError for a selector that names nothing known, CannotMeasure for one whose device or
    family is known but cannot be had here.
    """
    if not selectors:
        raise UsageError(f"no device was named: expected one of {_known(inventories)}. Type --device cpu.")
    chosen = (device for selector in selectors for device in _chosen(selector, inventories))
    return tuple({device.selector: device for device in chosen}.values())


def _chosen(selector: str, inventories: Sequence[Inventory]) -> tuple[Device, ...]:
    found = next((item for item in inventories if item.family == selector.partition(":")[0]), None)
    if found is None:
        raise _unknown(selector, inventories)
    refused = [
        why for why in found.unavailable if _within(selector, why.subject) or _within(why.subject, selector)
    ]
    if refused:
        raise CannotMeasure(_refusal(selector, refused, found.devices))
    devices = tuple(device for device in found.devices if _names(selector, device))
    if not devices:
        raise _unknown(selector, inventories)
    return devices


def _within(selector: str, wider: str) -> bool:
    return selector == wider or selector.startswith(wider + ":")


def _names(selector: str, device: Device) -> bool:
    """A GPU that is cut into instances is named by all of them."""
    uuids = {device.fact("uuid"), device.fact("gpu-uuid")} - {None}
    return _within(device.selector, selector) or selector in {f"{device.family}:{uuid}" for uuid in uuids}


def _refusal(selector: str, refused: Iterable[Unavailable], devices: Sequence[Device]) -> str:
    reasons = "; ".join(
        f"{why.subject} is unavailable ({why.code}): {why.detail.rstrip('. ')}" for why in refused
    )
    others = ", ".join(device.selector for device in devices if _names(selector, device))
    next_step = f"Name the ones you want ({others}), or type" if others else "Type"
    return f"cannot measure on {selector!r}: {reasons}. {next_step} `bench devices` to see what is there."


def _unknown(selector: str, inventories: Sequence[Inventory]) -> UsageError:
    names = ", ".join(item.family for item in inventories)
    return UsageError(
        f"unknown device {selector!r}: known here are {_known(inventories)} (families: {names}). "
        "Type for example --device cpu; `bench devices` lists them all."
    )


def _known(inventories: Sequence[Inventory]) -> str:
    return ", ".join(device.selector for item in inventories for device in item.devices) or "none"
