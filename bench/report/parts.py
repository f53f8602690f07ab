"""The parts of a system as a report needs them: each rank's own report, and how far off its clock is."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.printable import printable
from bench.report.language import listed, tr
from bench.terms import Device, Estimate, Evidence, SystemEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one rank brought. `number` is its report's, `fingerprint` its key's, None where it sent none.

    `evidence` and `number` are None where its report did not come. `offset_ns` is what must be added to its
    time to have rank 0's, give or take `uncertainty_ns`; None of rank 0, and where too little was asked.
    """

    rank: int
    evidence: Evidence | None
    number: str | None
    fingerprint: str | None
    offset_ns: float | None
    uncertainty_ns: float | None

    @property
    def device(self) -> Device | None:
        """The one device that the rank measured."""
        return self.evidence.devices[0] if self.evidence is not None else None

    @property
    def uuid(self) -> str | None:
        """What tells the device from others of its kind, where it says so."""
        told = self.device.fact("uuid") if self.device is not None else None
        return None if told is None else printable(str(told))

    @property
    def figures(self) -> dict[str, Estimate]:
        """The figure of each precision that has one, by the rank's own report."""
        if self.evidence is None:
            return {}
        return {row.precision: row.estimate for row in self.evidence.figures if row.estimate is not None}


def names(parts: Sequence[Part]) -> str:
    """`8 × NVIDIA H100`: the devices that are known by name, each kind once."""
    return counted(printable(part.device.name) for part in parts if part.device is not None)


def counted(each: Iterable[str]) -> str:
    """Each name once, with how often it is there."""
    return listed(f"{number} × {name}" for name, number in Counter(each).items())


def size(evidence: SystemEvidence) -> str:
    """How many devices on how many machines."""
    machines = len({member.node for member in evidence.members})
    return tr(
        "{devices} device(s) on {machines} machine(s), measured at once",
        devices=len(evidence.members),
        machines=machines,
    )


def offset(part: Part) -> str | None:
    """`+1.234567 s ± 12 µs`: how far the rank's clock is from rank 0's, each counting from its own start."""
    if part.offset_ns is None or part.uncertainty_ns is None:
        return None
    return f"{part.offset_ns / 1e9:+.6f} s ± {part.uncertainty_ns / 1000:.0f} µs"
