"""What an auditor asks of one run, signed: written and read strictly.

Its nonce seeds all that is drawn, so that nothing made before it was known can answer it. Which nonces were
used up is the ledger's to know (ledger.py), whether a run or a report answers is answer.py's.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.errors import ChallengeRefused, EvidenceInvalid, SignatureNotTrusted
from bench.evidence import envelope as dsse
from bench.evidence import store
from bench.evidence.codec import decode, encode
from bench.evidence.keys import PublicKey, SigningKey
from bench.evidence.strict_json import read_json, to_bytes
from bench.evidence.trust import CHALLENGES, Signer, Trusted, check_signatures
from bench.measure.stopping import LONGEST_S
from bench.precision import PRECISIONS
from bench.printable import printable
from bench.terms import Challenge, Envelope

PAYLOAD_TYPE = "application/vnd.compute-evidence.challenge+json"

# History of the format, a line per version; the decoder of each released one stays for ever.
# 1  nonce, auditor, vendor, device, rule set, precisions, held time, share of skipped rows, issued, expires.
FORMAT = "1"

STEP = ChallengeRefused.step

# A held window shorter than this has no first and last fifth to compare.
SHORTEST_HELD_S = 10
# Opened rows catch whoever leaves out this share of the committed ones. Above the half it is no check worth
# its name; one in a hundred opens 5102 rows, which of the largest products takes ten seconds to verify.
LEAST_SKIPPED, MOST_SKIPPED = 0.01, 0.5
# A challenge is for a visit, not for years.
_LONGEST_OPEN = timedelta(days=3660)
_LAST_YEAR = 9000

# Some 20 names and numbers, and up to 16 signatures.
_MAX_BYTES = 2**16
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """A challenge as it was signed: its digest is the SHA-256 of the payload.

    `signers` are those trusted to have signed it, none where nobody's signature was checked.
    """

    challenge: Challenge
    digest: str
    number: str
    signers: tuple[Trusted, ...]
    envelope: Envelope


# ---------------------------------------------------------------------------------------- writing


def payload(challenge: Challenge) -> bytes:
    """What is signed. Raises ValueError for what could not be read back.

    It is read back before it is handed out, as nothing may be signed that no vendor can open.
    """
    data = to_bytes(encode(challenge))
    try:
        same = _decoded(data) == challenge
    except EvidenceInvalid as error:
        raise ValueError(f"this challenge could not be read back: {error}") from error
    if not same:
        raise ValueError("this challenge would be read back as another one")
    return data


def sign(challenge: Challenge, key: SigningKey) -> Envelope:
    """The challenge in an envelope signed by `key`. Raises ValueError as `payload` does."""
    return dsse.sign(payload(challenge), PAYLOAD_TYPE, [key])


def spelled(moment: datetime) -> str:
    """A moment as evidence writes it: RFC 3339 in UTC, to the second."""
    return f"{moment.astimezone(UTC):{_TIME}}"


# ---------------------------------------------------------------------------------------- reading


def read(
    path: Path, signers: Sequence[Signer], now: datetime, revoked: frozenset[PublicKey] = frozenset()
) -> Posed:
    """The challenge in the file at `path`, of an auditor among the `signers`.

    Raises UsageError when there is no such file, EvidenceInvalid (step 5) when it holds no challenge, and
    SignatureNotTrusted when none of its signatures is trusted at `now`.
    """
    signed = _envelope(_bytes(path), str(path))
    try:
        trusted = check_signatures(signed, signers, now, revoked, namespace=CHALLENGES)
    except SignatureNotTrusted as error:
        raise SignatureNotTrusted(
            f"{path} is not signed by an auditor who is trusted here (bench key trust --auditor AUDITOR "
            f"auditor.pub): {error}"
        ) from error
    return replace(_posed(signed, str(path)), signers=trusted)


def read_unchecked(path: Path) -> Posed:
    """The challenge in the file at `path`, whoever wrote it: no signature is checked."""
    return unchecked(_bytes(path), str(path))


def unchecked(data: bytes, name: str) -> Posed:
    """The challenge in these bytes, whoever wrote it. Raises EvidenceInvalid (step 5), naming `name`."""
    return _posed(_envelope(data, name), name)


def moment(text: str) -> datetime:
    """The time that `text` spells, in one way only. Raises ValueError."""
    try:
        time = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        time = None
    # What is read more freely than it is written is written back otherwise.
    if time is None or spelled(time) != text:
        raise ValueError(f"{printable(text)} is no time of the form 2026-01-31T12:00:00Z")
    return time


def _bytes(path: Path) -> bytes:
    try:
        return store.read_limited(path, _MAX_BYTES)
    except EvidenceInvalid as error:
        raise _no_challenge(str(path), error) from error


def _envelope(data: bytes, name: str) -> Envelope:
    try:
        return dsse.parse(data, PAYLOAD_TYPE)
    except EvidenceInvalid as error:
        raise _no_challenge(name, error) from error


def _posed(signed: Envelope, name: str) -> Posed:
    try:
        challenge = _decoded(signed.payload)
    except EvidenceInvalid as error:
        raise _no_challenge(name, error) from error
    digest = hashlib.sha256(signed.payload).hexdigest()
    return Posed(challenge=challenge, digest=digest, number=digest[:12], signers=(), envelope=signed)


def _no_challenge(name: str, error: EvidenceInvalid) -> EvidenceInvalid:
    return EvidenceInvalid(f"{name} is no challenge that can be accepted: {error}", step=STEP)


def _decoded(data: bytes) -> Challenge:
    json: Any = read_json(data, step=STEP)
    got = json.get("format") if isinstance(json, dict) else None
    if got != FORMAT:
        shown = f'"{printable(got)}"' if isinstance(got, str) else "nothing"
        raise EvidenceInvalid(
            f'its format is {shown}: this bench reads challenges of format "{FORMAT}".', step=STEP
        )
    challenge = decode(Challenge, json, step=STEP)
    for fault in faults(challenge):
        raise EvidenceInvalid(f"{fault}.", step=STEP)
    return challenge


# ------------------------------------------------------------------------------ what a challenge may ask


def faults(asks: Challenge) -> Iterator[str]:
    """What no challenge may hold, a clause each."""
    for what, digits in (("nonce", asks.nonce), ("rule set's digest", asks.rules.sha256)):
        if not re.fullmatch("[0-9a-f]{64}", digits):
            yield f"the {what} is not 64 lower-case hexadecimal digits"
    names = {
        "auditor": asks.auditor,
        "vendor": asks.vendor,
        "device": asks.device,
        "rule set": asks.rules.name,
    }
    for what, name in names.items():
        if name is not None and not _is_plain(name):
            yield f'the name of the {what}, "{printable(name)}", is not one plain line of 1 to 200 characters'
    for name in asks.precisions:
        if name not in PRECISIONS:
            yield f'the precision "{printable(name)}" is not known: known are {", ".join(PRECISIONS)}'
    if len({*asks.precisions}) != len(asks.precisions):
        yield "a precision is asked for twice"
    yield from _faulty_numbers(asks)
    yield from _faulty_times(asks)


def _is_plain(name: str) -> bool:
    return name == printable(name) == name.strip() != ""


def _faulty_numbers(asks: Challenge) -> Iterator[str]:
    if asks.sustain_s and not SHORTEST_HELD_S <= asks.sustain_s <= LONGEST_S:
        yield f"a row is held for {SHORTEST_HELD_S} s to {LONGEST_S} s or not at all, got {asks.sustain_s} s"
    if not LEAST_SKIPPED <= asks.skipped_share <= MOST_SKIPPED:
        yield (
            f"the share of rows whose leaving out is caught lies between {percent(LEAST_SKIPPED)} and "
            f"{percent(MOST_SKIPPED)}, got {percent(asks.skipped_share)}"
        )


def _faulty_times(asks: Challenge) -> Iterator[str]:
    try:
        issued, expires = moment(asks.issued), moment(asks.expires)
    except ValueError as error:
        yield str(error)
        return
    if expires - issued > _LONGEST_OPEN or expires.year > _LAST_YEAR:
        yield f"it expires at {asks.expires}, more than ten years after it was issued ({asks.issued})"
    if expires <= issued:
        yield f"it expires at {asks.expires}, which is not after it was issued ({asks.issued})"


def percent(share: float) -> str:
    """`5 %`."""
    return f"{100 * share:.6g} %"
