"""An index brought up to date with its folder, and its files verified again; both can be interrupted.

What is done is written four times a second, so that whoever goes on later begins there.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.register import reading
from bench.register.folder import Found
from bench.register.index import Index
from bench.register.processes import over
from bench.register.reading import GoingBy

Done = TypeVar("Done")

# Files that a process reads between two messages; fewer than a process is worth.
_AT_A_TIME = 16
_KEEP_EVERY_S = 0.25


def unknown(index: Index, found: Found) -> list[str]:
    """The files that are new or changed since the index was written."""
    entries = index.entries
    return [
        path
        for path, identity in found.files.items()
        if path not in entries or entries[path].identity != identity
    ]


def refresh(index: Index, folder: Path, found: Found, jobs: int, done: Callable[[int], None]) -> None:
    """Read what is new or changed, forget what has gone. `done` is told how many were read so far."""
    index.keep(found.files)
    new = unknown(index, found)
    parts = [new[start : start + _AT_A_TIME] for start in range(0, len(new), _AT_A_TIME)]
    results = over(partial(reading.read_all, folder), parts, jobs)
    with closing(results):
        _kept(
            results,
            lambda rows: index.enter((path, found.files[path], row) for path, row in rows),
            done,
        )


def unsettled(index: Index, by: str) -> list[str]:
    """The files that were not verified by going by this; those that could not be opened are tried again."""
    outcomes = ((path, entry.outcome_by(by)) for path, entry in index.entries.items())
    return [path for path, outcome in outcomes if outcome is None or outcome.state == "unreadable"]


def reverify(
    index: Index,
    folder: Path,
    paths: Sequence[str],
    by: GoingBy,
    jobs: int,
    done: Callable[[int], None],
) -> None:
    """Verify these files. `done` is told how many were verified so far."""
    work = partial(reading.verify_all, folder, by)
    results = over(work, [[path] for path in paths], jobs)
    with closing(results):
        _kept(results, index.record, done)


def _kept(
    results: Iterable[list[Done]], keep: Callable[[list[Done]], None], done: Callable[[int], None]
) -> None:
    """Keep results four times a second, and at the end, whatever ends it."""
    waiting: list[Done] = []
    count, kept_s = 0, time.monotonic()
    try:
        for part in results:
            waiting += part
            count += len(part)
            if time.monotonic() - kept_s > _KEEP_EVERY_S:
                keep(waiting)
                waiting, kept_s = [], time.monotonic()
            done(count)
    finally:
        keep(waiting)
