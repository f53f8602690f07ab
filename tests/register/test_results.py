"""`bench results` as its users meet it: a folder of real evidence listed, verified, exported, interrupted."""

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from builders import evidence
from forging import changed, sealed, set_at, write
from program import Answered, Made, Program, Said, environment, in_imports, one_line
from rich.cells import cell_len

from bench.evidence import envelope, keys, statement
from bench.register import folder as files
from bench.register import index as indexes
from bench.report.results import CSV_COLUMNS, Line, Row, aligned, to_csv

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202e=1+1\nforged"


def dated(made: Made, day: int) -> bytes:
    """The real run with another date, signed again: as valid as it was."""
    return changed(made, set_at("created", to=f"2026-01-{day:02d}T00:00:00Z"))


@pytest.fixture
def bench(made: Made, tmp_path: Path) -> Program:
    """The user who made the evidence, with an empty folder `results`."""
    shutil.copytree(made.bench.home, tmp_path / "home")
    (tmp_path / "results").mkdir()
    return Program(home=tmp_path / "home", folder=tmp_path)


@pytest.fixture
def results(bench: Program) -> Path:
    return bench.folder / "results"


@pytest.fixture
def three(made: Made, results: Path, tmp_path: Path) -> dict[str, Path]:
    """A valid file, one whose figures do not follow from it, and one by a stranger."""
    stranger = keys.new(tmp_path / "stranger", None)
    forged = changed(made, set_at("figures", 0, "estimate", "value", to=lambda value: value * 1.001))
    return {
        "valid": write(results, "valid", dated(made, 3)),
        "forged": write(results, "forged", forged),
        "strange": write(results, "strange", sealed(made.payload, stranger)),
    }


def listed(bench: Program, *words: str) -> list[Any]:
    said = bench("results", "list", "--json", *words)
    assert said.code == 0, said.err
    rows: list[Any] = said.json
    return rows


def states(bench: Program, *words: str) -> dict[str, str]:
    return {row["file"].partition(".")[0]: row["state"] for row in listed(bench, *words)}


# ------------------------------------------------------------------------------------ list and verify


def test_what_was_not_verified_is_marked_and_verifying_says_what_is_true(
    bench: Program, three: dict[str, Path]
) -> None:
    assert states(bench) == dict.fromkeys(three, "unverified")
    said = bench("results", "list")
    assert said.out.count("not verified") == 3
    assert "shown by their own words. To check: bench results verify" in said.err

    said = bench("results", "verify")
    assert said.code == 4
    assert said.out == "1 verified, 1 invalid, 1 not trusted, 0 cannot be read\n"
    first, second = said.err.splitlines()
    assert re.fullmatch("bench: forged.evidence.json: invalid, step 6: .*figures in the file.*", first)
    assert re.fullmatch("bench: strange.evidence.json: not trusted, step 2: .*trust store.*", second)
    assert states(bench) == {"valid": "verified", "forged": "invalid", "strange": "untrusted"}
    (row,) = listed(bench, "--state", "verified")
    assert row["signers"][0].startswith("self (SHA256:")
    assert (row["step"], row["reason"], row["assurance"]) == (None, None, "A0")

    three["forged"].unlink()
    assert bench("results", "verify").code == 5
    three["strange"].unlink()
    said = bench("results", "verify")
    assert (said.code, said.err) == (0, "")


def test_only_what_is_not_verified_yet_is_verified_and_all_of_it_when_asked(
    bench: Program, made: Made, results: Path
) -> None:
    write(results, "old", dated(made, 1))
    assert bench("results", "verify").code == 0
    (before,) = listed(bench)
    write(results, "new", dated(made, 2))
    time.sleep(1.1)  # times are kept to the second
    assert bench("results", "verify").code == 0
    after = {row["file"]: row["checkedAt"] for row in listed(bench)}
    assert after["old.evidence.json"] == before["checkedAt"] < after["new.evidence.json"]
    assert bench("results", "verify", "--again").code == 0
    assert all(row["checkedAt"] > before["checkedAt"] for row in listed(bench))


