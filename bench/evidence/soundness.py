"""Whether this program could have made the measurements: what the nonce, the ladder and the plan decide.

Whoever holds a trusted key can sign anything. Here is refused what no run writes: rows that were not to be
measured or are missing, shapes that no search reaches, windows that end before their time, operands and
counts of outputs that the nonce did not choose.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.errors import EvidenceInvalid
from bench.evidence import admitted, surroundings
from bench.judge.delivered import deliver
from bench.measure import search, stats, stopping
from bench.measure.stopping import LEAST_SAMPLES
from bench.printable import printable
from bench.terms import (
    Check,
    Device,
    DeviceKind,
    Evidence,
    Family,
    Measurement,
    Sample,
    Schedule,
    Trial,
    Visit,
    Workload,
)
from bench.units import NS_PER_S
from bench.workload import ladder, opcount, sampling, selection
from bench.workload.kernel import CPU_PROVIDER

STEP = 6

# A processor that calls itself a GPU would be held against a GPU's data sheet.
_KINDS: dict[Family, DeviceKind] = {"cpu": "cpu", "cuda": "gpu"}

# What CPU time and load are held against; a processor that leaves it out would escape these checks.
_CPU_COUNTS = ("threads-usable", "threads-affinity", "logical-cpus")

# More than any one system holds; each further one costs whoever verifies.
_MOST_DEVICES = 64

# Why a row ended: after its visits, before them, or because the run was interrupted.
_MEASURED = ("precise", "time-limit")
_UNMEASURED = ("refused", "wrong-outputs")
_UNFINISHED = ("not-started", "measuring", "interrupted")

_SETTLE_ENDED = ("settled", "settle-limit")


def require_sound(evidence: Evidence) -> None:
    """Raise EvidenceInvalid (step 6) for what no run of this version writes."""
    _require(
        re.fullmatch("[0-9a-f]{64}", evidence.nonce), "the nonce is not 64 lower-case hexadecimal digits"
    )
    _require(evidence.harness.files, "the harness names none of its files")
    families = [device.family for device in evidence.devices]
    _require(families.count("cpu") <= 1, "a machine has one device of the family cpu")
    _require(len(families) <= _MOST_DEVICES, f"more than {_MOST_DEVICES} devices are described")
    for device in evidence.devices:
        _require_device(device)
    _require_rows(evidence)
    _require_schedule(evidence)
    devices = {device.selector: device for device in evidence.devices}
    for measurement in evidence.measurements:
        device = devices[measurement.workload.device]
        _require_shape(measurement, device.family, evidence)
        _require_inputs(measurement, evidence.nonce)
        _require_samples(measurement)
        _require_phases(measurement, evidence.schedule, interrupted=evidence.interrupted)
        _require_device_clock(measurement, device)
        _require_checks(measurement)
        admitted.require_sound(measurement, device)
    _require_alone(evidence)
    _require_held(evidence)
    surroundings.require_sound(evidence)


def samples(measurement: Measurement) -> Iterator[Sample]:
    """Every sample in the order in which it was taken."""
    for visit in measurement.stays:
        yield from visit.settle
        yield from visit.samples


def _require(condition: object, message: str) -> None:
    if not condition:
        raise EvidenceInvalid(f"{message}.", step=STEP)


# ---------------------------------------------------------------------------------- devices, and rows


def _require_device(device: Device) -> None:
    """Its kind is its family's, and its facts are there, each once."""
    name = printable(device.selector)
    _require(
        device.kind == _KINDS.get(device.family, device.kind),
        f"{name} is of the family {device.family} and says it is of the kind {device.kind}",
    )
    facts = [fact.name for fact in device.facts]
    _require(len({*facts}) == len(facts), f"a fact about {name} stands twice")
    if device.family == "cpu":
        _require_cpu_counts(device, name)
    if device.family == "ort":
        _require_hardware(device, name)


