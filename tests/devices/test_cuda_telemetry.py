"""What is read of one GPU beside a run, before a recorded NVML: levels, reasons, and how they are kept."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorded_nvml import RecordedNvml, RecordedTorch, readings

from bench.devices import cuda
from bench.devices.cuda_telemetry import cuda_probes, probes
from bench.devices.telemetry import Recorder
from bench.errors import EvidenceInvalid
from bench.evidence import surroundings
from bench.evidence.codec import decode, encode
from bench.judge.energy import energy
from bench.terms import Device, Level, Sensor, Telemetry, Unavailable

S = 1_000_000_000


def told(name: str = "h100-sxm.json") -> dict[str, Any]:
    return readings(name)


def device(of: dict[str, Any], selector: str = "cuda:0") -> Device:
    found = cuda.inventory(RecordedNvml(of), RecordedTorch(of), {}, Path("/nowhere"))
    return next(each for each in found.devices if each.selector == selector)


def recorder(root: Path, nvml: Any, of: Device) -> Recorder:
    """One whose thread never comes to read: start and stop read once each."""
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text("cpu0 1 0 0 0 0 0 0 0 0 0\n")
    times = iter(range(0, 100 * S, S))
    return Recorder(
        clock_ns=lambda: next(times),
        affinity=frozenset({0}),
        probes=tuple(probes(of, nvml)),
        origin_unix_us=0,
        period_ns=1000 * S,
        root=root,
    )


def recorded(root: Path, nvml: Any, of: Device) -> Telemetry:
    with recorder(root, nvml, of) as recording:
        pass
    return recording.snapshot()


def sensors(telemetry: Telemetry) -> dict[str, Sensor]:
    return {sensor.name: sensor for sensor in telemetry.sensors}


def values(telemetry: Telemetry) -> dict[str, tuple[str, list[int]]]:
    return {s.name: (s.unit, [level.value for level in s.levels]) for s in telemetry.sensors}


def test_a_gpu_is_read_in_base_units(tmp_path: Path) -> None:
    of = told()
    assert values(recorded(tmp_path, RecordedNvml(of), device(of))) == {
        "sm-clock-cuda0": ("Hz", [345_000_000] * 2),
        "memory-clock-cuda0": ("Hz", [2_619_000_000] * 2),
        "temperature-cuda0": ("mdegC", [41_000] * 2),
        "clocks-event-reasons-cuda0": ("bits", [4] * 2),
        "utilisation-cuda0": ("percent", [97] * 2),
        "energy-cuda0": ("uJ", [123_456_789_000] * 2),
    }


def test_power_is_never_asked_for(tmp_path: Path) -> None:
    of = told()
    found = recorded(tmp_path, RecordedNvml(of), device(of))
    assert not [sensor.source for sensor in found.sensors if "Power" in sensor.source]


def test_nvml_stays_open_and_the_gpu_is_found_by_its_uuid(tmp_path: Path) -> None:
    of = told("eight-unlike.json")
    of["gpus"][3]["nvmlDeviceGetUtilizationRates"] = {"gpu": 33, "memory": 0}
    nvml = RecordedNvml(of)
    found = recorded(tmp_path, nvml, device(of, "cuda:3"))
    assert nvml.events == ["init"]
    assert values(found)["utilisation-cuda3"] == ("percent", [33, 33])


@pytest.mark.parametrize(
    ("function", "code", "sensor", "reason"),
    [
        ("nvmlDeviceGetUtilizationRates", 3, "utilisation-cuda0", "not-supported"),
        ("nvmlDeviceGetTotalEnergyConsumption", 4, "energy-cuda0", "not-permitted"),
        ("nvmlDeviceGetClockInfo", 999, "sm-clock-cuda0", "nvml-error"),
    ],
)
def test_a_sensor_that_refuses_gives_nvmls_reason(
    function: str, code: int, sensor: str, reason: str, tmp_path: Path
) -> None:
    of = told()
    found = sensors(recorded(tmp_path, RecordedNvml(of, refuse={function: code}), device(of)))
    assert (found[sensor].levels, found[sensor].reason) == ((), reason)
    assert found["temperature-cuda0"].reason is None


def test_a_gpu_that_is_lost_in_the_middle_keeps_what_it_said(tmp_path: Path) -> None:
    of = told()
    nvml = RecordedNvml(of)
    with recorder(tmp_path, nvml, device(of)) as recording:
        nvml.refuse["nvmlDeviceGetTemperatureV"] = 15
    temperature = sensors(recording.snapshot())["temperature-cuda0"]
    assert ([level.value for level in temperature.levels], temperature.reason) == ([41_000], "gpu-lost")


@pytest.mark.parametrize(
    ("new", "old", "sensor", "level"),
    [
        ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature", "temperature-cuda0", 50_000),
        (
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",
            "clocks-event-reasons-cuda0",
            50,
        ),
    ],
)
def test_an_old_driver_is_asked_in_its_own_words(
    new: str, old: str, sensor: str, level: int, tmp_path: Path
) -> None:
    of = told()
    of["gpus"][0][old] = 50
    found = sensors(recorded(tmp_path, RecordedNvml(of, refuse={new: 13}), device(of)))[sensor]
    assert found.source.startswith(f"NVML {old}(")
    assert found.levels[0].value == level


def test_a_counter_that_fell_ends_its_sensor(tmp_path: Path) -> None:
    of = told()
    nvml = RecordedNvml(of)
    with recorder(tmp_path, nvml, device(of)) as recording:
        of["gpus"][0]["nvmlDeviceGetTotalEnergyConsumption"] = 5
    counter = sensors(recording.snapshot())["energy-cuda0"]
    assert ([level.value for level in counter.levels], counter.reason) == ([123_456_789_000], "counter-fell")


def test_an_instance_has_its_gpus_clocks_and_no_energy_of_its_own(tmp_path: Path) -> None:
    of = told("eight-with-mig.json")
    of["gpus"][5]["nvmlDeviceGetUtilizationRates"] = {"error": 3}
    found = sensors(recorded(tmp_path, RecordedNvml(of), device(of, "cuda:5:mig:2")))
    assert [level.value for level in found["sm-clock-cuda5-mig2"].levels] == [345_000_000] * 2
    assert found["energy-cuda5-mig2"].reason == "whole-gpu"
    assert found["utilisation-cuda5-mig2"].reason == "not-supported"


def test_amds_gpu_has_sensors_with_their_reason() -> None:
    card = Device(selector="cuda:0", family="cuda", kind="gpu", name="A card", vendor="AMD", facts=())
    found = [(probe.name, probe.every) for probe in cuda_probes(card)]
    assert found[0] == ("sm-clock-cuda0", 1)
    assert len(found) == 6


@pytest.mark.parametrize("refuse", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_nvml_that_does_not_open_is_every_sensors_reason(refuse: str, tmp_path: Path) -> None:
    of = told()
    nvml = RecordedNvml(of, refuse={refuse: 15})
    found = recorded(tmp_path, nvml, device(of))
    assert {sensor.reason for sensor in found.sensors} == {"gpu-lost"}


def test_without_the_module_every_sensor_says_so(tmp_path: Path) -> None:
    why = Unavailable(subject="cuda", code="no-nvml", detail="")
    found = recorded(tmp_path, why, device(told()))
    assert {sensor.reason for sensor in found.sensors} == {"no-nvml"}


def test_the_energy_of_a_gpu_is_its_own_counters(tmp_path: Path) -> None:
    of = told()
    nvml = RecordedNvml(of)
    with recorder(tmp_path, nvml, device(of)) as recording:
        # 700 J, in mJ.
        of["gpus"][0]["nvmlDeviceGetTotalEnergyConsumption"] += 700_000
    telemetry = recording.snapshot()
    first, last = (reading.at_ns for reading in telemetry.readings)
    found = energy([(first, last)], 7 * 10**14, telemetry).energy
    assert found is not None
    assert (found.source, found.joules, found.ops_per_j) == ("NVML cuda0", 700.0, 1e12)


def test_evidence_keeps_a_gpus_sensors_and_verification_takes_them(tmp_path: Path) -> None:
    of = told()
    found = recorded(tmp_path, RecordedNvml(of, refuse={"nvmlDeviceGetUtilizationRates": 3}), device(of))
    assert decode(Telemetry, encode(found), step=2) == found
    for sensor in found.sensors:
        surroundings._require_sensor(sensor, len(found.readings))


def test_a_gpus_counter_that_runs_backwards_is_no_evidence(tmp_path: Path) -> None:
    of = told()
    counter = sensors(recorded(tmp_path, RecordedNvml(of), device(of)))["energy-cuda0"]
    forged = replace(counter, levels=(Level(value=2), Level(value=1)))
    with pytest.raises(EvidenceInvalid, match="energy-cuda0 runs backwards"):
        surroundings._require_sensor(forged, 2)


@pytest.mark.hardware
def test_a_real_gpu_is_read_ten_times_a_second() -> None:
    found = cuda.FAMILY.look()
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    begun = time.monotonic()
    read = {probe.name: probe.read() for probe in cuda_probes(found.devices[0]) if "energy" not in probe.name}
    assert time.monotonic() - begun < 5
    assert read["sm-clock-cuda0"] > 0
