"""What the log needs stored, in its own terms."""

from __future__ import annotations

from typing import Protocol

from kbs.model.log import LogHead

__all__ = ["Faults", "LogReader", "no_fault"]


class LogReader(Protocol):
    """The committed log, read only."""

    def head(self) -> LogHead:
        """The present head."""

    def entries(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf, leaf hash) of the entries in [start, end)."""


class Faults(Protocol):
    """Named points at which a test may kill the process. In production it is `no_fault` and cannot be set."""

    def __call__(self, point: str, /) -> None:
        """Called when the process reaches `point`."""


def no_fault(point: str, /) -> None:
    """Nothing happens."""
