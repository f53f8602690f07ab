"""Measurements become delivered figures, and disturbances become findings: pure, recomputed by verify.

A row's figure counts for its precision only when its outputs were right, its arithmetic was the one
asked for, and it was visited often enough. What disturbed the run is said, never corrected for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bench.judge import disturbance
from bench.judge.ceiling import NO_CLOCK, ceiling, exceeds
from bench.judge.energy import Consumed, energy
from bench.judge.roofline import roof
from bench.measure import stats
from bench.precision import precision
from bench.terms import (
    Delivered,
    Device,
    Estimate,
    Fact,
    Figure,
    Finding,
    Measurement,
    Opening,
    Sample,
    Scalar,
    Status,
    Telemetry,
    Transfer,
    Visit,
)
from bench.units import NS_PER_S
from bench.workload import accuracy, operands, sampling
from bench.workload.openings import OUTPUTS_DIFFER

# Fewer visits than this met too few states of the machine for an interval to mean much.
LEAST_VISITS = 5

# Real-valued and exact operands run at the same rate unless the kernel tells them apart, or the
# device's power limit does: below this ratio the real-valued rate is the figure.
_OPERAND_RATIO = 0.98
# A ratio whose interval is wider than this says little: then its value alone decides, for the lower rate.
_SCATTERED = 0.1

# Two clocks over the same windows agree within this share, or one of them is not to be believed.
_CLOCKS = 0.01
# The process cannot use more CPU time than CPUs x elapsed time, short of the ticks' granularity.
_CPU_TIME = 1.05
# A processor that computes is busy. Below the first share of threads x elapsed time something else kept
# the process waiting; below the second, nobody on this processor did the work. Time slices of 20 other
# processes on every core would still leave more.
_WAITING, _ELSEWHERE = 0.4, 0.02

_STEAL = 0.02
# Background tasks of an idle system stay below this share of the CPUs in trials; a foreign load of
# 40 % of one core in two is well above it.
_FOREIGN = 0.05

# An 8-bit output does not show its accumulator. A rate above what the device can do in any of these shows
# integers all the same: each holds 8-bit integers, and their products with an fp32 accumulator, exactly.
_FLOATING = ("fp32", "bf16", "fp16")

# The processors cannot have been busy, and their time stolen, for longer than the run took; ticks are 10 ms.
_MOST_TAKEN = 1.05
_LEAST_TAKEN_NS = NS_PER_S

# A half-width above this share says that something made the visits differ.
_WIDE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surroundings:
    """What was measured beside the rows."""

    memory: Sequence[Transfer]
    clock: Fact
    telemetry: Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the measurements came to: every row, the device's figure per precision, and the findings."""

    rows: tuple[Delivered, ...]
    figures: tuple[Figure, ...]
    findings: tuple[Finding, ...]


def deliver(
    devices: Sequence[Device],
    measurements: Sequence[Measurement],
    telemetry: Telemetry,
    *,
    memory: Sequence[Transfer] = (),
    clock: Fact = NO_CLOCK,
    openings: Sequence[Opening] = (),
) -> Result:
    """The delivered figures of a run. The findings are the rows' own and those computed here."""
    surroundings = _Surroundings(memory=memory, clock=clock, telemetry=telemetry)
    found = [
        (*_row_findings(m, _device(devices, m), telemetry), *_opening_findings(m, openings))
        for m in measurements
    ]
    rows = [
        _row(m, _device(devices, m), findings, surroundings)
        for m, findings in zip(measurements, found, strict=True)
    ]
    rows = [
        _admit_unseen(row, m, _device(devices, m), clock) for row, m in zip(rows, measurements, strict=True)
    ]
    return Result(
        rows=tuple(rows),
        figures=tuple(_figures(rows)),
        findings=(*chain.from_iterable(found), *_machine_findings(telemetry, devices)),
    )


def _device(devices: Sequence[Device], measurement: Measurement) -> Device:
    return next(device for device in devices if device.selector == measurement.workload.device)


