import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from bench.errors import EvidenceInvalid, UsageError
from bench.evidence import keys
from bench.evidence.envelope import (
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    add,
    pae,
    parse,
    report_number,
    sign,
    to_json,
)
from bench.evidence.keys import SigningKey
from bench.evidence.statement import build
from bench.terms import Envelope, Evidence, Signature

FindProgram = Callable[[str, str], str]


def public_pem(key: SigningKey) -> Any:
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    return load_ssh_public_key(key.public.line.encode())


def test_the_bytes_signed_are_those_of_the_dsse_specification() -> None:
    # The worked example of protocol.md.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_an_envelope_is_read_back_as_it_was(
    evidence: Evidence, key: SigningKey, p256_key: SigningKey
) -> None:
    envelope = sign(build(evidence), PAYLOAD_TYPE, [key, p256_key])
    assert parse(to_json(envelope)) == envelope
    assert [s.keyid for s in envelope.signatures] == [key.fingerprint, p256_key.fingerprint]


def test_the_report_number_is_the_start_of_the_payload_digest(key: SigningKey) -> None:
    envelope = sign(b"abc", PAYLOAD_TYPE, [key])
    assert report_number(envelope) == "ba7816bf8f01"  # FIPS 180-4's example
    assert hashlib.sha256(b"abc").hexdigest().startswith(report_number(envelope))


def test_securesystemslib_verifies_our_envelope(
    evidence: Evidence, key: SigningKey, p256_key: SigningKey
) -> None:
    data = to_json(sign(build(evidence), PAYLOAD_TYPE, [key, p256_key]))
    theirs = TheirEnvelope.from_dict(json.loads(data))
    known = [SSlibKey.from_crypto(public_pem(k), keyid=k.fingerprint) for k in (key, p256_key)]
    assert theirs.payload == build(evidence)
    assert set(theirs.verify(known, threshold=2)) == {key.fingerprint, p256_key.fingerprint}


def test_securesystemslib_refuses_our_envelope_with_one_bit_changed(
    evidence: Evidence, key: SigningKey
) -> None:
    envelope = sign(build(evidence), PAYLOAD_TYPE, [key])
    changed = Envelope(
        payload=envelope.payload[:-1] + bytes([envelope.payload[-1] ^ 1]),
        payload_type=envelope.payload_type,
        signatures=envelope.signatures,
    )
    theirs = TheirEnvelope.from_dict(json.loads(to_json(changed)))
    with pytest.raises(VerificationError):
        theirs.verify([SSlibKey.from_crypto(public_pem(key), keyid=key.fingerprint)], threshold=1)


