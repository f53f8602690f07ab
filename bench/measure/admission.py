"""What admits a row through an execution provider, beyond right outputs in the right arithmetic.

    session, placement, form   examined by the kernel before the search, and again of the graph it chose
    arithmetic, exactness      as for every row (measure/row)
    work grows                 the graph against one that is twice as deep, launch for launch in turn
    device                     what it is of is the device's own fact (devices/ort), which the judge reads
    rate against the CPU's     the same bytes on the CPU's provider, in turn

Nothing is judged here: judge/admission reads the times.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from bench.devices.clock import Clock
from bench.measure.row import BACKEND_ERRORS, Row, prepare
from bench.terms import Admission, ConvShape, GemmShape, Pair, Shape, Workload
from bench.units import NS_PER_S
from bench.workload import opcount, operands, sampling
from bench.workload.kernel import Examined, Prepared, ThroughProvider

_PAIRS, _DISPATCHES = 5, 30
# A machine that is busy with others makes twice the work look like any multiple of it, until both graphs have
# met it idle once: then so many pairs are taken at most.
_MOST_PAIRS = 100
# Launches that are over in microseconds are compared for so long.
_CLEAR_NS = NS_PER_S // 20
# A graph that does twice the work takes about twice the time, what launching takes aside. Caches and memory
# make it more, a machine that is never idle less (seen: 1.42 of an honest graph). Work that is folded away,
# or done once and kept, takes the same time (seen: 1.05).
GROWS = 1.3
# No launch to be compared with may take longer: a processor that would is slower in any case.
_LONGEST_NS = 4 * NS_PER_S

# A launch of this length, or of so many times what launching takes, is work for the most part.
_LEAST_NS, _DISPATCH_SHARE, _MOST_TIMES = NS_PER_S // 500, 40, 64

# Next to nothing: what a launch of it takes is what launching takes.
_TRIVIAL: dict[str, Shape] = {
    "gemm": GemmShape(m=16, n=16, k=16),
    "conv": ConvShape(batch=1, channels=16, filters=16, height=8, width=8, kernel=1, padding=0),
}


def examine(row: Row, workload: Workload) -> Examined:
    """Raises NotAdmitted for a graph that the provider would not run as it says."""
    return cast(ThroughProvider, row.kernel).examine(workload, row.device, threads=row.threads)


def deepened(workload: Workload, times: int) -> Workload:
    """So many times the work in one launch: layers, or rows where layers cannot follow one another."""
    shape = workload.shape
    if workload.form.chains:
        return replace(workload, shape=replace(shape, depth=times * shape.depth))
    assert isinstance(shape, GemmShape)
    return replace(workload, shape=replace(shape, m=times * shape.m))


def _times(launch_ns: float, dispatch_ns: int) -> int:
    """How many times the work that a launch must hold for what every launch takes to be next to nothing."""
    times, least_ns = 1, max(_LEAST_NS, _DISPATCH_SHARE * dispatch_ns)
    while times * launch_ns < least_ns and times < _MOST_TIMES:
        times *= 2
    return times


def measure(row: Row, clock: Clock) -> Admission:
    """Everything the judge admits the prepared row by. Raises what the backend refuses."""
    assert row.prepared is not None
    examined = examine(row, row.workload)
    trivial = replace(row.workload, shape=_TRIVIAL[row.workload.operation])
    with _closing(prepare(row, trivial, real=False)) as nothing:
        dispatch = tuple(_launch_ns(nothing, clock, index) for index in range(_DISPATCHES))[1:]
    times, depth_pairs = _by_depth(row, clock, dispatch)
    cpu_pairs, cpu_reason = _beside_cpu(row, clock)
    return Admission(
        graph=examined.graph,
        placements=examined.placements,
        fused=examined.fused,
        dispatch_ns=dispatch,
        times=times,
        depth_pairs=depth_pairs,
        cpu_pairs=cpu_pairs,
        cpu_reason=cpu_reason,
    )


def _by_depth(row: Row, clock: Clock, dispatch_ns: Sequence[int]) -> tuple[int, tuple[Pair, ...]]:
    """How many times the work was compared with twice as much, and the launches of both."""
    times = _times(row.launch_ns, min(dispatch_ns))
    while True:
        try:
            return times, _compared(row, clock, dispatch_ns, times)
        except BACKEND_ERRORS:
            # What an honest device runs may be all that its compiler or its memory has room for.
            if times == 1:
                raise
            times //= 2


def _compared(row: Row, clock: Clock, dispatch_ns: Sequence[int], times: int) -> tuple[Pair, ...]:
    with (
        _closing(prepare(row, deepened(row.workload, times), real=False)) as usual,
        _closing(prepare(row, deepened(row.workload, 2 * times), real=False)) as deeper,
    ):
        pairs = _in_turn(usual, deeper, clock)
        while _unclear(dispatch_ns, pairs) and len(pairs) < _MOST_PAIRS:
            pairs += _in_turn(usual, deeper, clock)
    return pairs


def _unclear(dispatch_ns: Sequence[int], pairs: Sequence[Pair]) -> bool:
    """Whether chance may have made the ratio: it is too small, or the times are short."""
    taken = sum(pair.usual_ns + pair.other_ns for pair in pairs)
    return growth(dispatch_ns, pairs) < GROWS or taken < _CLEAR_NS


def growth(dispatch_ns: Sequence[int], depth_pairs: Sequence[Pair]) -> float:
    """How many times as long a graph takes that does twice the work, what launching takes aside.

    By the least times: what else runs on the machine makes a launch longer, and nothing makes one shorter.
    """
    usual, doubled = (_net(ns, min(dispatch_ns)) for ns in least(depth_pairs))
    return doubled / usual


def least(pairs: Sequence[Pair]) -> tuple[int, int]:
    return min(pair.usual_ns for pair in pairs), min(pair.other_ns for pair in pairs)


def _net(ns: int, dispatch_ns: int) -> float:
    """Half of the time always stays: two launches of nearly nothing, which noise tells apart, do not grow."""
    return max(ns - dispatch_ns, ns / 2)


def _beside_cpu(row: Row, clock: Clock) -> tuple[tuple[Pair, ...], str | None]:
    if row.device.kind == "cpu":
        return (), "same-processor"
    kernel = cast(ThroughProvider, row.kernel)
    layer = sampling.exact_workload(row.workload)
    try:
        with _closing(kernel.prepare_on_cpu(layer, threads=row.threads)) as one:
            _launch_ns(one, clock, 0)
            layer_ns = _launch_ns(one, clock, 1)
        if layer_ns * opcount.ops(row.workload.shape) // opcount.ops(layer.shape) > _LONGEST_NS:
            return (), "cpu-takes-too-long"
        with _closing(kernel.prepare_on_cpu(row.workload, threads=row.threads)) as same:
            assert row.prepared is not None
            return _in_turn(row.prepared, same, clock), None
    except BACKEND_ERRORS:
        return (), "cpu-refused"


@contextmanager
def _closing(prepared: Prepared) -> Iterator[Prepared]:
    try:
        yield prepared
    finally:
        prepared.close()


def _in_turn(usual: Prepared, other: Prepared, clock: Clock) -> tuple[Pair, ...]:
    """Launches of both in turn, after one of each that nobody times."""
    pairs = [
        Pair(usual_ns=_launch_ns(usual, clock, index), other_ns=_launch_ns(other, clock, index))
        for index in range(_PAIRS + 1)
    ]
    return tuple(pairs[1:])


def _launch_ns(prepared: Prepared, clock: Clock, index: int) -> int:
    begun = clock.host_ns()
    prepared.launch(index % operands.OFFSETS, real=False)
    prepared.finish()
    return max(1, clock.host_ns() - begun)
