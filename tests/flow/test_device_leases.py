"""One device is under live leases of one machine: whoever asks with it from another is refused until these are over."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
import pytest_asyncio
from sealgate.v1.decisions_pb2 import CHECK_OUTCOME_FAILED

from attest.tlog.entry import parse_canonical, parse_leaf
from kbs.catalog.register import key_version_document, put
from kbs.custody.secret import Secret
from kbs.decide.canonical import MAX_DECISION
from kbs.model.lease import REATTEST, LeaseRecord
from kbs.model.names import AssetName
from kbs.model.refusal import Refused, Unavailable
from kbs.release.port import Broker
from kbs.release.release import release
from kbs.rpc.decisions import _explain
from kbs.serve.wiring import Running, wall_clock
from tests.flow.test_renewal import HOLDER, OTHER
from tests.makers import site as sites
from tests.makers.amd import Chip
from tests.makers.node import node_ask
from tests.makers.nvidia import Device
from tests.makers.site import ASSET, MEASUREMENT, SimulatedSite, make_site, unslowed

HOUR = 3_600_000
CHECK = "DEVICE_LEASED_ELSEWHERE"
ELSEWHERE = "tenants/other/assets/llm-weights"


class Clock:
    """The wall clock, as much later as told."""

    def __init__(self) -> None:
        self.later = 0

    def __call__(self) -> int:
        return wall_clock() + self.later


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fleet:
    """A site whose profile asks for one GPU, and the clock of its broker."""

    site: SimulatedSite
    running: Running
    clock: Clock

    def gpu(self) -> Device:
        assert self.site.nvidia is not None
        return self.site.nvidia.device()

    async def ask(self, chip: Chip, devices: Sequence[Device], *, broker: Broker | None = None, **changed: Any) -> Any:
        """One request of that machine with those devices; what it was answered."""
        broker = broker or self.running.broker
        challenge = broker.challenges.issue(broker.clock(), broker.random(16))
        return await release(node_ask(chip, devices, challenge, **{"holder_key": HOLDER, **changed}), broker)

    async def lease(self, chip: Chip, devices: Sequence[Device], **changed: Any) -> LeaseRecord:
        return self.record((await self.ask(chip, devices, **changed)).grant.lease.lease_id)

    def record(self, lease_id: str) -> LeaseRecord:
        found = self.running.broker.leases.lease(lease_id)
        assert found is not None
        return found

    def newest(self) -> Mapping[str, Any]:
        size = self.running.reader.head().size
        return parse_leaf(self.running.reader.entries(size - 1, size)[0][1]).body

    def failed(self) -> list[Mapping[str, str]]:
        """The findings about devices that failed in the newest decision."""
        size, body = self.running.reader.head().size, self.newest()
        document = self.running.reader.document(size - 1, bytes.fromhex(body["decision_digest"]))
        assert document is not None
        findings: Any = parse_canonical(document, limit=MAX_DECISION)["findings"]
        return [f for f in findings if f["check"] == CHECK and f["outcome"] == "failed"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    site = await make_site(tmp_path_factory.mktemp("device-leases") / "site", gpu={"count": 1})
    clock = Clock()
    with site.open(clock=clock, repeats=unslowed()) as running:
        await _raise_ceiling(running)
        yield Fleet(site=site, running=running, clock=clock)


async def _raise_ceiling(running: Running) -> None:
    old = running.broker.catalogue.current().assets[ASSET]
    document = sites.asset_document(old.content_digest.hex(), new_nodes_per_hour=1_000, bytes_per_day=1 << 40)
    change = put("asset", ASSET, document, entry=sites.draft_of(running), replaces=old.digest, assets=(ASSET,))
    await sites.register(running, [change])


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_another_machine_waits_until_the_lease_is_over(fleet: Fleet) -> None:
    gpu, other = fleet.gpu(), fleet.site.vendor.chip(41)
    lease = await fleet.lease(fleet.site.chip, [gpu])
    with pytest.raises(Refused) as refused:
        await fleet.ask(other, [gpu])
    assert (refused.value.reason, refused.value.check) == ("ACCESS_DENIED", "")
    assert refused.value.ticket == fleet.newest()["id"]
    body = fleet.newest()
    assert (body["type"], body["reason"]) == ("release.refused", "ACCESS_DENIED")
    [found] = fleet.failed()[:1]
    assert found["path"] == "devices[0]"
    assert found["expected"] == "no live lease of another machine"
    holder = fleet.record(lease.lease_id).holder
    told = f"{holder.devices[0]} under tenants/acme/leases/{lease.lease_id} of {holder.node}"
    assert (found["got"], body["devices"]) == (told, list(holder.devices))
    fleet.clock.later += HOUR + 60_000
    await fleet.ask(other, [gpu])
    with pytest.raises(Refused, match="ACCESS_DENIED"):
        await fleet.ask(fleet.site.chip, [gpu])


async def test_the_same_machine_asks_again_and_renews(fleet: Fleet) -> None:
    gpu = fleet.gpu()
    first = await fleet.lease(fleet.site.chip, [gpu])
    await fleet.lease(fleet.site.chip, [gpu], holder_key=OTHER)
    await fleet.ask(fleet.site.chip, [gpu], rehearsal=True)
    await fleet.ask(fleet.site.chip, [gpu], renews=first.lease_id)
    fleet.clock.later += HOUR // 2
    renewed = await fleet.ask(fleet.site.chip, [gpu], renews=first.lease_id)
    fleet.clock.later += 3 * HOUR // 4  # the second lease is over, the first goes on
    assert fleet.clock() < renewed.grant.lease.end
    with pytest.raises(Refused, match="ACCESS_DENIED"):
        await fleet.ask(fleet.site.vendor.chip(42), [gpu])
    with pytest.raises(Refused, match="ACCESS_DENIED"):
        await fleet.ask(fleet.site.vendor.chip(42), [gpu], rehearsal=True)
    await fleet.ask(fleet.site.vendor.chip(42), [fleet.gpu()])


async def test_a_lease_that_a_refused_renewal_ended_holds_nothing(fleet: Fleet) -> None:
    gpu, other = fleet.gpu(), fleet.site.vendor.chip(43)
    lease = await fleet.lease(fleet.site.chip, [gpu])
    with pytest.raises(Refused, match=REATTEST):
        await fleet.ask(fleet.site.chip, [fleet.gpu()], renews=lease.lease_id)
    assert fleet.record(lease.lease_id).ended
    await fleet.ask(other, [gpu])
    with pytest.raises(Refused, match="ACCESS_DENIED"):
        await fleet.ask(fleet.site.chip, [gpu])


@pytest.mark.parametrize("round_", range(3))
async def test_of_many_machines_at_once_one_wins(fleet: Fleet, round_: int) -> None:
    """All are judged while no lease is there; what decides is the order under the head's lock."""
    gpu = fleet.gpu()
    chips = [fleet.site.vendor.chip(50 + 6 * round_ + n) for n in range(6)]
    before = fleet.running.reader.head().size
    results = await asyncio.gather(*(fleet.ask(chip, [gpu]) for chip in chips), return_exceptions=True)
    assert all(not isinstance(each, Exception) or isinstance(each, Refused) for each in results), results
    granted = [n for n, each in enumerate(results) if not isinstance(each, Exception)]
    assert len(granted) == 1
    leaves = fleet.running.reader.leaves(before, fleet.running.reader.head().size)
    assert Counter(parse_leaf(leaf).body["type"] for leaf in leaves) == {"release.granted": 1, "release.refused": 5}
    await fleet.ask(chips[granted[0]], [gpu])


