"""When a rate has settled, when a row has been measured enough, and what ended it: pure rules."""

from collections.abc import Sequence
from dataclasses import dataclass

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


def schedule(rows: int, limit_s: float, *, quick: bool) -> Schedule:
    """The schedule of a run of `rows` rows that is to end within about `limit_s` of measuring.

    The search and the checks come first and take up to a third of the time (_SEARCH_SHARE); the rest
    is shared evenly by all visits. Windows stay between what five samples need and a second.
    """
    visits = 5
    per_visit_s = limit_s * (1 - _SEARCH_SHARE) / max(1, rows * visits)
    sample_s = 0.010 if quick else 0.020
    least_settle_s = min(0.2, per_visit_s * 0.3)
    window_s = min(1.0, max(8 * sample_s, per_visit_s - least_settle_s * 1.3))
    return Schedule(
        visits=visits,
        sample_ns=int(sample_s * NS_PER_S),
        settle_least_ns=int(least_settle_s * NS_PER_S),
        settle_most_ns=int(3 * least_settle_s * NS_PER_S),
        window_ns=int(window_s * NS_PER_S),
        # At least eight samples fit a window, so that one of them runs on real-valued operands.
        launch_most_ns=int(window_s / 8 * NS_PER_S),
        probe_ns=int((0.02 if quick else 0.06) * NS_PER_S),
        limit_ns=int(limit_s * NS_PER_S),
        half_width=0.01,
    )


_SEARCH_SHARE = 1 / 3
