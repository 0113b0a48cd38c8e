"""V4: what was seen of the log before, which it cannot take back: a saved checkpoint, and receipts.

Whoever holds the log key can sign another history, and it will verify. It cannot verify against a root that was signed
earlier and is kept where the log's operator does not reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attest.errors import AttestError, Malformed, NotLogged
from attest.tlog.checkpoint import Checkpoint, open_checkpoint
from attest.tlog.fields import format_base64
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import leaf_hash
from attest.tlog.proof_file import ProofFile
from attest.tlog.proofs import verify_inclusion
from attest.tlog.tiles import WIDTH
from clients.auditor.report import Findings
from clients.auditor.tree import GrowingTree
from clients.errors import NotTrusted, Usage

__all__ = ["Anchors", "Receipt", "Saved", "open_receipt", "open_saved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The checkpoint of the last audit, opened again."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A proof file whose checkpoint the log signed. `leaf` is the hash of the entry in it, None if it has none."""

    name: str
    proof: ProofFile
    checkpoint: Checkpoint
    leaf: bytes | None


def open_saved(raw: bytes, origin: str, keys: Sequence[VerifierKey]) -> Saved:
    """Opens the auditor's own file; raises Usage, for that it is not as it was left is no statement about the log."""
    try:
        return Saved(checkpoint=open_checkpoint(raw, origin, keys).checkpoint)
    except AttestError as error:
        raise Usage(
            f"the state file is not a checkpoint of {origin} that a key of the trust file signed: {error}"
        ) from error


def open_receipt(name: str, raw: bytes, origin: str, keys: Sequence[VerifierKey]) -> Receipt:
    """Opens a receipt; raises NotTrusted unless it proves itself. Only then it says something about the log."""
    try:
        proof = ProofFile.parse(raw)
        tree = open_checkpoint(proof.checkpoint, origin, keys).checkpoint
        leaf = None if proof.extra is None else leaf_hash(proof.extra)
        if leaf is not None:
            verify_inclusion(leaf, proof.index, tree.size, proof.hashes, tree.root)
        elif proof.index >= tree.size:
            raise Malformed("PROOF_INDEX", "index", expected=f"below {tree.size}", got=proof.index)
    except AttestError as error:
        raise NotTrusted(
            error.check, f"the receipt {name} is not one of {origin} and cannot be used: {error}"
        ) from error
    return Receipt(name=name, proof=proof, checkpoint=tree, leaf=leaf)


class Anchors:
    """Compares the recomputed tree with each anchor as it passes; what does not agree goes to `findings`."""

    def __init__(self, saved: Saved | None, receipts: Iterable[Receipt], tree: Checkpoint, findings: Findings) -> None:
        self._findings = findings
        self._roots: dict[int, list[tuple[str, str, bytes]]] = {}
        self._leaves: dict[int, list[Receipt]] = {}
        self._sizes: dict[int, set[int]] = {}  # keys of `_roots` by bundle
        self._indices: dict[int, set[int]] = {}  # keys of `_leaves` by bundle
        self._open = 0
        self.covered = 0
        if saved is not None:
            self._add(saved.checkpoint, tree, "STATE_FORK", "state", "STATE_SHRANK")
        for receipt in receipts:
            self._add(receipt.checkpoint, tree, "RECEIPT_FORK", receipt.name, "RECEIPT_AHEAD")
            if receipt.proof.index < tree.size:
                index = receipt.proof.index
                self._leaves.setdefault(index, []).append(receipt)
                self._indices.setdefault(index // WIDTH, set()).add(index)
                self._open += 1

    @property
    def complete(self) -> bool:
        """Whether every anchor that lies within the log has been compared."""
        return self._open == 0

    def _add(self, anchor: Checkpoint, tree: Checkpoint, fork: str, path: str, beyond: str) -> None:
        if anchor.size > tree.size:
            self._wrong(beyond, path, f"at least {anchor.size} entries", f"{tree.size} entries")
        elif anchor.size == tree.size and anchor.root != tree.root:
            got = f"{format_base64(tree.root)} at size {tree.size}, signed"
            self._wrong(fork, path, format_base64(anchor.root), got, tree.size - 1)
        elif anchor.size:
            self._roots.setdefault(anchor.size, []).append((fork, path, anchor.root))
            self._sizes.setdefault((anchor.size - 1) // WIDTH, set()).add(anchor.size)
            self._open += 1

    def compare(self, first: int, hashes: Sequence[bytes], tree: GrowingTree) -> None:
        """The bundle that starts at entry `first`, with `tree` as it was before it."""
        bundle = first // WIDTH
        for size in sorted(self._sizes.pop(bundle, ())):
            root = tree.root(hashes[: size - first])
            for fork, path, expected in self._roots.pop(size):
                self._open -= 1
                if root == expected:
                    self.covered = max(self.covered, size)
                else:
                    self._wrong(fork, path, format_base64(expected), f"{format_base64(root)} at size {size}", size - 1)
        for index in sorted(self._indices.pop(bundle, ())):
            for receipt in self._leaves.pop(index):
                self._open -= 1
                self._compare_leaf(receipt, hashes[index - first])

    def _compare_leaf(self, receipt: Receipt, found: bytes) -> None:
        proof, tree = receipt.proof, receipt.checkpoint
        if receipt.leaf is not None:
            if receipt.leaf != found:
                shown = format_base64(receipt.leaf), format_base64(found)
                self._wrong("RECEIPT_ENTRY", receipt.name, *shown, proof.index)
            return
        try:
            verify_inclusion(found, proof.index, tree.size, proof.hashes, tree.root)
        except NotLogged as error:
            self._wrong("RECEIPT_ENTRY", receipt.name, error.expected, error.got, proof.index)

    def _wrong(self, check: str, path: str, expected: str, got: str, index: int | None = None) -> None:
        self._findings.add("V4", NotLogged(check, path, expected=expected, got=got), index)
