"""Signs checkpoints, after the commit and never before: no signature may exist for a root that could roll back."""

from __future__ import annotations

from collections import OrderedDict

from attest.tlog.checkpoint import Checkpoint, sign_checkpoint
from attest.tlog.keys import SignerKey
from attest.tlog.note import sign_text

__all__ = ["CheckpointSigner"]

_KEPT = 64


class CheckpointSigner:
    """The log's key under its origin. Ed25519 is deterministic, so that any replica signs the same bytes again."""

    def __init__(self, origin: str, seed: bytes) -> None:
        self._signer = SignerKey.from_seed(origin, seed)
        self._kept: OrderedDict[tuple[int, bytes], bytes] = OrderedDict()

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._signer.name

    @property
    def verifier_key(self) -> str:
        """The public half, as trust files write it."""
        return self._signer.verifier_key

    def note(self, text: bytes) -> bytes:
        """A signed note of something that no checkpoint can be: its first line is another. Raises ValueError else."""
        if text.partition(b"\n")[0] == self.origin.encode():
            raise ValueError("a text that begins with the log's name is a checkpoint's, which `checkpoint` alone signs")
        return sign_text(text, self._signer).encode()

    def checkpoint(self, size: int, root: bytes) -> bytes:
        """The signed checkpoint of a committed head. One signature serves all entries of its batch."""
        kept = self._kept.get((size, root))
        if kept is not None:
            return kept
        signed = sign_checkpoint(Checkpoint(origin=self.origin, size=size, root=root), self._signer)
        self._kept[size, root] = signed
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return signed
