"""One run held against another: which rates belong together, whether they may be compared, and the answer.

The ratio is the other run's rate over the base's. Its interval is made of both rates' own 95 % intervals.
With a and b the rates, and log b - log a the logarithm of the ratio, the distances from there to the limits
are

    down  sqrt((log b - log b.low)^2 + (log a.high - log a)^2)
    up    sqrt((log b.high - log b)^2 + (log a - log a.low)^2)

The variance of a difference of independent values is the sum of their variances, and to first order the
deviation of log x is that of x over x (the delta method). A limit of x stands for t times its deviation, so
that the squares of the distances add up as variances do: the method of variance estimates recovery, Zou and
Donner, Statistics in Medicine 27:1693, 2008. It uses each interval as it stands, lopsided in the logarithm
where it is wide, and each with its own Student's t. That t has fewer degrees of freedom than Welch's for the
difference (Biometrika 34, 1947): with five visits a run the interval covers in 96 to 97 % of cases.
Exchanging the runs gives the reciprocal.

It assumes that the runs are independent, and that each interval is right for its run. How a machine differs
from one run to the next, which its visits do not meet, is in neither (`bench run --repeat` tells it). Each
answer is one of 95 %: of many rows some differ by chance.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.judge.delivered import LEAST_VISITS
from bench.measure import stats
from bench.report.text import shape_text
from bench.terms import Delivered, Device, Estimate, Evidence, Measurement, Scalar
from bench.terms.comparisons import (
    ComparedRate,
    Comparison,
    ComparisonWord,
    Difference,
    RateRatio,
)

# The history of the method, a line per version.
# ratio/1  first: both intervals combined in the logarithm; the margin bounds what is the same.
METHOD = "ratio/1"


def figures(base: Evidence, other: Evidence, *, margin: float) -> tuple[Comparison, ...]:
    """The devices' figures of a run against those of the base, one comparison a device and precision.

    Rates are the same when the ratio's interval holds 1 and lies within 1 ± `margin`.
    """
    return tuple(_compared(base, other, margin, _figures))


def rows(base: Evidence, other: Evidence, *, margin: float) -> tuple[Comparison, ...]:
    """Every row of a run against the row of the same name in the base, as `figures` does."""
    return tuple(_compared(base, other, margin, _rows))


def slower_than(found: Sequence[Comparison], share: float) -> tuple[Comparison, ...]:
    """The comparisons whose ratio lies below 1 - `share` with its whole interval."""
    return tuple(
        each for each in found if each.word == "slower" and each.ratio and each.ratio.high < 1 - share
    )


def lost(found: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons in which the base has a rate that could not be held against anything."""
    return tuple(each for each in found if each.base and each.base.estimate and not is_comparable(each))


def is_comparable(comparison: Comparison) -> bool:
    return comparison.word != "not-comparable"


# ------------------------------------------------------------------------------- what belongs together

# What a rate is found by within a device: its precision, and its row where rows are compared.
_Key = tuple[str, str | None]


def _figures(run: Evidence, device: Device) -> dict[_Key, ComparedRate]:
    return {
        (figure.precision, None): ComparedRate(
            device=figure.device, row=figure.row, estimate=figure.estimate, reason=figure.reason
        )
        for figure in run.figures
        if figure.device == device.selector
    }


def _rows(run: Evidence, device: Device) -> dict[_Key, ComparedRate]:
    return {
        (row.precision, row.row): ComparedRate(
            device=row.device, row=row.row, estimate=row.estimate, reason=row.reason
        )
        for row in run.delivered
        if row.device == device.selector
    }


def _compared(
    base: Evidence,
    other: Evidence,
    margin: float,
    rates: Callable[[Evidence, Device], dict[_Key, ComparedRate]],
) -> Iterator[Comparison]:
    for ours, theirs in _pairs(base.devices, other.devices):
        ones = rates(base, ours) if ours else {}
        others = rates(other, theirs) if theirs else {}
        for key in dict.fromkeys((*ones, *others)):
            yield _comparison(key, (base, ones.get(key)), (other, others.get(key)), margin)


def _pairs(ones: Sequence[Device], others: Sequence[Device]) -> Iterator[tuple[Device | None, Device | None]]:
    """Devices of one selector; of the rest those that are the only ones of their kind in both runs."""
    left = {device.selector: device for device in others}
    matched = {one.selector: left.pop(one.selector) for one in ones if one.selector in left}
    for device in ones:
        alike = _only_of_its_kind(device, ones, others)
        yield device, matched.get(device.selector) or (left.pop(alike, None) if alike else None)
    for device in left.values():
        yield None, device


def _only_of_its_kind(device: Device, ones: Sequence[Device], others: Sequence[Device]) -> str | None:
    """The selector of the other run's only device of the kind, where `device` is its own run's only one."""
    alike = [[one.selector for one in every if one.kind == device.kind] for every in (ones, others)]
    return alike[1][0] if [len(every) for every in alike] == [1, 1] else None


# ----------------------------------------------------------------------------------- may it be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A rate that there is, and where in its run it comes from."""

    run: Evidence
    device: Device
    row: Delivered
    measurement: Measurement
    estimate: Estimate


