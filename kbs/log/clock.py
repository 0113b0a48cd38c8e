"""The log's time never goes back; so a clock that ran ahead and was set right leaves the log ahead of it.

Until it has caught up, every new challenge is older by the log's time than it may be, and nothing is released.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TOLERANCE_MS", "LogTime", "log_time"]

TOLERANCE_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTime:
    """How far the newest entry's time is ahead of the clock, in ms; 0 where it is not."""

    ahead_ms: int

    @property
    def ahead(self) -> bool:
        """Beyond what clocks of one deployment may differ."""
        return self.ahead_ms > TOLERANCE_MS

    def sentence(self) -> str:
        """For health, doctor and the error log."""
        if not self.ahead:
            return "the log's time agrees with the clock"
        return (
            f"log time is {self.ahead_ms / 1_000:.0f} s ahead of the clock: a clock ran ahead and was set back. "
            "Releases wait until the clock has caught up; nothing is lost. If it is wrong now, set it right by slewing"
        )


def log_time(last_time: int, clock: int) -> LogTime:
    """Compares a head's `last_time` with the clock, both in ms since 1970."""
    return LogTime(ahead_ms=max(0, last_time - clock))
