"""When a rate has settled, when a row has been measured enough, and what ended it: pure rules."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise

from bench.measure import stats
from bench.terms import Estimate, Sample, Schedule
from bench.units import NS_PER_S

# The longest run, its held windows included, in seconds. Every sample and reading is kept, up to 4.5 kB a
# second: some three hours fill the largest file that is read.
LONGEST_S = 2 * 3600

# Two neighbouring stretches of a settled rate differ by less than this; a device that still warms up,
# boosts or takes cores back from another thread pool moves by more.
_DRIFT = 0.01
_STRETCH = 4
# A difference of two means beyond so many of its standard errors is more than scatter.
_ERRORS = 2
# Of the 28 pairs of the last 8 samples, rising less falling ones (Kendall's S): so many one way are a
# trend. In a series without one they come in 3.1 % of cases (Kendall, Biometrika 30, 1938).
_TREND = 18


def settled(samples: Sequence[Sample], ops: int, schedule: Schedule) -> str | None:
    """Why settling may end now ("settled", "settle-limit"), or None to go on.

    Once the least time has passed, the last stretch of samples is held against the one before it. The
    rate has settled when they differ by no more than 1 %, or than the samples' own scatter explains,
    and when no trend runs through both.
    """
    elapsed = sum(sample.host_ns for sample in samples)
    if elapsed >= schedule.settle_most_ns:
        return "settle-limit"
    if elapsed < schedule.settle_least_ns or len(samples) < 2 * _STRETCH:
        return None
    recent = samples[-2 * _STRETCH :]
    before, last = stats.rate(recent[:_STRETCH], ops), stats.rate(recent[_STRETCH:], ops)
    rates = [stats.rate([sample], ops) for sample in recent]
    if abs(last - before) > max(_DRIFT * before, _ERRORS * _standard_error(rates)):
        return None
    # Waiting helps against a trend that moves the rate within the time there is to wait, not against
    # one of minutes: that one is the measurement's to show.
    span_ns = sum(sample.host_ns for sample in recent) / 2
    expected = abs(last - before) / before * schedule.settle_most_ns / span_ns
    return None if expected > _DRIFT and _has_trend(rates) else "settled"


def _standard_error(rates: Sequence[float]) -> float:
    """Of the difference of the two stretches' means, from the differences of successive samples.

    Their mean square is twice the variance where the level holds (von Neumann, Annals of Mathematical
    Statistics 12:4, 1941), and a step enters it once: the step does not pass for scatter, as it would
    if the stretches' own deviations were taken.
    """
    squares = [(after - before) * (after - before) for before, after in pairwise(rates)]
    variance = math.fsum(squares) / len(squares) / 2
    return math.sqrt(variance * 2 / _STRETCH)


def _has_trend(rates: Sequence[float]) -> bool:
    rising = sum((later > earlier) - (later < earlier) for earlier, later in combinations(rates, 2))
    return abs(rising) >= _TREND


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
# Of a run's time refining takes this share at most, all rows together.
_REFINING = 0.045
# Opening the rows (search, checks) takes about this share of a run; it is known better afterwards.
OPENING = 0.25
# What a visit takes beyond its window, as a share of the least settling time: rates often need longer.
_SETTLING = 1.6


LONGEST_SETTLE_NS = NS_PER_S // 5
LONGEST_WINDOW_NS = NS_PER_S


# Samples of a held window: ten a second, so that hours of them stay small and each second has some; of a
# window of seconds at least so many, since its interval stands on batches of them.
_HELD_SAMPLE_NS = 100_000_000
_HELD_SAMPLES = 60
# A card under full load reaches its power limit and its heat within seconds: a fifth of the window is given
# to that before it begins, 3 s at most.
_HELD_SETTLE_NS = 3 * NS_PER_S


def held(schedule: Schedule) -> Schedule:
    """How the one long window is measured: after more settling, in longer samples, of which even a short one
    has enough.
    """
    settle_ns = max(schedule.settle_least_ns, min(_HELD_SETTLE_NS, schedule.hold_ns // 5))
    return replace(
        schedule,
        window_ns=schedule.hold_ns,
        sample_ns=min(_HELD_SAMPLE_NS, schedule.hold_ns // _HELD_SAMPLES),
        settle_least_ns=settle_ns,
        settle_most_ns=3 * settle_ns,
    )


def least_visit_ns(schedule: Schedule) -> int:
    """A visit of the least samples, with the least of settling before it."""
    return (LEAST_SAMPLES + 2 * _STRETCH) * schedule.sample_ns


def schedule(rows: int, limit_s: float, *, quick: bool, hold_s: float = 0.0) -> Schedule:
    """The schedule of a run of `rows` rows whose visits are to end within about `limit_s`.

    A window that is held for `hold_s` comes on top of it.
    """
    sample_ns = (10 if quick else 20) * 1_000_000
    first = Schedule(
        visits=5,
        sample_ns=sample_ns,
        settle_least_ns=0,
        settle_most_ns=0,
        window_ns=0,
        launch_most_ns=0,
        probe_ns=20_000_000,
        refine_ns=int(limit_s * _REFINING * NS_PER_S) // max(1, rows),
        limit_ns=int(limit_s * NS_PER_S),
        hold_ns=int(hold_s * NS_PER_S),
        half_width=0.01,
    )
    paced = pace(first, rows, int(limit_s * (1 - OPENING) * NS_PER_S))
    # A launch may take what leaves a window its least samples, and settling two looks at two stretches:
    # longer shapes are not tried.
    most_ns = min(paced.window_ns // LEAST_SAMPLES, paced.settle_most_ns // (4 * _STRETCH))
    return replace(paced, launch_most_ns=most_ns)


def pace(schedule: Schedule, rows: int, left_ns: int) -> Schedule:
    """Settling times and windows such that five visits to every row fill the time that is left.

    Settling takes 200 ms where there is time (a thread pool that was left spins on for up to 106 ms, and
    a processor's clock follows its load), windows up to a second: beyond it, more visits tell more.
    """
    visit_ns = left_ns // (max(1, rows) * schedule.visits)
    # At the very least what two stretches take: a visit that cannot settle measures the switch before it.
    least_ns = -(-2 * _STRETCH * schedule.sample_ns // 3)
    settle_ns = max(least_ns, min(LONGEST_SETTLE_NS, visit_ns // 4))
    window_ns = max(LEAST_SAMPLES * schedule.sample_ns, visit_ns - int(_SETTLING * settle_ns))
    return replace(
        schedule,
        settle_least_ns=settle_ns,
        settle_most_ns=3 * settle_ns,
        window_ns=min(LONGEST_WINDOW_NS, window_ns),
    )
