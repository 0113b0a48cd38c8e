"""Offline recovery keys: X-Wing key pairs whose private halves lie in safes. Each alone opens the root key.

The root is wrapped for each with HPKE (RFC 9180 base mode, MLKEM768-X25519, HKDF-SHA256, AES-256-GCM), deployment and
root bound in `info`. The document that holds the wraps is no secret; it is of use to nobody without one of the keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from attest.binding import bind
from kbs.custody.root import HeldRoot, RootUnusable, root_id
from kbs.custody.secret import Secret

__all__ = ["LEAST_KEYS", "RecoveryKey", "RecoveryPublic", "open_recovery", "wrap_for_recovery"]

LEAST_KEYS = 2
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_VERSION = "sealgate.recovery/1"
_PUBLIC, _PRIVATE = "sealgate-recovery-public/1", "sealgate-recovery-private/1"
_EK, _SEED = 1_184, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPublic:
    """The public half, 1216 bytes; `id` names it in what people read."""

    raw: bytes

    @property
    def id(self) -> str:
        """16 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def text(self) -> str:
        """One line, as it lies in a file."""
        return f"{_PUBLIC} {base64.b64encode(self.raw).decode()}\n"

    @classmethod
    def parse(cls, text: str, *, name: str) -> RecoveryPublic:
        """The inverse of `text`; raises RootUnusable."""
        raw = _decode(text, _PUBLIC, name, _EK + 32)
        found = cls(raw=raw)
        try:
            found.key()
        except ValueError:
            raise RootUnusable(f"{name} is not a public key that can be used") from None
        return found

    def key(self) -> MLKEM768X25519PublicKey:
        """The key itself; raises ValueError for bytes that are none."""
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.raw[:_EK]), X25519PublicKey.from_public_bytes(self.raw[_EK:])
        )


class RecoveryKey:
    """The private half: a seed of 32 bytes, expanded as draft-connolly-cfrg-xwing-kem section 5.2 says."""

    def __init__(self, seed: Secret) -> None:
        self._seed = seed
        expanded = hashlib.shake_256(seed.reveal()).digest(96)
        ml_kem, x25519 = (
            MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
            X25519PrivateKey.from_private_bytes(expanded[64:]),
        )
        self._key = MLKEM768X25519PrivateKey(ml_kem, x25519)
        self.public = RecoveryPublic(
            raw=ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls) -> RecoveryKey:
        """A new key pair."""
        return cls(Secret(os.urandom(_SEED)))

    @classmethod
    def parse(cls, text: str, *, name: str) -> RecoveryKey:
        """The inverse of `secret_text`; raises RootUnusable."""
        return cls(Secret(_decode(text, _PRIVATE, name, _SEED)))

    def secret_text(self) -> Secret:
        """One line, for a file that goes into a safe."""
        return Secret(f"{_PRIVATE} {base64.b64encode(self._seed.reveal()).decode()}\n".encode())

    def open(self, wrapped: bytes, info: bytes) -> Secret:
        """What was wrapped for the public half; raises InvalidTag."""
        return Secret(_SUITE.decrypt(wrapped, self._key, info=info))


def wrap_for_recovery(root: HeldRoot, keys: Sequence[RecoveryPublic], *, deployment: str) -> bytes:
    """The recovery document. Raises RootUnusable for fewer than two different keys."""
    if len({key.raw for key in keys}) < max(LEAST_KEYS, len(keys)):
        raise RootUnusable(
            f"recovery needs at least {LEAST_KEYS} different keys: one that is lost must not be the last"
        )
    name = root_id(root.key)
    info = _info(deployment, name)
    wraps = [
        {"key": key.id, "wrapped": base64.b64encode(_SUITE.encrypt(root.key.reveal(), key.key(), info=info)).decode()}
        for key in keys
    ]
    document = {"v": _VERSION, "deployment": deployment, "root": name, "wraps": wraps}
    return json.dumps(document, indent=1).encode() + b"\n"


def open_recovery(document: bytes, key: RecoveryKey, *, deployment: str) -> HeldRoot:
    """The root key out of a recovery document. Raises RootUnusable: whose it is and why it does not open."""
    try:
        read = json.loads(document)
        version, theirs, name = read["v"], str(read["deployment"]), str(read["root"])
        wraps = {str(each["key"]): base64.b64decode(each["wrapped"], validate=True) for each in read["wraps"]}
    except (ValueError, KeyError, TypeError, binascii.Error):
        version = None
    if version != _VERSION:
        raise RootUnusable(f"the recovery document is not {_VERSION}")
    if theirs != deployment:
        raise RootUnusable(f"the recovery document is of {theirs}, this is {deployment}")
    wrapped = wraps.get(key.public.id)
    if wrapped is None:
        raise RootUnusable(f"the recovery key {key.public.id} is none of those in the document: {', '.join(wraps)}")
    try:
        found = HeldRoot(key.open(wrapped, _info(deployment, name)))
    except (InvalidTag, ValueError):
        raise RootUnusable(
            f"what was wrapped for the recovery key {key.public.id} does not open: it was changed"
        ) from None
    if root_id(found.key) != name:
        raise RootUnusable(f"the recovery key {key.public.id} opens another root key than the document names")
    return found


def _info(deployment: str, name: str) -> bytes:
    return bind("sealgate/v1/root-recovery", deployment, name)


def _decode(text: str, version: str, name: str, size: int) -> bytes:
    kind, _, rest = text.strip().partition(" ")
    try:
        raw = base64.b64decode(rest, validate=True) if kind == version else b""
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != size:
        raise RootUnusable(f"{name} is not a {version}: one line, the word and base64 of {size} bytes")
    return raw
