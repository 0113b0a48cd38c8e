"""Certificates and revocation lists as Intel writes them, recognised as they stand.

Source: Intel "SGX PCK Certificate and CRL Profile Specification" sections 1.1 to 1.3; extensions stand in the order
of every certificate that was seen. DER has one encoding of a value, and all that may differ from one certificate to the
next is bound by its lengths, so that a certificate of this form says what is read here and nothing else. To recognise
is never to refuse: any other is taken apart field by field (attest/names.py, attest/extensions.py).
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from attest import der
from attest.extensions import Extensions
from attest.names import CertificateParts, ListParts

__all__ = ["IntelForm", "recognise_intel", "recognise_intel_list"]

_ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
_SUBJECTS = (
    "Intel SGX PCK Certificate",
    "Intel SGX PCK Platform CA",
    "Intel SGX PCK Processor CA",
    "Intel SGX TCB Signing",
    "Intel SGX Root CA",
)
_HOLDER = ((10, 0x0C, "Intel Corporation"), (7, 0x0C, "Santa Clara"), (8, 0x0C, "CA"), (6, 0x13, "US"))
_SGX_OID = "1.2.840.113741.1.13.1"


def _name(common_name: str) -> bytes:
    """The Name in DER: common name, organization, locality, state, country."""
    found = b""
    for kind, tag, text in ((3, 0x0C, common_name), *_HOLDER):
        value = bytes((0x06, 3, 0x55, 4, kind, tag, len(text))) + text.encode("ascii")
        found += bytes((0x31, len(value) + 2, 0x30, len(value))) + value
    return bytes((0x30, len(found))) + found


_NAMES = {_name(text): text for text in _SUBJECTS}
# Critical key usage with critical basic constraints: (keyCertSign, CA, path length).
_ROLES = {
    bytes.fromhex("300e0603551d0f0101ff0404030206c0300c0603551d130101ff04023000"): (False, False, None),
    bytes.fromhex("300e0603551d0f0101ff04040302010630120603551d130101ff040830060101ff020100"): (True, True, 0),
    bytes.fromhex("300e0603551d0f0101ff04040302010630120603551d130101ff040830060101ff020101"): (True, True, 1),
}


def _any(*texts: bytes) -> bytes:
    return rb"(" + rb"|".join(map(re.escape, texts)) + rb")"


_ISSUER_KEY = re.escape(bytes.fromhex("301f0603551d23041830168014")) + rb".{20}"
_ADDRESS = rb"(\x30.\x06\x03\x55\x1d\x1f\x04.\x30.\x30.\xa0.\xa0.\x86.[!-~]{1,100})"  # where the list is: one URI
_SUBJECT_KEY = re.escape(bytes.fromhex("301d0603551d0e04160414")) + rb".{20}"
_SGX = rb"(?:\x30\x82(..)" + re.escape(bytes.fromhex("06092a864886f84d010d01")) + rb"\x04\x82(..)(.*))?"
_FORM = re.compile(
    rb"\x30\x82(..)(\x30\x82(..)\xa0\x03\x02\x01\x02(\x02(?:\x14[\x01-\x7f]|\x15\x00[\x80-\xff]).{19})"
    + re.escape(_ALGORITHM)
    + _any(*_NAMES)
    + rb"\x30\x1e\x17\x0d.{13}\x17\x0d.{13}"
    + _any(*_NAMES)
    + rb"("
    + re.escape(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"))
    + rb".{64})\xa3(?:\x81(.)\x30\x81(.)|\x82(..)\x30\x82(..))("
    + _ISSUER_KEY
    + _ADDRESS
    + _SUBJECT_KEY
    + _any(*_ROLES)
    + _SGX
    + rb"))"
    + re.escape(_ALGORITHM)
    + rb"\x03(.)\x00(\x30.{7,71})",
    re.DOTALL,
)
_LENGTHS, _TWO = struct.Struct(">HHB"), struct.Struct(">HH")
_LIST = re.compile(
    rb"\x30(?:\x81(.)|\x82(..))(\x30(?:\x81(.)|\x82(..))\x02\x01\x01"
    + re.escape(_ALGORITHM)
    + _any(*_NAMES)
    + rb"\x17\x0d.{13}\x17\x0d.{13}(\x30.*)?\xa0\x2f\x30\x2d\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x02\x01[\x00-\x7f]"
    + _ISSUER_KEY
    + rb")"
    + re.escape(_ALGORITHM)
    + rb"\x03(.)\x00(\x30.{7,71})",
    re.DOTALL,
)


class IntelForm(NamedTuple):
    """The parts of a certificate, its subject's common name, and what its extensions say."""

    parts: CertificateParts
    common_name: str
    extensions: Extensions


def recognise_intel(whole: bytes) -> IntelForm | None:
    """What a certificate of Intel's own form says, once a library has found its DER good; None of another."""
    found = _FORM.fullmatch(whole)
    if found is None:
        return None
    (
        size, signed, inner, serial, issuer, subject, spki, short, few, long, many, extensions, address, roles,
        sgx_size, sgx_count, sgx, rest, signature,
    ) = found.groups()  # fmt: skip
    length = len(extensions)
    bound = (
        size + inner + rest == _LENGTHS.pack(len(whole) - 4, len(signed) - 4, len(signature) + 1)
        and int.from_bytes(few or many, "big") == length
        and int.from_bytes(short or long, "big") == length + (3 if short else 4)
        and _is_one_address(address)
    )
    if sgx is not None:
        bound = bound and sgx_size + sgx_count == _TWO.pack(len(sgx) + 15, len(sgx))
    if not bound:
        return None
    signs, is_ca, path_length = _ROLES[roles]
    return IntelForm(
        CertificateParts(signed, _ALGORITHM, signature, _ALGORITHM, serial, issuer, subject, spki),
        _NAMES[subject],
        Extensions(
            is_ca=is_ca,
            path_length=path_length,
            signs_certificates=signs,
            others={} if sgx is None else {_SGX_OID: sgx},
            critical=(),
            duplicate=None,
        ),
    )


def recognise_intel_list(whole: bytes) -> ListParts | None:
    """As `recognise_intel`, of a revocation list, whose extensions say nothing in this form."""
    found = _LIST.fullmatch(whole)
    if found is None:
        return None
    short, long, signed, inner_short, inner_long, issuer, revoked, rest, signature = found.groups()
    bound = (
        int.from_bytes(short or long, "big") == len(whole) - (3 if short else 4)
        and int.from_bytes(inner_short or inner_long, "big") == len(signed) - (3 if inner_short else 4)
        and rest[0] == len(signature) + 1
        and (revoked is None or _is_one(revoked))
    )
    return ListParts(signed, _ALGORITHM, signature, issuer) if bound else None


def _is_one(value: bytes) -> bool:
    try:
        return der.step(value, 0, len(value))[2] == len(value)
    except ValueError:
        return False


def _is_one_address(item: bytes) -> bool:
    """CRL distribution points: one, with one address of which every length has one byte."""
    size = len(item)
    lengths = (0x30, size - 11, 0x30, size - 13, 0xA0, size - 15, 0xA0, size - 17, 0x86, size - 19)
    return size < 130 and item[:19] == bytes((0x30, size - 2, 6, 3, 0x55, 0x1D, 0x1F, 0x04, size - 9, *lengths))
