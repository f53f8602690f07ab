"""Whose signatures count: OpenSSH's `allowed_signers` file, and the envelope held against it.

Format: ssh-keygen(1), section ALLOWED SIGNERS. Of it are refused, with the reason: certificates, and
patterns in names, as a principal here is printed as who signed. A key inside a report is never looked at.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import CannotMeasure, SignatureNotTrusted, UsageError
from bench.evidence.envelope import pae
from bench.evidence.keys import PublicKey, parse_public, trust_path, verify
from bench.evidence.store import make_private_folders, read_small, write_atomic
from bench.printable import printable
from bench.terms import Envelope

NAMESPACE = "compute-evidence"
# The principal of this machine's own key: unchanged since it was signed, nothing about by whom.
SELF = "self"

_FIELD = re.compile(r'((?:"[^"]*"|[^\s"])+)(?:\s+|$)')
_OPTION = re.compile(r'([A-Za-z-]+)(?:=(?:"([^"]*)"|([^",\s]+)))?(?:,|$)')
_TIME = re.compile(r"([0-9]{8})([0-9]{4}(?:[0-9]{2})?)?(Z?)")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One line of a trust store. None: any namespace, no limit in time."""

    line: int
    principal: str
    key: PublicKey
    namespaces: tuple[str, ...] | None
    valid_after: datetime | None
    valid_before: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """Who is trusted to have signed: the name that this user gave, and the key's fingerprint."""

    principal: str
    fingerprint: str


def read(path: Path | None = None) -> tuple[Signer, ...]:
    """The signers in a file; without `path` this user's own, who trusts nobody yet when there is none.

    Raises UsageError.
    """
    if path is not None:
        return _parse_bytes(read_small(path), path)
    return _parse_bytes(read_small(trust_path(), missing=b""), trust_path())


def parse(text: str, name: str) -> tuple[Signer, ...]:
    """The signers in `text`. Raises UsageError with `name` and the number of the line that is wrong."""
    numbered = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return tuple(
        _signer(line, number, f"{name}, line {number}")
        for number, line in numbered
        if line and not line.startswith("#")
    )


def trusted(signers: Sequence[Signer], key: PublicKey, at: datetime) -> Trusted | str:
    """Whom `key` stands for at the time `at` (with a time zone), or the reason why it is not trusted.

    Of several lines with the key, the first that holds counts.
    """
    lines = [signer for signer in signers if signer.key == key]
    reasons = [_reason(signer, at) for signer in lines]
    for signer, reason in zip(lines, reasons, strict=True):
        if reason is None:
            return Trusted(principal=signer.principal, fingerprint=key.fingerprint)
    return "; ".join(reason for reason in reasons if reason) or "the key is not in the trust store"


def add(path: Path, principal: str, key: PublicKey) -> bool:
    """Enters `key` under `principal` for our namespace; False when it is there already.

    The file (0600) is replaced as a whole. Raises UsageError for a name that the format cannot hold and
    for a file that is wrong already, CannotMeasure when it cannot be written.
    """
    if not re.fullmatch(r'[^\s",*?!#][^\s",*?!]*', principal) or not principal.isprintable():
        raise UsageError(
            f'"{printable(principal)}" cannot name a signer: use one word such as auditor@example.org, '
            f'without white space, commas, quotes, "*", "?" or "!", and not beginning with "#".'
        )
    target = path.resolve()  # a link in a folder of settings stays a link
    before = read_small(target, missing=b"")
    signers = _parse_bytes(before, target)
    if any(signer.principal == principal and signer.key == key for signer in signers):
        return False
    joint = b"\n" if before and not before.endswith(b"\n") else b""
    line = f'{principal} namespaces="{NAMESPACE}" {key.line}\n'
    hint = "Set BENCH_HOME=FOLDER to one you may write."
    try:
        make_private_folders(target.parent)
    except OSError as error:
        raise CannotMeasure(f"cannot make the folder {target.parent}: {error.strerror}. {hint}") from error
    write_atomic(target, before + joint + line.encode("utf-8"), mode=0o600, hint=hint)
    return True


def check_signatures(envelope: Envelope, signers: Sequence[Signer], now: datetime) -> tuple[Trusted, ...]:
    """Who signed these bytes, of those trusted at `now`; each key once, in the order of the signatures.

    `keyid` is a hint only: every key of the store is tried. Signatures by others are passed over, as
    DSSE has it. Raises SignatureNotTrusted (step 2) when none is left, saying why for each.
    """
    message = pae(envelope.payload_type, envelope.payload)
    keys = list(dict.fromkeys(signer.key for signer in signers))
    found: dict[PublicKey, Trusted] = {}
    reasons: list[str] = []
    for signature in envelope.signatures:
        key = next((key for key in keys if verify(key, signature.sig, message)), None)
        answer = trusted(signers, key, now) if key else _unverified(signature.keyid, signers)
        if key and isinstance(answer, Trusted):
            found[key] = answer
        else:
            reasons.append(f"{_claimed(signature.keyid, key)}: {answer}")
    if not found:
        raise SignatureNotTrusted(f"no signature can be trusted: {'; '.join(dict.fromkeys(reasons))}")
    return tuple(found.values())


