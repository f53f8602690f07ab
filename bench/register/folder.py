"""The files of evidence in a folder, and what tells that one of them is another than before."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bench
from bench.errors import UsageError
from bench.evidence.timestamp import path_of

SUFFIX = ".evidence.json"
_STAMPED = path_of(Path(SUFFIX)).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The identity of each file by its path below the folder, and the folders that could not be read."""

    files: Mapping[str, str]
    unread: tuple[str, ...]


def look(folder: Path) -> Found:
    """Every `*.evidence.json` below `folder`, at any depth; links to folders are not followed.

    The identity changes with the file, with the time stamp beside it, and with the version of bench that
    reads it: size, times of change of content and of inode, inode. Raises UsageError when there is no such
    folder.
    """
    files: dict[str, str] = {}
    unread: list[str] = []
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        try:
            with os.scandir(folder / inner) as entries:
                waiting += _entered(inner, {entry.name: entry for entry in entries}, files)
        except OSError as error:
            if not inner:
                raise UsageError(
                    f"cannot read the folder {folder}: {(error.strerror or str(error)).lower()}. "
                    "Give the one that holds the evidence: --folder DIR."
                ) from error
            # A folder that has gone since its name was read holds nothing.
            if not isinstance(error, FileNotFoundError):
                unread.append(f"{inner}: {(error.strerror or str(error)).lower()}")
    return Found(files=files, unread=tuple(unread))


def _entered(inner: str, entries: Mapping[str, "os.DirEntry[str]"], files: dict[str, str]) -> list[str]:
    """Enter the files of one folder, and return the folders in it."""
    folders = []
    for name, entry in entries.items():
        if entry.is_dir(follow_symlinks=False):
            folders.append(f"{inner}{name}{os.sep}")
        elif name.endswith(SUFFIX):
            stamp = entries.get(name.removesuffix(SUFFIX) + _STAMPED)
            known = f"{bench.__version__} {_identity(entry)} {_identity(stamp) if stamp else ''}"
            files[f"{inner}{name}"] = known
    return folders


def _identity(entry: "os.DirEntry[str]") -> str:
    try:
        status = entry.stat()
    except OSError as error:
        return str(error.errno)
    # The time of the inode's change is not to be set at will, as that of the content is.
    return (
        f"{stat.S_IFMT(status.st_mode)} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} "
        f"{status.st_ino}"
    )
