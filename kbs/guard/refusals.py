"""Calls of people that were decided and refused: an entry each, until somebody is refused in a loop.

Whoever has used up the allowance is told to wait, and the refusal is counted: one entry for each person and window says
how many there were, so that nothing is uncounted and nobody fills the log. In the memory of one process. Only people
who are enrolled come this far, and each is counted alone, so that nobody takes another's allowance.
"""

from __future__ import annotations

from collections.abc import Iterator

from kbs.guard.flood import Flood, FloodMeter
from kbs.guard.repeats import RepeatMeter

__all__ = ["RefusalMeter"]


class RefusalMeter:
    """Allows each person `burst` entries at once and one every `every_ms` after."""

    def __init__(self, *, burst: int = 20, every_ms: int = 30_000, window_ms: int = 60_000) -> None:
        self._allowance = RepeatMeter(burst=burst, every_ms=every_ms)
        self._window = window_ms
        self._beyond: dict[str, FloodMeter] = {}

    def wait(self, person: str, ticket: str, now: int) -> int:
        """0 if the refusal may have an entry, else the ms until the next one may. `now` is monotonic, in ms."""
        return self._allowance.wait(person, ticket.encode(), now)

    def count(self, person: str, reason: str, decision: bytes, now: int) -> None:
        """One refusal without an entry of its own; `decision` is its document, `now` in ms since 1970."""
        if person not in self._beyond:
            self._beyond[person] = FloodMeter(now, limit=0, window_ms=self._window)
        self._beyond[person].count(reason, decision)

    def close_windows(self, now: int, *, last: bool = False) -> Iterator[tuple[str, Flood]]:
        """(person, what was counted) of each window that has passed; with `last` also of those that have not yet."""
        for person, meter in list(self._beyond.items()):
            flood = meter.close_window(now, last=last)
            if flood is not None:
                del self._beyond[person]
                yield person, flood
