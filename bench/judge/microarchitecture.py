"""Which microarchitecture a processor is, and what its instructions do per clock: profiles/arch, read.

The flags that the kernel lists decide, since a virtual machine's model number may be anybody's. A
processor that fits no profile is unknown: there is no default and no nearest one.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from bench.devices.cpu import INSTRUCTION_SETS
from bench.errors import UsageError
from bench.judge.catalog import architectures, shipped_id
from bench.judge.tables import Table
from bench.precision import PRECISIONS
from bench.terms import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What one core does at most per clock with an instruction that needs `flag`; an FMA's lane is two."""

    precision: str
    name: str
    flag: str
    ops_per_clock: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Microarchitecture:
    """A family of cores. `families`, `parts` and `not_parts` are what flags alone cannot decide.

    They hold the device's facts cpu-family and cpu-part; an empty tuple asks for nothing.
    `multiply_latency` is that of a 64-bit integer multiplication in cycles. `may_hide_wider`: a virtual
    machine on wider cores may show itself as this, and nothing in its facts tells.
    """

    id: str
    name: str
    vendor: str
    has: tuple[str, ...]
    lacks: tuple[str, ...]
    families: tuple[str, ...]
    parts: tuple[str, ...]
    not_parts: tuple[str, ...]
    multiply_latency: int
    multiply_source: str
    may_hide_wider: bool
    instructions: tuple[Instruction, ...]
    note: str
    digest: str

    def fits(self, device: Device) -> bool:
        """Whether the device's facts are this family's."""
        flags = flags_of(device)
        family, part = (str(device.fact(name)) for name in ("cpu-family", "cpu-part"))
        return (
            device.family == "cpu"
            and device.fact("vendor") == self.vendor
            and flags.issuperset(self.has)
            and flags.isdisjoint(self.lacks)
            and (not self.families or family in self.families)
            and (not self.parts or part in self.parts)
            and part not in self.not_parts
        )


def flags_of(device: Device) -> frozenset[str]:
    """The instruction sets that every core of the device has."""
    return frozenset(str(device.fact("instruction-sets") or "").split())


def match(device: Device) -> Microarchitecture | None:
    """The one profile that the device fits, None when there is none."""
    return match_among(known(), device)


def match_among(profiles: Iterable[Microarchitecture], device: Device) -> Microarchitecture | None:
    """The one that fits; UsageError when two do, since then the profiles are wrong, not the device."""
    fitting = [profile for profile in profiles if profile.fits(device)]
    if len(fitting) > 1:
        names = " and ".join(profile.id for profile in fitting)
        raise UsageError(f"{names} in profiles/arch both fit {device.name!r}: a processor fits one at most.")
    return fitting[0] if fitting else None


@cache
def known() -> tuple[Microarchitecture, ...]:
    """Every processor's profile that ships, sorted by id."""
    return tuple(
        read(data, f"profiles/arch/{stem}.toml") for stem, data in sorted(architectures("cpu").items())
    )


def read(data: bytes, where: str) -> Microarchitecture:
    """A profile from its bytes; UsageError naming `where` and the key that is wrong."""
    table = Table.parse(data, where)
    multiply = table.table("multiply")
    profile = Microarchitecture(
        id=shipped_id(table),
        name=table.text("name"),
        vendor=table.text("vendor"),
        has=table.choice_of("has", INSTRUCTION_SETS),
        lacks=table.choice_of("lacks", INSTRUCTION_SETS),
        families=table.texts("families", required=False),
        parts=table.texts("parts", required=False),
        not_parts=table.texts("not_parts", required=False),
        multiply_latency=multiply.count("latency"),
        multiply_source=multiply.text("source"),
        may_hide_wider=table.flag("may_hide_wider", required=False),
        instructions=tuple(_instruction(row) for row in table.tables("instruction")),
        note=table.text("note", required=False),
        digest=hashlib.sha256(data).hexdigest(),
    )
    multiply.close()
    table.close()
    return profile


def _instruction(row: Table) -> Instruction:
    instruction = Instruction(
        precision=row.choice("precision", tuple(PRECISIONS)),
        name=row.text("name"),
        flag=row.choice("flag", INSTRUCTION_SETS),
        ops_per_clock=row.count("ops_per_clock"),
        source=row.text("source"),
    )
    row.close()
    return instruction
