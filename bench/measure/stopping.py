"""When a rate has settled, when a row has been measured enough, and what ended it: pure rules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.measure import stats
from bench.terms import Estimate, Sample
from bench.units import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long each part of a measurement takes; all times in ns of the host clock.

    `visits` is the least number of visits to every row; more are paid while `limit_ns` of the whole
    run allows and a row's half-width is above `half_width`.
    """

    visits: int
    sample_ns: int
    settle_least_ns: int
    settle_most_ns: int
    window_ns: int
    launch_most_ns: int
    probe_ns: int
    limit_ns: int
    half_width: float

    @property
    def least_visit_ns(self) -> int:
        """A visit of the least samples, with the least of settling before it."""
        return (LEAST_SAMPLES + 2 * _STRETCH) * self.sample_ns


# Two neighbouring stretches of a settled rate differ by less than this; a device that still warms up,
# boosts or takes cores back from another thread pool moves by more.
_DRIFT = 0.01
_STRETCH = 4


def settled(samples: Sequence[Sample], ops: int, schedule: Schedule) -> str | None:
    """Why settling may end now ("settled", "settle-limit"), or None to go on.

    The last stretch of samples is held against the one before it, once the least time has passed.
    """
    elapsed = sum(sample.host_ns for sample in samples)
    if elapsed >= schedule.settle_most_ns:
        return "settle-limit"
    if elapsed < schedule.settle_least_ns or len(samples) < 2 * _STRETCH:
        return None
    last = stats.rate(samples[-_STRETCH:], ops)
    before = stats.rate(samples[-2 * _STRETCH : -_STRETCH], ops)
    return "settled" if abs(last - before) <= _DRIFT * before else None


def enough(
    visits: int, estimate: Estimate | None, schedule: Schedule, elapsed_ns: int, visit_ns: int
) -> str | None:
    """Why a row needs no further visit ("precise", "time-limit"), or None for one more.

    Every row gets its least number of visits whatever the time; `visit_ns` is what one more would cost.
    """
    if visits < schedule.visits:
        return None
    if estimate is not None and stats.half_width(estimate) <= schedule.half_width:
        return "precise"
    return "time-limit" if elapsed_ns + visit_ns > schedule.limit_ns else None


def launches_per_sample(launch_ns: float, schedule: Schedule) -> int:
    """How many launches make one sample long enough for the clock."""
    return max(1, round(schedule.sample_ns / max(1.0, launch_ns)))


# The least samples of a window: one in eight runs on real-valued operands.
LEAST_SAMPLES = 8
# Opening the rows (search, checks) takes about this share of a run; it is known better afterwards.
OPENING = 0.25
# What a visit takes beyond its window, as a share of the least settling time: rates often need longer.
_SETTLING = 1.6


def schedule(rows: int, limit_s: float, *, quick: bool) -> Schedule:
    """The schedule of a run of `rows` rows that is to end within about `limit_s`."""
    sample_ns = (10 if quick else 20) * 1_000_000
    first = Schedule(
        visits=5,
        sample_ns=sample_ns,
        settle_least_ns=0,
        settle_most_ns=0,
        window_ns=0,
        launch_most_ns=0,
        probe_ns=(20 if quick else 60) * 1_000_000,
        limit_ns=int(limit_s * NS_PER_S),
        half_width=0.01,
    )
    paced = pace(first, rows, int(limit_s * (1 - OPENING) * NS_PER_S))
    # A launch may take what leaves a window its least samples: longer shapes are not tried.
    return replace(paced, launch_most_ns=paced.window_ns // LEAST_SAMPLES)


def pace(schedule: Schedule, rows: int, left_ns: int) -> Schedule:
    """Settling times and windows such that five visits to every row fill the time that is left.

    Settling takes 200 ms where there is time (a thread pool that was left spins on for up to 106 ms, and
    a processor's clock follows its load), windows up to a second: beyond it, more visits tell more.
    """
    visit_ns = left_ns // (max(1, rows) * schedule.visits)
    settle_ns = min(NS_PER_S // 5, visit_ns // 4)
    window_ns = max(LEAST_SAMPLES * schedule.sample_ns, visit_ns - int(_SETTLING * settle_ns))
    return replace(
        schedule,
        settle_least_ns=settle_ns,
        settle_most_ns=3 * settle_ns,
        window_ns=min(NS_PER_S, window_ns),
    )
