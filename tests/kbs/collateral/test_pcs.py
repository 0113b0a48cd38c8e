"""Intel's collateral over real HTTP, from a PCS and a PCCS that lie, break and hang: nothing wrong is ever accepted."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from attest.errors import AttestError, NotAuthentic, NotBound
from attest.evidence import TdxEvidence
from kbs.model.collateral import Piece
from kbs.model.refusal import Unavailable
from tests.kbs.collateral.built import DATA, DAY, HOUR, NOW, built
from tests.kbs.collateral.test_kds import cause
from tests.makers import intel as maker
from tests.makers.pcs import FakePcs
from tests.makers.vendor_http import Answer, VendorServer

INTEL = maker.mint(now=NOW)
OTHER = maker.mint(now=NOW).but("root", key=maker.key("another root"))
TD = INTEL.platform()
NAMES = ["intel/pckcrl/platform", "intel/qe/TDX", "intel/rootcrl", "intel/tcb/TDX/90c06f000000"]


def quoted(platform: maker.Platform = TD, data: bytes = DATA, **fields: Any) -> TdxEvidence:
    return TdxEvidence(quote=platform.quote(data, **fields))


async def test_a_quote_gets_all_it_needs_once(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        first, used = await it.verify(quoted())
        assert first.claims.product == maker.FMSPC.hex()
        assert sorted(server.asked.values()) == [1, 1, 1, 1]
        assert it.cache.names() == NAMES
        document = json.loads(used.blobs[0])
        assert set(document["tdx"][0]) >= {"tcb_info", "qe_identity", "pck_crl", "root_ca_crl"}
        it.service.stored(used)
        for platform in (TD, INTEL.platform(number=2), INTEL.platform(number=3)):
            again = await it.verify(quoted(platform))
            assert (again[1].digest, again[1].blobs) == (used.digest, ())
        assert sum(server.asked.values()) == 4


async def test_the_other_ca_needs_another_list(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(quoted())
        await it.verify(quoted(INTEL.platform("processor")))
        assert sum(server.asked.values()) == 5


async def test_a_pccs_writes_lists_in_hexadecimal(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL, pccs=True)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(quoted())


async def test_it_survives_a_restart_and_travels_as_pieces(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server:
        async with built(tmp_path / "s.db", pcs, server) as it:
            await it.verify(quoted())
            pieces = it.service.pieces(it.clock.now)
        server.fault = lambda path: Answer(status=500)
        async with built(tmp_path / "s.db", pcs, server) as it:
            await it.verify(quoted())
        async with built(tmp_path / "cold.db", pcs, server) as it:
            assert {outcome for _, outcome in await it.service.take(pieces, it.clock.now)} == {"kept"}
            await it.verify(quoted())
            wrong = [Piece(name=p.name, data=p.data[:-1], fetched_at=0, good_until=0) for p in pieces]
            assert not {"kept", "known"} & {outcome for _, outcome in await it.service.take(wrong, it.clock.now)}


SIGNERS = {"TCB-Info-Issuer-Chain": quote(INTEL.signer.pem + INTEL.root.pem)}
TCB = INTEL.tcb_info()


def tcb(body: bytes | None = None, headers: dict[str, str] | None = None, **changes: Any) -> Answer:
    made = INTEL.sign("tcbInfo", INTEL.tcb_info(**changes)) if body is None else body
    return Answer(body=made, headers=SIGNERS if headers is None else headers)


OLD: dict[str, Any] = {"issueDate": "2026-01-01T00:00:00Z", "nextUpdate": "2026-01-31T00:00:00Z"}
NEXT: dict[str, Any] = {"issueDate": "2026-06-02T00:00:00Z", "nextUpdate": "2026-07-01T00:00:00Z"}
# name: (path that is answered wrong, what it is answered, part of the chain of causes)
LIES: dict[str, tuple[str, Callable[[], Answer], str]] = {
    "no issuer chain": ("/tcb?", lambda: tcb(headers={}), "COLLATERAL_REFUSED <- COLLATERAL_CHAIN"),
    "the chain of v3's header": (
        "/tcb?",
        lambda: tcb(headers={"SGX-TCB-Info-Issuer-Chain": SIGNERS["TCB-Info-Issuer-Chain"]}),
        "COLLATERAL_CHAIN",
    ),
    "an issuer chain of another root": (
        "/tcb?",
        lambda: tcb(headers={"TCB-Info-Issuer-Chain": quote(OTHER.signer.pem + OTHER.root.pem)}),
        "COLLATERAL_REFUSED",
    ),
    "an issuer chain of a CA": (
        "/tcb?",
        lambda: tcb(headers={"TCB-Info-Issuer-Chain": quote(INTEL.ca("platform").pem + INTEL.root.pem)}),
        "COLLATERAL_CHAIN",
    ),
    "TCB info that nobody signed": (
        "/tcb?",
        lambda: tcb(INTEL.sign("tcbInfo", TCB).replace(b'"UpToDate"', b'"Revoked" ', 1)),
        "COLLATERAL_REFUSED <- TCBINFO",
    ),
    "TCB info by a CA": ("/tcb?", lambda: tcb(INTEL.sign("tcbInfo", TCB, by="platform")), "TCBINFO_SIGNATURE"),
    "TCB info of another family": ("/tcb?", lambda: tcb(fmspc="01" * 6), "COLLATERAL_REFUSED <- TCBINFO_MISMATCH"),
    "TCB info for SGX": (
        "/tcb?",
        lambda: tcb(INTEL.sign("tcbInfo", INTEL.tcb_info("SGX"))),
        "COLLATERAL_REFUSED <- TCBINFO_MISMATCH",
    ),
    "old TCB info": ("/tcb?", lambda: tcb(**OLD), "COLLATERAL_REFUSED <- COLLATERAL_EXPIRED"),
    "TCB info of tomorrow": ("/tcb?", lambda: tcb(**NEXT), "COLLATERAL_REFUSED <- COLLATERAL_NOT_YET_VALID"),
    "a key twice": (
        "/tcb?",
        lambda: tcb(INTEL.sign("tcbInfo", b'{"id":"TDX","id":"TDX"}')),
        "COLLATERAL_REFUSED <- JSON_DUPLICATE_KEY",
    ),
    "junk": ("/tcb?", lambda: tcb(b"<html>"), "COLLATERAL_REFUSED <- TCBINFO_FORMAT"),
    "another enclave's identity": (
        "/qe/identity",
        lambda: Answer(
            body=INTEL.sign("enclaveIdentity", INTEL.qe_identity("SGX")),
            headers={"SGX-Enclave-Identity-Issuer-Chain": SIGNERS["TCB-Info-Issuer-Chain"]},
        ),
        "COLLATERAL_REFUSED <- QEID_MISMATCH",
    ),
    "the other CA's list": (
        "/pckcrl",
        lambda: Answer(
            body=INTEL.crl("processor"),
            headers={"SGX-PCK-CRL-Issuer-Chain": quote(INTEL.ca("processor").pem + INTEL.root.pem)},
        ),
        "COLLATERAL_REFUSED <- COLLATERAL_CHAIN",
    ),
    "a list by another in its name": (
        "/pckcrl",
        lambda: Answer(
            body=INTEL.crl("platform", signed_by="processor"),
            headers={"SGX-PCK-CRL-Issuer-Chain": quote(INTEL.ca("platform").pem + INTEL.root.pem)},
        ),
        "COLLATERAL_REFUSED <- CRL_SIGNATURE",
    ),
    "a root list by a CA": (
        "rootcacrl",
        lambda: Answer(body=INTEL.crl("platform")),
        "COLLATERAL_REFUSED <- CRL_ISSUER",
    ),
    "an old root list": (
        "rootcacrl",
        lambda: Answer(body=INTEL.crl("root", start=NOW - dt.timedelta(9), end=NOW - dt.timedelta(1))),
        "COLLATERAL_REFUSED <- CRL_EXPIRED",
    ),
    "an empty root list": ("rootcacrl", Answer, "COLLATERAL_REFUSED <- CRL_MALFORMED"),
    "half a body": ("/tcb?", lambda: Answer(body=b"x" * 1_000, half=True), "OUTBOUND_INCOMPLETE"),
    "a hang": ("/pckcrl", lambda: Answer(hang=True), "OUTBOUND_TIMEOUT"),
    "an error": ("/tcb?", lambda: Answer(status=500), "SOURCE_STATUS"),
    "a refusal": ("/tcb?", lambda: Answer(status=429, headers={"Retry-After": "9"}), "SOURCE_STATUS"),
    "gone": ("/tcb?", lambda: Answer(status=410), "SOURCE_UNKNOWN"),
    "too much": ("/tcb?", lambda: Answer(body=bytes(1 << 20)), "OUTBOUND_TOO_LARGE"),
}


@pytest.mark.parametrize("name", LIES)
async def test_what_the_service_has_wrong_is_never_accepted(tmp_path: Path, name: str) -> None:
    where, answer, told = LIES[name]
    kept = {"/tcb?": "intel/tcb", "/qe/identity": "intel/qe", "/pckcrl": "intel/pckcrl", "rootcacrl": "intel/rootcrl"}
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server:
        async with built(tmp_path / "s.db", pcs, server, seconds=1 if name == "a hang" else 20) as it:
            server.fault = lambda path: answer() if where in path else None
            with pytest.raises(Unavailable, match="COLLATERAL_UNAVAILABLE") as failure:
                await it.verify(quoted())
            assert told in cause(failure.value)
            assert not it.cache.names(kept[where])
            server.fault = lambda path: None
            it.clock.now += 10 * 60_000
            await it.verify(quoted())
        await server.idle()


# name: evidence that fails before anything is fetched, and as what
BEFORE: dict[str, tuple[Callable[[], TdxEvidence], str]] = {
    "a quote for something else": (lambda: quoted(data=bytes(64)), "REPORT_DATA_MISMATCH"),
    "a quote that another key signed": (lambda: quoted(signer=maker.key("stranger")), "QUOTE_SIGNATURE"),
    "a quote of another vendor's": (lambda: quoted(OTHER.platform()), "PCK_ROOT_NOT_PINNED"),
    "half a quote": (lambda: TdxEvidence(quote=quoted().quote[:700]), ""),
}


@pytest.mark.parametrize("name", BEFORE)
async def test_nothing_is_fetched_for_what_fails_without_it(tmp_path: Path, name: str) -> None:
    evidence, check = BEFORE[name]
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        with pytest.raises(AttestError) as failure:
            await it.verify(evidence())
        assert check in failure.value.check
        assert not server.asked


async def test_many_at_once_make_one_fetch_of_each_piece(tmp_path: Path) -> None:
    """Platforms of one family, each with a quote of its own; a thousand of them are measured."""
    pcs = FakePcs(INTEL)
    fleet = [quoted(INTEL.platform(number=number)) for number in range(20)]
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server, seconds=20) as it:
        server.handler = lambda path, headers: late(pcs(path, headers))
        results = await asyncio.gather(*(it.verify(fleet[n % 20]) for n in range(150)))
        assert len({used.digest for _, used in results}) == 1
        assert sorted(server.asked.values()) == [1, 1, 1, 1]


def late(answer: Answer) -> Answer:
    """The same, late enough for all to be waiting."""
    return Answer(status=answer.status, body=answer.body, headers=answer.headers, slow_s=0.2)


async def test_a_tcb_recovery_takes_effect_and_is_not_taken_back(tmp_path: Path) -> None:
    """A service that gives out an older evaluation with fresh dates does not undo what is known."""
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        before = await it.verify(quoted())
        assert before[0].claims.tdx is not None
        assert before[0].claims.tdx.tcb_verdict.status.name == "UpToDate"
        higher = tuple(svn + 1 for svn in maker.COMPONENTS)
        recovered = [INTEL.level(sgx=higher), INTEL.level("OutOfDate")]
        later = {"nextUpdate": "2026-07-05T00:00:00Z", "tcbEvaluationDataNumber": 21}
        pcs.tcb, pcs.identity = {**later, "tcbLevels": recovered}, later
        changed = await it.service.renew(it.clock.now, at_once=True)
        assert [name for name in changed if not name.startswith("intel-early/")] == [
            "intel/qe/TDX",
            "intel/tcb/TDX/90c06f000000",
        ]
        after = await it.verify(quoted())
        assert after[0].claims.tdx is not None
        assert after[0].claims.tdx.tcb_verdict.status.name == "OutOfDate"
        pcs.tcb = pcs.identity = {"nextUpdate": "2026-07-30T00:00:00Z", "tcbEvaluationDataNumber": 20}
        changed = await it.service.renew(it.clock.now, at_once=True)
        assert [name for name in changed if not name.startswith("intel-early/")] == []
        again = await it.verify(quoted())
        assert again[0].claims.tdx is not None
        assert again[0].claims.tdx.tcb_verdict.status.name == "OutOfDate"


async def test_stale_is_used_until_its_end_and_never_beyond(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(quoted())
        server.fault = lambda path: Answer(status=500)
        it.clock.now += 29 * DAY - 1_000
        await it.service.renew(it.clock.now)
        await it.verify(quoted())
        it.clock.now += 2_000
        with pytest.raises((Unavailable, NotAuthentic)):
            await it.verify(quoted())


async def test_where_to_ask_is_not_the_evidences_to_say(tmp_path: Path) -> None:
    """The quote's certificates name Intel's distribution points; only what is configured is ever asked."""
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(quoted())
        assert all(path.startswith(("/tdx/certification/v4/", "/sgx/certification/v4/")) for path in server.asked)
        with pytest.raises(NotBound):
            await it.service.gather(
                quoted(data=bytes(64)),
                NotAuthentic("COLLATERAL_MISSING", "x", expected="y", got="z"),
                report_data=DATA,
                now=it.clock.now,
            )


EARLY = ["intel-early/qe/TDX", "intel-early/recoveries/TDX", "intel-early/tcb/TDX/90c06f000000"]


def _announced(pcs: FakePcs) -> None:
    """Intel has announced evaluation 21, which raises every level by one."""
    higher = tuple(svn + 1 for svn in maker.COMPONENTS)
    pcs.early_tcb = {
        "tcbEvaluationDataNumber": 21,
        "tcbLevels": [INTEL.level(sgx=higher), INTEL.level("OutOfDate", advisories=["INTEL-SA-09999"])],
    }
    pcs.early_identity = {"tcbEvaluationDataNumber": 21}
    pcs.events = {20: "2025-08-12T00:00:00Z", 21: "2026-05-12T00:00:00Z"}


async def test_what_is_announced_lies_apart_and_decides_nothing(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    _announced(pcs)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(quoted())
        assert it.service.foretell(quoted(), it.clock.now) is None
        await it.service.renew(it.clock.now)
        assert it.cache.names("intel-early/") == EARLY
        found = it.service.foretell(quoted(), it.clock.now)
        assert found is not None
        event = int(dt.datetime(2026, 5, 12, tzinfo=dt.UTC).timestamp() * 1_000)
        assert (found.coming.family, found.coming.evaluation, found.coming.event) == ("TDX 90c06f000000", 21, event)
        verified, used = await it.verify(quoted(INTEL.platform(number=2)))  # as ever
        assert verified.claims.tdx is not None
        assert verified.claims.tdx.tcb_verdict.status.name == "UpToDate"
        assert not any(b"INTEL-SA-09999" in blob for blob in used.blobs)
        assert all(not each.name.startswith("intel-early/") for each in it.service.ends())
        pieces = it.service.pieces(it.clock.now)
        it.clock.now += HOUR
        asked = sum(server.asked.values())
        await it.service.renew(it.clock.now)
        assert sum(server.asked.values()) == asked  # once a day, like what it stands beside
        async with built(tmp_path / "cold.db", pcs, server) as cold:
            outcomes = dict(await cold.service.take(pieces, cold.clock.now))
            assert {outcomes[name] for name in EARLY} == {"kept"}
            assert cold.service.foretell(quoted(), cold.clock.now) is not None


async def test_nothing_is_foretold_where_the_standard_is_as_new(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(quoted())
        await it.service.renew(it.clock.now)
        assert it.cache.names("intel-early/") == EARLY
        assert it.service.foretell(quoted(), it.clock.now) is None


async def test_a_pccs_without_announcements_is_not_asked_all_the_time(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        server.fault = lambda path: Answer(status=404) if "early" in path or "numbers" in path else None
        await it.verify(quoted())
        for _ in range(5):
            await it.service.renew(it.clock.now)
            it.clock.now += HOUR
        assert sum(count for path, count in server.asked.items() if "early" in path or "numbers" in path) == 3
        await it.service.renew(it.clock.now + 2 * HOUR)
        assert sum(count for path, count in server.asked.items() if "early" in path or "numbers" in path) == 6


FALSE: dict[str, Callable[[FakePcs], None]] = {
    "another family's": lambda pcs: pcs.early_tcb.update(fmspc="00806F050000") if pcs.early_tcb else None,
    "an enclave's": lambda pcs: pcs.early_tcb.update(id="SGX") if pcs.early_tcb else None,
    "one that has ended": lambda pcs: (
        pcs.early_tcb.update(nextUpdate="2026-05-31T00:00:00Z") if pcs.early_tcb else None
    ),
    "another root's": lambda pcs: setattr(pcs, "signers", lambda: quote(OTHER.signer.pem + OTHER.root.pem)),
}


@pytest.mark.parametrize("lie", FALSE)
async def test_a_false_announcement_is_none(tmp_path: Path, lie: str) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(quoted())
        _announced(pcs)
        FALSE[lie](pcs)
        await it.service.renew(it.clock.now)
        assert "intel-early/tcb/TDX/90c06f000000" not in it.cache.names()
        assert it.service.foretell(quoted(), it.clock.now) is None
