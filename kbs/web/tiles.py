"""Serves a published log as c2sp.org/tlog-tiles describes: checkpoint and hash tiles, open to everybody, and the note
that lists its keys.

Entry bundles are for authenticated auditors and are refused here. A partial tile is a prefix of every wider one, so
that each width that was ever published can be answered from what lies there now.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from attest.errors import AttestError
from attest.tlog.merkle import HASH_SIZE
from attest.tlog.tiles import WIDTH, Tile, parse_path

__all__ = ["make_app"]

_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_FRESH = {"Cache-Control": "no-cache"}
_BUNDLES = "Entry bundles are for authenticated auditors; they are not served here.\n"


def make_app(log: Path) -> web.Application:
    """The application over one published directory. Only GET and HEAD; no listing, no other path."""

    async def note(request: web.Request) -> web.Response:
        data = _read(log / request.path.removeprefix("/"))
        if data is None:
            raise web.HTTPNotFound(text="Nothing has been published yet.\n")
        return web.Response(body=data, content_type="text/plain", charset="utf-8", headers=_FRESH)

    async def tile(request: web.Request) -> web.Response:
        try:
            wanted = parse_path(request.path.removeprefix("/"))
        except AttestError as error:
            raise web.HTTPNotFound(text=f"No tile has that path: {error}\n") from error
        if not isinstance(wanted, Tile):
            raise web.HTTPForbidden(text=_BUNDLES)
        data = _tile(log, wanted)
        if data is None:
            raise web.HTTPNotFound(text="That tile has not been published.\n")
        return web.Response(body=data, content_type="application/octet-stream", headers=_IMMUTABLE)

    app = web.Application(client_max_size=1_024)
    app.add_routes(
        [*(web.get(f"/{name}", note) for name in ("checkpoint", "log-keys")), web.get("/tile/{path:.+}", tile)]
    )
    return app


def _tile(log: Path, wanted: Tile) -> bytes | None:
    """The tile's bytes, cut from a wider one where that is what there is."""
    data = _read(log / wanted.path)
    if data is not None:
        return data
    full = _read(log / Tile(level=wanted.level, index=wanted.index).path)
    widest = full if full is not None else _widest(log, wanted)
    if widest is None or len(widest) < wanted.width * HASH_SIZE:
        return None
    return widest[: wanted.width * HASH_SIZE]


def _widest(log: Path, wanted: Tile) -> bytes | None:
    """The widest partial tile at that place."""
    folder = (log / Tile(level=wanted.level, index=wanted.index, width=1).path).parent
    widths = [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal() and int(path.name) < WIDTH]
    return _read(folder / str(max(widths))) if widths else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
