"""The machine's state through a run: counters and sensors, read ten times a second beside the measuring.

What is read must not be felt in what is measured: one thread, a few small files, nothing computed. A
sensor that is not there has a reason, one that goes away keeps what it said up to then and gets one, and
a reading that comes late carries its real time. Power is never read: sampled, it covers part of the time.
"""

import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.devices import host
from bench.devices.cpu import CPUS
from bench.devices.tree import HERE, index_list, read_or_empty
from bench.errors import CannotMeasure
from bench.terms import Level, Reading, Sensor, Telemetry
from bench.terms.measurements import SensorUnit
from bench.units import NS_PER_S

PERIOD_NS = NS_PER_S // 10

# Longer than any sensor takes to answer; a driver that hangs must not hang the end of a run.
_STOP_S = 5.0

# Files of a kind that are read at each reading, on average: a machine with more of them is read less
# often. 16 in all (8 + 4 + 4) at some 5 us each add 0.1 % of one core to the 0.2 % of a bare reading.
_FREQUENCIES, _TEMPERATURES, _ENERGIES = 8, 4, 4
# Heat sinks and free memory change over seconds: one level a second at most. Reading a core's temperature
# interrupts that core, too.
_SLOWLY = 10

# What a CPU's own sensors are called in hwmon: by their drivers (drivers/hwmon: coretemp, via_cputemp,
# k8temp, k10temp; zenpower lives outside the kernel) or by thermal zones ("cpu_thermal", "bigcore0_thermal").
_CPU_SENSORS = re.compile(r"k8temp|k10temp|zenpower|.*(cpu|core).*")
_HWMON, _ZONES = "/sys/class/hwmon", "/sys/class/thermal"
_POWERCAP = "/sys/class/powercap"


class Refused(Exception):
    """Whoever was asked says no; `code` is the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A sensor to be read at every `every`-th reading. `read` raises OSError, ValueError or Refused."""

    name: str
    unit: SensorUnit
    source: str
    every: int
    read: Callable[[], int]


