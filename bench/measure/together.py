"""What several devices did at once: the work inside the window that all of them share; pure.

Every rank counts time from the start of its own run. How far apart two such clocks are is estimated as NTP
does (RFC 5905, section 8): of a question and its answer the middle is taken for the same moment on both
sides, which errs by half of the round trip at most, whatever the network does. The shortest of several round
trips counts, once before and once after the window; in between the clocks drift evenly.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.measure import stats
from bench.terms import Estimate, Exchange, Sample
from bench.units import NS_PER_S

METHOD = "work-in-common-window/batch-means/1"

# Crystal oscillators of computers are within 100 ppm of each other; what two estimates of an offset differ by
# beyond that, and beyond what each may err, is no drift.
_DRIFT_PPM = 100
# Batches of the common window, as in stats: 10 to 30, and each at least as long as two samples of every rank.
_LEAST_BATCHES, _MOST_BATCHES, _SAMPLES_EACH = 10, 30, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """At `at_ns` of a rank's own time, rank 0's is later by `ns`, give or take `uncertainty_ns`."""

    at_ns: int
    ns: float
    uncertainty_ns: float


def offset(exchange: Exchange) -> Offset:
    """What one question and its answer say."""
    trip_ns = (exchange.back_ns - exchange.sent_ns) - (exchange.answered_ns - exchange.received_ns)
    middle = (exchange.sent_ns + exchange.back_ns) // 2
    later = (exchange.received_ns - exchange.sent_ns) + (exchange.answered_ns - exchange.back_ns)
    return Offset(at_ns=middle, ns=later / 2, uncertainty_ns=trip_ns / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timebase:
    """From a rank's own time to rank 0's: a line through an offset before and one after."""

    before: Offset
    after: Offset

    @property
    def uncertainty_ns(self) -> float:
        return max(self.before.uncertainty_ns, self.after.uncertainty_ns)

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than drift and what each may err."""
        allowed = _DRIFT_PPM * 1e-6 * abs(self.after.at_ns - self.before.at_ns)
        apart = abs(self.after.ns - self.before.ns)
        return apart <= allowed + self.before.uncertainty_ns + self.after.uncertainty_ns

    def __call__(self, at_ns: int) -> float:
        span = self.after.at_ns - self.before.at_ns
        share = (at_ns - self.before.at_ns) / span if span else 0.0
        return at_ns + self.before.ns + share * (self.after.ns - self.before.ns)


SAME = Timebase(
    before=Offset(at_ns=0, ns=0.0, uncertainty_ns=0.0), after=Offset(at_ns=0, ns=0.0, uncertainty_ns=0.0)
)


def timebase(exchanges: Sequence[Exchange]) -> Timebase | None:
    """By the shortest round trip before and the one after; None where one of them is missing."""
    shortest = [
        min(found, key=lambda offset: offset.uncertainty_ns, default=None)
        for phase in ("before", "after")
        for found in [[offset(exchange) for exchange in exchanges if exchange.phase == phase]]
    ]
    before, after = shortest
    return None if before is None or after is None else Timebase(before=before, after=after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One rank's samples of a window, on rank 0's time: begin and end in ns, and operations."""

    spans: tuple[tuple[float, float, float], ...]
    uncertainty_ns: float


def track(samples: Iterable[Sample], ops: int, base: Timebase) -> Track:
    """`ops` are a launch's."""
    spans = tuple(
        (base(sample.start_ns), base(sample.start_ns + sample.host_ns), ops * sample.launches)
        for sample in samples
    )
    return Track(spans=spans, uncertainty_ns=base.uncertainty_ns)


def common_window(tracks: Sequence[Track]) -> tuple[int, int] | None:
    """From the last rank's first sample to the first rank's last one, narrowed by what clocks may err.

    None where no such window is left, or a rank has no samples.
    """
    if not tracks or not all(each.spans for each in tracks):
        return None
    begin = max(each.spans[0][0] + each.uncertainty_ns for each in tracks)
    end = min(each.spans[-1][1] - each.uncertainty_ns for each in tracks)
    return (math.ceil(begin), math.floor(end)) if math.floor(end) > math.ceil(begin) else None


def inside(spans: Iterable[tuple[float, float, float]], begin: float, end: float) -> tuple[float, float]:
    """Operations inside the window, and ns at work there: a sample over an edge counts by its time inside."""
    parts = [
        (ops * shared / (last - first), shared)
        for first, last, ops in spans
        if (shared := min(last, end) - max(first, begin)) > 0
    ]
    return math.fsum(work for work, _ in parts), math.fsum(shared for _, shared in parts)


def rate(tracks: Sequence[Track], window: tuple[int, int], unit: str) -> Estimate | None:
    """All ranks' work inside the window over its length, with the interval of its batch means.

    None where a rank has too few samples for batches.
    """
    begin, end = window
    least = min(sum(first < end and last > begin for first, last, _ in each.spans) for each in tracks)
    number = min(_MOST_BATCHES, least // _SAMPLES_EACH)
    if number < _LEAST_BATCHES:
        return None
    edges = [begin + (end - begin) * index / number for index in range(number + 1)]
    rates = [
        math.fsum(inside(each.spans, a, b)[0] for each in tracks) * NS_PER_S / (b - a)
        for a, b in pairwise(edges)
    ]
    value = math.fsum(inside(each.spans, begin, end)[0] for each in tracks) * NS_PER_S / (end - begin)
    return stats.batch_estimate(value, rates, unit, METHOD)
