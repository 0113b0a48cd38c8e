"""What a workload keeps of its lease, to renew it and to ask for its proof: in memory, never on a disk.

The holder key is made here, in the guest. Its public half is bound into the evidence, so that the lease is this
guest's; its private half signs for the lease's receipt.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from clients.errors import Usage

__all__ = ["VERSION", "HeldLease", "HolderKey"]

VERSION = "sealgate.held-lease/1"
_FIELDS = {"v", "origin", "lease", "end", "purpose", "assets", "holder_key"}


class HolderKey:
    """A P-256 key of this guest's own."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @classmethod
    def generate(cls) -> HolderKey:
        """A new one."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    def sign(self, data: bytes) -> bytes:
        """ECDSA with SHA-256, DER."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

        return self._private.sign(data, ec.ECDSA(hashes.SHA256()))

    def secret(self) -> bytes:
        """PKCS #8, DER."""
        return self._private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HeldLease:
    """One lease of this guest's. `assets` are in the order in which they were asked for."""

    origin: str
    lease_id: str
    end: datetime
    purpose: str
    assets: tuple[str, ...]
    key: HolderKey

    def until(self, end: datetime) -> HeldLease:
        """The same, with another end."""
        return replace(self, end=end)

    def encode(self) -> bytes:
        """The file: JSON, with the holder key in it."""
        document = {
            "v": VERSION,
            "origin": self.origin,
            "lease": self.lease_id,
            "end": int(self.end.timestamp()),
            "purpose": self.purpose,
            "assets": list(self.assets),
            "holder_key": base64.b64encode(self.key.secret()).decode(),
        }
        return json.dumps(document).encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> HeldLease:
        """Reads the file; raises Usage with a sentence that names `where`, and nothing of what stands in it."""
        try:
            return cls._read(json.loads(data))
        except (ValueError, TypeError, KeyError, OverflowError, AttributeError, binascii.Error):
            raise Usage(f"{where} is not {VERSION}: write it with sealgate keys get --lease FILE") from None

    @classmethod
    def _read(cls, document: dict[str, Any]) -> HeldLease:
        """Raises ValueError and its like."""
        if document.keys() != _FIELDS or document["v"] != VERSION:
            raise ValueError("other fields")
        key = load_der_private_key(base64.b64decode(document["holder_key"], validate=True), None)
        texts = [document["origin"], document["lease"], document["purpose"], *document["assets"]]
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not all(isinstance(text, str) for text in texts):
            raise ValueError("other values")
        return cls(
            origin=document["origin"],
            lease_id=document["lease"],
            end=datetime.fromtimestamp(int(document["end"]), UTC),
            purpose=document["purpose"],
            assets=tuple(document["assets"]),
            key=HolderKey(key),
        )
