"""The index of a folder: a cache that is made again whenever it does not serve."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders import evidence

from bench.errors import CannotMeasure, UsageError
from bench.evidence import envelope, keys, statement, trust
from bench.judge import catalog
from bench.register import folder as files
from bench.register import index as indexes
from bench.register import processes, reading, upkeep
from bench.register.index import Index, opened, path_for
from bench.register.reading import GoingBy
from bench.report.results import Outcome, Row

BY = "a digest"
OUTCOME = Outcome(at="2026-05-01T00:00:00Z", by=BY, state="verified", signers=("self",))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's settings in a folder that is not there yet, with characters that a URI reads otherwise."""
    folder = tmp_path / "set tings?100%#1"
    monkeypatch.setenv("BENCH_HOME", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of evidence, one of them below."""
    place = tmp_path / "results"
    (place / "below").mkdir(parents=True)
    key = keys.new(tmp_path / "key", None)
    for number, name in enumerate(("a", "b", "below/c")):
        made = replace(evidence(), created=f"2026-01-0{number + 1}T00:00:00Z")
        signed = envelope.sign(statement.build(made), envelope.PAYLOAD_TYPE, [key])
        (place / f"{name}.evidence.json").write_bytes(envelope.to_json(signed))
    return place


def quiet(_done: int) -> None: ...


def refreshed(folder: Path, index: Index) -> list[str]:
    """Bring the index up to date; the files that had to be read for it."""
    found = files.look(folder)
    new = upkeep.unknown(index, found)
    upkeep.refresh(index, folder, found, 1, quiet)
    return sorted(new)


def indexed(folder: Path) -> list[str]:
    """The same with the index in its file, as a command does."""
    with opened(folder) as index:
        assert index.instead is None
        return refreshed(folder, index)


def known(folder: Path) -> dict[str, Row]:
    with opened(folder) as index:
        return {path: entry.said for path, entry in index.entries.items()}


ALL = ["a.evidence.json", "b.evidence.json", "below/c.evidence.json"]


def test_each_file_is_read_once_and_kept_with_its_words(folder: Path) -> None:
    assert indexed(folder) == ALL
    assert indexed(folder) == []
    row = known(folder)["below/c.evidence.json"]
    assert (row.kind, row.created, row.mode, row.assurance) == ("run", "2026-01-03T00:00:00Z", "quick", "A0")
    assert row.devices == (("cpu", "A 處理器"),)
    assert row.figures == (("fp32", 2e12),)
    assert row.answers == (("inference-server", "smoke-test"),)
    assert row.words == ("smoke-test", "stated-only")
    made = evidence()
    assert made.case is not None
    assert row.case == made.case.number


def test_the_index_is_readable_for_this_user_only_and_nothing_is_put_into_the_folder(
    folder: Path, home: Path
) -> None:
    before = sorted(folder.rglob("*"))
    indexed(folder)
    assert sorted(folder.rglob("*")) == before
    assert path_for(folder).is_relative_to(home)
    assert stat.S_IMODE(path_for(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(path_for(folder).parent.stat().st_mode) == 0o700


def test_a_folder_by_another_path_has_the_same_index(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(folder)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert indexed(tmp_path / "link") == indexed(Path("results")) == []


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def rewritten_with_its_times(path: Path) -> None:
    """The same size, inode and time of change: what only the inode's own time tells."""
    status, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-2] + b" \n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def stamped(path: Path) -> None:
    path.with_name(path.name + ".tsr").write_bytes(b"a time stamp")


@pytest.mark.parametrize("change", [grown, rewritten_with_its_times, replaced, stamped])
def test_a_file_that_changed_is_read_again_and_no_longer_verified(
    folder: Path, change: Callable[[Path], None]
) -> None:
    with opened(folder) as index:
        refreshed(folder, index)
        index.record((path, OUTCOME) for path in ALL)
        assert upkeep.unsettled(index, BY) == []
        change(folder / "a.evidence.json")
        assert refreshed(folder, index) == ["a.evidence.json"]
        assert upkeep.unsettled(index, BY) == ["a.evidence.json"]
    with opened(folder) as index:
        assert upkeep.unsettled(index, BY) == ["a.evidence.json"]


def test_another_version_of_bench_reads_everything_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(folder)
    monkeypatch.setattr("bench.__version__", "99")
    assert indexed(folder) == ALL


def test_files_that_went_are_forgotten(folder: Path) -> None:
    indexed(folder)
    (folder / "a.evidence.json").unlink()
    assert indexed(folder) == []
    assert sorted(known(folder)) == ALL[1:]


# ------------------------------------------------------------------------------------- the file itself


def noise(path: Path) -> None:
    path.write_bytes(b"not a database at all, and long enough to be taken for one" * 100)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE files (path, identity, said, outcome)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 1000")


