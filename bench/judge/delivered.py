"""Measurements become delivered figures: pure, recomputed by verify.

A row's figure counts for its precision only when its outputs were right, its arithmetic was the one
asked for, and it was visited often enough.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bench.judge import findings
from bench.judge.ceiling import ceiling, exceeds
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


# An 8-bit output does not show its accumulator. A rate above what the device can do in any of these shows
# integers all the same: each holds 8-bit integers, and their products with an fp32 accumulator, exactly.
_FLOATING = ("fp32", "bf16", "fp16")


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
    rows = [
        _admit_unseen(row, m, _device(devices, m), clock) for row, m in zip(rows, measurements, strict=True)
    ]
    return Result(
        rows=tuple(rows),
        figures=tuple(_figures(rows)),
        findings=(*chain.from_iterable(found), *findings.of_machine(telemetry, devices)),
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
    return energy(windows(measurement), measurement.cost.ops * launches, telemetry)


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
    return other_arithmetic(measured, measurement.workload.precision)


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
