"""A system's parts as a report shows them: each rank's own report, its key, how far off its clock is."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.evidence import envelope, keys
from bench.report.parts import Part

if TYPE_CHECKING:
    # Slow to import, and a listing needs none of it.
    from bench.judge import system


def shown(parts: "Sequence[system.Part]") -> tuple[Part, ...]:
    """One for each part that was read (verify_system), in their order."""
    return tuple(_shown(part) for part in parts)


def _shown(part: "system.Part") -> Part:
    member = part.member
    base = part.base if member.rank else None
    return Part(
        rank=member.rank,
        evidence=part.evidence,
        number=None if member.report is None else report_number(member.report),
        fingerprint=keys.parse_public(member.key, f"rank {member.rank}").fingerprint if member.key else None,
        offset_ns=None if base is None else base.before.ns,
        uncertainty_ns=None if base is None else base.uncertainty_ns,
    )


def report_number(report: str) -> str:
    """The number of a member's report, which is the base64 of an envelope's JSON."""
    return envelope.report_number(envelope.parse(base64.b64decode(report)))
