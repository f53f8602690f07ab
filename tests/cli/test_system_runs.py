"""`bench run` over several ranks, as torchrun starts them: four of them, one that is killed, two machines."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from program import Program, acquainted, environment, free_port, is_gone, one_line, torchrun

from bench.evidence import envelope

QUICK = ("run", "--quick", "--device", "cpu", "--precision", "int8")


def predicate(file: Path) -> Any:
    return json.loads(envelope.parse(file.read_bytes()).payload)["predicate"]


def own_lines(err: str) -> list[str]:
    """What bench says, among the lines of torchrun."""
    return [line for line in err.splitlines() if line.startswith("bench: ")]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.json"))


def test_four_ranks_leave_one_file_with_all_of_them(bench: Program) -> None:
    said = bench(*QUICK, "-o", "four.json", launcher=torchrun("--nproc-per-node=4"))
    assert said.code == 0, said.err
    assert files_in(bench.folder) == ["four.json"]
    evidence = predicate(bench.folder / "four.json")
    assert [member["rank"] for member in evidence["members"]] == [0, 1, 2, 3]
    (figure,) = evidence["figures"]
    # On fewer cores than ranks one of them may be kept from working for so long that nothing follows.
    assert len(figure["shares"]) == 4 or figure["reason"] in ("too-few-samples", "rank-without-figure")
    assert bench("verify", "four.json").code == 0


def test_a_rank_for_each_device_of_a_machine_is_started_without_torchrun(bench: Program) -> None:
    """As for several GPUs, on the one processor that is here."""
    program = """
import os, sys
from bench.cli.run import Files, Typed
from bench.cli.system import run_on_each
from bench.devices import family
cpu = family.select(["cpu"], family.inventory())[0]
typed = Typed(
    devices=("cpu", "cpu"), ep_libraries=(), ep_options=(), runner=None, precisions=("int8",), claims=(),
    rules=None, required=(), challenge=None, case=None, quick=True, time=None, sustain=None,
)
files = Files(output="each.json", key=None, power_log=None)
sys.exit(run_on_each([cpu, cpu], typed, files, as_json=True, quiet=True))
"""
    said = bench(launcher=(sys.executable, "-c", program))
    assert said.code == 0, said.err
    assert said.json["members"][1]["rank"] == 1
    assert files_in(bench.folder) == ["each.json"]
    assert bench("verify", "each.json").code == 0


def test_two_ranks_answer_one_challenge_and_open_their_rows(tmp_path: Path) -> None:
    auditor, vendor = acquainted(tmp_path)
    asked, file = tmp_path / "challenge.json", tmp_path / "answer.json"
    words = (
        "challenge",
        "new",
        "--precision",
        "fp64",
        "--skipped",
        "10%",
        "--vendor",
        "A vendor",
        "-o",
        asked,
    )
    assert auditor(*words).code == 0
    said = vendor(
        *("run", "--quick", "--challenge", asked, "-o", file), launcher=torchrun("--nproc-per-node=2")
    )
    assert said.code == 0, said.err
    verified = auditor("verify", "--challenge", asked, "--require", "A1", file)
    assert verified.code == 0, verified.out + verified.err
    assert "A1" in verified.out.splitlines()[-1]
    alone = auditor("verify", "--require", "A1", file)
    assert alone.code == 1
    closed = auditor("challenge", "close", file)
    assert closed.code == 0, closed.err
    assert "is now used up by report" in closed.out


# -------------------------------------------------------------------------------- ranks that are killed


def started(bench: Program, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*torchrun("--nproc-per-node=2"), *words],
        cwd=bench.folder,
        env=environment(bench.home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(run: "subprocess.Popen[str]") -> dict[int, int]:
    """The ranks of a torchrun, each with its process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            told = dict(
                word.partition("=")[::2]
                for word in (folder / "environ").read_text("utf-8", "replace").split("\0")
            )
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == run.pid and "RANK" in told:
            found[int(told["RANK"])] = int(folder.name)
    return found


def until(run: "subprocess.Popen[str]", words: str) -> str:
    """What was said up to the line with these words."""
    assert run.stderr is not None
    said = ""
    for line in run.stderr:
        said += line
        if words in line:
            return said
    pytest.fail(f"{words!r} was never said: {said}")


def test_a_killed_rank_is_named_within_30_seconds_and_nothing_is_lost(bench: Program) -> None:
    run = started(bench, *QUICK, "-o", "killed.json")
    said = until(run, "round 3")
    os.kill(processes_of(run)[1], signal.SIGKILL)
    killed_s = time.monotonic()
    _, rest = run.communicate(timeout=60)
    assert time.monotonic() - killed_s < 30
    assert run.returncode != 0
    (line,) = own_lines(said + rest)
    assert re.fullmatch(
        r"bench: rank 1 of 2 has given no sign of life for 15 s; what was measured by then is in "
        r"killed\.json\.",
        line,
    )
    evidence = predicate(bench.folder / "killed.json")
    first, second = evidence["members"]
    assert (first["reason"], second["reason"]) == (None, "rank-lost")
    own = json.loads(envelope.parse(base64.b64decode(first["report"])).payload)["predicate"]
    assert [len(row["visits"]) >= 2 for row in own["measurements"] if row["ended"] == "interrupted"]
    assert bench("verify", "killed.json").code == 0


