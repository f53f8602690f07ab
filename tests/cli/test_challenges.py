"""`bench challenge`: an auditor's day with the real program, and what is refused on the way."""

import json
import os
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from program import Answered, Program, Said, one_line

from bench.evidence import challenge, envelope, keys, ledger, statement, trust
from bench.evidence.challenge import FORMAT, Posed, spelled
from bench.judge import catalog
from bench.terms import Challenge, Digest

RULES = catalog.rules("tw-ai-hardware-2024")
NUMBER = re.compile(r"[0-9a-f]{12}")


def new(bench: Program, *words: str | Path) -> Said:
    return bench("challenge", "new", "-o", "c.json", *words)


def read(bench: Program, name: str = "c.json") -> Posed:
    """The challenge in a user's folder, of a key that the user trusts."""
    signers = trust.read(bench.home / "allowed_signers")
    return challenge.read(bench.folder / name, signers, datetime.now(UTC))


def listed(bench: Program) -> Any:
    said = bench("challenge", "list", "--json")
    assert (said.code, said.err) == (0, "")
    return said.json


# ------------------------------------------------------------------------------------------ posed


def test_a_challenge_asks_what_was_typed(bench: Program) -> None:
    words = ("--vendor", "A GmbH", "--device", "a10", "--auditor", "測試實驗室", "--expires", "2h")
    more = ("--precision", "fp32", "--precision", "int8", "--sustain", "600s", "--skipped", "10%")
    assert new(bench, *words, *more).code == 0
    asks = read(bench).challenge
    assert (asks.vendor, asks.device, asks.auditor) == ("A GmbH", "a10", "測試實驗室")
    assert (asks.precisions, asks.sustain_s, asks.skipped_share) == (("fp32", "int8"), 600, 0.1)
    assert asks.rules == Digest(name=RULES.id, sha256=RULES.digest)
    issued, expires = challenge.moment(asks.issued), challenge.moment(asks.expires)
    assert abs(datetime.now(UTC) - issued) < timedelta(minutes=5)
    assert expires - issued == timedelta(hours=2)


def test_what_was_not_typed_is_left_open_for_three_days_at_five_percent(bench: Program) -> None:
    assert new(bench).code == 0
    asks = read(bench).challenge
    assert (asks.vendor, asks.device, asks.precisions, asks.sustain_s) == (None, None, (), 0)
    assert asks.skipped_share == 0.05
    assert challenge.moment(asks.expires) - challenge.moment(asks.issued) == timedelta(hours=72)
    assert asks.auditor == keys.read_public(bench.home / "key.pub").fingerprint


def test_every_challenge_has_a_nonce_of_its_own(bench: Program) -> None:
    for name in ("a.json", "b.json"):
        assert bench("challenge", "new", "-o", name).code == 0
    assert read(bench, "a.json").challenge.nonce != read(bench, "b.json").challenge.nonce


def test_the_auditor_is_told_what_it_costs_and_what_the_vendor_types(bench: Program) -> None:
    said = new(bench, "--auditor", "lab@example.org", "--skipped", "0.1")
    posed = read(bench)
    lines = said.out.splitlines()
    assert lines[0] == f"challenge {posed.number}  c.json"
    assert lines[1] == f"nonce     {posed.challenge.nonce}"
    assert lines[2] == f"expires   {posed.challenge.expires}"
    assert lines[3].startswith("opens     487 rows of the outputs behind each figure: leaving out 10 % of")
    assert lines[4].endswith("10 %: 487, 5 %: 1000, 1 %: 5102")
    assert str(bench.home / "key.pub") in lines[5]
    assert keys.read_public(bench.home / "key.pub").fingerprint in lines[6]
    assert [line.strip() for line in lines[7:9]] == [
        "bench key trust --auditor lab@example.org key.pub",
        "bench run --challenge c.json",
    ]


def test_the_commands_told_to_the_vendor_are_words_that_a_shell_reads_as_they_are(bench: Program) -> None:
    said = new(bench, "--auditor", "lab; rm -rf $HOME")
    assert "bench key trust --auditor auditor key.pub" in said.out
    assert read(bench).challenge.auditor == "lab; rm -rf $HOME"


