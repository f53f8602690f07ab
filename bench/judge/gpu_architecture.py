"""Which architecture a GPU is, and what one of its multiprocessors does per clock: profiles/arch, read.

The vendor and the compute capability decide; a GPU that fits no profile is unknown, and there is no
nearest one. What a multiprocessor does at most may be more than a cheaper part of the same capability
does: a ceiling accuses, so the higher one stands, and the profile's note says so.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from bench.errors import UsageError
from bench.judge.catalog import architectures, shipped_id
from bench.judge.tables import Table
from bench.precision import PRECISIONS
from bench.terms import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInstruction:
    """What a multiprocessor does at most per clock in a precision; a multiply-add is two operations.

    `sparse_ops_per_clock` is that of 2:4 sparse products, their zeros counted; None without them.
    """

    precision: str
    name: str
    ops_per_clock: int
    sparse_ops_per_clock: int | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuArchitecture:
    """A family of GPUs. `compute_capability` is NVIDIA's ("9.0"), or AMD's target in its place ("gfx942")."""

    id: str
    name: str
    vendor: str
    compute_capability: str
    instructions: tuple[GpuInstruction, ...]
    note: str
    digest: str

    def fits(self, device: Device) -> bool:
        """Whether the device's facts are this family's."""
        told = device.fact("compute-capability") or device.fact("gcn-arch")
        # ROCm names features after the target: gfx942:sramecc+:xnack-.
        capability = str(told).partition(":")[0]
        return (device.family, device.vendor, capability) == ("cuda", self.vendor, self.compute_capability)

    def ops_per_clock(self, precision: str, *, sparse: bool) -> int | None:
        """What the widest instruction of the precision does; None where none is known."""
        rows = (row for row in self.instructions if row.precision == precision)
        rates = (row.sparse_ops_per_clock if sparse else row.ops_per_clock for row in rows)
        return max((rate for rate in rates if rate is not None), default=None)


def match(device: Device) -> GpuArchitecture | None:
    """The one profile that the device fits, None when there is none."""
    return next((profile for profile in known() if profile.fits(device)), None)


@cache
def known() -> tuple[GpuArchitecture, ...]:
    """Every profile that ships, sorted by id."""
    return distinct(
        read(data, f"profiles/arch/{stem}.toml") for stem, data in sorted(architectures("gpu").items())
    )


def distinct(profiles: Iterable[GpuArchitecture]) -> tuple[GpuArchitecture, ...]:
    """The profiles; UsageError where two are for one capability, since a GPU fits one at most."""
    found: dict[tuple[str, str], GpuArchitecture] = {}
    for profile in profiles:
        other = found.setdefault((profile.vendor, profile.compute_capability), profile)
        if other is not profile:
            raise UsageError(
                f"{other.id} and {profile.id} in profiles/arch are both for {profile.vendor} "
                f"{profile.compute_capability}: keep one."
            )
    return tuple(found.values())


def read(data: bytes, where: str) -> GpuArchitecture:
    """A profile from its bytes; UsageError naming `where` and the key that is wrong."""
    table = Table.parse(data, where)
    profile = GpuArchitecture(
        id=shipped_id(table),
        name=table.text("name"),
        vendor=table.text("vendor"),
        compute_capability=table.text("compute_capability"),
        instructions=tuple(_instruction(row) for row in table.tables("instruction")),
        note=table.text("note", required=False),
        digest=hashlib.sha256(data).hexdigest(),
    )
    table.close()
    return profile


def _instruction(row: Table) -> GpuInstruction:
    instruction = GpuInstruction(
        precision=row.choice("precision", tuple(PRECISIONS)),
        name=row.text("name"),
        ops_per_clock=row.count("ops_per_clock"),
        sparse_ops_per_clock=row.count("sparse_ops_per_clock") if row.has("sparse_ops_per_clock") else None,
        source=row.text("source"),
    )
    row.close()
    return instruction
