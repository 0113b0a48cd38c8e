"""Bundles: whole or refused, signed by a key that was named, and not believed for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import AttestError
from attest.tlog.keys import SignerKey, VerifierKey
from kbs.log.signer import CheckpointSigner
from kbs.model.bundle import Bundle, bundle_text, contents_of, join_bundle, open_bundle
from kbs.model.collateral import Piece
from tests.kbs.collateral.built import NOW_MS, VENDOR, built
from tests.kbs.collateral.test_kds import CHIP, GENOA, bare
from tests.makers.kds import FakeKds
from tests.makers.vendor_http import Answer, VendorServer

SIGNER = CheckpointSigner("keys.example.com/audit/1", bytes(32))
KEY = VerifierKey.parse(SIGNER.verifier_key)
OTHER = SignerKey.from_seed("keys.example.com/audit/1", b"\1" * 32).public
PIECES = (
    Piece(name="b/2", data=b"\n\nanything\n\n", fetched_at=NOW_MS - 5, good_until=NOW_MS + 5),
    Piece(name="a/1", data=bytes(range(256)), fetched_at=NOW_MS, good_until=NOW_MS + 9),
    Piece(name="c/3", data=b"", fetched_at=0, good_until=NOW_MS),
)


def make(pieces: tuple[Piece, ...] = PIECES, at: int = NOW_MS) -> bytes:
    contents = contents_of(pieces)
    return join_bundle(SIGNER.note(bundle_text(SIGNER.origin, at, contents)), contents)


def test_what_goes_in_comes_out() -> None:
    bundle = open_bundle(make(), [OTHER, KEY])
    assert (bundle.origin, bundle.at, bundle.signed_by) == (SIGNER.origin, NOW_MS, KEY.vkey)
    assert bundle.pieces == tuple(sorted(PIECES, key=lambda p: p.name))
    assert open_bundle(make(()), [KEY]).pieces == ()


def test_somebody_elses_signature_is_none() -> None:
    with pytest.raises(AttestError, match="NOTE_UNSIGNED"):
        open_bundle(make(), [OTHER])


@given(st.data())
def test_one_byte_of_it_changed(data: st.DataObject) -> None:
    raw = bytearray(make())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        opened = open_bundle(bytes(raw), [KEY])
    except AttestError:
        return
    assert opened == open_bundle(make(), [KEY])  # a signature line may be written in another way, and says the same


@given(st.binary(max_size=400))
def test_anything_at_all(raw: bytes) -> None:
    with pytest.raises(AttestError):
        open_bundle(raw, [KEY])


@pytest.mark.parametrize("cut", [0, 1, 40, 200, 400, -1])
def test_cut_or_longer(cut: int) -> None:
    whole = make()
    with pytest.raises(AttestError):
        open_bundle(whole[:cut] if cut >= 0 else whole + b"x", [KEY])


def signed(contents: bytes) -> bytes:
    return join_bundle(SIGNER.note(bundle_text(SIGNER.origin, NOW_MS, contents)), contents)


# name: contents that the right key signed, and that no exporter writes
CONTENTS = {
    "no list": b"x\n",
    "not canonical": b'{"pieces": []}\n',
    "another key": b'{"pieces":[],"x":1}\n',
    "not a list": b'{"pieces":1}\n',
    "bytes that nobody speaks of": contents_of(PIECES) + b"x",
    "bytes that are missing": contents_of(PIECES[:1])[:-1],
    "a size below nothing": b'{"pieces":[{"fetched_at":1,"good_until":1,"name":"a","size":-1}]}\n',
    "a size that is none": b'{"pieces":[{"fetched_at":1,"good_until":1,"name":"a","size":"1"}]}\nx',
    "a piece without a name": b'{"pieces":[{"fetched_at":1,"good_until":1,"size":1}]}\nx',
    "empty": b"",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_that_nobody_writes(name: str) -> None:
    with pytest.raises(AttestError):
        open_bundle(signed(CONTENTS[name]), [KEY])


def test_a_checkpoint_is_not_signed_by_the_way() -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        SIGNER.note(b"keys.example.com/audit/1\n7\nAAAA\n")


async def exported(path: Path, server: VendorServer, kds: FakeKds) -> Bundle:
    async with built(path, kds, server) as it:
        await it.verify(bare())
        return open_bundle(make(tuple(it.service.pieces(it.clock.now))), [KEY])


async def test_a_site_without_the_vendor_lives_on_a_bundle(tmp_path: Path) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server:
        bundle = await exported(tmp_path / "one.db", server, kds)
        server.fault = lambda path: Answer(status=500)
        async with built(tmp_path / "two.db", kds, server) as it:
            outcomes = dict(await it.service.take(bundle.pieces, it.clock.now))
            assert set(outcomes.values()) == {"kept"}
            assert len(outcomes) == 3
            asked = sum(server.asked.values())
            await it.verify(bare())
            assert sum(server.asked.values()) == asked
            again = await it.service.take(bundle.pieces, it.clock.now)
            assert {outcome for _, outcome in again} == {"known"}


# name: (whose piece, its data instead, part of the outcome)
LIES = {
    "a list by another": ("amd/crl", VENDOR.crl(signer=GENOA.ark), "CRL_SIGNATURE"),
    "another vendor's issuers": ("amd/issuers", b"junk", "CERT_MALFORMED"),
    "another chip's key": ("amd/vcek", VENDOR.chip(9).certificate, "CHIP_ID_MISMATCH"),
}


@pytest.mark.parametrize("name", LIES)
async def test_what_is_signed_is_verified_all_the_same(tmp_path: Path, name: str) -> None:
    whose, data, told = LIES[name]
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server:
        bundle = await exported(tmp_path / "one.db", server, kds)
        pieces = [dataclasses.replace(p, data=data) if p.name.startswith(whose) else p for p in bundle.pieces]
        async with built(tmp_path / "two.db", kds, server) as it:
            outcomes = await it.service.take(pieces, it.clock.now)
            assert told in next(outcome for piece, outcome in outcomes if piece.startswith(whose))
            assert not it.cache.names(whose)


@pytest.mark.parametrize(
    "name", ["", "amd", "amd/crl/XCEK/Milan", "amd/vcek/Milan/zz/00", "amd/vcek/Naples/00/00", "intel/x", "../x"]
)
async def test_names_that_nothing_has(tmp_path: Path, name: str) -> None:
    kds = FakeKds(VENDOR, CHIP)
    async with VendorServer(kds) as server, built(tmp_path / "s.db", kds, server) as it:
        piece = Piece(name=name, data=CHIP.certificate, fetched_at=0, good_until=0)
        [(_, outcome)] = await it.service.take([piece], it.clock.now)
        assert outcome not in {"kept", "known"}
        assert it.cache.names() == []