def test_another_trust_store_leaves_nothing_verified(bench: Program, three: dict[str, Path]) -> None:
    bench("results", "verify")
    empty = bench.folder / "nobody"
    empty.write_text("")
    assert states(bench, "--trust", "nobody") == dict.fromkeys(three, "unverified")
    said = bench("results", "verify", "--trust", "nobody")
    assert said.code == 5
    assert said.out == "0 verified, 0 invalid, 3 not trusted, 0 cannot be read\n"
    assert {*states(bench).values()} == {"unverified"}
    # A key that is revoked counts no more from then on, also in what was verified before.
    bench("results", "verify")
    assert states(bench)["valid"] == "verified"
    assert bench("key", "revoke", bench.home / "key.pub").code == 0
    assert states(bench)["valid"] == "unverified"
    bench("results", "verify")
    assert states(bench)["valid"] == "untrusted"


def test_a_file_that_is_changed_after_it_was_verified_is_not_called_verified(
    bench: Program, three: dict[str, Path]
) -> None:
    bench("results", "verify")
    data, status = three["valid"].read_bytes(), three["valid"].stat()
    # One digit of the payload, its size and its times as they were.
    three["valid"].write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    os.utime(three["valid"], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert states(bench)["valid"] in ("unverified", "unreadable")


def test_an_index_in_the_folder_is_not_believed(bench: Program, three: dict[str, Path]) -> None:
    """Whoever sends evidence may send a file that calls it verified."""
    bench("results", "verify")
    sender = indexes_of(bench)
    for name in ("index.sqlite", sender.name):
        shutil.copy(sender, bench.folder / "results" / name)
    auditor = Program(home=bench.folder / "auditor", folder=bench.folder)
    assert states(auditor) == dict.fromkeys(three, "unverified")


def indexes_of(bench: Program) -> Path:
    (path,) = (bench.home / "indexes").glob("*.sqlite")
    return path


def test_a_run_under_a_challenge_is_of_level_a0_where_nobody_held_it_against_the_challenge(
    answered: Answered, tmp_path: Path
) -> None:
    shutil.copytree(answered.vendor.home, tmp_path / "home")
    vendor = Program(home=tmp_path / "home", folder=tmp_path)
    (tmp_path / "results").mkdir()
    shutil.copy(answered.made.file, tmp_path / "results")
    assert listed(vendor, "--assurance", "A1")[0]["state"] == "unverified"
    assert vendor("results", "verify").code == 0
    assert listed(vendor, "--assurance", "A1") == []
    (row,) = listed(vendor, "--assurance", "A0")
    assert (row["assurance"], row["assuranceSaid"]) == ("A0", "A1")
    assert "A0, the file says A1" in vendor("results", "list").out


def test_folders_and_files_that_are_none_are_told(bench: Program, results: Path) -> None:
    said = bench("results", "list", "--folder", "nowhere")
    assert said.code == 2
    assert "cannot read the folder nowhere: no such file" in one_line(said.err)
    said = bench("results", "list")
    assert (said.code, said.out, said.err) == (0, "", "0 of 0 file(s)\n")
    assert bench("results", "verify").out == "0 verified, 0 invalid, 0 not trusted, 0 cannot be read\n"
    (results / "odd.evidence.json").write_text("[]")
    (results / "gone.evidence.json").symlink_to("nowhere")
    assert states(bench) == {"odd": "unreadable", "gone": "unreadable"}
    said = bench("results", "verify")
    assert said.code == 4
    assert said.out == "0 verified, 1 invalid, 0 not trusted, 1 cannot be read\n"
    (results / "odd.evidence.json").unlink()
    assert bench("results", "verify").code == 3


def test_an_index_that_cannot_be_written_is_told_and_the_listing_is_the_same(
    bench: Program, three: dict[str, Path]
) -> None:
    states(bench)
    path = indexes_of(bench)
    path.unlink()
    path.mkdir()
    said = bench("results", "list", "--json")
    assert [row["state"] for row in said.json] == ["unverified"] * len(three)
    assert re.search(r"^bench: what is found out here is not kept: .*is a directory", said.err, re.M)


# -------------------------------------------------------------------------------------------- filters


FILTERS = {
    ("--device", "XEON"): {"new"},
    ("--device", "PU:1"): {"old"},
    ("--threshold", "edge-device"): {"new", "old"},
    ("--threshold", "edge-device=threshold-met"): {"new"},
    ("--threshold", "Edge-Device=Threshold-Met"): {"new"},
    ("--threshold", "training-server"): set(),
    ("--verdict", "threshold-met"): {"new"},
    ("--verdict", "Not-Borne-Out"): {"old"},
    ("--since", "2026-02-02"): {"new"},
    ("--since", "2026-02-03"): set(),
    ("--until", "2026-02-02"): {"new", "old"},
    ("--until", "2026-02-01"): {"old"},
    ("--assurance", "a1"): {"new"},
    ("--case", "115-a1"): {"old"},
    ("--state", "unreadable"): {"odd"},
    ("--state", "verified"): set(),
    ("--limit", "1"): {"new"},
    ("--device", "Xeon", "--case", "115-a1"): set(),
}


@pytest.fixture
def filtered(bench: Program, results: Path) -> Program:
    """Two rows of the index that differ in everything that can be asked for, and an unreadable file."""
    rows = {
        "old": Row(
            kind="run",
            created="2026-02-01T23:59:59Z",
            assurance="A0",
            case="115-A1",
            devices=(("gpu:1", "A card"),),
            answers=(("edge-device", "threshold-not-met"),),
            words=("threshold-not-met", "not-borne-out"),
        ),
        "new": Row(
            kind="run",
            created="2026-02-02T23:59:59Z",
            assurance="A1",
            devices=(("cpu", "Intel(R) Xeon(R)"),),
            answers=(("edge-device", "threshold-met"),),
            words=("threshold-met",),
        ),
        "odd": Row(kind="unknown", reason="this is not JSON"),
    }
    for name in rows:
        write(results, name, b"")
    primed(bench, results, lambda path: rows[path.partition(".")[0]])
    return bench


def primed(bench: Program, results: Path, row: Callable[[str], Row]) -> None:
    """Enter rows in the program's index as it would after reading the files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(bench.home))
        with indexes.opened(results) as index:
            found = files.look(results).files
            index.enter((path, identity, row(path)) for path, identity in found.items())


def test_each_filter_takes_what_it_names(filtered: Program) -> None:
    taken = {words: {*states(filtered, *words)} for words in FILTERS}
    assert taken == FILTERS
    assert [*states(filtered)] == ["new", "old", "odd"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--verdict", "splendid"), "threshold-met"),
        (("--state", "odd"), "untrusted"),
        (("--since", "yesterday"), "expected YYYY-MM-DD"),
        (("--since", "115-11-21"), "expected YYYY-MM-DD of the common era, for example 2026-11-21"),
        (("--until", "2026-02-30"), "'2026-02-30' is no day"),
        (("--since", "2026-02-03", "--until", "2026-02-02"), "2026-02-03 is after --until 2026-02-02"),
        (("--threshold", "edge"), "unknown tier or item 'edge': known are training-server, "),
        (("--threshold", "edge"), ", edge-device, "),
        (("--threshold", "edge-device=yes"), "unknown answer 'yes': known are "),
        (("--assurance", "A9"), "unknown level 'A9': known are A0, A1, A2, A3"),
    ],
)
def test_a_word_that_no_file_can_answer_to_is_refused_with_those_that_are_known(
    filtered: Program, words: tuple[str, ...], told: str
) -> None:
    for command in ("list", "export"):
        said = filtered("results", command, *words)
        assert (said.code, said.out) == (2, "")
        assert told in " ".join(said.err.split())


def test_a_tier_that_only_a_listed_file_knows_can_be_asked_for(bench: Program, results: Path) -> None:
    write(results, "own", b"")
    primed(bench, results, lambda _: Row(kind="run", answers=(("own-tier", "threshold-met"),)))
    assert [*states(bench, "--threshold", "own-tier")] == ["own"]


@pytest.mark.usefixtures("three")
def test_what_a_refused_file_says_is_neither_shown_nor_an_answer_to_filters(bench: Program) -> None:
    bench("results", "verify")
    assert {*states(bench, "--assurance", "A0")} == {*states(bench, "--device", "cpu")} == {"valid"}
    assert {*states(bench, "--threshold", "training-server")} == {"valid"}
    assert {*states(bench, "--device", "cpu", "--state", "invalid")} == {"forged"}
    assert {*states(bench, "--assurance", "A0", "--state", "untrusted")} == {"strange"}
    rows = {row["file"].partition(".")[0]: row for row in listed(bench)}
    for name in ("forged", "strange"):
        row = rows[name]
        assert (row["figures"], row["answers"], row["assurance"], row["assuranceSaid"]) == (
            {},
            [],
            None,
            None,
        )
        assert row["reason"]
    assert rows["valid"]["figures"]
    lines = {
        name: line for line in bench("results", "list").out.splitlines() for name in rows if name in line
    }
    assert "FLOPS" in lines["valid"]
    assert "invalid, step 6" in lines["forged"]
    assert "figures in the file" in lines["forged"]
    assert not re.search("[FT]LOPS|training-server| A0", lines["forged"] + lines["strange"])
    for row in csv.DictReader(io.StringIO(bench("results", "export").out)):
        blank = [row[name] for name in ("fp32", "int8", "answers", "assurance", "assurance_said")]
        assert (blank == [""] * 5) == (row["state"] != "verified")


def test_a_report_that_lies_there_twice_is_told(bench: Program, made: Made, results: Path) -> None:
    for name, day in (("a", 1), ("b", 2)):
        write(results, name, dated(made, day))
    shutil.copy(results / "a.evidence.json", results / "copy.evidence.json")
    rows = {row["file"]: row["sameReportAs"] for row in listed(bench)}
    assert rows == {
        "a.evidence.json": None,
        "b.evidence.json": None,
        "copy.evidence.json": "a.evidence.json",
    }
    assert "copy.evidence.json (same report as a.evidence.json)" in bench("results", "list").out
    found = csv.DictReader(io.StringIO(bench("results", "export").out))
    assert {row["file"]: row["same_report_as"] or None for row in found} == rows


def on_a_terminal(bench: Program, columns: int, *words: str) -> tuple[str, str]:
    """What the program writes on a terminal that wide, and what it says on stderr."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "results", "list", *words],
        cwd=bench.folder,
        env=environment(bench.home, COLUMNS=str(columns), TERM="xterm"),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part
    return shown.decode(), process.communicate()[1]


def test_a_terminal_of_80_columns_shows_a_file_in_two_lines_and_all_of_it_when_asked(
    bench: Program, results: Path
) -> None:
    row = Row(
        kind="run",
        report="0123456789ab",
        created="2026-02-02T23:59:59Z",
        devices=(("cpu", "A processor"),),
        figures=(("fp32", 1e12),),
        answers=tuple((f"tier-{number}", "threshold-not-met") for number in range(4)),
    )
    for number in range(8):
        write(results, f"{number}-{'long' * 30 * (number % 2)}", b"")
    primed(bench, results, lambda _: row)
    lines = on_a_terminal(bench, 80)[0].splitlines()
    assert 8 <= len(lines) <= 16
    assert max(map(cell_len, lines)) <= 80
    text = "\n".join(lines)
    assert "0123456789ab  2026-02-02  not verified  4 threshold-not-met" in text
    assert text.count(".evidence.json") == 8 + 7
    assert "A processor" not in text
    wide = on_a_terminal(bench, 300, "--wide")[0]
    assert "A processor" in wide
    assert "1.000 TFLOPS" in wide


def test_a_terminal_shows_fifty_lines_and_says_how_many_more_there_are(bench: Program, results: Path) -> None:
    for number in range(53):
        write(results, f"{number:02d}", b"")
    primed(bench, results, lambda path: Row(kind="run", report=f"report {path[:2]}", created=path[:2]))
    shown, told = on_a_terminal(bench, 200)
    assert told.splitlines()[0] == "3 more: --limit 53"
    assert re.findall(r"report (\d\d)", shown)[:2] == ["52", "51"]
    assert len(re.findall(r"report \d\d", shown)) == 50
    assert len(re.findall(r"report \d\d", bench("results", "list").out)) == 53


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # Linux ends a terminal that nobody writes to any more so
        return b""


# -------------------------------------------------------------------------------------- hostile words


def test_strings_of_a_file_steer_neither_a_terminal_nor_a_spreadsheet(bench: Program, results: Path) -> None:
    made = evidence()
    device = replace(made.devices[0], name=f"=cmd {ESCAPES}")
    threshold = replace(made.verdict.thresholds[0], tier=f"@{ESCAPES}")
    hostile = replace(
        made,
        created=f"={ESCAPES}",
        assurance=ESCAPES,
        devices=(device,),
        verdict=replace(made.verdict, thresholds=(threshold,)),
    )
    signed = envelope.sign(statement.build(hostile), envelope.PAYLOAD_TYPE, [keys.load(bench.home / "key")])
    signature = replace(signed.signatures[0], keyid=f"+{ESCAPES}")
    write(results, f"=1+1{ESCAPES}", envelope.to_json(replace(signed, signatures=(signature,))))
    for words in (("list",), ("list", "--json"), ("export",), ("verify",)):
        said = bench("results", *words)
        for stream in (said.out, said.err):
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", stream), words
    (row,) = csv.DictReader(io.StringIO(bench("results", "export").out))
    assert row["created"] == "'==1+1 forged"
    assert row["signers"] == "'+=1+1 forged"
    assert row["file"] == "'=1+1=1+1 forged.evidence.json"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in row.values())


