"""What a worker does beside serving: watches its own loop, tells how it is, and looks after the broker's keys."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from kbs.custody.envelope import WrapInvalid
from kbs.custody.root import RootUnusable
from kbs.serve.jwks import jwks
from kbs.serve.keyring import LOOK_EVERY_S, ROTATIONS
from kbs.serve.metrics import Meters
from kbs.serve.site import Site
from kbs.serve.tls import Certificates
from kbs.serve.wiring import Running
from kbs.store.errors import StoreUnavailable
from kbs.web.samples import encode

__all__ = ["keep_keys", "look_after_keys", "report", "watch_lag"]

_log = logging.getLogger("sealgate.serve")
_LAG_EVERY_S = 0.05
_REPORT_EVERY_S = 2.0
_SAY_EVERY_S = 10.0


async def watch_lag(meters: Meters, bound_ms: int) -> None:
    """Measures how late the loop is. Above the bound it is counted and, now and then, said."""
    loop = asyncio.get_running_loop()
    said = -_SAY_EVERY_S
    while True:
        due = loop.time() + _LAG_EVERY_S
        await asyncio.sleep(_LAG_EVERY_S)
        late = max(0.0, loop.time() - due)
        meters.lag(late, stalled=late * 1_000 > bound_ms)
        if late * 1_000 > bound_ms and loop.time() - said > _SAY_EVERY_S:
            said = loop.time()
            _log.warning("the event loop was %d ms late; its bound is %d ms", late * 1_000, bound_ms)


async def report(meters: Meters, running: Running, site: Site, index: int) -> None:
    """Leaves this worker's figures where the web process finds them."""
    site.run.mkdir(mode=0o700, exist_ok=True)
    path = site.run / f"worker-{index}.json"
    while True:
        try:
            head = running.reader.head()
            meters.log(head.size, head.last_time - running.broker.clock())
            replace(path, encode(meters.registry))
        except StoreUnavailable as error:
            meters.log_unavailable()
            _log.error("the log cannot be read: %s", error)
        except OSError as error:
            _log.error("%s cannot be written: %s", path, error)
        await asyncio.sleep(_REPORT_EVERY_S)


async def keep_keys(running: Running, certificates: Certificates, site: Site) -> None:
    """Looks after the keys, now and then; what fails is said and tried again."""
    while True:
        try:
            await look_after_keys(running, site)
            certificates.renew()
        except (StoreUnavailable, WrapInvalid, RootUnusable, OSError) as error:
            _log.error("the broker's keys cannot be looked after: %s", error)
        await asyncio.sleep(LOOK_EVERY_S)


async def look_after_keys(running: Running, site: Site) -> None:
    """Adds what is due, reads what is there, and publishes the keys that attestation results are signed with."""
    for unit in running.keyring.due(_newest(running), running.broker.identity):
        before = _newest(running)
        try:
            await running.door.commit([unit])
        except StoreUnavailable:
            if _newest(running) == before:  # otherwise another process was faster
                raise
    running.keyring.look()
    running.broker.log_note.look()
    site.run.mkdir(mode=0o700, exist_ok=True)
    replace(site.run / "jwks.json", jwks(running.vault))


def _newest(running: Running) -> dict[str, tuple[int, int]]:
    """(serial, not_before) of each purpose's newest key."""
    newest = {purpose: running.reader.broker_keys(purpose)[-1] for purpose in ROTATIONS}
    return {purpose: (serial, not_before) for purpose, (serial, not_before, _) in newest.items()}


def replace(path: Path, data: bytes) -> None:
    """By rename: a reader sees the old bytes or the new ones. Not durable; it is made again."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
