"""The auditor's ledger: which challenges were issued, and which report used each one up.

One file of SQLite beside the keys. Reading it writes nothing, not even a file that was not there; a ledger
that cannot be read is an error and never an empty one, as that would open used nonces again.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.errors import CannotMeasure, ChallengeRefused, EvidenceInvalid
from bench.evidence import answer, challenge, envelope
from bench.evidence.challenge import Posed
from bench.evidence.keys import home
from bench.evidence.store import make_private_folders

# History of the schema; `user_version` of the file. 0 is a file in which nothing was written yet.
# 1  a row for each challenge; what else is known of it is read from its envelope.
_VERSION = 1
_SCHEMA = """
CREATE TABLE challenges (
    nonce TEXT PRIMARY KEY NOT NULL,
    envelope BLOB NOT NULL,
    closed TEXT,
    report TEXT,
    CHECK ((closed IS NULL) = (report IS NULL))
)
"""

Row = tuple[object, object, object, object]

# To write takes milliseconds; whoever waits longer waits for a process that hangs.
_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A challenge that was issued here. `closed` and `report` (SHA-256 of its payload): who used it up."""

    nonce: str
    digest: str
    number: str
    auditor: str
    vendor: str | None
    device: str | None
    issued: str
    expires: str
    closed: str | None
    report: str | None
    envelope: bytes


def path() -> Path:
    """Where this user's ledger lies."""
    return home() / "ledger.sqlite"


def record(posed: Posed) -> None:
    """Enter a challenge that is handed out. Raises CannotMeasure when the ledger cannot be written, and
    ChallengeRefused when its nonce stands there already.
    """
    _make_file()
    try:
        with _writing() as connection:
            connection.execute(
                "INSERT INTO challenges (nonce, envelope) VALUES (?, ?)",
                (posed.challenge.nonce, envelope.to_json(posed.envelope)),
            )
    except sqlite3.IntegrityError as error:
        raise ChallengeRefused(
            f"the nonce of challenge {posed.number} stands in the ledger already: {path()}."
        ) from error


def entries() -> tuple[Entry, ...]:
    """Every challenge in the order in which they were issued. Raises CannotMeasure for a broken ledger."""
    return tuple(_entry(*row) for row in _rows("ORDER BY rowid"))


def find(nonce: str) -> Entry | None:
    """The challenge with this nonce. Raises CannotMeasure for a broken ledger."""
    return next((_entry(*row) for row in _rows("WHERE nonce = ?", nonce)), None)


def close(nonce: str, report: str, now: datetime) -> bool:
    """Let `report` use the nonce up; False when it has done so before.

    Raises ChallengeRefused for a nonce that is not there or that another report used up. Of two processes
    that close it at the same time one wins.
    """
    if not _exists():
        raise unknown(nonce)
    with _writing() as connection:
        changed = connection.execute(
            "UPDATE challenges SET closed = ?, report = ? WHERE nonce = ? AND report IS NULL",
            (challenge.spelled(now), report, nonce),
        ).rowcount
        entry = next((_entry(*row) for row in _selected(connection, "WHERE nonce = ?", nonce)), None)
    if entry is None:
        raise unknown(nonce)
    if entry.report is not None and entry.report != report:
        raise answer.used_up(entry.number, entry.report, report)
    return bool(changed)


def mend() -> None:
    """Undo what a process that was stopped left half written, which no reader may."""
    if _exists():
        with _writing():
            pass


def unknown(nonce: str) -> ChallengeRefused:
    """The refusal of a report whose nonce nobody issued here."""
    return ChallengeRefused(
        f"no challenge with the nonce {nonce[:12]}... was issued here: the ledger {path()} does not hold it. "
        "Whoever issued the challenge closes it."
    )


def posed(entry: Entry) -> Posed:
    """The challenge of an entry, for which the auditor's own ledger stands instead of a signature."""
    return challenge.unchecked(entry.envelope, str(path()))


# ---------------------------------------------------------------------------------------- the file


def _exists() -> bool:
    try:
        mode = path().stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable((error.strerror or str(error)).lower()) from error
    if not stat.S_ISREG(mode):
        raise _unusable("it is not a regular file")  # to open a FIFO would wait for ever
    return True


def _rows(clause: str, *values: str) -> list[Row]:
    if not _exists():
        return []
    with _connected("ro") as connection:
        return _selected(connection, clause, *values) if _version(connection) else []


def _selected(connection: sqlite3.Connection, clause: str, *values: str) -> list[Row]:
    return connection.execute(
        f"SELECT nonce, envelope, closed, report FROM challenges {clause}", values
    ).fetchall()


def _entry(nonce: object, signed: object, closed: object, report: object) -> Entry:
    if not (isinstance(nonce, str) and isinstance(signed, bytes)):
        raise _damaged("a row of it is none of bench's")
    if not (isinstance(closed, str | None) and isinstance(report, str | None)):
        raise _damaged("a row of it is none of bench's")
    try:
        found = challenge.unchecked(signed, "its envelope")
        if closed is not None:
            challenge.moment(closed)
    except (EvidenceInvalid, ValueError) as error:
        raise _damaged(str(error)) from error
    asks = found.challenge
    if asks.nonce != nonce:
        raise _damaged(f"the challenge {found.number} stands there under another nonce")
    return Entry(
        nonce=nonce,
        digest=found.digest,
        number=found.number,
        auditor=asks.auditor,
        vendor=asks.vendor,
        device=asks.device,
        issued=asks.issued,
        expires=asks.expires,
        closed=closed,
        report=report,
        envelope=signed,
    )


def _make_file() -> None:
    """SQLite would make it readable for others."""
    if _exists():
        return
    try:
        make_private_folders(path().parent)
        with suppress(FileExistsError):
            os.close(os.open(path(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise _unusable(
            f"{(error.strerror or str(error)).lower()}. Set BENCH_HOME=FOLDER to one you may write"
        ) from error


@contextmanager
def _writing() -> Iterator[sqlite3.Connection]:
    """One transaction, in which nobody else writes; what raises inside it undoes it."""
    with _connected("rw") as connection:
        # The default may lose the last transaction when the power fails, and with it that a nonce was used.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("BEGIN IMMEDIATE")
        if not _version(connection):
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        yield connection
        connection.execute("COMMIT")


@contextmanager
def _connected(mode: str) -> Iterator[sqlite3.Connection]:
    """The file as it is: it is never made here."""
    uri = f"{path().absolute().as_uri()}?mode={mode}"
    try:
        # Without an isolation level the module begins and ends no transactions of its own.
        with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S, isolation_level=None)) as connection:
            yield connection
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise _sqlite_failed(error) from error


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise _unusable(f"it was written by a newer bench (schema {version}, this one knows {_VERSION})")
    return int(version)


def _sqlite_failed(error: sqlite3.Error) -> CannotMeasure:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _unusable(f"another process has held it for {_WAIT_S:g} s. Try again")
    if code == sqlite3.SQLITE_READONLY and (path().parent / f"{path().name}-journal").exists():
        return _unusable("a process was stopped while it wrote it. bench challenge close FILE mends it")
    return _unusable(str(error))


def _damaged(why: str) -> CannotMeasure:
    return _unusable(
        f"it is damaged ({why.rstrip('.')}). Put back a copy; without one, used nonces would be open again"
    )


def _unusable(why: str) -> CannotMeasure:
    return CannotMeasure(f"cannot use the ledger {path()}: {why}.")
