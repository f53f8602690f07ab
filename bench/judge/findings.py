"""What disturbs or forbids a figure becomes a finding: a code with its numbers. Pure, recomputed by verify.

What disturbed the run is said, never corrected for. A failure leaves its row without a figure.
"""

from collections.abc import Callable, Iterator, Sequence

from bench.devices.cuda_telemetry import EVENT_REASONS, sensor_name
from bench.judge import admission, catalog, disturbance
from bench.judge.rows import OPERAND_RATIO, arithmetic, estimate, other_arithmetic, reals_are_slower, windows
from bench.measure import stats
from bench.terms import Device, Finding, Measurement, Opening, Sample, Scalar, Status, Telemetry, Visit
from bench.units import NS_PER_S
from bench.workload import accuracy
from bench.workload.openings import OUTPUTS_DIFFER

# Two clocks over the same windows agree within this share, or one of them is not to be believed.
_CLOCKS = 0.01
# A runner whose latencies tell of less than this share of the time leaves something out.
_TOLD = 0.5
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

# The processors cannot have been busy, and their time stolen, for longer than the run took; ticks are 10 ms.
_MOST_TAKEN = 1.05
_LEAST_TAKEN_NS = NS_PER_S

# A half-width above this share says that something made the visits differ.
_WIDE = 0.05


def of_row(measurement: Measurement, device: Device, telemetry: Telemetry) -> Iterator[Finding]:
    """What the row itself reported, then what its checks, its probe and its clocks show."""
    row = measurement.workload.row
    yield from measurement.findings
    for code, check in (("wrong-outputs", measurement.before), ("wrong-timed-outputs", measurement.timed)):
        if check is None or not check.compared or accuracy.right(measurement.workload, check):
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
    yield from admission.findings(measurement, device)
    measured = arithmetic(measurement)
    if measured and other_arithmetic(measured, measurement.workload.precision) == "arithmetic-differs":
        words: dict[str, Scalar] = {"asked": measurement.workload.precision, "measured": str(measured)}
        yield Finding(subject=row, status="warning", code="arithmetic-differs", numbers=words)
    without_room = sum(trial.reason == "no-memory" for trial in measurement.tried)
    if without_room:
        yield Finding(
            subject=row, status="info", code="shapes-without-room", numbers={"shapes": without_room}
        )
    yield from _timing_findings(measurement, device, telemetry)
    yield from _disturbed_findings(measurement, device, telemetry)
    yield from _throttled_findings(measurement, device, telemetry)


def of_openings(measurement: Measurement, openings: Sequence[Opening]) -> Iterator[Finding]:
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
    if ratio is not None and (reals_are_slower(ratio) or ratio.low > 1 / OPERAND_RATIO):
        numbers = {name: stats.rounded(getattr(ratio, name)) for name in ("value", "low", "high")}
        yield finding("warning", "operand-rates-differ", **numbers)
    host = sum(sample.host_ns for sample in samples)
    raw = sum(sample.raw_ns for sample in samples)
    if abs(raw - host) > _CLOCKS * host:
        yield finding("failure", "clocks-disagree", host_ns=host, raw_ns=raw)
    yield from _taken_findings(finding, measurement, telemetry, device)
    yield from _device_clock_findings(finding, measurement.counted, device)
    yield from _cpu_time_findings(finding, samples, host, device)
    unsettled = sum(visit.settle_ended == "settle-limit" for visit in visits)
    if 2 * unsettled > len(visits):
        yield finding("warning", "not-settled", visits=len(visits), unsettled=unsettled)
    yield from _drift_findings(finding, measurement)
    figure = estimate(measurement)
    if figure is not None and stats.half_width(figure) > _WIDE:
        yield finding("warning", "wide-interval", half_width=stats.rounded(stats.half_width(figure)))


