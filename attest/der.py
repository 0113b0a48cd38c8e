"""As much DER as is read here without a library: definite, minimal lengths; each value fills its place.

Source: ITU-T X.690 sections 8 and 10. Failures are a ValueError, because only the caller knows the place.
"""

from __future__ import annotations

__all__ = [
    "BOOLEAN",
    "ENUMERATED",
    "INTEGER",
    "OCTET_STRING",
    "SEQUENCE",
    "elements",
    "items",
    "number",
    "pairs",
    "step",
]

BOOLEAN, INTEGER, OCTET_STRING, _OID, ENUMERATED, SEQUENCE = 0x01, 0x02, 0x04, 0x06, 0x0A, 0x30


def step(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Of the value that begins at `at` and has its place before `end`: its tag, where its content begins and ends."""
    content = at + 2
    if content > end:
        raise ValueError("a value is cut short")
    length = data[at + 1]
    if length > 127:
        count = length & 127
        length = int.from_bytes(data[content : content + count], "big")
        if not 1 <= count <= 3 or length < 128 or length >> 8 * (count - 1) == 0:
            raise ValueError("a length is not minimal")
        content += count
    stop = content + length
    if stop > end:
        raise ValueError("a value is longer than its place")
    return data[at], content, stop


def elements(data: bytes) -> list[tuple[int, int, int, int]]:
    """Of each value in `data`, which they fill: its tag, where it begins, where its content begins, where it ends."""
    found = []
    at, size = 0, len(data)
    while at < size:
        tag, content, end = step(data, at, size)
        found.append((tag, at, content, end))
        at = end
    return found


def items(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each value in `data`, which they fill."""
    return [(tag, data[content:end]) for tag, _, content, end in elements(data)]


def pairs(data: bytes) -> dict[bytes, tuple[int, bytes]]:
    """The content of a SEQUENCE OF SEQUENCE {OID, value}, by the OID's own bytes; an OID may occur once."""
    found: dict[bytes, tuple[int, bytes]] = {}
    at, size = 0, len(data)
    while at < size:
        tag, start, at = step(data, at, size)
        if tag != SEQUENCE:
            raise ValueError(f"tag {tag:#04x} instead of a SEQUENCE")
        first, content, stop = step(data, start, at)
        kind, value, last = step(data, stop, at)
        if first != _OID or last != at:
            raise ValueError("a pair is not an OID and a value")
        oid = data[content:stop]
        if oid in found:
            raise ValueError(f"the OID {oid.hex()} occurs twice")
        found[oid] = kind, data[value:last]
    return found


def number(content: bytes) -> int:
    """A whole number that is not negative, in its shortest form."""
    value = int.from_bytes(content, "big", signed=True)
    if not content or value < 0 or len(content) != value.bit_length() // 8 + 1:
        raise ValueError("not a number in its shortest form")
    return value
