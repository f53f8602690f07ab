"""What `verify` found, signed: what it says, and that nothing else than what bench writes is read."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

import bench
from bench.errors import EvidenceInvalid, SignatureNotTrusted, UsageError
from bench.evidence import envelope, result, statement
from bench.evidence.challenge import Posed
from bench.evidence.keys import SigningKey
from bench.evidence.steps import Request, Verified
from bench.evidence.strict_json import to_bytes
from bench.evidence.timestamp import Stamped, Unchecked
from bench.evidence.trust import AUDITORS, Signer, Trusted, parse
from bench.judge import catalog
from bench.terms import Challenge, Digest, Evidence

NOW = datetime(2026, 5, 1, 12, 0, 0, 999_999, tzinfo=UTC)
RULES = catalog.rules("tw-ai-hardware-2024")


def store(**named: SigningKey) -> tuple[Signer, ...]:
    lines = (f'{name} namespaces="{",".join(AUDITORS)}" {key.public.line}\n' for name, key in named.items())
    return parse("".join(lines), "store")


def file_of(evidence: Evidence, *keys: SigningKey) -> bytes:
    return envelope.to_json(envelope.sign(statement.build(evidence), envelope.PAYLOAD_TYPE, keys))


def found_in(data: bytes, evidence: Evidence, **more: Any) -> Verified:
    signers = (Trusted(principal="vendor@example.org", fingerprint="SHA256:" + "a" * 43),)
    known = {"signers": signers, "evidence": evidence, "rules": RULES, **more}
    return Verified(envelope=envelope.parse(data), **known)


def request(**more: Any) -> Request:
    return Request(**{"signers": (), "now": NOW, **more})


def said_of(evidence: Evidence, key: SigningKey, *, asked: Request | None = None, **found: Any) -> list[str]:
    """The properties found, without their prefix."""
    data = file_of(evidence, key)
    built = result.build(data, found_in(data, evidence, **found), asked or request())
    assert all(name.startswith("COMPUTE_EVIDENCE_") for name in built.predicate.properties)
    return [name.removeprefix("COMPUTE_EVIDENCE_") for name in built.predicate.properties]


@pytest.fixture
def signed(evidence: Evidence, key: SigningKey, p256_key: SigningKey) -> bytes:
    """An auditor's result, signed with the P-256 key, about evidence signed with the other."""
    data = file_of(evidence, key)
    built = result.build(data, found_in(data, evidence), request())
    return envelope.to_json(result.sign(built, p256_key))


def payload(data: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(data)["payload"]))


# ---------------------------------------------------------------------------------- what is written


def test_it_has_the_fields_of_the_specification_and_names_the_evidence_by_digest(
    evidence: Evidence, key: SigningKey, signed: bytes
) -> None:
    # spec/predicates/svr.md of in-toto/attestation, version 0.1; `policy` is its optional field. An Ed25519
    # signature over the same bytes is the same, so that this is the very file.
    file = file_of(evidence, key)
    inner = hashlib.sha256(statement.build(evidence)).hexdigest()
    assert payload(signed) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": f"evidence/{inner[:12]}", "digest": {"sha256": hashlib.sha256(file).hexdigest()}},
            {"name": f"payload/{inner[:12]}", "digest": {"sha256": inner}},
        ],
        "predicateType": "https://in-toto.io/attestation/svr/v0.1",
        "predicate": {
            "verifier": {
                "id": f"https://compute-evidence.dev/bench-verify/{bench.__version__}",
                "policy": {"name": "tw-ai-hardware-2024", "digest": {"sha256": RULES.digest}},
            },
            "timeCreated": "2026-05-01T12:00:00Z",
            "properties": [
                "COMPUTE_EVIDENCE_VALID",
                "COMPUTE_EVIDENCE_COMPLETE",
                "COMPUTE_EVIDENCE_SIGNED_BY_TRUSTED_KEY",
                "COMPUTE_EVIDENCE_OUTPUTS_RECOMPUTED",
                "COMPUTE_EVIDENCE_ASSURANCE_A0",
                "COMPUTE_EVIDENCE_THRESHOLD_INFERENCE_SERVER_CPU_FP32_SMOKE_TEST",
            ],
        },
    }