def _measured(run: Evidence, rate: ComparedRate | None) -> _Measured | None:
    if rate is None or rate.estimate is None:
        return None
    place = (rate.device, rate.row)
    return _Measured(
        run=run,
        device=next(device for device in run.devices if device.selector == rate.device),
        row=next(row for row in run.delivered if (row.device, row.row) == place),
        measurement=next(m for m in run.measurements if (m.workload.device, m.workload.row) == place),
        estimate=rate.estimate,
    )


def _comparison(
    key: _Key,
    one: tuple[Evidence, ComparedRate | None],
    another: tuple[Evidence, ComparedRate | None],
    margin: float,
) -> Comparison:
    precision, row = key
    base, other = _measured(*one), _measured(*another)
    forbidding: tuple[Difference, ...] = ()
    beside: tuple[Difference, ...] = ()
    found: RateRatio | None = None
    word: ComparisonWord = "not-comparable"
    reason: str | None = None
    if base is None or other is None:
        reason = "no-figure"
    else:
        must_agree = _of_a_row if row is not None else _of_a_figure
        forbidding = _differences(must_agree(base), must_agree(other))
        beside = _differences(_may_differ(base), _may_differ(other))
        if not forbidding:
            found, reason = ratio(base.estimate, other.estimate)
            word, reason = _word(found, reason, min(_visits(base), _visits(other)), margin)
    return Comparison(
        precision=precision,
        row=row,
        base=one[1],
        other=another[1],
        ratio=found,
        word=word,
        reason=reason,
        forbidding=forbidding,
        beside=beside,
    )


def _of_a_figure(rate: _Measured) -> dict[str, Scalar | None]:
    """What two figures must share to be figures of one thing. The precision is shared already."""
    return {
        # A smoke test's shapes are others, and its windows too short to be a measurement.
        "mode": rate.run.mode,
        "arithmetic": rate.row.measured,
        "operation": rate.row.operation,
        # A window under load is not a mean over visits; nor is what another method made of either.
        "estimate": rate.estimate.method,
    }


def _of_a_row(rate: _Measured) -> dict[str, Scalar | None]:
    """The same of two rows, whose names, and with them kernel and precision, are shared already."""
    form = rate.measurement.workload.form
    return {
        **_of_a_figure(rate),
        "form": f"{form.a}, {form.b}, {form.out}, {form.operand_set}, {form.layout}",
        # Too few visits leave it the rate of the same thing, only uncertain.
        "counts": rate.row.reason if rate.row.reason != "too-few-visits" else None,
    }


def _may_differ(rate: _Measured) -> dict[str, Scalar | None]:
    """What runs are compared across; each is told where it differs."""
    run = rate.run
    ladders = {digest.name: digest.sha256 for digest in run.profiles}
    system = {fact.name: fact.value for fact in run.system}
    return {
        "device": rate.device.name,
        "threads": rate.device.fact("threads-usable"),
        "memory": system.get("memory_limit_bytes") or system.get("host_memory_capacity_bytes"),
        "bench": run.harness.version,
        **{f"library/{library.name}": library.value for library in run.harness.libraries},
        "ladder": ladders.get(f"ladders/{rate.device.family}"),
        "held": run.schedule.hold_ns,
        "row": rate.row.row,
        "shape": shape_text(rate.measurement.workload.shape),
    }


def _differences(
    base: Mapping[str, Scalar | None], other: Mapping[str, Scalar | None]
) -> tuple[Difference, ...]:
    return tuple(
        Difference(fact=name, base=base.get(name), other=other.get(name))
        for name in dict.fromkeys((*base, *other))
        if base.get(name) != other.get(name)
    )


# ------------------------------------------------------------------------------------------- the answer


def _visits(rate: _Measured) -> int:
    """How many states of the machine a rate met. Of a row that was held, those of the visits before it."""
    held = rate.estimate.method == stats.METHOD_HELD
    return len(rate.measurement.visits) if held else rate.estimate.visits


def ratio(base: Estimate, other: Estimate) -> tuple[RateRatio | None, str | None]:
    """`other` over `base` with its 95 % interval, or the reason code why there is none (see above)."""
    if base.low == base.high or other.low == other.high:
        return None, "flat"
    if base.low <= 0 or other.low <= 0:
        return None, "unbounded"
    middle = math.log(other.value / base.value)
    down = math.hypot(math.log(other.value / other.low), math.log(base.high / base.value))
    up = math.hypot(math.log(other.high / other.value), math.log(base.value / base.low))
    value, low, high = (stats.rounded(math.exp(log)) for log in (middle, middle - down, middle + up))
    return RateRatio(value=value, low=low, high=high), None


def _word(
    found: RateRatio | None, reason: str | None, visits: int, margin: float
) -> tuple[ComparisonWord, str | None]:
    if found is None:
        return "ambiguous", reason
    if visits < LEAST_VISITS:
        return "ambiguous", "too-few-visits"
    if found.low > 1:
        return "faster", None
    if found.high < 1:
        return "slower", None
    if 1 - margin <= found.low and found.high <= 1 + margin:
        return "same", None
    return "ambiguous", "wide"
