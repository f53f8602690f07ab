"""Whose signatures count: OpenSSH's `allowed_signers` file, and the envelope held against it.

Format: ssh-keygen(1), section ALLOWED SIGNERS. Of it are refused, with the reason: certificates, and
patterns in names, as a principal here is printed as who signed. A key inside a report is never looked at.
Revoked keys are a file of public keys, one a line, as `ssh-keygen -Y verify -r` reads it; they win over
everything that the other file says.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import CannotMeasure, SignatureNotTrusted, UsageError
from bench.evidence.envelope import pae
from bench.evidence.keys import PublicKey, parse_public, revoked_path, trust_path, verify
from bench.evidence.store import make_private_folders, read_small, write_atomic
from bench.printable import printable
from bench.terms import Envelope

NAMESPACE = "compute-evidence"
# Whose challenges count, apart from whose reports: a vendor who could pose his own challenge would make his
# report as fresh as he likes.
CHALLENGES = "compute-evidence-challenge"
# Whose verdicts on reports count.
VERDICTS = "compute-evidence-verdict"
# What an auditor is trusted for.
AUDITORS = (NAMESPACE, CHALLENGES, VERDICTS)
# The principal of this machine's own key: unchanged since it was signed, nothing about by whom.
SELF = "self"
_NONE_REVOKED: frozenset[PublicKey] = frozenset()

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
        return parse(_text(read_small(path), path), str(path))
    return parse(_text(read_small(trust_path(), missing=b""), trust_path()), str(trust_path()))


def read_revoked(path: Path | None = None) -> frozenset[PublicKey]:
    """The revoked keys in a file; without `path` this user's own, none when there is no such file.

    Raises UsageError with the file and the number of the line that is no key.
    """
    if path is not None:
        return _revoked(read_small(path), path)
    return _revoked(read_small(revoked_path(), missing=b""), revoked_path())


def parse(text: str, name: str) -> tuple[Signer, ...]:
    """The signers in `text`. Raises UsageError with `name` and the number of the line that is wrong."""
    return tuple(_signer(line, number, f"{name}, line {number}") for number, line in _lines(text))


def moment(text: str, where: str) -> datetime:
    """YYYYMMDD or YYYYMMDDHHMM[SS], in local time, as OpenSSH has it, unless "Z" says UTC.

    Raises UsageError naming `where`.
    """
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not a time")
        digits = match[1] + (match[2] or "").ljust(6, "0")
        read = datetime.strptime(digits, "%Y%m%d%H%M%S")
        return (read.replace(tzinfo=UTC) if match[3] else read).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f'{where}: "{printable(text)}" is no time: expected YYYYMMDD[HHMM[SS]][Z]'
        ) from error


def utc(time: datetime) -> str:
    """As people read it: 2026-01-31T12:00:00Z."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def trusted(
    signers: Sequence[Signer],
    key: PublicKey,
    at: datetime,
    revoked: frozenset[PublicKey] = _NONE_REVOKED,
    namespace: str = NAMESPACE,
) -> Trusted | str:
    """Whom `key` stands for at the time `at` (with a time zone), or the reason why it is not trusted.

    Of several lines with the key, the first that holds counts. A revoked key stands for nobody at any time:
    whoever has it can choose the time that a signature claims.
    """
    lines = [signer for signer in signers if signer.key == key]
    if key in revoked:
        names = ", ".join(dict.fromkeys(printable(signer.principal) for signer in lines))
        return f"the key{' of ' if names else ''}{names} was revoked here"
    reasons = [_reason(signer, at, namespace) for signer in lines]
    for signer, reason in zip(lines, reasons, strict=True):
        if reason is None:
            return Trusted(principal=signer.principal, fingerprint=key.fingerprint)
    return "; ".join(reason for reason in reasons if reason) or "the key is not in the trust store"


def add(
    path: Path,
    principal: str,
    key: PublicKey,
    valid_after: datetime | None = None,
    valid_before: datetime | None = None,
    namespaces: Sequence[str] = (NAMESPACE,),
) -> bool:
    """Enters `key` under `principal` for these namespaces and time; False when it is there already.

    The file (0600) is replaced as a whole. Raises UsageError for a name that the format cannot hold, for
    times in the wrong order and for a file that is wrong already or says other times, CannotMeasure when
    it cannot be written.
    """
    if not re.fullmatch(r'[^\s",*?!#][^\s",*?!]*', principal) or not principal.isprintable():
        raise UsageError(
            f'"{printable(principal)}" cannot name a signer: use one word such as auditor@example.org, '
            f'without white space, commas, quotes, "*", "?" or "!", and not beginning with "#".'
        )
    _require_order(valid_after, valid_before, principal)
    target = path.resolve()  # a link in a folder of settings stays a link
    before = read_small(target, missing=b"")
    signers = parse(_text(before, target), str(target))
    own = [s for s in signers if s.principal == principal and s.key == key]
    for signer in own:
        # A second line for the same could only widen what the first allows, never narrow it.
        window = signer.valid_after, signer.valid_before
        if window != (valid_after, valid_before) and any(_is_for(signer, name) for name in namespaces):
            raise UsageError(
                f"{principal} is trusted with this key already, for another time: line {signer.line} of "
                f"{target}. Remove that line, then type the command again."
            )
    missing = [name for name in namespaces if not any(_is_for(signer, name) for signer in own)]
    if not missing:
        return False
    times = {"valid-after": valid_after, "valid-before": valid_before}
    limits = "".join(f',{name}="{_openssh(time)}"' for name, time in times.items() if time is not None)
    _append(target, before, f'{principal} namespaces="{",".join(missing)}"{limits} {key.line}\n')
    return True


