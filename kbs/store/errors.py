"""How the store says that it cannot.

::

    StoreUnavailable      nothing was written, or it is unknown whether; the caller repeats the request
    └── LogFrozen         what is stored is not what was stored: nothing is written until people have looked
    StoreUnusable         this file is not a store of ours, or of another version; the start stops
"""

from __future__ import annotations

from kbs.model.log import LogHead

__all__ = ["LogFrozen", "StoreUnavailable", "StoreUnusable"]


class StoreUnavailable(Exception):
    """The database could not be written or read now."""


class LogFrozen(StoreUnavailable):
    """The log's head is not an extension of what was seen or published before; `stored` is that head, if known."""

    def __init__(self, reason: str, stored: LogHead | None = None) -> None:
        super().__init__(reason)
        self.stored = stored


class StoreUnusable(Exception):
    """Not a database of this schema; the sentence says what to do."""
