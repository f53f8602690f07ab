"""The interface between the core and its kernels: the core does not know them, they know the core.

A kernel file in kernels/ defines `KERNEL`, a value with these attributes and methods.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bench.terms import Device, Family, Form, Operation, Placement, Transfer, Unavailable, Workload

# ONNX Runtime's own execution provider, for processors.
CPU_PROVIDER = "CPUExecutionProvider"
# The code of a form that is for other devices: it is no row of this one's.
NOT_APPLICABLE = "not-applicable"


class Prepared(Protocol):
    """A workload with its operands in place, ready to launch."""

    def launch(self, index: int, *, real: bool) -> None:
        """Start one launch on the operands at the index-th of operands.offsets(workload).

        Raises CannotMeasure with the backend's own words where it fails.
        """

    def finish(self) -> float:
        """Wait for all launches and read one element of the last output back.

        The end of a timed region depends on this value, so that a synchronize that does nothing
        cannot end it early.
        """

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The last output at rows x columns of the implicit GEMM, as float64."""

    def mark(self) -> None:
        """A timed batch begins: a device with a clock of its own notes its time. Not waited for."""

    def device_ns(self) -> int | None:
        """The device's own clock from the mark to the end of the last launch, asked after finish().

        None where the host's clock is the only one.
        """

    def close(self) -> None:
        """Release the operands."""


class HostTimed:
    """What is prepared on a device whose time is the host's: a processor."""

    def mark(self) -> None:
        pass

    def device_ns(self) -> int | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a provider says of a graph: its digest, its heavy nodes' places, the operators that really run."""

    graph: str
    placements: tuple[Placement, ...]
    fused: tuple[str, ...] | None


class ThroughProvider(Protocol):
    """What a kernel has besides where its graphs run through an execution provider or a runner."""

    def examine(self, workload: Workload, device: Device, *, threads: int) -> Examined:
        """Raises NotAdmitted for a graph that the provider would not run as it says."""

    def prepare_on_cpu(self, workload: Workload, *, threads: int) -> Prepared:
        """The same bytes on ONNX Runtime's own provider for processors."""


class Kernel(Protocol):
    """One timed microkernel: an operation by one route of one backend, in one or more forms."""

    @property
    def name(self) -> str: ...

    @property
    def backend(self) -> str: ...

    @property
    def operation(self) -> Operation: ...

    @property
    def families(self) -> tuple[Family, ...]: ...

    @property
    def forms(self) -> tuple[Form, ...]:
        """Every form the kernel can be asked for, the usual one of each precision first."""

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:
        """Why this form cannot run on the device, or None. Cheap: called for the plan.

        NOT_APPLICABLE comes before any other reason and from the device's facts alone, so that whoever
        verifies, with other packages on another machine, finds the same rows.
        """

    def prepare(self, workload: Workload, device: Device, *, threads: int, real: bool) -> Prepared:
        """Put the operands of bench.workload.operands in place, the real-valued ones if `real`.

        Raises CannotMeasure with the backend's own words where it refuses.
        """


class HostTime(Protocol):
    """The clock that a bandwidth pass is timed by."""

    def host_ns(self) -> int: ...


class ClockChain(Protocol):
    """A chain of dependent instructions whose latency in cycles is known for a microarchitecture."""

    def unavailable(self) -> Unavailable | None:
        """Why the chain cannot run here, or None, without importing what it needs."""

    def compile(self) -> tuple[str, str]:
        """Once before measuring: the chain's name, and what compiled it. Raises CannotMeasure."""

    def multiplies_per_s(self, cpus: Sequence[int]) -> tuple[int, ...]:
        """Links per second on each of the CPUs, all at once: the best of a few short bursts."""


# How a GPU's clock over a window was read: by counters within the stream, or by a sensor at its end.
IN_STREAM = "triton-globaltimer"
BY_SENSOR = ("nvml-sm-clock", "amdsmi-gfx-clock")


class WindowClock(Protocol):
    """The clock that a GPU really ran at over a window."""

    def compile(self) -> tuple[str, str]:
        """Once before measuring: IN_STREAM or one of BY_SENSOR, and what reads it. Raises CannotMeasure."""

    def begin(self) -> None:
        """A window begins: the counters are noted in the stream. Not waited for."""

    def hertz(self) -> int:
        """The mean clock since `begin`, asked when the window has just ended. Raises CannotMeasure."""


class Bandwidth(Protocol):
    """What a device's memory moves at each of several footprints."""

    def unavailable(self) -> Unavailable | None: ...

    def run(
        self,
        device: Device,
        threads: int,
        sizes: Sequence[int],
        clock: HostTime,
        room: int,
        limit_ns: int,
    ) -> tuple[Transfer, ...]: ...
