"""RFC 3161 time stamps: an authority's word that a signature existed at a time.

What is stamped is the SHA-256 of the raw bytes of the envelope's first signature; whoever signs later
changes nothing of it. The authority's whole answer lies beside the file. A time that no pinned root
vouches for never leaves here as a time. Whether a certificate was revoked since is not asked.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import CannotMeasure, EvidenceInvalid, UsageError
from bench.evidence import der, keys, store
from bench.evidence.authority import MAX_BYTES
from bench.printable import printable
from bench.terms import Envelope

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampRequest, TimeStampResponse

# Pinned certificates; what it holds is nobody else's business.
Roots = tuple["Certificate", ...]

STEP = 2

# Digests of SHA-2 by the last number of 2.16.840.1.101.3.4.2.x. The imprint is one we asked for.
_SHA_256 = "2.16.840.1.101.3.4.2.1"
_SHA_2 = {_SHA_256, "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3"}
# How a token names its signer's certificate; there SHA-1 is usual still (RFC 2634), and only the holder
# of the key that signed could gain from a collision.
_BY_LENGTH = {20: hashlib.sha1, 32: hashlib.sha256, 48: hashlib.sha384, 64: hashlib.sha512}
# PKIStatus, RFC 3161, section 2.4.2.
_STATUS = {1: "granted with changes", 2: "rejection", 3: "waiting", 4: "revocation warning", 5: "revoked"}

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """The first signature existed at `at`, says an authority that a pinned root vouches for."""

    at: datetime
    authority: str

    @property
    def says(self) -> str:
        return f"{self.at:{_TIME}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """A token for the first signature, and no root pinned to check it by.

    Anybody can write one: what it `says` is the time in words, to be shown and never to be gone by.
    """

    says: str
    authority: str


def path_of(file: Path) -> Path:
    """Where the time stamp of the evidence in `file` lies."""
    return file.with_name(file.name + ".tsr")


def roots_path() -> Path:
    """Where the roots lie that this user pinned."""
    return keys.home() / "tsa_roots.pem"


def pinned_roots(path: Path | None = None) -> Roots:
    """The certificates in `path`, else this user's, of which there may be none.

    A chain ends at one that signed itself; others only stand between. Raises UsageError.
    """
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificates

    data = store.read_small(path) if path else store.read_small(roots_path(), missing=b"")
    if path is None and not data:
        return ()
    try:
        with _quiet():
            roots = tuple(load_pem_x509_certificates(data))
        if not any(root.issuer == root.subject for root in roots):
            raise ValueError("none of its certificates is a root, signed by itself")
    except (ValueError, InvalidVersion) as error:
        raise UsageError(
            f"{path or roots_path()} cannot be used: {printable(str(error))}. "
            "Give the root certificates of time stamping authorities in PEM."
        ) from error
    return roots


# ----------------------------------------------------------------------------------------- getting one


def question(envelope: Envelope) -> "TimeStampRequest":
    """A request for the first signature, with a nonce, and for the authority's certificates."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    builder = TimestampRequestBuilder().data(envelope.signatures[0].sig)
    return (
        builder.hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).cert_request(cert_request=True).build()
    )


def require_none(path: Path) -> None:
    """Raises UsageError when there is something at `path`, which is never overwritten."""
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already, and never overwritten. Move it away to write another.")


def keep(
    file: Path, envelope: Envelope, answer: bytes, roots: Roots, *, nonce: int | None
) -> Stamped | Unchecked:
    """Put an authority's answer beside the file, if it fits. Raises UsageError or CannotMeasure."""
    require_none(path_of(file))
    try:
        found = read(answer, envelope, roots, nonce=nonce)
    except ValueError as error:
        raise CannotMeasure(f"the authority's answer is not kept: {error}.") from error
    try:
        store.write_new(path_of(file), answer, 0o644)
    except FileExistsError:
        require_none(path_of(file))
    except OSError as error:
        raise CannotMeasure(
            f"cannot write {path_of(file)}: {(error.strerror or str(error)).lower()}. "
            f"Copy {file} to a folder you may write, and stamp it there"
        ) from error
    return found


# ---------------------------------------------------------------------------------------- checking one


def check(file: Path, envelope: Envelope, roots: Roots) -> Stamped | Unchecked | None:
    """What the time stamp beside `file` shows about `envelope`; None when there is none.

    Raises EvidenceInvalid (step 2) when it is not for this signature, or leads to none of the roots given.
    """
    path = path_of(file)
    if not os.path.lexists(path):
        return None
    try:
        return read(store.read_limited(path, MAX_BYTES), envelope, roots)
    except (EvidenceInvalid, ValueError) as error:
        reason = str(error).removesuffix(".")
        raise EvidenceInvalid(
            f"the time stamp {path} shows nothing: {reason}. Move it away to do without it, or to get "
            f"another: bench stamp {file} --tsa URL.",
            step=STEP,
        ) from error