def _taken_findings(
    finding: Callable[..., Finding], measurement: Measurement, telemetry: Telemetry, device: Device
) -> Iterator[Finding]:
    """The processors' ticks are the kernel's: they tell on a clock that is slowed with all others.

    In the row's own windows, where little time is idle, and where these are too short in the whole run.
    """
    cpus, readings = device.fact("threads-affinity"), telemetry.readings
    if device.family != "cpu" or not isinstance(cpus, int) or len(readings) < 2:
        return
    whole = [(readings[0].at_ns, readings[-1].at_ns)]
    spans = [span for span in (windows(measurement), whole) if _length_ns(span) >= _LEAST_TAKEN_NS]
    shares = [disturbance.taken(span, readings, cpus) for span in spans]
    share = max((share for share in shares if share is not None), default=0.0)
    if share > _MOST_TAKEN:
        yield finding("failure", "processors-exceed-elapsed", share=stats.rounded(share), cpus=cpus)


def _length_ns(windows: Sequence[tuple[int, int]]) -> int:
    return sum(end - begin for begin, end in windows)


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


def _device_clock_findings(
    finding: Callable[..., Finding], visits: Sequence[Visit], device: Device
) -> Iterator[Finding]:
    """The device's own clock against the host's, over the same samples.

    Device time beyond the host's cannot be: one of the clocks lies. Host time beyond the device's may be
    the launches' own cost, and the figure stands on the longer time already. A runner's clock is its own
    word, and between its runs digests are taken and answers written.
    """
    pairs = [(d, s.host_ns) for visit in visits for d, s in zip(visit.device_ns, visit.samples, strict=False)]
    device_ns, host_ns = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0, 0)
    if device_ns > (1 + _CLOCKS) * host_ns:
        yield finding("failure", "device-clock-disagrees", device_ns=device_ns, host_ns=host_ns)
    elif device.family == "runner" and device_ns < _TOLD * host_ns:
        yield finding("warning", "latencies-too-short", device_ns=device_ns, host_ns=host_ns)
    elif device_ns < (1 - _CLOCKS) * host_ns:
        status: Status = "info" if device.family == "runner" else "warning"
        yield finding(status, "device-idle-in-window", device_ns=device_ns, host_ns=host_ns)


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
    open_ones, readings = windows(measurement), telemetry.readings
    for code, share, most in (
        ("row-steal", disturbance.stolen(open_ones, readings, cpus), _STEAL),
        ("row-foreign-load", disturbance.foreign(open_ones, readings, cpus), _FOREIGN),
    ):
        if share is not None and share > most:
            numbers = {"share": stats.rounded(share)}
            yield Finding(subject=row, status="warning", code=code, numbers=numbers)


def _throttled_findings(measurement: Measurement, device: Device, telemetry: Telemetry) -> Iterator[Finding]:
    """Whether a GPU was held back in the row's windows. The power cap is where most run; the rest is not."""
    name = sensor_name(EVENT_REASONS, device)
    sensor = next((sensor for sensor in telemetry.sensors if sensor.name == name), None)
    if device.family != "cuda" or sensor is None:
        return
    held = disturbance.throttling(windows(measurement), telemetry.readings, sensor)
    if held is not None and held.share > 0:
        yield Finding(
            subject=measurement.workload.row,
            status="warning" if held.reasons & disturbance.SLOWED else "info",
            code="row-throttled",
            numbers={"share": stats.rounded(held.share), "reasons": held.reasons},
        )


def of_devices(devices: Sequence[Device]) -> Iterator[Finding]:
    """A device that bears the name of a profile and is another one, or that nobody can tell apart."""
    for device in devices:
        spec = catalog.named(device)
        marks = () if spec is None else catalog.marks(spec, device)
        for mark in marks:
            if mark.differs:
                yield Finding(
                    subject=device.selector,
                    status="warning",
                    code="identity-differs",
                    numbers={
                        "name": device.name,
                        "fact": mark.fact,
                        "got": str(mark.value),
                        "expected": mark.expected,
                    },
                )
        unread = [mark.fact for mark in marks if mark.value is None]
        if unread:
            yield Finding(
                subject=device.selector,
                status="info",
                code="identity-not-whole",
                numbers={"facts": ", ".join(unread)},
            )


def of_machine(telemetry: Telemetry, devices: Sequence[Device]) -> Iterator[Finding]:
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
