"""From samples to an estimate: pure, and the same bits on every machine.

Only +, -, *, / and sqrt of IEEE doubles, math.fsum and integers are used, so that whoever recomputes
gets the file's own numbers; results are rounded to nine significant digits before they are stored.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from operator import mul

from bench.terms import Drift, Estimate, Sample, Visit
from bench.units import NS_PER_S

LEVEL = 0.95
METHOD = "mean-rate/visits+blocks/student-t/2"
METHOD_HELD = "mean-rate/one-window/batch-means/1"

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
    """The mean rate over all measured windows, with its interval over visits and blocks inside them.

    Student's t on the visits' own mean rates (each visit met the machine in another state, samples
    within a visit did not), or Student's t on block means around each visit's own mean, whichever is
    wider: a few visits agree by chance more than the scatter inside them allows. None with fewer than
    two visits: one visit has no spread.
    """
    chosen = [[s for s in visit.samples if s.real or not real_only] for visit in visits]
    chosen = [samples for samples in chosen if samples]
    if len(chosen) < 2:
        return None
    value = rate((sample for samples in chosen for sample in samples), ops)
    between = _half([[rate(samples, ops) for samples in chosen]])
    inside = _half(_block_rates(chosen, ops, spans=_VISIT_SPANS, least=_VISIT_LEAST))
    return _estimate(value, max(between, inside), unit, METHOD, len(chosen))


def window_rate(visit: Visit, ops: int, unit: str) -> Estimate | None:
    """The mean rate of one long window, with the interval of its batch means (Student's t over blocks).

    It speaks for that window, not for the machine's other states. None with fewer than ten samples.
    """
    if len(visit.samples) < _WINDOW_LEAST:
        return None
    blocks = _block_rates([visit.samples], ops, spans=_WINDOW_SPANS, least=_WINDOW_LEAST)
    return _estimate(rate(visit.samples, ops), _half(blocks), unit, METHOD_HELD, 1)


def batch_estimate(value: float, batches: Sequence[float], unit: str, method: str) -> Estimate:
    """A mean rate of one window whose batch means are known: Student's t over them."""
    return _estimate(value, _half([batches]), unit, method, 1)


def _estimate(value: float, half: float, unit: str, method: str, visits: int) -> Estimate:
    return Estimate(
        value=rounded(value),
        low=rounded(max(0.0, value - half)),
        high=rounded(value + half),
        level=LEVEL,
        unit=unit,
        method=method,
        visits=visits,
    )


def _half(groups: Sequence[Sequence[float]]) -> float:
    """Half the interval of the mean: Student's t on scatter around each group's own mean, 0 without any."""
    number = sum(map(len, groups))
    degrees = number - len(groups)
    if degrees == 0:
        return 0.0
    return t95(degrees) * math.sqrt(math.fsum(map(_squares, groups)) / degrees / number)


def _squares(values: Sequence[float]) -> float:
    """The sum of squared deviations from the mean."""
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) * (value - mean) for value in values)


# ------------------------------------------------------------------------------------------- blocks

# A block must be long enough that neighbouring block means hardly depend on each other. Its length is
# a number of autocorrelation times tau. Blocks of 10 tau find the standard error of an autoregressive
# series to 3 %, blocks of 2 tau to 13 %, always below: a block's end depends on the next one's begin.
# A long window affords the longer ones and stands alone; a visit of 8 to 100 samples does not, and its
# blocks only bound from below an interval that the visits give.
_WINDOW_SPANS, _VISIT_SPANS = 10, 2
_WINDOW_LEAST, _VISIT_LEAST = 10, 4
# 10 to 30 batches: fewer make t wide, more gain almost nothing and make batches short (Schmeiser,
# "Batch size effects in the analysis of simulation output", Operations Research 30:3, 1982).
_MOST_BLOCKS = 30
# Longer series are merged into so many runs before their autocorrelation is looked at: a correlation
# within a run is within a block as well, and the work stays bounded.
_MOST_RUNS = 400


def correlation_time(series: Sequence[Sequence[float]]) -> float:
    """The integrated autocorrelation time tau = 1 + 2 (rho_1 + rho_2 + ...), in steps of the series.

    rho_k is pooled over all series, each around its own mean, with the biased normalisation. The sum
    ends before the first rho that is not positive, beyond which there is only noise (Sokal, "Monte
    Carlo methods in statistical mechanics", 1997; the initial positive sequence of Geyer, Statistical
    Science 7:4, 1992, taken lag by lag). Independent values have 1; so have anticorrelated ones here,
    which makes an interval wider, never narrower.
    """
    means = [math.fsum(values) / len(values) for values in series]
    off = [[value - mean for value in values] for values, mean in zip(series, means, strict=True)]
    power = math.fsum(chain.from_iterable(map(mul, values, values) for values in off))
    tau = 1.0
    for lag in range(1, max(map(len, off))) if power else ():
        products = chain.from_iterable(map(mul, values, values[lag:]) for values in off)
        rho = math.fsum(products) / power
        if rho <= 0:
            break
        tau += 2 * rho
    return tau


