"""What holds for every certification path, whoever the vendor: roles, depth, and validity at a moment.

Source: RFC 5280 sections 4.1.2.5, 4.2.1.3, 4.2.1.9 and 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from attest.errors import NotAuthentic
from attest.x509 import Certificate

__all__ = ["Link", "check_roles", "check_valid", "link_of"]


class Link(NamedTuple):
    """One certificate of a verified chain, as far as it is needed again: its bytes, serial and validity."""

    name: str
    der: bytes
    serial: int
    not_before: datetime
    not_after: datetime


def link_of(certificate: Certificate, name: str) -> Link:
    """What of `certificate` is needed again."""
    return Link(
        name=name,
        der=certificate.der,
        serial=certificate.serial,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
    )


def check_roles(certificates: Sequence[Certificate], names: Sequence[str], *, lowest: int = 0) -> None:
    """From the leaf up: who may issue, how deep, and nothing critical that is not understood; raises NotAuthentic.

    `lowest` is 1 where the path begins with a CA, below which the leaf would be.
    """
    for depth, (certificate, name) in enumerate(zip(certificates, names, strict=True), lowest):
        if certificate.duplicate or certificate.critical:
            got = certificate.duplicate or ", ".join(certificate.critical)
            raise NotAuthentic("CERT_EXTENSIONS", name, expected="each once, none unknown that is critical", got=got)
        if certificate.is_ca != (depth > 0):
            raise NotAuthentic("CERT_NOT_CA", f"{name}.ca", expected=depth > 0, got=certificate.is_ca)
        if depth and not certificate.signs_certificates:
            raise NotAuthentic("CERT_NOT_CA", f"{name}.key_usage", expected="keyCertSign", got="not set")
        if depth and certificate.path_length is not None and certificate.path_length < depth - 1:
            raise NotAuthentic(
                "CERT_NOT_CA", f"{name}.path_length", expected=f"at least {depth - 1}", got=certificate.path_length
            )


def check_valid(links: Iterable[Link], now: datetime) -> None:
    """Both ends are inside; raises NotAuthentic CERT_NOT_YET_VALID or CERT_EXPIRED."""
    for link in links:
        if now < link.not_before:
            expected, got = f"valid at {now.isoformat()}", f"from {link.not_before.isoformat()}"
            raise NotAuthentic("CERT_NOT_YET_VALID", link.name, expected=expected, got=got)
        if now > link.not_after:
            expected, got = f"valid at {now.isoformat()}", f"until {link.not_after.isoformat()}"
            raise NotAuthentic("CERT_EXPIRED", link.name, expected=expected, got=got)
