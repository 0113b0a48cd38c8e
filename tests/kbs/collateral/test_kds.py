"""AMD's collateral over real HTTP, from a service that lies, breaks and hangs: nothing wrong is ever accepted."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attest.errors import AttestError, NotAuthentic, NotBound
from attest.evidence import SnpEvidence
from kbs.collateral.errors import CollateralError
from kbs.collateral.library import Limits
from kbs.model.refusal import Unavailable
from tests.kbs.collateral.built import DATA, DAY, HOUR, NOW, NOW_MS, VENDOR, Clock, built
from tests.makers import amd
from tests.makers.kds import FakeKds, pem
from tests.makers.vendor_http import Answer, VendorServer

CHIP = VENDOR.chip(7)
OTHER = VENDOR.chip(8)
GENOA = amd.mint("Genoa", now=NOW)
TURIN = amd.mint("Turin", now=NOW)


def bare(chip: amd.Chip = CHIP, data: bytes = DATA, **fields: Any) -> SnpEvidence:
    """A report without any certificate."""
    return SnpEvidence(report=chip.report(data, **fields))


def cause(failure: Unavailable) -> str:
    """The whole chain of causes, as the operator's log has it."""
    told, error = [], failure.__cause__
    while error is not None:
        told.append(getattr(error, "check", type(error).__name__))
        error = error.__cause__
    return " <- ".join(told)


