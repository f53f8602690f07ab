"""What a challenge file holds, who may have signed it, and which reports answer it."""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from challenge_cases import ASKED, NOW, OTHER_REPORT, REPORT, posed

from bench.errors import ChallengeRefused, EvidenceInvalid, SignatureNotTrusted, UsageError
from bench.evidence import answer, challenge, envelope, trust
from bench.evidence.challenge import PAYLOAD_TYPE, Posed
from bench.evidence.keys import SigningKey
from bench.evidence.strict_json import to_bytes
from bench.evidence.trust import Trusted
from bench.judge import catalog
from bench.terms import Challenge, Coverage, Device, Digest, Evidence, Fact


def signers(key: SigningKey, principal: str = "auditor@example.org") -> tuple[trust.Signer, ...]:
    return trust.parse(f'{principal} namespaces="{trust.CHALLENGES}" {key.public.line}\n', "store")


def sealed(json_value: object, key: SigningKey) -> bytes:
    """An envelope around any payload, as whoever has the auditor's key could sign it."""
    return envelope.to_json(envelope.sign(to_bytes(json_value), PAYLOAD_TYPE, [key]))


def spelled(asked: Challenge = ASKED) -> Any:
    return json.loads(challenge.payload(asked))


@pytest.fixture
def file(tmp_path: Path, key: SigningKey) -> Path:
    path = tmp_path / "challenge.json"
    path.write_bytes(envelope.to_json(challenge.sign(ASKED, key)))
    return path


# ------------------------------------------------------------------------------- written, and read


def test_a_challenge_is_read_as_it_was_signed(file: Path, key: SigningKey) -> None:
    found = challenge.read(file, signers(key), NOW)
    assert found.challenge == ASKED
    assert found.digest == hashlib.sha256(found.envelope.payload).hexdigest()
    assert found.number == found.digest[:12]
    assert found.signers == (Trusted(principal="auditor@example.org", fingerprint=key.fingerprint),)
    assert found.envelope.payload_type == PAYLOAD_TYPE


def test_openssl_confirms_the_signature_over_a_challenge(
    file: Path, tmp_path: Path, key: SigningKey, needs_program: Callable[[str, str], str]
) -> None:
    openssl, keygen = needs_program("openssl", "openssl"), needs_program("ssh-keygen", "openssh-client")
    outer = json.loads(file.read_bytes())
    found = challenge.read_unchecked(file)
    message, signature, public = tmp_path / "message", tmp_path / "sig", tmp_path / "public.der"
    kind = outer["payloadType"].encode()
    data = found.envelope.payload
    message.write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(data), data))
    signature.write_bytes(found.envelope.signatures[0].sig)
    # ssh-keygen writes no Ed25519 key for openssl: the 32 bytes at its end, in the form of RFC 8410.
    public.write_bytes(bytes.fromhex("302a300506032b6570032100") + key.public.blob[-32:])
    (tmp_path / "key.pub").write_text(key.public.line)
    shown = subprocess.run([keygen, "-lf", tmp_path / "key.pub"], capture_output=True, check=True)
    assert outer["signatures"][0]["keyid"].encode() in shown.stdout
    words = (openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", public)
    said = subprocess.run([*words, "-in", message, "-sigfile", signature], capture_output=True, check=False)
    assert said.returncode == 0, said.stderr


def test_no_challenge_is_signed_that_nobody_could_read(key: SigningKey) -> None:
    with pytest.raises(ValueError, match="could not be read back: the nonce is not 64 lower-case"):
        challenge.sign(replace(ASKED, nonce="ab"), key)
    with pytest.raises(ValueError, match="could not be read back: the share of rows"):
        challenge.sign(replace(ASKED, skipped_share=0.0), key)


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"nonce": "AB" * 32}, "the nonce is not 64 lower-case hexadecimal digits"),
    ({"nonce": "ab" * 32 + "\n"}, "the nonce is not 64 lower-case"),
    ({"rules": Digest(name="x", sha256="1")}, "the rule set's digest is not 64 lower-case"),
    ({"rules": Digest(name="", sha256="1" * 64)}, 'the name of the rule set, "", is not one plain line'),
    ({"auditor": ""}, 'the name of the auditor, "", is not one plain line'),
    ({"auditor": "a\nb"}, 'the name of the auditor, "a b"'),
    ({"vendor": "x\x1b[2J"}, 'the name of the vendor, "x", is not one plain line'),
    ({"vendor": " x"}, "the name of the vendor"),
    ({"device": "x\u202ey"}, 'the name of the device, "xy"'),
    ({"device": "x" * 201}, "the name of the device"),
    ({"precisions": ("fp32", "fp12")}, 'the precision "fp12" is not known: known are fp64, fp32'),
    ({"precisions": ("fp32", "fp32")}, "a precision is asked for twice"),
    ({"sustain_s": 9}, "held for 10 s to 7200 s or not at all, got 9 s"),
    ({"sustain_s": 7201}, "got 7201 s"),
    ({"sustain_s": -600}, "got -600 s"),
    ({"skipped_share": 0.0}, "between 1 % and 50 %, got 0 %"),
    ({"skipped_share": 5e-324}, "between 1 % and 50 %"),
    ({"skipped_share": -0.05}, "got -5 %"),
    ({"skipped_share": 0.51}, "got 51 %"),
    ({"issued": "2026-05-01"}, "2026-05-01 is no time of the form 2026-01-31T12:00:00Z"),
    ({"expires": "2026-05-04T12:00:00+00:00"}, "is no time of the form"),
    ({"expires": "2026-5-4T12:00:00Z"}, "2026-5-4T12:00:00Z is no time of the form"),
    ({"expires": "2026-02-30T12:00:00Z"}, "is no time of the form"),
    ({"expires": ASKED.issued}, "which is not after it was issued"),
    ({"expires": "2036-05-10T12:00:00Z"}, "more than ten years after it was issued"),
    ({"issued": "9999-12-30T00:00:00Z", "expires": "9999-12-31T23:59:59Z"}, "more than ten years after"),
]


