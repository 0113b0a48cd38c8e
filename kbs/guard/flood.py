"""Refusals that leave no entry of their own: counted, and above a limit said in the log, so that nothing is uncounted.

Whoever fails before a decision costs the log nothing. What many of them were is one `refusal.batch` for each window:
counts by reason, and the root of an RFC 6962 tree over the SHA-256 of the requests in the order in which they came.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from attest.tlog.merkle import Frontier, extend, leaf_hash

__all__ = ["Flood", "FloodMeter"]

_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """One window above the limit; times in ms since 1970."""

    start: int
    end: int
    counts: tuple[tuple[str, int], ...]
    root: bytes

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(count for _, count in self.counts)


class FloodMeter:
    """Counts refusals in constant memory. `limit` in a window of `window_ms` is no flood."""

    def __init__(self, now: int, *, limit: int = 600, window_ms: int = 60_000) -> None:
        self._limit = limit
        self._window = window_ms
        self._restart(now)

    def _restart(self, now: int) -> None:
        self._start = now
        self._counts: Counter[str] = Counter()
        self._frontier = Frontier()
        self._fresh: list[bytes] = []

    def count(self, reason: str, request: bytes) -> None:
        """One refusal without an entry; `request` is what came over the wire."""
        self._counts[reason] += 1
        self._fresh.append(leaf_hash(hashlib.sha256(request).digest()))
        if len(self._fresh) >= _AT_ONCE:
            self._fold()

    def _fold(self) -> None:
        self._frontier = extend(self._frontier, self._fresh).frontier
        self._fresh = []

    def close_window(self, now: int, *, last: bool = False) -> Flood | None:
        """The window that has passed, if it was a flood; with `last` also one that has not passed yet."""
        if not last and now - self._start < self._window:
            return None
        self._fold()
        flood = Flood(
            start=self._start, end=now, counts=tuple(sorted(self._counts.items())), root=self._frontier.root()
        )
        self._restart(now)
        return flood if flood.total > self._limit else None
