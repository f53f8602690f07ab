"""Joules of a row's counted windows, from a counter of energy: pure, recomputed by verify.

For information, never a verdict. Energy is the difference of a counter between two moments; a power that
was sampled now and then covers only part of the time, and is not used.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum

from bench.measure.stats import rounded
from bench.terms import Energy, Sensor, Telemetry
from bench.units import NS_PER_S

# (begin, end) in ns of the run's time base.
Window = tuple[int, int]

# A window begins and ends between two readings, and the counter is taken to grow evenly between them. Where
# the power jumps by d at the window's edge, a share f of the way through an interval of s seconds, that is
# wrong by f (1 - f) s d joules, at most s d / 4. With either interval at most a fifth of the window, its
# joules err by at most a tenth of what d makes over the window: one part in ten for a device that takes
# nothing before and after it, less for one that only goes from row to row. Readings 0.1 s apart serve
# windows of 1 s; intervals within the window do not matter, the counter misses nothing there.
_FINENESS = 5

# The sensors that together are the energy of the processors (devices/telemetry), and the one of a GPU that is
# measured (devices/cuda_telemetry). Beside a GPU the processors' counters say nothing of its work.
_PACKAGE = "energy-package"
_GPU = "energy-cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """The energy, or the reason code why it cannot be told."""

    energy: Energy | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Values of a counter at times that only grow; the two are equally long."""

    at_ns: Sequence[int]
    values: Sequence[int]

    def increase(self, begin_ns: int, end_ns: int) -> float | None:
        """By how much it grew from one moment to another, by linear interpolation; None outside its times."""
        before, after = self._at(begin_ns), self._at(end_ns)
        return None if before is None or after is None else after - before

    def interval_ns(self, moment_ns: int) -> int:
        """The length of the interval between two readings that the moment lies within; 0 at a reading."""
        after = bisect_left(self.at_ns, moment_ns)
        return 0 if self.at_ns[after] == moment_ns else self.at_ns[after] - self.at_ns[after - 1]

    def _at(self, moment_ns: int) -> float | None:
        """The value less the first one: counters since boot are too large for a double's last digits."""
        after = bisect_left(self.at_ns, moment_ns)
        if after == len(self.at_ns):
            return None
        if self.at_ns[after] == moment_ns:
            return float(self.values[after] - self.values[0])
        if after == 0:
            return None
        begun_ns, grown = self.at_ns[after - 1], self.values[after - 1] - self.values[0]
        share = (moment_ns - begun_ns) / (self.at_ns[after] - begun_ns)
        return grown + (self.values[after] - self.values[after - 1]) * share


def energy(windows: Sequence[Window], ops: int, telemetry: Telemetry) -> Consumed:
    """The joules of the counted `windows`, in which exactly `ops` operations were done.

    By the wall meter if its readings cover all windows, else by the GPU's own counter where a GPU is
    measured, else by the processors', which leave out memory, fans and losses. Reason codes: no-windows
    (none, or one without length), no-energy-counter, energy-not-covered (a window reaches beyond the
    readings), energy-too-coarse (they are too far apart for a window).
    """
    if min((end_ns - begin_ns for begin_ns, end_ns in windows), default=0) <= 0:
        return Consumed(energy=None, reason="no-windows")
    reasons = []
    for source, counters in _sources(telemetry):
        reason = next((why for counter in counters if (why := _shortfall(counter, windows))), None)
        if reason is None:
            return Consumed(energy=_energy(source, counters, windows, ops), reason=None)
        reasons.append(reason)
    # Of the source that would have been preferred.
    return Consumed(energy=None, reason=reasons[0] if reasons else "no-energy-counter")


def _sources(telemetry: Telemetry) -> Iterator[tuple[str, list[Counter]]]:
    """Counters that add up to one source's energy, the preferred source first."""
    if telemetry.meter is not None:
        readings = [(reading.at_ns, reading.energy_uj) for reading in telemetry.meter.readings]
        yield "wall meter", [_steps(readings)]
    gpus = [sensor for sensor in telemetry.sensors if sensor.name.startswith(_GPU)]
    packages = [sensor for sensor in telemetry.sensors if sensor.name.startswith(_PACKAGE)]
    counting, teller = (gpus, "NVML") if gpus else (packages, "RAPL")
    if counting and all(sensor.levels for sensor in counting):
        names = " + ".join(sensor.name.removeprefix("energy-") for sensor in counting)
        yield f"{teller} {names}", [_steps(_levels(sensor, telemetry)) for sensor in counting]


def _levels(sensor: Sensor, telemetry: Telemetry) -> list[tuple[int, int]]:
    times = telemetry.readings[:: sensor.every]
    return [(at.at_ns, level.value) for at, level in zip(times, sensor.levels, strict=False)]


def _steps(readings: Sequence[tuple[int, int]]) -> Counter:
    """The readings that show a new count.

    A counter that is read more often than it moves stands still between its steps; only where it moves
    does a reading tell when. So a slow counter is seen to be slow, however often it was read.
    """
    steps = list(readings[:1])
    for reading in readings[1:]:
        if reading[1] > steps[-1][1]:
            steps.append(reading)
    return Counter(at_ns=[at for at, _ in steps], values=[value for _, value in steps])


def _shortfall(counter: Counter, windows: Sequence[Window]) -> str | None:
    """Why the counter does not serve these windows, or None."""
    if any(counter.increase(*window) is None for window in windows):
        return "energy-not-covered"
    for begin_ns, end_ns in windows:
        widest_ns = max(counter.interval_ns(begin_ns), counter.interval_ns(end_ns))
        if widest_ns * _FINENESS > end_ns - begin_ns:
            return "energy-too-coarse"
    return None


def _energy(source: str, counters: Sequence[Counter], windows: Sequence[Window], ops: int) -> Energy:
    grown = [counter.increase(*window) for counter in counters for window in windows]
    joules = fsum(microjoules for microjoules in grown if microjoules is not None) / 1e6
    seconds = sum(end_ns - begin_ns for begin_ns, end_ns in windows) / NS_PER_S
    return Energy(
        source=source, joules=rounded(joules), seconds=rounded(seconds), ops_per_j=rounded(ops / joules)
    )
