"""A report that answers a challenge: what verifying it says, and what it refuses."""

import base64
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import forging
import pytest
from program import Answered, Program, Said

from bench.errors import EvidenceInvalid
from bench.evidence import challenge, envelope, keys, ledger, statement, trust
from bench.evidence.challenge import Posed, spelled
from bench.evidence.opened import require_opened
from bench.terms import Challenge, Digest, Evidence, Finding, Opening, Sample, Visit

NEVER = timedelta(days=3)


@pytest.fixture
def auditor(answered: Answered, tmp_path: Path) -> Program:
    """The auditor of the challenge, with a ledger that may be written."""
    shutil.copytree(answered.auditor.home, tmp_path / "home")
    return Program(home=tmp_path / "home", folder=tmp_path)


@pytest.fixture
def evidence(answered: Answered) -> Evidence:
    return statement.parse(answered.made.payload)


def step(said: Said, number: int) -> str:
    return next(line for line in said.out.splitlines() if line.startswith(f"  {number} "))


# ------------------------------------------------------------------------------------- what it says


def test_with_its_challenge_a_report_is_of_level_a1(answered: Answered) -> None:
    said = answered.auditor("verify", "--challenge", answered.challenge, answered.made.file)
    assert (said.code, said.err) == (0, "")
    assert "signed by vendor@example.org (SHA256:" in step(said, 2)
    assert "answers challenge " in step(said, 5)
    assert step(said, 5).endswith("not used up")
    assert (
        "rows of outputs computed anew for 1 of 1 figures: leaving out 10.0 % of the committed rows is"
        in step(said, 7)
    )
    assert "valid: assurance A1, " in said.out


def test_without_its_challenge_it_is_of_level_a0_and_says_why(answered: Answered) -> None:
    said = answered.auditor("verify", answered.made.file)
    assert said.code == 0
    assert "nothing here shows that it is fresh (--challenge FILE)" in step(said, 5)
    assert "computed anew" in step(said, 7)
    assert "valid: assurance A0, " in said.out
    shown = answered.auditor("show", answered.made.file, "--json").json
    assert shown["assurance"] == "A0"
    assert shown["doesNotShow"][0] == "challenge-not-given"


def test_the_report_tells_the_work_that_the_openings_cover(answered: Answered, evidence: Evidence) -> None:
    shown = answered.auditor("show", "--challenge", answered.challenge, answered.made.file)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.strip() in answered.made.said.out
    (opening,) = evidence.openings
    assert opening.covers is not None
    assert (
        f"outputs of {opening.row}: {opening.opened} of {opening.leaves} rows opened; "
        f"committed: {opening.covers.committed} of {opening.covers.timed} timed launches" in shown.out
    )
    assert "leaving out 10 % of the committed rows is caught with 99.9 %" in shown.out
    assert "Assurance A1: fresh, for one auditor's challenge" in shown.out


def test_a_third_party_without_the_ledger_is_told_what_it_cannot_see(
    answered: Answered, tmp_path: Path
) -> None:
    third = Program(home=tmp_path / "third", folder=tmp_path)
    (third.home).mkdir()
    shutil.copy(answered.auditor.home / "allowed_signers", third.home)
    said = third("verify", "--challenge", answered.challenge, answered.made.file)
    assert said.code == 0
    assert step(said, 5).endswith("it stands in no ledger here, so that a second use would not be seen")
    assert sorted(path.name for path in third.home.iterdir()) == ["allowed_signers"]


# ------------------------------------------------------------------------------------- what it refuses


def posed(answered: Answered, folder: Path, **changes: Any) -> tuple[Path, Posed]:
    """The auditor's challenge with changes, signed by the auditor."""
    key, now = keys.load(answered.auditor.home / "key"), datetime.now(UTC)
    signers = trust.read(answered.auditor.home / "allowed_signers")
    asked: Challenge = challenge.read(answered.challenge, signers, now).challenge
    path = folder / "other-challenge.json"
    path.write_bytes(envelope.to_json(challenge.sign(replace(asked, **changes), key)))
    return path, challenge.read(path, signers, now)


