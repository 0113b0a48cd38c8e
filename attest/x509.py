"""The one door to X.509: certificates and revocation lists come in as bytes and leave as values, or as Malformed.

Source: RFC 5280. AMD's rules beside it: RSASSA-PSS with SHA-384, MGF1-SHA-384 and salt 48 for every signature, and
serial 0 on every VCEK and VLEK. Intel's: ECDSA over P-256 with SHA-256 for every signature. RFC 5280 forbids serial 0,
`cryptography` warns about it and announces an error; warnings are kept inside this door, and a canary in the tests
sounds on the day that one becomes an error. No chain is built here and no clock is read;
`cryptography.x509.verification` does both and refuses AMD's chains.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import SignatureAlgorithmOID

from attest.ecdsa import verify_p256_der
from attest.errors import Malformed, NotAuthentic
from attest.extensions import Extensions, read_extensions
from attest.intel_form import recognise_intel, recognise_intel_list
from attest.names import CertificateParts, ListParts, certificate_parts, common_name, list_parts

__all__ = ["Certificate", "RevocationList", "load_certificate", "load_pem_or_der", "load_revocation_list"]

_FOREIGN = (ValueError, TypeError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType, x509.InvalidVersion)
_PSS = PSS(MGF1(SHA384()), 48)
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_MAX_CERTIFICATE = 16_384
_MAX_CRL = 1 << 20
_PEM = b"-----BEGIN "


class Certificate(NamedTuple):
    """What is used of a certificate. Nothing of it is authentic until its issuer's signature was checked.

    `subject` and `issuer` are DER names; the common names are empty if there is not exactly one. `extensions` are the
    DER values by dotted OID of those that X.509 does not define; `duplicate` is the OID of an extension that occurs
    twice, in which case no extension was read; `critical` are those that must be understood and are not.
    """

    der: bytes
    serial: int
    subject: bytes
    issuer: bytes
    common_name: str
    not_before: datetime
    not_after: datetime
    spki: bytes
    is_ca: bool
    path_length: int | None
    signs_certificates: bool
    extensions: Mapping[str, bytes]
    critical: tuple[str, ...]
    duplicate: str | None
    parts: CertificateParts
    handle: x509.Certificate

    @property
    def spki_sha256(self) -> bytes:
        """The key's fingerprint, by which roots are pinned."""
        return hashlib.sha256(self.spki).digest()

    @property
    def issuer_common_name(self) -> str:
        """As `common_name`, of the issuer; for people and for hints, hence read when it is asked for."""
        try:
            return common_name(self.issuer)
        except ValueError:
            return ""

    def check_issued_by_p256(self, issuer: Certificate, *, path: str) -> None:
        """As `check_issued_by`, for Intel's ECDSA over P-256 with SHA-256."""
        if self.issuer != issuer.subject:
            raise NotAuthentic(
                "CHAIN_SIGNATURE", path, expected=f"issued by {self.issuer_common_name}", got=issuer.common_name
            )
        _check_p256(self, issuer, "CHAIN_SIGNATURE", path)

    def check_issued_by(self, issuer: Certificate, *, path: str) -> None:
        """Returns if the names match and `issuer` signed it by RSA-PSS; else raises NotAuthentic CHAIN_SIGNATURE."""
        if not _is_amd_pss(self.handle):
            raise NotAuthentic("CHAIN_SIGNATURE", path, expected="RSASSA-PSS with SHA-384", got="another algorithm")
        try:
            self.handle.verify_directly_issued_by(issuer.handle)
        except (InvalidSignature, *_FOREIGN) as error:
            got = "one that does not verify" if isinstance(error, InvalidSignature) else str(error)
            raise NotAuthentic(
                "CHAIN_SIGNATURE", path, expected=f"a signature by {issuer.common_name}", got=got
            ) from error


class RevocationList(NamedTuple):
    """What is used of a CRL. `next_update` is None if it never says when it is stale."""

    der: bytes
    issuer: bytes
    this_update: datetime
    next_update: datetime | None
    serials: frozenset[int]
    critical: tuple[str, ...]
    parts: ListParts
    handle: x509.CertificateRevocationList

    def check_signed_by_p256(self, issuer: Certificate, *, path: str) -> None:
        """As `check_signed_by`, for Intel's ECDSA over P-256 with SHA-256."""
        _check_p256(self, issuer, "CRL_SIGNATURE", path)

    def check_signed_by(self, issuer: Certificate, *, path: str) -> None:
        """Returns if `issuer`'s RSA key signed it by PSS; else raises NotAuthentic CRL_SIGNATURE."""
        key = issuer.handle.public_key()
        try:
            fine = _is_amd_pss(self.handle) and isinstance(key, RSAPublicKey) and self.handle.is_signature_valid(key)
        except _FOREIGN:
            fine = False
        if not fine:
            raise NotAuthentic(
                "CRL_SIGNATURE", path, expected=f"a signature by {issuer.common_name}", got="one that does not verify"
            )


