"""From samples to an estimate: pure, and the same bits on every machine.

Only +, -, *, / and sqrt of IEEE doubles, math.fsum and integers are used, so that whoever recomputes
gets the file's own numbers; results are rounded to nine significant digits before they are stored.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.terms import Estimate, Sample, Visit
from bench.units import NS_PER_S

LEVEL = 0.95
METHOD = "mean-rate/visits/student-t/1"

# Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom, then 40, 60 and 120: Abramowitz
# and Stegun, Handbook of Mathematical Functions, table 26.10. Between rows the lower one serves,
# which makes the interval a little wider, never narrower.
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_T95_BEYOND = ((120, 1.980), (60, 2.000), (40, 2.021))


def t95(degrees: int) -> float:
    """Student's t such that 95 % lie within plus or minus it."""
    if degrees <= len(_T95):
        return _T95[degrees - 1]
    return next((t for least, t in _T95_BEYOND if degrees >= least), _T95[-1])


def rounded(value: float) -> float:
    """Nine significant digits: what is stored and compared."""
    return float(f"{value:.9g}")


def rate(samples: Iterable[Sample], ops: int) -> float:
    """Work over elapsed time in op/s: a mean rate, in which every slow sample counts its full time."""
    chosen = list(samples)
    elapsed_ns = sum(sample.host_ns for sample in chosen)
    return ops * sum(sample.launches for sample in chosen) * NS_PER_S / elapsed_ns


def mean_rate(visits: Sequence[Visit], ops: int, unit: str, *, real_only: bool) -> Estimate | None:
    """The mean rate over all measured windows, with its interval over visits.

    Student's t on the visits' own mean rates (each visit met the machine in another state, samples
    within a visit did not). None with fewer than two visits: one visit has no spread.
    """
    chosen = [[s for s in visit.samples if s.real or not real_only] for visit in visits]
    chosen = [samples for samples in chosen if samples]
    if len(chosen) < 2:
        return None
    value = rate((sample for samples in chosen for sample in samples), ops)
    rates = [rate(samples, ops) for samples in chosen]
    half = t95(len(rates) - 1) * deviation(rates) / math.sqrt(len(rates))
    return Estimate(
        value=rounded(value),
        low=rounded(max(0.0, value - half)),
        high=rounded(value + half),
        level=LEVEL,
        unit=unit,
        method=METHOD,
        visits=len(rates),
    )


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation (n - 1)."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) * (value - mean) for value in values) / (len(values) - 1))


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def sample_rates(visits: Sequence[Visit], ops: int) -> list[float]:
    """Each measured sample's own rate in op/s: for diagnostics, never the figure."""
    return [rate([sample], ops) for visit in visits for sample in visit.samples]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A median of ratios and its 95 % interval by order statistics."""

    value: float
    low: float
    high: float


def operand_ratio(visits: Sequence[Visit]) -> Ratio | None:
    """Rate on real-valued operands over rate on exact ones, None where one of them never ran.

    Each real sample is held against the exact samples next to it, so that a machine that drifts does
    not pass for one that treats operands differently; the median of these ratios leaves out the few
    that another process disturbed. Its interval is free of any distribution: of n ordered ratios the
    ones 0.98 sqrt(n) ranks from the middle (normal approximation of the sign test); all of a few.
    """
    ratios = []
    for visit in visits:
        for index, sample in enumerate(visit.samples):
            near = [s for s in visit.samples[max(0, index - 2) : index + 3] if not s.real]
            if sample.real and near:
                exact_ns = sum(s.host_ns for s in near) / sum(s.launches for s in near)
                ratios.append(exact_ns * sample.launches / sample.host_ns)
    if not ratios:
        return None
    ordered = sorted(ratios)
    rank = max(0, math.floor(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))))
    return Ratio(value=median(ordered), low=ordered[rank], high=ordered[-1 - rank])


def half_width(estimate: Estimate) -> float:
    """The interval's half-width as a share of the value: what the stopping rule looks at."""
    return (estimate.high - estimate.low) / 2 / estimate.value
