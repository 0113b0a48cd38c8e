"""Is the stored log what it says it is? Read before a store is served, after a migration, and of every backup.

1. head and its root row        4. the entries under the head, hashed again: all, or the right part of a large log
2. the frontier's root          5. the newest entries: place, time, and the chain heads that follow from them
3. append-only triggers         6. the published checkpoint: the store may be ahead of it, never behind or beside it

It does not replace `sealgate audit verify`: whoever can rewrite the whole store and sign can pass it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from attest.errors import AttestError, NotLogged
from attest.finding import Finding, Outcome, acceptable
from attest.tlog.checkpoint import Checkpoint
from attest.tlog.entry import Leaf, check_place, parse_leaf
from attest.tlog.merkle import Frontier, extend, leaf_hash
from kbs.model.log import LogHead
from kbs.store import statements as sql
from kbs.store.connect import SHARD
from kbs.store.ledger import GOVERNANCE, read_state
from kbs.store.schema import append_only_triggers, entry_document

__all__ = ["FULL_BELOW", "SelfCheck", "check_store", "log_identity"]

FULL_BELOW = 1 << 16
_STEP = 1_024
_NEWEST = 256
_LATER = frozenset({entry_document.name})


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """Every check with what was expected and what was there. `head` is None if there is none to speak of."""

    findings: tuple[Finding, ...]
    head: LogHead | None

    @property
    def passed(self) -> bool:
        """Something was checked and nothing failed."""
        return acceptable(self.findings)

    def failed(self) -> tuple[Finding, ...]:
        """What failed."""
        return tuple(f for f in self.findings if f.outcome is Outcome.FAILED)

    def sentence(self) -> str:
        """The failures in one line."""
        failed = [f"{f.check}: {f.path}: expected {f.expected}, got {f.got}" for f in self.failed()]
        return "; ".join(failed) or "every check passed"


def log_identity(connection: sqlite3.Connection) -> tuple[str, str] | None:
    """(origin, verifier key) as the genesis entry has them; None if there is no such entry."""
    row = connection.execute(sql.GET_ENTRIES, {"start": 0, "end": 1}).fetchone()
    try:
        genesis = parse_leaf(row[1]) if row else None
    except AttestError:
        return None
    key = genesis.body.get("log_key") if genesis else None
    return (genesis.header.log, key) if genesis and isinstance(key, str) else None


def check_store(
    connection: sqlite3.Connection,
    *,
    origin: str | None,
    published: Checkpoint | None = None,
    full_below: int = FULL_BELOW,
) -> SelfCheck:
    """Checks what `connection` sees. `origin` is None for a store that says none; it then must be empty.

    The caller has begun a transaction, so that all of it is of one moment, and has read `published` before that: a
    store that grows meanwhile is then ahead, as it should be. Raises sqlite3.Error if the database cannot be read.
    """
    row = connection.execute(sql.GET_HEAD, {"shard": SHARD}).fetchone()
    if row is None:
        return SelfCheck(findings=(_finding("HEAD_ROW", "log_head", "one row", "none"),), head=None)
    head = LogHead(size=row[0], root=row[1], frontier=row[2], last_time=row[3])
    findings = [_triggers(connection)]
    findings += _head(connection, head)
    stops = (published.size,) if published else ()
    try:
        roots = _recompute(connection, head, head.size if head.size <= full_below else head.size % full_below, stops)
        findings += [*roots.findings, *_newest(connection, head, origin or "")]
    except AttestError as error:
        failed = Finding(
            check=error.check, path=error.path, outcome=Outcome.FAILED, expected=error.expected, got=error.got
        )
        return SelfCheck(findings=(*findings, failed, _published(connection, head, published, {})), head=head)
    return SelfCheck(findings=(*findings, _published(connection, head, published, roots.at)), head=head)


def _head(connection: sqlite3.Connection, head: LogHead) -> Iterator[Finding]:
    """1 and 2."""
    try:
        got = Frontier.decode(head.size, head.frontier).root().hex()
    except AttestError as error:
        got = str(error)
    yield _finding("FRONTIER_ROOT", "log_head.frontier", head.root.hex(), got)
    newest = connection.execute("SELECT max(size) FROM log_root").fetchone()[0] or 0
    yield _finding("ROOT_ROW", "log_root", f"the newest at {head.size}", f"the newest at {newest}")
    if head.size:
        yield _finding("HEAD_ROOT", f"log_root[{head.size}]", head.root.hex(), _root_row(connection, head.size))
    last = connection.execute("SELECT max(idx) FROM log_entry").fetchone()[0]
    yield _finding("ENTRY_COUNT", "log_entry", head.size, 0 if last is None else last + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recomputed:
    findings: tuple[Finding, ...]
    at: Mapping[int, bytes]


def _recompute(connection: sqlite3.Connection, head: LogHead, part: int, stops: tuple[int, ...]) -> _Recomputed:
    """4. The newest `part` entries hashed again upon what the frontier holds of those before; roots at `stops`."""
    first = head.size - part
    stored = Frontier.decode(head.size, head.frontier)
    frontier = Frontier(size=first, hashes=stored.hashes[: first.bit_count()])
    ends = sorted({*range(first, head.size, _STEP), *(s for s in stops if first <= s <= head.size), head.size})
    at: dict[int, bytes] = {}
    for end in ends:
        frontier = extend(frontier, list(_hashes(connection, frontier.size, end))).frontier
        if end in stops:
            at[end] = frontier.root()
    if part == 0 and head.size:
        skipped = f"the last complete part of {head.size} entries ends here; nothing is right of it"
        return _Recomputed(findings=(_skipped("ENTRIES", "log_entry", skipped),), at={})
    path = f"log_entry[{first}:{head.size}]"
    return _Recomputed(findings=(_finding("ENTRIES", path, head.root.hex(), frontier.root().hex()),), at=at)


def _hashes(connection: sqlite3.Connection, start: int, end: int) -> Iterator[bytes]:
    expected = start
    for index, leaf, stored in connection.execute(sql.GET_ENTRIES, {"start": start, "end": end}):
        if index != expected:
            raise NotLogged("ENTRY_MISSING", f"log_entry[{expected}]", expected="an entry", got="none")
        if leaf_hash(leaf) != stored:
            raise NotLogged("ENTRY_HASH", f"log_entry[{index}]", expected=stored, got=leaf_hash(leaf))
        yield stored
        expected += 1
    if expected != end:
        raise NotLogged("ENTRY_MISSING", f"log_entry[{expected}]", expected="an entry", got="none")


def _newest(connection: sqlite3.Connection, head: LogHead, origin: str) -> Iterator[Finding]:
    """5. Raises AttestError for a leaf that cannot be read or is not of this place."""
    first = max(0, head.size - _NEWEST)
    leaves: list[Leaf] = []
    for index, raw, stored in connection.execute(sql.GET_ENTRIES, {"start": first, "end": head.size}):
        if leaf_hash(raw) != stored:
            raise NotLogged("ENTRY_HASH", f"log_entry[{index}]", expected=stored, got=leaf_hash(raw))
        leaves.append(parse_leaf(raw))
        check_place(leaves[-1].header, origin, index)
    times = [each.header.t for each in leaves]
    yield _finding("ENTRY_TIME", "h.t", "never back", "never back" if times == sorted(times) else "goes back")
    yield _finding("LAST_ENTRY", f"log_entry[{head.size - 1}].h.t", head.last_time, times[-1] if times else 0)
    expected = _heads(leaves)
    rows = connection.execute("SELECT chain, idx, seq FROM chain_head WHERE idx >= ?", (first,)).fetchall()
    got = {chain: (index, seq) for chain, index, seq in rows}
    differ = sorted(c for c in {*expected, *got} if expected.get(c) != got.get(c))
    shown = [f"{chain} at {expected.get(chain)}" for chain in differ[:3]]
    yield _finding("CHAIN_HEADS", "chain_head", shown, [f"{chain} at {got.get(chain)}" for chain in differ[:3]])
    if GOVERNANCE in expected:
        yield _finding("GOVERNANCE", "state.governance", expected[GOVERNANCE][0], read_state(connection).governance)


def _heads(leaves: list[Leaf]) -> dict[str, tuple[int, int]]:
    heads: dict[str, tuple[int, int]] = {}
    for leaf in leaves:
        heads |= {link.asset: (leaf.header.i, link.seq) for link in leaf.header.chains}
        if leaf.header.gs is not None:
            heads[GOVERNANCE] = (leaf.header.i, leaf.header.gs)
    return heads


def _published(
    connection: sqlite3.Connection, head: LogHead, published: Checkpoint | None, recomputed: Mapping[int, bytes]
) -> Finding:
    """6."""
    if published is None:
        return _skipped("PUBLISHED", "checkpoint", "nothing is published")
    if published.size > head.size:
        return _finding("PUBLISHED", "checkpoint", f"a store of at least {published.size} entries", head.size)
    if recomputed.get(published.size, published.root) != published.root:
        return _finding("PUBLISHED", "checkpoint", published.root.hex(), recomputed[published.size].hex())
    path = f"log_root[{published.size}]"
    return _finding("PUBLISHED", path, published.root.hex(), _root_row(connection, published.size))


def _root_row(connection: sqlite3.Connection, size: int) -> str:
    row = connection.execute(sql.GET_ROOT, {"size": size}).fetchone()
    return row[0].hex() if row else "none"


def _triggers(connection: sqlite3.Connection) -> Finding:
    """3. Tables that came with a later schema are not there in an older store; the log's own are in every one."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    tables = {name for kind, name, _ in rows if kind == "table"}
    wanted = append_only_triggers(without=_LATER - tables)
    found = sorted(name for kind, name, text in rows if kind == "trigger" and wanted.get(name) == text)
    return _finding("TRIGGERS", "sqlite_schema", sorted(wanted), found)


def _finding(check: str, path: str, expected: object, got: object) -> Finding:
    outcome = Outcome.PASSED if expected == got else Outcome.FAILED
    return Finding(check=check, path=path, outcome=outcome, expected=str(expected), got=str(got))


def _skipped(check: str, path: str, why: str) -> Finding:
    return Finding(check=check, path=path, outcome=Outcome.SKIPPED, expected="", got=why)
