"""`bench run --repeat`: runs in processes of their own, what they differ by, and what ends them early."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from program import Made, Program, Said, environment, one_line
from rich.console import Console

from bench.cli import repeat
from bench.errors import Interrupted
from bench.evidence import envelope, statement
from bench.terms import Evidence


def read(path: Path) -> Evidence:
    return statement.parse(envelope.parse(path.read_bytes()).payload)


def figure(value: float | None, precision: str = "fp32", device: str = "cpu") -> dict[str, Any]:
    """A figure as it stands in a run's result, with an interval of 1 % to either side."""
    estimate = None
    if value is not None:
        estimate = {"value": value, "low": 0.99 * value, "high": 1.01 * value, "unit": "TFLOPS"}
    return {"device": device, "precision": precision, "estimate": estimate}


def result(*figures: Mapping[str, Any]) -> dict[str, Any]:
    return {"evidence": "results/file.evidence.json", "figures": list(figures)}


def lines(*results: Mapping[str, Any]) -> list[list[str]]:
    """The table as printed: the words of each line."""
    console = Console(width=200, color_system=None)
    with console.capture() as printed:
        console.print(repeat.summary_table(repeat.spreads(results)))
    return [line.split() for line in printed.get().splitlines()]


# ------------------------------------------------------------------------------------------ the table


def test_the_table_has_the_spread_of_each_precisions_figure_over_the_runs() -> None:
    # 98, 100 and 102 TFLOPS: mean 100, deviation 2; 4.303 x 2 / sqrt(3) = 4.969 to either side. The
    # intervals of 1 % of 98 and 102 leave 100 out.
    head, row = lines(*(result(figure(tera * 1e12)) for tera in (98, 100, 102)))
    assert " ".join(head) == "device precision runs mean (95 %) between runs in own interval"
    assert " ".join(row) == "cpu fp32 3 100.0 TFLOPS ± 5.0 % 2.00 % 1 of 3"


def test_a_run_without_a_figure_is_not_counted_for_that_precision() -> None:
    first = result(figure(1e12), figure(5e12, "fp64"))
    second = result(figure(1e12), figure(None, "fp64"))
    third = result(figure(1e12), figure(7e12, "fp64"))
    found = {row.precision: row.spread for row in repeat.spreads([first, second, third])}
    assert found["fp32"] is not None
    assert found["fp64"] is not None
    assert (found["fp32"].runs, found["fp64"].runs, found["fp64"].mean) == (3, 2, 6e12)


def test_one_run_has_a_dash_for_every_spread() -> None:
    _, row = lines(result(figure(1e12)))
    assert row == ["cpu", "fp32", "1", "-", "-", "-"]
    (told,) = repeat.spreads([result(figure(1e12))])
    assert (told.spread, told.holding) == (None, None)


def test_devices_are_told_apart_and_come_in_their_order() -> None:
    run = result(figure(1e12, device="cuda:1"), figure(2e12, device="cuda:0"))
    assert [(row.device, row.spread and row.spread.mean) for row in repeat.spreads([run, run])] == [
        ("cuda:1", 1e12),
        ("cuda:0", 2e12),
    ]


# ------------------------------------------------------------------------------------------- the runs

QUICK = ("run", "--quick", "--precision", "fp32")


