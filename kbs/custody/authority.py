"""The broker's own certificate authorities, P-256: one for its servers, one for people.

gRPC's verifier refuses Ed25519, hence P-256. Certificates say what they are for, nothing about anybody: a person's
names a pseudonym.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kbs.custody.secret import Secret

__all__ = ["Authority", "ServerIdentity", "new_authority", "new_signing_key"]

_BACKDATE = dt.timedelta(minutes=5)  # a guest's clock may be behind


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ServerIdentity:
    """PEM: a server's key and its chain."""

    key: bytes
    chain: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Authority:
    """A CA that can issue. Stored as one secret: length of the key (2 bytes), its PKCS#8 DER, the certificate's DER."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def of(cls, secret: Secret) -> Authority:
        """Reads what `secret` wrote. Raises ValueError or TypeError for anything else: that was never ours."""
        data = secret.reveal()
        size = int.from_bytes(data[:2], "big")
        key = load_der_private_key(data[2 : 2 + size], None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the authority's key is not one on an elliptic curve")
        return cls(key=key, certificate=x509.load_der_x509_certificate(data[2 + size :]))

    @property
    def secret(self) -> Secret:
        """Key and certificate in one."""
        key = self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return Secret(len(key).to_bytes(2, "big") + key + self.certificate.public_bytes(Encoding.DER))

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    def issue_server(self, names: Sequence[str], now: int, life_ms: int) -> ServerIdentity:
        """A fresh key with a certificate for these DNS names and addresses; it is never stored."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(names[0], key.public_key(), now, life_ms, ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        certificate = builder.sign(self.key, SHA256())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return ServerIdentity(key=pem, chain=certificate.public_bytes(Encoding.PEM) + self.pem)

    def issue_person(self, pseudonym: str, public: ec.EllipticCurvePublicKey, now: int, life_ms: int) -> bytes:
        """DER of a client certificate."""
        builder = self._builder(pseudonym, public, now, life_ms, ExtendedKeyUsageOID.CLIENT_AUTH)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)

    def _builder(
        self, subject: str, public: ec.EllipticCurvePublicKey, now: int, life_ms: int, usage: x509.ObjectIdentifier
    ) -> x509.CertificateBuilder:
        issuer = self.certificate.subject
        return (
            _bare(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])]), issuer, public, now, life_ms)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_USAGE_LEAF, critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )


def new_authority(name: str, now: int, life_ms: int) -> Authority:
    """A new self-signed CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = (
        _bare(subject, subject, key.public_key(), now, life_ms)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_USAGE_CA, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(key=key, certificate=builder.sign(key, SHA256()))


def new_signing_key() -> Secret:
    """A P-256 private key, PKCS#8 DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def _bare(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: int, life_ms: int
) -> x509.CertificateBuilder:
    start = dt.datetime.fromtimestamp(now / 1_000, dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _BACKDATE)
        .not_valid_after(start + dt.timedelta(milliseconds=life_ms))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


_USAGE_CA, _USAGE_LEAF = _usage(ca=True), _usage(ca=False)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
