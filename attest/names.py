"""Names and keys of certificates and revocation lists as they stand in the DER, for comparison byte by byte.

Source: RFC 5280 sections 4.1 and 5.1, X.501. A library that reads a name and writes it anew may write another one.
Failures are a ValueError, because only the caller knows the place.
"""

from __future__ import annotations

from attest import der

__all__ = ["certificate_parts", "common_name", "crl_issuer"]

_COMMON_NAME = bytes.fromhex("550403")  # 2.5.4.3
_STRINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}  # UTF8String, PrintableString, IA5String


def certificate_parts(whole: bytes) -> tuple[bytes, bytes, bytes]:
    """Issuer, subject and SubjectPublicKeyInfo of a version 3 certificate, DER as it stands (RFC 5280 section 4.1)."""
    content = der.items(der.items(whole)[0][1])[0][1]
    parts = [content[at:stop] for _, at, _, stop in der.elements(content)]
    if len(parts) < 7:
        raise ValueError("a certificate that is not of version 3")
    return parts[3], parts[5], parts[6]


def crl_issuer(tbs: bytes) -> bytes:
    """The issuer, DER as it stands; version 2 says so first (RFC 5280 section 5.1)."""
    content = der.items(tbs)[0][1]
    parts = [(tag, content[at:stop]) for tag, at, _, stop in der.elements(content)]
    return parts[2 if parts[0][0] == der.INTEGER else 1][1]


def common_name(name: bytes) -> str:
    """The common name of a Name in DER, if there is exactly one and it is in an encoding of today's; else nothing."""
    found = []
    for _, relative in der.items(der.items(name)[0][1]):
        for _, attribute in der.items(relative):
            (_, oid), (tag, value) = der.items(attribute)
            if oid == _COMMON_NAME:
                found.append(value.decode(_STRINGS[tag]) if tag in _STRINGS else "")
    return found[0] if len(found) == 1 else ""