# ----------------------------------------------------------------------------------------- reasons


def _reason(signer: Signer, at: datetime) -> str | None:
    where = f"{printable(signer.principal)}, line {signer.line} of the trust store"
    if signer.namespaces is not None and NAMESPACE not in signer.namespaces:
        return f'the key ({where}) is for other namespaces, not "{NAMESPACE}"'
    if signer.valid_after is not None and at < signer.valid_after:
        return f"the key ({where}) is valid only from {_utc(signer.valid_after)} on"
    if signer.valid_before is not None and at > signer.valid_before:
        return f"the key ({where}) has expired on {_utc(signer.valid_before)}"
    return None


def _unverified(keyid: str, signers: Sequence[Signer]) -> str:
    """Why no key of the store made a signature. Told by its hint, which the file's author wrote."""
    names = [signer.principal for signer in signers if signer.key.fingerprint == keyid]
    if names:
        return (
            f"the key of {printable(names[0])} is known, but the signature does not fit these bytes: "
            "they were changed after signing, or someone else signed. Ask the signer for the original file"
        )
    return (
        "the key is not in the trust store. If its owner gave you the key by a way you trust, "
        "type: bench key trust PRINCIPAL FILE.pub"
    )


def _claimed(keyid: str, key: PublicKey | None) -> str:
    if key is not None:
        return key.fingerprint
    return keyid if _FINGERPRINT.fullmatch(keyid) else f'unnamed key "{printable(keyid, limit=60)}"'


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ----------------------------------------------------------------------------------------- parsing


def _parse_bytes(data: bytes, path: Path) -> tuple[Signer, ...]:
    try:
        return parse(data.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error}") from error


def _signer(line: str, number: int, where: str) -> Signer:
    principals, rest = _field(line, where)
    options: dict[str, str] = {}
    # As in OpenSSH, options stand between the principals and the key, and a key's kind tells them apart.
    if not rest.startswith(("ssh-", "ecdsa-", "sk-")):
        text, rest = _field(rest, where)
        options = _options(text, where)
    namespaces = options.get("namespaces")
    return Signer(
        line=number,
        principal=",".join(_names(principals.replace('"', ""), "principal", where)),
        key=parse_public(rest, where),
        namespaces=None if namespaces is None else _names(namespaces, "namespace", where),
        valid_after=_moment(options.get("valid-after"), where),
        valid_before=_moment(options.get("valid-before"), where),
    )


def _field(text: str, where: str) -> tuple[str, str]:
    match = _FIELD.match(text)
    if match is None:
        problem = "a quote is not closed" if text else "the key is missing"
        raise UsageError(
            f'{where}: {problem}. A line reads: PRINCIPAL namespaces="{NAMESPACE}" ssh-ed25519 AAAA...'
        )
    return match[1], text[match.end() :]


def _options(text: str, where: str) -> dict[str, str]:
    options: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _OPTION.match(text, position)
        name = match[1].lower() if match else ""
        if match is None or name not in ("cert-authority", "namespaces", "valid-after", "valid-before"):
            shown = printable(text[position:], limit=60)
            raise UsageError(
                f"{where}: cannot read the option {shown}. Known: namespaces, valid-after, valid-before"
            )
        if name == "cert-authority":
            raise UsageError(
                f"{where}: cert-authority is refused, as certificates are not read. List the keys themselves"
            )
        value = match[2] or match[3]
        if name in options or not value:
            raise UsageError(f"{where}: the option {name} is {'given twice' if name in options else 'empty'}")
        options[name] = value
        position = match.end()
    return options


def _names(text: str, what: str, where: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if not name or re.search(r"[*?!\s]", name):
            raise UsageError(
                f'{where}: the {what} "{printable(name)}" is not one plain name; patterns are refused'
            )
    return names


def _moment(text: str | None, where: str) -> datetime | None:
    """YYYYMMDD or YYYYMMDDHHMM[SS], in local time, as OpenSSH has it, unless "Z" says UTC."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not a time")
        digits = match[1] + (match[2] or "").ljust(6, "0")
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S")
        return moment.replace(tzinfo=UTC) if match[3] else moment.astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f'{where}: "{printable(text)}" is no time: expected YYYYMMDD[HHMM[SS]][Z]'
        ) from error
