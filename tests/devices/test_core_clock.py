"""The device's clock through a run: read where it can be, and a reason where not, at no row's cost."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from scripted_device import device

from bench import core_clock
from bench.core_clock import CoreClock
from bench.devices import cpu
from bench.errors import CannotMeasure
from bench.judge import ceiling
from bench.terms import Device, Fact, Unavailable
from bench.workload.kernel import IN_STREAM


@dataclass
class Chain:
    """A scripted chain: three links a nanosecond on each CPU, until something is raised."""

    missing: Unavailable | None = None
    raises: Exception | None = None

    def unavailable(self) -> Unavailable | None:
        return self.missing

    def compile(self) -> tuple[str, str]:
        return "imul-chain", "scripted"

    def multiplies_per_s(self, cpus: Any) -> tuple[int, ...]:
        if self.raises is not None:
            raise self.raises
        return tuple(1_000_000_000 for _ in cpus)


def skylake() -> Device:
    flags = "sse4_2 avx avx2 fma f16c avx512f avx512bw avx512dq avx512vl"
    values = {"vendor": "GenuineIntel", "cpu-family": "6", "cpu-part": "85", "instruction-sets": flags}
    facts = tuple(Fact(name=name, value=value, source="typed") for name, value in values.items())
    plain = device(threads=1, cpus=1)
    return replace(plain, vendor="GenuineIntel", facts=(*plain.facts, *facts))


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    chain = Chain()
    monkeypatch.setattr(core_clock.registry, "clock_chain", lambda: chain)
    return chain


def test_the_clock_is_the_links_times_their_latency(chain: Chain) -> None:
    clock = CoreClock.of([skylake()])
    assert clock.fact.value == "imul-chain/3-cycles/intel-skylake-sp"
    assert clock.read() == (3_000_000_000,) * len(clock.cpus)
    assert chain.missing is None
    assert len(clock.cpus) == len(cpu.clock_cpus(skylake(), cpu.affinity_here())) == 1


@pytest.mark.usefixtures("chain")
def test_a_processor_without_a_profile_has_no_clock_and_says_so() -> None:
    clock = CoreClock.of([device()])
    assert (clock.fact.value, clock.fact.reason) == (None, "microarchitecture-unknown")
    assert clock.read() == ()


def test_without_numba_there_is_a_reason_and_no_clock(chain: Chain) -> None:
    chain.missing = Unavailable(subject="clock", code="not-installed", detail="pip install numba")
    clock = CoreClock.of([skylake()])
    assert (clock.fact.value, clock.fact.reason) == (None, "not-installed")
    assert clock.read() == ()


@pytest.mark.parametrize(
    "error",
    [
        CannotMeasure("no thread may run on CPU 7."),
        RuntimeError("can't start new thread"),
        ZeroDivisionError(),
    ],
)
def test_a_chain_that_fails_costs_the_clock_and_no_row(chain: Chain, error: Exception) -> None:
    clock = CoreClock.of([skylake()])
    chain.raises = error
    assert clock.read() == ()
    assert (clock.fact.value, clock.fact.reason) == (None, "chain-refused")
    chain.raises = None
    # Once it has failed it is not asked again: a clock of some visits is none.
    assert clock.read() == ()


@pytest.mark.usefixtures("chain")
def test_a_run_without_a_processor_and_a_gpu_measures_no_clock() -> None:
    npu = Device(selector="ort:X", family="ort", kind="npu", name="An NPU", vendor=None, facts=())
    assert CoreClock.of([npu]).fact == ceiling.NO_CLOCK


# ----------------------------------------------------------------------------------------- a GPU's


@dataclass
class Window:
    """A scripted clock of a GPU: 1.83 GHz over every window, until something is raised."""

    refuses: CannotMeasure | None = None
    raises: Exception | None = None
    begun: int = 0

    def compile(self) -> tuple[str, str]:
        if self.refuses is not None:
            raise self.refuses
        return IN_STREAM, "scripted"

    def begin(self) -> None:
        self.begun += 1
        if self.raises is not None:
            raise self.raises

    def hertz(self) -> int:
        if self.raises is not None:
            raise self.raises
        return 1_830_000_000


def hopper() -> Device:
    facts = (Fact(name="compute-capability", value="9.0", source="typed"),)
    return Device(selector="cuda:0", family="cuda", kind="gpu", name="A GPU", vendor="NVIDIA", facts=facts)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    window = Window()
    monkeypatch.setattr(core_clock.registry, "window_clock", lambda: window)
    return window


def test_a_gpus_clock_is_one_and_counted_from_the_beginning_of_the_window(window: Window) -> None:
    clock = CoreClock.of([hopper()])
    assert (clock.fact.value, clock.fact.source) == ("triton-globaltimer/nvidia-sm-90", "scripted")
    clock.begin()
    assert (window.begun, clock.read()) == (1, (1_830_000_000,))


def test_a_gpu_whose_clock_cannot_be_read_has_a_reason_and_no_clock(window: Window) -> None:
    window.refuses = CannotMeasure("no Triton; no NVML")
    clock = CoreClock.of([hopper()])
    assert (clock.fact.value, clock.fact.reason) == (None, "window-clock-refused")
    assert clock.fact.source == "no Triton; no NVML"
    clock.begin()
    assert (window.begun, clock.read()) == (0, ())


@pytest.mark.parametrize("at", ["begin", "read"])
def test_a_gpus_clock_that_fails_costs_the_clock_and_no_row(window: Window, at: str) -> None:
    clock = CoreClock.of([hopper()])
    if at == "read":
        clock.begin()
    window.raises = RuntimeError("CUDA error: an illegal memory access was encountered")
    clock.begin() if at == "begin" else clock.read()
    window.raises = None
    assert (clock.fact.value, clock.fact.reason) == (None, "window-clock-refused")
    assert clock.read() == ()