def read(answer: bytes, envelope: Envelope, roots: Roots, *, nonce: int | None = None) -> Stamped | Unchecked:
    """What an authority's answer shows about the first signature; with `nonce`, to that very request.

    Raises ValueError saying what is wrong with it.
    """
    if len(answer) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes, which no time stamp has")
    with _quiet():
        token = _decoded(answer)
        _require_fit(token, envelope, nonce)
        _require_own_signer(token)
        if not roots:
            return Unchecked(says=f"{token.at:{_TIME}}", authority=token.authority)
        _require_rooted(token, roots)
    return Stamped(at=token.at, authority=token.authority)


@contextmanager
def _quiet() -> Iterator[None]:
    """Old roots have the serial number 0, of which cryptography warns at each reading."""
    from cryptography.utils import CryptographyDeprecationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """What a granted answer holds, none of it verified."""

    response: "TimeStampResponse"
    imprint_by: str
    imprint: bytes
    nonce: int | None
    at: datetime
    signed_over: frozenset[str]
    signer: bytes
    named: tuple[bytes, ...]
    authority: str


@contextmanager
def _readable() -> Iterator[None]:
    """What the libraries say to bytes that are no token becomes one sentence, a ValueError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType

    odd = (DuplicateExtension, InvalidVersion, UnsupportedAlgorithm, UnsupportedGeneralNameType)
    try:
        yield
    except (ValueError, LookupError, TypeError, *odd) as error:
        raise ValueError(f"it cannot be read as one ({printable(str(error), limit=120)})") from error


def _decoded(answer: bytes) -> _Token:
    from rfc3161_client import decode_timestamp_response

    with _readable():
        answer = der.with_certificates_in_order(answer)
        response = decode_timestamp_response(answer)
        status, words = response.status, " ".join(response.status_string)
    if status != 0:
        said = f', and says "{printable(words)}"' if words else ""
        raise ValueError(f"the authority did not grant it ({_STATUS.get(status, f'status {status}')}){said}")
    with _readable():
        info = response.tst_info
        signer = _signer(response)
        return _Token(
            response=response,
            imprint_by=info.message_imprint.hash_algorithm.dotted_string,
            imprint=info.message_imprint.message,
            nonce=info.nonce,
            at=info.gen_time,
            signed_over=frozenset(oid.dotted_string for oid in response.signed_data.digest_algorithms),
            signer=_der(signer),
            named=der.signing_certificate_digests(answer),
            authority=_name(signer),
        )


def _signer(response: "TimeStampResponse") -> "Certificate":
    """The certificate of the one who signed: one signer, and one certificate that it could mean."""
    from cryptography.x509 import load_der_x509_certificate

    signers = list(response.signed_data.signer_infos)
    if len(signers) != 1:
        raise ValueError(f"it has {len(signers)} signers")
    info = signers[0]
    found = [load_der_x509_certificate(data) for data in response.signed_data.certificates]
    meant = [c for c in found if (c.issuer, c.serial_number) == (info.issuer, info.serial_number)]
    if len(meant) != 1:
        raise ValueError(f"{len(meant)} of its certificates could be the signer's")
    return meant[0]


def _name(signer: "Certificate") -> str:
    """The authority's name for the eyes: its common name, else the whole."""
    from cryptography.x509 import NameOID

    names = signer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return printable(str(names[0].value) if names else signer.subject.rfc4514_string())


def _der(certificate: "Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def _require_fit(token: _Token, envelope: Envelope, nonce: int | None) -> None:
    digest = hashlib.sha256(envelope.signatures[0].sig).digest()
    if (token.imprint_by, token.imprint) != (_SHA_256, digest):
        raise ValueError("it is for something else than the SHA-256 of this file's first signature")
    if nonce is not None and token.nonce != nonce:
        raise ValueError("it answers another request: the nonce is not the one that was sent")


def _require_own_signer(token: _Token) -> None:
    """What the library leaves out: digests that resist, and the signer's certificate named by the signer.

    OpenSSL looks the signer's digest up among those listed, so that only listed ones are ever used.
    """
    if not token.signed_over <= _SHA_2:
        raise ValueError("it is signed over a digest other than SHA-2")
    if not token.named:
        raise ValueError("its signer does not say with which certificate it signed")
    for digest in token.named:
        algorithm = _BY_LENGTH.get(len(digest))
        if algorithm is None or algorithm(token.signer).digest() != digest:
            raise ValueError("its signer says to have signed with another certificate than the one in it")


def _require_rooted(token: _Token, roots: Roots) -> None:
    """The signature of the token, and the chain of its signer, who is one for time stamps, at that time."""
    from rfc3161_client import VerificationError, VerifierBuilder

    try:
        VerifierBuilder(roots=list(roots)).build().verify(token.response, token.imprint)
    except (VerificationError, ValueError) as error:
        # The library hands OpenSSL's stack of errors through, as text.
        match = re.search(r'Verify error: ([^"]+)"', str(error))
        why = match[1] if match else str(error)
        raise ValueError(
            f"{token.authority} does not lead to a pinned root ({printable(why, limit=120)}); pinned are "
            "those of --tsa-roots FILE, else of tsa_roots.pem beside your own key"
        ) from error
