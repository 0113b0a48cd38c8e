"""One process that serves both gRPC ports, which it shares with its siblings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import sys
from functools import partial
from pathlib import Path

from attest.anchors import Anchors
from kbs.release.preflight import Forecast
from kbs.rpc.handler import Service
from kbs.serve.child import Handoff, announce, watch_life
from kbs.serve.collateral import looked_after, open_collateral
from kbs.serve.config.load import parse
from kbs.serve.config.sections import Config
from kbs.serve.duties import keep_keys, report, watch_lag
from kbs.serve.first_run import site_for
from kbs.serve.metrics import Meters
from kbs.serve.service import serve
from kbs.serve.site import Site
from kbs.serve.tls import Certificates
from kbs.serve.wiring import Running, monotonic, open_site, wall_clock

__all__ = ["work"]

_log = logging.getLogger("sealgate.serve")


async def work(handoff: Handoff, life: int, status: int, credentials: Path | None, anchors: Anchors) -> None:
    """Serves until SIGTERM, or until the supervisor is gone; then drains.

    1. configuration, as the supervisor read it  2. collateral, store, keys, under the roots of this command
    3. both listeners  4. duties beside them  5. says that it serves, and waits for the end
    """
    config = parse(handoff.raw, handoff.path)  # 1
    _log_to_stderr(handoff.index)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch_life(life, stop.set)
    site = site_for(config)
    times = {"clock": wall_clock, "monotonic": monotonic}
    async with open_collateral(
        config.collateral, site.store, anchors, chance=random.random, credentials=credentials, **times
    ) as collateral:  # 2
        with open_site(site, collateral, anchors, root=handoff.root) as running:
            meters = Meters()
            async with looked_after(running, collateral, partial(_foresee, meters)) as people:
                await _serve(config, handoff, site, running, meters, people, stop, status, credentials)


async def _serve(
    config: Config,
    handoff: Handoff,
    site: Site,
    running: Running,
    meters: Meters,
    people: Service,
    stop: asyncio.Event,
    status: int,
    credentials: Path | None,
) -> None:
    certificates = Certificates(config, running.keyring, credentials, wall_clock)
    async with serve(  # 3
        running,
        certificates.current(),
        host=config.listen.host,
        workload_port=handoff.workload_port,
        people_port=handoff.people_port,
        people=[people],
        certificates=certificates.current,
        certificate_life=config.people.certificate_life,
        attempts_per_minute=config.people.attempts_per_minute,
        share_ports=True,
        grace_s=config.processes.drain / 1_000,
        observe=meters.observe,
    ) as listeners:
        duties = [  # 4
            asyncio.create_task(watch_lag(meters, config.processes.loop_lag)),
            asyncio.create_task(report(meters, running, site, handoff.index)),
            asyncio.create_task(keep_keys(running, certificates, site)),
        ]
        announce(status, {"workload": listeners.workload_port, "people": listeners.people_port})  # 5
        await stop.wait()
        for duty in duties:
            duty.cancel()
        for duty in duties:
            with contextlib.suppress(asyncio.CancelledError):
                await duty


def _foresee(meters: Meters, days: int, forecast: Forecast) -> None:
    """Said while there is time to do something about it: `sealgate collateral preflight` tells whom and why."""
    recovery = len({node for change in forecast.changes for _, nodes in change.refusals for node in nodes})
    meters.foreseen(days, forecast.refused, graced=forecast.graced, recovery=recovery)
    if forecast.refused:
        _log.warning("in %d days %d of %d platforms will be refused", days, forecast.refused, forecast.platforms)


def _log_to_stderr(index: int) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s worker {index} %(levelname)s %(name)s: %(message)s"
    )
