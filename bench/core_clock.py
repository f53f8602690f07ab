"""The device's clock through a run: what measures it, or why nothing does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.devices import cpu
from bench.errors import CannotMeasure
from bench.judge import ceiling
from bench.terms import Device, Fact, Unavailable
from bench.workload import registry
from bench.workload.kernel import ClockChain, WindowClock

# What a reading may end in. It costs the clock, and no row.
_LOST = (CannotMeasure, RuntimeError, OSError, ArithmeticError)


@dataclass(slots=True, kw_only=True)
class CoreClock:
    """What reads the clock of each core in use, or a GPU's one clock, in Hz.

    `fact` says how it is measured, or why it is not. A processor's is read right after a window, a GPU's
    over it: `begin` is called when a window begins, `read` when it has ended.
    """

    fact: Fact
    device: Device | None = None
    chain: ClockChain | None = None
    cpus: tuple[int, ...] = ()
    window: WindowClock | None = None

    @classmethod
    def of(cls, devices: Sequence[Device]) -> "CoreClock":
        """The processor's, if one is measured and its microarchitecture is known; or the GPU's."""
        for device in devices:
            if device.family == "cpu":
                return cls._of_cores(device)
            if device.family == "cuda":
                return cls._of_gpu(device)
        return cls(fact=ceiling.NO_CLOCK)

    @classmethod
    def _of_cores(cls, device: Device) -> "CoreClock":
        chain = registry.clock_chain()
        fact = ceiling.clock_fact(device, _compiled(chain))
        if fact.value is None:
            return cls(fact=fact)
        cpus = cpu.clock_cpus(device, cpu.affinity_here())
        clock = cls(fact=fact, device=device, chain=chain, cpus=cpus)
        # What cannot be read later cannot be read now: a limit of threads, CPUs that were taken away.
        clock.read()
        return clock

    @classmethod
    def _of_gpu(cls, device: Device) -> "CoreClock":
        window = registry.window_clock()
        fact = ceiling.clock_fact(device, _read_by(window))
        return cls(fact=fact, window=window if fact.value else None)

    def begin(self) -> None:
        """A window begins."""
        if self.window is not None:
            try:
                self.window.begin()
            except _LOST:
                self._lose("window-clock-refused")

    def read(self) -> tuple[int, ...]:
        """No clocks where they are not measured, and from a reading on that fails: no row loses by it."""
        try:
            if self.window is not None:
                return (self.window.hertz(),)
            if self.device is not None and self.chain is not None:
                return ceiling.clocks_hz(self.device, self.chain.multiplies_per_s(self.cpus))
        except _LOST:
            self._lose("window-clock-refused" if self.window else "chain-refused")
        return ()

    def _lose(self, reason: str) -> None:
        self.fact = replace(self.fact, value=None, reason=reason)
        self.device = self.window = None


def _compiled(chain: ClockChain) -> tuple[str, str] | Unavailable:
    """The chain's name and what compiled it, or why it cannot be had."""
    missing = chain.unavailable()
    if missing is not None:
        return missing
    try:
        return chain.compile()
    except CannotMeasure as error:
        return Unavailable(subject="clock", code="chain-refused", detail=str(error))


def _read_by(window: WindowClock) -> tuple[str, str] | Unavailable:
    """How a GPU's clock is read and by what, or why it cannot be."""
    try:
        return window.compile()
    except CannotMeasure as error:
        return Unavailable(subject="clock", code="window-clock-refused", detail=str(error))