def _require_hardware(device: Device, name: str) -> None:
    """An NPU is what ONNX Runtime called one, and its own provider has processors alone."""
    hardware = device.fact("hardware-type")
    _require(
        (device.kind == "npu") == (hardware == "NPU"),
        f"{name} is of the kind {device.kind}, and its hardware of the type {printable(str(hardware))}",
    )
    _require(
        device.fact("ep") != CPU_PROVIDER or device.kind == "cpu",
        f"{name} is of the kind {device.kind}, and {CPU_PROVIDER} runs on processors",
    )


def _require_cpu_counts(device: Device, name: str) -> None:
    usable, affinity, _ = counts = [device.fact(fact) for fact in _CPU_COUNTS]
    for fact, count in zip(_CPU_COUNTS, counts, strict=True):
        # A bool is an int to Python, and no count.
        _require(
            type(count) is int and count > 0, f"{name} does not say its {fact}, a whole number from 1 on"
        )
    # A quota leaves fewer threads than the affinity allows, never more.
    assert isinstance(usable, int)
    assert isinstance(affinity, int)
    _require(usable <= affinity, f"{name} says that it used {usable} threads on {affinity} processors")


def _require_rows(evidence: Evidence) -> None:
    """The rows are those that follow from the devices and from what was asked, in the plan's order."""
    found: dict[str, list[Workload]] = {device.selector: [] for device in evidence.devices}
    for workload in (measurement.workload for measurement in evidence.measurements):
        row = printable(workload.row)
        _require(workload.device in found, f"{row} ran on a device that the evidence does not describe")
        found[workload.device].append(workload)
    for device in evidence.devices:
        own, name = found[device.selector], printable(device.selector)
        _require(own, f"{name} ({printable(device.name)}) is described, and nothing was measured on it")
        _require_asked(device, evidence.asked)
        _require_planned(device, own, evidence)
    devices = [measurement.workload.device for measurement in evidence.measurements]
    in_order = [selector for selector, rows in found.items() for _ in rows]
    _require(devices == in_order, "the rows do not stand in the order of their devices")


def _require_planned(device: Device, found: Sequence[Workload], evidence: Evidence) -> None:
    name = printable(device.selector)
    planned = [
        (row.kernel.name, row.kernel.backend, row.kernel.operation, row.form)
        for row in selection.select(device, evidence.asked, quick=evidence.mode == "quick")
    ]
    routes = [(w.kernel, w.backend, w.operation, w.form) for w in found]
    for workload, route in zip(found, routes, strict=True):
        row = printable(workload.row)
        _require(route in planned, f"{row} is no row that this version of bench plans for what was asked")
    missing = [route for route in planned if route not in routes]
    _require(not missing, f"{len(missing)} of the {len(planned)} rows to be measured on {name} are not there")
    _require(routes == planned, f"the rows of {name} do not stand in the order of the plan, each once")


def _require_asked(device: Device, asked: tuple[str, ...]) -> None:
    known = selection.offered_precisions(device)
    strange = [name for name in asked if name not in known]
    _require(not strange, f"{printable(', '.join(strange))} was asked for, and no kernel computes it there")
    _require(len({*asked}) == len(asked), "a precision was asked for twice")


# ------------------------------------------------------------------------------- what a row ran, and how


def _require_schedule(evidence: Evidence) -> None:
    """What does not depend on the machine's speed is as this version plans it for such a run."""
    given, quick = evidence.schedule, evidence.mode == "quick"
    numbers = (given.window_ns, given.settle_least_ns, given.settle_most_ns, given.launch_most_ns)
    longest = stopping.LONGEST_S * NS_PER_S
    whole = min(*numbers, given.refine_ns) >= 0 < given.limit_ns <= longest >= given.hold_ns >= 0
    _require(whole, "the schedule holds times that none has")
    # One row and its time: only the times that depend on neither are compared.
    usual = stopping.schedule(1, given.limit_ns / NS_PER_S, quick=quick, hold_s=given.hold_ns / NS_PER_S)
    same = ("visits", "sample_ns", "probe_ns", "half_width")
    paced = (
        given.settle_most_ns == 3 * given.settle_least_ns <= 3 * stopping.LONGEST_SETTLE_NS
        and LEAST_SAMPLES * given.sample_ns <= given.window_ns <= stopping.LONGEST_WINDOW_NS
        and given.settle_most_ns >= LEAST_SAMPLES * given.sample_ns
    )
    _require(
        paced and all(getattr(given, name) == getattr(usual, name) for name in same),
        "the schedule is not one that this version of bench follows",
    )


