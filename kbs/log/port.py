"""What the log needs stored, in its own terms."""

from __future__ import annotations

from typing import Protocol

from kbs.model.faults import Faults, no_fault
from kbs.model.log import LogHead

__all__ = ["Faults", "LogReader", "no_fault"]


class LogReader(Protocol):
    """The committed log, read only."""

    def head(self) -> LogHead:
        """The present head."""

    def entries(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf, leaf hash) of the entries in [start, end)."""
