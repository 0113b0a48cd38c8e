"""Makes a receipt out of published files, and reads a receipt that somebody shows.

Source: C2SP tlog-proof (c2sp.org/tlog-proof@v1). A receipt is good for as long as the key of its log is trusted: it
needs neither the broker nor the log, and it stays good when the log's entries have been deleted.
"""

from __future__ import annotations

from dataclasses import dataclass

from attest.errors import AttestError, NotLogged
from attest.tlog.checkpoint import Checkpoint
from attest.tlog.entry import Leaf, check_place, parse_leaf
from attest.tlog.merkle import leaf_hash
from attest.tlog.note import Note
from attest.tlog.proof_file import ProofFile, verify
from attest.tlog.proofs import inclusion_ranges
from attest.tlog.tile_tree import roots, tiles_for
from attest.tlog.tiles import WIDTH, Bundle
from clients.auditor.browse import Incomplete, time_of
from clients.auditor.head import keys_of, open_head
from clients.auditor.report import printable, verdict_of
from clients.auditor.source import CHECKPOINT, Source, read_bundle, read_tile
from clients.errors import ClientError, NotTrusted, Usage
from clients.trust import Trust

__all__ = ["Proven", "Refuted", "check_receipt", "prove"]


class Refuted(ClientError):
    """What is published contradicts the checkpoint over it."""

    code = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """An entry whose place in a signed tree has been shown. `receipt` is the file that shows it."""

    index: int
    leaf: Leaf
    leaf_hash: bytes
    tree: Checkpoint
    receipt: bytes

    def document(self) -> dict[str, object]:
        """The essentials, for --json."""
        header, body = self.leaf.header, self.leaf.body
        told = {name: body.get(name) for name in ("id", "type", "tenant", "actor", "reason", "keys", "lease")}
        return {
            "verified": True,
            "simulated": body.get("simulated"),
            "log": self.tree.origin,
            "index": self.index,
            "time": time_of(header.t),
            **told,
            "assets": [link.asset for link in header.chains],
            "leaf_hash": self.leaf_hash.hex(),
            "tree_size": self.tree.size,
        }

    def text(self) -> str:
        """The essentials, for people."""
        told = self.document()
        actor, keys = told["actor"], told["keys"]
        lines = {
            "log": f"{self.tree.origin}, signed at {self.tree.size} entries",
            "entry": f"{self.index}, {told['time']}",
            "type": told["type"],
            "reason": told["reason"],
            "actor": f"{actor.get('kind')} {actor.get('id')}" if isinstance(actor, dict) else None,
            "assets": " ".join(map(str, told["assets"])) if isinstance(told["assets"], list) else None,
            "keys": ", ".join(map(_key, keys)) if isinstance(keys, list) else None,
            "ticket": told["id"],
            "hash": told["leaf_hash"],
        }
        shown = [printable(f"{name:<8} {value}") for name, value in lines.items() if value]
        warning = ["SIMULATED: this release proves nothing about real machines"] if told["simulated"] else []
        return "\n".join([*warning, *shown])


def _key(line: object) -> str:
    if not isinstance(line, dict):
        return str(line)
    return str(line.get("asset")) + (f" version {line['version']}" if line.get("version") is not None else "")


def prove(source: Source, trust: Trust, index: int) -> Proven:
    """The receipt of entry `index` in the published tree, from the published files alone.

    1. the checkpoint is signed by a log of the trust file and reaches beyond `index`
    2. the entry from its bundle, the proof from the tiles
    3. the receipt is checked as a stranger would check it

    Raises Usage for an index that the log does not have, Incomplete where a piece is missing, and Refuted where the
    pieces do not lead to the signed root.
    """
    try:
        signed, _ = open_head(source.read(CHECKPOINT), trust)  # 1
        tree = signed.checkpoint
        if not 0 <= index < tree.size:
            raise Usage(f"the log has {tree.size} entries, from index 0; there is no entry {index}")
        leaf = _entry(source, index, tree.size)  # 2
        proof = ProofFile(
            index=index, hashes=_hashes(source, index, tree.size), checkpoint=signed.raw, extra=leaf
        ).encode()
        return _check(proof, trust)  # 3
    except AttestError as error:
        raise _no_proof(error, f"entry {index} cannot be proven") from error


def check_receipt(name: str, raw: bytes, trust: Trust) -> Proven:
    """The entry that a receipt proves; nothing but the trust file is needed.

    1. a log of the trust file signed its checkpoint
    2. the entry is in that tree, whose size and root are the checkpoint's
    3. the entry says of itself that it stands there, and is simulated exactly if the trust file is

    Raises NotTrusted for what does not hold, and Incomplete for an entry of a schema that is newer than this program.
    """
    try:
        return _check(raw, trust)
    except AttestError as error:
        message = f"the receipt {name} proves nothing: {error}"
        raise Incomplete(message) if error.check == "ENTRY_VERSION" else NotTrusted(error.check, message) from error


def _check(raw: bytes, trust: Trust) -> Proven:
    proof = ProofFile.parse(raw)
    if proof.extra is None:
        raise NotLogged("RECEIPT_NO_ENTRY", "extra", expected="the entry", got="a proof without it")
    origin, keys = keys_of(trust, Note.parse(proof.checkpoint))
    signed = verify(proof, proof.extra, origin, keys)  # 1, 2
    leaf = parse_leaf(proof.extra)  # 3
    check_place(leaf.header, origin, proof.index)
    if leaf.body.get("simulated") is not trust.simulated:
        got = leaf.body.get("simulated")
        raise NotLogged("ENTRY_SIMULATED", "b.simulated", expected=trust.simulated, got=got)
    found = leaf_hash(proof.extra)
    return Proven(index=proof.index, leaf=leaf, leaf_hash=found, tree=signed.checkpoint, receipt=raw)


def _entry(source: Source, index: int, size: int) -> bytes:
    at = index // WIDTH
    bundle = Bundle(index=at, width=min(WIDTH, size - at * WIDTH))
    entries = read_bundle(source, bundle)
    if entries is None:
        raise NotLogged("BUNDLE_MISSING", bundle.path, expected=f"{bundle.width} entries", got="nothing")
    return entries[index % WIDTH]


def _hashes(source: Source, index: int, size: int) -> tuple[bytes, ...]:
    ranges = inclusion_ranges(index, size)
    found = {tile: read_tile(source, tile) for tile in tiles_for(ranges, size)}
    return roots(ranges, size, {tile: hashes for tile, hashes in found.items() if hashes is not None})


def _no_proof(error: AttestError, what: str) -> ClientError:
    """Missing and newer pieces prove nothing, everything else convicts the publisher."""
    return (Incomplete if verdict_of(error.check).code == Incomplete.code else Refuted)(f"{what}: {error}")