def _require_shape(measurement: Measurement, family: Family, evidence: Evidence) -> None:
    """One that the search could try; once the search is over, the one that it chooses."""
    workload, tried = measurement.workload, measurement.tried
    row, quick = printable(workload.row), evidence.mode == "quick"
    moved_by = None if evidence.challenge is None else evidence.nonce
    rungs = ladder.rungs(workload.operation, workload.form, family, quick=quick, nonce=moved_by)
    refinement = ladder.refinement(workload.operation, workload.form, family, quick=quick)
    _require(
        workload.shape in (rungs if not tried else [trial.shape for trial in tried]),
        f"{row}: its shape is none that the search tried",
    )
    _require(
        not tried or search.follows(rungs, refinement, tried),
        f"{row}: the shapes tried are not those of the ladder and around its best, in their order",
    )
    _require(all(map(_is_sound, tried)), f"{row}: a trial needs rates, or the reason why there are none")
    if measurement.before is not None or measurement.visits:
        chosen = search.chosen(tried)
        _require(
            chosen is not None and chosen.shape == workload.shape,
            f"{row}: its shape is not the fastest of those tried",
        )


def _is_sound(trial: Trial) -> bool:
    rated = bool(trial.ops_per_s) and min(trial.ops_per_s) > 0
    return trial.spent_ns >= 0 and (rated and trial.reason is None if trial.ops_per_s else bool(trial.reason))


def _require_inputs(measurement: Measurement, nonce: str) -> None:
    workload = measurement.workload
    row = printable(workload.row)
    _require(workload.seed == nonce, f"{row}: the operands were not seeded by the evidence's nonce")
    counted = opcount.cost(workload.shape, workload.form)
    _require(measurement.cost == counted, f"{row}: the count of operations is not that of its shape")


def _require_phases(measurement: Measurement, schedule: Schedule, *, interrupted: bool) -> None:
    """The phases that a row went through are those before its end, and a failure is told."""
    row, ended = printable(measurement.workload.row), measurement.ended
    if ended in _UNFINISHED:
        _require(
            interrupted, f"{row} was not finished, and the evidence does not say that it was interrupted"
        )
    else:
        _require(ended in (*_MEASURED, *_UNMEASURED), f"{row} ended as no row does: {printable(ended)}")
    _require(
        (ended == "refused") == bool(measurement.findings),
        f"{row}: a row that was refused says why, and no other does",
    )
    _require(
        measurement.before is not None or measurement.probe is None, f"{row} was probed without being checked"
    )
    _require(measurement.probe is not None or not measurement.visits, f"{row} was visited without a probe")
    visits = measurement.visits
    # An interrupt or a failure cuts the last visit short, never one before it, nor one before a held window.
    later = measurement.alone is not None or measurement.held is not None
    cut = 0 if later or ended in _MEASURED else 1
    whole = all(_is_whole(visit, measurement, schedule) for visit in visits[: len(visits) - cut])
    _require(whole, f"{row}: a visit is not whole, and the row says that it was not interrupted")
    if ended in _MEASURED:
        _require(_is_enough(measurement, schedule), f"{row}: its visits do not end where the rule ends them")
    if ended == "wrong-outputs":
        checked = measurement.before is not None and not measurement.visits
        _require(checked, f"{row}: a row with wrong outputs ends at its check")


