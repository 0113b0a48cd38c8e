"""The same story under a paravisor: bound by the vTPM's nonce, accepted where the profile and PCRs say so."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from attest.azure.verify import hardware_of
from attest.errors import AttestError
from attest.evidence import AzureEvidence
from clients.transport import connect
from clients.trust import read_trust
from clients.workload.keys import get_keys
from kbs.model.refusal import Refused
from kbs.release.fleet import decode_evidence
from kbs.release.release import release
from kbs.rpc.status import reason_of
from kbs.serve.wiring import Running
from tests.flow.test_release import digests_of
from tests.flow.test_tdx import failed, newest
from tests.makers import azure
from tests.makers.azure_site import PARAVISOR, AzureSite, azure_site
from tests.makers.site import ASSET, PURPOSE, SimulatedSite
from tests.makers.tdx_site import tdx_site
from tests.makers.workload import Workload, build


def ask(made: AzureSite, running: Running, collect: Callable[[bytes], AzureEvidence]) -> Workload:
    return build(made.site.chip, running.broker.challenges, running.broker.clock(), collect=collect)


@pytest.mark.parametrize("platform", ["azure-snp", "azure-tdx"])
async def test_a_guest_gets_its_key_and_the_entry_says_which(site: SimulatedSite, platform: str) -> None:
    made = await azure_site(site)
    collect = made.on_snp if platform == "azure-snp" else made.on_tdx
    with made.tdx.open() as running:
        await running.door.commit([running.joined])
        workload = ask(made, running, collect)
        answer = await release(workload.ask, running.broker)
        assert workload.open(answer) == [site.key.seed]
        index, body = newest(running)
        assert (body["type"], body["platform"], body["simulated"]) == ("release.granted", platform, True)
        documents = {digest: running.reader.document(index, digest) for digest in digests_of(body)}
        assert all(hashlib.sha256(data or b"").digest() == digest for digest, data in documents.items())
        evidence = documents[bytes.fromhex(body["evidence_digest"])]
        assert evidence is not None
        decoded = decode_evidence(evidence)
        assert decoded is not None
        assert decoded[0] == workload.ask.evidence
        assert hardware_of(decoded[0]) != decoded[0]
        assert await release(workload.ask, running.broker) == answer  # a repeat is answered as it was


async def _refusal(workload: Workload, running: Running) -> str:
    """The coarse reason that the caller is told."""
    try:
        await release(workload.ask, running.broker)
    except AttestError as error:
        return reason_of(error)
    except Refused as refused:
        return refused.reason
    return "granted"


# name: (what is changed, the coarse reason, a check that failed in the decision, if there was one)
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "another boot loader": ({"pcrs": [bytes(32), *azure.PCR_VALUES[1:]]}, "", ""),
    "PCR 4 of another image": (
        {"pcrs": [*azure.PCR_VALUES[:4], bytes(32), *azure.PCR_VALUES[5:]]}, "ACCESS_DENIED", "REFERENCE_VALUE",
    ),
    "PCRs that decide nothing": ({"selected": (0, 1, 2)}, "ACCESS_DENIED", "REFERENCE_VALUE"),
    "another paravisor": ({"measurement": PARAVISOR[::-1]}, "ACCESS_DENIED", "POLICY_MEASUREMENT"),
    "no nonce": ({"nonce": b""}, "BINDING_MISMATCH", ""),
    "an old nonce": ({"nonce": bytes(32)}, "BINDING_MISMATCH", ""),
    "another vTPM's key": ({"key": azure.key_of(3_072)}, "EVIDENCE_SIGNATURE_INVALID", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_another_guest_does_not(site: SimulatedSite, case: str) -> None:
    changed, reason, check = REFUSED[case]
    made = await azure_site(site)
    with made.tdx.open() as running:
        workload = ask(made, running, lambda bound: made.on_snp(bound, **changed))
        if not reason:  # PCR 0 is not pinned, so that what it holds is no reason to refuse
            assert workload.open(await release(workload.ask, running.broker)) == [site.key.seed]
            return
        assert await _refusal(workload, running) == reason
        assert not check or check in failed(running)


@pytest.mark.parametrize("platform", ["azure-snp", "azure-tdx"])
async def test_a_profile_that_does_not_name_it_refuses_it(site: SimulatedSite, platform: str) -> None:
    made = AzureSite(tdx=await tdx_site(site))
    with made.tdx.open() as running:
        workload = ask(made, running, made.on_snp if platform == "azure-snp" else made.on_tdx)
        with pytest.raises(Refused) as caught:
            await release(workload.ask, running.broker)
        assert caught.value.reason == "ACCESS_DENIED"
        assert "POLICY_PLATFORM" in failed(running)


class _Guest:
    """The door to a guest under the paravisor."""

    simulated = True

    def __init__(self, made: AzureSite) -> None:
        self._made = made

    def collect(self, report_data: bytes) -> AzureEvidence:
        return self._made.on_snp(report_data)


async def test_over_the_wire(site: SimulatedSite) -> None:
    made = await azure_site(site)
    trust = read_trust(site.trust, simulated=True)

    def get(port: int) -> bytes:
        with connect(f"127.0.0.1:{port}", trust.broker_ca) as channel:
            return get_keys(channel, trust, _Guest(made), PURPOSE, [ASSET]).keys[0].secret

    async with made.tdx.serve() as (_, listeners):
        assert await asyncio.to_thread(get, listeners.workload_port) == site.key.seed
