"""What this process can tell about itself: its start, its tracers, its clocks, its libraries, its files.

The machine's own claim. It shows an auditor accidents and lazy cheats; whoever owns the machine can have
every line of it say what he likes. Container and hypervisor stand with the host's and the processor's facts.
"""

import base64
import csv
import hashlib
import importlib.util
import re
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import bench
from bench.devices import loader, timers
from bench.devices.tree import HERE, absent, fact
from bench.terms import Digest, Fact

VARIABLES = "python-variables"
SITE, USER = "sitecustomize", "usercustomize"
TRACED = "traced"
TRACE, PROFILE, MONITORING = "trace-function", "profile-function", "monitoring-tools"
HARNESS_FILES = "harness-files-differing"

# Where a module stands that the distribution's packager put there (Debian has an empty sitecustomize).
STANDARD_LIBRARY = "standard library"

# Variables that decide which code the interpreter runs; those that only change its habits are no concern.
_VARIABLES = (
    *("PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP"),
    "PYTHONUSERBASE",
)
_DISTRIBUTION = "compute-evidence"


def facts(root: Path = HERE) -> tuple[Fact, ...]:
    """Everything that can be told before measuring. Takes 20 to 40 ms, most for the clocks' rates."""
    return (
        *loader.facts(root),
        _variables(root),
        _customised(SITE),
        _customised(USER),
        _start_up_files(),
        *_tracing(root),
        loader.named(timers.REPLACED, "module time, bench.devices.clock", timers.replaced()),
        *timers.facts(root),
        _harness_files(),
    )


def libraries(root: Path = HERE) -> tuple[tuple[Digest, ...], tuple[Fact, ...]]:
    """The numerical, driver and runtime libraries (loader.LIBRARIES) that are loaded by now.

    And, for the facts, those of them that cannot be read, each with the reason.
    """
    return loader.hashed(root)


# -------------------------------------------------------------------------------------- interpreter


def _variables(root: Path) -> Fact:
    try:
        given = loader.environment(root)
    except OSError as error:
        return absent(VARIABLES, loader.ENVIRON, loader.why_not(error))
    return loader.named(VARIABLES, loader.ENVIRON, [name for name in _VARIABLES if given.get(name)])


def _customised(name: str) -> Fact:
    """Where a module stands that the interpreter imports when it starts; it is not imported here."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        # It was imported, and its name is no proper module's any more.
        return Fact(name=name, value="elsewhere", source="sys.modules")
    if found is None:
        return absent(name, "sys.path", "none-seen")
    return Fact(name=name, value=_place(found.origin), source="sys.path")


def _place(origin: str | None) -> str:
    """Which of the interpreter's folders a file is in; no path, which may hold a user's name."""
    places = {
        sysconfig.get_path("stdlib"): STANDARD_LIBRARY,
        sysconfig.get_path("purelib"): "site-packages",
        sysconfig.get_path("platlib"): "site-packages",
        site.getusersitepackages(): "user's site-packages",
    }
    folder = None if origin is None else Path(origin).parent.resolve()
    return next((words for path, words in places.items() if Path(path).resolve() == folder), "elsewhere")


def _start_up_files() -> Fact:
    """Path files that hold code: the interpreter runs it when it starts (installers write some, too)."""
    folders = {Path(path) for path in (*site.getsitepackages(), site.getusersitepackages())}
    found = sorted(path.name for folder in folders for path in folder.glob("*.pth") if _holds_code(path))
    return loader.named("start-up-files", "site-packages", found)


def _holds_code(path: Path) -> bool:
    try:
        return re.search(r"^import[ \t]", path.read_text(errors="replace"), re.M) is not None
    except OSError:
        return False


# ------------------------------------------------------------------------------------------ tracing


def _tracing(root: Path) -> Iterator[Fact]:
    """A debugger or a tracer of system calls, and functions that this thread calls at every line."""
    yield fact(TRACED, root, "/proc/self/status", _has_tracer)
    yield Fact(name=TRACE, value=sys.gettrace() is not None, source="sys.gettrace")
    yield Fact(name=PROFILE, value=sys.getprofile() is not None, source="sys.getprofile")
    yield _monitoring()


def _has_tracer(text: str) -> bool:
    found = re.search(r"^TracerPid:\s*([0-9]+)$", text, re.M)
    if found is None:
        raise ValueError("no line TracerPid")
    return found[1] != "0"


def _monitoring() -> Fact:
    """Tools of PEP 669, by the names that they gave; Python has six places for them, from 3.12 on."""
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is None:
        return absent(MONITORING, "sys.monitoring", "old-python")
    tools = [str(tool) for number in range(6) if (tool := monitoring.get_tool(number)) is not None]
    return loader.named(MONITORING, "sys.monitoring", tools)


# -------------------------------------------------------------------------------------- own files


def _harness_files() -> Fact:
    """How many files of the package are not as the wheel's RECORD has them: changed, missing or added.

    Compiled files in __pycache__ are not in question: RECORD has no digests of them.
    """
    # Slow to import, and only a run asks.
    from importlib import metadata

    found = [*metadata.distributions(name=_DISTRIBUTION)]
    if not found:
        return absent(HARNESS_FILES, "RECORD", "not-installed")
    # A checkout that is run beside an installed wheel is not that wheel.
    top = Path(bench.__file__).parent.parent.resolve()
    records = (d.read_text("RECORD") or "" for d in found if Path(str(d.locate_file(""))).resolve() == top)
    listed = next((files for record in records if (files := _listed(record))), None)
    if listed is None:
        return absent(HARNESS_FILES, "RECORD", "not-from-a-wheel")
    there = _there(top)
    differing = [name for name in {*listed, *there} if listed.get(name) != there.get(name)]
    return Fact(name=HARNESS_FILES, value=len(differing), source="RECORD")


def _listed(record: str) -> Mapping[str, str]:
    """The package's files in RECORD, name and digest, as the specification of wheels has them."""
    rows = (row for row in csv.reader(record.splitlines()) if len(row) == 3)
    return {name: digest for name, digest, _ in rows if name.startswith("bench/") and _counts(name)}


def _there(top: Path) -> Mapping[str, str]:
    files = (path for path in (top / "bench").rglob("*") if path.is_file())
    named = ((path.relative_to(top).as_posix(), path) for path in files)
    return {name: _recorded_digest(path) for name, path in named if _counts(name)}


def _counts(name: str) -> bool:
    return "__pycache__" not in name.split("/")


def _recorded_digest(path: Path) -> str:
    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return "unreadable"
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
