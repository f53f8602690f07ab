"""`bench run --case`: stated by whoever runs it, refused before anything is measured, signed as stated."""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from program import Made, Program, one_line

CASE = """
number = "115-採購-042"
site = "臺北市"
[buyer]
name = "某醫院"
registration = "12345675"
[data_sheet]
title = "Server 規格書"
file = "sheet.pdf"
"""
QUICK = ("run", "--quick", "--device", "cpu", "--precision", "fp32")


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One real smoke test with a case."""
    folder = tmp_path_factory.mktemp("visited")
    (folder / "case.toml").write_text(CASE, "utf-8")
    (folder / "sheet.pdf").write_bytes(b"a data sheet")
    program = Program(home=folder / "home", folder=folder)
    file = folder / "quick.evidence.json"
    said = program(*QUICK, "--case", "case.toml", "-o", file)
    assert said.code == 0, said.err
    return Made(file=file, bench=program, said=said)


def predicate(file: Path) -> Any:
    return json.loads(base64.b64decode(json.loads(file.read_bytes())["payload"]))["predicate"]


def test_what_is_stated_is_signed_and_verifies(visited: Made) -> None:
    stated = predicate(visited.file)["case"]
    assert stated["number"] == "115-採購-042"
    assert stated["buyer"] == {"name": "某醫院", "registration": "12345675"}
    assert {*stated["dataSheet"]} == {"title", "page", "sha256"}
    assert b"sheet.pdf" not in visited.payload
    said = visited.bench("verify", visited.file)
    assert said.code == 0, said.err


def test_the_report_shows_it_as_stated_and_not_measured(visited: Made) -> None:
    for out in (visited.said.out, visited.bench("show", visited.file).out):
        block = out.split("Stated about the visit (not measured)")[1].split("kernel and form")[0]
        assert "115-採購-042" in block
        assert "某醫院 (registration number 12345675)" in block
        limits = out.split("It does not show")[1]
        assert "- what the case says: it was stated by whoever ran it, and not measured" in limits


def test_programs_get_the_case_too(visited: Made, made: Made) -> None:
    shown = visited.bench("show", "--json", visited.file).json
    assert shown["case"] == predicate(visited.file)["case"]
    assert "case-is-stated" in shown["doesNotShow"]
    without = made.bench("show", "--json", made.file).json
    assert without["case"] is None
    assert "case-is-stated" not in without["doesNotShow"]


def test_a_data_sheets_digest_declares_nothing(visited: Made) -> None:
    rows = predicate(visited.file)["verdict"]["thresholds"]
    assert rows
    assert {row["declaredWord"] for row in rows}.isdisjoint({"declared", "threshold-met"})


def test_a_case_is_refused_before_anything_is_measured(bench: Program) -> None:
    file = bench.folder / "case.toml"
    os.mkfifo(bench.folder / "pipe")
    (bench.folder / "sheet.pdf").mkdir()
    for text, words in (
        ('number = "\\u001b[2J"', "number: expected one line"),
        ("number = " + "[" * 5000, "not a TOML file"),
        (CASE.replace("12345675", "12345678"), "buyer.registration: 12345678 is not a 統一編號"),
        (CASE, "data_sheet.file: cannot read sheet.pdf"),
    ):
        file.write_text(text, "utf-8")
        said = bench(*QUICK, "--case", file)
        assert said.code == 2
        assert words in one_line(said.err)
    for path in ("none.toml", "pipe"):
        said = bench(*QUICK, "--case", path)
        assert said.code == 2
        assert path in one_line(said.err)
    said = bench(*QUICK, "--repeat", "2", "--case", file)
    assert said.code == 2
    assert "data_sheet.file" in one_line(said.err)
    assert not (bench.folder / "results").exists()
    assert not bench.home.exists()


def test_each_of_many_runs_carries_the_case(bench: Program) -> None:
    (bench.folder / "case.toml").write_text('number = "42"\n', "utf-8")
    said = bench(*QUICK, "--repeat", "2", "--json", "--case", "case.toml")
    assert said.code == 0, said.err
    files = [Path(run["evidence"]) for run in said.json["runs"]]
    assert len(files) == 2
    for file, run in zip(files, said.json["runs"], strict=True):
        assert run["case"]["number"] == "42"
        assert predicate(bench.folder / file)["case"] == run["case"]


def test_the_template_is_printed_and_nothing_is_measured(bench: Program) -> None:
    said = bench("run", "--case-template")
    assert said.code == 0
    assert said.err == ""
    assert re.search('(?m)^number = ""$', said.out)
    assert [*bench.folder.iterdir()] == []
    assert not bench.home.exists()