def _block_rates(
    windows: Sequence[Sequence[Sample]], ops: int, *, spans: int, least: int
) -> list[list[float]]:
    """The mean rates of each window's blocks, in op/s.

    A block is `spans` autocorrelation times long or longer; `least` to _MOST_BLOCKS of them make a
    window, however far its autocorrelation reaches. A window of fewer samples has as many blocks.
    """
    runs = [_parts(samples, min(len(samples), _MOST_RUNS)) for samples in windows]
    length = math.ceil(spans * correlation_time([[_launch_ns(run) for run in window] for window in runs]))
    numbers = [max(least, min(_MOST_BLOCKS, len(window) // length)) for window in runs]
    return [
        [rate(block, ops) for block in _parts(samples, min(len(samples), number))]
        for samples, number in zip(windows, numbers, strict=True)
    ]


def _parts(samples: Sequence[Sample], number: int) -> list[Sequence[Sample]]:
    """`number` neighbouring parts, as equally long as can be."""
    edges = [index * len(samples) // number for index in range(number + 1)]
    return [samples[begin:end] for begin, end in pairwise(edges)]


def _launch_ns(samples: Sequence[Sample]) -> float:
    return sum(sample.host_ns for sample in samples) / sum(sample.launches for sample in samples)


# -------------------------------------------------------------------------------------------- drift

# A rate that is held differs between the ends of the window by less than this, whatever the samples
# could tell apart.
_DRIFT = 0.02
_FIFTHS = 5


def rate_series(visit: Visit, ops: int) -> tuple[float, ...]:
    """The mean rate in op/s of each whole second of measured time in a window, from its first sample on.

    A sample's work is shared out among the seconds in which it runs, in proportion to its time. What
    lies between samples is not measured time, so that the series has the figure's own mean.
    """
    return tuple(rounded(ops * launches) for launches in _launches_each(visit.samples, NS_PER_S))


def _launches_each(samples: Sequence[Sample], width_ns: int) -> list[float]:
    """Launches in each whole `width_ns` of measured time, in fractions where one reaches over an edge."""
    shares: list[list[float]] = [[] for _ in range(sum(s.host_ns for s in samples) // width_ns + 1)]
    begin = 0
    for sample in samples:
        end = begin + sample.host_ns
        for index in range(begin // width_ns, (end - 1) // width_ns + 1):
            inside_ns = min(end, (index + 1) * width_ns) - max(begin, index * width_ns)
            shares[index].append(sample.launches * inside_ns / sample.host_ns)
        begin = end
    return [math.fsum(share) for share in shares[:-1]]


def drift(visit: Visit, ops: int) -> Drift | None:
    """The mean rates of a window's first and last fifth of measured time; None below ten samples."""
    samples = visit.samples
    if len(samples) < _WINDOW_LEAST:
        return None
    width_ns = max(1, sum(sample.host_ns for sample in samples) // _FIFTHS)
    first, last = (
        ops * _launches_each(ordered, width_ns)[0] * NS_PER_S / width_ns
        for ordered in (samples, samples[::-1])
    )
    return Drift(first=rounded(first), last=rounded(last), ratio=rounded(last / first))


def drift_is_real(visit: Visit, ops: int) -> bool:
    """Whether the first and the last fifth differ by more than 2 % of the rate, and more than chance.

    Chance: a two-sample t at 95 % on the block means of the samples that lie wholly in a fifth, with
    unequal variances and the fewer degrees of the two, which errs towards no drift (Welch, Biometrika
    34, 1947). False where a fifth holds fewer than four samples: that is too little to tell.
    """
    fifths = [_begin(visit.samples), _begin(visit.samples[::-1])[::-1]]
    if min(map(len, fifths)) < _VISIT_LEAST:
        return False
    blocks = _block_rates(fifths, ops, spans=_WINDOW_SPANS, least=_VISIT_LEAST)
    first, last = (math.fsum(rates) / len(rates) for rates in blocks)
    error = math.sqrt(math.fsum(_squares(rates) / (len(rates) - 1) / len(rates) for rates in blocks))
    chance = t95(min(map(len, blocks)) - 1) * error
    return abs(last - first) > max(chance, _DRIFT * rate(visit.samples, ops))


def _begin(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples that lie wholly in the first fifth of the measured time."""
    ends = list(accumulate(sample.host_ns for sample in samples))
    return samples[: sum(_FIFTHS * end <= ends[-1] for end in ends)]


# ------------------------------------------------------------------------------------- between runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What whole runs differ by: mean, sample standard deviation, that as a share of the mean
    (coefficient of variation), and the 95 % interval of the mean by Student's t over runs.
    """

    runs: int
    mean: float
    deviation: float
    variation: float
    low: float
    high: float


def between_runs(values: Sequence[float]) -> Spread | None:
    """The spread of one value a run; None with fewer than two runs."""
    if len(values) < 2:
        return None
    mean, half = math.fsum(values) / len(values), _half([values])
    return Spread(
        runs=len(values),
        mean=rounded(mean),
        deviation=rounded(deviation(values)),
        variation=rounded(deviation(values) / mean),
        low=rounded(max(0.0, mean - half)),
        high=rounded(mean + half),
    )


# -------------------------------------------------------------------------------------- diagnostics


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation (n - 1)."""
    return math.sqrt(_squares(values) / (len(values) - 1))


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
    return median_ratio(ratios)


def median_ratio(ratios: Sequence[float]) -> Ratio | None:
    """The median and its interval: of n ordered ratios the ones 0.98 sqrt(n) ranks from the middle."""
    if not ratios:
        return None
    ordered = sorted(ratios)
    rank = max(0, math.floor(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))))
    return Ratio(value=median(ordered), low=ordered[rank], high=ordered[-1 - rank])


def half_width(estimate: Estimate) -> float:
    """The interval's half-width as a share of the value: what the stopping rule looks at."""
    return (estimate.high - estimate.low) / 2 / estimate.value