@dataclass(slots=True, kw_only=True)
class _Track:
    """What a probe has said so far; with a reason it is not asked again."""

    probe: Probe
    levels: list[Level] = field(default_factory=list)
    reason: str | None = None


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Reads the counters of the CPUs of `affinity`, and all probes, from `start` to `stop`.

    `clock_ns` counts from the run's origin, so that readings and samples share one time base;
    `origin_unix_us` is the wall clock at that origin. A sensor with `every` = e that has no reason holds
    ceil(readings / e) levels; one with a reason holds fewer, those from before it failed.
    """

    clock_ns: Callable[[], int]
    affinity: frozenset[int]
    probes: tuple[Probe, ...]
    origin_unix_us: int
    period_ns: int = PERIOD_NS
    root: Path = HERE
    _readings: list[Reading] = field(default_factory=list)
    _tracks: list[_Track] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _failure: Exception | None = None

    def start(self) -> None:
        """Read once, then go on in a thread. Raises CannotMeasure where the machine has no counters."""
        self._tracks = [_Track(probe=probe) for probe in self.probes]
        self._read()
        self._running.acquire()
        self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read a last time, so that the end of the run is covered; a second call does nothing.

        Raises CannotMeasure where the counters can no longer be read, and what else ended the thread before
        its time. What had been read until then is in the snapshot all the same.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._running.release()
        thread.join(_STOP_S)
        if thread.is_alive():
            raise CannotMeasure(
                f"a sensor has not answered for {_STOP_S:.0f} s, expected at once. Look into the kernel's "
                "log (dmesg) for the driver that hangs."
            )
        if self._failure is not None:
            raise self._failure
        self._read()

    def wait_past(self, at_ns: int) -> None:
        """Return once a reading lies at or after `at_ns`; after two periods all the same."""
        until_ns = self.clock_ns() + 2 * self.period_ns
        while self._readings[-1].at_ns < at_ns and self.clock_ns() < until_ns:
            time.sleep(self.period_ns / NS_PER_S / 20)

    def snapshot(self) -> Telemetry:
        """What has been read so far, whole readings only; may be called from any thread at any time."""
        with self._lock:
            return Telemetry(
                origin_unix_us=self.origin_unix_us,
                period_ns=self.period_ns,
                readings=tuple(self._readings),
                sensors=tuple(_sensor(track) for track in self._tracks),
                meter=None,
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except CannotMeasure:
            # What ended the run says more than what ended its telemetry.
            if error is None:
                raise

    def _watch(self) -> None:
        begun_ns = self.clock_ns()
        try:
            # Until stop() lets go of it. An Event is a lock and 0.1 ms of Python around it.
            while not self._running.acquire(timeout=self._until_next_s(begun_ns)):
                # A reading that fails is missed. stop() reads once more, and says so where that fails too.
                with suppress(CannotMeasure):
                    self._read()
        except Exception as error:  # noqa: BLE001 - not handled here: stop() raises it in the caller's thread
            self._failure = error

    def _until_next_s(self, begun_ns: int) -> float:
        """To the tick after the nearest one: missed ticks are not made up for, and none is read twice."""
        elapsed_ns = self.clock_ns() - begun_ns
        ticks = (elapsed_ns + self.period_ns // 2) // self.period_ns + 1
        return (ticks * self.period_ns - elapsed_ns) / NS_PER_S

    def _read(self) -> None:
        """One reading of all that is due: files are read without the lock, then all is added at once."""
        reading = host.counters(self.clock_ns, self.affinity, self.root)
        index = len(self._readings)
        due = [track for track in self._tracks if track.reason is None and index % track.probe.every == 0]
        said = [(track, _ask(track.probe)) for track in due]
        with self._lock:
            self._readings.append(reading)
            for track, answer in said:
                if isinstance(answer, Level):
                    track.levels.append(answer)
                else:
                    track.reason = answer


def _ask(probe: Probe) -> Level | str:
    """The level, or the reason code why there is none."""
    try:
        return Level(value=probe.read())
    except Refused as refusal:
        return refusal.code
    except FileNotFoundError:
        return "no-file"
    except PermissionError:
        return "not-permitted"
    except OSError:
        return "not-readable"
    except ValueError:
        return "not-understood"


def _sensor(track: _Track) -> Sensor:
    probe = track.probe
    return Sensor(
        name=probe.name,
        unit=probe.unit,
        source=probe.source,
        every=probe.every,
        levels=tuple(track.levels),
        reason=track.reason,
    )


# ---------------------------------------------------------------------------------------- the host's probes


def host_probes(affinity: frozenset[int], root: Path = HERE) -> tuple[Probe, ...]:
    """Everything about the host that is read through a run.

    A kind that is not there is one probe, whose first reading gives the reason. Energy comes first, so
    that it is read right after the reading's time was taken.
    """
    return (
        *_energy(root),
        *_frequencies(affinity, root),
        *_temperatures(root),
        Probe(
            name="memory-available",
            unit="B",
            source=host.MEMINFO,
            every=_SLOWLY,
            read=_reader(root, host.MEMINFO, lambda text: host.kib(text, "MemAvailable")),
        ),
    )


def _reader(root: Path, path: str, parse: Callable[[str], int] = int) -> Callable[[], int]:
    """Opens the file each time, and so sees that it went away: 2 us, where one held open takes 0.5 us."""
    name = os.fspath(root / path.lstrip("/"))

    def read() -> int:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return parse(os.read(descriptor, 4096).decode("ascii", "replace"))
        finally:
            os.close(descriptor)

    return read


def _every(count: int, each_time: int, least: int = 1) -> int:
    """How seldom `count` files must be read so that it is `each_time` of them at a reading, on average."""
    return max(least, math.ceil(count / each_time))


def _below(root: Path, pattern: str) -> list[str]:
    """Paths as the system names them, in the order of their numbers."""
    found = ("/" + path.relative_to(root).as_posix() for path in root.glob(pattern.lstrip("/")))
    return sorted(found, key=lambda path: (len(path), path))


def _energy(root: Path) -> Iterator[Probe]:
    """RAPL's counter of each processor package (Documentation/power/powercap); usually only root may read it.

    Not the zones inside a package, which it counts already, and not "psys", the whole board on some laptops.
    """
    zones = [zone for zone in _below(root, f"{_POWERCAP}/intel-rapl:*") if zone.count(":") == 1]
    names = {zone: read_or_empty(root, f"{zone}/name") for zone in zones}
    packages = {zone: name for zone, name in names.items() if name.startswith("package")}
    if not packages:
        packages = {f"{_POWERCAP}/intel-rapl:*": "package"}
    for zone, name in packages.items():
        source = f"{zone}/energy_uj"
        grows = _Unwrapped(
            counter_uj=_reader(root, source), range_uj=_reader(root, f"{zone}/max_energy_range_uj")
        )
        every = _every(len(packages), _ENERGIES)
        yield Probe(name=f"energy-{_kebab(name)}", unit="uJ", source=source, every=every, read=grows)


@dataclass(slots=True, kw_only=True)
class _Unwrapped:
    """A counter that begins again after `range_uj`, as one that only grows.

    The smallest range, 65 kJ, lasts minutes at 300 W: at most one wrap lies between two readings.
    """

    counter_uj: Callable[[], int]
    range_uj: Callable[[], int]
    last_uj: int = 0
    wrapped_uj: int = 0

    def __call__(self) -> int:
        now_uj = self.counter_uj()
        if now_uj < self.last_uj:
            range_uj = self.range_uj()
            if range_uj < self.last_uj:
                raise ValueError(f"a counter at {self.last_uj} uJ cannot begin again after {range_uj}")
            self.wrapped_uj += range_uj
        self.last_uj = now_uj
        return self.wrapped_uj + now_uj


def _frequencies(affinity: frozenset[int], root: Path) -> Iterator[Probe]:
    """One of each core in use; cores that share a clock (a cpufreq policy) are read once."""
    sources = list(_clocks(affinity, root))
    if not any((root / source.lstrip("/")).exists() for _, source in sources):
        # One reason says it all where there is no cpufreq.
        sources = [("frequency", sources[0][1])]
    for name, source in sources:
        every = _every(len(sources), _FREQUENCIES)
        yield Probe(name=name, unit="Hz", source=source, every=every, read=_reader(root, source, _khz))


def _clocks(affinity: frozenset[int], root: Path) -> Iterator[tuple[str, str]]:
    """Name and file of each core's clock, under the first CPU of `affinity` on it."""
    seen: set[int] = set()
    policies: set[Path] = set()
    for cpu in sorted(affinity):
        folder = f"{CPUS}/cpu{cpu}"
        policy = (root / folder.lstrip("/") / "cpufreq").resolve()
        if cpu not in seen and policy not in policies:
            yield f"frequency-cpu{cpu}", f"{folder}/cpufreq/scaling_cur_freq"
        policies.add(policy)
        seen |= index_list(read_or_empty(root, f"{folder}/topology/thread_siblings_list"))