def test_the_columns_of_a_table_stand_below_each_other_where_characters_are_wide() -> None:
    assert [*aligned([["處理器", "x"], ["ab", "y"]])] == ["處理器  x", "ab      y"]


# ---------------------------------------------------------------------------------------------- export


def test_the_export_has_a_line_for_each_file_and_the_columns_that_its_help_names(
    bench: Program, three: dict[str, Path], made: Made
) -> None:
    bench("results", "verify")
    said = bench("results", "export", "-o", "table.csv")
    assert (said.code, said.out, said.err) == (0, "", "3 of 3 file(s)\n")
    written = (bench.folder / "table.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbfreport,")
    text = written.decode("utf-8-sig")
    assert bench("results", "export").out == text
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(text))}
    assert {path.name for path in three.values()} == {*rows}
    row = rows["valid.evidence.json"]
    assert tuple(row) == CSV_COLUMNS
    figures = json.loads(made.payload)["predicate"]["figures"]
    assert float(row["fp32"]) == next(f["estimate"]["value"] for f in figures if f["precision"] == "fp32")
    assert (row["state"], row["kind"], row["mode"], row["created"]) == (
        *("verified", "run", "quick"),
        "2026-01-03T00:00:00Z",
    )
    assert (rows["forged.evidence.json"]["state"], rows["forged.evidence.json"]["step"]) == ("invalid", "6")
    words = " ".join(bench("results", "export", "--help").out.split())
    assert ", ".join(CSV_COLUMNS) in words
    said = bench("results", "export", "--state", "verified")
    assert said.out.count("\n") == 2