async def test_a_bare_report_gets_all_it_needs_once(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        first, used = await it.verify(bare())
        assert first.claims.platform_id == CHIP.chip_id
        assert sorted(server.asked.values()) == [1, 1, 1]
        again, same = await it.verify(bare(), DATA)
        assert (again.claims, same.digest) == (first.claims, used.digest)
        assert sum(server.asked.values()) == 3
        assert len(used.blobs) == 5  # the document, three certificates, one list
        it.service.stored(used)
        assert (await it.verify(bare()))[1].blobs == ()


@pytest.mark.parametrize("vendor", [VENDOR, GENOA, TURIN], ids=lambda v: v.product)
async def test_every_product_is_asked_for_in_its_own_way(tmp_path: Path, vendor: amd.Amd) -> None:
    chip = vendor.chip(3)
    kds = FakeKds(vendor, chip)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        assert (await it.verify(bare(chip)))[0].claims.product == vendor.product


async def test_version_2_names_no_product(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        assert await it.verify(SnpEvidence(report=CHIP.report(DATA, version=2)))


async def test_a_vlek_comes_with_the_evidence_and_needs_the_list(tmp_path: Path) -> None:
    chip = VENDOR.chip(kind="VLEK")
    kds = FakeKds(VENDOR)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        with pytest.raises(NotAuthentic, match="VEK_MISSING"):
            await it.verify(bare(chip))
        await it.verify(SnpEvidence(report=chip.report(DATA), certificates=chip.certificates))
        assert set(server.asked) == {"/vlek/v1/Milan/cert_chain", "/vlek/v1/Milan/crl"}


async def test_certificates_in_the_evidence_come_first(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR)  # knows no chip
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        await it.verify(CHIP.evidence(DATA))
        assert set(server.asked) == {"/vcek/v1/Milan/cert_chain", "/vcek/v1/Milan/crl"}


async def test_the_key_of_an_older_tcb_in_the_evidence_is_replaced(tmp_path: Path) -> None:
    """Hosts keep certificates of before a firmware update."""
    stale = VENDOR.chip(7, tcb={"bl": 3, "tee": 0, "snp": 20, "ucode": 200})
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        found = await it.verify(SnpEvidence(report=CHIP.report(DATA), certificates=stale.certificates))
        assert found[0].kept.chains[0].links[0].der == CHIP.certificate
        assert sum("SPL=" in path for path in server.asked) == 1


async def test_a_chip_that_the_service_does_not_know_is_not_endorsed(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, OTHER)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        for _ in range(3):
            with pytest.raises(NotAuthentic, match="VEK_MISSING"):
                await it.verify(bare())
        assert sum(count for path, count in server.asked.items() if "SPL" in path) == 1


# name: (path that is answered wrong, what it is answered, part of the chain of causes)
LIES: dict[str, tuple[str, Callable[[], Answer], str]] = {
    "another chip's VCEK": ("SPL=", lambda: Answer(body=OTHER.certificate), "COLLATERAL_REFUSED <- CHIP_ID_MISMATCH"),
    "the VCEK of another TCB": (
        "SPL=",
        lambda: Answer(body=VENDOR.chip(7, tcb={"bl": 4, "tee": 0, "snp": 24, "ucode": 218}).certificate),
        "COLLATERAL_REFUSED <- TCB_EXT_MISMATCH",
    ),
    "another product's VCEK": ("SPL=", lambda: Answer(body=GENOA.chip(7).certificate), "COLLATERAL_REFUSED"),
    "a VCEK by a stranger": (
        "SPL=",
        lambda: Answer(body=VENDOR.chip(7, issuer=GENOA.ask).certificate),
        "COLLATERAL_REFUSED",
    ),
    "a VCEK that has expired": (
        "SPL=",
        lambda: Answer(body=VENDOR.chip(7, not_after=NOW - dt.timedelta(days=1)).certificate),
        "COLLATERAL_REFUSED <- CERT_EXPIRED",
    ),
    "a VCEK with a byte too many": ("SPL=", lambda: Answer(body=CHIP.certificate + b"\0"), "CERT_MALFORMED"),
    "an empty VCEK": ("SPL=", Answer, "COLLATERAL_REFUSED <- CERT_MALFORMED"),
    "another product's issuers": (
        "cert_chain", lambda: Answer(body=pem(GENOA.ask.der, GENOA.ark.der)), "COLLATERAL_REFUSED"
    ),
    "issuers of the other kind": (
        "cert_chain", lambda: Answer(body=pem(VENDOR.asvk.der, VENDOR.ark.der)), "COLLATERAL_REFUSED <- VEK_TYPE"
    ),
    "issuers the wrong way round": (
        "cert_chain", lambda: Answer(body=pem(VENDOR.ark.der, VENDOR.ask.der)), "COLLATERAL_REFUSED"
    ),
    "one issuer": ("cert_chain", lambda: Answer(body=pem(VENDOR.ask.der)), "COLLATERAL_REFUSED <- CHAIN_INCOMPLETE"),
    "a list of another's": ("crl", lambda: Answer(body=GENOA.crl()), "COLLATERAL_REFUSED <- CRL_ISSUER"),
    "a list in its name by another": (
        "crl", lambda: Answer(body=VENDOR.crl(signer=GENOA.ark)), "COLLATERAL_REFUSED <- CRL_SIGNATURE"
    ),
    "a list that is stale": (
        "crl",
        lambda: Answer(body=VENDOR.crl(this_update=NOW - dt.timedelta(9), next_update=NOW - dt.timedelta(1))),
        "COLLATERAL_REFUSED <- CRL_EXPIRED",
    ),
    "a list of tomorrow": (
        "crl",
        lambda: Answer(body=VENDOR.crl(this_update=NOW + dt.timedelta(1), next_update=NOW + dt.timedelta(9))),
        "COLLATERAL_REFUSED <- CRL_NOT_YET_VALID",
    ),
    "a partial list": ("crl", lambda: Answer(body=VENDOR.crl(critical=True)), "COLLATERAL_REFUSED <- CRL_UNSUPPORTED"),
    "junk": ("crl", lambda: Answer(body=b"<html>"), "COLLATERAL_REFUSED <- CRL_MALFORMED"),
    "half a body": ("SPL=", lambda: Answer(body=CHIP.certificate, half=True), "OUTBOUND_INCOMPLETE"),
    "a hang": ("SPL=", lambda: Answer(hang=True), "OUTBOUND_TIMEOUT"),
    "an error": ("SPL=", lambda: Answer(status=500), "SOURCE_STATUS"),
    "a redirect": ("SPL=", lambda: Answer(status=302, headers={"Location": "/"}), "OUTBOUND_REDIRECT"),
    "too much": ("SPL=", lambda: Answer(body=bytes(1 << 20)), "OUTBOUND_TOO_LARGE"),
    "a refusal": ("SPL=", lambda: Answer(status=429, headers={"Retry-After": "30"}), "SOURCE_STATUS"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
async def test_what_the_service_has_wrong_is_never_accepted(tmp_path: Path, name: str) -> None:
    where, answer, told = LIES[name]
    threads = threading.active_count()
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server:
        async with built(tmp_path / "s.db", kds, server, seconds=1 if name == "a hang" else 20) as it:
            server.fault = lambda path: answer() if where in path else None
            with pytest.raises(Unavailable, match="COLLATERAL_UNAVAILABLE") as failure:
                await it.verify(bare())
            assert told in cause(failure.value)
            stored = it.cache.names()
            assert not [
                kept for kept in stored if {"SPL=": "vcek", "crl": "crl", "cert_chain": "issuers"}[where] in kept
            ]
            server.fault = lambda path: None
            it.clock.now += 10 * 60_000
            await it.verify(bare())  # and when it is right again, all is well
        await server.idle()
    assert threading.active_count() <= threads + 6  # asyncio's own pool, bounded; none for each failure


async def test_revoked_is_revoked(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    kds.crl = VENDOR.crl([0x10001])
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        with pytest.raises(NotAuthentic, match="CERT_REVOKED"):
            await it.verify(bare())


# name: evidence that fails before anything is fetched, and as what
BEFORE: dict[str, tuple[SnpEvidence, str]] = {
    "a report for something else": (bare(data=bytes(64)), "REPORT_DATA_MISMATCH"),
    "no chip": (bare(chip_id=bytes(64)), "CHIP_ID_MASKED"),
    "another product": (bare(GENOA.chip()), "CHAIN_ROOT_NOT_PINNED"),
    "an unknown product": (bare(cpuid=bytes([0x1A, 0x60, 1])), "PRODUCT_UNKNOWN"),
    "reserved bytes in the TCB": (bare(reported_tcb=bytes([4, 0, 1, 0, 0, 0, 24, 219])), "SNP_RESERVED"),
    "half a report": (SnpEvidence(report=bare().report[:600]), "SNP_LENGTH"),
    "too many certificates": (SnpEvidence(report=bare().report, certificates=(b"x",) * 40), "CERT_LIMIT"),
}


@pytest.mark.parametrize("name", BEFORE)
async def test_nothing_is_fetched_for_what_fails_without_it(tmp_path: Path, name: str) -> None:
    evidence, check = BEFORE[name]
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        with pytest.raises(AttestError) as failure:
            await it.verify(evidence)
        assert failure.value.check == check
        assert not server.asked


async def test_a_thousand_at_once_make_one_fetch(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server, seconds=60) as it:
        server.fault = lambda path: Answer(body=CHIP.certificate, slow_s=0.1) if "SPL=" in path else None
        results = await asyncio.gather(*(it.verify(bare()) for _ in range(1_000)))
        assert len({used.digest for _, used in results}) == 1
        assert sorted(server.asked.values()) == [1, 1, 1]


async def test_a_thousand_at_once_fail_by_one_fetch(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server, seconds=60) as it:
        server.fault = lambda path: Answer(status=500, slow_s=0.1) if "SPL=" in path else None
        results = await asyncio.gather(*(it.verify(bare()) for _ in range(1_000)), return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        assert sum(count for path, count in server.asked.items() if "SPL=" in path) == 1


async def test_waiters_are_bounded_and_do_not_wait_for_ever(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    limits = Limits(waiters=10, wait_s=1.0)
    async with VendorServer(kds) as server:
        async with built(tmp_path / "s.db", kds, server) as before:
            await before.verify(CHIP.evidence(DATA))  # issuers and list are there, however long that takes
        async with built(tmp_path / "s.db", kds, server, limits=limits, seconds=60) as it:
            server.fault = lambda path: Answer(hang=True) if "SPL=" in path else None
            results = await asyncio.gather(*(it.verify(bare()) for _ in range(25)), return_exceptions=True)
            told = [cause(result) for result in results if isinstance(result, Unavailable)]
            assert (told.count("COLLATERAL_BUSY"), told.count("COLLATERAL_SLOW")) == (15, 10)


async def test_one_that_goes_away_takes_nothing_with_it(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server, seconds=60) as it:
        server.fault = lambda path: Answer(body=CHIP.certificate, slow_s=0.1) if "SPL=" in path else None
        first, second = (asyncio.create_task(it.verify(bare())) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second)[0].claims.platform_id == CHIP.chip_id
        assert sorted(server.asked.values()) == [1, 1, 1]


async def test_a_hang_is_left_behind_at_the_end(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server:
        async with built(tmp_path / "s.db", kds, server, seconds=60) as it:
            server.fault = lambda path: Answer(hang=True)
            waiting = asyncio.create_task(it.verify(bare()))
            while not server.asked:  # noqa: ASYNC110  # of another task
                await asyncio.sleep(0.005)
            waiting.cancel()
        await server.idle()


async def test_it_survives_a_restart_and_is_shared(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server:
        async with built(tmp_path / "s.db", kds, server) as it:
            await it.verify(bare())
        async with built(tmp_path / "s.db", kds, server) as one, built(tmp_path / "s.db", kds, server) as two:
            server.fault = lambda path: Answer(status=500)
            await one.verify(bare())
            await two.verify(bare())
        assert sum(server.asked.values()) == 3


async def test_the_tampered_cache_of_another_is_not_trusted(tmp_path: Path) -> None:
    """Whoever can write into the store gets nothing accepted that the vendor did not sign."""
    from dataclasses import replace  # noqa: PLC0415

    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server:
        async with built(tmp_path / "s.db", kds, server) as it:
            await it.verify(bare())
            name = next(name for name in it.cache.names("amd/crl/"))
            piece = it.cache.get(name)
            assert piece is not None
            it.cache.put([replace(piece, data=VENDOR.crl(signer=GENOA.ark))])
        async with built(tmp_path / "s.db", kds, server) as again:
            with pytest.raises(NotAuthentic, match="CRL_SIGNATURE"):
                await again.verify(bare())


async def test_strangers_have_a_budget_and_genuine_nodes_give_it_back(tmp_path: Path) -> None:
    chips = [VENDOR.chip(number) for number in range(100, 112)]
    kds = FakeKds(VENDOR, *chips)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server, strangers=4) as it:
        for chip in chips:
            await it.verify(bare(chip))  # a fleet costs nothing
        invented = [VENDOR.chip(number) for number in range(200, 210)]
        told = []
        for chip in invented:
            try:
                await it.verify(bare(chip))
            except Unavailable as error:
                told.append(cause(error))
            except NotAuthentic as error:
                told.append(error.check)
        assert told == ["VEK_MISSING"] * 4 + ["COLLATERAL_BUDGET"] * 6
        await it.verify(bare(chips[0]))  # what is at hand is not touched by that
        it.clock.now += 10_000
        kds.know(invented[9])
        await it.verify(bare(invented[9]))  # and a token comes back


async def test_a_stolen_chip_id_does_not_get_its_token_back(tmp_path: Path) -> None:
    """The report asks for a real chip's key and is signed by another: nothing is proven, the token is gone."""
    kds = FakeKds(VENDOR, CHIP, OTHER)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server, strangers=1) as it:
        forged = amd.sign_report(
            OTHER.key, "Milan", chip_id=CHIP.chip_id, fields={"report_data": DATA}, tcb=dict(CHIP.tcb)
        )
        with pytest.raises(NotAuthentic, match="SNP_SIGNATURE"):
            await it.verify(SnpEvidence(report=forged))
        with pytest.raises(Unavailable) as failure:
            await it.verify(bare(OTHER))
        assert cause(failure.value) == "COLLATERAL_BUDGET"


async def test_the_service_is_left_alone_as_long_as_it_asks(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        server.fault = lambda path: Answer(status=429, headers={"Retry-After": "120"})
        with pytest.raises(Unavailable) as failure:
            await it.verify(bare())
        assert failure.value.retry_after == 120
        server.fault = lambda path: None
        for wait, asked in ((0, 1), (119_000, 1), (1_000, 4)):
            it.clock.now += wait
            with contextlib.suppress(Unavailable):
                await it.verify(bare())
            assert sum(server.asked.values()) == asked


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("5", 5_000),
        ("0", 1_000),
        ("999999999", HOUR),
        ("Mon, 01 Jun 2026 00:01:00 GMT", 60_000),
        ("Sun, 31 May 2026 00:00:00 GMT", 1_000),
        ("soon", 10_000),
        (None, 10_000),
    ],
)
async def test_retry_after_is_seconds_or_a_date(tmp_path: Path, value: str | None, ms: int) -> None:
    kds = FakeKds(VENDOR, CHIP)
    headers = {} if value is None else {"Retry-After": value}
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        server.fault = lambda path: Answer(status=429, headers=headers)
        with pytest.raises(Unavailable):
            await it.verify(bare())
        assert it.source.resting_ms == ms


async def test_the_breaker_opens_and_lets_one_try(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        server.fault = lambda path: Answer(status=500)
        for _ in range(5):
            with pytest.raises(Unavailable):
                await it.verify(bare())
        assert (sum(server.asked.values()), it.source.resting_ms) == (5, 10_000)
        with pytest.raises(Unavailable):
            await it.verify(bare())
        assert sum(server.asked.values()) == 5
        it.clock.now += 10_000
        with pytest.raises(Unavailable):
            await it.verify(bare())  # the one that tries; it rests twice as long now
        assert (sum(server.asked.values()), it.source.resting_ms) == (6, 20_000)
        it.clock.now += 20_000
        server.fault = lambda path: None
        await it.verify(bare())
        assert it.source.resting_ms == 0


async def test_a_list_is_renewed_ahead_of_its_end(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        _, used = await it.verify(bare())
        assert await it.service.renew(it.clock.now) == []
        it.clock.now += DAY // 2  # chance is 0: due at half a day
        kds.crl = VENDOR.crl(this_update=it.clock.at(), next_update=NOW + dt.timedelta(days=200))
        assert await it.service.renew(it.clock.now) == ["amd/crl/VCEK/Milan"]
        assert server.asked["/vcek/v1/Milan/crl"] == 2
        assert (await it.verify(bare()))[1].digest != used.digest
        assert await it.service.renew(it.clock.now) == []


async def test_renewals_of_many_brokers_spread(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        it.chance[0] = 0.999
        await it.verify(bare())
        it.clock.now += DAY * 2 // 3
        await it.service.renew(it.clock.now)
        assert server.asked["/vcek/v1/Milan/crl"] == 1
        it.clock.now += DAY // 10
        await it.service.renew(it.clock.now)
        assert server.asked["/vcek/v1/Milan/crl"] == 2


async def test_what_another_replica_renewed_is_taken(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    clock = Clock()
    path = tmp_path / "s.db"
    async with (
        VendorServer(kds) as server,
        built(path, kds, server, clock=clock) as one,
        built(path, kds, server, clock=clock) as two,
    ):
        await one.verify(bare())
        await two.verify(bare())
        clock.now += DAY // 2
        kds.crl = VENDOR.crl(this_update=clock.at(), next_update=NOW + dt.timedelta(days=200))
        await one.service.renew(clock.now)
        await two.service.renew(clock.now)
        assert server.asked["/vcek/v1/Milan/crl"] == 2
        assert (await one.verify(bare()))[1].digest == (await two.verify(bare()))[1].digest


async def test_stale_is_used_until_its_end_and_never_beyond(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    kds.crl = VENDOR.crl(next_update=NOW + dt.timedelta(days=2))
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        await it.verify(bare())
        server.fault = lambda path: Answer(status=500)
        it.clock.now += 2 * DAY - 1_000
        await it.service.renew(it.clock.now)
        await it.verify(bare())
        it.clock.now += 1_000
        with pytest.raises(Unavailable):
            await it.verify(bare())
        server.fault = lambda path: None
        kds.crl = VENDOR.crl(next_update=NOW + dt.timedelta(days=9))
        it.clock.now += HOUR
        await it.verify(bare())


async def test_an_older_list_played_back_is_refused(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    old = kds.crl
    kds.crl = VENDOR.crl([0x999], next_update=NOW + dt.timedelta(days=300))
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        await it.verify(bare())
        kds.crl = old  # still valid by itself, and ends earlier
        assert await it.service.renew(it.clock.now, at_once=True) == []
        piece = it.cache.get("amd/crl/VCEK/Milan")
        assert piece is not None
        assert piece.data != old


async def test_a_wrong_answer_to_a_renewal_changes_nothing(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        _, used = await it.verify(bare())
        server.fault = lambda path: Answer(body=GENOA.crl() if path.endswith("crl") else b"junk")
        assert await it.service.renew(it.clock.now, at_once=True) == []
        assert (await it.verify(bare()))[1].digest == used.digest


def test_the_causes_are_sentences() -> None:
    error = CollateralError("SOURCE_STATUS", "amd-kds/x", expected="status 200", got="status 500")
    error.__cause__ = NotBound("A", "b", expected="c", got="d")
    assert str(error) == "SOURCE_STATUS: amd-kds/x: expected status 200, got status 500 (A: b: expected c, got d)"
    assert str(error.again()) == str(error)
    assert NOW_MS == 1_780_272_000_000
