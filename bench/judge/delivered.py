"""Measurements become delivered figures: pure, recomputed by verify.

A row's figure counts for its precision only when its outputs were right, its arithmetic was the one
asked for, and it was visited often enough.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from bench.judge import admission, findings
from bench.judge.ceiling import ceiling, sampled
from bench.judge.energy import Consumed, energy
from bench.judge.roofline import roof
from bench.judge.rows import arithmetic, estimate, other_arithmetic, windows
from bench.measure import stats
from bench.terms import (
    Delivered,
    Device,
    Estimate,
    Fact,
    Figure,
    Finding,
    Measurement,
    Opening,
    Telemetry,
    Transfer,
)
from bench.workload import accuracy, operands

# Fewer visits than this met too few states of the machine for an interval to mean much.
LEAST_VISITS = 5


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
    clock: Fact,
    memory: Sequence[Transfer] = (),
    openings: Sequence[Opening] = (),
) -> Result:
    """The delivered figures of a run. The findings are the rows' own and those computed here."""
    surroundings = _Surroundings(memory=memory, clock=clock, telemetry=telemetry)
    found = [
        (*findings.of_row(m, _device(devices, m), telemetry), *findings.of_openings(m, openings))
        for m in measurements
    ]
    rows = [
        _row(m, _device(devices, m), own, surroundings) for m, own in zip(measurements, found, strict=True)
    ]
    return Result(
        rows=tuple(rows),
        figures=tuple(_figures(rows)),
        findings=(
            *chain.from_iterable(found),
            *findings.of_devices(devices),
            *findings.of_machine(telemetry, devices),
        ),
    )


def _device(devices: Sequence[Device], measurement: Measurement) -> Device:
    return next(device for device in devices if device.selector == measurement.workload.device)


def _row(
    measurement: Measurement, device: Device, found: Sequence[Finding], around: _Surroundings
) -> Delivered:
    workload, ops, held = measurement.workload, measurement.cost.ops, measurement.held
    failures = [finding.code for finding in found if finding.status == "failure"]
    # A kernel whose output is wrong has no time.
    figure = None if failures else estimate(measurement)
    measured = arithmetic(measurement)
    reason = failures[0] if failures else _shortfall(measurement, device, figure, measured)
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
        through=admission.through(measurement),
        counts=reason is None,
        reason=reason,
    )


def _ceiling(
    measurement: Measurement, device: Device, clock: Fact, name: str
) -> tuple[float | None, str | None]:
    """What the device can do at most in a precision, at its cores' clock over or right after the windows."""
    measured = [visit.clocks_hz for visit in measurement.counted if visit.clocks_hz]
    if clock.value is None or not measured:
        return None, clock.reason or "clock-not-measured"
    mean = tuple(sum(hertz) / len(hertz) for hertz in zip(*measured, strict=True))
    sparse = measurement.workload.form.sparse
    most, unknown = ceiling(device, name, mean, sparse=sparse, by_sensor=sampled(clock))
    return (None if most is None else stats.rounded(most)), unknown


def _energy(measurement: Measurement, telemetry: Telemetry) -> Consumed:
    launches = sum(sample.launches for visit in measurement.counted for sample in visit.samples)
    return energy(windows(measurement), measurement.cost.ops * launches, telemetry)


def _shortfall(
    measurement: Measurement, device: Device, figure: Estimate | None, measured: str | None
) -> str | None:
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
    if measurement.workload.form.sparse:
        return "sparse"
    reserved = admission.reservation(device)
    if reserved is not None:
        return reserved
    return other_arithmetic(measured, measurement.workload.precision)


def _fast_algorithm(measurement: Measurement) -> bool:
    checks = (measurement.before, measurement.timed)
    return any(check is not None and accuracy.fast_algorithm(measurement.workload, check) for check in checks)


def _checked(measurement: Measurement) -> bool:
    """Whether outputs were compared before and during timing, on every operand set the row runs on."""
    before, timed, workload = measurement.before, measurement.timed, measurement.workload
    if before is None or timed is None or not before.compared:
        return False
    exact = timed.compared > 0 or operands.is_deep(workload)
    return exact and (timed.real_compared > 0 or not operands.has_reals(workload))


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
