"""Reads a published log without verifying it: what it says, not whether it is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from attest.errors import AttestError
from attest.tlog.checkpoint import Checkpoint
from attest.tlog.entry import Leaf, parse_leaf
from attest.tlog.merkle import leaf_hash
from attest.tlog.note import Note
from attest.tlog.tiles import WIDTH, Bundle, bundles
from clients.auditor.report import printable
from clients.auditor.source import CHECKPOINT, Source, read_bundle
from clients.errors import ClientError, Usage

__all__ = ["Entry", "Incomplete", "entries", "entry", "time_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Incomplete(ClientError):
    """A piece of the log is not there, or not what it must be."""

    code = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. `leaf` is None where it is not an entry of our schema; `raw` is always there."""

    index: int
    raw: bytes
    leaf: Leaf | None

    @property
    def actor(self) -> str | None:
        """Who did it, as a pseudonym, or which part of the broker."""
        actor = self.leaf.body.get("actor") if self.leaf else None
        return str(actor["id"]) if isinstance(actor, Mapping) and "id" in actor else None

    @property
    def assets(self) -> list[str]:
        """The assets in whose chains it is."""
        return [link.asset for link in self.leaf.header.chains] if self.leaf else []

    def is_of(self, *, entry_type: str | None, actor: str | None, asset: str | None) -> bool:
        """Whether it is of each of these that is asked for."""
        kind = self.leaf.body.get("type") if self.leaf else None
        return entry_type in (None, kind) and actor in (None, self.actor) and asset in (None, *self.assets)

    def text(self) -> str:
        """One line: index, time, type, actor, reason, assets."""
        if self.leaf is None:
            return f"{self.index:>8}  not an entry of this schema"
        header, body = self.leaf.header, self.leaf.body
        reason = body.get("reason") or "-"
        simulated = "  (simulated)" if body.get("simulated") else ""
        what = f"{body.get('type')!s:<22}  {reason!s:<18}  {self.actor or '-':<33}  {' '.join(self.assets) or '-'}"
        return printable(f"{self.index:>8}  {time_of(header.t)}  {what}{simulated}")

    def summary(self) -> dict[str, object]:
        """The same for --json."""
        found: dict[str, object] = {"index": self.index, "verified": False}
        if self.leaf is None:
            return {**found, "time": None, "type": None, "reason": None, "simulated": None, "actor": None, "assets": []}
        header, body = self.leaf.header, self.leaf.body
        told = {name: body.get(name) for name in ("type", "reason", "simulated")}
        return {**found, "time": time_of(header.t), **told, "actor": self.actor, "assets": self.assets}

    def document(self) -> dict[str, object]:
        """All of it. Raises Incomplete for what is not an entry of our schema."""
        if self.leaf is None:
            raise Incomplete(f"entry {self.index} is not an entry of this schema; its bytes begin {self.raw[:60]!r}")
        header = self.leaf.header
        chains = [{"asset": link.asset, "prev": link.prev, "seq": link.seq} for link in header.chains]
        names = ("i", "t", "log", "gp", "gs", "w", "v")
        return {
            "index": self.index,
            "verified": False,
            "time": time_of(header.t),
            "leaf_hash": leaf_hash(self.raw).hex(),
            "header": {**{name: getattr(header, name) for name in names}, "chains": chains},
            "body": dict(self.leaf.body),
        }


def time_of(milliseconds: int) -> str:
    """An entry's time in UTC; beyond the calendar as the number it is."""
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def entries(source: Source) -> Iterator[Entry]:
    """All entries in order. Raises Incomplete at the first bundle that cannot be read, Usage for no checkpoint."""
    for bundle in bundles(_size(source)):
        yield from _entries(source, bundle)


def entry(source: Source, index: int) -> Entry:
    """One entry. Raises as `entries`, and Usage for an index that the log does not reach."""
    size = _size(source)
    if not 0 <= index < size:
        raise Usage(f"the log has {size} entries, from index 0; there is no entry {index}")
    at = index // WIDTH
    return _entries(source, Bundle(index=at, width=min(WIDTH, size - at * WIDTH)))[index % WIDTH]


def _entries(source: Source, bundle: Bundle) -> list[Entry]:
    first = bundle.index * WIDTH
    try:
        found = read_bundle(source, bundle)
    except AttestError as error:
        raise Incomplete(f"{bundle.path} is not an entry bundle: {error}") from error
    if found is None:
        raise Incomplete(f"{bundle.path} is missing: entries {first} to {first + bundle.width - 1}")
    return [_entry(index, raw) for index, raw in enumerate(found, first)]


def _entry(index: int, raw: bytes) -> Entry:
    try:
        return Entry(index=index, raw=raw, leaf=parse_leaf(raw))
    except AttestError:
        return Entry(index=index, raw=raw, leaf=None)


def _size(source: Source) -> int:
    raw = source.read(CHECKPOINT)
    if raw is None:
        raise Usage("there is no published log: the directory has no file named checkpoint")
    try:
        return Checkpoint.parse(Note.parse(raw).text).size
    except AttestError as error:
        raise Incomplete(f"the checkpoint is not one: {error}") from error
