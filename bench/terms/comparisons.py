"""Two runs side by side: what was compared, what differs between them, and the answer."""

from dataclasses import dataclass
from typing import Literal

from bench.terms.devices import Scalar
from bench.terms.judgement import Estimate

ComparisonWord = Literal["same", "faster", "slower", "ambiguous", "not-comparable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fact that is not the same in both runs: its code and both values, None where it has none."""

    fact: str
    base: Scalar | None
    other: Scalar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRatio:
    """The other run's rate over the base's, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRate:
    """One run's rate. `row` is the one that it comes from, `reason` the code why there is no estimate."""

    device: str
    row: str | None
    estimate: Estimate | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A rate of one run held against the same one of the base: the devices' figures, or a single row.

    `row` is None for the figures. A side is None where its run has no such rate. `reason` is the code why
    a comparison is ambiguous, or why it has no ratio. `forbidding` are facts that must agree and do not,
    `beside` those that may differ: they are what one compares.
    """

    precision: str
    row: str | None
    base: ComparedRate | None
    other: ComparedRate | None
    ratio: RateRatio | None
    word: ComparisonWord
    reason: str | None
    forbidding: tuple[Difference, ...]
    beside: tuple[Difference, ...]