def estimate(measurement: Measurement) -> Estimate | None:
    """The row's mean rate; over the real-valued samples alone where these ran slower than the exact ones.

    A row that was held under load is what it delivered there, in one window, if that is whole.
    """
    ops, unit = measurement.cost.ops, precision(measurement.workload.precision).unit
    slower = _reals_are_slower(stats.operand_ratio(measurement.stays))
    over_visits = stats.mean_rate(measurement.visits, ops, unit, real_only=slower)
    if measurement.counted == measurement.visits:
        return over_visits
    (held,) = measurement.counted
    samples = tuple(s for s in held.samples if s.real or not slower)
    return stats.window_rate(replace(held, samples=samples), ops, unit) or over_visits


def _windows(measurement: Measurement) -> list[tuple[int, int]]:
    """Begin and end of each window that the figure stands on, in ns of the run."""
    return [
        (visit.samples[0].start_ns, visit.samples[-1].start_ns + visit.samples[-1].host_ns)
        for visit in measurement.counted
        if visit.samples
    ]


def _reals_are_slower(ratio: stats.Ratio | None) -> bool:
    """Whether the rates differ by more than chance: the whole interval lies below, or tells nothing."""
    if ratio is None or ratio.value >= _OPERAND_RATIO:
        return False
    return ratio.high < _OPERAND_RATIO or ratio.high - ratio.low > _SCATTERED


def _row(
    measurement: Measurement, device: Device, findings: Sequence[Finding], around: _Surroundings
) -> Delivered:
    workload, ops, held = measurement.workload, measurement.cost.ops, measurement.held
    failures = [finding.code for finding in findings if finding.status == "failure"]
    # A kernel whose output is wrong has no time.
    figure = None if failures else estimate(measurement)
    measured = _arithmetic(measurement)
    reason = failures[0] if failures else _shortfall(measurement, figure, measured)
    rates = stats.sample_rates(measurement.counted, ops) if figure else []
    most, unknown = _ceiling(measurement, device, around.clock, workload.precision)
    above = roof(measurement.cost, most, around.memory, device.selector) if figure else None
    used = _energy(measurement, around.telemetry) if figure else Consumed(energy=None, reason="no-figure")
    return Delivered(
        device=workload.device,
        row=workload.row,
        precision=workload.precision,
        operation=workload.operation,
        backend=workload.backend,
        measured=measured,
        error_ppm=measurement.probe.real_error_ppm if measurement.probe else None,
        estimate=figure,
        median=stats.rounded(stats.median(rates)) if rates else None,
        best=stats.rounded(max(rates)) if rates else None,
        ceiling=most,
        ceiling_reason=unknown,
        roof=above,
        roof_reason=None if above else "no-figure" if figure is None else "bandwidth-not-measured",
        energy=used.energy,
        energy_reason=used.reason,
        per_second=stats.rate_series(held, ops) if figure and held else (),
        drift=stats.drift(held, ops) if figure and held else None,
        counts=reason is None,
        reason=reason,
    )


def _ceiling(
    measurement: Measurement, device: Device, clock: Fact, name: str
) -> tuple[float | None, str | None]:
    """What the device can do at most in a precision, at its cores' clock right after the row's windows."""
    measured = [visit.clocks_hz for visit in measurement.counted if visit.clocks_hz]
    if clock.value is None or not measured:
        return None, clock.reason or "clock-not-measured"
    mean = tuple(sum(hertz) / len(hertz) for hertz in zip(*measured, strict=True))
    most, unknown = ceiling(device, name, mean)
    return (None if most is None else stats.rounded(most)), unknown


def _energy(measurement: Measurement, telemetry: Telemetry) -> Consumed:
    launches = sum(sample.launches for visit in measurement.counted for sample in visit.samples)
    return energy(_windows(measurement), measurement.cost.ops * launches, telemetry)


def _arithmetic(measurement: Measurement) -> str | None:
    if measurement.probe is None:
        return None
    return accuracy.name_arithmetic(sampling.probe_workload(measurement.workload), measurement.probe)


