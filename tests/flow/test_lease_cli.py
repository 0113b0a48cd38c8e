"""`sealgate lease`, `keys renew`, `keys receipt` and `keys get --rehearse` against a real broker, as they are typed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sealgate.v1.key_release_pb2 import ReleaseKeysResponse, RenewLeaseResponse

from clients.cli.main import Doors, main
from clients.errors import NotTrusted, Usage
from clients.transport import Channel, connect
from clients.trust import read_trust
from clients.workload.held import HeldLease
from clients.workload.keys import Released, get_keys
from clients.workload.rehearse import rehearse
from clients.workload.renew import renew_lease
from kbs.catalog.register import put
from tests.flow.test_leases import published
from tests.flow.test_renewal import GUEST, record
from tests.makers import site as maker
from tests.makers.site import ASSET, MEASUREMENT, PURPOSE, SimulatedSite

Run = Callable[..., int]


class Guest:
    """One guest of the site's chip: its REPORT_ID stays the same as long as it runs."""

    simulated = True

    def __init__(self, site: SimulatedSite, *, guest: bytes = GUEST, measurement: bytes = MEASUREMENT) -> None:
        self._site, self._guest, self._measurement = site, guest, measurement

    def collect(self, report_data: bytes) -> Any:
        return self._site.chip.evidence(report_data, report_id=self._guest, measurement=self._measurement)


def run(site: SimulatedSite, *arguments: str, tee: Any = None) -> int:
    return main(arguments, Doors(now=datetime.now(UTC), simulated=True, tee=tee or Guest(site)))


def node(site: SimulatedSite, listeners: Any) -> list[str]:
    return ["--trust", str(site.trust), "--broker", f"127.0.0.1:{listeners.workload_port}"]


def person(site: SimulatedSite, listeners: Any) -> list[str]:
    identity = ["--key", str(site.directory / "operator.key"), "--cert", str(site.directory / "operator.pem")]
    return ["--trust", str(site.trust), "--broker", f"127.0.0.1:{listeners.people_port}", *identity]


def get(site: SimulatedSite, listeners: Any, lease: Path) -> int:
    where = ["--dir", str(lease.parent), "--lease", str(lease), "--unsafe-write-keys-to-disk"]
    return run(site, "keys", "get", *node(site, listeners), "--purpose", PURPOSE, "--asset", ASSET, *where)


async def test_the_life_of_a_lease(site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lease, proof = tmp_path / "lease.json", tmp_path / "grant.tlog-proof"
    async with site.serve() as (running, listeners):
        assert await asyncio.to_thread(get, site, listeners, lease) == 0
        assert lease.stat().st_mode & 0o777 == 0o600
        held = HeldLease.parse(lease.read_bytes(), "it")
        assert held.key.secret().hex() not in repr(held)
        at, me, them = node(site, listeners), person(site, listeners), site
        code = await asyncio.to_thread(run, site, "keys", "renew", "--lease", str(lease), *at, "--json")
        assert code == 0, capsys.readouterr()
        told = json.loads(capsys.readouterr().out)
        assert (told["lease"], record(running, held.lease_id).newest) == (held.lease_id, told["index"])
        assert HeldLease.parse(lease.read_bytes(), "it").end >= held.end
        await published(running)
        receipt = ["keys", "receipt", "--lease", str(lease), "--out", str(proof), *at]
        assert await asyncio.to_thread(run, site, *receipt) == 0
        name = f"tenants/acme/leases/{held.lease_id}"
        again = ["lease", "receipt", name, "--out", str(tmp_path / "again"), *me]
        assert await asyncio.to_thread(run, site, *again) == 0
        asked = ["lease", "list", "--tenant", "acme", "--asset", ASSET, "--active", *me]
        assert await asyncio.to_thread(run, site, *asked, "--expect", "1") == 0
        capsys.readouterr()
        assert await asyncio.to_thread(run, site, *asked, "--expect", "2", "--json") == 3
        out = json.loads(capsys.readouterr().out)
        assert (out["nodes"], [each["name"] for each in out["leases"]]) == (1, [name])
        assert await asyncio.to_thread(run, site, "lease", "show", name, *me) == 0
        assert "ACTIVE".lower() in capsys.readouterr().out
        lock = put("lock", "locks/1", {"name": "locks/1", "target": ASSET}, entry=maker.draft_of(running))
        await maker.register(running, [lock])
        assert await asyncio.to_thread(run, site, "keys", "renew", "--lease", str(lease), *at) == 3
        assert "REVOKED_BLOCKED" in capsys.readouterr().err
        assert await asyncio.to_thread(run, them, "lease", "show", name, "--json", *me) == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["state"], shown["reason"]) == ("ended", "REVOKED_BLOCKED")


