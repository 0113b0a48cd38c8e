"""Is this published log what it promises? From static files alone, in one pass, without the broker.

Sources: docs/log.md; C2SP tlog-tiles, tlog-checkpoint, tlog-proof. Levels V1 to V6; that each decision was the one that
the policy in force prescribes is another audit's question. Pieces that only smaller checkpoints needed are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attest.errors import AttestError, Malformed, NotLogged
from attest.tlog.checkpoint import Checkpoint, SignedCheckpoint
from attest.tlog.entry import check_place
from attest.tlog.fields import format_base64
from attest.tlog.keys import VerifierKey
from attest.tlog.leaf_reader import LeafReader
from attest.tlog.merkle import leaf_hash
from attest.tlog.tiles import WIDTH, Bundle, Tile, bundles
from clients.auditor.anchors import Anchors, open_receipt, open_saved
from clients.auditor.head import open_head
from clients.auditor.history import History
from clients.auditor.report import LEVELS, Findings, Level, Report, Verdict
from clients.auditor.source import CHECKPOINT, Source, read_bundle, read_tile
from clients.auditor.tree import GrowingTree
from clients.trust import Trust

__all__ = ["verify"]

_CUT = "not all entries could be read"


def verify(
    source: Source,
    trust: Trust,
    *,
    saved: bytes | None = None,
    first_use: bool = False,
    receipts: Mapping[str, bytes] | None = None,
) -> Report:
    """Audits the log that `source` publishes.

    1. V1: the checkpoint is signed by a log of the trust file; size and root come from it alone
    2. V4: the log is not smaller than what was seen of it before
    3. bundle by bundle: V2 each entry, V5 and V6 what it says of others, V4 root and entry of each anchor,
       V3 each full tile
    4. V3: the partial tiles, and the root

    `saved` is the checkpoint that the last audit kept; with `first_use` there is none yet and one will be kept.
    `receipts` are proof files by name. Everything that can still be checked after a failure is. Raises ClientError for
    a saved checkpoint or a receipt that cannot be used, and what `source` raises.
    """
    findings = Findings()
    opened = _open(source, trust, findings)  # 1
    if opened is None:
        rest = [findings.level(name, skipped="no checkpoint to go by") for name in list(LEVELS)[1:]]
        return _report(None, [findings.level("V1"), *rest], trust, findings, 0, first_use=first_use)
    signed, keys = opened
    tree = signed.checkpoint
    state = None if saved is None else open_saved(saved, tree.origin, keys)
    proofs = [open_receipt(name, raw, tree.origin, keys) for name, raw in (receipts or {}).items()]
    anchors = Anchors(state, proofs, tree, findings)  # 2
    audit = _Audit(source, trust, tree, keys, anchors, findings)
    audit.read()  # 3, 4
    levels = audit.levels(given=state is not None or bool(proofs), first_use=first_use)
    return _report(signed, levels, trust, findings, anchors.covered, first_use=first_use)


def _open(source: Source, trust: Trust, findings: Findings) -> tuple[SignedCheckpoint, Sequence[VerifierKey]] | None:
    try:
        return open_head(source.read(CHECKPOINT), trust)
    except AttestError as error:
        findings.add("V1", error)
        return None


class _Audit:
    """One pass over one tree. `read` once, then `levels`."""

    def __init__(
        self,
        source: Source,
        trust: Trust,
        tree: Checkpoint,
        keys: Sequence[VerifierKey],
        anchors: Anchors,
        findings: Findings,
    ) -> None:
        self._source = source
        self._simulated = trust.simulated
        self._tree = tree
        self._anchors = anchors
        self._findings = findings
        self._grown = GrowingTree()
        self._history = History(trust.origin, frozenset(key.vkey for key in keys), findings)
        self._reader = LeafReader()
        self._cut = False
        self._unread: int | None = None

    def read(self) -> None:
        """All of it, up to the first bundle that is not there or not to be taken apart."""
        for bundle in bundles(self._tree.size):
            entries = self._entries(bundle)
            if entries is None:
                self._cut = True
                return
            first = bundle.index * WIDTH
            for index, raw in enumerate(entries, first):
                self._entry(index, raw)
            hashes = list(map(leaf_hash, entries))
            self._anchors.compare(first, hashes, self._grown)
            for tile, recomputed in self._grown.push(hashes):
                self._compare_tile(tile, recomputed)
        for tile, recomputed in self._grown.partial():
            self._compare_tile(tile, recomputed)
        self._compare_root()

    def _entries(self, bundle: Bundle) -> tuple[bytes, ...] | None:
        first = bundle.index * WIDTH
        try:
            entries = read_bundle(self._source, bundle)
            if entries is None:
                expected = f"entries {first} to {first + bundle.width - 1}"
                raise NotLogged("BUNDLE_MISSING", bundle.path, expected=expected, got="nothing")
        except AttestError as error:
            self._findings.add("V2", error, first)
            return None
        return entries

    def _entry(self, index: int, raw: bytes) -> None:
        try:
            leaf = self._reader.parse(raw)
        except Malformed as error:
            self._findings.add("V2", error, index)
            self._unread = index if self._unread is None else self._unread
            return
        try:
            check_place(leaf.header, self._tree.origin, index)
            if not isinstance(leaf.body.get("type"), str):
                raise Malformed("ENTRY_FORMAT", "b.type", expected="a string", got=leaf.body.get("type"))
            if (got := leaf.body.get("simulated")) is not self._simulated:
                raise NotLogged("ENTRY_SIMULATED", "b.simulated", expected=self._simulated, got=got)
        except AttestError as error:
            self._findings.add("V2", error, index)
        if self._unread is None:
            self._history.follow(index, leaf)

    def _compare_tile(self, tile: Tile, recomputed: Sequence[bytes]) -> None:
        width = WIDTH**tile.level  # leaves under one hash
        try:
            hashes = read_tile(self._source, tile)
            if hashes is None:
                raise NotLogged("TILE_MISSING", tile.path, expected=f"{tile.width} hashes", got="nothing")
        except AttestError as error:
            self._findings.add("V3", error, tile.index * WIDTH * width)
            return
        if hashes == tuple(recomputed):
            return
        for at, (expected, got) in enumerate(zip(recomputed, hashes, strict=True)):
            if expected != got:
                shown = {"expected": format_base64(expected), "got": format_base64(got)}
                wrong = NotLogged("TILE_HASH", f"{tile.path}[{at}]", **shown)
                self._findings.add("V3", wrong, (tile.index * WIDTH + at) * width)

    def _compare_root(self) -> None:
        root = self._grown.root()
        if root != self._tree.root:
            shown = {"expected": format_base64(self._tree.root), "got": format_base64(root)}
            self._findings.add("V3", NotLogged("ROOT", "checkpoint.root", **shown))

    def levels(self, *, given: bool, first_use: bool) -> list[Level]:
        """V1 to V6."""
        size, level = self._tree.size, self._findings.level
        if not size and not self._cut:
            error = NotLogged("GENESIS_PLACE", "checkpoint.size", expected="log.genesis at index 0", got="no entries")
            self._findings.add("V6", error)
        unread = _CUT if self._cut else "" if self._unread is None else f"entry {self._unread} could not be read"
        no_anchor = "first use of the state, nothing to compare with" if first_use else "no state or receipt was given"
        return [
            level("V1", passed=_count(size, "entry", "entries")),
            level("V2", passed=_count(size, "entry", "entries")),
            level("V3", skipped=_CUT if self._cut else ""),
            level("V4", skipped=no_anchor if not given else "" if self._anchors.complete else _CUT),
            level("V5", skipped=unread),
            level("V6", passed=_count(self._history.assets, "asset", "assets"), skipped=unread),
        ]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _report(
    signed: SignedCheckpoint | None,
    levels: Sequence[Level],
    trust: Trust,
    findings: Findings,
    covered: int,
    *,
    first_use: bool,
) -> Report:
    worst = findings.worst()
    tree = signed.checkpoint if signed else None
    return Report(
        verdict=Verdict.UNANCHORED if worst is Verdict.OK and not covered and not first_use else worst,
        levels=tuple(levels),
        origin=tree.origin if tree else None,
        size=tree.size if tree else None,
        root=tree.root if tree else None,
        checkpoint=signed.raw if signed else None,
        simulated=trust.simulated,
        anchored=covered,
        first_use=first_use,
    )
