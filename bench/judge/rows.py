"""What a row's samples and checks come to before anybody judges it: its rate, its windows, its arithmetic."""

from dataclasses import replace

from bench.measure import stats
from bench.precision import precision
from bench.terms import Estimate, Measurement
from bench.workload import accuracy, sampling

# Real-valued and exact operands run at the same rate unless the kernel tells them apart, or the
# device's power limit does: below this ratio the real-valued rate is the figure.
OPERAND_RATIO = 0.98
# A ratio whose interval is wider than this says little: then its value alone decides, for the lower rate.
_SCATTERED = 0.1


def estimate(measurement: Measurement) -> Estimate | None:
    """The row's mean rate; over the real-valued samples alone where these ran slower than the exact ones.

    A row that was held under load is what it delivered there, in one window, if that is whole.
    """
    ops, unit = measurement.cost.ops, precision(measurement.workload.precision).unit
    slower = reals_are_slower(stats.operand_ratio(measurement.stays))
    over_visits = stats.mean_rate(measurement.visits, ops, unit, real_only=slower)
    if measurement.counted == measurement.visits:
        return over_visits
    (held,) = measurement.counted
    samples = tuple(s for s in held.samples if s.real or not slower)
    return stats.window_rate(replace(held, samples=samples), ops, unit) or over_visits


def windows(measurement: Measurement) -> list[tuple[int, int]]:
    """Begin and end of each window that the figure stands on, in ns of the run."""
    return [
        (visit.samples[0].start_ns, visit.samples[-1].start_ns + visit.samples[-1].host_ns)
        for visit in measurement.counted
        if visit.samples
    ]


def reals_are_slower(ratio: stats.Ratio | None) -> bool:
    """Whether the rates differ by more than chance: the whole interval lies below, or tells nothing."""
    if ratio is None or ratio.value >= OPERAND_RATIO:
        return False
    return ratio.high < OPERAND_RATIO or ratio.high - ratio.low > _SCATTERED


def arithmetic(measurement: Measurement) -> str | None:
    """The arithmetic that the untimed probe names; None where it did not run."""
    if measurement.probe is None:
        return None
    return accuracy.name_arithmetic(sampling.probe_workload(measurement.workload), measurement.probe)


def other_arithmetic(measured: str, asked: str) -> str | None:
    """Why the measured arithmetic does not count for the one asked for; None where it is that one."""
    if measured == asked:
        return None
    return "saturating-operands" if measured == accuracy.SATURATING else "arithmetic-differs"
