"""What goes into verification: evidence, and collateral to judge it with. Both are untrusted."""

from __future__ import annotations

from dataclasses import dataclass

from attest.x509 import load_pem_or_der

__all__ = ["Collateral", "SnpEvidence", "read_certificates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpEvidence:
    """An attestation report and certificates that came with it: DER, any order, candidates and nothing more."""

    report: bytes
    certificates: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collateral:
    """What the verifier has at hand: certificates and revocation lists, DER, as untrusted as the evidence."""

    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()


def read_certificates(data: bytes, *, path: str = "certificates") -> tuple[bytes, ...]:
    """The certificates of a file, each as DER: one in DER, or any number in PEM. Raises Malformed CERT_MALFORMED."""
    return tuple(certificate.der for certificate in load_pem_or_der(data, path=path))
