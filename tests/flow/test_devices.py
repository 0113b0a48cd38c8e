"""Devices through a release: a whole system gets its key, and every way of splicing two nodes' devices is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from attest.errors import AttestError
from attest.evidence import DeviceEvidence
from attest.tlog.entry import parse_leaf
from kbs.model.refusal import Refused
from kbs.release.fleet import Fleet
from kbs.release.foresight import foresee
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.flow.test_renewal import HOLDER
from tests.flow.test_result import AUDIENCE, verified
from tests.makers.node import Change, node_ask
from tests.makers.nvidia import Device, hgx, measured
from tests.makers.site import SimulatedSite, make_site

_PPCIE = {"count": 8, "topology": "ppcie"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nodes:
    """A site that asks for a PPCIE system, one such node, and another whose devices are as good."""

    site: SimulatedSite
    running: Running
    one: tuple[Device, ...]
    other: tuple[Device, ...]

    def challenge(self) -> bytes:
        broker = self.running.broker
        return broker.challenges.issue(broker.clock(), broker.random(16))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    site = await make_site(tmp_path_factory.mktemp("devices") / "site", gpu=_PPCIE)
    assert site.nvidia is not None
    with site.open() as running:
        yield Nodes(site=site, running=running, one=hgx(site.nvidia), other=hgx(site.nvidia))


pytestmark = pytest.mark.asyncio(loop_scope="module")


def _document(running: Running, index: int, member: str) -> bytes:
    """What a digest of an entry's body stands for."""
    digest = str(_body(running, index)[member])
    found = running.reader.document(index, bytes.fromhex(digest))
    assert found is not None
    return found


def _body(running: Running, index: int) -> Mapping[str, Any]:
    return parse_leaf(running.reader.entries(index, index + 1)[0][1]).body


async def test_a_system_with_all_its_devices(nodes: Nodes) -> None:
    ask = node_ask(nodes.site.chip, nodes.one, nodes.challenge())
    answer = await release(ask, nodes.running.broker)
    assert answer.grant.lease is not None
    index = answer.place.index
    body = _body(nodes.running, index)
    assert len(set(body["devices"])) == 12
    assert nodes.one[0].pdi.hex() not in json.dumps(body)
    evidence = _document(nodes.running, index, "evidence_digest")
    assert all(device.report in evidence and device.chain in evidence for device in ask.devices)
    document = json.loads(_document(nodes.running, index, "collateral_digest"))
    assert len(document["rims"]) > 2
    assert all(nodes.running.reader.blob(bytes.fromhex(digest)) for digest in document["rims"])


async def test_everybody_else_has_a_turn_between_two_devices(nodes: Nodes) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    try:
        await release(node_ask(nodes.site.chip, nodes.one, nodes.challenge()), nodes.running.broker)
    finally:
        task.cancel()
    assert turns >= len(nodes.one)


def _replaced(position: int, evidence: DeviceEvidence, devices: list[DeviceEvidence]) -> list[DeviceEvidence]:
    return [*devices[:position], evidence, *devices[position + 1 :]]


def _splices(nodes: Nodes) -> dict[str, tuple[Change, str]]:
    """Name: (what the host does after the guest has signed, the check that refuses it)."""
    other, site = nodes.other, nodes.site
    assert site.nvidia is not None
    stranger = site.nvidia.device("GH100")
    return {
        "a GPU of another node's request": (
            lambda d, _: _replaced(0, other[0].evidence(bytes(32)), d),
            "GPU_NONCE_MISMATCH",
        ),
        "another GPU that signed this nonce": (
            lambda d, n: _replaced(0, other[0].evidence(n), d),
            "REPORT_DATA_MISMATCH",
        ),
        "an NVSwitch of another node": (lambda d, n: _replaced(8, other[8].evidence(n), d), "REPORT_DATA_MISMATCH"),
        "all devices of another node": (lambda d, n: [x.evidence(n) for x in other], "REPORT_DATA_MISMATCH"),
        "an old set": (lambda d, n: [x.evidence(bytes(31) + b"\1") for x in nodes.one], "GPU_NONCE_MISMATCH"),
        "one dropped": (lambda d, _: d[1:], "REPORT_DATA_MISMATCH"),
        "all dropped": (lambda d, _: [], "REPORT_DATA_MISMATCH"),
        "one added": (lambda d, n: [*d, stranger.evidence(n)], "DEVICE_ADDED"),
        "one added in front": (lambda d, n: [stranger.evidence(n), *d], "DEVICE_ADDED"),
        "one twice": (lambda d, _: [*d, d[0]], "DEVICE_DUPLICATE"),
        "one instead of another": (lambda d, _: _replaced(1, d[0], d), "DEVICE_DUPLICATE"),
        "two exchanged": (lambda d, _: [d[1], d[0], *d[2:]], "DEVICE_ORDER"),
        "a GPU as a switch": (
            lambda d, _: _replaced(0, dataclasses.replace(d[0], kind="nvidia-switch"), d),
            "REPORT_DATA_MISMATCH",
        ),
        "another's chain": (
            lambda d, _: _replaced(0, dataclasses.replace(d[0], chain=other[0].pem), d),
            "REPORT_DATA_MISMATCH",
        ),
        "a byte behind a report": (
            lambda d, _: _replaced(0, dataclasses.replace(d[0], report=d[0].report + b"\0"), d),
            "REPORT_DATA_MISMATCH",
        ),
    }


