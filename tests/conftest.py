"""What tests of several rooms share."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from program import Answered, Counted, Made, Program, acquainted, torchrun, write_model


@pytest.fixture(scope="session")
def needs_program() -> Callable[[str, str], str]:
    """The path of a program; without it the test skips, naming the package, and fails where CI=true."""

    def find(name: str, package: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        reason = f"{name} is not installed: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    return find


@pytest.fixture
def bench(tmp_path: Path) -> Program:
    """A user without a key, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Program(home=tmp_path / "home", folder=folder)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One real smoke test on this machine's CPU; tests read its file and write nothing beside it."""
    folder = tmp_path_factory.mktemp("made")
    program = Program(home=folder / "home", folder=folder)
    file = folder / "quick.evidence.json"
    said = program(
        *("run", "--quick", "--device", "cpu", "--precision", "fp32", "--precision", "int8", "-o", file)
    )
    assert said.code == 0, said.err
    return Made(file=file, bench=program, said=said)


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One real smoke test of two ranks on this machine's CPU; tests write nothing beside its file."""
    folder = tmp_path_factory.mktemp("two-ranks")
    program = Program(home=folder / "home", folder=folder)
    file = folder / "system.evidence.json"
    said = program(
        *("run", "--quick", "--device", "cpu", "--precision", "fp32", "--precision", "int8", "-o", file),
        launcher=torchrun("--nproc-per-node=2"),
    )
    assert said.code == 0, said.err
    return Made(file=file, bench=program, said=said)


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """A count of one real model's parameters; tests read its files and write nothing beside them."""
    folder = tmp_path_factory.mktemp("counted")
    model, file = folder / "model", folder / "model.evidence.json"
    write_model(model)
    program = Program(home=folder / "home", folder=folder)
    said = program("params", model, "--claim", "params=1M", "-o", file)
    assert said.code == 0, said.err
    return Counted(made=Made(file=file, bench=program, said=said), model=model)


@pytest.fixture(scope="session")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """One real smoke test under a challenge; tests read its files and write nothing beside them."""
    folder = tmp_path_factory.mktemp("answered")
    auditor, vendor = acquainted(folder)
    challenge, file = folder / "challenge.json", folder / "answer.evidence.json"
    said = auditor(
        "challenge", "new", "--precision", "fp64", "--skipped", "10%", "--vendor", "A vendor", "-o", challenge
    )
    assert said.code == 0, said.err
    said = vendor("run", "--quick", "--challenge", challenge, "-o", file)
    assert said.code == 0, said.err
    return Answered(made=Made(file=file, bench=vendor, said=said), challenge=challenge, auditor=auditor)
