"""V1: the checkpoint that everything else is measured by, and which keys of the trust file may have signed it."""

from __future__ import annotations

from collections.abc import Sequence

from attest.errors import AttestError, Malformed, NotLogged
from attest.tlog.checkpoint import SignedCheckpoint, open_checkpoint
from attest.tlog.keys import VerifierKey
from attest.tlog.note import Note, check_keys
from clients.auditor.source import CHECKPOINT
from clients.errors import Usage
from clients.trust import Trust

__all__ = ["keys_of", "open_head"]


def keys_of(trust: Trust, note: Note) -> tuple[str, Sequence[VerifierKey]]:
    """The origin that a note claims, which only chooses among the keys, and the keys of that log.

    Raises NotLogged CHECKPOINT_ORIGIN if the trust file lists no such log of its deployment, and Usage if it lists one
    key twice: it would count as two.
    """
    known = [key for key in trust.log_keys if key.name.startswith(f"{trust.origin}/audit/")]
    try:
        check_keys(known)
    except AttestError as error:
        raise Usage(f"the trust file lists a key under two names or types: {error}") from error
    origin = note.text.decode("utf-8").partition("\n")[0]
    keys = [key for key in known if key.name == origin]
    if not keys:
        names = ", ".join(key.name for key in known) or f"a log of {trust.origin}"
        raise NotLogged("CHECKPOINT_ORIGIN", CHECKPOINT, expected=names, got=repr(origin))
    return origin, keys


def open_head(raw: bytes | None, trust: Trust) -> tuple[SignedCheckpoint, Sequence[VerifierKey]]:
    """The published checkpoint and the keys of its log.

    Raises AttestError (CHECKPOINT_MISSING for None) for what no log of the trust file signed, and as `keys_of`.
    """
    if raw is None:
        raise NotLogged("CHECKPOINT_MISSING", CHECKPOINT, expected="a signed checkpoint", got="nothing")
    note = Note.parse(raw)
    if note.encode() != raw:  # base64 with other unused bits: the signature holds, but no log writes it so
        raise Malformed("NOTE_CANONICAL", CHECKPOINT, expected=note.encode(), got=raw)
    origin, keys = keys_of(trust, note)
    return open_checkpoint(raw, origin, keys), keys
