"""`bench verify` and `bench show` on evidence that a real run made."""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import forging
import pytest
from program import Made, Said, one_line

from bench.evidence import keys
from bench.evidence.envelope import report_number
from bench.evidence.statement import parse
from bench.terms import Envelope

STEPS = (
    "read",
    "envelope",
    "signature",
    "decode",
    "rules-and-profiles",
    "challenge",
    "recompute-figures",
    "openings",
    "recompute-verdict",
    "plausibility",
)


def number_of(made: Made) -> str:
    return report_number(Envelope(payload=made.payload, payload_type="", signatures=()))


def test_evidence_of_a_real_run_verifies_in_ten_numbered_steps(made: Made) -> None:
    said = made.bench("verify", made.file)
    assert (said.code, said.err) == (0, "")
    path, *steps, last = said.out.splitlines()
    assert path == str(made.file)
    told = [re.fullmatch(r"  ([0-9]) (\S+) +(\S.*)", line) for line in steps]
    assert [(int(t[1]), t[2]) for t in told if t] == list(enumerate(STEPS))
    assert last == "valid: assurance A0, a smoke test: it decides nothing"


def test_each_step_says_what_it_found_in_words(made: Made) -> None:
    lines = made.bench("verify", made.file).out.splitlines()[1:11]
    found = [line[25:] for line in lines]
    assert found[0] == f"{made.file.stat().st_size} bytes, within limits"
    assert found[1] == f"strict DSSE envelope, report {number_of(made)}, 1 signature(s)"
    assert found[2].startswith("unchanged since it was signed by self (SHA256:")
    assert found[2].endswith("that says nothing about by whom")
    assert found[3].startswith("compute evidence, format 6, made 20")
    assert "tw-ai-hardware-2024" in found[4]
    assert "consultation 2024; check the regulation in force" in found[4]
    assert found[5] == "no challenge"
    assert re.fullmatch(r"counts and figures of [1-9][0-9]* rows follow from [1-9][0-9]* samples", found[6])
    assert found[7] == "no outputs opened"
    assert found[8] == "the verdict follows, by method verdict/1"
    assert found[9] == "times in order, 0 days old"


def test_verify_tells_programs_the_same_in_json(made: Made) -> None:
    said = made.bench("verify", "--json", made.file)
    assert (said.code, said.err) == (0, "")
    (result,) = said.json
    assert (result["valid"], result["exitCode"], result["file"]) == (True, 0, str(made.file))
    assert [(step["step"], step["name"]) for step in result["steps"]] == list(enumerate(STEPS))
    assert result["report"] == number_of(made)
    assert result["signers"] == [{"principal": "self", "fingerprint": forging.trusted_key(made).fingerprint}]
    assert result["verdict"] == json.loads(made.payload)["predicate"]["verdict"]


