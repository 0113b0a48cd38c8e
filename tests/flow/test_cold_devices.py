"""A node with GPUs and a broker without collateral: fetched once, from NVIDIA or a bundle, after all other checks."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import ReasonFlags

from attest.errors import AttestError
from attest.tlog.entry import parse_leaf
from attest.tlog.keys import VerifierKey
from kbs.collateral.service import CollateralService
from kbs.model.bundle import bundle_text, contents_of, join_bundle, open_bundle
from kbs.model.refusal import Refused, Unavailable
from kbs.release.fleet import Fleet
from kbs.release.foresight import foresee
from kbs.release.release import release
from kbs.serve.collateral import open_collateral
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.wiring import Running, open_site, wall_clock
from tests.makers.kds import FakeKds
from tests.makers.node import Change, node_ask
from tests.makers.nvidia import Device
from tests.makers.nvidia_http import FakeNvidia
from tests.makers.site import ASSET, SimulatedSite, make_site
from tests.makers.vendor_http import Answer, VendorServer

_TWO = {"count": 2}


@asynccontextmanager
async def _broker(site: SimulatedSite, section: Section) -> AsyncIterator[tuple[Running, CollateralService]]:
    clocks: dict[str, Any] = {"clock": wall_clock, "monotonic": wall_clock, "chance": lambda: 0.5}
    async with open_collateral(section, site.site.store, site.anchors, **clocks) as keeper:
        with open_site(site.site, keeper, site.anchors) as running:
            yield running, keeper


def _section(kds: VendorServer, nvidia: VendorServer) -> Section:
    return Section(kds=kds.base, nvidia_rim=nvidia.base, nvidia_crl=nvidia.base, nvidia_ocsp=nvidia.base)


async def _site(path: Path, chip: str, **profile: object) -> tuple[SimulatedSite, tuple[Device, ...], FakeNvidia]:
    site = await make_site(path / "site", gpu={**_TWO, **profile})
    assert site.nvidia is not None
    devices = (site.nvidia.device(chip), site.nvidia.device(chip))
    return site, devices, FakeNvidia(site.nvidia, *devices, chip=chip)


async def _release(running: Running, site: SimulatedSite, devices: tuple[Device, ...], **changes: Any) -> Any:
    broker = running.broker
    challenge = broker.challenges.issue(broker.clock(), broker.random(16))
    answer = await release(node_ask(site.chip, devices, challenge, **changes), broker)
    assert answer.grant.keys
    return parse_leaf(answer.place.leaf).body


def _forget(site: SimulatedSite) -> None:
    with contextlib.closing(sqlite3.connect(site.site.store)) as connection:
        connection.execute("DELETE FROM collateral_item")
        connection.execute("DELETE FROM collateral_blob")
        connection.commit()


async def test_a_cold_broker_with_a_bundle_releases_to_a_node_with_gpus(tmp_path: Path) -> None:
    site, devices, nvidia = await _site(tmp_path, "GB100")
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as amd, VendorServer(nvidia, post=nvidia.post) as server:
        async with _broker(site, _section(amd, server)) as (running, keeper):
            await _release(running, site, devices)
            assert set(server.asked.values()) == {1}
            await _release(running, site, devices)
            assert set(server.asked.values()) == {1}
            now, signer = running.broker.clock(), running.broker.signer
            contents = contents_of(keeper.pieces(now))
            raw = join_bundle(signer.note(bundle_text(signer.origin, now, contents)), contents)
            key = VerifierKey.parse(signer.verifier_key)
        asked = sum(server.asked.values())
        _forget(site)
        async with _broker(site, Section(fetch="nothing")) as (running, keeper):
            with pytest.raises(Unavailable, match="COLLATERAL_UNAVAILABLE"):
                await _release(running, site, devices)
            outcomes = await keeper.take(open_bundle(raw, [key]).pieces, running.broker.clock())
            assert {outcome for _, outcome in outcomes} == {"kept"}
            body = await _release(running, site, devices)
            assert len(body["devices"]) == 2
            found = await foresee(running.broker, keeper.ends(), Fleet(running.reader), at=running.broker.clock())
            assert (found.platforms, found.refused) == (1, 0)
        assert sum(server.asked.values()) == asked


async def test_a_manifest_that_nvidia_does_not_have_is_a_finding_of_an_entry(tmp_path: Path) -> None:
    site, devices, nvidia = await _site(tmp_path, "GH100")
    del nvidia.rims[nvidia.driver]
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as amd, VendorServer(nvidia, post=nvidia.post) as server:
        section = _section(amd, server)
        async with _broker(site, section) as (running, _):
            before = running.reader.head().size
            with pytest.raises(Refused, match="ACCESS_DENIED"):
                await _release(running, site, devices)
            body: Any = parse_leaf(running.reader.entries(before, before + 1)[0][1]).body
            document = running.reader.document(before, bytes.fromhex(body["decision_digest"]))
            assert document is not None
            assert b"RIM_MISSING" in document
            assert server.asked[f"/v1/rim/{nvidia.driver}"] == 1


async def test_a_rim_service_that_is_down_decides_nothing_where_manifests_are_required(tmp_path: Path) -> None:
    site, devices, nvidia = await _site(tmp_path, "GH100")
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as amd, VendorServer(nvidia, post=nvidia.post) as server:
        server.fault = lambda path: Answer(status=500) if "/rim/" in path else None
        async with _broker(site, _section(amd, server)) as (running, _):
            before = running.reader.head().size
            with pytest.raises(Unavailable, match="COLLATERAL_UNAVAILABLE"):
                await _release(running, site, devices)
            assert running.reader.head().size == before


async def test_what_is_wrong_with_a_device_is_told_before_what_could_not_be_had(tmp_path: Path) -> None:
    """The list that came revokes it: whether a manifest could be had as well matters no more, and no wait helps."""
    site, devices, nvidia = await _site(tmp_path, "GH100")
    vendor, kds = nvidia.vendor, FakeKds(site.vendor, site.chip)
    revoked = {vendor.provisioners["GH100"].certificate.serial_number: ReasonFlags.key_compromise}
    nvidia.lists["/crl/l2-gh100.crl"] = vendor.crl(vendor.identities["GH100"], revoked)
    async with VendorServer(kds) as amd, VendorServer(nvidia, post=nvidia.post) as server:
        server.fault = lambda path: Answer(status=500) if "/rim/" in path else None
        async with _broker(site, _section(amd, server)) as (running, _):
            before = running.reader.head()
            with pytest.raises(AttestError, match="CERT_REVOKED"):
                await _release(running, site, devices)
            assert running.reader.head() == before


async def test_a_name_that_is_no_assets_shows_in_nothing_that_is_fetched(tmp_path: Path) -> None:
    """While NVIDIA cannot be reached, an asset that asks for manifests and one that is not there are answered alike."""
    site, devices, nvidia = await _site(tmp_path, "GH100")
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as amd, VendorServer(nvidia, post=nvidia.post) as server:
        server.fault = lambda path: Answer(status=500) if "/rim/" in path else None
        async with _broker(site, _section(amd, server)) as (running, _):
            asked = []
            for names in ((ASSET,), ("tenants/acme/assets/none",), (ASSET, "tenants/acme/assets/none")):
                before = sum(count for path, count in server.asked.items() if "/rim/" in path)
                with pytest.raises(Unavailable, match="COLLATERAL_UNAVAILABLE"):
                    await _release(running, site, devices, names=names)
                asked.append(sum(count for path, count in server.asked.items() if "/rim/" in path) > before)
            assert asked[0] == asked[1] == asked[2]


async def test_where_none_is_required_a_rim_service_that_is_down_stops_nobody(tmp_path: Path) -> None:
    lifted = {"allow_missing_rim": True, "allow_uncovered_measurements": True}
    site, devices, nvidia = await _site(tmp_path, "GH100", **lifted)
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as amd, VendorServer(nvidia, post=nvidia.post) as server:
        server.fault = lambda path: Answer(status=500) if "/rim/" in path else None
        async with _broker(site, _section(amd, server)) as (running, _):
            await _release(running, site, devices)


# name: (what the host does after the guest has signed, the check that refuses it)
REFUSED: dict[str, tuple[Change, str]] = {
    "a device dropped": (lambda d, _: d[1:], "REPORT_DATA_MISMATCH"),
    "two exchanged": (lambda d, _: [d[1], d[0]], "DEVICE_ORDER"),
    "one twice": (lambda d, _: [d[0], d[0]], "DEVICE_DUPLICATE"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_nothing_is_fetched_for_a_node_that_would_be_refused_anyway(tmp_path: Path, name: str) -> None:
    host, check = REFUSED[name]
    site, devices, nvidia = await _site(tmp_path, "GH100")
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as amd, VendorServer(nvidia, post=nvidia.post) as server:
        async with _broker(site, _section(amd, server)) as (running, _):
            with pytest.raises(AttestError) as refused:
                await _release(running, site, devices, host=host)
            assert refused.value.check == check
        assert not server.asked


async def test_nor_for_a_device_whose_own_signature_is_another_s(tmp_path: Path) -> None:
    """Neither AMD nor NVIDIA is asked: the guest signed for these devices, and one of them proves nothing."""
    site, devices, nvidia = await _site(tmp_path, "GH100")
    kds = FakeKds(site.vendor, site.chip)

    def guest(collected: Any, nonce: bytes) -> Any:
        return [devices[0].evidence(nonce, key=devices[1].chain[0].key), collected[1]]

    async with VendorServer(kds) as amd, VendorServer(nvidia, post=nvidia.post) as server:
        async with _broker(site, _section(amd, server)) as (running, _):
            with pytest.raises(AttestError) as refused:
                await _release(running, site, devices, guest=guest)
            assert refused.value.check == "GPU_SIGNATURE"
        assert not server.asked
        assert not amd.asked
