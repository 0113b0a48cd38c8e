"""Milliseconds since 1970, as pieces have them, and moments, as what vendors sign has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["DAY_MS", "moment", "ms"]

DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at_ms: int) -> datetime:
    """The moment."""
    return _EPOCH + timedelta(milliseconds=at_ms)


def ms(at: datetime) -> int:
    """Whole milliseconds."""
    return int((at - _EPOCH).total_seconds() * 1_000)