def test_a_rule_set_of_ones_own_is_named_to_the_vendor(bench: Program) -> None:
    shipped = Path(__file__).parents[2] / "profiles" / "rules" / "tw-ai-hardware-2024.toml"
    softer = bench.folder / "softer.toml"
    softer.write_text(shipped.read_text("utf-8").replace("value = 45\n", "value = 1\n"), "utf-8")
    said = new(bench, "--rules", softer)
    assert "bench run --challenge c.json --rules softer.toml" in said.out
    assert read(bench).challenge.rules.sha256 == sha256(softer.read_bytes()).hexdigest()


def test_a_key_that_is_asked_for_signs(bench: Program) -> None:
    assert bench("key", "new", "-o", "lab").code == 0
    said = new(bench, "--key", "lab")
    assert not (bench.home / "key").exists()
    fingerprint = keys.read_public(bench.folder / "lab.pub").fingerprint
    assert [signer.fingerprint for signer in read(bench).signers] == [fingerprint]
    assert "bench key trust --auditor auditor lab.pub" in said.out


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_ledger_is_its_owners_alone(bench: Program) -> None:
    assert new(bench).code == 0
    assert stat.S_IMODE((bench.home / "ledger.sqlite").stat().st_mode) == 0o600
    assert sorted(path.name for path in bench.folder.iterdir()) == ["c.json"]


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        (("--rules", "softer"), ("'softer'", "known are tw-ai-hardware-2024")),
        (("--precision", "fp12"), ('"fp12" is not known: known are fp64', "bench challenge new --help")),
        (("--precision", "fp32", "--precision", "fp32"), ("asked for twice",)),
        (("--vendor", ""), ('name of the vendor, ""',)),
        (("--device", "a\nb"), ('name of the device, "a b"',)),
        (("--auditor", "\x1b[2J"), ('name of the auditor, ""',)),
        (("--sustain", "9s"), ("held for 10 s to 7200 s or not at all, got 9 s",)),
        (("--sustain", "0s"), ("not a whole number of seconds",)),
        (("--sustain", "10.5s"), ("not a whole number of seconds",)),
        (("--sustain", "2h"), ("too long", "119 min 00 s each")),
        (
            ("--sustain", "1h", "--precision", "fp32", "--precision", "int8"),
            ("no run holds 2 row(s) for more than 59 min 30 s each",),
        ),
        (("--expires", "soon"), ("'soon'", "120s or 2min")),
        (("--expires", "0s"), ("not after it was issued",)),
        (("--expires", "999999999h"), ("longer than time is counted", "type e.g. 72h")),
        (("--skipped", "half"), ("'half'", "5% or 0.05")),
        (("--skipped", "0%"), ("between 1 % and 50 %, got 0 %",)),
        (("--skipped", "5"), ("between 1 % and 50 %, got 500 %",)),
        (("--key", "none"), ("no key at none",)),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_what_cannot_be_asked_is_refused_and_makes_nothing(
    bench: Program, words: tuple[str, ...], reasons: tuple[str, ...]
) -> None:
    said = new(bench, *words)
    assert (said.code, said.out) == (2, "")
    for reason in reasons:
        assert reason in one_line(said.err)
    assert list(bench.folder.iterdir()) == []
    assert not bench.home.exists()


def test_no_challenge_overwrites_a_file(bench: Program) -> None:
    for name, make in (("file", Path.touch), ("link", lambda path: path.symlink_to("nowhere"))):
        make(bench.folder / name)
        said = bench("challenge", "new", "-o", name)
        assert said.code == 2
        assert f"{name} is there already" in one_line(said.err)
    assert (bench.folder / "file").read_bytes() == b""
    assert listed(bench) == []


def test_a_place_that_cannot_be_written_makes_no_entry(bench: Program) -> None:
    assert bench("key", "new").code == 0
    said = bench("challenge", "new", "-o", "none/c.json")
    assert said.code == 3
    assert "cannot write none/c.json" in one_line(said.err)
    assert listed(bench) == []


