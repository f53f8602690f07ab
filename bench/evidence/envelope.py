"""DSSE v1, the envelope that is signed and stored: exactly these bytes, this type, these signatures.

https://github.com/secure-systems-lab/dsse/blob/v1.0.2/envelope.md and protocol.md. Reads one spelling
only. Whom to trust is not decided here (trust.py), and no payload is looked into.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import replace

from bench.errors import EvidenceInvalid, UsageError
from bench.evidence.keys import SigningKey, verify
from bench.evidence.strict_json import read_json, to_bytes
from bench.printable import printable
from bench.terms import Envelope, Signature

PAYLOAD_TYPE = "application/vnd.in-toto+json"
# Vendor, auditor and a few witnesses; each further one costs a pass over the payload per trusted key.
MAX_SIGNATURES = 16

STEP = 1


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that signatures are made over."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, payload_type: str, keys: Sequence[SigningKey]) -> Envelope:
    """The envelope around `payload`, signed by each key in turn. Raises ValueError without keys."""
    if not 1 <= len(keys) <= MAX_SIGNATURES:
        raise ValueError(f"an envelope carries 1 to {MAX_SIGNATURES} signatures, got {len(keys)} keys")
    message = pae(payload_type, payload)
    signatures = tuple(Signature(keyid=key.fingerprint, sig=key.sign(message)) for key in keys)
    return Envelope(payload=payload, payload_type=payload_type, signatures=signatures)


def to_json(envelope: Envelope) -> bytes:
    """The file: one line of JSON."""
    signatures = [{"keyid": s.keyid, "sig": _base64(s.sig)} for s in envelope.signatures]
    outer = {
        "payload": _base64(envelope.payload),
        "payloadType": envelope.payload_type,
        "signatures": signatures,
    }
    return to_bytes(outer) + b"\n"


def add(envelope: Envelope, key: SigningKey) -> Envelope:
    """The envelope with one signature more, by `key` over the same bytes; the others stay as they are.

    Raises UsageError when `key` has signed already, whatever that signature's hint says, and when the
    envelope is full.
    """
    message = pae(envelope.payload_type, envelope.payload)
    if any(verify(key.public, signature.sig, message) for signature in envelope.signatures):
        raise UsageError(f"the key {key.fingerprint} has signed this already, and counts once.")
    if len(envelope.signatures) >= MAX_SIGNATURES:
        raise UsageError(f"it carries {MAX_SIGNATURES} signatures already, the most that are read.")
    signature = Signature(keyid=key.fingerprint, sig=key.sign(message))
    return replace(envelope, signatures=(*envelope.signatures, signature))


def parse(data: bytes, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """The envelope around `payload_type` that `data` spells. Raises EvidenceInvalid (step 1)."""
    outer = _members(read_json(data, step=STEP), "the envelope", ("payload", "payloadType", "signatures"))
    kind, signatures = outer["payloadType"], outer["signatures"]
    if kind != payload_type:
        raise _refused(f"payloadType is {_shown(kind)}, expected {payload_type}")
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise _refused(f"signatures is not an array of 1 to {MAX_SIGNATURES}")
    return Envelope(
        payload=_bytes(outer["payload"], "payload"),
        payload_type=payload_type,
        signatures=tuple(_signature(value, f"signatures[{index}]") for index, value in enumerate(signatures)),
    )


def report_number(envelope: Envelope) -> str:
    """The report's number: the first 12 hexadecimal digits of the payload's SHA-256."""
    return hashlib.sha256(envelope.payload).hexdigest()[:12]


def _signature(value: object, where: str) -> Signature:
    members = _members(value, where, ("keyid", "sig"))
    keyid = members["keyid"]
    if not isinstance(keyid, str):
        raise _refused(f"{where}.keyid is not a string")
    return Signature(keyid=keyid, sig=_bytes(members["sig"], f"{where}.sig"))


def _members(value: object, where: str, names: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _refused(f"{where} is not an object")
    if value.keys() == {*names}:
        return value
    for key in sorted(value.keys() - {*names}):
        meant = next((name for name in names if name.casefold() == key.casefold()), None)
        hint = f', it must be written "{meant}"' if meant else ""
        raise _refused(f'{where} has the key "{printable(key)}"{hint}; it holds exactly {", ".join(names)}')
    missing = ", ".join(name for name in names if name not in value)
    raise _refused(f"{where} lacks {missing}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(value: object, where: str) -> bytes:
    """Standard base64 with padding, and no second spelling of the same bytes."""
    if not isinstance(value, str):
        raise _refused(f"{where} is not a string")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(f"{where} is not standard base64: {error}") from error
    if _base64(data) != value:
        raise _refused(f"{where} is not the canonical base64 of its bytes")
    if not data:
        raise _refused(f"{where} is empty")
    return data


def _shown(value: object) -> str:
    return f'"{printable(value)}"' if isinstance(value, str) else "not a string"


def _refused(reason: str) -> EvidenceInvalid:
    return EvidenceInvalid(f"not an envelope that can be accepted: {reason}.", step=STEP)
