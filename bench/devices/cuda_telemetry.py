"""What is read of one GPU ten times a second while it is measured: NVML's own counters and sensors.

Power is never read: sampled, it covers part of the time. The counter of energy misses nothing. What an
instance of a GPU has in common with the others (clocks, heat) is the GPU's; its energy cannot be told from
theirs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.devices import nvml
from bench.devices.nvml import Nvml
from bench.devices.telemetry import Probe, Refused
from bench.terms import Device, Unavailable
from bench.terms.measurements import SensorUnit

# The bits are NVML's nvmlClocksEventReasons (nvml.h): 1 idle, 2 applications' clocks, 4 power cap, 8 hardware
# slowdown, 16 sync boost, 32 software thermal, 64 hardware thermal, 128 power brake, 256 display.
EVENT_REASONS = "clocks-event-reasons"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A sensor's name and unit, and the NVML functions that tell it; old drivers know the last one."""

    name: str
    unit: SensorUnit
    functions: tuple[str, ...]
    meaning: Callable[[Any], int]
    arguments: tuple[str, ...] = ()


# Units: NVML speaks MHz, degrees Celsius, percent and mJ (nvml.h).
GAUGES = (
    Gauge("sm-clock", "Hz", ("nvmlDeviceGetClockInfo",), nvml.hertz, ("NVML_CLOCK_SM",)),
    Gauge("memory-clock", "Hz", ("nvmlDeviceGetClockInfo",), nvml.hertz, ("NVML_CLOCK_MEM",)),
    Gauge(
        "temperature",
        "mdegC",
        ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"),
        lambda celsius: int(celsius) * 1000,
        ("NVML_TEMPERATURE_GPU",),
    ),
    Gauge(
        EVENT_REASONS,
        "bits",
        ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"),
        int,
    ),
    Gauge("utilisation", "percent", ("nvmlDeviceGetUtilizationRates",), lambda rates: int(rates.gpu)),
    Gauge("energy", "uJ", ("nvmlDeviceGetTotalEnergyConsumption",), lambda millijoules: millijoules * 1000),
)


def sensor_name(gauge: str, device: Device) -> str:
    """`sm-clock-cuda0`, and `sm-clock-cuda0-mig1` of an instance."""
    return f"{gauge}-{device.selector.replace(':mig:', '-mig').replace(':', '')}"


def cuda_probes(device: Device) -> tuple[Probe, ...]:
    """Probes for one GPU or instance; where NVML cannot be had, each gives the reason.

    NVML stays open until the process ends: to open it takes longer than to read.
    """
    library = nvml.load() if device.vendor == "NVIDIA" else nvml.none("not-nvidia", "")
    return tuple(probes(device, library))


def probes(device: Device, library: Nvml | Unavailable) -> Iterator[Probe]:
    """`library` is the module `pynvml`, a scripted one, or why there is none."""
    refused, handle = (library.code, None) if isinstance(library, Unavailable) else _open(library, device)
    for gauge in GAUGES:
        why = refused or _shared(gauge, device)
        function = gauge.functions[0] if why else _known(library, handle, gauge)
        yield Probe(
            name=sensor_name(gauge.name, device),
            unit=gauge.unit,
            source=f"NVML {function}({', '.join(gauge.arguments)})",
            every=1,
            read=_refusing(why) if why else _reader(library, handle, gauge, function),
        )


def _shared(gauge: Gauge, device: Device) -> str | None:
    """Why an instance's part of what its GPU counts cannot be told, or None."""
    return "whole-gpu" if gauge.name == "energy" and device.fact("gpu-uuid") is not None else None


def _open(library: Nvml, device: Device) -> tuple[str | None, object]:
    """A reason code, or the handle of the GPU."""
    try:
        library.nvmlInit()
        uuid = str(device.fact("gpu-uuid") or device.fact("uuid"))
        return None, library.nvmlDeviceGetHandleByUUID(uuid)
    except library.NVMLError as error:
        return nvml.reason(library, error), None


def _known(library: Nvml, handle: object, gauge: Gauge) -> str:
    """The first of the functions that library and driver know."""
    for function in gauge.functions[:-1]:
        try:
            _asked(library, handle, gauge, function)
        except Refused as refusal:
            if refusal.code == "old-driver":
                continue
        return function
    return gauge.functions[-1]


def _reader(library: Nvml, handle: object, gauge: Gauge, function: str) -> Callable[[], int]:
    highest = 0

    def read() -> int:
        nonlocal highest
        level = _asked(library, handle, gauge, function)
        if gauge.unit == "uJ":
            if level < highest:
                # The driver was loaded anew (nvml.h: "since the driver was last reloaded").
                raise Refused("counter-fell")
            highest = level
        return level

    return read


def _asked(library: Nvml, handle: object, gauge: Gauge, function: str) -> int:
    """Raises Refused with our code for NVML's."""
    constants = (getattr(library, name) for name in gauge.arguments)
    ask = getattr(library, function, None)
    if ask is None:
        raise Refused("old-driver")
    try:
        return gauge.meaning(ask(handle, *constants))
    except library.NVMLError as error:
        raise Refused(nvml.reason(library, error)) from error


def _refusing(code: str) -> Callable[[], int]:
    def read() -> int:
        raise Refused(code)

    return read