def started(program: Program, *words: str) -> subprocess.Popen[str]:
    """Runs in a process group of their own, as a terminal makes for a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=program.folder,
        env=environment(program.home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def measuring(program: Program, *words: str) -> subprocess.Popen[str]:
    """Started, and its first run measures: it has tried the place of its evidence two seconds ago."""
    process = started(program, *words)
    deadline = time.monotonic() + 30
    while not (program.folder / "results").exists():
        assert time.monotonic() < deadline, "no run has begun"
        time.sleep(0.05)
    time.sleep(2)
    return process


def said_by(process: subprocess.Popen[str], *, timeout_s: float = 30) -> Said:
    out, err = process.communicate(timeout=timeout_s)
    return Said(code=process.returncode, out=out, err=err)


@pytest.fixture(scope="module")
def twice(made: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """Two quick runs for a program to read, and a tier that no quick run meets."""
    folder = tmp_path_factory.mktemp("twice")
    program = Program(home=made.bench.home, folder=folder)
    process = started(program, *QUICK, "--repeat", "2", "--require", "edge-device", "--json")
    return folder, said_by(process, timeout_s=180)


@pytest.fixture
def here(made: Made, tmp_path: Path) -> Program:
    """A user who has a key, in an empty folder."""
    return Program(home=made.bench.home, folder=tmp_path)


def test_each_run_signs_evidence_of_its_own(made: Made, twice: tuple[Path, Said]) -> None:
    folder, said = twice
    files = [folder / run["evidence"] for run in said.json["runs"]]
    assert sorted(files) == sorted((folder / "results").iterdir())
    assert len({read(file).nonce for file in files}) == 2
    for file in files:
        assert made.bench("verify", file).code == 0


def test_the_spread_is_that_of_the_files_figures(twice: tuple[Path, Said]) -> None:
    folder, said = twice
    (told,) = said.json["spreads"]
    values, holding = [], 0
    for run in said.json["runs"]:
        (found,) = (f.estimate for f in read(folder / run["evidence"]).figures)
        assert found is not None
        values.append(found.value)
        holding += found.low <= told["spread"]["mean"] <= found.high
    assert (told["device"], told["precision"], told["holding"]) == ("cpu", "fp32", holding)
    assert told["spread"]["runs"] == 2
    assert told["spread"]["mean"] == pytest.approx(math.fsum(values) / 2)
    assert told["spread"]["deviation"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2), rel=1e-6)


def test_what_a_run_does_not_meet_is_told_and_no_run_is_left_out_for_it(twice: tuple[Path, Said]) -> None:
    _, said = twice
    assert said.code == 1
    assert said.err.count("bench: required, and not met: edge-device.\n") == 2
    assert re.search(r"^run 2 of 2  \d+ s  results/\S+\.evidence\.json$", said.err, re.MULTILINE)


# ------------------------------------------------------------------------------------- what ends them


def test_a_run_that_fails_ends_them_with_its_own_line_and_code(here: Program) -> None:
    alone = here(*QUICK, "--key", "nowhere", "--quiet")
    said = here(*QUICK, "--key", "nowhere", "--repeat", "2", "--quiet")
    assert (said.code, said.out, one_line(said.err)) == (alone.code, "", alone.err)
    assert here(*QUICK, "--key", "nowhere", "--repeat", "2", "--json").json == {"runs": [], "spreads": []}


def only_file_saved(folder: Path, line: str) -> Evidence:
    """The evidence that an interrupted run's line names, beside which there is none."""
    named = re.fullmatch(r"bench: interrupted; what was measured is in (\S+)\.", line)
    assert named, line
    assert list((folder / "results").iterdir()) == [folder / named[1]]
    return read(folder / named[1])


def test_ctrl_c_ends_them_after_the_run_under_way_has_saved(here: Program) -> None:
    # The terminal's signal reaches the run and its parent, which passes it on besides.
    process = measuring(here, *QUICK, "--repeat", "2")
    os.killpg(process.pid, signal.SIGINT)
    said = said_by(process)
    assert (said.code, said.out) == (130, "")
    saved, ended = said.err.splitlines()
    assert ended == "bench: interrupted in run 1 of 2; no run was whole."
    assert only_file_saved(here.folder, saved).interrupted


def test_a_signal_to_the_parent_alone_ends_the_run_under_way_too(here: Program) -> None:
    process = measuring(here, *QUICK, "--repeat", "2", "--json")
    process.terminate()
    said = said_by(process)
    assert (said.code, said.json) == (130, {"runs": [], "spreads": []})
    saved, ended = said.err.splitlines()
    assert ended == "bench: interrupted in run 1 of 2; no run was whole."
    assert only_file_saved(here.folder, saved).interrupted
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_run_that_the_system_kills_is_told_with_the_signal(here: Program) -> None:
    process = measuring(here, *QUICK, "--repeat", "2")
    (run,) = psutil.Process(process.pid).children()
    run.kill()
    said = said_by(process)
    assert (said.code, said.out) == (3, "")
    assert one_line(said.err) == (
        "bench: run 1 of 2 was ended by signal 9 and brought no result; no run was whole.\n"
    )


def test_whole_runs_are_named_with_what_ended_them() -> None:
    ended = repeat._Ended(code=130, out="", err="", interrupted=True)
    runs = [{"evidence": "results/a"}, {"evidence": "results/b"}]
    with pytest.raises(Interrupted, match=r"in run 3 of 5; the evidence of whole runs is in results/a, res"):
        repeat._code(ended, "run 3 of 5", runs)


def test_what_there_is_is_told_of_runs_that_ended_early(capsys: pytest.CaptureFixture[str]) -> None:
    repeat._print([result(figure(1e12)), result(figure(1e12))], 5, as_json=False)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "2 of 5 runs, each in a process of its own"
    assert printed[-2:] == ["evidence  results/file.evidence.json"] * 2
