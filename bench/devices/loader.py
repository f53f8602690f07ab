"""What the system's loader put into this process: what it was told to preload, which libraries it loaded.

Files are named without their folders, which may hold a user's name. All of it is the process's own claim.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from bench.devices.tree import absent, read
from bench.terms import Digest, Fact

ENVIRON = "/proc/self/environ"
MAPS = "/proc/self/maps"
PRELOAD_FILE = "/etc/ld.so.preload"

BY_ENVIRONMENT = "preloaded-by-environment"
BY_FILE = "preloaded-by-file"
BY_AUDIT = "preloaded-by-audit"
LIBRARY_PATH = "library-path-set"
# A library that is loaded and cannot be read is told as a fact of this name and its own.
UNREAD = "library/"

# What decides how fast and how right a product comes out, and what time it is: packages by their folder,
# since their extension modules bear names like _C and mtrand, and everything else by the name of its file.
PACKAGES = frozenset(
    {"numpy", "numpy.libs", "torch", "onnxruntime", "numba", "llvmlite", "nvidia", "triton", "openvino"}
)
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "interpreter": ("libpython3*", "python3*", "time.cpython-*", "_ctypes.cpython-*", "libffi.*"),
    "C and C++ runtime": (
        *("ld-linux*", "ld-musl*", "ld64.so*", "libc.*", "libc-*", "libm.*", "libm-*", "libmvec*"),
        *("libpthread*", "libdl.*", "libdl-*", "librt.*", "librt-*", "libstdc++*", "libgcc_s*", "libc++*"),
    ),
    "memory allocators": ("libjemalloc*", "libtcmalloc*", "libmimalloc*"),
    "threads": ("libgomp*", "libiomp*", "libomp*", "libtbb*", "libhwloc*"),
    "linear algebra": (
        *("libmkl_*", "libopenblas*", "libscipy_openblas*", "libblis*", "libflexiblas*", "libblas*"),
        *("libcblas*", "liblapack*", "libatlas*", "libarmpl*", "libnvpl*", "libarm_compute*", "libdnnl*"),
        *("libmkldnn*", "libxsmm*", "libsleef*", "libgfortran*", "libquadmath*"),
    ),
    "frameworks": ("libtorch*", "libc10*", "libonnxruntime*", "onnxruntime_*", "libopenvino*"),
    "NVIDIA": (
        *("libcuda*", "libcublas*", "libcudnn*", "libcufft*", "libcurand*", "libcusolver*", "libcusparse*"),
        *("libcupti*", "libnvidia-*", "libnvrtc*", "libnvJitLink*", "libnccl*", "libnvToolsExt*"),
        "libnvinfer*",
    ),
    "AMD": (
        *("libamdhip*", "libhip*", "librocblas*", "librocm*", "libMIOpen*", "libhsa-*", "libamd_smi*"),
        "libxrt*",
    ),
    "Intel": ("libze_*", "libsycl*", "libur_*", "libigc*", "libigdgmm*"),
    "other accelerators": (
        *("libOpenCL*", "libvulkan*", "libascend*", "libhccl*", "librknn*", "libQnn*", "libcnrt*"),
        *("libcnnl*", "libhailort*"),
    ),
}
_PATTERNS = tuple(pattern for patterns in LIBRARIES.values() for pattern in patterns)

# Hashing is bound by one core (1 GB/s and less), and a framework for GPUs has gigabytes.
_HASHERS = 4
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Loaded:
    """A file that this process runs code from; `deleted` when another one, or none, stands there now."""

    path: str
    deleted: bool

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def matters(self) -> bool:
        """Whether it is of the packages or the table above."""
        parts = PurePosixPath(self.path).parent.parts
        return not PACKAGES.isdisjoint(parts) or any(fnmatchcase(self.name, row) for row in _PATTERNS)


# ---------------------------------------------------------------------------------------- preloaded


def facts(root: Path) -> tuple[Fact, ...]:
    """What the loader was told beside the program's own needs."""
    try:
        variables = environment(root)
    except OSError as error:
        names = (BY_ENVIRONMENT, BY_AUDIT, LIBRARY_PATH)
        told = [absent(name, ENVIRON, why_not(error)) for name in names]
    else:
        told = [
            named(BY_ENVIRONMENT, "LD_PRELOAD", _split(variables.get("LD_PRELOAD", ""))),
            named(BY_AUDIT, "LD_AUDIT", _split(variables.get("LD_AUDIT", ""))),
            Fact(name=LIBRARY_PATH, value=bool(variables.get("LD_LIBRARY_PATH")), source="LD_LIBRARY_PATH"),
        ]
    try:
        by_file = named(BY_FILE, PRELOAD_FILE, _in_file(root))
    except OSError as error:
        by_file = absent(BY_FILE, PRELOAD_FILE, why_not(error))
    return (*told, by_file)


