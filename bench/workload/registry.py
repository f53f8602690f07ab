"""Finds the kernels: a file of kernels/ that does not begin with an underscore defines KERNEL, one row's
kernel, or is one of the instruments that measure what the rows are held against.

This is the one place that names the folder. Importing a kernel imports no backend; that happens when
the kernel prepares.
"""

import importlib
import pkgutil
from functools import cache

from bench.errors import UsageError
from bench.workload.kernel import Bandwidth, ClockChain, Kernel, WindowClock

_PACKAGE = "bench.kernels"
# The files of the instruments: the clock of a core, the clock of a GPU, and the memory's bandwidth.
_CLOCK, _CUDA_CLOCK, _MEMORY = "clock", "cuda_clock", "memory"


def collect(named: list[tuple[str, Kernel]]) -> dict[str, Kernel]:
    """Kernels by name from (file, kernel) pairs; two files that claim one name are an error."""
    kernels: dict[str, Kernel] = {}
    files: dict[str, str] = {}
    for file, kernel in named:
        if kernel.name in kernels:
            raise UsageError(
                f"two kernel files define {kernel.name!r}: {files[kernel.name]} and {file}. Rename one."
            )
        kernels[kernel.name], files[kernel.name] = kernel, file
    return kernels


@cache
def kernels() -> dict[str, Kernel]:
    """All kernels by name, in the files' alphabetical order."""
    folder = importlib.import_module(_PACKAGE)
    names = sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if _defines_a_row(m.name))
    modules = [importlib.import_module(f"{_PACKAGE}.{name}") for name in names]
    return collect([(module.__name__, module.KERNEL) for module in modules])


def kernel(name: str) -> Kernel:
    """The kernel called `name`; raises UsageError quoting the known ones."""
    known = kernels()
    if name not in known:
        raise UsageError(f"unknown kernel {name!r}: known are {', '.join(known)}.")
    return known[name]


def _defines_a_row(name: str) -> bool:
    return not name.startswith("_") and name not in (_CLOCK, _CUDA_CLOCK, _MEMORY)


def clock_chain() -> ClockChain:
    """The chain of dependent instructions that a core's clock is measured by."""
    chain: ClockChain = importlib.import_module(f"{_PACKAGE}.{_CLOCK}").CHAIN
    return chain


def window_clock() -> WindowClock:
    """What a GPU's clock over a window is read by."""
    clock: WindowClock = importlib.import_module(f"{_PACKAGE}.{_CUDA_CLOCK}").CLOCK
    return clock


def bandwidth() -> Bandwidth:
    """The kernel that measures what the memory moves."""
    kernel: Bandwidth = importlib.import_module(f"{_PACKAGE}.{_MEMORY}").BANDWIDTH
    return kernel
