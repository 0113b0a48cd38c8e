"""A cursor over bytes: read top to bottom in the specification's order, refuse leftovers, trust no length.

Integers are little-endian, as in every format of AMD and Intel that is read with it.
"""

from __future__ import annotations

from attest.errors import Malformed

__all__ = ["Reader"]


class Reader:
    """Reads `data` once, front to back; every refusal is a Malformed that names the place.

    `path` prefixes every place; `length` is the check named when bytes are missing or left over, `reserved` the one
    when reserved bytes are not zero.
    """

    __slots__ = ("_data", "_length", "_path", "_position", "_reserved")

    def __init__(self, data: bytes, *, path: str, length: str, reserved: str) -> None:
        self._data = data
        self._position = 0
        self._path = path
        self._length = length
        self._reserved = reserved

    def take(self, count: int) -> bytes:
        """The next `count` bytes; raises Malformed if there are fewer."""
        start = self._position
        taken = self._data[start : start + count]
        if len(taken) != count:  # too few are left, or the count is negative
            raise Malformed(
                self._length, self._path, expected=f"{count} bytes at {start:#x}", got=len(self._data) - start
            )
        self._position = start + count
        return taken

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or as many as there are, still to be read."""
        return self._data[self._position : self._position + count]

    def rest(self) -> bytes:
        """All that has not been read."""
        taken = self._data[self._position :]
        self._position = len(self._data)
        return taken

    def u8(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """The next 2 bytes as an integer."""
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        """The next 4 bytes as an integer."""
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        """The next 8 bytes as an integer."""
        return int.from_bytes(self.take(8), "little")

    def zeros(self, count: int) -> None:
        """Reserved bytes, which must be zero; raises Malformed `reserved` with their offset."""
        start = self._position
        found = self.take(count)
        if found.count(0) != count:
            raise Malformed(
                self._reserved, f"{self._path}.reserved[{start:#05x}]", expected=f"{count} zero bytes", got=found
            )

    def at(self, offset: int) -> Reader:
        """The reader itself, at the offset that the specification's table says.

        A disagreement is a defect of the parser's, for no input leads there: it raises RuntimeError.
        """
        if self._position != offset:
            raise RuntimeError(f"{self._path}: the parser is at {self._position:#x}, the table at {offset:#x}")
        return self

    def end(self) -> None:
        """Nothing may follow; raises Malformed."""
        left = len(self._data) - self._position
        if left:
            raise Malformed(
                self._length, self._path, expected=f"{self._position} bytes", got=f"{len(self._data)} bytes"
            )
