"""The two steps into a time stamp's DER (ITU-T X.690) that its library does not take.

A reader of definite lengths only, over bytes that the library decodes strictly afterwards or did before.
What the bytes are worth is not decided here (timestamp.py).
"""

from dataclasses import dataclass

_OCTET_STRING = 0x04
_CONTEXT_0 = 0xA0
# SigningCertificate and SigningCertificateV2: RFC 2634, section 5.4, and RFC 5035, section 3.
_SIGNING_CERTIFICATE = (
    bytes.fromhex("060b2a864886f70d010910020c"),
    bytes.fromhex("060b2a864886f70d010910022f"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element: its tag, its content, and the whole of it."""

    tag: int
    content: bytes
    whole: bytes


def elements(data: bytes) -> list[Element]:
    """The elements that `data` is made of, one after the other. Raises ValueError."""
    found, at = [], 0
    while at < len(data):
        start, end = _bounds(data, at)
        found.append(Element(tag=data[at], content=data[start:end], whole=data[at:end]))
        at = end
    return found


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` starts and ends."""
    if at + 2 > len(data):
        raise ValueError("it is cut short")
    start, length = at + 2, data[at + 1]
    if length >= 0x80:
        after = start + (length & 0x7F)
        start, length = after, int.from_bytes(data[start:after], "big")
    if start + length > len(data):
        raise ValueError("it is cut short")
    return start, start + length


def with_certificates_in_order(answer: bytes) -> bytes:
    """An authority's answer with its certificates sorted, as DER has a set; without a token, as it is.

    CMS (RFC 5652, section 5.1) lets them stand in any order, and `openssl ts` puts the signer's first, but
    the library reads sorted ones only. No signature covers their order. Raises ValueError or LookupError.
    """
    if len(elements(_inside(answer, 0))) < 2:
        return answer
    certificates = next((e for e in elements(_signed_data(answer))[3:] if e.tag == _CONTEXT_0), None)
    if certificates is None:
        return answer
    in_order = sorted(element.whole for element in elements(certificates.content))
    return answer.replace(certificates.content, b"".join(in_order), 1)


def signing_certificate_digests(answer: bytes) -> tuple[bytes, ...]:
    """The digests by which the first signer's signed attributes name the certificate that signed.

    Raises ValueError or LookupError.
    """
    signer_infos = elements(_signed_data(answer))[-1].content
    signer = elements(_inside(signer_infos, 0))
    if signer[3].tag != _CONTEXT_0:
        return ()
    attributes = (elements(attribute.content) for attribute in elements(signer[3].content))
    # Attribute: type, set of values. Value: the certificates' identifiers, of which the first is the
    # signer's. Identifier: in version 2 perhaps an algorithm, then the digest.
    identifiers = [
        elements(_inside(values.content, 0, 0, 0))
        for kind, values in attributes
        if kind.whole in _SIGNING_CERTIFICATE
    ]
    return tuple(_octet_string(identifier) for identifier in identifiers)


def _octet_string(parts: list[Element]) -> bytes:
    return next((part.content for part in parts if part.tag == _OCTET_STRING), b"")


def _signed_data(answer: bytes) -> bytes:
    """TimeStampResp: status, token. Token: type, [0] of SignedData. RFC 3161, section 2.4.2."""
    return _inside(answer, 0, 1, 1, 0)


def _inside(data: bytes, *path: int) -> bytes:
    """The content reached by taking the element of each index in turn."""
    for index in path:
        data = elements(data)[index].content
    return data