def _is_enough(measurement: Measurement, schedule: Schedule) -> bool:
    """As many visits as there must be, "precise" if and only if they are, and none beyond that."""
    visits = measurement.visits

    def precise(number: int) -> bool:
        estimate = stats.mean_rate(visits[:number], measurement.cost.ops, "", real_only=False)
        return estimate is not None and stats.half_width(estimate) <= schedule.half_width

    if len(visits) < schedule.visits or precise(len(visits)) != (measurement.ended == "precise"):
        return False
    return len(visits) == schedule.visits or not precise(len(visits) - 1)


def _is_whole(visit: Visit, measurement: Measurement, schedule: Schedule) -> bool:
    """Whether it settled by the rule, and ended with the sample that filled its window and no other."""
    if visit.settle_ended not in _SETTLE_ENDED or visit.ended != "window-full":
        return False
    return _settled(visit, measurement, schedule) and _is_full(visit, schedule.window_ns)


def _settled(visit: Visit, measurement: Measurement, schedule: Schedule) -> bool:
    def ended(settle: Sequence[Sample]) -> str | None:
        return stopping.settled(settle, measurement.cost.ops, schedule) if settle else None

    return ended(visit.settle) == visit.settle_ended and ended(visit.settle[:-1]) is None


def _is_full(visit: Visit, window_ns: int) -> bool:
    elapsed = sum(sample.host_ns for sample in visit.samples)
    enough = elapsed >= window_ns and len(visit.samples) >= LEAST_SAMPLES
    before = elapsed - visit.samples[-1].host_ns if visit.samples else 0
    return enough and (before < window_ns or len(visit.samples) == LEAST_SAMPLES)


def _require_held(evidence: Evidence) -> None:
    """The rows that were held under load are those behind the figures of the visits, each for its time."""
    schedule = evidence.schedule
    held = [m for m in evidence.measurements if m.held is not None]
    _require(not held or schedule.hold_ns, "a row was held under load, and the schedule asks for none")
    if not schedule.hold_ns:
        return
    figures = _figures_of_visits(evidence)
    for measurement in held:
        workload = measurement.workload
        row, same = printable(workload.row), (workload.device, workload.precision)
        # One that failed or was wrong while it was held no longer counts, and is nobody's figure.
        fitting = figures.get(same) in (None, workload.row) or not _is_measured(measurement)
        _require(fitting, f"{row} was held under load, and is not the best of its precision")
        window = measurement.stays[-1]
        settled = _settled(window, measurement, stopping.held(schedule))
        whole = (
            evidence.interrupted
            or not _is_measured(measurement)
            or (settled and _is_full(window, schedule.hold_ns))
        )
        _require(whole, f"{row}: its held window ends before its time")
        before = window.samples[:-1]
        elapsed = sum(sample.host_ns for sample in before)
        fitting = elapsed < schedule.hold_ns or len(before) < LEAST_SAMPLES
        _require(fitting, f"{row}: its held window goes on after its time")
    reached = {(m.workload.device, m.workload.precision) for m in held}
    missing = [name for (device, name), row in figures.items() if row and (device, name) not in reached]
    _require(
        not missing or evidence.interrupted,
        f"no row of {printable(', '.join(missing))} was held under load, and one was to be",
    )


def _require_alone(evidence: Evidence) -> None:
    """Windows alone are of one rank of several, whole, and of the rows behind the figures of its visits."""
    alone = [m for m in evidence.measurements if m.alone is not None]
    _require(not alone or evidence.rank, "a window was measured alone, and there is no other device")
    figures = _figures_of_visits(evidence) if alone else {}
    for measurement in alone:
        assert measurement.alone is not None
        workload = measurement.workload
        row, same = printable(workload.row), (workload.device, workload.precision)
        measured = _is_measured(measurement)
        _require(
            figures.get(same) in (None, workload.row) or not measured,
            f"{row} was measured alone, and is not the best of its precision",
        )
        whole = _is_whole(measurement.alone, measurement, evidence.schedule)
        _require(whole or evidence.interrupted or not measured, f"{row}: its window alone is not whole")


def _is_measured(measurement: Measurement) -> bool:
    return measurement.ended in _MEASURED


