"""The documents that only one entry names, in one row: a length of four bytes before each.

Content-addressed rows of their own would cost a release four random pages of an index for bytes that nothing else ever
names; beside their entry they cost none, and the entry's digests find them there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["pack", "unpack"]


def pack(documents: Sequence[bytes]) -> bytes:
    """The row of some documents."""
    return b"".join(len(each).to_bytes(4, "big") + each for each in documents)


def unpack(row: bytes) -> Iterator[bytes]:
    """The documents of a row, in order. What was cut off is not among them, as its digest would show anyway."""
    at = 0
    while at + 4 <= len(row):
        end = at + 4 + int.from_bytes(row[at : at + 4], "big")
        yield row[at + 4 : end]
        at = end