def test_the_export_writes_over_no_evidence_and_no_file_that_it_reads(
    bench: Program, three: dict[str, Path]
) -> None:
    before = three["valid"].read_bytes()
    for output in (three["valid"], "new.Evidence.JSON", "new.verdict.json"):
        said = bench("results", "export", "-o", output)
        assert (said.code, said.out) == (2, "")
        assert "a name of evidence or a verdict" in one_line(said.err)
    assert three["valid"].read_bytes() == before
    store = bench.folder / "nobody"
    store.write_text("")
    said = bench("results", "export", "--trust", "nobody", "-o", store)
    assert said.code == 2
    assert "a file that this command reads" in one_line(said.err)


def test_numbers_stay_numbers_and_only_other_cells_get_an_apostrophe() -> None:
    row = Row(kind="run", figures=(("fp32", 1e-5),), case="-12", report="-12+x", parameters=(7, 8))
    (cells,) = csv.DictReader(io.StringIO(to_csv([Line(path="-", said=row, outcome=None)])))
    assert (cells["fp32"], cells["case"], cells["report"], cells["file"]) == ("1e-05", "-12", "'-12+x", "'-")
    assert (cells["parameters_low"], cells["parameters_high"]) == ("7", "8")


# ------------------------------------------------------------------------------------- large and slow


