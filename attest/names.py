"""Names and keys of certificates and revocation lists as they stand in the DER, for comparison byte by byte.

Source: RFC 5280 sections 4.1 and 5.1, X.501. A library that reads a name and writes it anew may write another one.
Failures are a ValueError, because only the caller knows the place.
"""

from __future__ import annotations

from attest import der

__all__ = ["certificate_parts", "common_name", "crl_issuer", "signed_part"]

_COMMON_NAME = bytes.fromhex("0603550403")  # the OID 2.5.4.3
_STRINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}  # UTF8String, PrintableString, IA5String


def signed_part(whole: bytes) -> bytes:
    """What the signature of a certificate or a list covers, as it stands: the first value inside."""
    _, at, end = der.step(whole, 0, len(whole))
    return whole[at : der.step(whole, at, end)[2]]


def certificate_parts(whole: bytes) -> tuple[bytes, bytes, bytes]:
    """Issuer, subject and SubjectPublicKeyInfo of a version 3 certificate, DER as it stands (RFC 5280 section 4.1)."""
    _, at, end = der.step(whole, 0, len(whole))
    _, at, end = der.step(whole, at, end)
    begins = []
    for _ in range(7):  # version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
        if at == end:
            raise ValueError("a certificate that is not of version 3")
        begins.append(at)
        at = der.step(whole, at, end)[2]
    return whole[begins[3] : begins[4]], whole[begins[5] : begins[6]], whole[begins[6] : at]


def crl_issuer(tbs: bytes) -> bytes:
    """The issuer, DER as it stands; version 2 says so first (RFC 5280 section 5.1)."""
    _, at, end = der.step(tbs, 0, len(tbs))
    for _ in range(2 if tbs[at] == der.INTEGER else 1):
        at = der.step(tbs, at, end)[2]
    return tbs[at : der.step(tbs, at, end)[2]]


def common_name(name: bytes) -> str:
    """The common name of a Name in DER, if there is exactly one and it is in an encoding of today's; else nothing."""
    found = []
    _, at, end = der.step(name, 0, len(name))
    while at < end:
        _, attribute, at = der.step(name, at, end)  # a SET of attributes, nearly always of one
        while attribute < at:
            _, start, attribute = der.step(name, attribute, at)
            if name.startswith(_COMMON_NAME, start):
                tag, value, stop = der.step(name, start + len(_COMMON_NAME), attribute)
                fine = tag in _STRINGS and stop == attribute
                found.append(name[value:stop].decode(_STRINGS[tag]) if fine else "")
    return found[0] if len(found) == 1 else ""