def revoke(path: Path, key: PublicKey) -> bool:
    """Enters `key` among the revoked ones in the file (0600); False when it is there already.

    Raises UsageError for a file that is wrong already, CannotMeasure when it cannot be written.
    """
    target = path.resolve()
    before = read_small(target, missing=b"")
    if key in _revoked(before, target):
        return False
    _append(target, before, f"{key.line}\n")
    return True


def check_signatures(
    envelope: Envelope,
    signers: Sequence[Signer],
    at: datetime,
    revoked: frozenset[PublicKey] = _NONE_REVOKED,
    *,
    first_at: datetime | None = None,
    namespace: str = NAMESPACE,
) -> tuple[Trusted, ...]:
    """Who signed these bytes, of those trusted at `at`; each key once, in the order of the signatures.

    `keyid` is a hint only: every key of the store, and every revoked one, is tried. Signatures by others
    are passed over, as DSSE has it. Where a time stamp shows when the first signature existed, `first_at`,
    that one is held against that time, and no other is. Raises SignatureNotTrusted (step 2) when none is
    left, saying why for each.
    """
    message = pae(envelope.payload_type, envelope.payload)
    keys = list(dict.fromkeys([*(signer.key for signer in signers), *revoked]))
    found: dict[PublicKey, Trusted] = {}
    reasons: list[str] = []
    for index, signature in enumerate(envelope.signatures):
        key = next((key for key in keys if verify(key, signature.sig, message)), None)
        time = first_at if index == 0 and first_at is not None else at
        answer = (
            trusted(signers, key, time, revoked, namespace) if key else _unverified(signature.keyid, signers)
        )
        if key and isinstance(answer, Trusted):
            found[key] = answer
        else:
            reasons.append(f"{_claimed(signature.keyid, key)}: {answer}")
    if not found:
        raise SignatureNotTrusted(f"no signature can be trusted: {'; '.join(dict.fromkeys(reasons))}")
    return tuple(found.values())


def signed_first(
    envelope: Envelope,
    signers: Sequence[Signer],
    at: datetime,
    revoked: frozenset[PublicKey] = _NONE_REVOKED,
) -> bool:
    """Whether the first signature, the one that is stamped, is over these bytes and of somebody trusted then.

    Without that a time stamp shows nothing: anybody can have any bytes stamped, and put them first later.
    For a signature by ECDSA, which does not cover its key, a key can be made later that fits it and what was
    never signed: such a stamp counts only for a key that is trusted from a time before it.
    """
    fixed = [s for s in signers if s.key.kind == "ssh-ed25519" or s.valid_after is not None]
    try:
        check_signatures(replace(envelope, signatures=envelope.signatures[:1]), fixed, at, revoked)
    except SignatureNotTrusted:
        return False
    return True


def _append(target: Path, before: bytes, line: str) -> None:
    joint = b"\n" if before and not before.endswith(b"\n") else b""
    hint = "Set BENCH_HOME=FOLDER to one you may write."
    try:
        make_private_folders(target.parent)
    except OSError as error:
        raise CannotMeasure(f"cannot make the folder {target.parent}: {error.strerror}. {hint}") from error
    write_atomic(target, before + joint + line.encode("utf-8"), mode=0o600, hint=hint)


# ----------------------------------------------------------------------------------------- reasons


def _reason(signer: Signer, at: datetime, namespace: str) -> str | None:
    where = f"{printable(signer.principal)}, line {signer.line} of the trust store"
    if not _is_for(signer, namespace):
        return f'the key ({where}) is for other namespaces, not "{namespace}"'
    if signer.valid_after is not None and at < signer.valid_after:
        return f"the key ({where}) is valid only from {utc(signer.valid_after)} on"
    if signer.valid_before is not None and at > signer.valid_before:
        return f"the key ({where}) expired on {utc(signer.valid_before)}"
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


def _is_for(signer: Signer, namespace: str) -> bool:
    """OpenSSH reads a line without namespaces as one for all; here it is one for reports.

    Otherwise whoever entered a vendor so would let him pose his own challenges.
    """
    return namespace == NAMESPACE if signer.namespaces is None else namespace in signer.namespaces


def _openssh(time: datetime) -> str:
    return re.sub("[-:T]", "", utc(time))


# ----------------------------------------------------------------------------------------- parsing


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error}") from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are neither empty nor a comment, with their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):
        if (stripped := line.strip()) and not stripped.startswith("#"):
            yield number, stripped


def _revoked(data: bytes, path: Path) -> frozenset[PublicKey]:
    return frozenset(
        parse_public(line, f"{path}, line {number}") for number, line in _lines(_text(data, path))
    )


def _signer(line: str, number: int, where: str) -> Signer:
    principals, rest = _field(line, where)
    options: dict[str, str] = {}
    # As in OpenSSH, options stand between the principals and the key, and a key's kind tells them apart.
    if not rest.startswith(("ssh-", "ecdsa-", "sk-")):
        text, rest = _field(rest, where)
        options = _options(text, where)
    namespaces = options.get("namespaces")
    after, before = (
        moment(options[name], where) if name in options else None for name in ("valid-after", "valid-before")
    )
    _require_order(after, before, where)
    return Signer(
        line=number,
        principal=",".join(_names(principals.replace('"', ""), "principal", where)),
        key=parse_public(rest, where),
        namespaces=None if namespaces is None else _names(namespaces, "namespace", where),
        valid_after=after,
        valid_before=before,
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


def _require_order(after: datetime | None, before: datetime | None, where: str) -> None:
    """OpenSSH refuses such a line too."""
    if after is not None and before is not None and after >= before:
        raise UsageError(
            f"{where}: valid-after {utc(after)} is not before valid-before {utc(before)}, so that the key "
            "would never be trusted."
        )