def test_ten_thousand_files_are_listed_from_the_index_in_less_than_a_second(
    bench: Program, results: Path
) -> None:
    """A second, where importing numpy, click and cryptography takes a fifth; four times that were seen."""
    one = write(results, "00000", b"{}")
    for number in range(1, 10_000):
        (results / f"{number:05d}.evidence.json").hardlink_to(one)
    signed = Row(
        kind="run",
        report="0123456789ab",
        created="2026-02-02T23:59:59Z",
        mode="default",
        assurance="A0",
        devices=(("cpu", "Intel(R) Xeon(R) Processor 處理器"),),
        figures=(("fp32", 3.8e11), ("bf16", 3e12), ("int8", 4.1e12)),
        answers=(("training-server", "inconclusive"), ("edge-device", "threshold-met")),
        words=("inconclusive", "threshold-met"),
        signers=("SHA256:8n+iAAd/0aAAFjPg5leDnX25ixoubPpvfHZm96hX7O0",),
    )
    primed(bench, results, lambda _path: signed)
    assert bench("results", "list").out.count("0123456789ab") == 10_000
    assert in_imports(lambda: bench("results", "list")) < 6


@pytest.fixture
def many(made: Made, bench: Program, results: Path) -> Program:
    """Enough real evidence that verifying it takes seconds."""
    data = [dated(made, day) for day in range(1, 9)]
    for number in range(60):
        write(results, f"{number:03d}", data[number % 8])
    assert len(listed(bench)) == 60
    return bench


