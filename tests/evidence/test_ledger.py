"""The ledger as a file: who may read it, what a crash leaves, and that one of many closers wins."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from challenge_cases import ASKED, NOW, OTHER_REPORT, REPORT, posed
from program import environment

from bench.errors import CannotMeasure, ChallengeRefused
from bench.evidence import envelope, ledger
from bench.evidence.challenge import Posed
from bench.evidence.keys import SigningKey

LATER = datetime(2026, 5, 3, tzinfo=UTC)

# Closes the nonce of argv for the report of argv once somebody has written to its stdin.
CLOSER = """
import sys
from datetime import UTC, datetime
from bench.errors import ChallengeRefused
from bench.evidence import ledger
print("ready", flush=True)
sys.stdin.readline()
try:
    print("won" if ledger.close(sys.argv[1], sys.argv[2], datetime.now(UTC)) else "before")
except ChallengeRefused:
    print("lost")
"""

# Dies in the middle of a transaction, with part of it in the file already.
DIES = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE challenges SET closed = '2026-05-02T00:00:00Z', report = 'x'")
connection.execute("CREATE TABLE much (data BLOB)")
for _ in range(100):
    connection.execute("INSERT INTO much VALUES (zeroblob(4000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's settings in a folder that is not there yet, with characters that a URI reads otherwise."""
    folder = tmp_path / "set tings?100%#1"
    monkeypatch.setenv("BENCH_HOME", str(folder))
    return folder


@pytest.fixture
def first(key: SigningKey) -> Posed:
    return posed(ASKED, key)