def _figures_of_visits(evidence: Evidence) -> dict[tuple[str, str], str | None]:
    """The rows behind the figures as they stood before any was held."""
    visits = [replace(measurement, alone=None, held=None) for measurement in evidence.measurements]
    figures = deliver(evidence.devices, visits, evidence.telemetry, clock=evidence.clock).figures
    return {(figure.device, figure.precision): figure.row for figure in figures}


# --------------------------------------------------------------------------------- samples, and outputs


def _require_samples(measurement: Measurement) -> None:
    """Values that a clock can bring, on the operands that the nonce chose."""
    row = printable(measurement.workload.row)
    for sample in samples(measurement):
        if sample.host_ns <= 0 or sample.launches <= 0:
            raise EvidenceInvalid(f"{row}: a sample has no time or no launches.", step=STEP)
        if sample.cpu_ns < 0 or sample.host_ns > stopping.LONGEST_S * NS_PER_S:
            raise EvidenceInvalid(f"{row}: a sample holds a value that no measurement brings.", step=STEP)
    settle = [sample.real for visit in measurement.stays for sample in visit.settle]
    _require(not any(settle), f"{row}: it settled on real-valued operands")
    flags = [[sample.real for sample in visit.samples] for visit in measurement.stays]
    chosen = sampling.all_on_reals(measurement.workload, [len(visit) for visit in flags])
    _require(flags == chosen, f"{row}: its samples did not run on the operands that the nonce chose")


def _require_device_clock(measurement: Measurement, device: Device) -> None:
    """A device with a clock of its own has timed every counted sample by it, a processor has none."""
    row = printable(measurement.workload.row)
    for visit in measurement.stays:
        expected = 0 if device.family == "cpu" else len(visit.samples)
        if device.family != "ort":
            _require(
                len(visit.device_ns) == expected or visit.ended != "window-full",
                f"{row}: the device's own clock stands for {len(visit.device_ns)} of {expected} samples",
            )
        _require(min(visit.device_ns, default=1) > 0, f"{row}: the device's own clock brought no time")


def _require_checks(measurement: Measurement) -> None:
    """As many outputs were compared as are compared, and what is said about them adds up."""
    workload, row = measurement.workload, printable(measurement.workload.row)
    for check in (measurement.before, measurement.probe, measurement.timed):
        adds_up = check is None or _adds_up(check, requantised=workload.form.requantised)
        _require(adds_up, f"{row}: the counts of a check of outputs do not add up")
    before, probe = sampling.before_counts(workload), sampling.probe_counts(workload)
    counted = (
        (measurement.before is None or _counts(measurement.before) == before)
        and (measurement.probe is None or _counts(measurement.probe) == probe)
        and _timed_count(measurement)
    )
    _require(counted, f"{row}: it compared other numbers of outputs than its launches bring")


def _adds_up(check: Check, *, requantised: bool) -> bool:
    counts = (check.launches, check.wrong, check.off_by_one, check.real_compared)
    error = check.real_error_ppm
    return (
        min(counts) >= 0
        and check.wrong + check.off_by_one <= check.compared
        and (requantised or check.off_by_one == 0)
        and (error is None) == (check.real_compared == 0)
        and (error is None or error >= 0)
    )


def _counts(check: Check | None) -> sampling.Counts:
    if check is None:
        return sampling.Counts(launches=0, compared=0, real_compared=0)
    return sampling.Counts(
        launches=check.launches, compared=check.compared, real_compared=check.real_compared
    )


def _timed_count(measurement: Measurement) -> bool:
    """Whether every measured sample was looked at; an interrupt may have come before the last look."""
    flags = [sample.real for visit in measurement.stays for sample in visit.samples]
    got = _counts(measurement.timed)
    if measurement.ended in _MEASURED:
        return got == sampling.timed_counts(flags)
    least = sampling.timed_counts(flags[:-1])
    return got.compared >= least.compared and got.real_compared >= least.real_compared
