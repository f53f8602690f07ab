"""Signing keys: Ed25519, or ECDSA on P-256, as OpenSSH and PKCS#8 files hold them.

A private key never leaves its SigningKey, which can only sign. Nothing is overwritten, and a key file
that others may read is not used. Whom to trust is not decided here (trust.py).
"""

import base64
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import CannotMeasure, UsageError
from bench.evidence.store import make_private_folders, read_small, write_new
from bench.printable import printable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# A passphrase, or None when there is none to be had; asked only when the key is encrypted.
PassphraseSource = Callable[[], bytes | None]

# The y of the eight Ed25519 points whose order divides eight, as integers (RFC 8032, section 5.1.2). One
# signature fits every message, or one in a few, under such a key: whoever chose it has signed nothing.
_P = 2**255 - 19
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})

KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256")
# What can be made here: Ed25519, or ECDSA on P-256, which hardware tokens and older tools know.
KeyType = Literal["ed25519", "ecdsa-p256"]
# A user's or a host's name, OpenSSH's habit, has no place in a file that is handed around.
_COMMENT = "compute-evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key of a kind in KINDS; `blob` is its SSH wire encoding (RFC 4253, section 6.6)."""

    kind: str
    blob: bytes

    @property
    def line(self) -> str:
        """As it stands in a `.pub` file, without a comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """OpenSSH's `SHA256:...`, what `ssh-keygen -lf` prints."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii").rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """Someone who can sign: `sign` takes a message and gives the signature (ECDSA: DER, over SHA-256)."""

    public: PublicKey
    sign: Callable[[bytes], bytes] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        return self.public.fingerprint


def home() -> Path:
    """The folder of this user's keys and trust: $BENCH_HOME, else compute-evidence/ of the settings."""
    if chosen := os.environ.get("BENCH_HOME"):
        return Path(chosen)
    settings = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if settings.is_absolute():  # the XDG specification has a relative one ignored
        return settings / "compute-evidence"
    try:
        return Path.home() / ".config" / "compute-evidence"
    except RuntimeError as error:
        raise UsageError("there is no home folder for keys here. Set BENCH_HOME=FOLDER.") from error


def key_path() -> Path:
    """Where this machine's own signing key lies."""
    return home() / "key"


def trust_path() -> Path:
    """Where the keys lie that this user trusts."""
    return home() / "allowed_signers"


def revoked_path() -> Path:
    """Where the keys lie that this user trusts no more."""
    return home() / "revoked_keys"


def environment_passphrase() -> bytes | None:
    """From $BENCH_KEY_PASSPHRASE_FILE (without its line end), else $BENCH_KEY_PASSPHRASE, else None."""
    if file := os.environ.get("BENCH_KEY_PASSPHRASE_FILE"):
        passphrase = read_small(Path(file)).removesuffix(b"\n").removesuffix(b"\r")
        if not passphrase:
            raise UsageError(f"the passphrase file {file} (BENCH_KEY_PASSPHRASE_FILE) is empty.")
        return passphrase
    return os.fsencode(os.environ.get("BENCH_KEY_PASSPHRASE", "")) or None


def passphrase_source(ask: Callable[[], str] | None = None) -> PassphraseSource:
    """The environment's passphrase, else what `ask` brings (the cli's prompt, given on a terminal only)."""

    def source() -> bytes | None:
        return environment_passphrase() or (os.fsencode(ask()) if ask else None) or None

    return source


def new(path: Path, passphrase: bytes | None, key_type: KeyType = "ed25519") -> SigningKey:
    """A new key: `path` (0600, OpenSSH format) and `<path>.pub`; missing folders are made, 0700.

    Raises UsageError when either file exists and CannotMeasure when they cannot be written.
    """
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private = _generated(key_type)
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)
    key = _signing_key(private, path)
    public_path = path.with_name(path.name + ".pub")
    try:
        make_private_folders(path.parent)
        # The public file first: if that name is taken, no private key is left lying about.
        write_new(public_path, f"{key.public.line} {_COMMENT}\n".encode(), 0o644)
        try:
            write_new(path, secret, 0o600)
        except BaseException:
            public_path.unlink()
            raise
    except FileExistsError as error:
        raise UsageError(
            f"there is a key already: {error.filename}. It is never overwritten; "
            f"choose another path, or move it away (reports signed with it still verify)."
        ) from error
    except OSError as error:
        raise CannotMeasure(
            f"cannot write the key {path}: {error.strerror}. Set BENCH_HOME=FOLDER to one you may write."
        ) from error
    return key