@pytest.mark.parametrize(("change", "reason"), FAULTS, ids=lambda value: str(value)[:40])
def test_a_signed_challenge_that_asks_what_none_can_ask_is_refused(
    tmp_path: Path, key: SigningKey, change: dict[str, Any], reason: str
) -> None:
    asked = replace(ASKED, **change)
    assert any(reason in fault for fault in challenge.faults(asked))
    written = spelled() | {
        {"skipped_share": "skippedShare", "sustain_s": "sustainS"}.get(name, name): value
        for name, value in change.items()
        if name != "rules"
    }
    written["rules"] = {"name": asked.rules.name, "sha256": asked.rules.sha256}
    (tmp_path / "c").write_bytes(sealed(written, key))
    with pytest.raises(EvidenceInvalid, match=re.escape(reason)) as caught:
        challenge.read(tmp_path / "c", signers(key), NOW)
    assert caught.value.step == 5
    assert f"{tmp_path / 'c'} is no challenge that can be accepted" in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"sustain_s": 10}, {"sustain_s": 7200}, {"skipped_share": 0.01}, {"skipped_share": 0.5}]
)
def test_the_ends_of_what_can_be_asked_are_asked(change: dict[str, Any]) -> None:
    assert list(challenge.faults(replace(ASKED, **change))) == []


def test_a_challenge_of_another_format_is_told_apart_from_a_broken_one(
    tmp_path: Path, key: SigningKey
) -> None:
    for json_value, shown in (
        (spelled() | {"format": "2", "watts": 1}, 'its format is "2": this bench reads challenges'),
        ({}, "its format is nothing"),
        ([], "its format is nothing"),
        (spelled() | {"watts": 1}, "unknown keys: watts"),
        ({key: value for key, value in spelled().items() if key != "vendor"}, "missing keys: vendor"),
        (spelled() | {"skippedShare": "0.05"}, "skippedShare: expected a number"),
    ):
        (tmp_path / "c").write_bytes(sealed(json_value, key))
        with pytest.raises(EvidenceInvalid, match=re.escape(shown)) as caught:
            challenge.read(tmp_path / "c", signers(key), NOW)
        assert caught.value.step == 5


