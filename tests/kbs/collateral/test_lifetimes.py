"""How long a piece is made for: as its vendor dated it, read once, and long where that cannot be read."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from kbs.collateral.lifetimes import Lifetimes
from kbs.log.sequence import LogSequencer
from kbs.model.collateral import Piece
from kbs.store.collateral import CollateralCache
from kbs.store.connect import create
from tests.kbs.collateral import test_nvidia, test_pcs
from tests.kbs.collateral.built import built
from tests.makers import amd
from tests.makers.pcs import FakePcs
from tests.makers.vendor_http import VendorServer

DAY = 86_400_000
FOR_YEARS = 1 << 62


class Shelf:
    """A cache that counts how often a piece is read."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = {piece.name: piece for piece in pieces}
        self.read: Counter[str] = Counter()

    def ends(self) -> list[tuple[str, int, int]]:
        return [(piece.name, piece.fetched_at, piece.good_until) for piece in self.pieces.values()]

    def get(self, name: str) -> Piece | None:
        self.read[name] += 1
        return self.pieces.get(name)


def _lifetimes(shelf: Any) -> Lifetimes:
    return Lifetimes(shelf)


def _piece(name: str, data: bytes, *, lasts: int = DAY) -> Piece:
    return Piece(name=name, data=data, fetched_at=0, good_until=lasts)


def test_a_list_is_read_once_and_again_when_it_is_another() -> None:
    vendor = amd.mint(now=dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    name = "amd/crl/VCEK/Milan"
    shelf = Shelf(_piece(name, vendor.crl()))
    kept = _lifetimes(shelf)
    assert [each.made_for for each in (*kept.every("-"), *kept.every("-"))] == [181 * DAY] * 2
    assert shelf.read[name] == 1
    newer = vendor.crl(this_update=vendor.now, next_update=vendor.now + dt.timedelta(days=7))
    shelf.pieces[name] = _piece(name, newer, lasts=2 * DAY)
    assert [each.made_for for each in kept.every("-")] == [7 * DAY]
    assert kept.every("amd/") == []


def test_what_cannot_be_read_is_for_years() -> None:
    """It is told of rather than kept quiet; and no certificate or manifest is read at all."""
    names = ("amd/crl/x", "nvidia/crl/x", "intel/tcb/TDX/x", "intel/qe/TDX", "intel/pckcrl/x", "intel/rootcrl")
    for data in (b"", b"\xff" * 40, b"\0\0\0\0{}", b'\0\0\0\0{"tcbInfo": {"issueDate": 3}}', b"\0\0\0\0[1]"):
        shelf = Shelf(*(_piece(name, data) for name in names), _piece("amd/vcek/x", data), _piece("nvidia/rim/x", data))
        assert {each.made_for for each in _lifetimes(shelf).every("-")} == {FOR_YEARS}
        assert set(shelf.read) == set(names)


def test_a_response_is_made_for_as_long_as_it_lasted_when_it_came() -> None:
    piece = replace(_piece("nvidia/ocsp/rim/x/1", b"unread"), fetched_at=DAY, good_until=2 * DAY)
    shelf = Shelf(piece)
    assert [each.made_for for each in _lifetimes(shelf).every("-")] == [DAY]
    assert not shelf.read


def test_the_cache_finds_what_is_overdue_as_it_is_judged(tmp_path: Path) -> None:
    create(tmp_path / "s.db", LogSequencer("log.test/audit/1").empty())
    pieces = [
        replace(_piece(f"nvidia/ocsp/x/{n}", b"%d" % n), fetched_at=n * 10, good_until=n * 10 + life)
        for n, life in enumerate((0, 5, 50, 50, 100, 105, 1_000))
    ]
    with closing(CollateralCache(tmp_path / "s.db")) as cache:
        cache.put(pieces)
        every = Lifetimes(cache).every("-")
        for now in range(0, 1_100, 5):
            expected = sorted(each.name for each in every if now < each.good_until and each.overdue(now))
            assert sorted(cache.overdue(now)) == expected, now


async def test_every_kind_that_a_vendor_sends_can_be_read(tmp_path: Path) -> None:
    """The very bytes that are kept: nothing that ends soon passes for what is made for years."""
    nvidia = test_nvidia.fake()
    async with VendorServer(nvidia, post=nvidia.post) as server, built(tmp_path / "n.db", nvidia, server) as it:
        await test_nvidia.judged(it, test_nvidia.GPU)
        of = {each.name.split("/")[1]: each.made_for for each in it.service.ends()}
        assert set(of) == {"rim", "crl", "ocsp"}
        assert of["rim"] == FOR_YEARS
        assert of["ocsp"] <= DAY
        assert of["crl"] < FOR_YEARS
    pcs = FakePcs(test_pcs.INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "i.db", pcs, server) as it:
        await it.verify(test_pcs.quoted())
        of = {each.name.split("/")[1]: each.made_for for each in it.service.ends()}
        assert set(of) == {"tcb", "qe", "pckcrl", "rootcrl"}
        assert max(of.values()) < FOR_YEARS
