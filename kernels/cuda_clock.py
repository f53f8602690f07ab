"""The clock that a GPU's multiprocessors really ran at over a window, read in the stream that does the work.

Every multiprocessor counts its cycles (%clock64) and sees one timer in ns (%globaltimer). A kernel of many
small blocks notes both, and on which multiprocessor (%smid), when a window begins and when it has ended:
cycles over time between the two is that multiprocessor's mean clock, and the median of all is the GPU's.
(PTX ISA, "Special Registers". libcu++, "Time Library": the timer is monotonic and ticks as the host's clock.)

The timer moves in steps: 32 ns to 1 us on GPUs for servers, up to about 1 ms on others. Over half a second
that is 0.4 % at the worst, and the ceiling's margin is 2 %.

Where Triton is missing or refuses, the sensor of the driver is read when the window has ended. It tells the
clock of a moment that lies up to a second back, when the load may have been another one.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from statistics import median_high
from typing import Any

import numpy as np

from bench.errors import CannotMeasure
from bench.printable import printable
from bench.units import NS_PER_S
from bench.workload.kernel import BY_SENSOR, IN_STREAM

# Blocks are handed to idle multiprocessors in turn; with so many for each, none is left out for long.
_BLOCKS_PER_SM = 16

_ASM = """{
    mov.u32 $0, %smid;
    mov.u64 $1, %clock64;
    mov.u64 $2, %globaltimer;
}"""
# Where Triton keeps what it has compiled, unless told otherwise: the home of whoever runs it.
_CACHE = "TRITON_CACHE_DIR"

Launch = Callable[[Any], None]


class _Clock:
    """`torch` stands for the library, that is imported when a GPU is there to be measured."""

    def __init__(self) -> None:
        self._launch: Launch | None = None
        self._notes: list[Any] = []

    def compile(self) -> tuple[str, str]:
        """Once before measuring: how the clock is read, and by what. Raises CannotMeasure."""
        try:
            return IN_STREAM, self._in_stream()
        except Exception as error:  # noqa: BLE001 - a compiler's, a driver's: whatever it is, a sensor is left
            self._launch = None
            why = printable(str(error) or type(error).__name__)
        try:
            return _sensor(why)
        except Exception as error:
            raise CannotMeasure(f"{why}; {printable(str(error) or type(error).__name__)}") from error

    def begin(self) -> None:
        """A window begins: the counters are noted in the stream. Not waited for."""
        if self._launch is not None:
            self._launch(self._notes[0])

    def hertz(self) -> int:
        """The mean clock since `begin`; by a sensor the present one. Raises CannotMeasure."""
        if self._launch is None:
            return _sensed_hz()
        self._launch(self._notes[1])
        begun, ended = (note.cpu().numpy() for note in self._notes)
        return mean_hz(begun, ended)

    def _in_stream(self) -> str:
        """Compiles the kernel and runs it once; what reads the clock."""
        if find_spec("triton") is None:
            raise CannotMeasure("Triton is missing (pip install triton)")
        import torch
        import triton

        if torch.version.hip:
            raise CannotMeasure("the counters are read in NVIDIA's assembly")
        blocks = _BLOCKS_PER_SM * torch.cuda.get_device_properties("cuda").multi_processor_count
        self._notes = [torch.zeros((blocks, 3), dtype=torch.int64, device="cuda") for _ in range(2)]
        noting = note_kernel()

        def launch(note: Any) -> None:
            noting[(blocks,)](note, num_warps=1)

        with _nothing_kept():
            launch(self._notes[0])
            torch.cuda.synchronize()
        self._launch = launch
        return f"triton {triton.__version__}, %clock64 over %globaltimer"


CLOCK = _Clock()


def mean_hz(begun: np.ndarray, ended: np.ndarray) -> int:
    """The median over multiprocessors of cycles per second, from what blocks noted at either end.

    Rows are (multiprocessor, cycles, ns) of a block, int64. Counters of 64 bits may wrap. One that was seen
    at one end only tells nothing. Raises CannotMeasure where none was seen at both, or no time went by.
    """
    first, last = _by_multiprocessor(begun), _by_multiprocessor(ended)
    rates = []
    for sm in first.keys() & last.keys():
        cycles, ns = ((b - a) % 2**64 for a, b in zip(first[sm], last[sm], strict=True))
        if ns:
            rates.append(cycles * NS_PER_S // ns)
    if not rates:
        raise CannotMeasure("no multiprocessor noted its clock at both ends of the window.")
    return median_high(rates)


def _by_multiprocessor(notes: np.ndarray) -> dict[int, tuple[int, int]]:
    """Cycles and ns, of any of its blocks: each noted both at one moment."""
    return {sm: (cycles, ns) for sm, cycles, ns in notes.tolist()}


def note_kernel() -> Any:
    """The kernel: block b writes (multiprocessor, cycles, ns) to row b of its argument."""
    import triton
    import triton.language as tl

    asm = tl.constexpr(_ASM)

    @triton.jit
    def note(rows):  # type: ignore[no-untyped-def]
        sm, cycles, ns = tl.inline_asm_elementwise(
            asm, "=r,=l,=l", [], dtype=(tl.int32, tl.int64, tl.int64), is_pure=False, pack=1
        )
        row = rows + 3 * tl.program_id(0)
        tl.store(row, sm.to(tl.int64))
        tl.store(row + 1, cycles)
        tl.store(row + 2, ns)

    return note


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Within, what Triton compiles is kept in a folder that is gone afterwards."""
    before = os.environ.get(_CACHE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_CACHE] = folder
        try:
            yield
        finally:
            del os.environ[_CACHE]
            if before is not None:
                os.environ[_CACHE] = before


def _sensor(why: str) -> tuple[str, str]:
    """The sensor that there is, read once, and why it is a sensor."""
    import torch

    _sensed_hz()
    nvml, amdsmi = BY_SENSOR
    name, function = (
        (amdsmi, "amdsmi") if torch.version.hip else (nvml, "NVML nvmlDeviceGetClockInfo(NVML_CLOCK_SM)")
    )
    return name, f"{function} by torch {torch.__version__}, sampled and up to a second late; {why}"


def _sensed_hz() -> int:
    import torch

    hertz = int(torch.cuda.clock_rate()) * 1_000_000
    if hertz <= 0:
        raise CannotMeasure(f"the clock's sensor says {hertz} Hz.")
    return hertz
