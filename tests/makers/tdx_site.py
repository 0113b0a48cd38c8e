"""A simulated site that also trusts a throwaway Intel: the same asset, whose profile and references name TDX, too."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from attest.anchors import Anchors
from attest.evidence import Collateral, TdxEvidence
from kbs.catalog.register import put
from kbs.collateral.shelf import Shelf
from kbs.rpc.server import Listeners
from kbs.serve.service import serve
from kbs.serve.wiring import Running, open_site, wall_clock
from tests.makers import intel as intels
from tests.makers import site as sites
from tests.makers.site import SimulatedSite

__all__ = ["MRTD", "RTMRS", "TdxSite", "tdx_site"]

MRTD, RTMRS = b"\xd1" * 48, tuple(bytes([0xA0 + n]) * 48 for n in range(3))
_COVERS = ["cmdline", "firmware", "initrd", "kernel"]


@dataclass(frozen=True, kw_only=True, repr=False)
class TdxSite:
    """The site, its Intel, and one machine of it."""

    site: SimulatedSite
    intel: intels.Intel
    platform: intels.Platform

    def shelf(self, **changed: Any) -> Shelf:
        """Collateral of both vendors; `changed` is that of Intel's documents."""
        return Shelf(Collateral(crls=(self.site.vendor.crl(),), tdx=(self.intel.collateral(**changed),)))

    @property
    def anchors(self) -> Anchors:
        return Anchors(amd=self.site.anchors.amd, intel=self.intel.anchors.intel, simulated=True)

    @contextlib.contextmanager
    def open(self, *, anchors: Anchors | None = None, **changed: Any) -> Iterator[Running]:
        """The broker; `changed` as in `shelf`."""
        with open_site(self.site.site, self.shelf(**changed), anchors or self.anchors) as running:
            yield running

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[tuple[Running, Listeners]]:
        """Serves on loopback in this process."""
        with self.open() as running:
            async with serve(
                running, self.site.tls(), host="127.0.0.1", workload_port=0, people_port=0, publish_every_s=0.2
            ) as listeners:
                yield running, listeners

    def collect(self, report_data: bytes, **fields: Any) -> TdxEvidence:
        """A quote of the demo's TD over these 64 bytes."""
        return self.platform.evidence(report_data, **fields)


async def tdx_site(made: SimulatedSite, *, profile: dict[str, Any] | None = None) -> TdxSite:
    """Lets the site's asset be released to one TD besides: in its profile and in its reference set."""
    intel = intels.mint(now=dt.datetime.fromtimestamp(wall_clock() / 1_000, dt.UTC))
    found = TdxSite(site=made, intel=intel, platform=intel.platform())
    value: dict[str, Any] = {"name": "td-1", "platform": "tdx", "measurement": MRTD.hex(), "covers": _COVERS}
    value |= {f"rtmr{n}": rtmr.hex() for n, rtmr in enumerate(RTMRS)}
    with found.open() as running:
        for name, kind, digest, data in running.reader.objects()[2]:
            document: Any = {k: v for k, v in json.loads(data).items() if k != "v"}
            if kind == "profile":
                document["profile"]["tdx"] = {} if profile is None else profile
            elif kind == "reference-set":
                document["values"].append(value)
            else:
                continue
            unit = put(kind, name, document, entry=sites.draft_of(running), replaces=digest)
            await sites.register(running, [unit])
    return found