def test_what_is_no_challenge_is_refused_with_the_reason(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "c"
    for data, reason in (
        (b"", "not JSON"),
        (b"{}", "lacks payload, payloadType, signatures"),
        (b" " * 70_000, "70000 bytes, at most 65536"),
        (envelope.to_json(envelope.sign(b"{}", envelope.PAYLOAD_TYPE, [key])), "in-toto+json"),
    ):
        path.write_bytes(data)
        for read in (lambda: challenge.read(path, signers(key), NOW), lambda: challenge.read_unchecked(path)):
            with pytest.raises(EvidenceInvalid, match=re.escape(reason)) as caught:
                read()
            assert caught.value.step == 5
    with pytest.raises(UsageError, match="cannot read"):
        challenge.read(tmp_path / "none", signers(key), NOW)


def test_an_auditor_who_is_not_trusted_here_poses_nothing(
    file: Path, key: SigningKey, p256_key: SigningKey
) -> None:
    for store in ((), signers(p256_key)):
        with pytest.raises(
            SignatureNotTrusted, match=r"bench key trust --auditor AUDITOR auditor\.pub"
        ) as caught:
            challenge.read(file, store, NOW)
        assert str(file) in str(caught.value)
        assert key.fingerprint in str(caught.value)
    with pytest.raises(SignatureNotTrusted, match="revoked"):
        challenge.read(file, signers(key), NOW, frozenset({key.public}))


def test_a_changed_challenge_is_refused_by_its_signature_before_it_is_read(
    file: Path, key: SigningKey
) -> None:
    outer = json.loads(file.read_bytes())
    other = json.loads(sealed({"format": "9"}, key))
    file.write_bytes(to_bytes({**outer, "payload": other["payload"]}))
    with pytest.raises(SignatureNotTrusted, match="does not fit these bytes"):
        challenge.read(file, signers(key), NOW)


def test_a_challenge_is_no_report_and_a_report_no_challenge(file: Path) -> None:
    with pytest.raises(EvidenceInvalid, match="payloadType"):
        envelope.parse(file.read_bytes())


# ------------------------------------------------------------------------------------- while it is open


def test_a_challenge_is_open_until_it_expires(key: SigningKey) -> None:
    found = posed(ASKED, key)
    expires = datetime(2026, 5, 4, 12, tzinfo=UTC)
    answer.require_open(found, NOW)
    answer.require_open(found, expires)
    with pytest.raises(ChallengeRefused, match=r"expired at 2026-05-04T12:00:00Z.*2026-05-04T12:00:01Z"):
        answer.require_open(found, expires + timedelta(seconds=1))


def test_a_challenge_from_the_future_is_not_open(key: SigningKey) -> None:
    found = posed(ASKED, key)
    issued = datetime(2026, 5, 1, 12, tzinfo=UTC)
    answer.require_open(found, issued - timedelta(days=1))
    with pytest.raises(ChallengeRefused, match="issued at 2026-05-01T12:00:00Z, which is in the future"):
        answer.require_open(found, issued - timedelta(days=1, seconds=1))


def device(name: str, kind: str = "cpu") -> Device:
    return Device(
        selector="d",
        family="ort" if kind != "cpu" else "cpu",
        kind=kind,  # type: ignore[arg-type]
        name=name,
        vendor=None,
        facts=(Fact(name="x", value=1, source="y"),),
    )


def test_the_device_named_is_the_one_measured(key: SigningKey) -> None:
    spec = next(spec for spec in catalog.specs() if spec.id == "a10")
    a10 = device(spec.names[0], spec.kind)
    fits = [
        (None, [device("anything")]),
        ("A 處理器", [device("A  處理器 ")]),
        ("nvidia   a10", [a10]),
        ("a10", [a10]),
        ("A10", [a10, a10]),
    ]
    for claimed, devices in fits:
        answer.require_devices(posed(replace(ASKED, device=claimed), key), devices)
    for claimed, devices, got in (
        ("a10", [device("NVIDIA A100")], "NVIDIA A100"),
        ("a10", [device(spec.names[0], "cpu")], "is for the device a10"),
        ("a10", [a10, device("another")], "what is measured is another"),
        ("a10", [], "what is measured is none"),
        ("A10", [device("x\x1b[2J")], "what is measured is x"),
    ):
        with pytest.raises(ChallengeRefused, match="is for the device") as caught:
            answer.require_devices(posed(replace(ASKED, device=claimed), key), devices)
        assert got in str(caught.value)
        assert "\x1b" not in str(caught.value)


# ----------------------------------------------------------------------------------- what answers it


@pytest.fixture
def answered(evidence: Evidence, key: SigningKey) -> tuple[Posed, Evidence]:
    """A challenge and what answers it."""
    found = posed(ASKED, key)
    digest = Digest(name="challenge", sha256=found.digest)
    made = replace(evidence, challenge=digest, nonce=ASKED.nonce, created="2026-05-02T00:00:00Z")
    return found, made


def answers(
    found: Posed,
    made: Evidence,
    *,
    now: datetime = NOW,
    received: datetime | None = None,
    used_by: str | None = None,
    signed_by: frozenset[str] = frozenset({"vendor@example.org"}),
    known: frozenset[str] = frozenset({"vendor@example.org", "other@example.org"}),
) -> None:
    answer.require_answered(
        found,
        made,
        now=now,
        received=received,
        used_by=used_by,
        report=REPORT,
        signed_by=signed_by,
        known=known,
    )


def asking(answered: tuple[Posed, Evidence], key: SigningKey, **changes: Any) -> tuple[Posed, Evidence]:
    """The same report, and a challenge that asks something else, to which it says to be the answer."""
    other = posed(replace(ASKED, **changes), key)
    return other, replace(answered[1], challenge=Digest(name="challenge", sha256=other.digest))


def test_a_report_that_answers_is_accepted(answered: tuple[Posed, Evidence], key: SigningKey) -> None:
    answers(*answered)
    answers(*asking(answered, key, precisions=("int8", "fp32")))
    answers(*asking(answered, key, precisions=(), device=None, vendor=None))


def test_the_refusal_of_a_challenge_is_step_five() -> None:
    assert (ChallengeRefused("x").step, ChallengeRefused.exit_code) == (5, 6)


OTHERWISE: list[tuple[str, Callable[[Evidence], Evidence], str]] = [
    ("no challenge", lambda made: replace(made, challenge=None), "the report answers no challenge"),
    (
        "another challenge",
        lambda made: replace(made, challenge=Digest(name="challenge", sha256="f" * 64)),
        "the report answers another challenge, fffffffffff",
    ),
    ("another nonce", lambda made: replace(made, nonce="cd" * 32), "the report was seeded by cdcdcd"),
    (
        "another rule set",
        lambda made: replace(made, rules=Digest(name="tw-ai-hardware-2024", sha256="2" * 64)),
        "was judged by tw-ai-hardware-2024 with 222222",
    ),
    (
        "another device",
        lambda made: replace(made, devices=(replace(made.devices[0], name="B"),)),
        "is for the device A 處理器, and what is measured is B",
    ),
    ("a precision left out", lambda made: replace(made, asked=("fp32",)), "was asked for fp32"),
    ("a precision more", lambda made: replace(made, asked=("fp32", "int8", "bf16")), "fp32, int8, bf16"),
    ("the default precisions", lambda made: replace(made, asked=()), "was asked for the default ones"),
    (
        "fewer openings",
        lambda made: replace(
            made,
            openings=(
                *made.openings,
                replace(
                    made.openings[0],
                    covers=Coverage(committed=2, timed=48, skipped_share=0.06, confidence=0.999),
                ),
            ),
        ),
        "the report opened as many as catch 5 %, 6 %",
    ),
    ("an interrupted run", lambda made: replace(made, interrupted=True), "its run was interrupted"),
    ("made too early", lambda made: replace(made, created="2026-04-30T11:59:59Z"), "made at 2026-04-30T11"),
    ("made too late", lambda made: replace(made, created="2026-05-05T12:00:01Z"), "made at 2026-05-05T12"),
]


@pytest.mark.parametrize(
    ("change", "reason"), [case[1:] for case in OTHERWISE], ids=[c[0] for c in OTHERWISE]
)
def test_a_report_that_does_not_answer_is_refused_in_a_sentence(
    answered: tuple[Posed, Evidence], change: Callable[[Evidence], Evidence], reason: str
) -> None:
    found, made = answered
    with pytest.raises(ChallengeRefused, match=re.escape(reason)) as caught:
        answers(found, change(made))
    assert re.fullmatch(rf"challenge {found.number} [^\n]+\.", str(caught.value))


def test_a_report_that_held_its_rows_for_less_is_refused(
    answered: tuple[Posed, Evidence], key: SigningKey
) -> None:
    found, made = asking(answered, key, sustain_s=600)
    made = holding(made)
    for hold_ns in (600 * 10**9, 700 * 10**9):
        answers(found, replace(made, schedule=replace(made.schedule, hold_ns=hold_ns)))
    for hold_ns in (0, 600 * 10**9 - 1):
        with pytest.raises(ChallengeRefused, match="held under load for 10 min 00 s"):
            answers(found, replace(made, schedule=replace(made.schedule, hold_ns=hold_ns)))


def holding(made: Evidence, ended: str = "window-full") -> Evidence:
    """The report with the row behind its figure held under load."""
    row, *others = made.measurements
    return replace(made, measurements=(replace(row, held=replace(row.visits[0], ended=ended)), *others))


@pytest.mark.parametrize("ended", [None, "interrupted"])
def test_a_figure_that_stands_on_short_windows_is_refused_where_held_ones_were_asked_for(
    answered: tuple[Posed, Evidence], key: SigningKey, ended: str | None
) -> None:
    """A throttled row that was held could otherwise be withdrawn for one that was not."""
    found, made = asking(answered, key, sustain_s=60)
    made = replace(made, schedule=replace(made.schedule, hold_ns=60 * 10**9))
    with pytest.raises(ChallengeRefused, match="these stand on short windows: torch_gemm/fp32/mm"):
        answers(found, made if ended is None else holding(made, ended))


def test_opening_against_another_share_than_was_asked_is_refused(
    answered: tuple[Posed, Evidence], key: SigningKey
) -> None:
    """Also against a smaller one: that costs the verifier more than the auditor has chosen."""
    for share, words in ((0.1, r"leaving out 10 % .* catch 5 %"), (0.01, r"leaving out 1 % .* catch 5 %")):
        with pytest.raises(ChallengeRefused, match=words):
            answers(*asking(answered, key, skipped_share=share))


def test_a_report_of_another_vendor_than_the_one_asked_is_refused(
    answered: tuple[Posed, Evidence], key: SigningKey
) -> None:
    asked = asking(answered, key, vendor="vendor@example.org")
    answers(*asked)
    with pytest.raises(
        ChallengeRefused, match=r"posed to vendor@example\.org, .* signed by other@example\.org"
    ):
        answers(*asked, signed_by=frozenset({"other@example.org"}))
    # A vendor's name that is nobody's in the trust store says nothing about who signed.
    answers(*asking(answered, key, vendor="A GmbH"), signed_by=frozenset({"other@example.org"}))


def test_clocks_may_be_a_day_apart(answered: tuple[Posed, Evidence]) -> None:
    found, made = answered
    for created in ("2026-04-30T12:00:00Z", "2026-05-05T12:00:00Z"):
        answers(found, replace(made, created=created))


def test_a_time_that_is_none_makes_invalid_evidence(answered: tuple[Posed, Evidence]) -> None:
    found, made = answered
    with pytest.raises(EvidenceInvalid, match="yesterday is no time of the form") as caught:
        answers(found, replace(made, created="yesterday"))
    assert caught.value.step == 5


def test_after_the_expiry_somebody_else_must_have_seen_the_report_in_time(
    answered: tuple[Posed, Evidence],
) -> None:
    found, made = answered
    expires, second = datetime(2026, 5, 4, 12, tzinfo=UTC), timedelta(seconds=1)
    late = expires + timedelta(days=400)
    answers(found, made, now=expires)
    answers(found, made, now=late, received=expires)
    answers(found, made, now=expires, received=late)
    for now, received, words in (
        (expires + second, None, "and it is 2026-05-04T12:00:01Z now"),
        (late, expires + second, "the report is known only since 2026-05-04T12:00:01Z"),
    ):
        with pytest.raises(ChallengeRefused, match=r"expired at 2026-05-04T12:00:00Z") as caught:
            answers(found, made, now=now, received=received)
        assert words in str(caught.value)
        assert "bench stamp FILE" in str(caught.value)
        assert "bench challenge close FILE" in str(caught.value)


def test_one_challenge_is_for_one_report(answered: tuple[Posed, Evidence]) -> None:
    answers(*answered, used_by=REPORT)
    with pytest.raises(
        ChallengeRefused, match=r"used up by report 777777777777.*this is report 555555555555"
    ):
        answers(*answered, used_by=OTHER_REPORT)
