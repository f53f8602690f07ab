"""Where results cannot be written: a full device, a reader that left, a terminal without the characters."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from program import Made, Program, Said, environment, one_line

from bench.evidence import envelope, statement
from bench.terms import Evidence

FULL = ("sh", "-c", 'exec "$@" >/dev/full', "sh", sys.executable, "-m", "bench")
DEAF = ("sh", "-c", 'exec "$@" >/dev/full 2>/dev/full', "sh", sys.executable, "-m", "bench")
NO_ROOM = "bench: cannot write to stdout: no space left on device.\n"

# As if torch were installed and its library missing: it is found, and does not import.
BROKEN_TORCH = """
import importlib.util
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == "torch" else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        raise OSError("libcudart.so.12: cannot open shared object file")

sys.meta_path.insert(0, Broken())
"""


def unread(program: Program, *words: str | Path) -> Said:
    """The command with stdout closed by its reader before anything comes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=program.folder,
        env=environment(program.home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    return Said(code=process.wait(timeout=60), out="", err=err)


COMMANDS = (
    ("--help",),
    ("rules",),
    ("rules", "--json"),
    ("rules", "tw-ai-hardware-2024"),
    ("key", "show"),
    ("verify", "FILE"),
    ("verify", "--json", "FILE"),
    ("show", "FILE"),
)
each_command = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


def typed(command: Sequence[str], made: Made) -> list[str | Path]:
    return [made.file if word == "FILE" else word for word in command]


@each_command
def test_a_full_device_is_told_in_a_line_and_is_no_defect(made: Made, command: Sequence[str]) -> None:
    said = made.bench(*typed(command, made), launcher=FULL)
    assert (said.code, said.err) == (3, NO_ROOM)


@each_command
def test_a_reader_that_left_gets_no_answer_and_no_code_of_one(made: Made, command: Sequence[str]) -> None:
    said = unread(made.bench, *typed(command, made))
    assert (said.code, said.err) == (141, "")


def test_a_stderr_that_takes_nothing_changes_no_exit_code(made: Made) -> None:
    assert made.bench("rules", launcher=DEAF).code == 3
    assert made.bench("rules", "none", launcher=DEAF).code == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_a_terminal_cannot_show_is_replaced(made: Made, encoding: str) -> None:
    for command in (("rules", "tw-ai-hardware-2024"), ("show", made.file), ("verify", made.file)):
        launcher = (sys.executable, "-c", "from bench.cli import main; main()")
        process = subprocess.run(
            [*launcher, *command],
            env=environment(made.bench.home, PYTHONIOENCODING=encoding),
            capture_output=True,
            check=False,
        )
        assert (process.returncode, process.stderr) == (0, b"")
        assert process.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_programs_lose_no_character_whatever_the_encoding(bench: Program, encoding: str) -> None:
    command = ("rules", "--json", "tw-ai-hardware-2024")
    said = bench(*command, env={"PYTHONIOENCODING": encoding})
    assert said.out.isascii()
    assert json.loads(said.out) == bench(*command).json


# ------------------------------------------------------------------------------------- after a run


@dataclass(frozen=True, kw_only=True)
class Hurt:
    """A run where torch does not import and stdout is full."""

    said: Said
    file: Path
    evidence: Evidence


@pytest.fixture(scope="module")
def hurt(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Hurt:
    folder = tmp_path_factory.mktemp("hurt")
    (folder / "sitecustomize.py").write_text(BROKEN_TORCH)
    program = Program(home=made.bench.home, folder=folder)
    words = ("run", "--time", "5s", "--precision", "fp64", "--quiet", "-o", "run.json")
    said = program(*words, launcher=FULL, env={"PYTHONPATH": str(folder)})
    file = folder / "run.json"
    parsed = statement.parse(envelope.parse(file.read_bytes()).payload)
    return Hurt(said=said, file=file, evidence=parsed)


def test_a_run_whose_report_cannot_be_written_says_where_the_evidence_lies(hurt: Hurt) -> None:
    assert hurt.said.code == 3
    assert one_line(hurt.said.err) == f"{NO_ROOM.rstrip()} The evidence is in {hurt.file.name}.\n"
    assert not hurt.evidence.interrupted
    assert not list(hurt.file.parent.glob("*-partial*"))


def test_a_broken_backend_is_refused_in_its_words_and_the_others_go_on(hurt: Hurt) -> None:
    rows = {row.workload.backend: row for row in hurt.evidence.measurements}
    assert set(rows) == {"torch", "onnxruntime"}
    (found,) = rows["torch"].findings
    assert re.search(r"torch refused: libcudart\.so\.12: cannot open", str(found.numbers["detail"]))
    assert (rows["torch"].ended, rows["torch"].visits) == ("refused", ())
    assert len(rows["onnxruntime"].visits) >= 5
