"""Wires the collateral room: what lies ready, the cache in the store, and the vendors that may be asked."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from attest.anchors import Anchors
from attest.evidence import Collateral, SnpEvidence, TdxEvidence
from kbs.collateral.budget import Budget
from kbs.collateral.kds import Kds
from kbs.collateral.library import Library
from kbs.collateral.nvidia import Nvidia, NvidiaSources
from kbs.collateral.pcs import BASE, Pcs
from kbs.collateral.pcs_pck import PckSource
from kbs.collateral.port import Chance, Clock, Secrets
from kbs.collateral.service import CollateralService
from kbs.collateral.shelf import Shelf
from kbs.collateral.source import Keyed, Offline, Source, Vendor
from kbs.collateral.usage import Usage
from kbs.custody.root import RootUnusable
from kbs.custody.secret import Secret
from kbs.outbound.client import Egress, Outbound
from kbs.release.fleet import Fleet
from kbs.release.foresight import watch
from kbs.release.preflight import Forecast
from kbs.rpc import collateral as people_collateral
from kbs.rpc.handler import Service, service
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.secrets import read_secret
from kbs.serve.wiring import Running
from kbs.store.collateral import CollateralCache

__all__ = ["looked_after", "open_collateral"]

_KEY_HEADER = "Ocp-Apim-Subscription-Key"  # Intel "PCS API" version 4, "Get PCK Certificate"
_KEY = re.compile(rb"[\x21-\x7e]{1,512}")
# Fetches on the word of reports that are not proven yet, for chips never seen and for those that were.
_STRANGERS, _STRANGER_EVERY_MS = 64, 5_000
_KNOWN, _KNOWN_EVERY_MS = 32, 10_000


@asynccontextmanager
async def open_collateral(
    section: Section,
    store: Path,
    anchors: Anchors,
    *,
    clock: Clock,
    monotonic: Clock,
    chance: Chance,
    credentials: Path | None = None,
) -> AsyncIterator[CollateralService]:
    """The service over the store's cache; it keeps fresh what it has until the block ends.

    Raises CollateralUnreadable and AttestError for a directory that holds something else than collateral, RootUnusable
    for a subscription key that cannot be read.
    """
    shelf = Shelf.from_directory(section.directory) if section.directory else Shelf(Collateral())
    cache = CollateralCache(store)
    outbound = Outbound(_egress(section))
    library = Library(cache, clock, chance)
    asked = section.fetch == "vendors"
    secrets = _subscription(section, credentials) if asked else None

    def source(name: str, base: str) -> Source | Offline:
        return Source(name, base, outbound, clock=clock, monotonic=monotonic) if asked else Offline(name)

    kds = Kds(
        source("amd-kds", section.kds),
        library,
        cache,
        anchors,
        strangers=Budget(_STRANGERS, _STRANGER_EVERY_MS, monotonic),
        known=Budget(_KNOWN, _KNOWN_EVERY_MS, monotonic),
    )
    root = urlsplit(section.pcs_root_crl)
    root_crl = source("intel-root-crl", f"{root.scheme}://{root.netloc}"), root.path
    intel, strangers = source("intel-pcs", section.pcs), Budget(_STRANGERS, _STRANGER_EVERY_MS, monotonic)
    subscribed: Vendor = Keyed(intel, secrets) if secrets is not None and isinstance(intel, Source) else intel
    certificates = PckSource(subscribed, anchors, strangers, pccs=section.pcs != BASE)
    pcs = Pcs(intel, root_crl, library, anchors, certificates=certificates)
    places = {"rim": section.nvidia_rim, "crl": section.nvidia_crl, "ocsp": section.nvidia_ocsp}
    sources = NvidiaSources(**{kind: source(f"nvidia-{kind}", base) for kind, base in places.items()})
    nvidia = Nvidia(sources, library, anchors)
    usage = Usage(cache, clock, unused_ms=section.unused)
    keeper = CollateralService(
        shelf, library, cache, {SnpEvidence: kds, TdxEvidence: pcs}, nvidia, usage=usage, chance=chance
    )
    fresh = asyncio.create_task(keeper.keep_fresh(clock)) if asked else None
    try:
        yield keeper
    finally:
        if fresh is not None:
            fresh.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await fresh
        await keeper.close()
        await outbound.close()
        cache.close()


def _subscription(section: Section, credentials: Path | None) -> Secrets | None:
    """The header with the subscription key; None if there is none. Raises RootUnusable, which never repeats the key."""
    if section.pcs_key is None:
        return None
    read = Secret(read_secret(section.pcs_key, credentials).reveal().strip())
    if _KEY.fullmatch(read.reveal()) is None:
        raise RootUnusable(f"{section.pcs_key} holds no subscription key: letters, digits and signs, on one line")
    return lambda: {_KEY_HEADER: read.reveal().decode("ascii")}


def _egress(section: Section) -> Egress:
    """Only the hosts that are configured, and none where nothing may be fetched."""
    asked = (
        section.kds, section.pcs, section.pcs_root_crl, section.nvidia_rim, section.nvidia_crl, section.nvidia_ocsp,
    )  # fmt: skip
    bases = [urlsplit(base) for base in asked] if section.fetch == "vendors" else []
    return Egress(
        hosts=frozenset(base.netloc.lower() for base in bases),
        proxy=section.proxy,
        ca_file=section.ca_file,
        loopback=any(base.scheme == "http" for base in bases),
    )


@asynccontextmanager
async def looked_after(
    running: Running, collateral: CollateralService, foreseen: Callable[[int, Forecast], object]
) -> AsyncIterator[Service]:
    """The service with which people look after collateral, and a look ahead until the block ends.

    `foreseen` gets 30, 7 and 1 (days) with what was foreseen for then, daily and after each change of collateral.
    """
    fleet = Fleet(running.reader)
    ahead = asyncio.create_task(watch(running.broker, collateral, fleet, foreseen))
    try:
        yield service(people_collateral.NAME, people_collateral.methods(running.broker, collateral, fleet))
    finally:
        ahead.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ahead
