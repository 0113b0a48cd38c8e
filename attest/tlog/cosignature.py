"""Cosignatures: a witness says that a tree is consistent with all it has seen of that log, and when.

Source: C2SP tlog-cosignature v1.1.0-rc.1, sections "Format", "Ed25519 signed message" and "ML-DSA-44 signed message".
An Ed25519 cosignature (0x04) covers the whole note text but not the witness's name; an ML-DSA-44 one (0x06) covers the
name but of the text only origin, size and root. A key must therefore stand under one name only; `open_note` sees to it.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from attest.errors import NotLogged
from attest.tlog.keys import KeyType, VerifierKey
from attest.tlog.merkle import MAX_SIZE
from attest.tlog.tree_head import Checkpoint

__all__ = ["ed25519_message", "ml_dsa_44_message", "verify_cosignature"]

_SIZE = {KeyType.ED25519_COSIGNATURE: 8 + 64, KeyType.ML_DSA_44_COSIGNATURE: 8 + 2420}
_LABEL = b"subtree/v1\n\0"


def ed25519_message(timestamp: int, text: bytes) -> bytes:
    """What a 0x04 cosigner signs: a header, the time, and the note text with its final newline."""
    return b"cosignature/v1\ntime %d\n" % timestamp + text


def ml_dsa_44_message(name: str, timestamp: int, tree: Checkpoint) -> bytes:
    """What a 0x06 cosigner signs: the structure `cosigned_message` with the subtree [0, size)."""
    cosigner, log = name.encode(), tree.origin.encode()
    head = _LABEL + bytes([len(cosigner)]) + cosigner + timestamp.to_bytes(8, "big") + bytes([len(log)]) + log
    return head + bytes(8) + tree.size.to_bytes(8, "big") + tree.root


def verify_cosignature(key: VerifierKey, text: bytes, blob: bytes, *, now: int | None = None) -> int | None:
    """Verify `blob` (a signature line's bytes after the key id) over the note `text`; the time of it in POSIX seconds.

    None where the cosigner states no time, as ML-DSA-44 permits: then it does not say that the tree is the newest. With
    `now` a time after it is refused; allowance for a clock that differs is the caller's to add.
    Raises NotLogged COSIGNATURE_LENGTH, COSIGNATURE_TIME or NOTE_SIGNATURE, and as `Checkpoint.parse` for a text that
    an ML-DSA-44 key cannot have signed.
    """
    size = _SIZE[key.type]
    if len(blob) != size:
        raise NotLogged("COSIGNATURE_LENGTH", key.name, expected=f"{size} bytes", got=f"{len(blob)} bytes")
    timestamp, signature = int.from_bytes(blob[:8], "big"), blob[8:]
    _check_time(key, timestamp, now)
    try:
        if key.type is KeyType.ED25519_COSIGNATURE:
            Ed25519PublicKey.from_public_bytes(key.key).verify(signature, ed25519_message(timestamp, text))
        else:
            tree = Checkpoint.parse(text, allow_extensions=True)
            MLDSA44PublicKey.from_public_bytes(key.key).verify(signature, ml_dsa_44_message(key.name, timestamp, tree))
    except InvalidSignature as error:
        raise NotLogged("NOTE_SIGNATURE", key.name, expected="a cosignature of this text", got="another") from error
    return timestamp or None


def _check_time(key: VerifierKey, timestamp: int, now: int | None) -> None:
    earliest = 0 if key.type is KeyType.ML_DSA_44_COSIGNATURE else 1
    latest = MAX_SIZE if now is None else now
    if not earliest <= timestamp <= latest:
        raise NotLogged("COSIGNATURE_TIME", key.name, expected=f"{earliest} to {latest}", got=timestamp)
