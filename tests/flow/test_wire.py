"""Over the wire: real server, real client, TLS, and everything that may come in or out of either."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sealgate.v1.decisions_pb2 import ExplainDecisionRequest, ExplainDecisionResponse
from sealgate.v1.key_release_pb2 import ReleaseKeysResponse

from attest.evidence import SnpEvidence
from attest.tlog.entry import canonical
from clients.errors import ClientError, Denied, NotTrusted, Unavailable, Usage
from clients.operator.explain import explain, to_document, to_text
from clients.operator.refvalue import draft, warning
from clients.transport import Channel, Identity, connect
from clients.trust import Trust, read_trust
from clients.workload.keys import get_keys
from kbs.catalog.documents import read_references
from kbs.catalog.register import put
from kbs.model.refusal import Refused
from kbs.rpc.handler import check_tls
from tests.makers import pki
from tests.makers import site as maker
from tests.makers.site import ASSET, MEASUREMENT, PURPOSE, SimulatedSite
from tests.measure.product_api import methods


class FakeTee:
    """The site's chip behind the client's door."""

    simulated = True

    def __init__(self, site: SimulatedSite, measurement: bytes = MEASUREMENT) -> None:
        self._site = site
        self._measurement = measurement

    def collect(self, report_data: bytes) -> SnpEvidence:
        return self._site.chip.evidence(report_data, measurement=self._measurement)


def _get(site: SimulatedSite, port: int, channel_type: Callable[[Channel], Any] = lambda c: c, **tee: Any) -> Any:
    trust = read_trust(site.trust, simulated=True)
    with connect(f"127.0.0.1:{port}", trust.broker_ca) as channel:
        return get_keys(channel_type(channel), trust, FakeTee(site, **tee), PURPOSE, [ASSET])


async def test_a_node_gets_its_key(site: SimulatedSite) -> None:
    async with site.serve() as (_, listeners):
        released = await asyncio.to_thread(_get, site, listeners.workload_port)
    assert [k.secret for k in released.keys] == [site.key.seed]
    assert site.key.seed.hex() not in repr(released)


class FalseBroker:
    """A broker that changes one thing in its reply."""

    def __init__(self, channel: Channel, change: Callable[[ReleaseKeysResponse], None]) -> None:
        self._channel = channel
        self._change = change

    def call(self, method: str, request: Any, response: type[Any]) -> Any:
        answer = self._channel.call(method, request, response)
        if isinstance(answer, ReleaseKeysResponse):
            self._change(answer)
        return answer


def _flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _rename(r: ReleaseKeysResponse) -> None:
    r.keys[0].key_name = r.keys[0].key_name.replace("llm", "abc")


def _swap_receipt(r: ReleaseKeysResponse) -> None:
    r.receipt.leaf = r.receipt.leaf.replace(b"release.granted", b"release.refused")


LIES: dict[str, tuple[Callable[[ReleaseKeysResponse], Any], str]] = {
    "another key's name": (_rename, "KEY_NAME"),
    "wrapped bytes": (lambda r: setattr(r.keys[0], "wrapped", _flip(r.keys[0].wrapped)), "RECEIPT_KEYS"),
    "content digest": (lambda r: setattr(r.keys[0], "content_digest", bytes(32)), "RECEIPT_KEYS"),
    "lease": (lambda r: setattr(r.lease, "lease_id", "0" * 32), "RECEIPT_KEYS"),
    "no key": (lambda r: r.ClearField("keys"), "KEY_NAME"),
    "leaf of another type": (_swap_receipt, "PROOF_ROOT"),
    "no leaf": (lambda r: setattr(r.receipt, "leaf", b""), "PROOF_FORMAT"),
    "another index": (lambda r: setattr(r.receipt, "index", 0), "PROOF_"),
    "checkpoint's signature": (lambda r: setattr(r.receipt, "checkpoint", _flip_signature(r)), "NOTE_"),
    "no checkpoint": (lambda r: setattr(r.receipt, "checkpoint", b""), "NOTE_"),
}


def _flip_signature(r: ReleaseKeysResponse) -> bytes:
    note = bytearray(r.receipt.checkpoint)
    note[-20] = ord("A") if note[-20] != ord("A") else ord("B")
    return bytes(note)


@pytest.mark.parametrize("name", LIES)
async def test_no_key_is_opened_for_a_false_broker(
    site: SimulatedSite, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, check = LIES[name]
    opened: list[bytes] = []
    monkeypatch.setattr("clients.workload.recipient.RecipientKey.open", lambda _, w, info: opened.append(w))
    async with site.serve() as (_, listeners):
        with pytest.raises(NotTrusted) as refused:
            await asyncio.to_thread(_get, site, listeners.workload_port, lambda c: FalseBroker(c, change))
    assert refused.value.check.startswith(check)
    assert opened == []


async def test_a_replayed_reply_opens_nothing(site: SimulatedSite) -> None:
    kept: list[ReleaseKeysResponse] = []

    def replay(response: ReleaseKeysResponse) -> None:
        if kept:
            response.CopyFrom(kept[0])
        kept.append(ReleaseKeysResponse.FromString(response.SerializeToString()))

    async with site.serve() as (_, listeners):
        await asyncio.to_thread(_get, site, listeners.workload_port, lambda c: FalseBroker(c, replay))
        with pytest.raises(NotTrusted, match="RECEIPT_BOUND"):
            await asyncio.to_thread(_get, site, listeners.workload_port, lambda c: FalseBroker(c, replay))


async def test_a_log_key_that_is_not_listed(site: SimulatedSite) -> None:
    trust = read_trust(site.trust, simulated=True)
    name = trust.log_keys[0].name
    other = dataclasses.replace(trust.log_keys[0], key=bytes.fromhex("3d" * 31 + "0a"))
    async with site.serve() as (_, listeners):

        def get(changed: Trust) -> None:
            with connect(f"127.0.0.1:{listeners.workload_port}", changed.broker_ca) as channel:
                get_keys(channel, changed, FakeTee(site), PURPOSE, [ASSET])

        with pytest.raises(NotTrusted, match="NOTE_"):
            await asyncio.to_thread(get, dataclasses.replace(trust, log_keys=(other,)))
        renamed = dataclasses.replace(trust.log_keys[0], name=name.replace("audit", "other"))
        with pytest.raises(NotTrusted, match="LOG_UNKNOWN"):
            await asyncio.to_thread(get, dataclasses.replace(trust, log_keys=(renamed,)))
        with pytest.raises(NotTrusted, match="ORIGIN"):
            await asyncio.to_thread(get, dataclasses.replace(trust, origin="other.example"))
        with pytest.raises(NotTrusted, match="SIMULATED"):
            await asyncio.to_thread(get, dataclasses.replace(trust, simulated=False))


async def test_a_broker_of_another_ca_is_not_talked_to(site: SimulatedSite) -> None:
    trust = read_trust(site.trust, simulated=True)
    other = dataclasses.replace(trust, broker_ca=site.people_ca.pem)
    async with site.serve() as (_, listeners):

        def get() -> None:
            with connect(f"127.0.0.1:{listeners.workload_port}", other.broker_ca) as channel:
                get_keys(channel, other, FakeTee(site), PURPOSE, [ASSET])

        with pytest.raises(Unavailable):
            await asyncio.to_thread(get)


def test_tls_before_1_3_is_refused() -> None:
    check_tls("TLSv1.3")
    for version in ("", "TLSv1.2", "TLSv1.1"):
        with pytest.raises(Refused, match="TLS_VERSION"):
            check_tls(version)


async def test_an_operator_is_told_why(site: SimulatedSite) -> None:
    identity = Identity(key=site.operator.key, chain=site.operator.certificate)
    async with site.serve() as (running, listeners):
        with pytest.raises(Denied) as denied:
            await asyncio.to_thread(_get, site, listeners.workload_port, measurement=bytes(48))
        assert denied.value.details.keys() == {"reason", "ticket"}
        ticket = denied.value.details["ticket"]
        before = running.reader.head().size

        def ask() -> ExplainDecisionResponse:
            with connect(f"127.0.0.1:{listeners.people_port}", site.broker_ca.pem, identity) as channel:
                return explain(channel, ticket)

        answer = await asyncio.to_thread(ask)
        assert running.reader.head().size == before + 1
    failed = [c["check"] for c in to_document(answer)["checks"] if c["outcome"] == "failed"]  # type: ignore[attr-defined]
    assert failed == ["POLICY_MEASUREMENT", "APPRAISAL", "REFERENCE_VALUE"]
    assert answer.nearest.differences[0].got == bytes(48).hex()
    assert "FAIL  POLICY_MEASUREMENT" in to_text(answer, everything=False)
    assert "skip" in to_text(answer, everything=True)


async def test_who_may_not_ask_why(site: SimulatedSite) -> None:
    now = site.vendor.now
    stranger = pki.issue(site.people_ca, "stranger", now, server=False)
    forged = pki.issue(pki.authority("people CA", now), "operator", now, server=False)
    cases = {
        "nobody": (None, "UNAVAILABLE"),
        "forged": (Identity(key=forged.key, chain=forged.certificate), "UNAVAILABLE"),
        "stranger": (Identity(key=stranger.key, chain=stranger.certificate), "CERTIFICATE_UNKNOWN"),
    }
    async with site.serve() as (_, listeners):
        for identity, reason in cases.values():

            def ask(identity: Identity | None = identity) -> None:
                with connect(f"127.0.0.1:{listeners.people_port}", site.broker_ca.pem, identity) as channel:
                    explain(channel, "00" * 16)

            with pytest.raises(ClientError, match=reason):
                await asyncio.to_thread(ask)


async def test_a_renewed_certificate_is_the_same_person(site: SimulatedSite) -> None:
    """A person is a key: another certificate of it will do, under whatever name; its name with another key will not."""
    key = load_pem_private_key(site.operator.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    renewed = pki.issue(site.people_ca, "renewed", site.vendor.now, server=False, key=key)
    other = pki.issue(site.people_ca, "operator", site.vendor.now, server=False)
    async with site.serve() as (_, listeners):
        for pair, reason in ((renewed, "NOT_FOUND"), (other, "CERTIFICATE_UNKNOWN")):

            def ask(pair: pki.Pair = pair) -> None:
                identity = Identity(key=pair.key, chain=pair.certificate)
                with connect(f"127.0.0.1:{listeners.people_port}", site.broker_ca.pem, identity) as channel:
                    explain(channel, "00" * 16)

            with pytest.raises(Denied, match=reason):
                await asyncio.to_thread(ask)


async def test_a_person_without_the_role_is_refused_in_the_log(site: SimulatedSite) -> None:
    """The refusal is a decision like any other: an entry, with a ticket that an operator can ask about."""
    auditor = pki.issue(site.people_ca, "auditor", site.vendor.now, server=False)
    document = {"id": "person-auditor", "key_sha256": auditor.key_digest.hex(), "roles": ["auditor"]}

    def ask(pair: pki.Pair, port: int, ticket: str) -> ExplainDecisionResponse:
        identity = Identity(key=pair.key, chain=pair.certificate)
        with connect(f"127.0.0.1:{port}", site.broker_ca.pem, identity) as channel:
            return explain(channel, ticket)

    async with site.serve() as (running, listeners):
        unit = put("principal", "principals/auditor", {**document, "tenants": ["acme"]}, entry=maker.draft_of(running))
        await maker.register(running, [unit])
        with pytest.raises(Denied) as denied:
            await asyncio.to_thread(ask, auditor, listeners.people_port, "00" * 16)
        assert denied.value.details.keys() == {"reason", "ticket"}
        told = await asyncio.to_thread(ask, site.operator, listeners.people_port, denied.value.details["ticket"])
    assert (told.entry_type, told.reason) == ("access.refused", "ACCESS_DENIED")
    assert {c.check for c in told.checks} == {"ROLE", "POLICY"}
    assert "ROLE" in to_text(told, everything=False)


async def test_a_ticket_that_does_not_exist(site: SimulatedSite) -> None:
    identity = Identity(key=site.operator.key, chain=site.operator.certificate)
    async with site.serve() as (_, listeners):

        def ask() -> None:
            with connect(f"127.0.0.1:{listeners.people_port}", site.broker_ca.pem, identity) as channel:
                channel.call(
                    "/sealgate.v1.Decisions/ExplainDecision",
                    ExplainDecisionRequest(ticket="00" * 16),
                    ExplainDecisionResponse,
                )

        with pytest.raises(Denied, match="NOT_FOUND"):
            await asyncio.to_thread(ask)


async def _answer(channel: grpc.aio.Channel, method: str, payload: bytes) -> tuple[grpc.StatusCode, str]:
    try:
        call: Any = channel.unary_unary(method)
        await call(payload, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


async def test_any_bytes_to_any_method_are_a_named_error(site: SimulatedSite, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(7)
    good = ReleaseKeysResponse(keys=[]).SerializeToString()
    payloads = [b"", b"\x00", b"\xff" * 64, good, rng.randbytes(1_000), bytes(300_000)]
    payloads += [rng.randbytes(n) for n in (3, 9, 27)]
    identity = (site.operator.key, site.operator.certificate)
    seen = set()
    async with site.serve() as (_, listeners):
        ports = {"workload": listeners.workload_port, "people": listeners.people_port}
        credentials = grpc.ssl_channel_credentials(site.broker_ca.pem, *identity)
        async with contextlib.AsyncExitStack() as held:
            channels = {
                where: await held.enter_async_context(grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials))
                for where, port in ports.items()
            }
            for payload in payloads:
                asked = [(channels[where], method) for where, method, _ in methods()]
                answers = await asyncio.gather(*(_answer(channel, method, payload) for channel, method in asked))
                for (_, method), (code, details) in zip(asked, answers, strict=True):
                    assert code not in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}, (method, payload)
                    assert "Traceback" not in details
                    seen.add(code)
        released = await asyncio.to_thread(_get, site, listeners.workload_port)
    assert released.keys
    assert {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED} <= seen
    assert not [r for r in caplog.records if r.name.startswith("sealgate")]


async def test_a_draft_from_a_refused_boot_says_where_it_is_from(site: SimulatedSite) -> None:
    identity = Identity(key=site.operator.key, chain=site.operator.certificate)
    async with site.serve() as (_, listeners):
        with pytest.raises(Denied) as denied:
            await asyncio.to_thread(_get, site, listeners.workload_port, measurement=b"\x07" * 48)

        def ask() -> ExplainDecisionResponse:
            with connect(f"127.0.0.1:{listeners.people_port}", site.broker_ca.pem, identity) as channel:
                return explain(channel, denied.value.details["ticket"])

        answer = await asyncio.to_thread(ask)
    name = "tenants/acme/referenceSets/next"
    document = draft(answer, name=name, value_name="one", covers=["kernel", "firmware"], shared=True)
    read = read_references(canonical({"v": "sealgate.reference-set/1", **document}))
    assert read.references.values[0].measurement == b"\x07" * 48
    assert read.shared
    assert "unproven machine" in warning(answer)
    assert "simulated" in warning(answer)
    for covers in ([], ["bios"]):
        with pytest.raises(Usage):
            draft(answer, name=name, value_name="one", covers=covers, shared=False)
