"""Whether a row through an execution provider or a runner is admitted, and what its times say. Pure.

A failure leaves the row without a figure, a reservation lets it stand in the table and count for nothing.
"""

from collections.abc import Iterator

from bench.measure import stats
from bench.measure.admission import GROWS, growth, least
from bench.terms import Admission, Device, Finding, Measurement, Scalar, Status, Through
from bench.units import NS_PER_S
from bench.workload import opcount

# Within this share the device is as fast as the processor beside it: then it may be the processor.
_AS_FAST = 0.2
# A launch of fewer times what launching takes shows launching.
_DISPATCHES = 20


def through(measurement: Measurement) -> Through | None:
    """What is told beside the row's figure; None for a row that went through no provider."""
    admission = measurement.admission
    if admission is None:
        return None
    ratio = None
    if admission.cpu_pairs:
        own, processor = least(admission.cpu_pairs)
        ratio = stats.rounded(processor / own)
    return Through(
        provider=admission.placements[0].provider if admission.placements else None,
        nodes=len(admission.placements),
        operators=admission.fused,
        dispatch_ns=min(admission.dispatch_ns),
        slope=_slope(admission, opcount.ops(measurement.workload.shape)),
        cpu_ratio=ratio,
        cpu_reason=admission.cpu_reason,
    )


def _slope(admission: Admission, ops: int) -> float | None:
    if growth(admission.dispatch_ns, admission.depth_pairs) < GROWS:
        return None
    usual, doubled = least(admission.depth_pairs)
    return stats.rounded(admission.times * ops * NS_PER_S / (doubled - usual))


def findings(measurement: Measurement, device: Device) -> Iterator[Finding]:
    admission, beside = measurement.admission, through(measurement)
    if admission is None or beside is None:
        return
    row = measurement.workload.row

    def finding(status: Status, code: str, **numbers: Scalar) -> Finding:
        return Finding(subject=row, status=status, code=code, numbers=numbers)

    if beside.slope is None:
        grown = growth(admission.dispatch_ns, admission.depth_pairs)
        yield finding("failure", "work-does-not-grow", growth=stats.rounded(grown))
    launch_ns = _launch_ns(measurement)
    if launch_ns is not None and launch_ns < _DISPATCHES * beside.dispatch_ns:
        yield finding("info", "dispatch-bound", dispatch_ns=beside.dispatch_ns, launch_ns=launch_ns)
    ratio = beside.cpu_ratio
    if ratio is not None and device.kind != "cpu" and abs(ratio - 1) <= _AS_FAST:
        yield finding("warning", "as-fast-as-processor", ratio=ratio)


def _launch_ns(measurement: Measurement) -> int | None:
    """The mean time of a launch in the windows that the figure stands on."""
    samples = [sample for visit in measurement.counted for sample in visit.samples]
    launches = sum(sample.launches for sample in samples)
    return sum(sample.host_ns for sample in samples) // launches if launches else None


def reservation(device: Device) -> str | None:
    """Why no figure of the device counts, whatever its rows show; None where there is no such reason."""
    return "host-simulator" if device.fact("simulator") is not None else None