async def test_decided_before_and_written_after_another(fleet: Fleet) -> None:
    """What was read for the decision is old by the time of the transaction: the guard sends it back."""
    gpu = fleet.gpu()

    class Blind:
        """The leases as they were before."""

        def __init__(self, looks: int) -> None:
            self.looks = looks

        def elsewhere(self, machine: Any, now: int) -> Any:
            self.looks -= 1
            return () if self.looks >= 0 else fleet.running.leases.elsewhere(machine, now)

        def __getattr__(self, name: str) -> Any:
            return getattr(fleet.running.leases, name)

    await fleet.ask(fleet.site.chip, [gpu])
    before = fleet.running.reader.head().size
    blind: Any = Blind(1)
    with pytest.raises(Refused, match="ACCESS_DENIED"):
        await fleet.ask(
            fleet.site.vendor.chip(44), [gpu], broker=dataclasses.replace(fleet.running.broker, leases=blind)
        )
    assert fleet.failed()
    blind = Blind(99)
    with pytest.raises(Unavailable, match="STATE_MOVING"):
        await fleet.ask(
            fleet.site.vendor.chip(44), [gpu], broker=dataclasses.replace(fleet.running.broker, leases=blind)
        )
    assert fleet.running.reader.head().size == before + 1


async def test_a_renewal_that_comes_too_late_does_not_take_the_device_back(fleet: Fleet) -> None:
    """It was asked for while the lease lived; by the log's time the lease is over, and another machine has the GPU."""
    gpu, broker = fleet.gpu(), fleet.running.broker
    lease = await fleet.lease(fleet.site.chip, [gpu])
    fleet.clock.later += HOUR + 60_000
    await fleet.ask(fleet.site.vendor.chip(45), [gpu])
    slow = dataclasses.replace(broker, clock=lambda: lease.end - 1_000)
    with pytest.raises(Refused, match=REATTEST):
        await fleet.ask(fleet.site.chip, [gpu], renews=lease.lease_id, broker=slow)
    assert fleet.newest()["reason"] == REATTEST