def load_certificate(data: bytes, *, path: str) -> Certificate:
    """One certificate, DER or PEM with nothing around it; raises Malformed CERT_MALFORMED."""
    if len(data) > _MAX_CERTIFICATE:
        raise Malformed("CERT_MALFORMED", path, expected=f"at most {_MAX_CERTIFICATE} bytes", got=f"{len(data)} bytes")
    try:
        if data.startswith(_PEM):
            with warnings.catch_warnings(action="ignore"):
                data = x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
        return _certificate(data)
    except _FOREIGN as error:
        raise Malformed("CERT_MALFORMED", path, expected="an X.509 certificate", got=str(error)) from error


def load_pem_or_der(data: bytes, *, path: str) -> tuple[Certificate, ...]:
    """Every certificate of a file: one in DER, or any number in PEM; raises Malformed CERT_MALFORMED."""
    if _PEM not in data:
        return (load_certificate(data, path=path),)
    blocks = [_PEM + block for block in data.split(_PEM)[1:]]
    return tuple(load_certificate(block, path=f"{path}[{n}]") for n, block in enumerate(blocks))


def load_revocation_list(data: bytes, *, path: str) -> RevocationList:
    """One CRL, DER or PEM; raises Malformed CRL_MALFORMED."""
    if len(data) > _MAX_CRL:
        raise Malformed("CRL_MALFORMED", path, expected=f"at most {_MAX_CRL} bytes", got=f"{len(data)} bytes")
    try:
        whole = data
        if data.startswith(_PEM):
            with warnings.catch_warnings(action="ignore"):
                whole = x509.load_pem_x509_crl(data).public_bytes(Encoding.DER)
        return _revocation_list(data, whole)
    except (*_FOREIGN, x509.DuplicateExtension) as error:
        raise Malformed("CRL_MALFORMED", path, expected="an X.509 revocation list", got=str(error)) from error


def _is_amd_pss(signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
    try:
        return (
            signed.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS
            and isinstance(signed.signature_hash_algorithm, SHA384)
            and signed.signature_algorithm_parameters == _PSS
        )
    except _FOREIGN:
        return False


def _check_p256(signed: Certificate | RevocationList, issuer: Certificate, check: str, path: str) -> None:
    parts = signed.parts
    if parts.algorithm != _ECDSA_SHA256:
        oid = signed.handle.signature_algorithm_oid
        if oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
            raise NotAuthentic(check, path, expected="ECDSA with SHA-256", got=oid.dotted_string)
    verify_p256_der(issuer.spki, parts.signed, parts.signature, check=check, path=path)


def _certificate(whole: bytes) -> Certificate:
    """The library takes every certificate apart; of what a form says as a whole it makes no objects."""
    known = recognise_intel(whole)
    if known is not None:  # a serial above 0, algorithms without parameters: nothing to warn about
        return _of(x509.load_der_x509_certificate(whole), whole, *known)
    parts = certificate_parts(whole)
    with warnings.catch_warnings(action="ignore"):
        found = x509.load_der_x509_certificate(whole)
        return _of(found, whole, parts, common_name(parts.subject), read_extensions(found))


def _of(
    found: x509.Certificate, whole: bytes, parts: CertificateParts, name: str, extensions: Extensions
) -> Certificate:
    return Certificate(
        der=whole,
        serial=found.serial_number,
        subject=parts.subject,
        issuer=parts.issuer,
        common_name=name,
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        spki=parts.spki,
        is_ca=extensions.is_ca,
        path_length=extensions.path_length,
        signs_certificates=extensions.signs_certificates,
        extensions=extensions.others,
        critical=extensions.critical,
        duplicate=extensions.duplicate,
        parts=parts,
        handle=found,
    )


def _revocation_list(data: bytes, whole: bytes) -> RevocationList:
    known = recognise_intel_list(whole)
    if known is not None:
        return _of_list(data, known, x509.load_der_x509_crl(whole), ())
    parts = list_parts(whole)
    with warnings.catch_warnings(action="ignore"):
        found = x509.load_der_x509_crl(whole)
        return _of_list(data, parts, found, tuple(e.oid.dotted_string for e in found.extensions if e.critical))


def _of_list(
    data: bytes, parts: ListParts, found: x509.CertificateRevocationList, critical: tuple[str, ...]
) -> RevocationList:
    return RevocationList(
        der=data,
        issuer=parts.issuer,
        this_update=found.last_update_utc,
        next_update=found.next_update_utc,
        serials=frozenset([revoked.serial_number for revoked in found]),
        critical=critical,
        parts=parts,
        handle=found,
    )