def _khz(text: str) -> int:
    if (hertz := int(text) * 1000) <= 0:
        raise ValueError(text)
    return hertz


def _temperatures(root: Path) -> Iterator[Probe]:
    """The CPU's own sensors; without any every thermal zone, under the name of what it says it measures."""
    found = list(_cpu_sensors(root)) or [
        (read_or_empty(root, f"{zone}/type"), f"{zone}/temp")
        for zone in _below(root, f"{_ZONES}/thermal_zone*")
    ]
    names = _distinct(_kebab("temperature", label) for label, _ in found)
    sources = [source for _, source in found]
    if not found:
        names, sources = ["temperature"], [f"{_HWMON}/hwmon*/temp*_input"]
    every = _every(len(sources), _TEMPERATURES, _SLOWLY)
    for name, source in zip(names, sources, strict=True):
        yield Probe(name=name, unit="mdegC", source=source, every=every, read=_reader(root, source))


def _cpu_sensors(root: Path) -> Iterator[tuple[str, str]]:
    for folder in _below(root, f"{_HWMON}/hwmon*"):
        chip = read_or_empty(root, f"{folder}/name")
        if not _CPU_SENSORS.fullmatch(chip):
            continue
        for source in _below(root, f"{folder}/temp*_input"):
            label = read_or_empty(root, source.replace("_input", "_label"))
            yield f"{chip} {label}", source


def _kebab(*words: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", " ".join(words).lower()))


def _distinct(names: Iterable[str]) -> list[str]:
    """Names that occur again, as those of two sockets do, are counted: tctl, tctl-2."""
    times: dict[str, int] = {}
    counted = []
    for name in names:
        times[name] = times.get(name, 0) + 1
        counted.append(name if times[name] == 1 else f"{name}-{times[name]}")
    return counted