def _shortfall(measurement: Measurement, figure: Estimate | None, measured: str | None) -> str | None:
    """Why a row without a failure still does not count, or None."""
    if measurement.ended == "refused" and measurement.findings:
        return measurement.findings[0].code
    held = figure is not None and figure.method == stats.METHOD_HELD
    if figure is None or min(len(measurement.visits), LEAST_VISITS if held else figure.visits) < LEAST_VISITS:
        return "too-few-visits"
    if measured is None or not _checked(measurement):
        return "not-checked"
    if _fast_algorithm(measurement):
        return "fast-algorithm"
    return _other_arithmetic(measured, measurement.workload.precision)


def _other_arithmetic(measured: str, asked: str) -> str | None:
    """Why the measured arithmetic does not count for the one asked for; None where it is that one."""
    if measured == asked:
        return None
    if measured == accuracy.ACCUMULATOR_UNSEEN:
        return "accumulator-unseen"
    return "saturating-operands" if measured == accuracy.SATURATING else "arithmetic-differs"


def _fast_algorithm(measurement: Measurement) -> bool:
    checks = (measurement.before, measurement.timed)
    return any(check is not None and accuracy.fast_algorithm(measurement.workload, check) for check in checks)


def _checked(measurement: Measurement) -> bool:
    """Whether outputs were compared before and during timing, on every operand set the precision has."""
    before, timed = measurement.before, measurement.timed
    if before is None or timed is None or not before.compared or not timed.compared:
        return False
    return timed.real_compared > 0 or not operands.has_reals(measurement.workload)


def _admit_unseen(row: Delivered, measurement: Measurement, device: Device, clock: Fact) -> Delivered:
    """Let a row with an unseen accumulator count where its rate alone shows integer arithmetic.

    The device's ceilings decide and not its own floating-point rates, which its owner could have slower.
    """
    if row.reason != "accumulator-unseen" or row.estimate is None:
        return row
    floating = [_ceiling(measurement, device, clock, name) for name in _FLOATING]
    # A ceiling with a reservation may be too low, and would admit what it should not.
    known = [most for most, reservation in floating if most is not None and reservation is None]
    doubtful = any(reason not in (None, "no-instruction-known") for _, reason in floating)
    if doubtful or not known or not exceeds(row.estimate.low, max(known)):
        return row
    return replace(row, counts=True, reason=None)


def _figures(rows: Sequence[Delivered]) -> Iterator[Figure]:
    """One figure per device and precision: the best row that counts, of either operation and any backend.

    Best by the interval's lower end, so that noise alone makes no row the best. A row that was held under
    load goes before all that were not: what lasts is what is delivered.
    """
    for device, name in dict.fromkeys((row.device, row.precision) for row in rows):
        candidates = [row for row in rows if (row.device, row.precision) == (device, name)]
        counting = [
            (row.estimate.method == stats.METHOD_HELD, row.estimate.low, row)
            for row in candidates
            if row.counts and row.estimate
        ]
        best = max(counting, key=lambda found: found[:2])[2] if counting else None
        yield Figure(
            device=device,
            precision=name,
            row=best.row if best else None,
            estimate=best.estimate if best else None,
            reason=None if best else candidates[0].reason,
        )