def test_securesystemslib_verifies_it(signed: bytes, key: SigningKey, p256_key: SigningKey) -> None:
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    def theirs(one: SigningKey) -> SSlibKey:
        public: Any = load_ssh_public_key(one.public.line.encode())
        return SSlibKey.from_crypto(public, keyid=one.fingerprint)

    read = TheirEnvelope.from_dict(json.loads(signed))
    assert set(read.verify([theirs(p256_key)], threshold=1)) == {p256_key.fingerprint}
    assert json.loads(read.payload) == payload(signed)
    with pytest.raises(VerificationError):
        read.verify([theirs(key)], threshold=1)


@pytest.mark.parametrize(
    ("change", "gained", "lost"),
    [
        ({"mode": "default"}, {"MEASUREMENT"}, set()),
        ({"interrupted": True}, set(), {"COMPLETE"}),
        ({"assurance": "A1"}, {"ASSURANCE_A1"}, {"ASSURANCE_A0"}),
        ({"openings": ()}, set(), {"OUTPUTS_RECOMPUTED"}),
    ],
)
def test_only_what_holds_is_listed(
    evidence: Evidence, key: SigningKey, change: dict[str, Any], gained: set[str], lost: set[str]
) -> None:
    before, after = said_of(evidence, key), said_of(replace(evidence, **change), key)
    assert ({*after} - {*before}, {*before} - {*after}) == (gained, lost)


def test_openings_of_which_none_was_opened_are_not_said_to_be_recomputed(
    evidence: Evidence, key: SigningKey
) -> None:
    unopened = tuple(opening for opening in evidence.openings if opening.reason is not None)
    assert unopened
    assert "OUTPUTS_RECOMPUTED" not in said_of(replace(evidence, openings=unopened), key)


def test_the_verifiers_own_key_is_not_called_a_trusted_one(evidence: Evidence, key: SigningKey) -> None:
    own = Trusted(principal="self", fingerprint=key.fingerprint)
    other = Trusted(principal="vendor", fingerprint="SHA256:" + "b" * 43)
    said = said_of(evidence, key, signers=(own,))
    assert "SIGNED_BY_OWN_KEY" in said
    assert "SIGNED_BY_TRUSTED_KEY" not in said
    said = said_of(evidence, key, signers=(own, other))
    assert "SIGNED_BY_TRUSTED_KEY" in said
    assert "SIGNED_BY_OWN_KEY" not in said


def test_an_answered_challenge_is_listed_where_one_was_held_against_it(
    evidence: Evidence, key: SigningKey
) -> None:
    challenge = Challenge(
        format="1",
        nonce="5eed",
        auditor="a",
        vendor=None,
        device=None,
        rules=Digest(name="r", sha256="0" * 64),
        precisions=(),
        sustain_s=0,
        skipped_share=0.05,
        issued="2026-01-01T00:00:00Z",
        expires="2026-01-02T00:00:00Z",
    )
    posed = Posed(
        challenge=challenge,
        digest="3" * 64,
        number="3" * 12,
        signers=(),
        envelope=envelope.parse(file_of(evidence, key)),
    )
    assert evidence.challenge is not None
    assert "ANSWERS_CHALLENGE" not in said_of(evidence, key)
    assert "ANSWERS_CHALLENGE" in said_of(evidence, key, asked=request(challenge=posed))


def test_a_time_stamp_is_listed_only_where_verifying_found_its_time_to_count(
    evidence: Evidence, key: SigningKey
) -> None:
    stamp = Stamped(at=NOW, authority="A time authority")
    assert "TIME_STAMPED" in said_of(evidence, key, stamp=stamp, stamped_at=NOW)
    unchecked = Unchecked(says="2026-05-01T12:00:00Z", authority="A time authority")
    for beside in (stamp, unchecked, None):
        assert "TIME_STAMPED" not in said_of(evidence, key, stamp=beside)


def answered(evidence: Evidence, *rows: tuple[str, str]) -> Evidence:
    """The evidence with an answer for each (device, word)."""
    (row,) = evidence.verdict.thresholds
    rows_ = tuple(replace(row, device=device, headline=word) for device, word in rows)  # type: ignore[arg-type]
    return replace(evidence, verdict=replace(evidence.verdict, thresholds=rows_))


