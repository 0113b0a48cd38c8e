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
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from attest.ecdsa import verify_p256
from attest.errors import Malformed, NotAuthentic
from attest.names import certificate_parts, common_name, crl_issuer, signed_part

__all__ = ["Certificate", "RevocationList", "load_certificate", "load_pem_or_der", "load_revocation_list"]

_KNOWN_CRITICAL = frozenset({ExtensionOID.BASIC_CONSTRAINTS.dotted_string, ExtensionOID.KEY_USAGE.dotted_string})
_FOREIGN = (ValueError, TypeError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType, x509.InvalidVersion)
_PSS = PSS(MGF1(SHA384()), 48)
_MAX_CERTIFICATE = 16_384
_MAX_CRL = 1 << 20
_PEM = b"-----BEGIN "


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
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
    spki_sha256: bytes
    is_ca: bool
    path_length: int | None
    signs_certificates: bool
    extensions: Mapping[str, bytes]
    critical: tuple[str, ...]
    duplicate: str | None
    handle: x509.Certificate = field(repr=False, compare=False)

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
        _check_p256(self.handle, signed_part(self.der), issuer, "CHAIN_SIGNATURE", path)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """What is used of a CRL, of which `tbs` is signed. `next_update` is None if it never says when it is stale."""

    der: bytes
    tbs: bytes = field(repr=False)
    issuer: bytes
    this_update: datetime
    next_update: datetime | None
    serials: frozenset[int]
    critical: tuple[str, ...]
    handle: x509.CertificateRevocationList = field(repr=False, compare=False)

    def check_signed_by_p256(self, issuer: Certificate, *, path: str) -> None:
        """As `check_signed_by`, for Intel's ECDSA over P-256 with SHA-256."""
        _check_p256(self.handle, self.tbs, issuer, "CRL_SIGNATURE", path)

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
        with warnings.catch_warnings(action="ignore"):
            if data.startswith(_PEM):
                found = x509.load_pem_x509_certificate(data)
                return _certificate(found, found.public_bytes(Encoding.DER))
            return _certificate(x509.load_der_x509_certificate(data), data)
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
        with warnings.catch_warnings(action="ignore"):
            load = x509.load_pem_x509_crl if data.startswith(_PEM) else x509.load_der_x509_crl
            return _revocation_list(data, load(data))
    except (*_FOREIGN, x509.DuplicateExtension) as error:
        raise Malformed("CRL_MALFORMED", path, expected="an X.509 revocation list", got=str(error)) from error


def _whole_bytes(der: bytes, signature: bytes) -> bytes:
    """The DER, if its signature is a BIT STRING without unused bits, as every signature is (RFC 3279 section 2.2).

    The parser takes unused bits that are zero, which would make two encodings of one certificate.
    """
    unused = der[-len(signature) - 1]
    if unused:
        raise ValueError(f"{unused} unused bits in the signature")
    return der


def _is_amd_pss(signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
    try:
        return (
            signed.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS
            and isinstance(signed.signature_hash_algorithm, SHA384)
            and signed.signature_algorithm_parameters == _PSS
        )
    except _FOREIGN:
        return False


_Signed = x509.Certificate | x509.CertificateRevocationList


def _check_p256(signed: _Signed, message: bytes, issuer: Certificate, check: str, path: str) -> None:
    if signed.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise NotAuthentic(check, path, expected="ECDSA with SHA-256", got=signed.signature_algorithm_oid.dotted_string)
    try:
        r, s = decode_dss_signature(signed.signature)
    except ValueError as error:
        raise NotAuthentic(check, path, expected="a signature in DER", got=str(error)) from error
    verify_p256(issuer.spki, message, r, s, check=check, path=path)


def _certificate(found: x509.Certificate, whole: bytes) -> Certificate:
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
    issuer, subject, spki = certificate_parts(whole)
    return Certificate(
        der=_whole_bytes(whole, found.signature),
        serial=found.serial_number,
        subject=subject,
        issuer=issuer,
        common_name=common_name(subject),
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        spki=spki,
        spki_sha256=hashlib.sha256(spki).digest(),
        is_ca=constraints is not None and constraints.ca,
        path_length=constraints.path_length if constraints is not None else None,
        signs_certificates=usage is not None and usage.key_cert_sign,
        extensions=others,
        critical=tuple(critical),
        duplicate=duplicate,
        handle=found,
    )


def _revocation_list(data: bytes, found: x509.CertificateRevocationList) -> RevocationList:
    whole = found.public_bytes(Encoding.DER) if data.startswith(_PEM) else data
    tbs = signed_part(_whole_bytes(whole, found.signature))
    return RevocationList(
        der=data,
        tbs=tbs,
        issuer=crl_issuer(tbs),
        this_update=found.last_update_utc,
        next_update=found.next_update_utc,
        serials=frozenset(revoked.serial_number for revoked in found),
        critical=tuple(e.oid.dotted_string for e in found.extensions if e.critical),
        handle=found,
    )
