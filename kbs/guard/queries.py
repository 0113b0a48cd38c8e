"""Questions of people that are answered with an entry each: a fleet is listed at once, a loop is slowed.

Of each person, in the memory of one process: some 17,000 entries a day at most, and nobody takes another's allowance.
"""

from __future__ import annotations

from kbs.guard.repeats import RepeatMeter

__all__ = ["QueryMeter"]


class QueryMeter(RepeatMeter):
    """Allows each person `burst` questions at once and one every `every_ms` after."""

    def __init__(self, *, burst: int = 240, every_ms: int = 5_000) -> None:
        super().__init__(burst=burst, every_ms=every_ms)