def test_a_failure_is_told_to_programs_with_its_step_and_exit_code(made: Made, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    said = made.bench("verify", "--json", tmp_path / "x", made.file)
    assert said.code == 4
    one_line(said.err)
    bad, good = said.json
    assert (bad["valid"], bad["step"], bad["exitCode"]) == (False, 1, 4)
    assert bad["error"] in said.err
    assert [step["step"] for step in bad["steps"]] == [0]
    assert good["valid"] is True


def test_verify_writes_nothing(made: Made, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(made.file.read_bytes())
    before = sorted(made.bench.home.iterdir()), (tmp_path / "copy").stat()
    made.bench("verify", tmp_path / "copy")
    assert (sorted(made.bench.home.iterdir()), (tmp_path / "copy").stat().st_mtime_ns) == (
        before[0],
        before[1].st_mtime_ns,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


# ------------------------------------------------------------------------------------------ options


def test_a_required_tier_that_is_not_met_is_exit_code_1(made: Made) -> None:
    said = made.bench("verify", "--require", "inference-server", "--require", "edge-device", made.file)
    assert said.code == 1
    assert one_line(said.err) == "bench: required, and not met: inference-server, edge-device.\n"
    assert "valid: assurance A0" in said.out


def test_a_required_tier_that_the_rule_set_does_not_have_is_a_usage_error(made: Made) -> None:
    said = made.bench("verify", "--require", "toaster", made.file)
    assert said.code == 2
    assert "unknown tier 'toaster'" in one_line(said.err)
    assert "training-server, inference-server, edge-device" in said.err


def test_evidence_older_than_asked_is_refused(made: Made, tmp_path: Path) -> None:
    assert made.bench("verify", "--max-age", "24h", made.file).code == 0
    old = parse(made.payload)
    path = forging.write(
        tmp_path, "old", forging.built(made, forging.concluded(old, created="2024-02-29T00:00:00Z"))
    )
    assert made.bench("verify", path).code == 0
    said = made.bench("verify", "--max-age", "720h", path)
    assert said.code == 4
    assert "step 9: it was made at 2024-02-29T00:00:00Z" in one_line(said.err)
    assert "older than --max-age allows (30 days)" in said.err


@pytest.mark.parametrize("age", ["soon", "99999999999999h"])
def test_an_age_that_is_none_is_a_usage_error(made: Made, age: str) -> None:
    said = made.bench("verify", "--max-age", age, made.file)
    assert said.code == 2
    assert "expected" in one_line(said.err) or "type e.g. 720h" in said.err


def test_another_rule_set_than_the_one_it_was_judged_by_is_refused(made: Made, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "profiles" / "rules" / "tw-ai-hardware-2024.toml"
    assert made.bench("verify", "--rules", shipped, made.file).code == 0
    softer = tmp_path / "softer.toml"
    softer.write_text(shipped.read_text("utf-8").replace("value = 45\n", "value = 1\n"), "utf-8")
    said = made.bench("verify", "--rules", softer, made.file)
    assert said.code == 4
    assert "step 4: rule set tw-ai-hardware-2024" in one_line(said.err)
    assert "--rules FILE.toml" in said.err
    assert made.bench("verify", "--rules", tmp_path / "none.toml", made.file).code == 2


def test_a_trust_store_of_ones_own_decides_who_is_trusted(made: Made, tmp_path: Path) -> None:
    nobody, vendor = tmp_path / "nobody", tmp_path / "vendor"
    nobody.write_text("")
    vendor.write_text(f"vendor@example.org {forging.trusted_key(made).public.line}\n")
    assert made.bench("verify", "--trust", nobody, made.file).code == 5
    said = made.bench("verify", "--trust", vendor, made.file)
    assert said.code == 0
    assert "  2 signature            signed by vendor@example.org (SHA256:" in said.out
    assert made.bench("verify", "--trust", tmp_path / "none", made.file).code == 2


# ------------------------------------------------------------------------------------- several files


def test_of_several_files_all_are_read_and_the_first_that_fails_gives_the_code(
    made: Made, tmp_path: Path
) -> None:
    stranger = keys.new(tmp_path / "stranger", None)
    unknown = forging.write(tmp_path, "unknown", forging.sealed(made.payload, stranger))
    nothing = forging.write(tmp_path, "nothing", b"")
    said = made.bench("verify", made.file, unknown, nothing, made.file)
    assert said.code == 5
    assert said.out.count("valid: assurance A0") == 2
    first, second = said.err.splitlines()
    assert first.startswith(f"bench: {unknown}: step 2: ")
    assert second.startswith(f"bench: {nothing}: step 1: ")
    assert made.bench("verify", nothing, unknown).code == 4


# ---------------------------------------------------------------------------------------------- show


def test_show_prints_the_very_report_that_the_run_printed(made: Made) -> None:
    said = made.bench("show", made.file)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Report {number_of(made)} · ")
    report, _, end = made.said.out.partition("\nevidence  ")
    assert said.out == report
    assert end.startswith(str(made.file))


def test_show_prints_nothing_of_what_does_not_verify(made: Made, tmp_path: Path) -> None:
    def raise_figure(predicate: object) -> None:
        predicate["figures"][0]["estimate"]["value"] *= 1.001  # type: ignore[index]

    stranger = keys.new(tmp_path / "stranger", None)
    for name, data, code in [
        ("edited", forging.changed(made, raise_figure), 4),
        ("unknown", forging.sealed(made.payload, stranger), 5),
    ]:
        said = made.bench("show", forging.write(tmp_path, name, data))
        assert (said.code, said.out) == (code, "")
        assert re.match(r"bench: \S+: step [26]: ", one_line(said.err))


def test_show_tells_programs_the_result_in_json(made: Made) -> None:
    result = made.bench("show", "--json", made.file).json
    assert result["report"] == number_of(made)
    assert result["mode"] == "quick"
    assert result["figures"] == json.loads(made.payload)["predicate"]["figures"]


# ------------------------------------------------------------------------------ hostile strings, shown

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b1m\u202egpj\n  9 plausibility  forged"


def hostile(made: Made, folder: Path) -> Path:
    """Evidence whose every free string steers a terminal; all that follows from it follows honestly."""
    evidence = parse(made.payload)
    selector = f"cpu{ESCAPES}"
    devices = [replace(evidence.devices[0], name=f"CPU {ESCAPES}", selector=selector, vendor=ESCAPES)]
    rows = []
    for row in evidence.measurements:
        workload = replace(row.workload, device=selector)
        rows.append(replace(row, workload=workload))
    forged = forging.concluded(
        evidence,
        devices=tuple(devices),
        measurements=tuple(rows),
        harness=replace(evidence.harness, version=ESCAPES),
    )
    return forging.write(folder, "hostile", forging.built(made, forged))


def on_a_terminal(made: Made, *words: str | Path) -> Said:
    """The command with a terminal as its output, where nothing strips what it prints."""
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    return made.bench(
        *words,
        launcher=(sys.executable, "-c", script, sys.executable, "-m", "bench"),
        env={"TERM": "xterm-256color"},
    )


@pytest.mark.parametrize("command", ["verify", "show"])
def test_terminal_escapes_in_strings_are_shown_as_inert_text(
    made: Made, tmp_path: Path, command: str
) -> None:
    path = hostile(made, tmp_path)
    for said in (made.bench(command, path), on_a_terminal(made, command, path)):
        assert said.code == 0
        bold = re.sub(r"\x1b\[(0|1|(1;)?3[123])?m", "", said.out)  # the program's own, on a terminal
        assert "\x1b" not in bold
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", bold)
        assert "\n  9 plausibility  forged" not in said.out.replace("\r", "")
    if command == "show":
        assert "CPU redgpj   9 plausibility" in said.out


def test_terminal_escapes_in_strings_are_escaped_in_json(made: Made, tmp_path: Path) -> None:
    path = hostile(made, tmp_path)
    said = on_a_terminal(made, "show", "--json", path)
    assert said.code == 0
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", said.out)
    assert {figure["device"] for figure in json.loads(said.out)["figures"]} == {f"cpu{ESCAPES}"}


def test_terminal_escapes_in_what_is_refused_are_not_printed(made: Made, tmp_path: Path) -> None:
    def forge(predicate: object) -> None:
        predicate["rules"]["sha256"] = "\x1b[2J\nforged"  # type: ignore[index]

    path = forging.write(tmp_path, "forged", forging.changed(made, forge))
    said = on_a_terminal(made, "verify", path)
    assert said.code == 4
    assert "\x1b" not in said.out
    assert said.out.replace("\r", "").splitlines()[-1].startswith(f"bench: {path}: step 4: ")


def test_a_file_with_a_name_that_is_no_text_is_verified_too(made: Made, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\x1b[31m.json"
    Path(os.fsdecode(name)).write_bytes(made.file.read_bytes())
    for words in (("verify",), ("verify", "--json")):
        said = made.bench(*words, os.fsdecode(name))
        assert (said.code, said.err) == (0, "")
        assert "\x1b" not in said.out
