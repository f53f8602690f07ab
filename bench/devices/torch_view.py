"""What torch sees of the GPUs, asked in a process of its own.

To look is to initialise CUDA, and from then on CUDA_VISIBLE_DEVICES changes nothing in a process any more:
the one that will measure must not look before it has chosen its GPU.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.devices.nvml import none
from bench.errors import CannotMeasure
from bench.terms import Unavailable

INSTALL = "pip install 'compute-evidence[measure]'"

# Long enough to import torch from a slow disk and to wake eight GPUs; what hangs must end all the same.
_LIMIT_S = 120.0
# The child finds this file as this process does, from whichever folder and however installed.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from bench.devices import torch_view; torch_view.answer()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One GPU as torch tells it. `uuid` is without a prefix; `architecture` is AMD's (gfx942)."""

    name: str
    uuid: str | None
    multiprocessors: int
    memory_bytes: int
    l2_bytes: int | None
    architecture: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchView:
    """torch's build, and the GPUs in the order in which it numbers them. One of `cuda`, `hip` is there."""

    version: str
    cuda: str | None
    hip: str | None
    cudnn: int | None
    devices: tuple[Seen, ...]


def ask(environ: Mapping[str, str]) -> TorchView | Unavailable:
    """Looks in a new process with this environment; takes seconds.

    Codes: no-torch, torch-without-cuda, torch-fails.
    """
    command = [sys.executable, "-c", _PROGRAM, *sys.path]
    try:
        child = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return none("torch-fails", f"it gave no answer within {_LIMIT_S:.0f} s")
    except OSError as error:
        return none("torch-fails", f"its process cannot be started: {error.strerror}")
    return read(child.returncode, child.stdout, child.stderr)


def read(status: int, said: str, complained: str) -> TorchView | Unavailable:
    """What the process's end and its last lines mean."""
    if status != 0 or not said.strip():
        last = (complained.strip().splitlines() or ["it said nothing"])[-1]
        return none("torch-fails", f"its process ended with {status}: {last}")
    told = json.loads(said.strip().splitlines()[-1])
    if "code" in told:
        return Unavailable(subject="cuda", **told)
    devices = tuple(Seen(**device) for device in told.pop("devices"))
    return TorchView(**told, devices=devices)


def answer() -> None:
    """The child's part: one line of JSON on standard output."""
    seen = _look()
    told = {"code": seen.code, "detail": seen.detail} if isinstance(seen, Unavailable) else asdict(seen)
    sys.stdout.write(json.dumps(told) + "\n")


def cudnn_version(number: int | None) -> str | None:
    """cuDNN's number as people write it: 8902 and 91002 -> "8.9.2" and "9.10.2" (cudnn_version.h)."""
    if number is None:
        return None
    thousand = 10_000 if number >= 90_000 else 1000
    return f"{number // thousand}.{number % thousand // 100}.{number % 100}"


def uuids_here() -> tuple[str | None, ...]:
    """Initialises CUDA in this very process: the UUID, without a prefix, of each GPU that it has.

    Raises CannotMeasure where torch refuses.
    """
    import torch

    try:
        torch.cuda.init()
        return tuple(seen.uuid for seen in _devices(torch))
    except (RuntimeError, AssertionError) as error:
        raise CannotMeasure(
            f"torch cannot open the GPU: {_first_line(error)}. Type `bench devices` to see what is there."
        ) from error


def opened() -> bool:
    """Whether torch has already initialised CUDA in this process; without importing it."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _look() -> TorchView | Unavailable:
    try:
        import torch
    except ModuleNotFoundError as error:
        return none("no-torch", f"{error}. Type: {INSTALL}")
    except (ImportError, OSError) as error:
        return none("torch-fails", f"{_first_line(error)}. Type: pip install --force-reinstall torch")
    cuda, hip = torch.version.cuda, torch.version.hip
    if cuda is None and hip is None:
        return none("torch-without-cuda", f"torch {torch.__version__} computes on processors alone")
    try:
        torch.cuda.init()
        devices = _devices(torch)
    except (RuntimeError, AssertionError) as error:
        return none("torch-fails", _first_line(error))
    return TorchView(
        version=str(torch.__version__),
        cuda=cuda,
        hip=hip,
        cudnn=torch.backends.cudnn.version(),
        devices=devices,
    )


def _devices(torch: Any) -> tuple[Seen, ...]:
    return tuple(_seen(torch.cuda.get_device_properties(index)) for index in range(torch.cuda.device_count()))


def _seen(properties: Any) -> Seen:
    """Versions of torch differ in what they tell; what is always there is taken for granted."""
    uuid = getattr(properties, "uuid", None)
    architecture = getattr(properties, "gcnArchName", None)
    return Seen(
        name=properties.name,
        uuid=None if uuid is None else str(uuid).lower(),
        multiprocessors=properties.multi_processor_count,
        memory_bytes=properties.total_memory,
        l2_bytes=getattr(properties, "L2_cache_size", None) or None,
        architecture=None if architecture is None else str(architecture).partition(":")[0],
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
