"""What the store needs from its neighbours, in their own terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kbs.model.faults import Faults, no_fault
from kbs.model.log import ChainHead, Closed, Draft, LogHead, Placed

__all__ = ["Batch", "Clock", "Faults", "Sequencer", "no_fault"]


class Batch(Protocol):
    """One batch of entries being given their places; pure, so that a failed transaction leaves nothing behind."""

    def place(
        self, draft: Draft, assets: Sequence[tuple[str, ChainHead | None]], governance: ChainHead | None
    ) -> Placed:
        """The next entry's index and bytes. `assets` are its chains with their heads before it."""

    def close(self) -> Closed:
        """The head after the batch, and every entry's inclusion proof."""


class Sequencer(Protocol):
    """Gives entries their places."""

    def empty(self) -> LogHead:
        """The head of a log without entries."""

    def begin(self, head: LogHead, now: int) -> Batch:
        """A batch upon `head`, as read under its lock; `now` in ms since 1970 never goes back inside a log."""


class Clock(Protocol):
    """The database's clock: ms since 1970. SQLite has none of its own, hence the process's."""

    def __call__(self) -> int:
        """The present moment."""
