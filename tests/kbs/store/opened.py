"""A store for tests: a door over a fresh file, a clock that moves when told, units, and what every log must be."""

from __future__ import annotations

import functools
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attest.tlog.entry import canonical, parse_leaf
from attest.tlog.merkle import Frontier, extend, leaf_hash
from attest.tlog.proofs import verify_inclusion
from kbs.log.sequence import LogSequencer
from kbs.model.log import ChainHead, Draft, Place
from kbs.model.unit import ChallengeUse, Committed, Count, Outcome, Unit, Verdict
from kbs.store.connect import create, open_writer
from kbs.store.door import WriteDoor
from kbs.store.port import Faults, no_fault

__all__ = [
    "NOW", "ORIGIN", "Clock", "Connecting", "challenge", "check_log", "committed", "count", "draft", "make_store",
    "names", "opened", "rows", "unit", "verdict",
]  # fmt: skip

ORIGIN = "store.sealgate.example/audit/1"
NOW = 1_790_000_000_000


class Clock:
    """ms since 1970, as told."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Connecting:
    """Opens the door's connection; what `set` says holds for it, and for each that is opened after it."""

    def __init__(self) -> None:
        self._pragma = ""
        self._connection: sqlite3.Connection | None = None

    def __call__(self, path: Path) -> sqlite3.Connection:
        self._connection = open_writer(path)
        self.set(self._pragma)
        return self._connection

    def set(self, pragma: str) -> None:
        self._pragma = pragma
        if self._connection is not None and pragma:
            self._connection.execute(pragma)


@functools.cache
def _empty() -> bytes:
    """A store as `create` makes it; no log's name is in it yet."""
    with tempfile.TemporaryDirectory(prefix="sealgate-empty-") as folder:
        path = Path(folder) / "store.db"
        create(path, LogSequencer(ORIGIN).empty())
        return path.read_bytes()


def make_store(path: Path) -> Path:
    """A new store: a copy of one that was made once."""
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(_empty())
    return path


@contextmanager
def opened(
    path: Path, clock: Clock | None = None, faults: Faults = no_fault, connect: Callable[..., Any] = open_writer
) -> Iterator[WriteDoor]:
    """A door over the store at `path`, made if it does not exist. A test that hangs here has found a defect."""
    if not path.exists():
        make_store(path)
    door = WriteDoor(path, LogSequencer(ORIGIN), clock or Clock(), faults, connect=connect)
    try:
        yield door
    finally:
        door.close()


def draft(name: object, *assets: str, governance: bool = False, size: int = 0) -> Draft:
    """An entry that says `name`."""
    return Draft(body=canonical({"name": str(name), "pad": "x" * size}), assets=assets, governance=governance)


def verdict(name: object, *assets: str, governance: bool = False, **more: Any) -> Verdict:
    return Verdict(draft=draft(name, *assets, governance=governance), **more)


def unit(name: object, *assets: str, governance: bool = False, **more: Any) -> Unit:
    """A unit with an entry that says `name`; guards by keyword."""
    return Unit(verdict=verdict(name, *assets, governance=governance), **more)


def challenge(seed: object = None, *, bound: bytes = b"b", issued_at: int = NOW) -> ChallengeUse:
    digest = hashlib.sha256(repr(seed).encode()).digest() if seed is not None else os.urandom(32)
    return ChallengeUse(digest=digest, bound=bound, issued_at=issued_at)


def count(meter: str, member: str, *, add: int = 1, limit: int = 2, window: int = NOW) -> Count:
    return Count(meter=meter, window=window, add=add, limit=limit, member=member)


def committed(outcome: Outcome) -> Place:
    assert isinstance(outcome, Committed), outcome
    return outcome.place


def rows(path: Path, statement: str, *parameters: object) -> list[Any]:
    """What a connection of its own reads."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement, parameters).fetchall()
    finally:
        connection.close()


def names(path: Path) -> list[str]:
    """What the entries say, in order."""
    return [str(parse_leaf(leaf).body["name"]) for (leaf,) in rows(path, "SELECT leaf FROM log_entry ORDER BY idx")]


def check_log(path: Path) -> int:
    """Recomputes everything that the store says of its log from the leaves, and returns the log's size."""
    entries = rows(path, "SELECT idx, leaf, leaf_hash FROM log_entry ORDER BY idx")
    assert [index for index, _, _ in entries] == list(range(len(entries)))
    roots, frontier = [Frontier().root()], Frontier()
    chains: dict[str, ChainHead] = {}
    last = 0
    for index, raw, hashed in entries:
        assert hashed == leaf_hash(raw)
        frontier = extend(frontier, [hashed]).frontier
        roots.append(frontier.root())
        header = parse_leaf(raw).header
        assert (header.i, header.log) == (index, ORIGIN)
        assert header.t >= last
        last = header.t
        links = [(link.asset, link.prev, link.seq) for link in header.chains]
        if header.gs is not None:
            links.append(("gov", header.gp, header.gs))
        for chain, prev, seq in links:
            before = chains.get(chain)
            assert (prev, seq) == ((before.index, before.seq + 1) if before else (None, 1)), chain
            chains[chain] = ChainHead(index=index, seq=seq)
    [(size, root, encoded, last_time)] = rows(path, "SELECT size, root, frontier, last_time FROM log_head")
    assert (size, root, encoded, last_time) == (len(entries), roots[-1], frontier.encode(), last)
    stored = {chain: ChainHead(index=idx, seq=seq) for chain, idx, seq in rows(path, "SELECT * FROM chain_head")}
    assert stored == chains
    for at, batch_root in rows(path, "SELECT size, root FROM log_root"):
        assert batch_root == roots[at]
    _check_uses(path, [hashed for _, _, hashed in entries], roots)
    _check_blobs(path, len(entries))
    return len(entries)


def _check_uses(path: Path, hashes: Sequence[bytes], roots: Sequence[bytes]) -> None:
    for index, size, proof in rows(path, "SELECT idx, size, proof FROM challenge_used"):
        path_hashes = [proof[i : i + 32] for i in range(0, len(proof), 32)]
        verify_inclusion(hashes[index], index, size, path_hashes, roots[size])
    assert {size for (size,) in rows(path, "SELECT size FROM challenge_used")} <= {
        size for (size,) in rows(path, "SELECT size FROM log_root")
    }


def _check_blobs(path: Path, size: int) -> None:
    for digest, data, index in rows(path, "SELECT digest, data, idx FROM blob"):
        assert hashlib.sha256(data).digest() == digest
        assert index < size