_NAMES = (
    "a GPU of another node's request", "another GPU that signed this nonce", "an NVSwitch of another node",
    "all devices of another node", "an old set", "one dropped", "all dropped", "one added", "one added in front",
    "one twice", "one instead of another", "two exchanged", "a GPU as a switch", "another's chain",
    "a byte behind a report",
)  # fmt: skip


@pytest.mark.parametrize("name", _NAMES)
async def test_what_the_host_changes_breaks_the_cpus_evidence(nodes: Nodes, name: str) -> None:
    splices = _splices(nodes)
    assert tuple(splices) == _NAMES
    host, check = splices[name]
    before = nodes.running.reader.head().size
    with pytest.raises(AttestError) as refused:
        await release(node_ask(nodes.site.chip, nodes.one, nodes.challenge(), host=host), nodes.running.broker)
    assert refused.value.check == check
    assert nodes.running.reader.head().size == before


def _collected(nodes: Nodes) -> dict[str, tuple[Change, str]]:
    """Name: (what the guest itself collected and had signed, the check that refuses it)."""
    other, site = nodes.other, nodes.site
    assert site.nvidia is not None
    blackwell = site.nvidia.device("GB100")
    again = site.nvidia.device("GH100", pdi=nodes.one[0].pdi)
    bad = nodes.one[0]
    return {
        "none": (lambda d, _: [], "DEVICE_COUNT"),
        "seven GPUs": (lambda d, _: d[1:], "DEVICE_COUNT"),
        "no NVSwitches": (lambda d, _: d[:8], "SWITCH_EVIDENCE_MISSING"),
        "a GPU of another system": (lambda d, n: _replaced(0, other[0].evidence(n), d), "TOPOLOGY_GPUS"),
        "two architectures": (lambda d, n: _replaced(0, blackwell.evidence(n), d), "REVOCATION_MISSING"),
        "one device under two chains": (lambda d, n: [*d, again.evidence(n)], "DEVICE_DUPLICATE"),
        "another's chain": (
            lambda d, _: _replaced(0, dataclasses.replace(d[0], chain=other[0].pem), d),
            "GPU_SIGNATURE",
        ),
        "firmware that is not golden": (
            lambda d, n: _replaced(0, bad.evidence(n, measurements={9: measured(1)}), d),
            "RIM_MEASUREMENT",
        ),
        "a mode without protection": (
            lambda d, n: _replaced(0, bad.evidence(n, opaque={36: b"\0\0", 21: b"\x55"}), d),
            "DEVICE_MODE",
        ),
    }


_COLLECTED = (
    "none", "seven GPUs", "no NVSwitches", "a GPU of another system", "two architectures",
    "one device under two chains", "another's chain", "firmware that is not golden", "a mode without protection",
)  # fmt: skip


@pytest.mark.parametrize("name", _COLLECTED)
async def test_what_the_guest_signed_for_still_has_to_be_right(nodes: Nodes, name: str) -> None:
    collected = _collected(nodes)
    assert tuple(collected) == _COLLECTED
    guest, check = collected[name]
    ask = node_ask(nodes.site.chip, nodes.one, nodes.challenge(), guest=guest)
    before = nodes.running.reader.head().size
    with pytest.raises((AttestError, Refused)) as refused:
        await release(ask, nodes.running.broker)
    found = refused.value
    if isinstance(found, AttestError):
        assert found.check == check
    else:
        assert getattr(found, "reason", "") == "ACCESS_DENIED"
        assert check in _document(nodes.running, before, "decision_digest").decode()


async def test_a_forecast_judges_the_devices_again(nodes: Nodes) -> None:
    """A node with devices is not foreseen to be refused for having none."""
    broker = nodes.running.broker
    await release(node_ask(nodes.site.chip, nodes.one, nodes.challenge()), broker)
    found = await foresee(broker, [], Fleet(nodes.running.reader), at=broker.clock())
    assert (found.platforms, found.refused) == (1, 0)


async def test_a_result_has_a_submodule_for_each_device(nodes: Nodes) -> None:
    ask = node_ask(nodes.site.chip, nodes.one, nodes.challenge(), holder_key=HOLDER, audience=AUDIENCE)
    answer = await release(ask, nodes.running.broker)
    claims = verified(nodes.running, answer.grant.result)
    names = ["cpu0", *(f"gpu{n}" for n in range(8)), *(f"switch{n}" for n in range(4))]
    assert sorted(claims["submods"]) == sorted(names)
    assert {each["ear_status"] for each in claims["submods"].values()} == {claims["ear_status"]} == {"affirming"}
    gpu = claims["submods"]["gpu0"]
    assert gpu["ear_trustworthiness_vector"]["executables"] == 3
    assert gpu["ear_trustworthiness_vector"]["instance-identity"] == 2
    body = _body(nodes.running, answer.place.index)
    assert [claims["submods"][name]["sealgate"]["device"] for name in names[1:]] == body["devices"]
    assert (gpu["sealgate"]["architecture"], gpu["sealgate"]["mode"]) == ("hopper", "ppcie")
    text = json.dumps(claims)
    assert not any(device.pdi.hex() in text for device in nodes.one)
