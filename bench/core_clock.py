"""The processor's clock through a run: which chain measures it, on which cores, or why nothing does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.devices import cpu
from bench.errors import CannotMeasure
from bench.judge import ceiling
from bench.terms import Device, Fact, Unavailable
from bench.workload import registry
from bench.workload.kernel import ClockChain


@dataclass(slots=True, kw_only=True)
class CoreClock:
    """What reads the clock of each core in use, in Hz; `fact` says how it is measured, or why it is not."""

    fact: Fact
    device: Device | None = None
    chain: ClockChain | None = None
    cpus: tuple[int, ...] = ()

    @classmethod
    def of(cls, devices: Sequence[Device]) -> "CoreClock":
        """The processor's, if one is measured and its microarchitecture is known."""
        device = next((device for device in devices if device.family == "cpu"), None)
        if device is None:
            return cls(fact=ceiling.NO_CLOCK)
        chain = registry.clock_chain()
        fact = ceiling.clock_fact(device, _compiled(chain))
        if fact.value is None:
            return cls(fact=fact)
        cpus = cpu.clock_cpus(device, cpu.affinity_here())
        clock = cls(fact=fact, device=device, chain=chain, cpus=cpus)
        # What cannot be read later cannot be read now: a limit of threads, CPUs that were taken away.
        clock.read()
        return clock

    def read(self) -> tuple[int, ...]:
        """No clocks where they are not measured, and from a reading on that fails: no row loses by it."""
        if self.device is None or self.chain is None:
            return ()
        try:
            return ceiling.clocks_hz(self.device, self.chain.multiplies_per_s(self.cpus))
        except (CannotMeasure, RuntimeError, OSError, ArithmeticError):
            self.fact = replace(self.fact, value=None, reason="chain-refused")
            self.device = None
            return ()


def _compiled(chain: ClockChain) -> tuple[str, str] | Unavailable:
    """The chain's name and what compiled it, or why it cannot be had."""
    missing = chain.unavailable()
    if missing is not None:
        return missing
    try:
        return chain.compile()
    except CannotMeasure as error:
        return Unavailable(subject="clock", code="chain-refused", detail=str(error))
