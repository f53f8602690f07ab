"""Where execution providers (EPs) come from besides ONNX Runtime itself, and their registration there.

An installed plugin package, a library that a build of ONNX Runtime holds, or one that was named. Nothing
is imported but the packages that say in their source that they are plugins.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.devices.overheard import overheard
from bench.errors import CannotMeasure, UsageError
from bench.terms import Unavailable

_PLUGIN = "onnxruntime_"
_BUNDLED = "libonnxruntime_providers_"
_SUFFIX = "ExecutionProvider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """An EP's library. `name` is what it is registered under, and some EPs take it as their own.

    `package` is the distribution that it came with and its version; None for one that was named.
    """

    name: str
    path: Path
    package: str | None


def installed() -> tuple[Library | Unavailable, ...]:
    """One for each installed plugin package, or why it gives none.

    A plugin has get_library_path() and get_ep_names(); packages of other kinds begin with onnxruntime_ too.
    """
    found = metadata.packages_distributions().items()
    return tuple(
        _plugin(package, distributions[0])
        for package, distributions in sorted(found)
        if package.startswith(_PLUGIN) and _says_that_it_is_one(package)
    )


def _says_that_it_is_one(package: str) -> bool:
    spec = find_spec(package)
    source = None if spec is None or spec.origin is None else Path(spec.origin)
    return source is not None and source.suffix == ".py" and b"get_ep_names" in source.read_bytes()


def _plugin(package: str, distribution: str) -> Library | Unavailable:
    version = f"{distribution} {metadata.version(distribution)}"
    try:
        with overheard(), _refused(version):
            plugin = import_module(package)
            names, path = plugin.get_ep_names(), Path(plugin.get_library_path())
    except CannotMeasure as error:
        return Unavailable(subject=f"ort:{package}", code="ep-plugin-broken", detail=str(error))
    if len(names) != 1 or not path.is_file():
        detail = f"{version}: expected one file for one EP, got {path.name} for {', '.join(names) or 'none'}"
        return Unavailable(subject=f"ort:{package}", code="ep-plugin-broken", detail=detail)
    return Library(name=names[0], path=path, package=version)


def bundled(runtime: Any, package: str | None) -> Iterator[Library]:
    """The EP libraries inside `runtime`'s folder, each under the name by which it is listed as available.

    `package` is the distribution that owns the folder, with its version.
    """
    names = {_plain(name.removesuffix(_SUFFIX)): name for name in runtime.get_available_providers()}
    for path in sorted((Path(runtime.__file__).parent / "capi").glob(f"{_BUNDLED}*.so")):
        name = names.get(_plain(path.stem.removeprefix(_BUNDLED)))
        if name is not None:
            yield Library(name=name, path=path, package=package)


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()


def named(words: Sequence[str]) -> tuple[Library, ...]:
    """What --ep-library NAME=PATH names, each NAME once; UsageError for anything else."""
    libraries = tuple(_named(word) for word in words)
    names = [library.name for library in libraries]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--ep-library names {name!r} twice: expected one library for each name.")
    return libraries


def _named(word: str) -> Library:
    name, equals, path = word.partition("=")
    if not equals or not path or not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(
            f"--ep-library {word!r} is not understood: expected NAME=PATH, as in "
            "QNNExecutionProvider=/opt/qnn/libonnxruntime_providers_qnn.so, NAME of letters and digits."
        )
    if not Path(path).is_file():
        raise UsageError(f"--ep-library {word!r}: there is no file {path!r}. Type the library's path.")
    return Library(name=name, path=Path(path).resolve(), package=None)


@cache
def register(runtime: Any, library: Library) -> str | Unavailable:
    """Has ONNX Runtime load the library, once in this process; returns what was said meanwhile."""
    with overheard() as words:
        try:
            with _refused(library.path.name):
                runtime.register_execution_provider_library(library.name, str(library.path))
        except CannotMeasure as error:
            detail = " | ".join(part for part in (str(error), words()) if part)
            return Unavailable(subject=f"ort:{library.name}", code="ep-library-fails", detail=detail)
        return words()


@cache
def digest(path: Path) -> str:
    """SHA-256 of a library's file, in hexadecimal; OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Around code of a provider's maker, which may raise anything: CannotMeasure with its words."""
    try:
        yield
    except Exception as error:
        raise CannotMeasure(f"{what}: {str(error) or type(error).__name__}") from error