def _row_findings(measurement: Measurement, device: Device, telemetry: Telemetry) -> Iterator[Finding]:
    """What the row itself reported, then what its checks, its probe and its clocks show."""
    row = measurement.workload.row
    yield from measurement.findings
    for code, check in (("wrong-outputs", measurement.before), ("wrong-timed-outputs", measurement.timed)):
        if check is None or not check.compared or accuracy.exact(check):
            continue
        if accuracy.fast_algorithm(measurement.workload, check):
            yield Finding(subject=row, status="info", code="fast-algorithm", numbers={"wrong": check.wrong})
        else:
            numbers = {"wrong": check.wrong, "off_by_one": check.off_by_one, "compared": check.compared}
            yield Finding(subject=row, status="failure", code=code, numbers=numbers)
    timed = measurement.timed
    error = timed.real_error_ppm if timed is not None else None
    if timed is not None and error is not None and not accuracy.real_error_fits(measurement.workload, timed):
        errors = {"error_ppm": error, "compared": timed.real_compared}
        yield Finding(subject=row, status="failure", code="wrong-timed-reals", numbers=errors)
    measured = _arithmetic(measurement)
    if measured and _other_arithmetic(measured, measurement.workload.precision) == "arithmetic-differs":
        words: dict[str, Scalar] = {"asked": measurement.workload.precision, "measured": str(measured)}
        yield Finding(subject=row, status="warning", code="arithmetic-differs", numbers=words)
    without_room = sum(trial.reason == "no-memory" for trial in measurement.tried)
    if without_room:
        yield Finding(
            subject=row, status="info", code="shapes-without-room", numbers={"shapes": without_room}
        )
    yield from _timing_findings(measurement, device, telemetry)
    yield from _disturbed_findings(measurement, device, telemetry)


def _opening_findings(measurement: Measurement, openings: Sequence[Opening]) -> Iterator[Finding]:
    """Outputs that were committed, and turned out wrong when whole rows of them were recomputed."""
    workload = measurement.workload
    for opening in openings:
        if (opening.device, opening.row, opening.reason) == (workload.device, workload.row, OUTPUTS_DIFFER):
            numbers = {"leaves": opening.leaves, "opened": opening.opened}
            yield Finding(
                subject=workload.row, status="failure", code="opened-outputs-wrong", numbers=numbers
            )


def _timing_findings(measurement: Measurement, device: Device, telemetry: Telemetry) -> Iterator[Finding]:
    visits = measurement.stays
    samples = [sample for visit in visits for sample in visit.samples]
    if not samples:
        return

    def finding(status: Status, code: str, **numbers: Scalar) -> Finding:
        return Finding(subject=measurement.workload.row, status=status, code=code, numbers=numbers)

    ratio = stats.operand_ratio(visits)
    if ratio is not None and (_reals_are_slower(ratio) or ratio.low > 1 / _OPERAND_RATIO):
        numbers = {name: stats.rounded(getattr(ratio, name)) for name in ("value", "low", "high")}
        yield finding("warning", "operand-rates-differ", **numbers)
    host = sum(sample.host_ns for sample in samples)
    raw = sum(sample.raw_ns for sample in samples)
    if abs(raw - host) > _CLOCKS * host:
        yield finding("failure", "clocks-disagree", host_ns=host, raw_ns=raw)
    yield from _taken_findings(finding, telemetry, device)
    yield from _device_clock_findings(finding, visits)
    yield from _cpu_time_findings(finding, samples, host, device)
    unsettled = sum(visit.settle_ended == "settle-limit" for visit in visits)
    if 2 * unsettled > len(visits):
        yield finding("warning", "not-settled", visits=len(visits), unsettled=unsettled)
    yield from _drift_findings(finding, measurement)
    figure = estimate(measurement)
    if figure is not None and stats.half_width(figure) > _WIDE:
        yield finding("warning", "wide-interval", half_width=stats.rounded(stats.half_width(figure)))


def _taken_findings(
    finding: Callable[..., Finding], telemetry: Telemetry, device: Device
) -> Iterator[Finding]:
    """The processors' ticks are the kernel's: they tell on a clock that is slowed with all others."""
    cpus, readings = device.fact("threads-affinity"), telemetry.readings
    if device.family != "cpu" or not isinstance(cpus, int) or len(readings) < 2:
        return
    whole = readings[0].at_ns, readings[-1].at_ns
    share = disturbance.taken([whole], readings, cpus)
    if share is not None and share > _MOST_TAKEN and whole[1] - whole[0] >= _LEAST_TAKEN_NS:
        yield finding("failure", "processors-exceed-elapsed", share=stats.rounded(share), cpus=cpus)


