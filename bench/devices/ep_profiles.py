"""What must be known about an execution provider (EP) before its options are believed: profiles/eps, read.

Which options keep the work on the device, which could send it elsewhere, and where a device of hardware
type CPU is a simulator. An EP of which no file is known is taken as it offers itself.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from bench.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """How an EP is kept on hardware of one type. Of each option the first value holds, and no other is taken
    than those listed. With `processor` it is for that machine alone (platform.machine()).
    """

    hardware: str
    options: Mapping[str, tuple[str, ...]]
    processor: str | None = None
    simulator: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpProfile:
    """One EP, known by its name or by its library's file name, whatever that was registered as."""

    provider: str
    file: str = ""
    libraries: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    # The key of a device's metadata that says that it shares work out among others by itself.
    shares_out: str | None = None
    # The key that holds the hardware's own name.
    described_by: str = ""
    # Options that are never passed on, with the reason; and those whose values are known.
    refused: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # None at all: it stays on every device that it offers.
    placings: tuple[Placing, ...] = ()

    def placing(self, hardware: str, processor: str) -> Placing | None:
        """How it is kept on this type of hardware here; None where nothing is known that keeps it there."""
        if not self.placings:
            return Placing(hardware=hardware, options={})
        fitting = (
            placing
            for placing in self.placings
            if placing.hardware == hardware and placing.processor in (None, processor)
        )
        return next(fitting, None)

    def check(self, options: Mapping[str, str], hardware: str) -> None:
        """UsageError for an option that this EP would take without a word and not do."""
        known = dict(self.values)
        for placing in self.placings:
            known |= placing.options if placing.hardware == hardware else {}
        for key, value in options.items():
            if key in self.refused:
                raise UsageError(
                    f"--ep-option {key}={value} is refused for {self.provider}: {self.refused[key]}."
                )
            if value not in known.get(key, (value,)):
                raise UsageError(
                    f"--ep-option {key}={value} is not known to {self.provider} on hardware of type "
                    f"{hardware}: expected {' or '.join(known[key])}."
                )


def profile(provider: str, library: str) -> EpProfile:
    """Of the EP that is called so or comes from a library file of that name; empty where none ships."""
    fitting = (each for each in profiles() if each.provider == provider or library in each.libraries)
    return next(fitting, None) or EpProfile(provider=provider)


@cache
def profiles() -> tuple[EpProfile, ...]:
    """All that ship, by the file's name."""
    found = (resources.files("bench.profiles") / "eps").iterdir()
    files = sorted((file for file in found if file.name.endswith(".toml")), key=lambda file: file.name)
    return tuple(read(file.read_text("utf-8"), f"profiles/eps/{file.name}") for file in files)


def read(text: str, file: str) -> EpProfile:
    """A profile from its text; TypeError for a key that no profile has, KeyError for one that is missing."""
    rows = tomllib.loads(text)
    return EpProfile(
        file=file,
        libraries=tuple(rows.pop("libraries")),
        sources=tuple(rows.pop("sources")),
        values=_values(rows.pop("values", {})),
        placings=tuple(_placing(**row) for row in rows.pop("placing", [])),
        **rows,
    )


def _placing(*, options: Mapping[str, list[str]], **rest: Any) -> Placing:
    return Placing(options=_values(options), **rest)


def _values(table: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(values) for key, values in table.items()}
