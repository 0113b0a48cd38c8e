"""Where an auditor reads from: one door, and the pieces of a published log behind it.

Source: C2SP tlog-tiles v0.1.0, sections "Merkle Tree" and "Log Entries". Nothing here is believed; a mirror may drop a
partial tile or bundle once the full one exists, so the full one answers for it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from attest.tlog.tiles import MAX_ENTRY, WIDTH, Bundle, Tile, decode_bundle, decode_tile
from clients.errors import Unavailable

__all__ = ["CHECKPOINT", "LOG_KEYS", "Directory", "Source", "read_bundle", "read_tile"]

CHECKPOINT, LOG_KEYS = "checkpoint", "log-keys"
_MAX_BYTES = WIDTH * (2 + MAX_ENTRY)  # the longest entry bundle; no file of a log is longer


class Source(Protocol):
    """A published log."""

    def read(self, path: str) -> bytes | None:
        """The bytes at `path` below the log's prefix, None if nothing is there; raises Unavailable."""


class Directory:
    """A published log as files. What is not a regular file is not there; a longer file is cut, and so not a piece."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes | None:
        """As `Source.read`."""
        file = self._root / path
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return stream.read(min(status.st_size, _MAX_BYTES) + 1)
        except OSError as error:
            raise Unavailable(f"{file} cannot be read: {error.strerror}") from error
        finally:
            os.close(descriptor)


def read_bundle(source: Source, bundle: Bundle) -> tuple[bytes, ...] | None:
    """The entries of a bundle, None if it is missing; raises Malformed BUNDLE_FORMAT, Unavailable."""
    raw = source.read(bundle.path)
    if raw is not None or bundle.width == WIDTH:
        return None if raw is None else decode_bundle(raw, bundle.width)
    full = source.read(Bundle(index=bundle.index).path)
    return None if full is None else decode_bundle(full, WIDTH)[: bundle.width]


def read_tile(source: Source, tile: Tile) -> tuple[bytes, ...] | None:
    """The hashes of a tile, None if it is missing; raises Malformed TILE_LENGTH, Unavailable."""
    raw = source.read(tile.path)
    if raw is not None or tile.width == WIDTH:
        return None if raw is None else decode_tile(raw, tile.width)
    full = source.read(Tile(level=tile.level, index=tile.index).path)
    return None if full is None else decode_tile(full, WIDTH)[: tile.width]