def answering(answered: Answered, evidence: Evidence, to: Posed, folder: Path) -> Path:
    """The report as if it had answered that challenge, which has the same nonce."""
    changed = replace(evidence, challenge=Digest(name="challenge", sha256=to.digest))
    return forging.write(folder, "answering", forging.built(answered.made, changed))


def refused(answered: Answered, challenge_file: Path, report: Path, words: str) -> None:
    # Of an auditor whose ledger does not hold the other challenge with the same nonce.
    home = report.parent / "home-without-ledger"
    shutil.copytree(answered.auditor.home, home, ignore=shutil.ignore_patterns("ledger*"), dirs_exist_ok=True)
    said = Program(home=home, folder=report.parent)("verify", "--challenge", challenge_file, report)
    assert said.code == 6
    assert "step 5: challenge " in line(said)
    assert words in said.err
    assert "valid" not in said.out


def line(said: Said) -> str:
    lines = said.err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_report_for_another_nonce_is_refused(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    file, other = posed(answered, tmp_path, nonce="ab" * 32)
    report = Path(shutil.copy(answered.made.file, tmp_path / "genuine.evidence.json"))
    refused(answered, file, report, "the report answers another challenge")
    refused(
        answered, file, answering(answered, evidence, other, tmp_path), "has the nonce abababababab..., and"
    )


def test_another_challenge_with_a_nonce_that_was_issued_is_refused(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    file, other = posed(answered, tmp_path, auditor="Somebody else")
    report = answering(answered, evidence, other, tmp_path)
    said = answered.auditor("verify", "--challenge", file, report)
    assert said.code == 6
    assert "is not the one that was issued here with its nonce" in line(said)


def test_a_report_of_another_device_is_refused(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    file, other = posed(answered, tmp_path, device="NVIDIA H100 PCIe")
    report = answering(answered, evidence, other, tmp_path)
    refused(answered, file, report, "is for the device NVIDIA H100 PCIe, and what is measured is ")


def test_a_report_for_a_challenge_that_has_expired_is_refused(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    file, other = posed(
        answered, tmp_path, issued=spelled(now - NEVER), expires=spelled(now - timedelta(minutes=1))
    )
    report = answering(answered, evidence, other, tmp_path)
    refused(answered, file, report, "That a report was there in time is shown by a")


def test_a_second_use_is_refused(
    answered: Answered, evidence: Evidence, auditor: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(auditor.home))
    ledger.close(evidence.nonce, sha256(b"an earlier report").hexdigest(), datetime.now(UTC))
    said = auditor("verify", "--challenge", answered.challenge, answered.made.file)
    assert said.code == 6
    assert "was used up by report " in line(said)


def test_a_report_without_a_challenge_is_refused_where_one_was_posed(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    report = forging.built(answered.made, forging.concluded(evidence, challenge=None, openings=()))
    said = answered.auditor("verify", "--challenge", answered.challenge, forging.write(tmp_path, "a", report))
    assert said.code == 6
    assert "the report answers no challenge" in line(said)


# ------------------------------------------------------------------------------------- openings


Edit = Callable[[Opening], Opening]


def with_opening(evidence: Evidence, edit: Edit) -> Evidence:
    (opening,) = evidence.openings
    return forging.concluded(evidence, openings=(edit(opening),))


def recut(opening: Opening, cut: Callable[[bytes], bytes]) -> Opening:
    assert opening.siblings is not None
    return replace(opening, siblings=base64.b64encode(cut(base64.b64decode(opening.siblings))).decode())


def share(opening: Opening, skipped_share: float, opened: int) -> Opening:
    assert opening.covers is not None
    return replace(opening, opened=opened, covers=replace(opening.covers, skipped_share=skipped_share))


def none(opening: Opening, reason: str) -> Opening:
    return replace(opening, stays=(), root=None, siblings=None, covers=None, reason=reason)


RIGHT = "the outputs committed are not those of its operands"
COUNTS = "the counts of its opening are not those of its windows"

UNOPENED: dict[str, tuple[Edit, str]] = {
    "another root": (lambda o: replace(o, root="ab" * 32), RIGHT),
    "a root that is none": (lambda o: replace(o, root="ab"), RIGHT),
    # Where the run took so small a shape that all its rows were opened, there is no path to change.
    "a changed path": (lambda o: recut(o, lambda d: bytes([d[0] ^ 1]) + d[1:] if d else bytes(64)), RIGHT),
    "a path cut short": (lambda o: recut(o, lambda d: d[:-32] if d else bytes(31)), RIGHT),
    "a path too long": (lambda o: recut(o, lambda d: d + bytes(32)), RIGHT),
    "a path that is none": (lambda o: replace(o, siblings="%"), RIGHT),
    "fewer places": (lambda o: replace(o, opened=10), COUNTS),
    "fewer leaves": (lambda o: replace(o, leaves=o.leaves // 2), COUNTS),
    "another window": (lambda o: replace(o, stays=(1,)), COUNTS),
    "another share than its count": (lambda o: share(o, 0.20, o.opened), COUNTS),
    "a share of nearly all": (lambda o: share(o, 0.9, 23), "against a share of 0.9 left out"),
    "more launches timed": (
        lambda o: replace(o, covers=o.covers and replace(o.covers, timed=o.covers.timed // 2)),
        COUNTS,
    ),
    "a higher confidence": (
        lambda o: replace(o, covers=o.covers and replace(o.covers, confidence=0.9999)),
        COUNTS,
    ),
    "another row": (lambda o: replace(o, row="torch_gemm/fp16/mm"), "that the evidence does not hold"),
    "no windows, it says": (lambda o: none(o, "no-exact-window"), "whether it has windows to open is told"),
    "rounded, it says": (lambda o: none(o, "rounded-otherwise"), "does not requantise"),
    "for no reason": (lambda o: none(o, "too-tired"), "for a reason that is none"),
}


@pytest.mark.parametrize("name", UNOPENED)
def test_an_opening_that_does_not_hold_is_refused_at_step_7(
    answered: Answered, evidence: Evidence, tmp_path: Path, name: str
) -> None:
    edit, words = UNOPENED[name]
    forged = forging.write(tmp_path, "forged", forging.built(answered.made, with_opening(evidence, edit)))
    said = answered.auditor("verify", forged)
    assert said.code == 4
    assert "step 7: " in line(said)
    assert words in said.err


def test_a_looser_share_than_the_challenge_asked_for_is_refused(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    looser = with_opening(evidence, lambda o: share(o, 0.25, 179))
    report = forging.write(tmp_path, "looser", forging.built(answered.made, looser))
    refused(
        answered, answered.challenge, report, "asks that leaving out 10 % of the committed rows is caught"
    )


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda e: replace(e, openings=(*e.openings, *e.openings)), "a row was opened twice"),
        (
            lambda e: replace(e, challenge=Digest(name="ch", sha256="0" * 64)),
            "the digest of the challenge has another name",
        ),
        (lambda e: replace(e, challenge=None), "outputs were opened without a challenge"),
        (lambda e: replace(e, interrupted=True), "or in a run that was interrupted"),
        (lambda e: replace(e, figures=()), "was opened, and no figure stands on it"),
        (
            lambda e: replace(e, openings=(replace(none(e.openings[0], "outputs-differ"), leaves=1),)),
            "the counts of its opening are not those of its windows",
        ),
    ],
)
def test_openings_that_no_run_writes_are_refused(
    evidence: Evidence, edit: Callable[[Evidence], Evidence], words: str
) -> None:
    assert require_opened(evidence) == evidence.openings[0].opened
    with pytest.raises(EvidenceInvalid, match=re.escape(words)) as caught:
        require_opened(edit(evidence))
    assert caught.value.step == 7


def test_a_figure_without_an_opening_is_refused(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    bare = forging.built(answered.made, forging.concluded(evidence, openings=()))
    said = answered.auditor("verify", forging.write(tmp_path, "bare", bare))
    assert (said.code, "no outputs were opened of rows behind figures" in said.err) == (4, True)


def test_a_row_that_was_found_wrong_has_no_figure(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    """The next row of the precision is then the figure's, and was to be opened as well."""
    found = with_opening(evidence, lambda o: none(o, "outputs-differ"))
    row = evidence.openings[0].row
    assert any(f.code == "opened-outputs-wrong" and f.subject == row for f in found.verdict.findings)
    assert found.assurance == "A0"
    assert all(figure.row != row for figure in found.figures)
    said = answered.auditor("verify", forging.write(tmp_path, "a", forging.built(answered.made, found)))
    assert (said.code, "no outputs were opened of rows behind figures" in said.err) == (4, True)


def test_samples_that_tell_other_last_launches_are_refused(
    answered: Answered, evidence: Evidence, tmp_path: Path
) -> None:
    """Two launches more while it settled move the operands of all that came after it."""

    def more(sample: Sample) -> Sample:
        return replace(sample, launches=sample.launches + 2)

    def moved(visit: Visit) -> Visit:
        return replace(visit, settle=(more(visit.settle[0]), *visit.settle[1:]))

    row = evidence.openings[0].row
    rows = [
        replace(m, visits=(moved(m.visits[0]), *m.visits[1:])) if m.workload.row == row else m
        for m in evidence.measurements
    ]
    forged = forging.concluded(evidence, measurements=tuple(rows))
    said = answered.auditor("verify", forging.write(tmp_path, "a", forging.built(answered.made, forged)))
    assert said.code == 4
    assert re.search(
        "step 6: .*: a visit is not whole|step 7: .*: the outputs committed are not those", said.err
    )


# ------------------------------------------------------------------------------------- whose challenge


def test_a_challenge_that_the_vendor_posed_to_himself_is_not_trusted(
    answered: Answered, tmp_path: Path
) -> None:
    """His key is trusted for reports, and not for challenges: else he would be as fresh as he likes."""
    now = datetime.now(UTC)
    signers = trust.read(answered.auditor.home / "allowed_signers")
    asked = challenge.read(answered.challenge, signers, now).challenge
    own = challenge.sign(asked, keys.load(answered.vendor.home / "key"))
    file = tmp_path / "own-challenge.json"
    file.write_bytes(envelope.to_json(own))
    said = answered.auditor("verify", "--challenge", file, answered.made.file)
    assert said.code == 5
    assert 'is for other namespaces, not "compute-evidence-challenge"' in line(said)
    assert said.out == ""


def test_a_vendor_who_does_not_trust_the_auditor_for_challenges_answers_none(
    answered: Answered, tmp_path: Path
) -> None:
    vendor = Program(home=tmp_path / "vendor", folder=tmp_path)
    auditor_key = answered.auditor.home / "key.pub"
    assert vendor("key", "new").code == 0
    assert vendor("key", "trust", "auditor", auditor_key).code == 0
    said = vendor("run", "--quick", "--challenge", answered.challenge)
    assert said.code == 5
    assert "bench key trust --auditor AUDITOR auditor.pub" in line(said)
    assert vendor("key", "trust", "--auditor", "auditor", auditor_key).code == 0
    assert vendor("key", "trust", "--auditor", "auditor", auditor_key).out.startswith("already trusted")


# ------------------------------------------------------------------------------------- run


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--precision", "fp32"), "the challenge asks for fp64, --precision for fp32"),
        (("--repeat", "2"), "--challenge and --repeat exclude each other"),
    ],
)
def test_what_is_typed_against_the_challenge_is_refused_before_measuring(
    answered: Answered, words: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    vendor = Program(home=answered.vendor.home, folder=tmp_path)
    said = vendor("run", "--quick", "--challenge", answered.challenge, *words)
    assert said.code == 2
    assert reason in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        (
            {"issued": "2026-01-01T00:00:00Z", "expires": "2026-01-02T00:00:00Z"},
            6,
            "expired at 2026-01-02T00:00:00Z",
        ),
        ({"device": "Another processor"}, 6, "is for the device Another processor, and what is measured is"),
        ({"sustain_s": 60}, 2, "the challenge asks for windows held for 1 min"),
        (
            {"rules": Digest(name="tw-ai-hardware-2024", sha256="0" * 64)},
            2,
            "the challenge is about rule set",
        ),
        ({"rules": Digest(name="/etc/passwd.toml", sha256="0" * 64)}, 2, "which is not shipped with this"),
    ],
    ids=["expired", "another device", "held for longer", "another rule set", "a path for a rule set"],
)
def test_a_challenge_that_this_run_cannot_answer_is_refused_before_measuring(
    answered: Answered, changes: dict[str, Any], code: int, reason: str, tmp_path: Path
) -> None:
    file, _ = posed(answered, tmp_path, **changes)
    vendor = Program(home=answered.vendor.home, folder=tmp_path)
    said = vendor("run", "--quick", "--challenge", file)
    assert said.code == code
    assert reason in line(said)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


# ------------------------------------------------------------------------------------- a level asked for


def test_a_level_can_be_required_beside_tiers(answered: Answered) -> None:
    words = ("verify", "--require", "A1", answered.made.file)
    without = answered.auditor(*words)
    assert without.code == 1
    assert line(without) == "bench: required, and not met: A1."
    assert answered.auditor(*words, "--challenge", answered.challenge).code == 0
    assert answered.auditor("verify", "--require", "A2", answered.made.file).code == 1
    unknown = answered.auditor("verify", "--require", "A9", answered.made.file)
    assert unknown.code == 2
    assert "the levels of assurance A0, A1, A2, A3" in line(unknown)


# ------------------------------------------------------------------------------------- what goes wrong

FAILING = """
from bench.workload import openings
def fail(*_): raise MemoryError("no room")
openings.open_rows = fail
from bench.cli import main
main()
"""


def test_a_failure_while_opening_loses_nothing_that_was_measured(answered: Answered, tmp_path: Path) -> None:
    vendor = Program(home=answered.vendor.home, folder=tmp_path)
    words = ("run", "--quick", "--challenge", answered.challenge, "-o", "kept.evidence.json")
    said = vendor(*words, launcher=(sys.executable, "-c", FAILING))
    assert said.code == 70
    assert "What was measured is in kept.evidence.json" in said.err
    kept = vendor("show", "kept.evidence.json", "--json").json
    assert (kept["interrupted"], kept["assurance"]) == (True, "A0")
    assert kept["figures"][0]["estimate"] is not None


def test_a_report_of_level_a0_leaves_its_challenge_open(
    answered: Answered, evidence: Evidence, auditor: Program, tmp_path: Path
) -> None:
    """One whose rows were all refused answers the challenge, and would burn it."""
    rows = tuple(
        replace(row, ended="refused", findings=(refusal(row.workload.row),)) for row in evidence.measurements
    )
    empty = forging.concluded(evidence, measurements=rows, openings=())
    assert empty.assurance == "A0"
    report = forging.write(tmp_path, "empty", forging.built(answered.made, empty))
    assert auditor("verify", "--challenge", answered.challenge, report).code == 0
    said = auditor("challenge", "close", report)
    assert said.code == 6
    assert "reaches assurance A0 only" in line(said)
    assert auditor("challenge", "list", "--json").json[0]["state"] == "open"


def refusal(row: str) -> Finding:
    return Finding(subject=row, status="failure", code="backend-failed", numbers={"detail": "lost"})
