"""Files read within limits and written whole or not at all.

What the bytes mean is not known here. Nothing is ever opened that a path inside a file names.
"""

import contextlib
import os
import secrets
import stat
from pathlib import Path

from bench.errors import CannotMeasure, EvidenceInvalid, UsageError
from bench.evidence.strict_json import MAX_BYTES

# What is tried before the first measurement: a run's evidence has this order of magnitude.
_TRIAL_BYTES = 2**20
# Keys, trust stores and passphrases are a few lines.
_SMALL_BYTES = 2**20
_OUTPUT_HINT = "Give a file in a folder you may write: -o FILE"


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, hint: str = _OUTPUT_HINT) -> None:
    """`data` at `path`: all of it or what was there before, also when the power fails.

    `mode` is what the umask may only narrow. Raises CannotMeasure, saying what to do (`hint`), when it
    cannot be written; what is no regular file (a folder, `/dev/null`) is not replaced.
    """
    try:
        _refuse_special(path)
        temporary = path.parent / f".bench-{secrets.token_hex(8)}.tmp"
        write_new(temporary, data, mode)
        try:
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error, hint) from error


def write_new(path: Path, data: bytes, mode: int) -> None:
    """`data` in a file that did not exist; none is left when that fails. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def make_private_folders(folder: Path) -> None:
    """Every missing folder with 0700; Path.mkdir gives that to the last one only. Raises OSError."""
    if not folder.exists():
        make_private_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def check_writable(path: Path) -> None:
    """Tries the output path, before there is anything to lose: its folder is made, and a file of 1 MiB is
    written there and removed. Raises CannotMeasure with what to type."""
    try:
        _refuse_special(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = path.parent / f".bench-{secrets.token_hex(8)}.tmp"
        write_new(trial, bytes(_TRIAL_BYTES), 0o600)
        trial.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def read_limited(path: Path, limit: int = MAX_BYTES) -> bytes:
    """An evidence file's bytes, at most `limit` of them.

    Raises UsageError when it cannot be opened, and EvidenceInvalid (step 0) when it is larger, which is
    found without reading it, or no regular file.
    """
    try:
        return _read_regular(path, limit)
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise EvidenceInvalid(f"{path} is no evidence file: {error}.", step=0) from error


def read_small(path: Path, *, missing: bytes | None = None, limit: int = _SMALL_BYTES) -> bytes:
    """The bytes of a file that somebody wrote: a key, a trust store, a passphrase, a case.

    `missing` stands in for a file that is not there. At most `limit` bytes are read.

    Raises UsageError.
    """
    try:
        return _read_regular(path, limit)
    except OSError as error:
        if missing is not None and isinstance(error, FileNotFoundError):
            return missing
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise UsageError(f"{path} cannot be used: {error}.") from error


def _read_regular(path: Path, limit: int) -> bytes:
    """Raises OSError when it cannot be opened, and ValueError when it is too large or no regular file."""
    # Without O_NONBLOCK opening a FIFO would wait for a writer for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = b"" if status.st_size > limit else file.read(limit + 1)
    finally:
        os.close(descriptor)
    if max(status.st_size, len(data)) > limit:
        raise ValueError(f"it has {max(status.st_size, len(data))} bytes, at most {limit} are read")
    return data


def _sync_folder(folder: Path) -> None:
    # The new name is on disk only when the folder is. Windows cannot open a folder, and needs no such step.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refuse_special(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise CannotMeasure(
            f"cannot write {path}: it is a folder. Give a file in it: -o {path / 'run.evidence.json'}"
        )
    if not stat.S_ISREG(mode):
        raise CannotMeasure(f"cannot write {path}: it is not a regular file. Give another: -o FILE")


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot read {path}: {_why(error)}. Give a file that exists and that you may read.")


def _unwritable(path: Path, error: OSError, hint: str = _OUTPUT_HINT) -> CannotMeasure:
    return CannotMeasure(f"cannot write {path}: {_why(error)}. {hint}")


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
