"""A past decision made again from what its entry names and nothing else: the vendor is gone, the cache is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from attest.errors import Malformed
from attest.evidence import Collateral, SnpEvidence
from attest.tlog.entry import parse_leaf
from attest.verify import verify
from kbs.collateral.shelf import Shelf
from kbs.model.collateral import describe, read_described
from kbs.policy.bundle import default_bundle
from kbs.release.appraisal import judge
from kbs.release.fleet import decode_evidence
from kbs.release.release import release
from kbs.serve.collateral import open_collateral
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.wiring import Running, open_site, wall_clock
from tests.flow.test_cold_broker import _node, _trust_tdx
from tests.makers import intel as intels
from tests.makers.kds import FakeKds
from tests.makers.pcs import ROOT_CRL, FakePcs
from tests.makers.site import SimulatedSite
from tests.makers.vendor_http import VendorServer
from tests.makers.workload import Workload, build


def _lose_the_cache(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("DELETE FROM collateral_item")
        connection.execute("DELETE FROM collateral_blob")
        connection.commit()


async def _decided_again(running: Running, index: int, ask: Any) -> None:
    """From the entry alone: its evidence, its collateral, its time; to the same claims and the same decision."""
    reader, broker = running.reader, running.broker
    body: Any = parse_leaf(reader.entries(index, index + 1)[0][1]).body
    document = reader.document(index, bytes.fromhex(body["collateral_digest"]))
    kept = reader.document(index, bytes.fromhex(body["evidence_digest"]))
    assert document is not None
    assert kept is not None
    decoded = decode_evidence(kept)
    assert decoded is not None
    verified = verify(
        decoded[0],
        read_described(document, reader.blob),
        broker.anchors,
        report_data=bytes.fromhex(body["bound"]),
        now=dt.datetime.fromtimestamp(body["now_used"] / 1_000, dt.UTC),
        revocation="required",
    )
    judgement = await judge(
        ask,
        verified.claims,
        broker.pseudonyms.of("acme", "node", verified.claims.platform_id),
        "acme",
        broker.catalogue.current(),
        broker.engines,
        simulation=True,
        now=body["now_used"],
    )
    assert judgement.digest.hex() == body["decision_digest"]
    assert {hashlib.sha256(crl.der).hexdigest() for crl in verified.kept.crls} <= set(_names(document))
    with pytest.raises(Malformed, match="COLLATERAL_DOCUMENT"):
        read_described(document, lambda digest: None)


def _names(document: bytes) -> list[str]:
    return re.findall(r'"([0-9a-f]{64})"', document.decode())


async def test_a_release_to_a_guest_whose_key_was_fetched(site: SimulatedSite) -> None:
    kds = FakeKds(site.vendor, site.chip)
    clocks: dict[str, Any] = {"clock": wall_clock, "monotonic": wall_clock, "chance": lambda: 0.5}
    async with (
        VendorServer(kds) as server,
        open_collateral(Section(kds=server.base), site.site.store, site.anchors, **clocks) as keeper,
    ):
        with open_site(site.site, keeper, site.anchors) as running:
            whole = build(site.chip, running.broker.challenges, running.broker.clock())
            assert isinstance(whole.ask.evidence, SnpEvidence)
            bare = dataclasses.replace(whole.ask, evidence=SnpEvidence(report=whole.ask.evidence.report))
            index = (await release(bare, running.broker)).place.index
    _lose_the_cache(site.site.store)
    with open_site(site.site, Shelf(Collateral()), site.anchors) as running:
        await _decided_again(running, index, bare)


async def test_a_release_to_a_td(site: SimulatedSite) -> None:
    intel = intels.mint(now=dt.datetime.now(dt.UTC))
    bundle = default_bundle()
    both = dataclasses.replace(bundle, policies=bundle.policies.replace('["snp"]', '["snp", "tdx"]'))
    clocks: dict[str, Any] = {"clock": wall_clock, "monotonic": wall_clock, "chance": lambda: 0.5}
    async with VendorServer(FakePcs(intel)) as server:
        section = Section(kds=server.base, pcs=server.base, pcs_root_crl=f"{server.base}{ROOT_CRL}")
        async with open_collateral(section, site.site.store, intel.anchors, **clocks) as keeper:
            with open_site(site.site, keeper, intel.anchors, bundle=both) as running:
                await _trust_tdx(running)
                workload: Workload = _node(running, site, intel.platform())
                index = (await release(workload.ask, running.broker)).place.index
    _lose_the_cache(site.site.store)
    with open_site(site.site, Shelf(Collateral()), intel.anchors, bundle=both) as running:
        await _decided_again(running, index, workload.ask)


def test_a_document_names_what_it_stands_for() -> None:
    family = intels.mint(now=dt.datetime(2026, 6, 1, tzinfo=dt.UTC)).collateral()
    used = describe(certificates=[b"b", b"a"], crls=[b"c"], tdx=[family], ocsp=[b"d"], rims=[b"e"])
    blobs = {hashlib.sha256(each).digest(): each for each in used.blobs}
    read = read_described(used.blobs[0], blobs.get)
    assert (set(read.certificates), read.crls, read.tdx) == ({b"a", b"b"}, (b"c",), (family,))
    assert (read.ocsp, read.rims) == ((b"d",), (b"e",))
    for wrong in (b'{"v":"sealgate.collateral/2"}', b'{"more":[],"v":"sealgate.collateral/1"}'):
        with pytest.raises(Malformed, match="COLLATERAL_DOCUMENT"):
            read_described(wrong, blobs.get)
    swapped = dict.fromkeys(blobs, b"another")
    with pytest.raises(Malformed, match="COLLATERAL_DOCUMENT"):
        read_described(used.blobs[0], swapped.get)