def other_rows(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("""UPDATE files SET said = '{"flavour": "sweet"}'""")


def no_json(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE files SET said = x'00ff'")


@pytest.mark.parametrize("spoil", [Path.unlink, noise, cut, empty, foreign, newer, other_rows, no_json])
def test_an_index_that_is_lost_damaged_or_not_ours_is_made_again(
    folder: Path, spoil: Callable[[Path], None]
) -> None:
    indexed(folder)
    before = known(folder)
    spoil(path_for(folder))
    assert indexed(folder) == ALL
    assert known(folder) == before
    assert indexed(folder) == []


def test_where_no_index_can_be_written_it_is_kept_in_memory_and_says_why(folder: Path) -> None:
    path_for(folder).mkdir(parents=True)
    with opened(folder) as index:
        assert index.instead is not None
        assert "is a directory" in index.instead
        assert refreshed(folder, index) == ALL
        assert sorted(index.entries) == ALL


def test_what_was_written_by_a_process_that_was_killed_in_the_middle_is_undone(folder: Path) -> None:
    indexed(folder)
    dies = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "connection.execute('DELETE FROM files')\n"
        "connection.execute('CREATE TABLE much (data BLOB)')\n"
        "for _ in range(100): connection.execute('INSERT INTO much VALUES (zeroblob(4000))')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", dies, path_for(folder)], check=False)
    assert done.returncode == -9
    assert sorted(known(folder)) == ALL


def test_writing_beside_another_process_that_holds_the_index_is_refused_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "_WAIT_S", 0.05)
    with opened(folder) as index:
        refreshed(folder, index)
        with closing(sqlite3.connect(path_for(folder), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(
                CannotMeasure, match="cannot write the index of this folder: database is locked"
            ):
                index.record([("a.evidence.json", OUTCOME)])
            with opened(folder) as second:
                assert second.instead is not None
                assert "locked" in second.instead


def test_an_outcome_is_not_entered_for_a_file_that_another_process_has_read_anew(folder: Path) -> None:
    with opened(folder) as slow:
        refreshed(folder, slow)
        grown(folder / "a.evidence.json")
        indexed(folder)
        slow.record([("a.evidence.json", OUTCOME)])
    with opened(folder) as index:
        assert index.entries["a.evidence.json"].outcome is None


# -------------------------------------------------------------------------------- what is looked through


def test_links_that_go_round_and_files_of_other_names_are_passed_over(folder: Path) -> None:
    (folder / "below" / "round").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "notes.json").write_text("{}")
    (folder / "folder.evidence.json").mkdir()
    (folder / "link.evidence.json").symlink_to(folder / "a.evidence.json")
    assert sorted(files.look(folder).files) == sorted([*ALL, "link.evidence.json"])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("{"), "this is not JSON"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.write_bytes(b"[" * 10**6), "not JSON that can be accepted"),
    ],
)
def test_what_is_no_evidence_is_a_row_with_the_reason(
    folder: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(folder / "odd.evidence.json")
    indexed(folder)
    row = known(folder)["odd.evidence.json"]
    assert row.kind == "unknown"
    assert reason in row.reason
    assert indexed(folder) == []


def test_a_name_that_is_no_text_is_kept_as_it_is(folder: Path) -> None:
    name = os.fsdecode(b"\xff\x1b[2J.evidence.json")
    (folder / "a.evidence.json").rename(folder / name)
    indexed(folder)
    assert indexed(folder) == []
    with opened(folder) as index:
        (line,) = [line for line in index.lines(BY) if line.path == name]
        assert line.file == ".evidence.json"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the folder .*no such file.*--folder DIR"):
        files.look(tmp_path / "nowhere")


def test_a_file_that_went_between_looking_and_reading_is_told_and_then_forgotten(folder: Path) -> None:
    with opened(folder) as index:
        found = files.look(folder)
        (folder / "a.evidence.json").unlink()
        upkeep.refresh(index, folder, found, 1, quiet)
        assert "no such file" in index.entries["a.evidence.json"].said.reason
        refreshed(folder, index)
        assert sorted(index.entries) == ALL[1:]


# ---------------------------------------------------------------------------------- what is gone by


NOW = datetime(2026, 6, 1, tzinfo=UTC)


def digest(now: datetime = NOW, rules: str | None = None) -> str:
    by = GoingBy(trust_file=None, revoked=None, tsa_roots=None, rules=rules, now=now)
    return reading.digest(by.request())


def test_the_digest_changes_with_what_a_verifier_goes_by_and_with_nothing_else(tmp_path: Path) -> None:
    first, second = (keys.new(tmp_path / name, None).public for name in ("first", "second"))
    seen = [digest()]
    end = datetime(2026, 7, 1, tzinfo=UTC)
    trust.add(keys.trust_path(), "first", first)
    seen.append(digest())
    trust.add(keys.trust_path(), "second", second, valid_before=end)
    seen.append(digest())
    assert digest(NOW.replace(day=2)) == seen[-1]
    seen.append(digest(end.replace(day=2)))
    trust.revoke(keys.revoked_path(), first)
    seen.append(digest())
    rules = tmp_path / "rules.toml"
    rules.write_bytes(catalog.shipped("rules")["tw-ai-hardware-2024"])
    seen.append(digest(rules=str(rules)))
    assert len({*seen}) == len(seen)
    assert digest() == seen[-2]


# ------------------------------------------------------------------------------------ many processes


def test_work_is_spread_over_processes_and_each_part_is_done_once() -> None:
    parts = list(range(20))
    assert sorted(processes.over(abs, parts, 2)) == parts
    assert list(processes.over(abs, parts, 1)) == parts
    assert list(processes.over(abs, [], 2)) == []


def test_a_process_that_the_system_ends_is_told_in_a_line() -> None:
    with pytest.raises(CannotMeasure, match="--jobs 1"):
        list(processes.over(os._exit, [1, 1], 2))


def test_a_worker_gets_no_interrupt_of_the_terminal() -> None:
    masks = list(processes.over(_mask, [0, 0], 2))
    assert all("SIGINT" in mask for mask in masks)


def _mask(_part: int) -> list[str]:
    return [number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, []) if number < 32]
