"""What both CUDA kernels share: where they run, its events, strict arithmetic, buffers that no cache holds.

The process sees one device (bench.devices.cuda pins it), so that torch's "cuda" is that one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from bench.errors import CannotMeasure
from bench.terms import Device, Form, Unavailable, Workload
from bench.workload import opcount, operands
from bench.workload.operands import Library

from . import _torch
from ._refusal import refusal

if TYPE_CHECKING:
    import torch

BACKEND = "torch"

# What is launched on rotates through buffers that are together this many times the second-level cache, so
# that no launch finds there what the one before it left. More of them than this add nothing but time.
_BEYOND_CACHE, _MOST_COPIES = 2, 1024
# Counters drawn at a time: a few hundred megabytes on the way, and enough for every multiprocessor.
_DRAWN = 1 << 21


# ----------------------------------------------------------------------------------- where it runs


class Timer(Protocol):
    """The device's own clock in the queue of launches."""

    def begin(self) -> None:
        """Note the time once all that was launched before is done. Not waited for."""

    def end(self) -> None:
        """The same, and wait for it."""

    def elapsed_ns(self) -> int | None:
        """Between the two; None where nothing has begun."""


class Events:
    """CUDA events (torch.cuda.Event), whose resolution is about half a microsecond."""

    def __init__(self) -> None:
        import torch

        self._first, self._last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._begun = self._ended = False

    def begin(self) -> None:
        self._first.record()
        self._begun, self._ended = True, False

    def end(self) -> None:
        self._last.record()
        self._last.synchronize()
        self._ended = True

    def elapsed_ns(self) -> int | None:
        if not (self._begun and self._ended):
            return None
        return round(float(self._first.elapsed_time(self._last)) * 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a workload is prepared on: torch's word for it, its second-level cache, how its time is read."""

    device: str
    l2_bytes: int
    timer: Callable[[], Timer]


def place(device: Device) -> Place:
    """The one CUDA device of this process."""
    known = device.fact("l2-bytes")
    return Place(device="cuda", l2_bytes=known if isinstance(known, int) else _l2_bytes(), timer=Events)


def _l2_bytes() -> int:
    import torch

    return int(torch.cuda.get_device_properties("cuda").L2_cache_size)


# ------------------------------------------------------------------------------- what it can compute

# The least compute capability whose hardware multiplies in a precision. Tensor cores take bf16, tf32 and 2:4
# sparse operands from 8.0, int8 from 7.5 (CUDA C++ Programming Guide, "Compute Capabilities"; PTX ISA, mma
# and mma.sp), fp8 from 8.9 (PTX ISA, mma; torch._scaled_mm asks for 8.9, 9.0 or later); arithmetic in half
# precision is there from 5.3. What has no row here runs everywhere.
_LEAST_CAPABILITY: dict[str, tuple[int, int]] = {
    "fp16": (5, 3),
    "int8": (7, 5),
    "tf32": (8, 0),
    "bf16": (8, 0),
    "fp8_e4m3": (8, 9),
    "fp8_e5m2": (8, 9),
}
_LEAST_SPARSE = (8, 0)
# AMD's GPUs that take the fp8 encodings of the OCP specification; gfx942 takes others, "fnuz" (ROCm, "Data
# types and precision support").
_FP8, _AMD_OCP_FP8 = ("f8_e4m3", "f8_e5m2"), ("gfx950", "gfx12")


def unavailable(form: Form, device: Device) -> Unavailable | None:
    """An architecture that lacks the form's arithmetic, or missing packages."""
    return _not_supported(form, device) or _torch.missing()


def _not_supported(form: Form, device: Device) -> Unavailable | None:
    """By the device's facts alone; where they do not tell, the backend will."""
    capability = device.fact("compute-capability")
    architecture = device.fact("gcn-arch")
    detail = None
    if isinstance(capability, str):
        least = max(_LEAST_CAPABILITY.get(form.precision, (0, 0)), _LEAST_SPARSE if form.sparse else (0, 0))
        if _version(capability) < least:
            what = f"2:4 sparse {form.precision}" if form.sparse else form.precision
            detail = f"{what} takes compute capability {least[0]}.{least[1]}, this device has {capability}"
    elif isinstance(architecture, str) and form.a in _FP8 and not architecture.startswith(_AMD_OCP_FP8):
        detail = f"{architecture} multiplies fp8 in other encodings than OCP's ({form.a}) or not at all"
    if detail is None:
        return None
    return Unavailable(subject=form.name, code="not-supported-by-architecture", detail=detail)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def set_arithmetic(*, tf32: bool) -> None:
    """Whether fp32 operands may be rounded to TF32; no sum in less than fp32, and cuDNN tries its algorithms.

    torch keeps these for the whole process, and rows take turns: set before every launch (1.5 microseconds).
    The older switches set the newer ones, too, and torch refuses to read either where they disagree
    (torch 2.13, "Numerical accuracy"); of a convolution's alone they leave off to what stands above it.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    matmul.allow_tf32 = tf32
    cudnn.allow_tf32 = tf32
    cudnn.conv.fp32_precision = "tf32" if tf32 else "ieee"
    matmul.allow_fp16_reduced_precision_reduction = False
    matmul.allow_bf16_reduced_precision_reduction = False
    matmul.allow_fp16_accumulation = False
    cudnn.benchmark = True


# ------------------------------------------------------------------------------------- the operands


def refused(workload: Workload, what: str, error: Exception) -> CannotMeasure | MemoryError:
    """What a failure becomes. Memory that has run out is a MemoryError: a smaller shape may fit."""
    # torch.OutOfMemoryError by its name: a torch that is broken is not to be imported again for it.
    if type(error).__name__ == "OutOfMemoryError":
        import torch

        torch.cuda.empty_cache()
        return MemoryError(f"{workload.row}: {BACKEND} {what}: {error}")
    return error if isinstance(error, CannotMeasure) else refusal(workload, f"{BACKEND} {what}", error)


@contextmanager
def refusing(workload: Workload) -> Iterator[None]:
    """Around all that prepares: raises CannotMeasure or MemoryError for anything that torch raises."""
    try:
        yield
    except Exception as error:
        raise refused(workload, "refused", error) from error


def pool(
    workload: Workload, which: str, on: Place, *, real: bool, columns_first: bool = False
) -> "torch.Tensor":
    """An operand's pool, drawn where it stays; `columns_first` lays a column's elements side by side."""
    import torch

    rows, columns = operands.pool_shape(workload, which)
    element = _torch.element_type(workload.form.a if which == "a" else workload.form.b)
    # To fp8 torch rounds fp32, which holds all that is drawn for it.
    drawn = torch.float32 if element.itemsize == 1 and element.is_floating_point else element
    shape = (columns, rows) if columns_first else (rows, columns)
    out = torch.empty(shape, dtype=drawn, device=on.device)
    out = out.t() if columns_first else out
    operands.put(out, workload, which, real=real, library=library(on))
    return out.to(element)


def library(on: Place) -> Library:
    """torch's constructors on the device."""
    import torch

    return Library(
        arange=lambda first, last: torch.arange(first, last, device=on.device),
        float64=lambda array: array.to(torch.float64),
        block=_DRAWN,
    )


# The operands of one set as a kernel keeps them.
Kept = TypeVar("Kept")


class Queued(ABC, Generic[Kept]):
    """A prepared workload: launches on buffers in turn, timed by the device's own events.

    A subclass draws the operands of a set, copies them, and says how a launch multiplies them.
    """

    def __init__(self, workload: Workload, on: Place, *, real: bool) -> None:
        import torch

        self.workload, self.on = workload, on
        self._tf32 = workload.precision == "tf32"
        # cuBLAS, cuDNN and cuSPARSELt measure nothing of a gradient.
        torch.set_grad_enabled(False)
        self._timer = on.timer()
        self._sets = {which: self._rotating(real=which) for which in ((False, True) if real else (False,))}
        self._out = torch.zeros(0, device=on.device)
        self._outs = [self._out] * len(self._sets[False])
        self._turn = 0

    def _rotating(self, *, real: bool) -> list[Kept]:
        drawn = self.draw(real=real)
        return [drawn, *(self.copy(drawn) for _ in range(1, _copies(self.workload, self.on)))]

    @abstractmethod
    def draw(self, *, real: bool) -> Kept:
        """The operands of one set, where they stay."""

    @abstractmethod
    def copy(self, drawn: Kept) -> Kept:
        """The same operands in memory of their own."""

    @abstractmethod
    def multiply(self, drawn: Kept, index: int) -> "torch.Tensor":
        """Launch on the operands at the index-th offset; returns the output, which is not waited for."""

    @abstractmethod
    def as_matrix(self, out: "torch.Tensor") -> "torch.Tensor":
        """The output as the implicit GEMM has it, without copying it."""

    def launch(self, index: int, *, real: bool) -> None:
        set_arithmetic(tf32=self._tf32)
        self._turn = turn = (self._turn + 1) % len(self._outs)
        try:
            # The last output of this turn stays until its successor has memory: outputs rotate, too.
            self._outs[turn] = self._out = self.multiply(self._sets[real][turn], index)
        except Exception as error:
            raise refused(self.workload, "failed", error) from error

    def mark(self) -> None:
        self._timer.begin()

    def finish(self) -> float:
        self._timer.end()
        return float(self._out[(0,) * self._out.dim()])

    def device_ns(self) -> int | None:
        return self._timer.elapsed_ns()

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Gathered on the device, so that little is copied from it."""
        import torch

        # One copy to the device and one from it: both are within a sample's time.
        places = torch.from_numpy(np.concatenate((rows, columns))).to(self.on.device)
        at = places[: len(rows)].reshape(-1, 1), places[len(rows) :]
        block: np.ndarray = self.as_matrix(self._out)[at].double().cpu().numpy()
        return block

    def close(self) -> None:
        self._sets, self._outs = {}, []


def _copies(workload: Workload, on: Place) -> int:
    """How many buffers to rotate through."""
    footprint = opcount.cost(workload.shape, workload.form).bytes
    return max(1, min(_MOST_COPIES, -(-_BEYOND_CACHE * on.l2_bytes // footprint)))
