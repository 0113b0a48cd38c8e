"""A credential as it is stored for retries. It holds nothing secret: certificates are public."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attest.tlog.entry import canonical, parse_canonical
from kbs.model.credential import Credential

__all__ = ["decode", "encode"]


def encode(credential: Credential) -> bytes:
    """Canonical JSON."""
    certificates = [each.hex() for each in credential.certificates]
    return canonical({"principal": credential.principal, "certificates": certificates, "expires": credential.expires})


def decode(data: bytes) -> Credential:
    """The inverse."""
    read: Mapping[str, Any] = parse_canonical(data)
    leaf, issuer = (bytes.fromhex(each) for each in read["certificates"])
    return Credential(principal=read["principal"], certificates=(leaf, issuer), expires=read["expires"])
