"""The same story under a paravisor: bound by the vTPM's nonce, accepted where the profile and PCRs say so."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attest.azure.verify import hardware_of
from attest.errors import AttestError
from attest.evidence import AzureEvidence
from clients.cli.main import Doors, main
from kbs.model.refusal import Refused
from kbs.release.fleet import decode_evidence
from kbs.release.release import release
from kbs.rpc.status import reason_of
from kbs.serve.wiring import Running
from tests.flow.test_release import digests_of
from tests.flow.test_tdx import failed, newest
from tests.makers import azure
from tests.makers.azure_guest import azure_guest
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


def get(made: AzureSite, port: int, platform: str, folder: Path, *more: str, pcrs: Any = None) -> int:
    """`sealgate keys` in such a guest."""
    site = made.site
    where = ["--trust", str(site.trust), "--broker", f"127.0.0.1:{port}", "--purpose", PURPOSE, "--asset", ASSET]
    with azure_guest(made, platform, pcrs) as tee:
        doors = Doors(now=dt.datetime.now(dt.UTC), simulated=True, tee=tee)
        return main(["keys", "get", *where, *(more or ("--dir", str(folder))), "--unsafe-write-keys-to-disk"], doors)


@pytest.mark.parametrize("platform", ["azure-snp", "azure-tdx"])
async def test_a_node_collects_its_evidence_and_gets_its_key(
    site: SimulatedSite, tmp_path: Path, platform: str
) -> None:
    made = await azure_site(site)
    async with made.tdx.serve() as (running, listeners):
        assert await asyncio.to_thread(get, made, listeners.workload_port, platform, tmp_path) == 0
        _, body = newest(running)
    assert (body["type"], body["platform"]) == ("release.granted", platform)
    assert (tmp_path / f"{ASSET.rpartition('/')[2]}.key").read_bytes() == site.key.seed


async def test_a_node_that_booted_something_else_gets_none(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await azure_site(site)
    async with made.tdx.serve() as (running, listeners):
        asked = await asyncio.to_thread(
            lambda: get(made, listeners.workload_port, "azure-snp", tmp_path, pcrs={4: bytes(32)})
        )
        assert "REFERENCE_VALUE" in failed(running)
    assert asked == 3
    assert "ACCESS_DENIED" in capsys.readouterr().err


async def test_a_lease_is_renewed_under_the_same_paravisor(site: SimulatedSite, tmp_path: Path) -> None:
    made, lease = await azure_site(site), tmp_path / "lease"

    def renew(port: int) -> int:
        where = ["--trust", str(site.trust), "--broker", f"127.0.0.1:{port}", "--lease", str(lease)]
        with azure_guest(made, "azure-snp") as tee:
            return main(["keys", "renew", *where], Doors(now=dt.datetime.now(dt.UTC), simulated=True, tee=tee))

    async with made.tdx.serve() as (_, listeners):
        port = listeners.workload_port
        more = ("--dir", str(tmp_path / "keys"), "--lease", str(lease))
        assert await asyncio.to_thread(get, made, port, "azure-snp", tmp_path, *more) == 0
        assert await asyncio.to_thread(renew, port) == 0
