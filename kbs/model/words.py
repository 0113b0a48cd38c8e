"""A number and its noun, for sentences that people read."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`, `0 files`; `many` where the plural is not just an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
