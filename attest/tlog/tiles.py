"""Tiles and entry bundles: where the pieces of a log lie and what is in them.

Source: C2SP tlog-tiles v0.1.0, sections "Merkle Tree" and "Log Entries"; facts/log.md 1.2. A tile of level L holds up
to 256 hashes, each the root of 256**L leaves; a bundle the entries under one tile of level 0. The last of each may be
partial, its width in the path; no hash of an incomplete subtree is ever in a tile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attest.errors import Malformed
from attest.tlog.merkle import HASH_SIZE, MAX_SIZE

__all__ = [
    "MAX_ENTRY",
    "WIDTH",
    "Bundle",
    "Tile",
    "bundles",
    "decode_bundle",
    "decode_tile",
    "encode_bundle",
    "encode_tile",
    "new_tiles",
    "parse_path",
    "tiles",
]

WIDTH = 256
MAX_ENTRY = 65_535

_MAX_LEVEL = 63
_MAX_INDEX = MAX_SIZE // WIDTH
_PATH = re.compile("tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:[.]p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Tile:
    """A tile of hashes. Raises Malformed TILE_PATH for numbers that no tile has."""

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= _MAX_LEVEL:
            raise _no_tile("level", f"0 to {_MAX_LEVEL}", self.level)
        _check_place(self.index, self.width)

    @property
    def path(self) -> str:
        """The path below the log's prefix: `tile/0/x001/x234/067.p/112`."""
        return _path(str(self.level), self.index, self.width)

    def children(self) -> tuple[Tile, ...]:
        """The full tiles whose roots are the hashes of this one. A tile of level 0 has none: it holds leaf hashes."""
        if self.level == 0:
            return ()
        first = self.index * WIDTH
        return tuple(Tile(level=self.level - 1, index=at) for at in range(first, first + self.width))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Bundle:
    """A bundle of entries, those from `index * 256` on. Raises as `Tile` does."""

    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        _check_place(self.index, self.width)

    @property
    def path(self) -> str:
        """The path below the log's prefix: `tile/entries/x001/x234/067.p/112`."""
        return _path("entries", self.index, self.width)


def parse_path(path: str) -> Tile | Bundle:
    """Read what `path` gave; there is one path for each tile. Raises Malformed TILE_PATH."""
    match = _PATH.fullmatch(path)
    if match is None or len(path) > 64:
        raise _no_tile("path", "tile/<level or entries>/<index>[.p/<width>]", repr(path))
    kind, groups, partial = match.groups()
    index = int(groups.replace("x", "").replace("/", ""))
    width = WIDTH if partial is None else int(partial)
    parsed = Bundle(index=index, width=width) if kind == "entries" else Tile(level=int(kind), index=index, width=width)
    if parsed.path != path:
        raise _no_tile("path", parsed.path, path)
    return parsed


def tiles(size: int) -> Iterator[Tile]:
    """All tiles of a tree of `size` leaves, level by level from the leaves, partial ones last in their level."""
    for level in range(_levels(size)):
        yield from (Tile(level=level, index=index, width=width) for index, width in _row(0, size >> 8 * level))


def bundles(size: int) -> Iterator[Bundle]:
    """All entry bundles of a tree of `size` leaves, in order."""
    yield from (Bundle(index=index, width=width) for index, width in _row(0, size))


def new_tiles(old_size: int, new_size: int) -> Iterator[Bundle | Tile]:
    """What a tree of `new_size` needs that one of `old_size` did not have, in the order of publishing.

    Bundles come first, then tiles from the leaves up; the checkpoint is published after all of them.
    Raises Malformed TILE_SIZE unless 0 <= old_size <= new_size.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise Malformed("TILE_SIZE", "size", expected=f"{old_size} <= size", got=new_size)
    return _new_tiles(old_size, new_size)


def _new_tiles(old_size: int, new_size: int) -> Iterator[Bundle | Tile]:
    for index, width in _row(old_size, new_size):
        yield Bundle(index=index, width=width)
    for level in range(_levels(new_size)):
        for index, width in _row(old_size >> 8 * level, new_size >> 8 * level):
            yield Tile(level=level, index=index, width=width)


def _levels(size: int) -> int:
    return (size.bit_length() + 7) // 8


def _row(old: int, new: int) -> Iterator[tuple[int, int]]:
    """Index and width of the tiles of one level that change when it grows from `old` to `new` hashes."""
    for index in range(old // WIDTH, new // WIDTH):
        yield index, WIDTH
    if new % WIDTH and new != old:
        yield new // WIDTH, new % WIDTH


def encode_tile(hashes: Sequence[bytes]) -> bytes:
    """The bytes of a tile. Raises Malformed TILE_LENGTH unless they are 1 to 256 hashes of 32 bytes."""
    if not 1 <= len(hashes) <= WIDTH or any(len(each) != HASH_SIZE for each in hashes):
        raise Malformed("TILE_LENGTH", "tile", expected="1 to 256 hashes of 32 bytes", got=f"{len(hashes)} hashes")
    return b"".join(hashes)


def decode_tile(raw: bytes, width: int) -> tuple[bytes, ...]:
    """The hashes of a tile. Raises Malformed TILE_LENGTH unless there are exactly `width`."""
    if len(raw) != width * HASH_SIZE:
        raise Malformed("TILE_LENGTH", "tile", expected=f"{width * HASH_SIZE} bytes", got=f"{len(raw)} bytes")
    return tuple(raw[at : at + HASH_SIZE] for at in range(0, len(raw), HASH_SIZE))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle, each entry behind its length (2 bytes, big-endian). Raises Malformed BUNDLE_FORMAT."""
    if not 1 <= len(entries) <= WIDTH:
        raise _no_bundle("bundle", "1 to 256 entries", len(entries))
    for at, entry in enumerate(entries):
        if len(entry) > MAX_ENTRY:
            raise _no_bundle(f"entries[{at}]", f"at most {MAX_ENTRY} bytes", len(entry))
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(raw: bytes, width: int) -> tuple[bytes, ...]:
    """The entries of a bundle. Raises Malformed BUNDLE_FORMAT unless there are exactly `width` and nothing else."""
    entries: list[bytes] = []
    at = 0
    while at < len(raw) and len(entries) < width:
        end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        if at + 2 > len(raw) or end > len(raw):
            raise _no_bundle(f"entries[{len(entries)}]", f"bytes up to {max(end, at + 2)}", f"{len(raw)} bytes")
        entries.append(raw[at + 2 : end])
        at = end
    if at != len(raw) or len(entries) != width:
        got = f"{len(entries)} entries and {len(raw) - at} bytes more"
        raise _no_bundle("bundle", f"{width} entries", got)
    return tuple(entries)


def _path(kind: str, index: int, width: int) -> str:
    digits = str(index)
    digits = digits.zfill(len(digits) + -len(digits) % 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    number = "/".join([*(f"x{each}" for each in groups[:-1]), groups[-1]])
    return f"tile/{kind}/{number}" + ("" if width == WIDTH else f".p/{width}")


def _check_place(index: int, width: int) -> None:
    if not 0 <= index <= _MAX_INDEX:
        raise _no_tile("index", f"0 to {_MAX_INDEX}", index)
    if not 1 <= width <= WIDTH:
        raise _no_tile("width", f"1 to {WIDTH}", width)


def _no_tile(path: str, expected: object, got: object) -> Malformed:
    return Malformed("TILE_PATH", f"tile.{path}", expected=expected, got=got)


def _no_bundle(path: str, expected: object, got: object) -> Malformed:
    return Malformed("BUNDLE_FORMAT", path, expected=expected, got=got)
