"""A release whose collateral comes from a vendor: fetched once, named by its entry, enough to verify again."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from attest.errors import NotAuthentic
from attest.evidence import Collateral, SnpEvidence
from attest.tlog.entry import parse_canonical, parse_leaf
from attest.verify import verify
from kbs.model.refusal import Unavailable
from kbs.release.release import release
from kbs.serve.collateral import open_collateral
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.wiring import Running, open_site, wall_clock
from tests.makers.kds import FakeKds
from tests.makers.site import SimulatedSite
from tests.makers.vendor_http import Answer, VendorServer
from tests.makers.workload import Workload, build


def _bare(running: Running, site: SimulatedSite) -> Workload:
    workload = build(site.chip, running.broker.challenges, running.broker.clock())
    ask = workload.ask
    assert isinstance(ask.evidence, SnpEvidence)
    return dataclasses.replace(workload, ask=dataclasses.replace(ask, evidence=SnpEvidence(report=ask.evidence.report)))


def _open(section: Section, site: SimulatedSite) -> Any:
    clocks = {"clock": wall_clock, "monotonic": wall_clock, "chance": lambda: 0.5}
    return open_collateral(section, site.site.store, site.anchors, **clocks)  # type: ignore[arg-type]


def _blobs(running: Running) -> int:
    return int(running.reader._connection.execute("SELECT count(*) FROM blob").fetchone()[0])


async def test_what_was_fetched_is_named_by_the_entry_and_verifies_again(site: SimulatedSite) -> None:
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as server, _open(Section(kds=server.base), site) as service:
        with open_site(site.site, service, site.anchors) as running:
            workload = _bare(running, site)
            answer = await release(workload.ask, running.broker)
            assert workload.open(answer) == [site.key.seed]
            assert sorted(server.asked.values()) == [1, 1, 1]
            body: Any = parse_leaf(answer.place.leaf).body
            document = running.reader.blob(bytes.fromhex(body["collateral_digest"]))
            assert document is not None
            named: Any = parse_canonical(document)
            pieces = {
                group: tuple(running.reader.blob(bytes.fromhex(digest)) or b"" for digest in named[group])
                for group in ("certificates", "crls")
            }
            assert (len(pieces["certificates"]), len(pieces["crls"])) == (3, 1)
            replayed = verify(
                workload.ask.evidence,
                Collateral(certificates=pieces["certificates"], crls=pieces["crls"]),
                site.anchors,
                report_data=bytes.fromhex(body["bound"]),
                now=site.vendor.now,
                revocation="required",
            )
            assert replayed.claims.measurement.hex() == body["measurement"]
            before = _blobs(running)
            second = await release(_bare(running, site).ask, running.broker)
            again: Any = parse_leaf(second.place.leaf).body
            assert again["collateral_digest"] == body["collateral_digest"]
            own = {"request_digest", "decision_digest", "refvalues_digest"}
            assert _blobs(running) - before <= len(own)
    # Another process, the vendor gone: the cache is enough.
    async with _open(Section(fetch="nothing"), site) as service:
        with open_site(site.site, service, site.anchors) as running:
            assert (await release(_bare(running, site).ask, running.broker)).grant.keys


async def test_what_cannot_be_had_is_unavailable_and_uses_nothing_up(site: SimulatedSite) -> None:
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as server, _open(Section(kds=server.base), site) as service:
        server.fault = lambda path: Answer(status=500)
        with open_site(site.site, service, site.anchors) as running:
            before = running.reader.head().size
            workload = _bare(running, site)
            with pytest.raises(Unavailable, match="COLLATERAL_UNAVAILABLE"):
                await release(workload.ask, running.broker)
            assert running.reader.head().size == before
            server.fault = lambda path: None
            assert (await release(workload.ask, running.broker)).grant.keys  # the same challenge


async def test_where_nothing_may_be_fetched_what_lies_ready_is_used(site: SimulatedSite, tmp_path: Path) -> None:
    lying = tmp_path / "collateral"
    lying.mkdir()
    (lying / "amd.crl").write_bytes(site.vendor.crl())
    (lying / "ask.der").write_bytes(site.vendor.ask.der)
    (lying / "ark.der").write_bytes(site.vendor.ark.der)
    async with _open(Section(fetch="nothing", directory=lying), site) as service:
        with open_site(site.site, service, site.anchors) as running:
            clock, challenges = running.broker.clock, running.broker.challenges
            assert (await release(build(site.chip, challenges, clock()).ask, running.broker)).grant.keys
            with pytest.raises(Unavailable) as failure:
                await release(_bare(running, site).ask, running.broker)
            assert "COLLATERAL_OFFLINE" in str(failure.value.__cause__)
            assert hashlib.sha256(service.ready().blobs[0]).digest() == service.ready().digest


async def test_a_chip_that_nobody_endorses_is_told_so(site: SimulatedSite) -> None:
    kds = FakeKds(site.vendor)
    async with VendorServer(kds) as server, _open(Section(kds=server.base), site) as service:
        with open_site(site.site, service, site.anchors) as running, pytest.raises(NotAuthentic, match="VEK_MISSING"):
            await release(_bare(running, site).ask, running.broker)
