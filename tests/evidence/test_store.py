import os
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.errors import CannotMeasure, EvidenceInvalid, UsageError
from bench.evidence.store import check_writable, read_limited, read_small, write_atomic


@pytest.fixture
def small_files() -> Iterator[None]:
    """A file larger than 64 KiB cannot be written, as on a full disk."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(tmp_path) == ["run.json"]


@pytest.mark.usefixtures("small_files")
def test_what_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, b"one")
    with pytest.raises(CannotMeasure, match=r"file too large.*-o FILE"):
        write_atomic(path, bytes(2**17))
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["run.json"]


def test_a_rename_that_fails_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_path: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "run.json", b"one")
    assert names(tmp_path) == []


def test_data_is_on_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("sync"), sync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1])
    write_atomic(tmp_path / "run.json", b"one")
    assert events == ["sync", "rename", "sync"]


@pytest.mark.parametrize("act", [lambda path: write_atomic(path, b"x"), check_writable])
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, act: object) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/null")
    for path, reason in [
        (tmp_path, "it is a folder"),
        (tmp_path / "fifo", "not a regular file"),
        (tmp_path / "link", "not a regular file"),
        (Path("/dev/null"), "not a regular file"),
    ]:
        with pytest.raises(CannotMeasure, match=reason):
            act(path)  # type: ignore[operator]
    assert not Path("/dev/null").is_file()
    assert names(tmp_path) == ["fifo", "link"]


def test_trying_the_output_makes_its_folder_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    check_writable(tmp_path / "results" / "deep" / "run.json")
    assert names(tmp_path / "results" / "deep") == []


def test_trying_the_output_leaves_an_earlier_file_alone(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(b"one")
    check_writable(tmp_path / "run.json")
    assert (tmp_path / "run.json").read_bytes() == b"one"


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotMeasure, match="-o FILE"):
        check_writable(tmp_path / "file" / "run.json")


def test_an_output_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(CannotMeasure, match=r"cannot write /proc/run.json: .*-o FILE"):
        check_writable(Path("/proc/run.json"))


def test_an_output_with_too_long_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasure, match="too long"):
        check_writable(tmp_path / ("x" * 300))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_found_before_measuring(tmp_path: Path) -> None:
    with pytest.raises(CannotMeasure, match="file too large"):
        check_writable(tmp_path / "run.json")
    assert names(tmp_path) == []


# ---------------------------------------------------------------------------------------- reading


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert read_limited(tmp_path / "f", 5) == b"12345"


def test_a_file_of_300_mb_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(300 * 10**6)
    tracemalloc.start()
    try:
        with pytest.raises(EvidenceInvalid, match="it has 300000000 bytes, at most 67108864") as caught:
            read_limited(tmp_path / "huge")
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()
    assert caught.value.step == 0


def test_a_file_that_hides_its_size_is_read_up_to_the_limit() -> None:
    with pytest.raises(EvidenceInvalid, match="at most 5 are read"):
        read_limited(Path("/proc/self/status"), 5)


def test_folders_fifos_and_devices_are_no_evidence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(EvidenceInvalid, match="not a regular file") as caught:
            read_limited(path)
        assert caught.value.step == 0


@pytest.mark.parametrize("name", ["missing", "file/below", "loop", "x" * 300])
def test_a_path_that_cannot_be_opened_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="cannot read"):
        read_limited(tmp_path / name)


def test_a_small_file_that_is_not_there_may_have_a_stand_in(tmp_path: Path) -> None:
    assert read_small(tmp_path / "none", missing=b"") == b""
    with pytest.raises(UsageError, match="cannot read"):
        read_small(tmp_path / "none")
    with pytest.raises(UsageError, match="not a regular file"):
        read_small(tmp_path, missing=b"")
