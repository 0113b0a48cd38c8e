"""Throwaway TLS: a CA, a server certificate for loopback, client certificates for people. P-256, valid for a day."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Pair", "authority", "issue"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Pair:
    """A key and its certificate, PEM; `key_digest` is the SHA-256 of its SubjectPublicKeyInfo."""

    key: bytes
    certificate: bytes
    key_digest: bytes


@dataclass(frozen=True, kw_only=True, repr=False)
class Authority:
    """A CA that issues."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: str, issuer: str, now: dt.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=23))
    )


def authority(name: str, now: dt.datetime) -> Authority:
    """A CA of that name."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, name, now).public_key(key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Authority(key=key, certificate=builder.sign(key, SHA256()))


def issue(
    ca: Authority, name: str, now: dt.datetime, *, server: bool, key: ec.EllipticCurvePrivateKey | None = None
) -> Pair:
    """A server certificate for localhost, or a client certificate for `name`; for a fresh key unless one is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    issuer = ca.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    builder = _builder(name, str(issuer), now).public_key(key.public_key())
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if server:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(ca.key, SHA256())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Pair(
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate=certificate.public_bytes(Encoding.PEM),
        key_digest=hashlib.sha256(spki).digest(),
    )
