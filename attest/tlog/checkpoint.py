"""Signed checkpoints: open one that came from outside, sign one of our own.

Sources: C2SP tlog-checkpoint v1.0.0; facts/log.md 1.3. A checkpoint of our log has no extension lines and is signed
under a key name equal to its origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attest.errors import Malformed, NotLogged
from attest.tlog.keys import KeyType, SignerKey, VerifierKey
from attest.tlog.note import Verified, open_note, sign_text
from attest.tlog.tree_head import Checkpoint

__all__ = ["Checkpoint", "SignedCheckpoint", "open_checkpoint", "sign_checkpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint that its log signed. `raw` is the note as it came; `witnesses` the cosignatures that verified.

    Each witness key is there once. How many of them are enough is the caller's policy.
    """

    checkpoint: Checkpoint
    raw: bytes
    log: tuple[Verified, ...]
    witnesses: tuple[Verified, ...]


def open_checkpoint(
    raw: bytes, origin: str, keys: Sequence[VerifierKey], *, now: int | None = None, allow_extensions: bool = False
) -> SignedCheckpoint:
    """Open a checkpoint of the log `origin`; `keys` are those of this log and its witnesses and of no other log.

    1. every signature by one of `keys` verifies, and there is one at least (`open_note`)
    2. the text is a checkpoint, without extension lines unless `allow_extensions`
    3. its origin is `origin`
    4. the log itself signed: with a key of type 0x01, or of type 0x06 under the log's own name

    Raises as `open_note` and `Checkpoint.parse`; NotLogged CHECKPOINT_ORIGIN or CHECKPOINT_UNSIGNED.
    """
    note = open_note(raw, keys, now=now)
    checkpoint = Checkpoint.parse(note.text, allow_extensions=allow_extensions)
    if checkpoint.origin != origin:
        raise NotLogged("CHECKPOINT_ORIGIN", "checkpoint.origin", expected=origin, got=checkpoint.origin)
    log = tuple(each for each in note.signatures if _is_log_key(each.key, origin))
    witnesses = tuple(each for each in note.signatures if not _is_log_key(each.key, origin))
    if not log:
        got = ", ".join(each.key.name for each in witnesses)
        raise NotLogged("CHECKPOINT_UNSIGNED", "signatures", expected="a signature by the log", got=f"by {got}")
    return SignedCheckpoint(checkpoint=checkpoint, raw=raw, log=log, witnesses=witnesses)


def _is_log_key(key: VerifierKey, origin: str) -> bool:
    return key.type is KeyType.ED25519 or (key.type is KeyType.ML_DSA_44_COSIGNATURE and key.name == origin)


def sign_checkpoint(checkpoint: Checkpoint, signer: SignerKey) -> bytes:
    """The signed note of `checkpoint`: the same bytes whenever and by whichever replica it is made.

    Raises Malformed CHECKPOINT_ORIGIN unless the signer's name is the origin, CHECKPOINT_EXTENSION for extension lines.
    """
    if checkpoint.origin != signer.name:
        raise Malformed("CHECKPOINT_ORIGIN", "checkpoint.origin", expected=signer.name, got=checkpoint.origin)
    if checkpoint.extensions:
        got = f"{len(checkpoint.extensions)} more"
        raise Malformed("CHECKPOINT_EXTENSION", "checkpoint", expected="3 lines", got=got)
    return sign_text(checkpoint.text(), signer).encode()
