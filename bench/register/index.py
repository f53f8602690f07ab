"""What is known of the files in a folder, kept in SQLite: a cache, the files stay the truth.

It lies with this user's keys and not in the folder: whoever sends a folder of evidence could put an index
into it that calls everything verified. Lost, damaged or written by another version, it is made anew.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.errors import CannotMeasure
from bench.evidence.keys import home
from bench.evidence.store import make_private_folders
from bench.report.results import Line, Outcome, Row

# Written into the file's header: whose file it is, and the version of what stands in it. A file of
# another version is not read but made anew.
_APPLICATION = 0x62656E63
_VERSION = 1
_SCHEMA = """
CREATE TABLE files (
    path BLOB PRIMARY KEY NOT NULL,
    identity TEXT NOT NULL,
    said TEXT NOT NULL,
    outcome TEXT
) WITHOUT ROWID
"""
# To write takes milliseconds; whoever waits longer waits for a process that hangs.
_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of the file with this identity: its own words, and how verifying it ended."""

    identity: str
    said: Row
    outcome: Outcome | None

    def outcome_by(self, by: str) -> Outcome | None:
        """How verifying ended, if what was gone by is the same."""
        return self.outcome if self.outcome is not None and self.outcome.by == by else None


class Index:
    """The entries by their paths below the folder. `instead` says why they are kept in memory only."""

    def __init__(self, connection: sqlite3.Connection, instead: str | None) -> None:
        self._connection = connection
        self.instead = instead
        self._entries = _prepared(connection)

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    def keep(self, paths: Iterable[str]) -> None:
        """Forget every file but these."""
        gone = self._entries.keys() - {*paths}
        if gone:
            with self._writing():
                self._connection.executemany(
                    "DELETE FROM files WHERE path = ?", [(os.fsencode(path),) for path in gone]
                )
            for path in gone:
                del self._entries[path]

    def enter(self, rows: Iterable[tuple[str, str, Row]]) -> None:
        """Files that were read, each with the identity that it had before."""
        rows = list(rows)
        with self._writing():
            self._connection.executemany(
                "REPLACE INTO files (path, identity, said) VALUES (?, ?, ?)",
                [(os.fsencode(path), identity, _spelled(row)) for path, identity, row in rows],
            )
        for path, identity, row in rows:
            self._entries[path] = Entry(identity=identity, said=row, outcome=None)

    def record(self, outcomes: Iterable[tuple[str, Outcome]]) -> None:
        """How verifying files ended that were entered."""
        outcomes = [(path, self._shortened(path, outcome)) for path, outcome in outcomes]
        with self._writing():
            # Another process may have entered a changed file meanwhile: this is not about that one.
            self._connection.executemany(
                "UPDATE files SET outcome = ? WHERE path = ? AND identity = ?",
                [
                    (_spelled(found), os.fsencode(path), self._entries[path].identity)
                    for path, found in outcomes
                ],
            )
        for path, found in outcomes:
            self._entries[path] = replace(self._entries[path], outcome=found)

    def lines(self, by: str) -> list[Line]:
        """A line for each file; verified is what was, going by the same."""
        return [
            Line(path=path, said=entry.said, outcome=entry.outcome_by(by))
            for path, entry in self._entries.items()
        ]

    def close(self) -> None:
        self._connection.close()

    def _shortened(self, path: str, outcome: Outcome) -> Outcome:
        """Most files are verified to be what they say, which needs to be kept once."""
        return replace(outcome, row=None) if outcome.row == self._entries[path].said else outcome

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.Error as error:
            raise CannotMeasure(
                f"cannot write the index of this folder: {error}. It holds nothing that is not in the files: "
                "remove it, or make room on its disk, and type the command again."
            ) from error


def path_for(folder: Path) -> Path:
    """Where this user's index of `folder` lies."""
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
    return home() / "indexes" / f"{name}.sqlite"


@contextmanager
def opened(folder: Path) -> Iterator[Index]:
    """This user's index of `folder`, made where there is none that can be read.

    Where none can be written it is one in memory.
    """
    index = _opened(path_for(folder))
    try:
        yield index
    finally:
        index.close()


def _opened(path: Path) -> Index:
    try:
        make_private_folders(path.parent)
        # SQLite would make it readable for others.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o600))
        try:
            return _connected(str(path))
        except (_NotOurs, sqlite3.DatabaseError) as error:
            if not _is_useless(error):
                raise
            for stale in (path, path.with_name(f"{path.name}-journal")):
                stale.unlink(missing_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            return _connected(str(path))
    except OSError as error:
        return _connected(":memory:", f"{path}: {(error.strerror or str(error)).lower()}")
    except sqlite3.Error as error:
        return _connected(":memory:", f"{path}: {error}")


class _NotOurs(Exception):
    """The file is a database, and not one that this version wrote."""


def _is_useless(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, _NotOurs) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connected(name: str, instead: str | None = None) -> Index:
    # Without an isolation level the module begins no transactions of its own.
    connection = sqlite3.connect(name, timeout=_WAIT_S, isolation_level=None)
    try:
        return Index(connection, instead)
    except BaseException:
        connection.close()
        raise


def _prepared(connection: sqlite3.Connection) -> dict[str, Entry]:
    """Everything that stands in the file, in which one can write afterwards."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        marks = [
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        ]
        if marks != [(_APPLICATION,), (_VERSION,)]:
            raise _NotOurs
        found = connection.execute("SELECT path, identity, said, outcome FROM files").fetchall()
    try:
        return {
            os.fsdecode(path): Entry(
                identity=identity,
                said=_row(json.loads(said)),
                outcome=None if outcome is None else _outcome(json.loads(outcome)),
            )
            for path, identity, said, outcome in found
        }
    except (TypeError, ValueError) as error:
        raise _NotOurs from error


def _spelled(value: Row | Outcome) -> str:
    return json.dumps(asdict(value), ensure_ascii=False)


def _row(fields: dict[str, Any]) -> Row:
    return Row(**{name: _frozen(value) for name, value in fields.items()})


def _outcome(fields: dict[str, Any]) -> Outcome:
    row = fields.pop("row")
    frozen = {name: _frozen(value) for name, value in fields.items()}
    return Outcome(**frozen, row=None if row is None else _row(row))


def _frozen(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return tuple([tuple(inner) if isinstance(inner, list) else inner for inner in value])