@pytest.mark.parametrize("kind", ["key", "p256_key"])
def test_openssl_verifies_our_signature(
    evidence: Evidence, kind: str, request: pytest.FixtureRequest, tmp_path: Path, needs_program: FindProgram
) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    openssl = needs_program("openssl", "openssl")
    key: SigningKey = request.getfixturevalue(kind)
    envelope = parse(to_json(sign(build(evidence), PAYLOAD_TYPE, [key])))
    pem = public_pem(key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(pem)
    (tmp_path / "signature").write_bytes(envelope.signatures[0].sig)
    # The pre-authentication bytes, put together here by hand.
    message = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(envelope.payload) + envelope.payload

    def openssl_says(text: bytes) -> int:
        (tmp_path / "message").write_bytes(text)
        digest = ["-digest", "sha256"] if kind == "p256_key" else []
        command = [openssl, "pkeyutl", "-verify", "-rawin", *digest, "-pubin", "-inkey", "public.pem"]
        command += ["-sigfile", "signature", "-in", "message"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert openssl_says(message) == 0
    assert openssl_says(message + b" ") != 0


@pytest.mark.parametrize("keys", [[], [None] * 17])
def test_no_envelope_is_made_without_keys_or_with_too_many(keys: Any) -> None:
    with pytest.raises(ValueError, match="1 to 16 signatures"):
        sign(b"x", PAYLOAD_TYPE, keys)


def test_an_envelope_is_read_only_as_the_type_that_was_expected(key: SigningKey) -> None:
    other = sign(b"{}", "application/vnd.example+json", [key])
    assert parse(to_json(other), "application/vnd.example+json") == other
    with pytest.raises(EvidenceInvalid, match=re.escape(f"expected {PAYLOAD_TYPE}")):
        parse(to_json(other))
    with pytest.raises(EvidenceInvalid, match=r"expected application/vnd\.example"):
        parse(to_json(sign(b"{}", PAYLOAD_TYPE, [key])), "application/vnd.example+json")


# ------------------------------------------------------------------------------- a further signature


def test_a_signature_is_added_over_the_same_bytes_and_the_others_stay(
    evidence: Evidence, key: SigningKey, p256_key: SigningKey
) -> None:
    first = sign(build(evidence), PAYLOAD_TYPE, [key])
    both = add(first, p256_key)
    assert both.payload == first.payload
    assert both.signatures[:1] == first.signatures
    theirs = TheirEnvelope.from_dict(json.loads(to_json(both)))
    known = [SSlibKey.from_crypto(public_pem(k), keyid=k.fingerprint) for k in (key, p256_key)]
    assert set(theirs.verify(known, threshold=2)) == {key.fingerprint, p256_key.fingerprint}
    assert report_number(both) == report_number(first)


@pytest.mark.parametrize("kind", ["key", "p256_key"])
def test_a_key_signs_once_whatever_the_hint_beside_its_signature_says(
    kind: str, request: pytest.FixtureRequest
) -> None:
    key: SigningKey = request.getfixturevalue(kind)
    envelope = sign(b"{}", PAYLOAD_TYPE, [key])
    misnamed = Envelope(
        payload=envelope.payload,
        payload_type=envelope.payload_type,
        signatures=(Signature(keyid="somebody else", sig=envelope.signatures[0].sig),),
    )
    for signed in (envelope, misnamed):
        with pytest.raises(UsageError, match=re.escape(f"{key.fingerprint} has signed this already")):
            add(signed, key)


def test_a_hint_at_a_key_that_did_not_sign_does_not_keep_it_from_signing(
    key: SigningKey, p256_key: SigningKey
) -> None:
    signed = sign(b"{}", PAYLOAD_TYPE, [key])
    posing = Envelope(
        payload=signed.payload,
        payload_type=signed.payload_type,
        signatures=(Signature(keyid=p256_key.fingerprint, sig=signed.signatures[0].sig),),
    )
    assert keys.verify(p256_key.public, add(posing, p256_key).signatures[1].sig, pae(PAYLOAD_TYPE, b"{}"))


def test_a_full_envelope_takes_no_further_signature(key: SigningKey, p256_key: SigningKey) -> None:
    full = sign(b"{}", PAYLOAD_TYPE, [key] * MAX_SIGNATURES)
    with pytest.raises(UsageError, match="carries 16 signatures already"):
        add(full, p256_key)
    assert len(add(sign(b"{}", PAYLOAD_TYPE, [key] * 15), p256_key).signatures) == MAX_SIGNATURES


GOOD = {"payload": "e30=", "payloadType": PAYLOAD_TYPE, "signatures": [{"keyid": "k", "sig": "AAAA"}]}
SIGNATURE = GOOD["signatures"][0]  # type: ignore[index]


def spelled(**changes: object) -> bytes:
    return json.dumps({key: value for key, value in {**GOOD, **changes}.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (spelled(extra=1), 'the key "extra"; it holds exactly payload, payloadType, signatures'),
        (spelled(payload=...), "the envelope lacks payload"),
        (spelled(payload=..., Payload="e30="), 'the key "Payload", it must be written "payload"'),
        (spelled(payloadType=..., payloadtype="e30="), 'it must be written "payloadType"'),
        (spelled(payload=1), "payload is not a string"),
        (spelled(payload=""), "payload is empty"),
        (spelled(payload="e30"), "payload is not standard base64"),
        (spelled(payload="e30=\n"), "payload is not standard base64"),
        (spelled(payload=" e30="), "payload is not standard base64"),
        (spelled(payload="e31="), "payload is not the canonical base64"),
        (spelled(payload="__8="), "payload is not standard base64"),
        (spelled(payload="é30="), "payload is not standard base64"),
        (spelled(payload="e30=e30="), "payload is not standard base64"),
        (spelled(payloadType="application/json"), 'payloadType is "application/json", expected'),
        (spelled(payloadType=None), "payloadType is not a string"),
        (spelled(signatures=[]), "not an array of 1 to 16"),
        (spelled(signatures=[SIGNATURE] * 17), "not an array of 1 to 16"),
        (spelled(signatures={}), "not an array of 1 to 16"),
        (spelled(signatures=["x"]), "signatures[0] is not an object"),
        (spelled(signatures=[SIGNATURE, {"sig": "AAAA"}]), "signatures[1] lacks keyid"),
        (spelled(signatures=[{**SIGNATURE, "cert": ""}]), 'signatures[0] has the key "cert"'),  # type: ignore[dict-item]
        (spelled(signatures=[{"keyid": 1, "sig": "AAAA"}]), "signatures[0].keyid is not a string"),
        (spelled(signatures=[{"keyid": "k", "sig": "AAA"}]), "signatures[0].sig is not standard base64"),
        (b"[]", "the envelope is not an object"),
    ],
)
def test_an_envelope_spelled_otherwise_is_refused_at_step_1(data: bytes, reason: str) -> None:
    with pytest.raises(EvidenceInvalid, match=re.escape(reason)) as caught:
        parse(data)
    assert caught.value.step == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"payload":"e30=",' + spelled()[1:], '"payload" stands twice'),
        (b'{"Payload":"e30=",' + spelled()[1:], '"Payload" and "payload" differ only in case'),
        (spelled()[:-1], "delimiter"),
        (b"not JSON", "Expecting value"),
        (b"", "Expecting value"),
    ],
)
def test_a_file_that_is_no_json_is_refused_at_step_1_too(data: bytes, reason: str) -> None:
    with pytest.raises(EvidenceInvalid, match=reason) as caught:
        parse(data)
    assert caught.value.step == 1


def test_the_example_that_the_refusals_are_made_from_is_itself_accepted() -> None:
    assert parse(spelled()).payload == b"{}"


def test_a_signature_of_another_payload_type_does_not_fit(key: SigningKey) -> None:
    signature = sign(b"{}", "text/plain", [key]).signatures[0]
    assert not keys.verify(key.public, signature.sig, pae(PAYLOAD_TYPE, b"{}"))
    assert base64.b64encode(signature.sig)