def test_when_rank_0_dies_the_others_keep_their_own_files(bench: Program) -> None:
    run = started(bench, *QUICK, "-o", "none.json")
    said = until(run, "round 2")
    os.kill(processes_of(run)[0], signal.SIGKILL)
    _, rest = run.communicate(timeout=60)
    (line,) = own_lines(said + rest)
    told = re.search(r"rank 1: rank 0 has not written what this rank measured .* It is in (\S+)\.$", line)
    assert told is not None, line
    assert bench("verify", told[1]).code == 0
    assert "none.json" not in files_in(bench.folder)


def test_ctrl_c_keeps_what_all_ranks_measured(bench: Program) -> None:
    run = started(bench, *QUICK, "-o", "stopped.json")
    said = until(run, "round 2")
    ranks = processes_of(run)
    run.send_signal(signal.SIGINT)
    _, rest = run.communicate(timeout=60)
    (line,) = own_lines(said + rest)
    assert line.startswith("bench: interrupted")
    assert all(is_gone(process) for process in ranks.values())
    evidence = predicate(bench.folder / "stopped.json")
    assert evidence["interrupted"]
    assert [member["reason"] for member in evidence["members"]] == [None, None]
    assert bench("verify", "stopped.json").code == 0


# ------------------------------------------------------------------------------------ what is refused


def alone_of(number: int, of: int, **more: str) -> dict[str, str]:
    return {
        "RANK": str(number),
        "WORLD_SIZE": str(of),
        "LOCAL_RANK": str(number),
        "LOCAL_WORLD_SIZE": str(of),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        **more,
    }


@pytest.mark.parametrize(
    ("words", "env", "told"),
    [
        (("--repeat", "2"), alone_of(0, 2), "--repeat and --runner are for one process"),
        (("--runner", "true"), alone_of(0, 2), "--repeat and --runner are for one process"),
        ((), {"WORLD_SIZE": "2"}, "RANK, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT is not set"),
        (("--device", "ort:CPUExecutionProvider"), alone_of(0, 2), "2 ranks on this machine, and 1 devices"),
    ],
)
def test_what_no_rank_can_do_is_refused_before_anything_is_measured(
    bench: Program, words: tuple[str, ...], env: Mapping[str, str], told: str
) -> None:
    said = bench("run", "--quick", *words, env=env)
    assert said.code == 2
    assert told in said.err
    assert files_in(bench.folder) == []


def test_ranks_that_were_asked_for_different_things_end_each_other(bench: Program) -> None:
    """The second rank is typed by hand with another precision."""
    env = alone_of(0, 2)
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "bench", "run", "--quick", "--precision", name],
            cwd=bench.folder,
            env=environment(bench.home, **{**env, "RANK": str(number), "LOCAL_RANK": str(number)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, name in enumerate(("fp32", "int8"))
    ]
    said = [process.communicate(timeout=90)[1] for process in both]
    assert [process.returncode for process in both] == [2, 2]
    assert all("rank 1 differs from rank 0 in --precision" in each for each in said)
    assert files_in(bench.folder) == []


# --------------------------------------------------------------------------------------- two machines


@pytest.fixture
def two_machines(needs_program: Any) -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them: 10.97.0.1 and 10.97.0.2."""
    ip = needs_program("ip", "iproute2")
    names = (f"bench-a-{os.getpid()}", f"bench-b-{os.getpid()}")

    def typed(*words: str) -> None:
        done = subprocess.run([ip, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"ip {' '.join(words)}: {done.stderr.strip()}")

    try:
        for name in names:
            typed("netns", "add", name)
        ends = (f"va{os.getpid()}", f"vb{os.getpid()}")
        typed(
            "link",
            "add",
            ends[0],
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            ends[1],
            "netns",
            names[1],
        )
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            typed("-n", name, "addr", "add", f"10.97.0.{number}/24", "dev", end)
            typed("-n", name, "link", "set", end, "up")
            typed("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run([ip, "netns", "del", name], capture_output=True, check=False)


def test_ranks_on_two_machines_make_one_system(bench: Program, two_machines: tuple[str, str]) -> None:
    runs = [
        subprocess.Popen(
            [
                *("ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"),
                *("--nnodes=2", f"--node-rank={number}", "--nproc-per-node=1"),
                *("--master-addr=10.97.0.1", "--master-port=29871", "-m", "bench", *QUICK, "-o", "both.json"),
            ],
            cwd=bench.folder,
            env=environment(bench.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, name in enumerate(two_machines)
    ]
    said = [run.communicate(timeout=110) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert "2 device(s) on 2 machine(s)" in said[0][0]
    evidence = predicate(bench.folder / "both.json")
    assert [member["node"] for member in evidence["members"]] == [0, 1]
    assert evidence["members"][1]["exchanges"]
    assert "offsets-by-network" in evidence["doesNotShow"]
    assert evidence["figures"][0]["reason"] is None
    assert bench("verify", "both.json").code == 0


def test_a_rank_that_finds_nobody_says_where_it_looked(bench: Program) -> None:
    env = {**alone_of(1, 2), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    program = "from bench.fleet import meeting; meeting.JOIN_S = 2.0; from bench.cli import main; main()"
    said = bench(*QUICK, env=env, launcher=(sys.executable, "-c", program))
    assert said.code == 3
    assert f"rank 1 cannot reach the others at 127.0.0.1:{env['MASTER_PORT']}" in one_line(said.err)
