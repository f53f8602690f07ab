"""A system: several devices measured at once, each by a process (rank) of its own that signs its part."""

from dataclasses import dataclass
from typing import Literal

from bench.terms.checks import require
from bench.terms.evidence import Case, Digest, Harness
from bench.terms.judgement import Claim, Estimate, Verdict

# What a system's verdict calls all devices together.
SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question to rank 0 about its time, in ns: each rank counts from the start of its own run.

    `sent_ns` and `back_ns` are the asking rank's, `received_ns` and `answered_ns` are rank 0's. `phase` says
    whether it lies before or after the windows that all share.
    """

    phase: Literal["before", "after"]
    sent_ns: int
    received_ns: int
    answered_ns: int
    back_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One rank's part: its report as it signed it; a reason code why it is not its last one, or is missing.

    `node` counts machines from 0, `device` is the selector that the rank measured there. `key` is its public
    key in OpenSSH's format, for which rank 0 speaks; `report` the base64 of its envelope's JSON.
    """

    rank: int
    node: int
    device: str
    key: str
    report: str | None
    exchanges: tuple[Exchange, ...]
    reason: str | None

    def __post_init__(self) -> None:
        require(bool(self.report or self.reason), f"rank {self.rank}: a report or a reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one rank brought to the common window, in op/s.

    `rate` is its work in the window over the window's length, `own_rate` the same work over the time in
    which it was at work. `alone` is its rate while all others waited, None where it was not measured alone.
    """

    rank: int
    row: str
    rate: float
    own_rate: float
    alone: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFigure:
    """All devices at once in one precision: the work inside the common window over its length.

    The window counts from the start of rank 0's run. `total` is the sum of the shares' own rates, which the
    figure never exceeds. `slowest` is a rank; `spread` is (highest - lowest) / mean of the shares' rates;
    `loss` is 1 - rate / alone of the rank that was measured alone. A reason code where there is no figure.
    """

    precision: str
    estimate: Estimate | None
    begin_ns: int | None
    end_ns: int | None
    shares: tuple[Share, ...]
    total: float | None
    slowest: int | None
    spread: float | None
    loss: float | None
    reason: str | None

    def __post_init__(self) -> None:
        require(
            (self.estimate is None) == (self.reason is not None), f"{self.precision}: a figure or a reason"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemEvidence:
    """The predicate about a system: every rank's signed report, and what follows from all of them.

    Claims are about the system as a whole. The verdict's device is called "system".
    """

    format: str
    created: str
    mode: Literal["default", "quick"]
    assurance: str
    interrupted: bool
    nonce: str
    challenge: Digest | None
    case: Case | None
    harness: Harness
    claims: tuple[Claim, ...]
    rules: Digest
    members: tuple[Member, ...]
    figures: tuple[SystemFigure, ...]
    verdict: Verdict
    does_not_show: tuple[str, ...]