async def test_a_lease_is_ended_by_command(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = tmp_path / "lease.json"
    async with site.serve() as (_, listeners):
        assert await asyncio.to_thread(get, site, listeners, lease) == 0
        name = f"tenants/acme/leases/{HeldLease.parse(lease.read_bytes(), 'it').lease_id}"
        end = ["lease", "end", name, "--reason", "attest-again", *person(site, listeners)]
        capsys.readouterr()
        assert await asyncio.to_thread(run, site, *end, "--dry-run") == 0
        assert "is active and could be ended" in capsys.readouterr().out
        assert await asyncio.to_thread(run, site, *end, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["name"], told["state"], told["reason"]) == (name, "ended", "REVOKED_REATTEST")
        assert await asyncio.to_thread(run, site, *end) == 3
        assert "LEASE_OVER" in capsys.readouterr().err
        renew = ["keys", "renew", "--lease", str(lease), *node(site, listeners)]
        assert await asyncio.to_thread(run, site, *renew) == 3
        assert "REVOKED_REATTEST" in capsys.readouterr().err
        (tmp_path / "again").mkdir()
        assert await asyncio.to_thread(get, site, listeners, tmp_path / "again" / "lease.json") == 0


async def test_the_other_port_is_named(site: SimulatedSite, capsys: pytest.CaptureFixture[str]) -> None:
    async with site.serve() as (_, listeners):
        mixed = [*node(site, listeners), *person(site, listeners)[4:]]  # a person at the workload port
        asked = ["lease", "list", "--tenant", "acme", *mixed]
        assert await asyncio.to_thread(run, site, *asked) == 2
        assert "has no /sealgate.v1.Leases/ListLeases: it may be a workload port" in capsys.readouterr().err
        where = person(site, listeners)[:4]  # a node at the people port, which shows no certificate
        asked = ["keys", "get", "--rehearse", *where, "--purpose", PURPOSE, "--asset", ASSET]
        assert await asyncio.to_thread(run, site, *asked) == 5
        assert "it closed the connection. Is it the workload port?" in capsys.readouterr().err


async def test_a_rehearsal_by_command(site: SimulatedSite, capsys: pytest.CaptureFixture[str]) -> None:
    async with site.serve() as (running, listeners):
        ask = ["keys", "get", "--rehearse", *node(site, listeners), "--purpose", PURPOSE, "--asset", ASSET]
        assert await asyncio.to_thread(run, site, *ask) == 0
        assert "it would be granted" in capsys.readouterr().err
        assert running.broker.leases.held("acme", "", [ASSET], 0) == frozenset()
        other = Guest(site, measurement=bytes(48))
        assert await asyncio.to_thread(lambda: run(site, *ask, tee=other)) == 3
        ticket = capsys.readouterr().err.rpartition("Ticket: ")[2].strip()
        assert await asyncio.to_thread(run, site, "explain", ticket, *person(site, listeners)) == 0
        text = capsys.readouterr().out
        assert "rehearsal" in text
        assert "POLICY_MEASUREMENT" in text
        assert "nearest reference value" in text


class Lying:
    """A broker that changes one thing in its reply to whoever renews or rehearses."""

    def __init__(self, channel: Channel, change: Callable[[Any], Any]) -> None:
        self._channel, self._change = channel, change

    def call(self, method: str, request: Any, response: type[Any]) -> Any:
        answer = self._channel.call(method, request, response)
        if isinstance(answer, RenewLeaseResponse | ReleaseKeysResponse):
            self._change(answer)
        return answer


def _later(answer: Any) -> None:
    answer.lease.end_time.seconds += 3_600


RENEWALS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a later end": (_later, "RECEIPT_LEASE_END"),
    "no receipt": (lambda a: a.ClearField("receipt"), "PROOF_FORMAT"),
    "an entry of another type": (lambda a: a.receipt.CopyFrom(GRANT["receipt"]), "RECEIPT_TYPE"),
}
GRANT: dict[str, Any] = {}


async def test_a_renewal_is_believed_from_its_receipt_alone(site: SimulatedSite, tmp_path: Path) -> None:
    lease = tmp_path / "lease.json"
    async with site.serve() as (running, listeners):
        await asyncio.to_thread(get, site, listeners, lease)
        held = HeldLease.parse(lease.read_bytes(), "it")
        trust = read_trust(site.trust, simulated=True)
        await published(running)
        from kbs.rpc.leases import receipt_message  # noqa: PLC0415

        GRANT["receipt"] = receipt_message(running.receipts.receipt(record(running, held.lease_id).granted), b"")

        def renew(change: Callable[[Any], Any]) -> Any:
            with connect(f"127.0.0.1:{listeners.workload_port}", trust.broker_ca) as channel:
                return renew_lease(Lying(channel, change), trust, Guest(site), held)  # type: ignore[arg-type]

        for change, check in RENEWALS.values():
            with pytest.raises(NotTrusted, match=check):
                await asyncio.to_thread(renew, change)

        def keys_in_a_rehearsal() -> Any:
            def add(answer: Any) -> None:
                answer.keys.add(key_name=f"{ASSET}/keyVersions/1")

            with connect(f"127.0.0.1:{listeners.workload_port}", trust.broker_ca) as channel:
                return rehearse(Lying(channel, add), trust, Guest(site), PURPOSE, [ASSET])  # type: ignore[arg-type]

        with pytest.raises(NotTrusted, match="REHEARSAL"):
            await asyncio.to_thread(keys_in_a_rehearsal)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"v": "sealgate.held-lease/1"}', b"\xff"])
def test_what_is_no_lease_file_is_a_sentence(data: bytes) -> None:
    with pytest.raises(Usage, match=r"lease\.json is not sealgate\.held-lease/1"):
        HeldLease.parse(data, "lease.json")


async def test_without_a_lease_file_there_is_no_holder_key(site: SimulatedSite) -> None:
    async with site.serve() as (running, listeners):
        trust = read_trust(site.trust, simulated=True)

        def plain() -> Released:
            with connect(f"127.0.0.1:{listeners.workload_port}", trust.broker_ca) as channel:
                return get_keys(channel, trust, Guest(site), PURPOSE, [ASSET])

        released = await asyncio.to_thread(plain)
        assert record(running, released.lease_id).holder.key == b""
