"""Gives entries their places. Pure, so that a transaction that fails leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence

from attest.tlog import merkle
from attest.tlog.entry import ChainLink, Header, leaf
from kbs.model.log import ChainHead, Closed, Draft, LogHead, Placed

__all__ = ["LogBatch", "LogSequencer"]


class LogSequencer:
    """Places entries in the log named `origin`."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def empty(self) -> LogHead:
        """The head of a log without entries."""
        frontier = merkle.Frontier()
        return LogHead(size=0, root=frontier.root(), frontier=frontier.encode(), last_time=0)

    def begin(self, head: LogHead, now: int) -> LogBatch:
        """A batch upon `head`. Raises attest.errors.Malformed if the stored frontier cannot be one of that size."""
        return LogBatch(self._origin, head, now)


class LogBatch:
    """One batch. `place` in order, then `close` once."""

    def __init__(self, origin: str, head: LogHead, now: int) -> None:
        self._origin = origin
        self._frontier = merkle.Frontier.decode(head.size, head.frontier)
        self._now = max(now, head.last_time)
        self._first = head.size
        self._hashes: list[bytes] = []

    def place(
        self, draft: Draft, assets: Sequence[tuple[str, ChainHead | None]], governance: ChainHead | None
    ) -> Placed:
        """The next entry: its header says index, log, time and how it continues each chain."""
        index = self._first + len(self._hashes)
        header = Header(
            chains=tuple(_link(asset, head) for asset, head in assets),
            gp=governance.index if governance else None,
            gs=(governance.seq + 1 if governance else 1) if draft.governance else None,
            i=index,
            log=self._origin,
            t=self._now,
            w=None,
        )
        data = leaf(draft.body, header)
        hashed = merkle.leaf_hash(data)
        self._hashes.append(hashed)
        return Placed(index=index, leaf=data, leaf_hash=hashed)

    def close(self) -> Closed:
        """The head after the last entry, and an inclusion proof for each."""
        extension = merkle.extend(self._frontier, self._hashes)
        frontier = extension.frontier
        head = LogHead(size=frontier.size, root=extension.root, frontier=frontier.encode(), last_time=self._now)
        return Closed(head=head, proofs=[extension.inclusion(self._first + n) for n in range(len(self._hashes))])


def _link(asset: str, head: ChainHead | None) -> ChainLink:
    if head is None:
        return ChainLink(asset=asset, prev=None, seq=1)
    return ChainLink(asset=asset, prev=head.index, seq=head.seq + 1)