def test_a_challenge_that_no_ledger_holds_is_taken_back(bench: Program) -> None:
    assert bench("key", "new").code == 0
    (bench.home / "ledger.sqlite").write_bytes(b"no ledger " * 1000)
    said = new(bench)
    assert (said.code, said.out) == (3, "")
    assert "cannot use the ledger" in one_line(said.err)
    assert "No challenge was made: c.json was removed." in said.err
    assert list(bench.folder.iterdir()) == []


# ----------------------------------------------------------------------------------------- looked at


def test_what_a_challenge_asks_is_shown(bench: Program) -> None:
    new(bench, "--vendor", "A GmbH", "--precision", "fp32", "--sustain", "600s")
    said = bench("challenge", "show", "c.json")
    posed = read(bench)
    assert (said.code, said.err) == (0, "")
    shown = dict(line.split(None, 1) for line in said.out.splitlines())
    assert shown["challenge"] == posed.number
    assert shown["signed"] == f"self ({posed.signers[0].fingerprint})"
    assert (shown["vendor"], shown["device"], shown["precision"]) == ("A GmbH", "any", "fp32")
    assert shown["held"] == "each precision's best row for 10 min 00 s"
    assert shown["opens"].startswith("1000 rows")
    assert (shown["nonce"], shown["expires"]) == (posed.challenge.nonce, posed.challenge.expires)
    as_json = bench("challenge", "show", "--json", "c.json").json
    assert as_json["digest"] == posed.digest
    assert as_json["signature"] is None
    assert as_json["challenge"]["nonce"] == posed.challenge.nonce


def test_showing_needs_no_trust_and_says_so(bench: Program, tmp_path: Path) -> None:
    new(bench)
    stranger = Program(home=tmp_path / "stranger", folder=bench.folder)
    said = stranger("challenge", "show", "c.json")
    assert said.code == 0
    assert re.search(r"^signed +signature not checked: key not trusted here \(", said.out, re.M)
    as_json = stranger("challenge", "show", "--json", "c.json").json
    assert as_json["signers"] == []
    assert as_json["signature"].startswith("signature not checked: key not trusted here")
    assert not stranger.home.exists()


def test_a_signature_that_does_not_fit_is_shown_as_refused(bench: Program) -> None:
    new(bench)
    outer = json.loads((bench.folder / "c.json").read_bytes())
    other = envelope.to_json(replace(read(bench).envelope, payload=changed_payload(read(bench))))
    outer["payload"] = json.loads(other)["payload"]
    (bench.folder / "c.json").write_text(json.dumps(outer))
    said = bench("challenge", "show", "c.json")
    assert said.code == 0
    assert re.search(r"^signed +signature refused: .*does not fit these bytes", said.out, re.M)
    assert re.search(r"^vendor +the forger", said.out, re.M)


def changed_payload(posed: Posed) -> bytes:
    return challenge.payload(replace(posed.challenge, vendor="the forger"))


def test_a_file_that_steers_the_terminal_is_not_shown(bench: Program) -> None:
    new(bench)
    payload = read(bench).envelope.payload.replace(b'"vendor":null', b'"vendor":"\\u001b[2Jx"')
    forged = envelope.sign(payload, challenge.PAYLOAD_TYPE, [keys.load(bench.home / "key")])
    (bench.folder / "c.json").write_bytes(envelope.to_json(forged))
    said = bench("challenge", "show", "c.json")
    assert (said.code, said.out) == (4, "")
    assert "the name of the vendor" in one_line(said.err)
    assert "\x1b" not in said.err