async def test_another_tenants_lease_counts_and_says_no_more_than_that(fleet: Fleet) -> None:
    gpu = fleet.gpu()
    await _second_tenant(fleet)
    lease = await fleet.lease(fleet.site.chip, [gpu], names=(ELSEWHERE,))
    await fleet.ask(fleet.site.chip, [gpu])  # two tenants on one machine
    other = fleet.gpu()
    await fleet.ask(fleet.site.chip, [other], names=(ELSEWHERE,))
    with pytest.raises(Refused, match="ACCESS_DENIED"):
        await fleet.ask(fleet.site.vendor.chip(46), [other])
    [found] = fleet.failed()[:1]
    assert found["got"].endswith(" under a lease of another tenant")
    text = json.dumps(fleet.failed())
    assert lease.lease_id not in text
    assert lease.holder.node not in text
    ours = fleet.newest()["devices"]
    theirs = fleet.record(lease.lease_id).holder.devices
    assert not set(ours) & set(theirs)


async def test_names_of_the_whole_deployment_are_in_no_entry(fleet: Fleet) -> None:
    gpu = fleet.gpu()
    await fleet.ask(fleet.site.chip, [gpu])
    pseudonyms = fleet.running.broker.pseudonyms
    names = (pseudonyms.device("", "nvidia-gpu", gpu.pdi), pseudonyms.of("", "node", fleet.site.chip.chip_id))
    size = fleet.running.reader.head().size
    for index, leaf, _ in fleet.running.reader.entries(0, size):
        assert not any(name.encode() in leaf for name in names)
        digest = parse_leaf(leaf).body.get("decision_digest")
        document = fleet.running.reader.document(index, bytes.fromhex(str(digest))) if digest else b""
        assert not any(name.encode() in (document or b"") for name in names)


async def _second_tenant(fleet: Fleet) -> None:
    """The same asset, owned by another tenant."""
    running, entry = fleet.running, sites.draft_of(fleet.running)
    asset = AssetName.parse(ELSEWHERE)
    profile, references = "tenants/other/profiles/p", "tenants/other/referenceSets/r"
    value = {"name": "v", "measurement": MEASUREMENT.hex(), "covers": ["cmdline", "firmware", "initrd", "kernel"]}
    listed = {"name": references, "state": "active", "shared": False, "values": [value]}
    document = sites.asset_document(name=ELSEWHERE, profile=profile, references=[references])
    keys = running.vault.new_key(asset, 1, Secret(fleet.site.key.seed))
    version = key_version_document(asset, 1, fleet.site.key.recipient.public)
    await sites.register(
        running,
        [
            put("profile", profile, {"name": profile, "profile": {**sites.PROFILE, "gpu": {"count": 1}}}, entry=entry),
            put("reference-set", references, listed, entry=entry),
            put("asset", ELSEWHERE, document, entry=entry, assets=(ELSEWHERE,)),
            put("key-version", asset.key_version(1), version, entry=entry, keys=keys, assets=(ELSEWHERE,)),
        ],
    )


async def test_the_operator_is_told_and_the_node_is_not(fleet: Fleet) -> None:
    gpu = fleet.gpu()
    lease = await fleet.lease(fleet.site.chip, [gpu])
    with pytest.raises(Refused) as refused:
        await fleet.ask(fleet.site.vendor.chip(47), [gpu])
    assert lease.lease_id not in str(refused.value)
    index = fleet.running.reader.head().size - 1
    told = _explain(fleet.running.reader, index, fleet.running.broker.catalogue.current())
    [failed] = {(c.check, c.path, c.got) for c in told.checks if c.outcome == CHECK_OUTCOME_FAILED}
    assert failed[:2] == (CHECK, "devices[0]")
    assert lease.lease_id in failed[2]
    assert any("Wait until the other lease is over" in remedy for remedy in told.remedies)
