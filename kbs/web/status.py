"""What a monitor and a verifier read: health, metrics in OpenMetrics form, the keys of attestation results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from kbs.web.samples import Workers, fresh_workers

__all__ = ["add_status"]

_FRESH = {"Cache-Control": "no-cache"}
_MINUTES = {"Cache-Control": "public, max-age=300"}


def add_status(app: web.Application, run: Path, log: Path, clock: Callable[[], int]) -> None:
    """Adds the routes. `run` is where workers leave what they have to tell; `clock` in ms since 1970."""
    registry = CollectorRegistry()
    registry.register(Workers(run, clock))

    async def health(_request: web.Request) -> web.Response:
        workers = fresh_workers(run, clock())
        document = {"status": _status(workers), "workers": workers, "published": (log / "checkpoint").exists()}
        return web.json_response(document, status=503 if document["status"] == "down" else 200, headers=_FRESH)

    async def metrics(_request: web.Request) -> web.Response:
        body: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
        return web.Response(body=body, headers={**_FRESH, "Content-Type": CONTENT_TYPE_LATEST})

    async def keys(_request: web.Request) -> web.Response:
        try:
            body = (run / "jwks.json").read_bytes()
        except OSError:
            raise web.HTTPNotFound(text="No worker has published its keys yet.\n") from None
        return web.Response(body=body, content_type="application/jwk-set+json", headers=_MINUTES)

    app.add_routes([web.get("/healthz", health), web.get("/metrics", metrics), web.get("/.well-known/jwks.json", keys)])


def _status(workers: Mapping[str, bool]) -> str:
    """`publishing` where no worker ever was: a machine that only publishes."""
    if not workers:
        return "publishing"
    return "serving" if all(workers.values()) else "degraded" if any(workers.values()) else "down"