def load(path: Path, passphrase_source: PassphraseSource = environment_passphrase) -> SigningKey:
    """The signing key in an OpenSSH or PKCS#8 file. Raises UsageError, with what to type."""
    _refuse_open_to_others(path)
    data = read_small(path)
    try:
        private = _private(data, None)
    except TypeError:  # cryptography's word for: it is encrypted
        private = _decrypted(path, data, passphrase_source())
    except ValueError as error:
        raise UsageError(
            f"{path} holds no private key in OpenSSH or PKCS#8 format: {_line(error)}"
        ) from error
    return _signing_key(private, path)


def read_public(path: Path) -> PublicKey:
    """The key in a `.pub` file. Raises UsageError."""
    text = read_small(path).decode("utf-8", "replace").strip()
    if "PRIVATE KEY" in text:
        raise UsageError(f"{path} holds a private key, which nobody should be given. Use {path}.pub")
    return parse_public(text, str(path))


def parse_public(text: str, where: str) -> PublicKey:
    """`"ssh-ed25519 AAAA... comment"` -> the key. Raises UsageError naming `where`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

    kind = text.split(maxsplit=1)[0] if text.strip() else ""
    if kind not in KINDS or "\n" in text:
        raise UsageError(
            f"{where}: expected one line beginning with {' or '.join(KINDS)}, got {_start(text)}"
        )
    try:
        public = load_ssh_public_key(text.encode("utf-8"))
        canonical = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{where}: not a {kind} key: {_line(error)}") from error
    key = PublicKey(kind=kind, blob=base64.b64decode(canonical.split()[1]))
    if kind == "ssh-ed25519" and _is_of_small_order(key.blob[-32:]):
        raise UsageError(
            f"{where}: this is no key that anybody holds: a signature by it fits every message. "
            "Ask its owner for another, and do not trust this one"
        )
    return key


def _is_of_small_order(point: bytes) -> bool:
    """Whether the 32 bytes of an Ed25519 key spell, in whatever way, a point of order 1, 2, 4 or 8."""
    without_sign = int.from_bytes(point, "little") & ((1 << 255) - 1)
    return without_sign % _P in _SMALL_ORDER


def verify(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is `key`'s over `message`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    public = load_ssh_public_key(key.line.encode("ascii"))
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _generated(key_type: KeyType) -> "Ed25519PrivateKey | EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if key_type == "ecdsa-p256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def _private(data: bytes, passphrase: bytes | None) -> "PrivateKeyTypes":
    """Raises ValueError for bad data, and TypeError when a passphrase is needed and None was given."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    load_it = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        return load_it(data, passphrase)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error


def _decrypted(path: Path, data: bytes, passphrase: bytes | None) -> "PrivateKeyTypes":
    if passphrase is None:
        raise UsageError(
            f"the key {path} is encrypted. Set BENCH_KEY_PASSPHRASE_FILE=FILE with its passphrase."
        )
    try:
        return _private(data, passphrase)
    except ValueError as error:
        raise UsageError(f"the passphrase does not open the key {path}.") from error


def _signing_key(private: "PrivateKeyTypes", path: Path) -> SigningKey:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    sign: Callable[[bytes], bytes]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        sign = private.sign
    elif isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        p256 = private

        def sign(message: bytes) -> bytes:
            return p256.sign(message, ec.ECDSA(hashes.SHA256()))

    else:
        raise UsageError(f"the key {path} is neither Ed25519 nor ECDSA on P-256. Make one: bench key new")
    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    return SigningKey(public=parse_public(line, str(path)), sign=sign)


def _refuse_open_to_others(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError as error:
        raise UsageError(f"there is no key at {path}. Make one: bench key new") from error
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}.") from error
    if os.name == "posix" and mode & 0o077:
        raise UsageError(f"the key {path} can be read by others, so it is not used. Type: chmod 600 {path}")


def _line(error: Exception) -> str:
    return printable(str(error) or type(error).__name__)


def _start(text: str) -> str:
    return f'"{printable(text, limit=40)}"'