def test_the_ledger_tells_what_is_open_expired_and_used(
    bench: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = bench("challenge", "list")
    assert (said.code, said.out) == (0, "")
    assert "bench challenge new -o FILE" in said.err
    assert listed(bench) == []
    new(bench, "--vendor", "A GmbH")
    expired = posed_before(bench, monkeypatch)
    used = posed_before(bench, monkeypatch)
    ledger.close(used.challenge.nonce, "7" * 64, datetime(2026, 1, 2, tzinfo=UTC))
    lines = bench("challenge", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "challenge",
        read(bench).number,
        expired.number,
        used.number,
    ]
    assert re.search(r"A GmbH +any .* open$", lines[1].rstrip())
    assert re.search(r"anybody +any .* expired$", lines[2].rstrip())
    assert lines[3].rstrip().endswith("used by report 777777777777 at 2026-01-02T00:00:00Z")
    entries = listed(bench)
    assert [entry["state"] for entry in entries] == ["open", "expired", "used"]
    assert [entry["report"] for entry in entries] == [None, None, "7" * 64]


def posed_before(bench: Program, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Posed:
    """A challenge in the user's ledger that was open for three days until a minute ago."""
    now = datetime.now(UTC)
    asked = Challenge(
        format=FORMAT,
        nonce=os.urandom(32).hex(),
        auditor="lab",
        vendor=None,
        device=None,
        rules=Digest(name=RULES.id, sha256=RULES.digest),
        precisions=(),
        sustain_s=0,
        skipped_share=0.1,
        issued=spelled(now - timedelta(days=3)),
        expires=spelled(now - timedelta(minutes=1)),
    )
    monkeypatch.setenv("BENCH_HOME", str(bench.home))
    signed = challenge.sign(replace(asked, **changes), keys.load(bench.home / "key"))
    posed = challenge.unchecked(envelope.to_json(signed), "here")
    ledger.record(posed)
    return posed


def test_a_broken_ledger_is_one_line_and_no_empty_list(bench: Program) -> None:
    bench.home.mkdir()
    (bench.home / "ledger.sqlite").write_bytes(b"no ledger " * 1000)
    for words in (("list",), ("list", "--json")):
        said = bench("challenge", *words)
        assert (said.code, said.out) == (3, "")
        assert "it is damaged" in one_line(said.err)


@pytest.mark.parametrize("command", ["", "new", "show", "list", "close"])
def test_the_help_of_every_command_fits_a_screen(bench: Program, command: str) -> None:
    said = bench("challenge", *command.split(), "--help")
    assert said.code == 0
    assert len(said.out.splitlines()) <= 24
    assert max(map(len, said.out.splitlines())) <= 80


def test_a_vendor_who_is_nobodys_name_in_the_trust_store_is_told_so(bench: Program) -> None:
    said = new(bench, "--vendor", "A GmbH")
    assert said.code == 0
    assert "no key is trusted here under the name A GmbH" in said.err
    (bench.folder / "c.json").unlink()
    assert bench("key", "trust", "vendor@example.org", bench.home / "key.pub").code == 0
    assert "no key is trusted" not in new(bench, "--vendor", "vendor@example.org").err


def test_commands_for_the_vendor_quote_names_with_blanks(bench: Program) -> None:
    said = bench("challenge", "new", "-o", "my challenge.json")
    assert "bench run --challenge 'my challenge.json'" in said.out


# ------------------------------------------------------------------------------------------ closed


@pytest.fixture
def auditor(answered: Answered, tmp_path: Path) -> Program:
    """The auditor of the answered challenge, with a ledger that may be written."""
    shutil.copytree(answered.auditor.home, tmp_path / "home")
    return Program(home=tmp_path / "home", folder=tmp_path)


def digest(answered: Answered) -> str:
    return sha256(answered.made.payload).hexdigest()


def other_report(answered: Answered, folder: Path, **changes: Any) -> Path:
    """Another report of the same run, signed by the vendor: it verifies as well, if nothing forbids it."""
    evidence = statement.parse(answered.made.payload)
    evidence = replace(evidence, harness=replace(evidence.harness, version="9.9"))
    payload = statement.build(replace(evidence, **changes))
    signed = envelope.sign(payload, envelope.PAYLOAD_TYPE, [keys.load(answered.vendor.home / "key")])
    path = folder / "other.evidence.json"
    path.write_bytes(envelope.to_json(signed))
    return path


def test_closing_uses_the_challenge_up_once_and_for_one_report(
    answered: Answered, auditor: Program, tmp_path: Path
) -> None:
    other = other_report(answered, tmp_path)
    first = auditor("challenge", "close", answered.made.file)
    assert (first.code, first.err) == (0, "")
    number = challenge.read_unchecked(answered.challenge).number
    words = f"used up by report {digest(answered)[:12]}, assurance A1, a smoke test\n"
    assert first.out == f"challenge {number} is now {words}"
    (entry,) = listed(auditor)
    assert (entry["state"], entry["report"], entry["number"]) == ("used", digest(answered), number)
    again = auditor("challenge", "close", answered.made.file)
    assert (again.code, again.out) == (0, f"challenge {number} is already {words}")
    said = auditor("challenge", "close", other)
    assert (said.code, said.out) == (6, "")
    assert f"{other}: step 5: challenge {number} was used up by report {digest(answered)[:12]}" in said.err
    one_line(said.err)
    assert listed(auditor) == [entry]


def test_another_report_may_use_it_up_if_it_comes_first(
    answered: Answered, auditor: Program, tmp_path: Path
) -> None:
    other = other_report(answered, tmp_path)
    assert auditor("challenge", "close", other).code == 0
    said = auditor("challenge", "close", answered.made.file)
    assert said.code == 6
    assert "used up by report" in one_line(said.err)


def test_a_challenge_that_was_not_posed_here_is_not_closed(answered: Answered, auditor: Program) -> None:
    (auditor.home / "ledger.sqlite").unlink()
    said = auditor("challenge", "close", answered.made.file)
    assert said.code == 6
    assert "step 5: no challenge with the nonce" in one_line(said.err)
    assert not (auditor.home / "ledger.sqlite").exists()


def test_a_report_without_a_challenge_closes_none(
    answered: Answered, auditor: Program, tmp_path: Path
) -> None:
    said = auditor("challenge", "close", other_report(answered, tmp_path, challenge=None))
    assert said.code == 6
    assert "step 5: the report answers no challenge" in one_line(said.err)


def test_a_report_of_somebody_who_is_not_trusted_closes_nothing(
    answered: Answered, auditor: Program, tmp_path: Path
) -> None:
    (tmp_path / "nobody").write_text("")
    for words in (("--trust", "nobody"), ("--revoked", answered.vendor.home / "key.pub")):
        said = auditor("challenge", "close", answered.made.file, *words)
        assert said.code == 5
        assert "step 2: " in one_line(said.err)
    assert [entry["state"] for entry in listed(auditor)] == ["open"]


def test_a_report_that_does_not_verify_closes_nothing(
    answered: Answered, auditor: Program, tmp_path: Path
) -> None:
    path = other_report(answered, tmp_path, assurance="A3")
    said = auditor("challenge", "close", path)
    assert said.code == 4
    assert "step 6: " in one_line(said.err)
    assert [entry["state"] for entry in listed(auditor)] == ["open"]


def test_a_report_that_answers_another_challenge_than_its_nonces_is_refused(
    answered: Answered, auditor: Program, tmp_path: Path
) -> None:
    path = other_report(answered, tmp_path, challenge=Digest(name="challenge", sha256="f" * 64))
    said = auditor("challenge", "close", path)
    assert said.code == 6
    assert "the report answers another challenge, ffff" in one_line(said.err)


def test_a_report_that_comes_after_the_expiry_is_refused(
    answered: Answered, auditor: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posed = posed_before(auditor, monkeypatch)
    named = Digest(name="challenge", sha256=posed.digest)
    late = other_report(answered, tmp_path, challenge=named, nonce=posed.challenge.nonce)
    said = auditor("challenge", "close", late)
    assert said.code == 6
    assert f"step 5: challenge {posed.number} expired at {posed.challenge.expires}" in one_line(said.err)
    assert "bench stamp FILE" in said.err


def test_a_ledger_that_a_killed_process_left_is_mended_by_closing(
    answered: Answered, auditor: Program
) -> None:
    path = auditor.home / "ledger.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE challenges SET closed = '2026-05-02T00:00:00Z', report = 'x'")
        connection.execute("CREATE TABLE much (data BLOB)")
        for _ in range(100):
            connection.execute("INSERT INTO much VALUES (zeroblob(4000))")
        # What a power cut would leave at this moment.
        left = {name: (auditor.home / name).read_bytes() for name in (path.name, f"{path.name}-journal")}
    for name, data in left.items():
        (auditor.home / name).write_bytes(data)
    assert "bench challenge close FILE mends it" in one_line(auditor("challenge", "list").err)
    assert auditor("challenge", "close", answered.made.file).code == 0
    assert [entry["report"] for entry in listed(auditor)] == [digest(answered)]
