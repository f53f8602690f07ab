"""Profiles as values: what rules ask and what vendors declare, read from the TOML files of profiles/.

Strict: an unknown or missing key, a wrong unit, a figure without source is refused, naming file and
key. A device is matched by the exact name and kind it reports; there is no default for an unknown one.
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

from bench.errors import UsageError
from bench.precision import PRECISIONS
from bench.terms import Declaration, Density, Device, DeviceSpec, Limit, Provenance, Reference, RuleSet, Tier
from bench.units import TERA

KINDS = ("cpu", "gpu", "npu", "accelerator")
UNITS = ("TFLOPS", "TOPS")
ASSURANCE_LEVELS = ("A0", "A1", "A2", "A3")

T = TypeVar("T")


def rule_ids() -> tuple[str, ...]:
    """The rule sets that ship, by the id that --rules takes."""
    return tuple(_shipped_rules())


def rules(name_or_path: str) -> RuleSet:
    """A shipped rule set by its id, or one of your own as FILE.toml; UsageError for anything else."""
    if name_or_path.endswith(".toml"):
        return _rule_set(_Table.parse(_read(Path(name_or_path)), name_or_path))
    if name_or_path not in _shipped_rules():
        known = ", ".join(rule_ids())
        raise UsageError(f"unknown rule set {name_or_path!r}: known are {known}, or a file of your own, FILE.toml.")
    return _shipped_rules()[name_or_path]


def device_spec(device: Device) -> DeviceSpec | None:
    """What the vendor declared for the device of exactly this name and kind; None when nobody did."""
    return _by_name().get((device.kind, device.name))


@cache
def specs() -> tuple[DeviceSpec, ...]:
    """Every device profile, sorted by file name; a duplicate id is an error naming it."""
    return tuple(_unique(_shipped("devices", _device_spec), "id", lambda spec: [spec.id]).values())


@cache
def _shipped_rules() -> dict[str, RuleSet]:
    return {key: rule_set for key, rule_set in _unique(
        _shipped("rules", _rule_set), "id", lambda rule_set: [rule_set.id]
    ).items()}


@cache
def _by_name() -> dict[tuple[str, str], DeviceSpec]:
    found = _unique(((spec.id, spec) for spec in specs()), "name", lambda spec: [(spec.kind, n) for n in spec.names])
    return found
