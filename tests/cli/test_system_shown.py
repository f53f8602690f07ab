"""Evidence of a system as its readers meet it: shown, verified, listed, written as a page, never compared.

Its ranks' reports are two copies of a real smoke test, which have no window in common.
"""

import base64
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from program import Made, Program, one_line

from bench.evidence import envelope, keys, statement
from bench.judge import catalog, system
from bench.report import sentences
from bench.terms import Evidence, Member, Rank, SystemEvidence

LOST = 1


def signed_part(evidence: Evidence, rank: int, key: keys.SigningKey) -> str:
    """The base64 of a rank's report, as it signs it."""
    part = replace(evidence, rank=Rank(number=rank, of=2, node=0))
    return base64.b64encode(
        envelope.to_json(envelope.sign(statement.build(part), envelope.PAYLOAD_TYPE, [key]))
    ).decode()


def system_of(made: Made, *, lost: bool) -> SystemEvidence:
    """Two ranks; with `lost` the second one has sent nothing."""
    evidence, key = statement.parse(made.payload), keys.load(made.bench.home / "key")
    assert isinstance(evidence, Evidence)
    members = tuple(
        Member(
            rank=rank,
            node=0,
            device="cpu",
            key=key.public.line,
            report=None if lost and rank == LOST else signed_part(evidence, rank, key),
            exchanges=(),
            reason="rank-lost" if lost and rank == LOST else None,
        )
        for rank in range(2)
    )
    parts = [
        system.Part(
            member=member,
            evidence=None
            if member.report is None
            else replace(evidence, rank=Rank(number=member.rank, of=2, node=0)),
        )
        for member in members
    ]
    found = system.conclude(parts, catalog.rules(evidence.rules.name), (), quick=True)
    return SystemEvidence(
        format=statement.SYSTEM_FORMAT,
        created=evidence.created,
        mode=evidence.mode,
        assurance=found.assurance,
        interrupted=lost,
        nonce=evidence.nonce,
        challenge=None,
        case=evidence.case,
        harness=evidence.harness,
        claims=(),
        rules=evidence.rules,
        members=members,
        figures=found.figures,
        verdict=found.verdict,
        does_not_show=found.does_not_show,
    )


def written(made: Made, folder: Path, name: str, *, lost: bool) -> Path:
    key = keys.load(made.bench.home / "key")
    signed = envelope.sign(statement.build(system_of(made, lost=lost)), envelope.PAYLOAD_TYPE, [key])
    file = folder / f"{name}.evidence.json"
    file.write_bytes(envelope.to_json(signed))
    return file


@pytest.fixture
def bench(made: Made, tmp_path: Path) -> Program:
    """The user who made the run, in a folder of their own."""
    shutil.copytree(made.bench.home, tmp_path / "home")
    return Program(home=tmp_path / "home", folder=tmp_path)


@pytest.fixture
def whole(made: Made, tmp_path: Path) -> Path:
    return written(made, tmp_path, "whole", lost=False)


@pytest.fixture
def short(made: Made, tmp_path: Path) -> Path:
    return written(made, tmp_path, "short", lost=True)


def test_each_step_of_verifying_a_system_is_told_in_words(bench: Program, whole: Path) -> None:
    said = bench("verify", whole)
    assert said.code == 0, said.err
    assert "compute evidence of a system, format 1" in said.out
    assert "the reports of 2 of 2 ranks verified by themselves" in said.out
    assert "valid: assurance A0, a smoke test: it decides nothing" in said.out


def test_a_tier_is_required_of_a_system_as_of_a_run(bench: Program, whole: Path) -> None:
    said = bench("verify", "--require", "training-server", whole)
    assert said.code == 1
    assert "required, and not met: training-server." in one_line(said.err)
    assert bench("verify", "--require", "A0", whole).code == 0


def test_a_system_is_shown_with_its_ranks_and_why_it_has_no_figure(
    bench: Program, whole: Path, made: Made
) -> None:
    said = bench("show", whole)
    assert said.code == 0, said.err
    assert "2 device(s) on 1 machine(s), measured at once" in said.out
    shown = " ".join(said.out.split())
    (reason,) = {str(figure.reason) for figure in system_of(made, lost=False).figures}
    assert f"no figure: {sentences.reason(reason)}" in shown
    assert "rank 1 on machine 0: cpu" in said.out


def test_a_lost_rank_is_named_wherever_the_system_is_shown(bench: Program, short: Path) -> None:
    words = "rank 1 on machine 0 (cpu) is missing: it gave no sign of life"
    assert words in bench("show", short).out
    assert bench("report", "-o", "page.html", short).code == 0
    assert words in (bench.folder / "page.html").read_text("utf-8")
    assert "interrupted" in bench("verify", short).out


def test_the_json_of_a_system_has_the_reports_numbers_in_the_reports_place(
    bench: Program, whole: Path, made: Made
) -> None:
    result = bench("show", "--json", whole).json
    numbers = [
        envelope.report_number(envelope.parse(base64.b64decode(member["report"])))
        for member in json.loads(base64.b64decode(json.loads(whole.read_bytes())["payload"]))["predicate"][
            "members"
        ]
    ]
    assert [member["report"] for member in result["members"]] == numbers
    assert {figure["device"] for figure in result["figures"]} == {"system"}
    assert {row["device"] for row in result["verdict"]["thresholds"]} == {"system"}
    assert "ranks-vouched-by-rank-0" in result["doesNotShow"]
    short = written(made, bench.folder, "short", lost=True)
    assert bench("show", "--json", short).json["members"][LOST]["report"] is None


def test_a_folder_lists_a_system_by_its_devices_before_and_after_it_is_verified(
    bench: Program, made: Made
) -> None:
    folder = bench.folder / "results"
    folder.mkdir()
    written(made, folder, "whole", lost=False)
    written(made, folder, "short", lost=True)
    (before, after) = (bench("results", "list", "--json").json, bench("results", "verify"))
    assert after.code == 0, after.err
    assert {row["kind"] for row in before} == {"system"}
    for rows in (before, bench("results", "list", "--json").json):
        whole, short = sorted(rows, key=lambda row: row["interrupted"])
        assert [device["selector"] for device in whole["devices"]] == ["cpu", "cpu"]
        assert whole["devices"][0]["name"] == whole["devices"][1]["name"] != ""
        assert short["devices"][1]["name"] == ""
    assert "2 × " in bench("results", "list").out


def test_a_system_is_compared_with_nothing(bench: Program, whole: Path, made: Made) -> None:
    for words in ((made.file, whole), (whole, made.file)):
        said = bench("compare", *words)
        assert said.code == 2
        assert "about several devices at once, which cannot be compared" in one_line(said.err)


def test_a_verdict_on_a_system_says_that_its_devices_worked_at_once(
    bench: Program, whole: Path, short: Path
) -> None:
    said = bench("sign", "--verdict", whole)
    assert said.code == 0, said.err
    assert "COMPUTE_EVIDENCE_DEVICES_AT_ONCE" in said.out
    assert "COMPUTE_EVIDENCE_COMPLETE" in said.out
    assert "COMPUTE_EVIDENCE_OUTPUTS_RECOMPUTED" not in said.out
    assert "COMPUTE_EVIDENCE_COMPLETE" not in bench("sign", "--verdict", short).out
