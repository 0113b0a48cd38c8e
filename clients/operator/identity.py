"""Who a person is to the broker: a key file and a certificate file, looked at before anything is sent.

gRPC would say of each mistake that the connection failed, and no more.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_pem

from clients.errors import Usage
from clients.transport import Identity

__all__ = ["read_identity", "read_secret"]

_RENEW = "sealgate login makes a fresh one"


def read_secret(path: Path) -> bytes:
    """A private key's file; one that others can read is refused, since it is not one person's. Raises Usage."""
    try:
        if path.stat().st_mode & 0o077:
            raise Usage(f"{path} can be read by others; make it 0600, and consider the key known")
        return path.read_bytes()
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error


def read_identity(key: Path, certificate: Path, now: datetime) -> Identity:
    """Key and certificate chain in PEM, which belong together and are valid at `now`; raises Usage."""
    try:
        chain = certificate.read_bytes()
    except OSError as error:
        missing = f"; {_RENEW}" if isinstance(error, FileNotFoundError) else ""
        raise Usage(f"{certificate} cannot be read: {error.strerror}{missing}") from error
    pem = read_secret(key)
    try:
        public = load_pem(pem, None).public_key()
    except (ValueError, TypeError) as error:
        raise Usage(f"{key} is not a private key in PEM") from error
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise Usage(f"{certificate} is not a certificate in PEM") from error
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(*form) != first.public_key().public_bytes(*form):
        raise Usage(f"{certificate} is not the certificate of {key}, but of another key")
    if first.not_valid_after_utc < now:
        ended = first.not_valid_after_utc.isoformat(timespec="seconds").replace("+00:00", "Z")
        raise Usage(f"{certificate} was valid until {ended}; {_RENEW}")
    return Identity(key=pem, chain=chain)
