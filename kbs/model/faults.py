"""Points at which a test may kill the process; an argument of the broker built in code, never a switch."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Faults", "no_fault"]


class Faults(Protocol):
    """Named points at which a test may kill the process. In production it is `no_fault` and cannot be set."""

    def __call__(self, point: str, /) -> None:
        """Called when the process reaches `point`."""


def no_fault(point: str, /) -> None:
    """Nothing happens."""
