"""The measuring program as it describes itself: version, its files' digests, its libraries.

A claim of the machine, not a proof: whoever signs can write any digest here.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import bench
from bench.terms import Digest, Fact, Harness

_SUFFIXES = (".py", ".toml", ".json")
_LIBRARIES = ("numpy", "torch", "onnxruntime", "onnx", "cryptography")


def describe() -> Harness:
    """This program."""
    return Harness(
        version=bench.__version__,
        files=tuple(_file_digests()),
        libraries=tuple(_library(name) for name in _LIBRARIES),
    )


def differing_files(described: Harness) -> int:
    """How many files of a harness that says it is of this version are not this program's, or are missing."""
    if described.version != bench.__version__:
        return 0
    ours, theirs = (
        {(file.name, file.sha256) for file in files} for files in (_file_digests(), described.files)
    )
    return len({name for name, _ in ours ^ theirs})


def _file_digests() -> Iterator[Digest]:
    """Every file of the program and its data, by its place in the package."""
    # In a checkout kernels/ and profiles/ lie beside the package, in a wheel inside it.
    inside, top = Path(bench.__path__[0]), Path(bench.__path__[-1])
    roots = {inside: inside, top / "kernels": top, top / "profiles": top}
    names = {path: path.relative_to(base) for root, base in roots.items() for path in root.rglob("*")}
    for path, name in sorted(names.items(), key=lambda item: item[1].as_posix()):
        if path.suffix in _SUFFIXES:
            yield Digest(name=name.as_posix(), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _library(name: str) -> Fact:
    # Slow to import, and `verify` asks no library.
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        return Fact(name=name, value=metadata.version(name), source="package metadata")
    # Builds of ONNX Runtime have names of their own and its folder.
    for other in metadata.packages_distributions().get(name, ()):
        return Fact(name=name, value=f"{other} {metadata.version(other)}", source="package metadata")
    return Fact(name=name, value=None, source="package metadata", reason="not-installed")