@pytest.fixture
def second(key: SigningKey) -> Posed:
    return posed(replace(ASKED, nonce="cd" * 32, vendor=None, device=None), key)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def changed(sql: str) -> None:
    """Somebody else writes to the ledger."""
    with closing(sqlite3.connect(ledger.path(), isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(sql)


# ------------------------------------------------------------------------------- entered, and found


def test_where_there_is_no_ledger_nothing_was_issued_and_nothing_is_made(home: Path) -> None:
    assert ledger.entries() == ()
    assert ledger.find(ASKED.nonce) is None
    ledger.mend()
    with pytest.raises(ChallengeRefused, match="was issued here"):
        ledger.close(ASKED.nonce, REPORT, NOW)
    assert not home.exists()


def test_what_was_recorded_is_found_in_its_order(first: Posed, second: Posed) -> None:
    ledger.record(second)
    ledger.record(first)
    assert [entry.nonce for entry in ledger.entries()] == ["cd" * 32, "ab" * 32]
    assert ledger.entries()[0].device is None
    assert ledger.find(ASKED.nonce) == ledger.Entry(
        nonce=ASKED.nonce,
        digest=first.digest,
        number=first.number,
        auditor=ASKED.auditor,
        vendor=ASKED.vendor,
        device=ASKED.device,
        issued=ASKED.issued,
        expires=ASKED.expires,
        closed=None,
        report=None,
        envelope=envelope.to_json(first.envelope),
    )
    assert ledger.posed(ledger.entries()[1]) == first
    assert ledger.find("ef" * 32) is None


def test_a_nonce_is_recorded_once(first: Posed) -> None:
    ledger.record(first)
    with pytest.raises(ChallengeRefused, match="stands in the ledger already"):
        ledger.record(first)
    assert len(ledger.entries()) == 1


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_nobody_else_may_read_the_ledger(home: Path, first: Posed) -> None:
    before = os.umask(0)
    try:
        ledger.record(first)
    finally:
        os.umask(before)
    assert stat.S_IMODE(ledger.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert names(home) == ["ledger.sqlite"]


def test_reading_writes_nothing(home: Path, first: Posed) -> None:
    ledger.record(first)
    before = ledger.path().read_bytes(), ledger.path().stat().st_mtime_ns
    ledger.entries()
    ledger.find(ASKED.nonce)
    assert (ledger.path().read_bytes(), ledger.path().stat().st_mtime_ns) == before
    assert names(home) == ["ledger.sqlite"]


def test_an_empty_file_is_an_empty_ledger_that_can_be_written(home: Path, first: Posed) -> None:
    home.mkdir()
    ledger.path().touch(mode=0o600)
    assert ledger.entries() == ()
    ledger.record(first)
    assert len(ledger.entries()) == 1


# -------------------------------------------------------------------------------------- used up


def test_a_challenge_is_used_up_by_one_report_only(first: Posed, second: Posed) -> None:
    ledger.record(first)
    ledger.record(second)
    assert ledger.close(ASKED.nonce, REPORT, NOW) is True
    entry = ledger.find(ASKED.nonce)
    assert entry is not None
    assert (entry.closed, entry.report) == ("2026-05-02T12:00:00Z", REPORT)
    with pytest.raises(
        ChallengeRefused, match=f"challenge {first.number} was used up by report 555555555555"
    ):
        ledger.close(ASKED.nonce, OTHER_REPORT, LATER)
    assert ledger.close(ASKED.nonce, REPORT, LATER) is False
    assert ledger.find(ASKED.nonce) == entry
    other = ledger.find("cd" * 32)
    assert other is not None
    assert (other.closed, other.report) == (None, None)


def test_a_nonce_that_nobody_issued_here_is_not_closed(first: Posed) -> None:
    ledger.record(first)
    with pytest.raises(ChallengeRefused, match=r"no challenge with the nonce efefefefefef\.\.\. was issued"):
        ledger.close("ef" * 32, REPORT, NOW)
    assert len(ledger.entries()) == 1


def test_of_many_processes_that_close_one_challenge_exactly_one_wins(home: Path, first: Posed) -> None:
    ledger.record(first)
    reports = [f"{number:064x}" for number in range(6)]
    closers = [
        subprocess.Popen(
            [sys.executable, "-c", CLOSER, ASKED.nonce, report],
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for report in reports
    ]
    for closer in closers:
        assert closer.stdout is not None
        assert closer.stdout.readline() == "ready\n"
    for closer in closers:
        assert closer.stdin is not None
        closer.stdin.write("go\n")
        closer.stdin.flush()
    said = [closer.communicate(timeout=60)[0].strip() for closer in closers]
    assert sorted(said) == ["lost"] * 5 + ["won"]
    entry = ledger.find(ASKED.nonce)
    assert entry is not None
    assert entry.report == reports[said.index("won")]


# -------------------------------------------------------------------------------- broken, and locked


def refused(words: str) -> None:
    """Every use of the ledger is refused in one line: none takes a broken one for an empty one."""
    uses = (
        ledger.entries,
        lambda: ledger.find(ASKED.nonce),
        lambda: ledger.close(ASKED.nonce, REPORT, NOW),
    )
    for use in uses:
        with pytest.raises(CannotMeasure, match=words) as caught:
            use()
        assert str(ledger.path()) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_no_ledger_is_damaged_and_not_empty(home: Path, first: Posed) -> None:
    home.mkdir()
    ledger.path().write_bytes(b"no ledger " * 1000)
    refused("it is damaged .*Put back a copy; without one, used nonces would be open again")
    with pytest.raises(CannotMeasure, match="damaged"):
        ledger.record(first)


def test_a_ledger_that_was_cut_short_is_damaged(first: Posed) -> None:
    ledger.record(first)
    data = ledger.path().read_bytes()
    ledger.path().write_bytes(data[: len(data) - 5000])
    refused("damaged")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE challenges SET envelope = CAST('{}' AS BLOB)",
        "UPDATE challenges SET envelope = 7",
        "UPDATE challenges SET closed = 'soon', report = 'x'",
        "UPDATE challenges SET closed = 7, report = 'x'",
    ],
)
def test_a_row_that_bench_did_not_write_is_damage(first: Posed, sql: str) -> None:
    ledger.record(first)
    changed(sql)
    refused("damaged")


def test_a_challenge_under_another_nonce_is_damage(first: Posed) -> None:
    ledger.record(first)
    changed(f"UPDATE challenges SET nonce = '{'cd' * 32}'")
    with pytest.raises(CannotMeasure, match="stands there under another nonce"):
        ledger.find("cd" * 32)


def test_a_ledger_of_a_newer_bench_is_left_alone(first: Posed) -> None:
    ledger.record(first)
    changed("PRAGMA user_version = 2")
    refused(r"written by a newer bench \(schema 2, this one knows 1\)")


def test_a_folder_in_its_place_is_told(home: Path) -> None:
    (home / "ledger.sqlite").mkdir(parents=True)
    refused("cannot use the ledger .*it is not a regular file")


def test_a_ledger_that_another_process_holds_is_told(first: Posed, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.record(first)
    monkeypatch.setattr(ledger, "_WAIT_S", 0.1)
    with closing(sqlite3.connect(ledger.path(), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused("another process has held it for .* Try again")
    assert len(ledger.entries()) == 1


@pytest.mark.skipif(os.name != "posix", reason="the process kills itself with SIGKILL")
def test_what_a_killed_process_left_half_written_is_never_read_and_can_be_mended(first: Posed) -> None:
    ledger.record(first)
    died = subprocess.run([sys.executable, "-c", DIES, ledger.path()], check=False)
    assert died.returncode == -signal.SIGKILL
    assert ledger.path().with_name("ledger.sqlite-journal").exists()
    with pytest.raises(CannotMeasure, match="bench challenge close FILE mends it"):
        ledger.find(ASKED.nonce)
    ledger.mend()
    entry = ledger.find(ASKED.nonce)
    assert entry is not None
    assert entry.report is None
