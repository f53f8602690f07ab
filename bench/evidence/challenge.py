"""What an auditor asks of one run, signed: written, read strictly, and held against the report that answers.

Its nonce seeds all that is drawn, so that nothing made before it was known can answer it. Which nonces were
used up is the ledger's to know (ledger.py).
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
from bench.judge import catalog
from bench.measure.stopping import LONGEST_S
from bench.precision import PRECISIONS
from bench.printable import printable
from bench.terms import Challenge, Device, Envelope, Evidence
from bench.units import NS_PER_S, format_seconds

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

# Hosts without NTP drift by minutes, so that a day accuses nobody.
_CLOCKS_APART = timedelta(days=1)
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


# ----------------------------------------------------------------------------------- what it is held against


def require_open(posed: Posed, now: datetime) -> None:
    """Raise ChallengeRefused when a run at `now` comes too late, or before the challenge was made."""
    asks = posed.challenge
    if now > moment(asks.expires):
        raise _refused(
            posed,
            f"expired at {asks.expires}, and it is {spelled(now)} by this machine's clock. "
            "Ask the auditor for a new one",
        )
    if moment(asks.issued) - now > _CLOCKS_APART:
        raise _refused(
            posed,
            f"was issued at {asks.issued}, which is in the future: it is {spelled(now)} by this machine's "
            "clock. Set the clock",
        )


def require_devices(posed: Posed, devices: Sequence[Device]) -> None:
    """Raise ChallengeRefused when the challenge names a device and another one, or none, is measured."""
    claimed = posed.challenge.device
    others = [device.name for device in devices if claimed is not None and not _is_called(device, claimed)]
    if others or (claimed is not None and not devices):
        raise _refused(
            posed,
            f"is for the device {printable(claimed or '')}, and what is measured is "
            f"{', '.join(printable(name) for name in others) or 'none'}",
        )


def require_answered(
    posed: Posed,
    evidence: Evidence,
    *,
    now: datetime,
    received: datetime | None,
    used_by: str | None,
    report: str,
    signed_by: frozenset[str],
    known: frozenset[str],
) -> None:
    """Raise ChallengeRefused unless the evidence answers this challenge: step 5.

    `received` is when the report is known to have existed, None where only its own word is there; `used_by`
    is the report that used the nonce up, `report` this one, both by the SHA-256 of their payload. `signed_by`
    are the principals who signed it, of those `known` to the verifier.
    """
    _require_same_challenge(posed, evidence)
    vendor = posed.challenge.vendor
    if vendor in known and vendor not in signed_by:
        names = ", ".join(sorted(printable(name) for name in signed_by))
        raise _refused(posed, f"was posed to {printable(vendor)}, and the report is signed by {names}")
    _require_what_was_asked(posed, evidence)
    _require_in_time(posed, evidence, now, received)
    if used_by is not None and used_by != report:
        raise used_up(posed.number, used_by, report)


def used_up(number: str, used_by: str, report: str) -> ChallengeRefused:
    """The refusal of a second report; both are given by the SHA-256 of their payload."""
    return ChallengeRefused(
        f"challenge {number} was used up by report {used_by[:12]}, and one challenge is for one report: "
        f"this is report {report[:12]}."
    )


def _require_same_challenge(posed: Posed, evidence: Evidence) -> None:
    if evidence.challenge is None:
        raise _refused(
            posed,
            "is not answered: the report answers no challenge. It was to be made with "
            "bench run --challenge FILE",
        )
    if evidence.challenge.sha256 != posed.digest:
        raise _refused(
            posed,
            "is not answered: the report answers another challenge, "
            f"{printable(evidence.challenge.sha256, limit=12)}",
        )
    if evidence.nonce != posed.challenge.nonce:
        raise _refused(
            posed,
            f"has the nonce {posed.challenge.nonce[:12]}..., and the report was seeded by "
            f"{printable(evidence.nonce, limit=12)}",
        )
    if evidence.rules.sha256 != posed.challenge.rules.sha256:
        raise _refused(
            posed,
            f"is about the rule set {printable(posed.challenge.rules.name)} with digest "
            f"{posed.challenge.rules.sha256[:12]}, and the report was judged by "
            f"{printable(evidence.rules.name)} with {printable(evidence.rules.sha256, limit=12)}",
        )


def _require_what_was_asked(posed: Posed, evidence: Evidence) -> None:
    asks = posed.challenge
    require_devices(posed, evidence.devices)
    if asks.precisions and {*evidence.asked} != {*asks.precisions}:
        got = ", ".join(printable(name) for name in evidence.asked) or "the default ones"
        raise _refused(posed, f"asks for {', '.join(asks.precisions)}, and the report was asked for {got}")
    if evidence.schedule.hold_ns < asks.sustain_s * NS_PER_S:
        raise _refused(
            posed,
            f"asks for rows held under load for {format_seconds(asks.sustain_s)}, and the report has them "
            f"held for {format_seconds(evidence.schedule.hold_ns / NS_PER_S)}",
        )
    shares = {opening.covers.skipped_share for opening in evidence.openings if opening.covers is not None}
    if shares - {asks.skipped_share}:
        raise _refused(
            posed,
            f"asks that leaving out {percent(asks.skipped_share)} of the committed rows is caught, and the "
            f"report opened as many as catch {', '.join(percent(share) for share in sorted(shares))}",
        )
    _require_held(posed, evidence)
    if evidence.interrupted:
        raise _refused(posed, "asks for a whole run, and the report says that its run was interrupted")


def _require_held(posed: Posed, evidence: Evidence) -> None:
    """Every figure stands on a window that was held for as long as was asked."""
    held = {
        (m.workload.device, m.workload.row)
        for m in evidence.measurements
        if m.held and m.counted == (m.held,)
    }
    behind = {(figure.device, figure.row) for figure in evidence.figures if figure.row is not None}
    short = ", ".join(sorted(printable(str(row)) for _, row in behind - held))
    if posed.challenge.sustain_s and short:
        raise _refused(
            posed, f"asks for figures that were held under load, and these stand on short windows: {short}"
        )


def _require_in_time(posed: Posed, evidence: Evidence, now: datetime, received: datetime | None) -> None:
    asks = posed.challenge
    issued, expires = moment(asks.issued), moment(asks.expires)
    try:
        created = moment(evidence.created)
    except ValueError as error:
        raise EvidenceInvalid(f"{error}.", step=STEP) from error
    if not issued - _CLOCKS_APART <= created <= expires + _CLOCKS_APART:
        raise _refused(
            posed,
            f"was open from {asks.issued} to {asks.expires}, and the report says that it was made at "
            f"{evidence.created}",
        )
    known_since = now if received is None else min(now, received)
    if known_since > expires:
        since = (
            f"it is {spelled(now)} now"
            if received is None
            else f"the report is known only since {spelled(received)}"
        )
        raise _refused(
            posed,
            f"expired at {asks.expires}, and {since}. That a report was there in time is shown by a "
            "time stamp (bench stamp FILE) or by the auditor's ledger (bench challenge close FILE), made "
            "before the challenge expired",
        )


def _is_called(device: Device, claimed: str) -> bool:
    spec = catalog.device_spec(device)
    names = [device.name, *([spec.id] if spec is not None else [])]
    return _folded(claimed) in [_folded(name) for name in names]


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _refused(posed: Posed, words: str) -> ChallengeRefused:
    return ChallengeRefused(f"challenge {posed.number} {words}.")