@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("threshold-met", "MET"),
        ("threshold-not-met", "NOT_MET"),
        ("inconclusive", "INCONCLUSIVE"),
        ("stated-only", "STATED_ONLY"),
        ("smoke-test", "SMOKE_TEST"),
    ],
)
def test_every_answer_to_a_tier_has_its_word_and_meaning(
    evidence: Evidence, key: SigningKey, word: str, spelled: str
) -> None:
    said = said_of(answered(evidence, ("cuda:1", word)), key)
    assert said[-1] == f"THRESHOLD_INFERENCE_SERVER_CUDA_1_FP32_{spelled}"
    meaning = result.meaning(f"COMPUTE_EVIDENCE_{said[-1]}")
    assert ("not met" in meaning) == (spelled == "NOT_MET")


def test_two_devices_whose_names_become_one_are_refused(evidence: Evidence, key: SigningKey) -> None:
    with pytest.raises(UsageError, match="cannot tell these rows apart: cuda:1 and cuda-1, inference-server"):
        said_of(answered(evidence, ("cuda:1", "threshold-not-met"), ("cuda-1", "threshold-met")), key)


def test_a_file_that_changed_after_it_was_verified_is_not_signed_for(
    evidence: Evidence, key: SigningKey, p256_key: SigningKey
) -> None:
    verified = found_in(file_of(evidence, key), evidence)
    for other in (file_of(replace(evidence, nonce="00"), key), file_of(evidence, key, p256_key)):
        with pytest.raises(UsageError, match="was changed while it was verified"):
            result.build(other, verified, request())


# ------------------------------------------------------------------------------------- what is read


def test_it_is_read_back_with_the_name_of_its_signer(signed: bytes, p256_key: SigningKey) -> None:
    checked = result.read(signed, store(auditor=p256_key), NOW)
    assert checked.signers == (Trusted(principal="auditor", fingerprint=p256_key.fingerprint),)
    lines = result.lines(checked.statement, checked.who)
    assert lines[0] == f"Verdict on report {checked.statement.report} · 2026-05-01T12:00:00Z"
    assert lines[1] == f"signed by  auditor ({p256_key.fingerprint})"
    assert any(
        line.startswith("- COMPUTE_EVIDENCE_VALID: every step of bench verify passed") for line in lines
    )
    assert result.summary(checked)["statement"] == payload(signed)


def test_it_is_told_from_evidence_by_its_type_only(
    signed: bytes, evidence: Evidence, key: SigningKey
) -> None:
    assert result.is_result(signed)
    assert not result.is_result(file_of(evidence, key))
    for nonsense in (b"", b"{}", signed[:-2], envelope.to_json(envelope.sign(b"[]", "text/plain", [key]))):
        assert not result.is_result(nonsense)


def test_a_result_of_nobody_trusted_is_not_read(signed: bytes, key: SigningKey, p256_key: SigningKey) -> None:
    with pytest.raises(SignatureNotTrusted):
        result.read(signed, store(vendor=key), NOW)
    with pytest.raises(SignatureNotTrusted, match="the key of auditor was revoked here"):
        result.read(signed, store(auditor=p256_key), NOW, frozenset({p256_key.public}))


def test_evidence_is_not_read_as_a_result(evidence: Evidence, key: SigningKey) -> None:
    with pytest.raises(EvidenceInvalid, match="predicateType: expected one of https://in-toto"):
        result.read(file_of(evidence, key), store(vendor=key), NOW)


def test_a_verdict_by_a_key_that_is_trusted_for_reports_alone_is_not_read(
    signed: bytes, p256_key: SigningKey
) -> None:
    for_reports = parse(f'vendor namespaces="compute-evidence" {p256_key.public.line}\n', "store")
    with pytest.raises(SignatureNotTrusted, match='not "compute-evidence-verdict"'):
        result.read(signed, for_reports, NOW)


