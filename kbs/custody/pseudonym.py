"""Names for people and platforms in the log: keyed, per tenant, so that destroying the key erases whom they meant."""

from __future__ import annotations

import base64
import hmac

from attest.binding import bind
from kbs.custody.secret import Secret

__all__ = ["Pseudonyms"]

_BITS = 128


class Pseudonyms:
    """HMAC-SHA-256 of (tenant, kind, real id), cut to 128 bits, in base32 behind a prefix that tells the kind."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def device(self, tenant: str, kind: str, pdi: bytes) -> str:
        """The name of one device: its kind, and the identity for life that its evidence states."""
        return self.of(tenant, "device", kind.encode() + b"\0" + pdi)

    def of(self, tenant: str, kind: str, real: bytes) -> str:
        """For example `node-ABC...` for a chip id."""
        message = bind("sealgate/v1/pseudonym", tenant, kind, real)
        tag = hmac.digest(self._key.reveal(), message, "sha256")[: _BITS // 8]
        return f"{kind}-{base64.b32encode(tag).decode().rstrip('=').lower()}"
