"""Wires the collateral room: what lies ready, the cache in the store, and the vendors that may be asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from attest.anchors import Anchors
from attest.evidence import Collateral, SnpEvidence
from kbs.collateral.budget import Budget
from kbs.collateral.kds import Kds
from kbs.collateral.library import Library
from kbs.collateral.port import Chance, Clock
from kbs.collateral.service import CollateralService
from kbs.collateral.shelf import Shelf
from kbs.collateral.source import Offline, Source
from kbs.outbound.client import Egress, Outbound
from kbs.serve.config.sections import Collateral as Section
from kbs.store.collateral import CollateralCache

__all__ = ["open_collateral"]

# Fetches on the word of reports that are not proven yet, for chips never seen and for those that were.
_STRANGERS, _STRANGER_EVERY_MS = 64, 5_000
_KNOWN, _KNOWN_EVERY_MS = 32, 10_000


@asynccontextmanager
async def open_collateral(
    section: Section, store: Path, anchors: Anchors, *, clock: Clock, monotonic: Clock, chance: Chance
) -> AsyncIterator[CollateralService]:
    """The service over the store's cache; it keeps fresh what it has until the block ends.

    Raises CollateralUnreadable and AttestError for a directory that holds something else than collateral.
    """
    shelf = Shelf.from_directory(section.directory) if section.directory else Shelf(Collateral())
    cache = CollateralCache(store)
    outbound = Outbound(_egress(section))
    library = Library(cache, clock, chance)
    asked = section.fetch == "vendors"
    kds = Kds(
        Source("amd-kds", section.kds, outbound, clock=clock, monotonic=monotonic) if asked else Offline("amd-kds"),
        library,
        cache,
        anchors,
        strangers=Budget(_STRANGERS, _STRANGER_EVERY_MS, monotonic),
        known=Budget(_KNOWN, _KNOWN_EVERY_MS, monotonic),
    )
    service = CollateralService(shelf, library, cache, {SnpEvidence: kds}, chance=chance)
    fresh = asyncio.create_task(service.keep_fresh(clock)) if asked else None
    try:
        yield service
    finally:
        if fresh is not None:
            fresh.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await fresh
        await service.close()
        await outbound.close()
        cache.close()


def _egress(section: Section) -> Egress:
    """Only the hosts that are configured, and none where nothing may be fetched."""
    bases = [urlsplit(section.kds)] if section.fetch == "vendors" else []
    return Egress(
        hosts=frozenset(base.netloc.lower() for base in bases),
        proxy=section.proxy,
        ca_file=section.ca_file,
        loopback=any(base.scheme == "http" for base in bases),
    )