def environment(root: Path) -> Mapping[str, str]:
    """What this process was started with, whatever it has set since; raises OSError."""
    entries = (entry.partition("=") for entry in read(root, ENVIRON).split("\0"))
    return {name: value for name, _, value in entries}


def _in_file(root: Path) -> list[str]:
    lines = read(root, PRELOAD_FILE).splitlines()
    return _split(" ".join(line.partition("#")[0] for line in lines))


def _split(text: str) -> list[str]:
    """Blanks and colons separate them, as ld.so(8) says, and so stand in no name."""
    return [PurePosixPath(item).name for item in re.split(r"[\s:]+", text) if item]


def named(name: str, source: str, found: Sequence[str]) -> Fact:
    """Names as one fact; that there are none is absence, and seen."""
    if not found:
        return absent(name, source, "none-seen")
    return Fact(name=name, value=" ".join(found), source=source)


def why_not(error: OSError) -> str:
    """The code of the reason why a file was not read."""
    if isinstance(error, FileNotFoundError):
        return "no-file"
    return "not-permitted" if isinstance(error, PermissionError) else "not-readable"


# ------------------------------------------------------------------------------------------- loaded


def hashed(root: Path) -> tuple[tuple[Digest, ...], tuple[Fact, ...]]:
    """The chosen libraries by name and digest, and those that cannot be read, each with the reason.

    Of one name in two folders the second is `NAME (2)`.
    """
    try:
        read(root, MAPS)
    except OSError as error:
        return (), (absent(UNREAD, MAPS, why_not(error)),)
    chosen = _chosen(root)
    with ThreadPoolExecutor(_HASHERS) as pool:
        found = list(zip(chosen, pool.map(lambda item: _sha256(root, item), chosen), strict=True))
    digests = sorted((item.name, sha256) for item, sha256 in found if isinstance(sha256, str))
    unread = [
        absent(UNREAD + item.name, MAPS, "deleted" if item.deleted else why_not(refusal))
        for item, refusal in found
        if isinstance(refusal, OSError)
    ]
    return tuple(_numbered(digests)), tuple(unread)


def _chosen(root: Path) -> list[Loaded]:
    """What is mapped to be run and matters, or was preloaded, in the order of the paths."""
    preloaded = {name for fact in facts(root) if isinstance(fact.value, str) for name in fact.value.split()}
    return [item for item in sorted({*_mapped(root)}) if item.matters or item.name in preloaded]


def _mapped(root: Path) -> Iterator[Loaded]:
    """proc_pid_maps(5): address, permissions, offset, device, inode, path."""
    try:
        lines = read(root, MAPS).splitlines()
    except OSError:
        return
    for line in lines:
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and "x" in parts[1] and parts[5].startswith("/"):
            path = parts[5]
            yield Loaded(path=path.removesuffix(_DELETED), deleted=path.endswith(_DELETED))


def _sha256(root: Path, item: Loaded) -> str | OSError:
    """Of what was deleted another file may have the name by now: it is not read."""
    if item.deleted:
        return FileNotFoundError(item.path)
    try:
        with (root / item.path.lstrip("/")).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return error


def _numbered(hashed: Iterable[tuple[str, str]]) -> Iterator[Digest]:
    seen: dict[str, int] = {}
    for name, sha256 in hashed:
        seen[name] = count = seen.get(name, 0) + 1
        yield Digest(name=name if count == 1 else f"{name} ({count})", sha256=sha256)
