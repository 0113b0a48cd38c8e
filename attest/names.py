"""Names, keys and signed parts of certificates and revocation lists as they stand in the DER, byte by byte.

Source: RFC 5280 sections 4.1 and 5.1, X.501. A library that reads a name and writes it anew may write another one.
Failures are a ValueError, because only the caller knows the place.
"""

from __future__ import annotations

from typing import NamedTuple

from attest import der

__all__ = ["CertificateParts", "ListParts", "certificate_parts", "common_name", "list_parts"]

_COMMON_NAME = bytes.fromhex("0603550403")  # the OID 2.5.4.3
_STRINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}  # UTF8String, PrintableString, IA5String
_BIT_STRING, _INTEGER = 0x03, b"\x02"


class CertificateParts(NamedTuple):
    """What stands in a certificate, whole values in DER.

    `algorithm` stands beside the signature, `inner` is the one that is signed; of `signature` there are its contents.
    """

    signed: bytes
    algorithm: bytes
    signature: bytes
    inner: bytes
    serial: bytes
    issuer: bytes
    subject: bytes
    spki: bytes


class ListParts(NamedTuple):
    """As `CertificateParts`, of a revocation list."""

    signed: bytes
    algorithm: bytes
    signature: bytes
    issuer: bytes


def certificate_parts(whole: bytes) -> CertificateParts:
    """The parts of a version 3 certificate (RFC 5280 section 4.1)."""
    signed, at, end, algorithm, signature = _signed(whole)
    begins = []
    for _ in range(7):  # version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
        if at == end:
            raise ValueError("a certificate that is not of version 3")
        begins.append(at)
        stop = at + 2 + whole[at + 1] if at + 2 <= end and whole[at + 1] < 128 else der.step(whole, at, end)[2]
        at = stop if stop <= end else der.step(whole, at, end)[2]  # spares a call in all cases but the refused
    _, serial, inner, issuer, validity, subject, spki = begins
    return CertificateParts(
        signed,
        algorithm,
        signature,
        whole[inner:issuer],
        whole[serial:inner],
        whole[issuer:validity],
        whole[subject:spki],
        whole[spki:at],
    )


def list_parts(whole: bytes) -> ListParts:
    """The parts of a revocation list; version 2 says so first (RFC 5280 section 5.1)."""
    signed, at, end, algorithm, signature = _signed(whole)
    for _ in range(2 if whole[at : at + 1] == _INTEGER else 1):
        at = der.step(whole, at, end)[2]
    stop = der.step(whole, at, end)[2]
    return ListParts(signed, algorithm, signature, whole[at:stop])


def _signed(whole: bytes) -> tuple[bytes, int, int, bytes, bytes]:
    """What the signature covers, where its contents begin and end, the algorithm, and the signature.

    That is a BIT STRING without unused bits, as every signature is (RFC 3279 section 2.2). The library takes unused
    bits that are zero, which would make two encodings of one certificate.
    """
    _, start, end = der.step(whole, 0, len(whole))
    _, content, stop = der.step(whole, start, end)
    after = der.step(whole, stop, end)[2]
    tag, bits, last = der.step(whole, after, end)
    if tag != _BIT_STRING or last != end or bits == end or whole[bits]:
        raise ValueError("a signature with unused bits")
    return whole[start:stop], content, stop, whole[stop:after], whole[bits + 1 : last]


def common_name(name: bytes) -> str:
    """The common name of a Name in DER, if there is exactly one and it is in an encoding of today's; else nothing."""
    found = []
    _, at, end = der.step(name, 0, len(name))
    while at < end:
        # A SET of one attribute that is none, in lengths of one byte, is passed by without its steps.
        if end - at > 9 and name[at + 1] == name[at + 3] + 2 < 128 and name[at + 4 : at + 9] != _COMMON_NAME:
            at += 2 + name[at + 1]
            if at > end:
                raise ValueError("a value is longer than its place")
            continue
        _, attribute, at = der.step(name, at, end)
        while attribute < at:
            _, start, attribute = der.step(name, attribute, at)
            if name.startswith(_COMMON_NAME, start):
                tag, value, stop = der.step(name, start + len(_COMMON_NAME), attribute)
                fine = tag in _STRINGS and stop == attribute
                found.append(name[value:stop].decode(_STRINGS[tag]) if fine else "")
    return found[0] if len(found) == 1 else ""
