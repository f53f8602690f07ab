"""Whether what admits a row through an execution provider or a runner is what this program writes: step 6."""

import re

from bench.errors import EvidenceInvalid
from bench.printable import printable
from bench.terms import Device, Measurement

STEP = 6


def _require(condition: object, message: str) -> None:
    if not condition:
        raise EvidenceInvalid(f"{message}.", step=STEP)


def require_sound(measurement: Measurement, device: Device) -> None:
    """Raise EvidenceInvalid (step 6) for a row that was visited unadmitted, or admitted as none is."""
    row, admission = printable(measurement.workload.row), measurement.admission
    through = device.takes_graphs
    _require(admission is None or through, f"{row}: it was admitted through a provider, and ran through none")
    if admission is None:
        _require(not measurement.visits or not through, f"{row} was visited without being admitted")
        return
    times = [
        *admission.dispatch_ns,
        *(pair.usual_ns for pair in (*admission.depth_pairs, *admission.cpu_pairs)),
        *(pair.other_ns for pair in (*admission.depth_pairs, *admission.cpu_pairs)),
    ]
    sound = (
        re.fullmatch("[0-9a-f]{64}", admission.graph)
        and admission.dispatch_ns
        and admission.times > 0
        and admission.depth_pairs
        and min(times) > 0
        and bool(admission.cpu_pairs) == (admission.cpu_reason is None)
    )
    _require(sound, f"{row}: what admits it lacks a part, or holds a time that none has")
    # An external runner tells no places; a provider tells those of all the nodes that count.
    placed = [each.provider for each in admission.placements]
    expected = [] if device.family == "runner" else [device.fact("ep")] * measurement.workload.shape.depth
    _require(placed == expected, f"{row}: its nodes are not all placed where the row says that it ran")
