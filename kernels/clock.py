"""The clock of each core in use: a chain of dependent multiplications, timed on all of them at once.

x = x * x on 64-bit integers: each link waits for the one before it, so that links per second times the
multiplier's latency (profiles/arch) is the clock. That latency does not depend on the operands, and no
compiler folds the chain. What the latency is, this file does not know.

Wide vector units lower the clock while they work, and it is back within 50 microseconds: a Granite
Rapids ran at 3.79 GHz under AVX-512 and at 4.09 GHz without. Where AVX-512 is there, one FMA in 512-bit
registers therefore runs in the shadow of each link, on other ports than the multiplier's and at a third
of the rate of a single unit: the clock is that of wide vectors, the chain's cycles stay the same.
"""

import ctypes
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec

import numpy as np

from bench.errors import CannotMeasure
from bench.terms import Unavailable
from bench.units import NS_PER_S

# 640 000 links: half a millisecond at 4 GHz. The loop around each sixteen costs nothing, since its counter
# runs beside the chain. A burst that was interrupted reads low, never high: of six, the best one counts.
LINKS = 16
PASSES = 40_000
BURSTS = 6

# All threads begin at one moment, since the clock depends on how many cores work. Starting one takes less.
_START_NS = 200_000
_START_NS_PER_CPU = 50_000

_CLOCK_MONOTONIC = 1
_WIDE = "avx512f"

_Bursts = Callable[[int, np.ndarray, np.ndarray], None]


class _Chain:
    def unavailable(self) -> Unavailable | None:
        if find_spec("numba"):
            return None
        return Unavailable(
            subject="clock", code="not-installed", detail="pip install 'compute-evidence[clock]'"
        )

    def compile(self) -> tuple[str, str]:
        """Once before measuring: the chain's name, and the library that compiled it.

        Takes half a second, and keeps nothing on disk: the machine under audit stays as it was. Raises
        CannotMeasure when numba is installed and does not work.
        """
        try:
            import numba

            name = "imul-chain+zmm-fma" if _compiled()[1] else "imul-chain"
        except Exception as error:
            raise CannotMeasure(f"numba refused: {str(error) or type(error).__name__}") from error
        return name, f"numba {numba.__version__}"

    def multiplies_per_s(self, cpus: Sequence[int]) -> tuple[int, ...]:
        """Links per second on each of `cpus`, all at once, a pinned thread each; takes about 4 ms.

        Raises CannotMeasure when the system lets no thread run on one of them.
        """
        bursts, _ = _compiled()
        begin_ns = time.monotonic_ns() + _START_NS + _START_NS_PER_CPU * len(cpus)
        with ThreadPoolExecutor(max_workers=len(cpus)) as threads:
            return tuple(threads.map(lambda cpu: _best(bursts, cpu, begin_ns), cpus))


CHAIN = _Chain()


def _best(bursts: _Bursts, cpu: int, begin_ns: int) -> int:
    """Pins the calling thread, and only it."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        raise CannotMeasure(f"no thread may run on CPU {cpu}: {error.strerror}.") from error
    times = np.zeros((BURSTS, 2, 2), dtype=np.int64)
    bursts(begin_ns, times, np.full(1, 3, dtype=np.uint64))
    ns = times[..., 0] * NS_PER_S + times[..., 1]
    return LINKS * PASSES * NS_PER_S // int((ns[:, 1] - ns[:, 0]).min())


@cache
def _compiled() -> tuple[_Bursts, bool]:
    """Waits for the beginning, then fills `times` (burst, begun and ended, seconds and ns) without the GIL;
    and whether wide vectors run beside the chain.

    The clock is read in compiled code: with many threads, waiting for the GIL would be measured too.
    """
    import numba
    from llvmlite import binding

    clock = ctypes.CDLL(None).clock_gettime
    clock.argtypes, clock.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_int
    wide = bool(binding.get_host_cpu_features().get(_WIDE))
    squares = _wide_squares() if wide else numba.njit("uint64(uint64, int64)", nogil=True)(_squares)

    def bursts(begin_ns, times, state):  # type: ignore[no-untyped-def]
        while times[0, 0, 0] * NS_PER_S + times[0, 0, 1] < begin_ns:
            clock(_CLOCK_MONOTONIC, times[0, 0].ctypes)
        for burst in range(len(times)):
            clock(_CLOCK_MONOTONIC, times[burst, 0].ctypes)
            # Through memory, which the calls may touch: the chain cannot be moved past a reading.
            state[0] = squares(state[0], PASSES)
            clock(_CLOCK_MONOTONIC, times[burst, 1].ctypes)

    return numba.njit("void(int64, int64[:, :, ::1], uint64[::1])", nogil=True)(bursts), wide


def _squares(x: int, passes: int) -> int:
    for _ in range(passes * LINKS):
        x = x * x
    return x


def _wide_squares() -> Callable[[int, int], int]:
    """The same chain in assembly, as LLVM reads it: x is $0, the passes left are $1.

    The vectors are all 0.7: registers hold anything, and subnormal numbers would stall the units.
    """
    from llvmlite import binding, ir
    from numba import types
    from numba.extending import intrinsic

    binding.initialize_native_asmparser()
    factor, sums = 16, range(17, 25)
    lines = (
        "movl $$0x3f333333, %eax",
        *(f"vpbroadcastd %eax, %zmm{vector}" for vector in (factor, *sums)),
        "1:",
        *(
            f"imulq $0, $0\nvfmadd231ps %zmm{factor}, %zmm{factor}, %zmm{sums[i % len(sums)]}"
            for i in range(LINKS)
        ),
        "decq $1",
        "jnz 1b",
    )
    spoilt = ",".join(f"~{{{name}}}" for name in ("rax", "flags", *(f"zmm{v}" for v in (factor, *sums))))

    def emit(_context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.LiteralStructType([word, word]), [word, word])
        both = builder.asm(kind, "\n".join(lines), f"=r,=r,0,1,{spoilt}", arguments, side_effect=True)
        return builder.extract_value(both, 0)

    def squares(_typing, _x, _passes):  # type: ignore[no-untyped-def]
        return types.uint64(types.uint64, types.int64), emit

    compiled: Callable[[int, int], int] = intrinsic(squares)
    return compiled
