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
    known = _of_deployment(trust)
    origin = note.text.decode("utf-8").partition("\n")[0]
    keys = [key for key in known if key.name == origin]
    if not keys:
        names = ", ".join(key.name for key in known) or f"a log of {trust.origin}"
        raise NotLogged("CHECKPOINT_ORIGIN", CHECKPOINT, expected=names, got=repr(origin))
    return origin, keys


def _of_deployment(trust: Trust) -> list[VerifierKey]:
    """The keys of the trust file's own deployment; raises Usage."""
    known = [key for key in trust.log_keys if key.name.startswith(f"{trust.origin}/audit/")]
    try:
        check_keys(known)
    except AttestError as error:
        raise Usage(f"the trust file lists a key under two names or types: {error}") from error
    return known


def _check_ours(note: Note, trust: Trust) -> None:
    """Raises NotLogged CHECKPOINT_FOREIGN if no signature so much as claims to be by a key of the trust file.

    Such a note says nothing of the log that the trust file is of. One that claims it and does not verify does.
    """
    known = _of_deployment(trust)
    ids = {key.key_id for key in known}
    if not any(line.key_id in ids for line in note.signatures):
        expected = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in known) or f"a log of {trust.origin}"
        got = ", ".join(sorted({f"{line.name}+{line.key_id.hex()}" for line in note.signatures}))
        raise NotLogged("CHECKPOINT_FOREIGN", CHECKPOINT, expected=f"a signature by {expected}", got=f"by {got}")


def open_head(raw: bytes | None, trust: Trust) -> tuple[SignedCheckpoint, Sequence[VerifierKey]]:
    """The published checkpoint and the keys of its log.

    Raises AttestError for what no log of the trust file signed: CHECKPOINT_MISSING for None, CHECKPOINT_FOREIGN if none
    of them is named in it; and as `keys_of`.
    """
    if raw is None:
        raise NotLogged("CHECKPOINT_MISSING", CHECKPOINT, expected="a signed checkpoint", got="nothing")
    note = Note.parse(raw)
    if note.encode() != raw:  # base64 with other unused bits: the signature holds, but no log writes it so
        raise Malformed("NOTE_CANONICAL", CHECKPOINT, expected=note.encode(), got=raw)
    _check_ours(note, trust)
    origin, keys = keys_of(trust, note)
    return open_checkpoint(raw, origin, keys), keys
