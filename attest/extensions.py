"""The extensions that certificates and revocation lists nearly always have, recognised byte by byte.

Source: RFC 5280 sections 4.2.1.1 to 4.2.1.3, 4.2.1.9, 4.2.1.13 and 5.2.3; Intel "SGX PCK Certificate and CRL Profile
Specification" section 1.3. A value has one encoding in DER, so that an extension which is equal to one of these says
the same, and need not be taken apart. Whatever is not recognised is left to the library as a whole, which has the last
word: to recognise is never to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from attest import der

__all__ = ["Extensions", "read_extensions", "recognise", "say_nothing"]

_KNOWN_CRITICAL = frozenset({ExtensionOID.BASIC_CONSTRAINTS.dotted_string, ExtensionOID.KEY_USAGE.dotted_string})

# By all of its bytes: CA and path length of critical basic constraints.
_CONSTRAINTS: Mapping[bytes, tuple[bool, int | None]] = {
    bytes.fromhex("300c0603551d130101ff04023000"): (False, None),
    bytes.fromhex("300f0603551d130101ff040530030101ff"): (True, None),
    bytes.fromhex("30120603551d130101ff040830060101ff020100"): (True, 0),
    bytes.fromhex("30120603551d130101ff040830060101ff020101"): (True, 1),
}
# By all of its bytes: whether critical key usage has keyCertSign.
_USAGE: Mapping[bytes, bool] = {
    bytes.fromhex("300e0603551d0f0101ff0404030206c0"): False,  # digitalSignature, nonRepudiation
    bytes.fromhex("300e0603551d0f0101ff040403020106"): True,  # keyCertSign, cRLSign
}
_CONSTRAINTS_OID, _USAGE_OID = bytes.fromhex("0603551d13"), bytes.fromhex("0603551d0f")
_SUBJECT_KEY_OID, _ISSUER_KEY_OID = bytes.fromhex("0603551d0e"), bytes.fromhex("0603551d23")
# By OID: all that precedes a key identifier of 20 bytes, of which nothing is used.
_KEYS = {
    _SUBJECT_KEY_OID: bytes.fromhex("301d0603551d0e04160414"),
    _ISSUER_KEY_OID: bytes.fromhex("301f0603551d23041830168014"),
}
_KEY_ID = 20
_LISTS_OID = bytes.fromhex("0603551d1f")
_NUMBER, _NUMBER_OID = bytes.fromhex("300a0603551d1404030201"), bytes.fromhex("0603551d14")
# Extensions that X.509 does not define, by OID: never critical, and of any content.
_OPAQUE: Mapping[bytes, str] = {bytes.fromhex("06092a864886f84d010d01"): "1.2.840.113741.1.13.1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What is used of a certificate's extensions.

    `others` are the DER values by dotted OID of those that X.509 does not define; `duplicate` is the OID of one that
    occurs twice, in which case none was read; `critical` are those that must be understood and are not.
    """

    is_ca: bool
    path_length: int | None
    signs_certificates: bool
    others: Mapping[str, bytes]
    critical: tuple[str, ...]
    duplicate: str | None


def read_extensions(found: x509.Certificate) -> Extensions:
    """Of any extensions, as the library reads them; raises what it raises."""
    duplicate: str | None = None
    try:
        extensions = tuple(found.extensions)
    except x509.DuplicateExtension as error:
        extensions, duplicate = (), error.oid.dotted_string
    constraints, usage, others, critical = None, None, {}, []
    for extension in extensions:
        value, oid = extension.value, extension.oid.dotted_string
        if isinstance(value, x509.BasicConstraints):
            constraints = value
        elif isinstance(value, x509.KeyUsage):
            usage = value
        elif isinstance(value, x509.UnrecognizedExtension):
            others[oid] = value.value
        if extension.critical and oid not in _KNOWN_CRITICAL:
            critical.append(oid)
    return Extensions(
        is_ca=constraints is not None and constraints.ca,
        path_length=constraints.path_length if constraints is not None else None,
        signs_certificates=usage is not None and usage.key_cert_sign,
        others=others,
        critical=tuple(critical),
        duplicate=duplicate,
    )


def recognise(whole: bytes, at: int, end: int) -> Extensions | None:
    """Of the extensions from `at` to `end`, once a library has found their lengths good; None if one is not known."""
    constraints: tuple[bool, int | None] = (False, None)
    signs, others, seen = False, {}, set()
    count = 0
    while at < end:
        start, stop = at + 2, at + 2 + whole[at + 1]
        if whole[at + 1] > 127 or stop > end:
            _, start, stop = der.step(whole, at, end)
        item, at = whole[at:stop], stop
        count += 1
        kind = item[2:7]
        if kind == _CONSTRAINTS_OID and item in _CONSTRAINTS:
            constraints = _CONSTRAINTS[item]
        elif kind == _USAGE_OID and item in _USAGE:
            signs = _USAGE[item]
        elif kind in _KEYS and item.startswith(_KEYS[kind]) and len(item) == len(_KEYS[kind]) + _KEY_ID:
            pass
        elif kind != _LISTS_OID or not _is_one_address(item):
            opaque = _opaque(whole, start, stop)
            if opaque is None:
                return None
            kind, value = opaque
            others[_OPAQUE[kind]] = value
        seen.add(kind)
    if len(seen) != count:
        return None
    return Extensions(
        is_ca=constraints[0],
        path_length=constraints[1],
        signs_certificates=signs,
        others=others,
        critical=(),
        duplicate=None,
    )


def say_nothing(whole: bytes, at: int, end: int) -> bool:
    """Whether all from `at` to `end` are known ones of a list, once each and none critical."""
    seen, count = set(), 0
    while at < end:
        stop = der.step(whole, at, end)[2]
        kind, item = whole[at + 2 : at + 7], whole[at:stop]
        key = kind == _ISSUER_KEY_OID and item.startswith(_KEYS[kind]) and len(item) == len(_KEYS[kind]) + _KEY_ID
        if not key and not _is_number(kind, item):
            return False
        seen.add(kind)
        at = stop
        count += 1
    return len(seen) == count


def _is_number(kind: bytes, item: bytes) -> bool:
    return kind == _NUMBER_OID and item.startswith(_NUMBER) and len(item) == len(_NUMBER) + 1 and item[-1] < 0x80


def _is_one_address(item: bytes) -> bool:
    """CRL distribution points: one, with one address of which every length has one byte."""
    size = len(item)
    if not 20 < size < 130:
        return False
    lengths = (0x30, size - 11, 0x30, size - 13, 0xA0, size - 15, 0xA0, size - 17, 0x86, size - 19)
    return item[7:19] == bytes((0x04, size - 9, *lengths)) and item[19:].isascii()


def _opaque(whole: bytes, at: int, end: int) -> tuple[bytes, bytes] | None:
    stop = der.step(whole, at, end)[2]
    kind = whole[at:stop]
    if kind not in _OPAQUE:
        return None
    tag, content, last = der.step(whole, stop, end)
    return (kind, whole[content:last]) if tag == der.OCTET_STRING and last == end else None
