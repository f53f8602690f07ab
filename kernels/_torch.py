"""What both torch kernels share: strict arithmetic settings, threads, and operands as tensors."""

import ctypes
from functools import cache
from typing import TYPE_CHECKING

from bench.errors import CannotMeasure
from bench.terms import Element, Unavailable, Workload
from bench.workload import operands

if TYPE_CHECKING:
    import torch


def missing() -> Unavailable | None:
    """Why torch cannot be used here, without importing it."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return Unavailable(
            subject="torch", code="not-installed", detail="pip install 'compute-evidence[measure]'"
        )
    return None


# glibc's mallopt(3): M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, whose largest allowed value is 32 MiB.
_TRIM, _MMAP = -1, -3
_KEPT, _FROM_HEAP = 1 << 30, 32 << 20


@cache
def _keep_freed_memory() -> None:
    """Let an output's memory serve the next launch too.

    torch allocates a convolution's output at each launch; at sizes near glibc's moving thresholds the
    pages went back to the system and came again, zeroed, at every launch (seen: 400 to 2500 page faults
    a launch, and rates of 220 to 310 GFLOPS instead of 400). Elsewhere than on glibc nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP, _FROM_HEAP)
        mallopt(_TRIM, _KEPT)


def set_up(threads: int) -> None:
    """Threads, and no silent lower precision: fp32 products stay fp32 (TF32 and bf16 modes off)."""
    import torch

    _keep_freed_memory()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    torch.set_grad_enabled(False)


def element_type(element: Element) -> "torch.dtype":
    import torch

    return {
        "f64": torch.float64,
        "f32": torch.float32,
        "bf16": torch.bfloat16,
        "f16": torch.float16,
        "f8_e4m3": torch.float8_e4m3fn,
        "f8_e5m2": torch.float8_e5m2,
        "s32": torch.int32,
        "s8": torch.int8,
        "u8": torch.uint8,
    }[element]


def pool(workload: Workload, which: str, *, real: bool) -> "torch.Tensor":
    """An operand's pool as a tensor of the form's element type."""
    import torch

    element = workload.form.a if which == "a" else workload.form.b
    try:
        return torch.from_numpy(operands.pool(workload, which, real=real)).to(element_type(element))
    except (RuntimeError, MemoryError) as error:
        raise CannotMeasure(f"{workload.row}: torch cannot hold the operands: {error}") from error
