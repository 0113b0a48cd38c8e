"""A collateral service over a fake vendor on loopback, with a clock that the test moves and chance that it chooses."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from attest.anchors import Anchors
from attest.errors import AttestError
from attest.evidence import Collateral, HardwareEvidence, SnpEvidence, TdxEvidence
from attest.verify import Verified, verify
from kbs.collateral.budget import Budget
from kbs.collateral.kds import Kds
from kbs.collateral.library import Library, Limits
from kbs.collateral.nvidia import Nvidia, NvidiaSources
from kbs.collateral.pcs import Pcs
from kbs.collateral.pcs_pck import PckSource
from kbs.collateral.publisher import Vendor
from kbs.collateral.service import CollateralService
from kbs.collateral.shelf import Shelf
from kbs.collateral.source import Source
from kbs.collateral.usage import Usage
from kbs.model.collateral import Gathered, Used
from kbs.outbound.client import Egress, Outbound
from kbs.store.collateral import CollateralCache
from tests.kbs.store.opened import make_store
from tests.makers import amd
from tests.makers.kds import FakeKds
from tests.makers.nvidia_http import FakeNvidia
from tests.makers.pcs import ROOT_CRL, FakePcs
from tests.makers.vendor_http import VendorServer

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
DATA = bytes(range(64))
VENDOR = amd.mint(now=NOW)
HOUR, DAY = 3_600_000, 86_400_000


@dataclass
class Clock:
    """ms since 1970; `monotonic` moves along."""

    now: int = NOW_MS

    def __call__(self) -> int:
        return self.now

    def at(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.now / 1_000, dt.UTC)


@dataclass(kw_only=True)
class Built:
    """All parts, for tests that look inside."""

    service: CollateralService
    library: Library
    source: Source
    cache: CollateralCache
    clock: Clock
    server: VendorServer
    anchors: Anchors
    chance: list[float] = field(default_factory=lambda: [0.0])

    async def verify(self, evidence: HardwareEvidence, report_data: bytes = DATA) -> tuple[Verified, Used]:
        """As a release does it."""
        now = self.clock.now

        def under(gathered: Gathered) -> tuple[Verified, Used]:
            verified = verify(
                evidence,
                gathered.collateral,
                self.anchors,
                report_data=report_data,
                now=self.clock.at(),
                revocation="required",
                kept=gathered.kept,
            )
            return verified, self.service.keep(evidence, gathered, verified.kept)

        try:
            return under(self.service.at_hand(evidence, now))
        except AttestError as error:
            more = await self.service.gather(evidence, error, report_data=report_data, now=now)
            if more is None:
                raise
        return under(more)


@contextlib.asynccontextmanager
async def built(
    path: Path,
    vendor: FakeKds | FakePcs | FakeNvidia,
    server: VendorServer,
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    seconds: float = 20.0,
    strangers: int = 64,
    pccs: bool = False,
    unused_ms: int = 30 * DAY,
    shelf: Shelf | None = None,
    cache: CollateralCache | None = None,
) -> AsyncIterator[Built]:
    """The whole room over `server`; `path` is the store, made if it is not there."""
    clock = clock or Clock()
    if not path.exists():  # noqa: ASYNC240  # a test's
        make_store(path)
    made = cache or CollateralCache(path)
    chance = [0.0]
    outbound = Outbound(Egress(hosts=frozenset({server.host}), loopback=True))
    library = Library(made, clock, lambda: chance[0], limits)
    source = Source("vendor", server.base, outbound, clock=clock, monotonic=clock, seconds=seconds)
    anchors = vendor.intel.anchors if isinstance(vendor, FakePcs) else vendor.vendor.anchors
    kds = Kds(
        source,
        library,
        made,
        anchors,
        strangers=Budget(strangers, 10_000, clock),
        known=Budget(16, 60_000, clock),
    )
    certificates = PckSource(source, anchors, Budget(strangers, 10_000, clock), pccs=pccs)
    pcs = Pcs(source, (source, ROOT_CRL), library, anchors, certificates=certificates)
    vendors: dict[type, Vendor] = {SnpEvidence: kds, TdxEvidence: pcs}
    nvidia = Nvidia(NvidiaSources(rim=source, crl=source, ocsp=source), library, anchors)
    lying = shelf or Shelf(Collateral())
    service = CollateralService(
        lying, library, made, vendors, nvidia, usage=Usage(made, clock, unused_ms=unused_ms), chance=lambda: chance[0]
    )
    try:
        yield Built(
            service=service,
            library=library,
            source=source,
            cache=made,
            clock=clock,
            server=server,
            anchors=anchors,
            chance=chance,
        )
    finally:
        await service.close()
        await outbound.close()
        if cache is None:
            made.close()