PROPERTY = "COMPUTE_EVIDENCE_"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.update(_type="https://in-toto.io/Statement/v2"), "_type: expected one of"),
        (lambda s: s.update(predicateType="https://in-toto.io/attestation/svr/v0.2"), "predicateType"),
        (lambda s: s.update(extra=1), "unknown keys: extra"),
        (lambda s: s["predicate"].update(extra=1), "unknown keys: extra"),
        (lambda s: s["predicate"].pop("timeCreated"), "missing keys: timeCreated"),
        (lambda s: s["predicate"].update(timeCreated="2026-05-01 12:00"), "is no time of the form"),
        (lambda s: s["predicate"].update(timeCreated="2026-05-01T12:00:00.5Z"), "is no time of the form"),
        (lambda s: s["predicate"]["verifier"].update(id="https://example.com/v1"), "the verifier is not"),
        (lambda s: s["predicate"]["verifier"].update(id=result.VERIFIER), "the verifier is not"),
        (lambda s: s["predicate"]["verifier"].pop("policy"), "missing keys: policy"),
        (lambda s: s["predicate"]["verifier"]["policy"]["digest"].update(sha256="0"), "a digest is not 64"),
        (lambda s: s["predicate"]["properties"].append(PROPERTY + "BEST"), "BEST is not known"),
        (lambda s: s["predicate"]["properties"].append("VALID"), "VALID is not known"),
        (lambda s: s["predicate"]["properties"].append(PROPERTY + "ASSURANCE_A9"), "A9 is not known"),
        (lambda s: s["predicate"]["properties"].append(PROPERTY + "VALID\n"), "is not known"),
        (lambda s: s["predicate"]["properties"].append(PROPERTY + "VALID"), "hold VALID, and nothing twice"),
        (lambda s: s["predicate"]["properties"].remove(PROPERTY + "VALID"), "hold VALID, and nothing twice"),
        (lambda s: s["predicate"].update(properties=[]), "hold VALID"),
        (lambda s: s["predicate"]["properties"].append(PROPERTY + "ASSURANCE_A1"), "hold one ASSURANCE"),
        (lambda s: s["predicate"]["properties"].append(PROPERTY + "ASSURANCE_A3"), "A3 is not known"),
        (lambda s: s["predicate"]["properties"].append(PROPERTY + "SIGNED_BY_OWN_KEY"), "hold one SIGNED_BY"),
        (
            lambda s: s["predicate"]["properties"].extend(
                f"{PROPERTY}THRESHOLD_A_TIER_{word}" for word in ("MET", "NOT_MET")
            ),
            "two answers for one threshold",
        ),
        (lambda s: s["subject"].pop(), "a subject too many or too few"),
        (lambda s: s["subject"].append(s["subject"][0]), "a subject too many or too few"),
        (lambda s: s["subject"].reverse(), "the subjects are not"),
        (lambda s: s["subject"][0].update(name="evidence/000000000000"), "the subjects are not"),
        (lambda s: s["subject"][1]["digest"].update(sha256="0" * 64), "the subjects are not"),
        (lambda s: s["subject"][0]["digest"].update(sha256="A" * 64), "a digest is not 64"),
        (lambda s: s["subject"][0]["digest"].update(sha512="0" * 128), "unknown keys: sha512"),
    ],
)
def test_what_bench_does_not_write_is_refused_though_it_is_signed(
    signed: bytes, p256_key: SigningKey, change: Callable[[Any], object], reason: str
) -> None:
    forged = payload(signed)
    change(forged)
    data = envelope.to_json(envelope.sign(to_bytes(forged), envelope.PAYLOAD_TYPE, [p256_key]))
    with pytest.raises(EvidenceInvalid) as caught:
        result.read(data, store(auditor=p256_key), NOW)
    assert caught.value.step == 3
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_example_that_the_refusals_are_made_from_is_itself_read(
    signed: bytes, p256_key: SigningKey
) -> None:
    data = envelope.to_json(envelope.sign(to_bytes(payload(signed)), envelope.PAYLOAD_TYPE, [p256_key]))
    assert result.read(data, store(auditor=p256_key), NOW).statement.predicate.properties


def test_a_rule_set_whose_name_would_steer_the_terminal_is_shown_harmlessly(
    signed: bytes, p256_key: SigningKey
) -> None:
    forged = payload(signed)
    forged["predicate"]["verifier"]["policy"]["name"] = "\x1b[2Jrules\n- COMPUTE_EVIDENCE_ASSURANCE_A3"
    data = envelope.to_json(envelope.sign(to_bytes(forged), envelope.PAYLOAD_TYPE, [p256_key]))
    checked = result.read(data, store(auditor=p256_key), NOW)
    lines = result.lines(checked.statement, checked.who)
    assert not any("\x1b" in line or "\n" in line for line in lines)
