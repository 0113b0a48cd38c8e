"""The .tlog-proof file: one leaf's place in a log, with the checkpoint that signs it, for offline use.

Source: C2SP tlog-proof (c2sp.org/tlog-proof@v1), section "Format"; facts/log.md 1.6. `extra` is not authenticated. Our
receipts keep the leaf's bytes there, which is safe because a leaf counts only once its hash has been found in the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attest.errors import Malformed
from attest.tlog.checkpoint import SignedCheckpoint, open_checkpoint
from attest.tlog.fields import format_base64, parse_base64, parse_decimal
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import HASH_SIZE, MAX_SIZE, leaf_hash
from attest.tlog.note import MAX_NOTE
from attest.tlog.proofs import verify_inclusion

__all__ = ["MAX_EXTRA", "ProofFile", "verify"]

MAX_EXTRA = 65_535

_MAGIC = "c2sp.org/tlog-proof@v1"
_MAX_HASHES = 63
_MAX_HEAD = len(_MAGIC) + 4 * (MAX_EXTRA // 3 + 1) + (_MAX_HASHES + 3) * 48
_EXTRA = "extra "
_INDEX = "index "


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFile:
    """A parsed proof; nothing in it has been verified. `checkpoint` is the signed note as it came."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_SIZE:
            raise _wrong("index", f"0 to {MAX_SIZE}", self.index)
        if len(self.hashes) > _MAX_HASHES or any(len(each) != HASH_SIZE for each in self.hashes):
            raise _wrong("hashes", f"at most {_MAX_HASHES} hashes of 32 bytes", f"{len(self.hashes)} hashes")
        if self.extra is not None and not 1 <= len(self.extra) <= MAX_EXTRA:
            raise _wrong("extra", f"1 to {MAX_EXTRA} bytes", f"{len(self.extra)} bytes")
        if len(self.checkpoint) > MAX_NOTE:
            raise _wrong("checkpoint", f"at most {MAX_NOTE} bytes", f"{len(self.checkpoint)} bytes")

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = [_MAGIC]
        if self.extra is not None:
            lines.append(_EXTRA + format_base64(self.extra))
        lines += [f"{_INDEX}{self.index}", *map(format_base64, self.hashes), "\n"]
        return "\n".join(lines).encode("ascii") + self.checkpoint

    @classmethod
    def parse(cls, raw: bytes) -> ProofFile:
        """Read a file; `parse(raw).encode() == raw`. Raises Malformed PROOF_FORMAT."""
        head, blank, checkpoint = raw.partition(b"\n\n")
        if not blank or len(head) > _MAX_HEAD or not head.isascii():
            raise _wrong("file", "lines of ASCII, a blank line, a checkpoint", head)
        lines = head.decode("ascii").split("\n")
        if lines.pop(0) != _MAGIC:
            raise _wrong("first line", _MAGIC, head)
        extra = None
        if lines and lines[0].startswith(_EXTRA):
            extra = parse_base64(lines.pop(0).removeprefix(_EXTRA))
            if extra is None:
                raise _wrong("extra", "canonical base64", head)
        index = parse_decimal(lines[0].removeprefix(_INDEX)) if lines and lines[0].startswith(_INDEX) else None
        if index is None:
            raise _wrong("index", "index, one space, a decimal number", lines[:1])
        hashes = tuple(_parse_hash(at, line) for at, line in enumerate(lines[1:]))
        return cls(index=index, hashes=hashes, checkpoint=checkpoint, extra=extra)


def _parse_hash(at: int, line: str) -> bytes:
    value = parse_base64(line)
    if value is None or len(value) != HASH_SIZE:
        raise _wrong(f"hashes[{at}]", "canonical base64 of 32 bytes", repr(line))
    return value


def verify(
    proof: ProofFile, leaf: bytes, origin: str, keys: Sequence[VerifierKey], *, now: int | None = None
) -> SignedCheckpoint:
    """Show that the log `origin` has `leaf` at `proof.index`; the checkpoint that says so.

    1. the checkpoint is signed by the log (`open_checkpoint`, with `origin`, `keys` and `now`)
    2. the proof leads from the leaf to the checkpoint's root, in a tree of the checkpoint's size

    What the leaf says is for the caller to check, its log and index (`entry.check_place`) among it; so is whether the
    witnesses are enough. Raises as the two functions named.
    """
    signed = open_checkpoint(proof.checkpoint, origin, keys, now=now)
    tree = signed.checkpoint
    verify_inclusion(leaf_hash(leaf), proof.index, tree.size, proof.hashes, tree.root)
    return signed


def _wrong(path: str, expected: object, got: object) -> Malformed:
    return Malformed("PROOF_FORMAT", path, expected=expected, got=got)
