"""Reading the one-value files of /proc and /sys: the value and where it stood, or the reason why not.

Everything is read below a `root`, so that the recorded tree of another machine reads like this one.
A file that is not there, may not be read or holds nothing gives a reason code, never 0 and never "".
"""

from collections.abc import Callable
from pathlib import Path

from bench.terms import Fact, Scalar

HERE = Path("/")


def read(root: Path, path: str) -> str:
    """The text of a file without the blanks and NULs around it; raises OSError as the kernel says it."""
    return (root / path.lstrip("/")).read_text(errors="replace").strip(" \t\r\n\0")


def read_or_empty(root: Path, path: str) -> str:
    """For files whose absence only means that there is nothing to add."""
    try:
        return read(root, path)
    except OSError:
        return ""


def fact(name: str, root: Path, path: str, parse: Callable[[str], Scalar] = str) -> Fact:
    """What one file says. `parse` raises ValueError for a text that does not say it."""
    try:
        text = read(root, path)
    except FileNotFoundError:
        return absent(name, path, "no-file")
    except PermissionError:
        return absent(name, path, "not-permitted")
    except OSError:
        return absent(name, path, "not-readable")
    if not text:
        return absent(name, path, "empty")
    try:
        return Fact(name=name, value=parse(text), source=path)
    except ValueError:
        return absent(name, path, "not-understood")


def absent(name: str, source: str, reason: str) -> Fact:
    return Fact(name=name, value=None, source=source, reason=reason)


def index_list(text: str) -> frozenset[int]:
    """The kernel's list format: `"0-3,8"` -> {0, 1, 2, 3, 8}; raises ValueError."""
    spans = (part.partition("-") for part in text.split(",") if part)
    return frozenset(i for first, _, last in spans for i in range(int(first), int(last or first) + 1))
