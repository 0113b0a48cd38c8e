"""How the store says that it cannot.

::

    StoreUnavailable      nothing was written, or it is unknown whether; the caller repeats the request
    └── LogFrozen         what is stored is not what was stored: nothing is written until people have looked
    StoreUnusable         this file is not a store of ours, or of another version; the start stops
"""

from __future__ import annotations

__all__ = ["LogFrozen", "StoreUnavailable", "StoreUnusable"]


class StoreUnavailable(Exception):
    """The database could not be written or read now."""


class LogFrozen(StoreUnavailable):
    """The log's head is not an extension of the head that this process saw last."""


class StoreUnusable(Exception):
    """Not a database of this schema; the sentence says what to do."""
