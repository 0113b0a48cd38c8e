"""Who will be refused at another date: known platforms judged once more, by reason, and nobody forgotten."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attest.errors import AttestError
from attest.evidence import AzureEvidence, Collateral, DeviceEvidence, SnpEvidence, TdxEvidence
from kbs.catalog.register import put
from kbs.collateral.shelf import Shelf
from kbs.model.collateral import Lifetime
from kbs.model.refusal import Refused
from kbs.release.fleet import Fleet, decode_evidence
from kbs.release.foresight import NOTICE_DAYS, foresee, watch
from kbs.release.preflight import Forecast, forecast
from kbs.release.release import release
from kbs.serve.wiring import Running, open_site
from tests.makers import site as maker
from tests.makers.site import ASSET, SimulatedSite
from tests.makers.workload import build, holder_public

DAY = 86_400_000
PROFILE = "tenants/acme/profiles/snp-default"


@pytest.fixture
def running(site: SimulatedSite) -> Iterator[Running]:
    with site.open() as running:
        yield running


async def _boot(running: Running, site: SimulatedSite, *numbers: int) -> None:
    for number in numbers:
        chip = site.vendor.chip(number)
        await release(build(chip, running.broker.challenges, running.broker.clock()).ask, running.broker)


async def _raise_minimum(running: Running, ucode: int, **more: object) -> None:
    rows = {name: digest for name, _, digest, _ in running.reader.objects()[2]}
    document = {
        "name": PROFILE,
        "profile": {
            "snp": {"products": ["milan"], "minimum_tcb": {"milan": {"bl": 3, "snp": 24, "ucode": ucode}}, **more}
        },
    }
    change = put("profile", PROFILE, document, entry=maker.draft_of(running), replaces=rows[PROFILE])
    await maker.register(running, [change])


async def test_nobody_is_refused_as_long_as_nothing_changes(running: Running, site: SimulatedSite) -> None:
    await _boot(running, site, 1, 2, 3, 1)
    found = await foresee(running.broker, [], Fleet(running.reader), at=running.broker.clock() + DAY)
    assert (found.platforms, found.refused, found.refusals, found.endings) == (3, 0, (), ())


async def test_a_higher_minimum_refuses_those_below_it(running: Running, site: SimulatedSite) -> None:
    fleet = Fleet(running.reader)
    await _boot(running, site, 1, 2)
    await foresee(running.broker, [], fleet, at=running.broker.clock())
    await _boot(running, site, 3)
    await _raise_minimum(running, 220)
    found = await foresee(running.broker, [], fleet, at=running.broker.clock() + DAY)
    assert (found.platforms, found.refused) == (3, 3)
    assert {(r.product, r.asset, len(nodes)) for r, nodes in found.refusals} == {("Milan", ASSET, 3)}
    assert all("ucode" in r.expected + r.got for r, _ in found.refusals)


async def test_who_passes_by_grace_is_counted_until_it_ends(running: Running, site: SimulatedSite) -> None:
    """Tolerated until a day, refused from that day on, with nobody doing anything."""
    await _boot(running, site, 1, 2)
    now = running.broker.clock()
    end = (now // DAY + 10) * DAY
    until = dt.datetime.fromtimestamp(end / 1_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    grace = {
        "product": "milan", "level": {"ucode": 209}, "advisories": ["AMD-SB-3019"],
        "owner": "platform-team", "until": until,
    }  # fmt: skip
    await _raise_minimum(running, 230, grace=[grace])
    before = await foresee(running.broker, [], Fleet(running.reader), at=end - 1_000)
    assert (before.refused, before.graced) == (0, 2)
    assert {(leave.product, leave.asset, len(nodes)) for leave, nodes in before.leaves} == {("Milan", ASSET, 2)}
    assert all("by leave of platform-team, for AMD-SB-3019" in leave.leave for leave, _ in before.leaves)
    after = await foresee(running.broker, [], Fleet(running.reader), at=end)
    assert (after.refused, after.graced) == (2, 0)
    # Whom something else refuses passes by no exception: in the list of the refused alone.
    await _raise_minimum(running, 230, grace=[grace], allow_smt=False)
    both = await foresee(running.broker, [], Fleet(running.reader), at=end - 1_000)
    assert (both.refused, both.graced, both.leaves) == (2, 0, ())
    assert "TCB" not in "".join(refusal.check for refusal, _ in both.refusals)


async def test_what_is_not_at_hand_is_no_refusal(site: SimulatedSite) -> None:
    """A list that is lost is fetched or imported again; it says nothing of the platforms."""
    with site.open() as running:
        await _boot(running, site, 1)

    class Lost(Shelf):
        def curable(self, evidence: object, failure: AttestError) -> bool:
            return failure.check == "CRL_MISSING"

    with open_site(site.site, Lost(Collateral()), site.anchors) as running:
        found = await foresee(running.broker, [], Fleet(running.reader), at=running.broker.clock())
    [(missing, nodes)] = found.missing
    assert (found.refused, missing.check, len(nodes)) == (0, "CRL_MISSING", 1)


async def test_what_ends_before_the_date_is_told_apart(running: Running, site: SimulatedSite) -> None:
    await _boot(running, site, 1)
    now = running.broker.clock()
    ends = [_ends("amd/crl/VCEK/Milan", now, 5 * DAY), _ends("amd/issuers/VCEK/Milan", now, 500 * DAY)]
    found = await foresee(running.broker, ends, Fleet(running.reader), at=now + 7 * DAY)
    assert [ending.name for ending in found.endings] == ["amd/crl/VCEK/Milan"]
    assert (found.refused, found.short_lived) == (0, 0)


def _ends(name: str, now: int, lasts: int, *, made_for: int = 180 * DAY, ago: int = 0) -> Lifetime:
    return Lifetime(name=name, fetched_at=now - ago, good_until=now + lasts, made_for=made_for)


HOUR = DAY // 24
# name: (fetched so many hours ago, ends in so many, made for so many days, told of 30, 7 and 1 days ahead, overdue)
NOTICES = {
    "a response made for a day": (2, 22, 1, "", False),
    "one that should have been renewed": (20, 4, 1, "30 7 1", True),
    "one that has ended": (30, -6, 1, "", False),
    "one that ends after the last notice": (0, 26, 2, "", False),
    "a document made for 30 days, renewed daily": (12, 29 * 24, 30, "", False),
    "one that was not renewed for long": (24 * 24, 6 * 24, 30, "30 7", True),
    "one whose vendor issues nothing new": (12, 20 * 24, 30, "", False),
    "and a week before": (12, 6 * 24, 30, "7", False),
    "and a day before": (12, 15, 30, "7 1", False),
    "a list for half a year": (12, 20 * 24, 180, "30", False),
    "and when it is over": (24 * 180, -1, 180, "30 7 1", True),
}


@pytest.mark.parametrize("name", NOTICES)
def test_a_piece_is_told_by_what_it_is_made_for(name: str) -> None:
    ago, lasts, days, told, overdue = NOTICES[name]
    now = 1_790_000_000_000
    piece = _ends("x", now, lasts * HOUR, made_for=days * DAY, ago=ago * HOUR)
    found = {days: forecast([], [piece], now=now, at=now + days * DAY) for days in NOTICE_DAYS}
    assert " ".join(str(days) for days, each in found.items() if each.endings) == told
    assert {ending.overdue for each in found.values() for ending in each.endings} <= {overdue}
    ends = [days for days in NOTICE_DAYS if piece.good_until <= now + days * DAY]
    assert sum(each.short_lived + len(each.endings) for each in found.values()) == len(ends)


async def test_collateral_that_grows_old_is_renewed_by_then_and_what_is_too_old_is_not(
    running: Running, site: SimulatedSite
) -> None:
    await _boot(running, site, 1)
    await _raise_minimum(running, 200, maximum_collateral_age_hours=24)
    now, fleet = running.broker.clock(), Fleet(running.reader)
    later = await foresee(running.broker, [], fleet, at=now + 9 * DAY)
    assert (later.platforms, later.refused) == (1, 0)
    broker = dataclasses.replace(running.broker, clock=lambda: now + 9 * DAY)
    [(refusal, nodes)] = (await foresee(broker, [], fleet, at=now + 9 * DAY)).refusals
    assert (refusal.check, len(nodes)) == ("COLLATERAL_TOO_OLD", 1)


async def test_a_renewal_is_the_newest_that_is_known_of_a_platform(running: Running, site: SimulatedSite) -> None:
    holder: dict[str, Any] = {"holder_key": holder_public(ec.derive_private_key(7, ec.SECP256R1()))}
    broker, fleet = running.broker, Fleet(running.reader)
    answer = await release(build(site.chip, broker.challenges, broker.clock(), **holder).ask, broker)
    assert answer.grant.lease is not None
    renewal = build(site.chip, broker.challenges, broker.clock(), **holder, renews=answer.grant.lease.lease_id)
    await release(renewal.ask, broker)
    with pytest.raises(Refused):
        await release(build(site.chip, broker.challenges, broker.clock(), measurement=bytes(48)).ask, broker)
    await fleet.follow()
    [seen] = fleet.seen()
    assert (seen.evidence, seen.assets) == (renewal.ask.evidence, (ASSET,))


async def test_a_certificate_of_the_platform_that_ends_refuses_it(site: SimulatedSite) -> None:
    import datetime as dt  # noqa: PLC0415

    ends = site.vendor.now + dt.timedelta(days=3)
    chip = site.vendor.chip(5, kind="VLEK", not_after=ends)
    with site.open() as running:
        await release(build(chip, running.broker.challenges, running.broker.clock()).ask, running.broker)
        fleet = Fleet(running.reader)
        now = running.broker.clock()
        assert (await foresee(running.broker, [], fleet, at=now + DAY)).refused == 0
        found = await foresee(running.broker, [], fleet, at=now + 7 * DAY)
        [(refusal, nodes)] = found.refusals
        assert (refusal.check, refusal.asset, len(nodes)) == ("CERT_EXPIRED", "", 1)


async def test_a_list_that_revokes_refuses_all_of_its_product(site: SimulatedSite) -> None:
    with site.open() as running:
        await _boot(running, site, 1, 2)
    shelf = Shelf(Collateral(crls=(site.vendor.crl([0x10001]),)))
    with open_site(site.site, shelf, site.anchors) as running:
        found = await foresee(running.broker, [], Fleet(running.reader), at=running.broker.clock())
        [(refusal, nodes)] = found.refusals
        assert (refusal.check, len(nodes)) == ("CERT_REVOKED", 2)


async def test_only_the_tenants_that_are_asked_for(running: Running, site: SimulatedSite) -> None:
    await _boot(running, site, 1)
    found = await foresee(running.broker, [], Fleet(running.reader), at=running.broker.clock(), tenants={"umbrella"})
    assert found.platforms == 0


class Kept:
    """One piece that ends, and changes when it is told to."""

    def __init__(self, until: int) -> None:
        self.generation = 7
        self.piece = Lifetime(
            name="amd/crl/VCEK/Milan", fetched_at=until - 180 * DAY, good_until=until, made_for=1 << 62
        )

    def ends(self) -> list[Lifetime]:
        return [self.piece]

    def overdue(self, now: int) -> frozenset[str]:
        late = now < self.piece.good_until and self.piece.overdue(now)
        return frozenset({self.piece.name} if late else ())


async def test_it_looks_ahead_daily_and_after_each_change(
    running: Running, site: SimulatedSite, caplog: pytest.LogCaptureFixture
) -> None:
    await _boot(running, site, 1)
    await _raise_minimum(running, 220)
    now = [running.broker.clock()]
    broker = dataclasses.replace(running.broker, clock=lambda: now[0])
    kept = Kept(now[0] + 2 * DAY)
    told: list[tuple[int, Forecast]] = []
    heard = asyncio.Event()

    def tell(days: int, found: Forecast) -> None:
        told.append((days, found))
        if days == NOTICE_DAYS[-1]:
            heard.set()

    async def wait() -> None:
        await asyncio.wait_for(heard.wait(), 5)
        heard.clear()

    with caplog.at_level(logging.WARNING, "sealgate.collateral"):
        task = asyncio.create_task(watch(broker, kept, Fleet(running.reader), tell, look_s=0.001))
        await wait()
        assert [days for days, _ in told] == [30, 7, 1]
        assert {found.refused for _, found in told} == {1}
        assert [len(found.endings) for _, found in told] == [1, 1, 0]
        await asyncio.sleep(0.02)
        assert len(told) == 3  # nothing changed, and the day is not over
        kept.generation += 1
        await wait()
        now[0] += DAY
        await wait()
        assert len(told) == 9
        # A piece that is made for a day and was not renewed in time is told at once, and once.
        kept.piece = _ends("nvidia/ocsp/rim/x/1", now[0], 20 * HOUR, made_for=DAY, ago=4 * HOUR)
        await asyncio.sleep(0.02)
        assert len(told) == 9
        now[0] += 16 * HOUR
        await wait()
        await asyncio.sleep(0.02)
        assert [len(found.endings) for _, found in told[9:]] == [1, 1, 1]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "in 30 days 1 of 1 platform will be refused: Milan" in caplog.text
    assert "in 7 days amd/crl/VCEK/Milan will have ended" in caplog.text
    assert "in 1 day nvidia/ocsp/rim/x/1 will have ended; its renewal is overdue" in caplog.text


def test_evidence_is_read_back_as_it_was_written() -> None:
    from kbs.release.evidence import _encoded  # noqa: PLC0415

    for evidence in (
        SnpEvidence(report=b"r" * 1_184, certificates=(b"a", b"", b"ccc")),
        SnpEvidence(report=b""),
        TdxEvidence(quote=b"q" * 5_000, event_log=b"log"),
        AzureEvidence(
            hcl_report=b"h" * 2_600,
            tpm_quote=b"t",
            tpm_signature=b"s" * 256,
            pcrs=tuple(bytes([n]) for n in range(24)),
            certificates=(b"v", b""),
            td_quote=b"",
        ),
        AzureEvidence(
            hcl_report=b"h", tpm_quote=b"t", tpm_signature=b"s", pcrs=(), certificates=(), td_quote=b"q" * 5_000
        ),
    ):
        document = _encoded(evidence, b"{}")
        assert decode_evidence(document) == (evidence, b"{}", ())
        devices = tuple(DeviceEvidence(kind=f"nvidia-{n}", report=b"r" * n, chain=b"c") for n in range(3))
        whole = _encoded(evidence, b"{}", devices)
        assert decode_evidence(whole) == (evidence, b"{}", devices)
        assert all(decode_evidence(whole[:cut]) is None for cut in (40, len(whole) // 2, len(whole) - 1))
        for cut in (0, 3, len(document) // 2, len(document) - 1):
            assert decode_evidence(document[:cut]) is None
    assert decode_evidence(b"anything else at all") is None