def kept(bench: Program) -> dict[str, str]:
    """What was verified so far, and when."""
    rows = listed(bench, "--state", "verified")
    return {row["file"]: row["checkedAt"] for row in rows}


def begun(bench: Program) -> "subprocess.Popen[str]":
    """Verifying with two workers, some of whose results are in the index already."""
    process = bench.start("results", "verify", "--jobs", "2")
    with closing(sqlite3.connect(indexes_of(bench))) as connection:
        done = 0
        while not done:
            assert process.poll() is None, process.stderr
            time.sleep(0.02)
            (done,) = connection.execute("SELECT count(outcome) FROM files").fetchone()
    return process


def test_an_interrupt_ends_it_with_what_is_left_and_the_next_call_goes_on(many: Program) -> None:
    process = begun(many)
    # As Ctrl-C does: to this process and to its workers.
    for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        each.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    found = re.fullmatch(
        r"bench: interrupted: (\d+) of 60 file\(s\) are left\. To go on, type the command again\.\n", err
    )
    assert found, err
    first = kept(many)
    assert len(first) == 60 - int(found[1])
    said = many("results", "verify")
    assert (said.code, said.out) == (0, "60 verified, 0 invalid, 0 not trusted, 0 cannot be read\n")
    assert first.items() <= kept(many).items()


def test_a_kill_loses_little_leaves_no_process_and_the_next_call_goes_on(many: Program) -> None:
    process = begun(many)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    first = kept(many)
    assert 0 < len(first) < 60
    assert many("results", "verify").code == 0
    second = kept(many)
    assert len(second) == 60
    assert first.items() <= second.items()


def test_files_that_go_change_and_come_while_it_runs_are_told(many: Program, results: Path) -> None:
    process = begun(many)
    # It takes them in the order of their paths, and is held here before it comes to the last ones.
    process.send_signal(signal.SIGSTOP)
    first, *_, last_but_one, last = sorted(results.iterdir())
    last.unlink()
    last_but_one.write_bytes(last_but_one.read_bytes() + b" ")
    shutil.copy(first, results / "zzz.evidence.json")
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out == "58 verified, 0 invalid, 0 not trusted, 0 cannot be read\n"
    assert "1 file(s) went while this ran." in err
    assert "1 file(s) changed while this ran: type the command again." in err
    said: Said = many("results", "verify")
    assert (said.code, said.out) == (0, "60 verified, 0 invalid, 0 not trusted, 0 cannot be read\n")