def _drift_findings(finding: Callable[..., Finding], measurement: Measurement) -> Iterator[Finding]:
    """A rate that did not last: throttling is what a held window is there to show."""
    held, ops = measurement.held, measurement.cost.ops
    moved = None if held is None else stats.drift(held, ops)
    if held is not None and moved is not None and stats.drift_is_real(held, ops):
        yield finding(
            "warning",
            "rate-fell" if moved.ratio < 1 else "rate-rose",
            first=moved.first,
            last=moved.last,
            share=stats.rounded(abs(moved.ratio - 1)),
            seconds=sum(sample.host_ns for sample in held.samples) // NS_PER_S,
        )


def _device_clock_findings(finding: Callable[..., Finding], visits: Sequence[Visit]) -> Iterator[Finding]:
    """The device's own clock against the host's, over the same samples.

    Device time beyond the host's cannot be: one of the clocks lies. Host time beyond the device's may be
    the launches' own cost, and the figure stands on the longer time already.
    """
    pairs = [(d, s.host_ns) for visit in visits for d, s in zip(visit.device_ns, visit.samples, strict=False)]
    device_ns, host_ns = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0)
    if device_ns > (1 + _CLOCKS) * host_ns:
        yield finding("failure", "device-clock-disagrees", device_ns=device_ns, host_ns=host_ns)
    elif device_ns < (1 - _CLOCKS) * host_ns:
        yield finding("warning", "device-idle-in-window", device_ns=device_ns, host_ns=host_ns)


def _cpu_time_findings(
    finding: Callable[..., Finding], samples: Sequence[Sample], host_ns: int, device: Device
) -> Iterator[Finding]:
    """CPU time against elapsed time: no more than the CPUs have, no less than computing takes."""
    cpus, threads = device.fact("threads-affinity"), device.fact("threads-usable")
    if device.family != "cpu" or not isinstance(cpus, int) or not isinstance(threads, int):
        return
    cpu_ns = sum(sample.cpu_ns for sample in samples)
    if cpu_ns > _CPU_TIME * cpus * host_ns:
        yield finding("failure", "cpu-time-exceeds-elapsed", cpu_ns=cpu_ns, host_ns=host_ns, cpus=cpus)
    elif cpu_ns < _ELSEWHERE * host_ns:
        yield finding("failure", "work-elsewhere", share=stats.rounded(cpu_ns / host_ns))
    elif cpu_ns < _WAITING * threads * host_ns:
        yield finding("warning", "processor-waited", share=stats.rounded(cpu_ns / threads / host_ns))


def _disturbed_findings(measurement: Measurement, device: Device, telemetry: Telemetry) -> Iterator[Finding]:
    """What others took while this row's windows were open: the run's average hides who came for one row."""
    cpus, row = device.fact("threads-affinity"), measurement.workload.row
    if not isinstance(cpus, int):
        return
    windows, readings = _windows(measurement), telemetry.readings
    for code, share, most in (
        ("row-steal", disturbance.stolen(windows, readings, cpus), _STEAL),
        ("row-foreign-load", disturbance.foreign(windows, readings, cpus), _FOREIGN),
    ):
        if share is not None and share > most:
            numbers = {"share": stats.rounded(share)}
            yield Finding(subject=row, status="warning", code=code, numbers=numbers)


def _machine_findings(telemetry: Telemetry, devices: Sequence[Device]) -> Iterator[Finding]:
    """Stolen time and other processes' load over the whole run, as shares of the usable CPUs' time."""
    readings = telemetry.readings
    cpus = next((device.fact("threads-affinity") for device in devices if device.family == "cpu"), None)
    if not isinstance(cpus, int) or len(readings) < 2:
        return
    whole = [(readings[0].at_ns, readings[-1].at_ns)]
    for code, share, most in (
        ("steal", disturbance.stolen(whole, readings, cpus), _STEAL),
        ("foreign-load", disturbance.foreign(whole, readings, cpus), _FOREIGN),
    ):
        if share is not None and share > most:
            numbers = {"share": stats.rounded(share)}
            yield Finding(subject="machine", status="warning", code=code, numbers=numbers)
