"""Whether what was measured beside the rows is what this program measures: step 6 of verification.

None of it makes a figure higher, but a ceiling that is left out accuses nobody: where the clock could be
measured it stands in every visit, and where it could not, the reason is the one that the device gives.
"""

from collections.abc import Sequence
from itertools import pairwise

from bench.errors import EvidenceInvalid
from bench.judge import ceiling
from bench.printable import printable
from bench.terms import Device, Diagnostic, Evidence, Measurement, Sensor, Telemetry, Transfer
from bench.workload import traffic
from bench.workload.kernel import BY_SENSOR, IN_STREAM

STEP = 6

# Why the clock of a processor that has a profile may be missing, and that of a GPU.
_WHY_NO_CLOCK = {"cpu": ("not-installed", "chain-refused"), "cuda": ("window-clock-refused",)}


def require_sound(evidence: Evidence) -> None:
    """Raise EvidenceInvalid (step 6) for clocks, bandwidth, diagnostics or telemetry of no run."""
    clocked = next((device for device in evidence.devices if device.family in _WHY_NO_CLOCK), None)
    _require_clock(evidence, clocked)
    for measurement in evidence.measurements:
        device = next(d for d in evidence.devices if d.selector == measurement.workload.device)
        _require_clocks(measurement, device, known=evidence.clock.value is not None)
    _require_memory(evidence)
    rows = {(m.workload.device, m.workload.row) for m in evidence.measurements}
    for diagnostic in evidence.diagnostics:
        _require_diagnostic(diagnostic, known=(diagnostic.device, diagnostic.row) in rows)
    _require_telemetry(evidence.telemetry)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise EvidenceInvalid(f"{message}.", step=STEP)


def _require_clock(evidence: Evidence, device: Device | None) -> None:
    """Its name says by which chain, of which latency, on which microarchitecture; or how a GPU's was read."""
    value = evidence.clock.value
    path = None if device is None else ceiling.clock_path(device)
    if value is None:
        reasons = (
            ("clock-not-measured",)
            if device is None
            else ("microarchitecture-unknown",)
            if path is None
            else _WHY_NO_CLOCK[device.family]
        )
        _require(
            evidence.clock.reason in reasons, "the clock was not measured for a reason that is none here"
        )
        return
    fitting = device is not None and path is not None and isinstance(value, str) and value.endswith(path)
    if fitting and device is not None and device.family == "cuda":
        fitting = value in [f"{way}{path}" for way in (IN_STREAM, *BY_SENSOR)]
    _require(fitting, "the clock was measured by a chain that is not known for this processor")


def _require_clocks(measurement: Measurement, device: Device, *, known: bool) -> None:
    row = printable(measurement.workload.row)
    cores = device.fact("cores-usable")
    for visit in measurement.stays:
        _require(min(visit.clocks_hz, default=1) > 0, f"{row}: a core's clock is not above zero")
        # An interrupt may come before the clock is read; one that failed to be read once is not known.
        if known and visit.ended == "window-full":
            expected = cores if device.family == "cpu" else int(device.family == "cuda")
            # Where nobody tells which CPUs share a core, each of them counts as one.
            fitting = bool(visit.clocks_hz) if expected is None else len(visit.clocks_hz) == expected
            _require(
                fitting, f"{row}: the clock of {len(visit.clocks_hz)} cores was measured, expected {expected}"
            )


def _require_memory(evidence: Evidence) -> None:
    """The sizes follow from the devices' caches; a smoke test has none, and an interrupt comes before."""
    given = evidence.memory
    for transfer in given:
        _require_transfer(transfer)
    if evidence.mode == "quick":
        _require(not given, "a smoke test measures no bandwidth")
        return
    expected = sum(2 * len(traffic.sizes(d)) for d in evidence.devices if d.family == "cpu")
    _require(
        len(given) == expected or (evidence.interrupted and not given),
        f"bandwidth stands for {len(given)} sizes and operations, expected {expected}",
    )


def _require_transfer(transfer: Transfer) -> None:
    least = min((each.ns for each in transfer.passes), default=1)
    sound = (
        least > 0
        and 0 < transfer.footprint_bytes <= transfer.moved_bytes
        and transfer.moved_bytes % transfer.footprint_bytes == 0
        and bool(transfer.passes) == (transfer.reason is None)
    )
    _require(sound, f"a pass of {transfer.operation} is none that the bandwidth kernel makes")


def _require_diagnostic(diagnostic: Diagnostic, *, known: bool) -> None:
    row = printable(diagnostic.row)
    _require(known, f"{row} was diagnosed, and is no row of the evidence")
    times = [ns for pair in diagnostic.pairs for ns in (pair.usual_ns, pair.other_ns)]
    sound = min(times, default=1) > 0 and bool(times) == (diagnostic.reason is None)
    _require(sound, f"{row}: its diagnosis ({diagnostic.name}) has neither times nor a reason, or both")


def _require_telemetry(telemetry: Telemetry) -> None:
    _require(telemetry.period_ns > 0, "the telemetry has no period")
    names = [sensor.name for sensor in telemetry.sensors]
    _require(len({*names}) == len(names), "a sensor stands twice in the telemetry")
    for sensor in telemetry.sensors:
        _require_sensor(sensor, len(telemetry.readings))
    columns = ("at_ns", "busy_us", "own_us", "steal_us")
    # That its times grow is step 9's: they are held against the samples' there.
    _require_growing([reading.own_us for reading in telemetry.readings], "the telemetry's own_us")
    _require(
        all(getattr(r, column) >= 0 for r in telemetry.readings for column in columns),
        "the telemetry counts below nothing",
    )
    if telemetry.meter is not None:
        _require_growing([r.at_ns for r in telemetry.meter.readings], "the wall meter's time")
        _require_growing([r.energy_uj for r in telemetry.meter.readings], "the wall meter's counter")


def _require_sensor(sensor: Sensor, readings: int) -> None:
    name = printable(sensor.name)
    _require(sensor.every > 0, f"{name} was read at no reading")
    whole = -(-readings // sensor.every)
    fitting = len(sensor.levels) == whole if sensor.reason is None else len(sensor.levels) < max(1, whole)
    _require(fitting, f"{name} has {len(sensor.levels)} levels for {readings} readings")
    if sensor.unit == "uJ":
        _require_growing([level.value for level in sensor.levels], name)


def _require_growing(values: Sequence[int], what: str) -> None:
    _require(all(a <= b for a, b in pairwise(values)), f"{what} runs backwards")
