"""PCK certificates for quotes that do not carry theirs: the right one, once, verified before it is kept; or none."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attest.errors import AttestError
from attest.evidence import TdxEvidence
from kbs.model.refusal import Unavailable
from tests.kbs.collateral.built import DATA, DAY, Built, built
from tests.kbs.collateral.test_kds import cause
from tests.kbs.collateral.test_pcs import INTEL, NAMES
from tests.makers import intel as maker
from tests.makers.pcs import FakePcs
from tests.makers.quote import Form
from tests.makers.vendor_http import Answer, VendorServer

TD = INTEL.platform(number=1)
SECOND = INTEL.but("pck", key=maker.key("a second platform's")).platform(number=2)
CPUSVN = bytes(maker.COMPONENTS)
TAIL = CPUSVN + maker.PCESVN.to_bytes(2, "little") + bytes(2)
QE_ID = bytes(range(16))
BOUND = 48 + 584 + 4 + 64 + 64 + 2 + 4 + 320  # where the enclave's report names the key
FOREIGN = INTEL.but("pck", issuer_key=maker.key("of another CA")).platform()
SVNS = f"cpusvn={CPUSVN.hex().upper()}&pcesvn=0D00&pceid=0000"


def _ppid(number: int, size: int = 384) -> bytes:
    """What nobody but Intel can read."""
    return bytes([number]) * size


def _bare(
    platform: maker.Platform = TD, kind: int = 3, number: int = 1, data: bytes | None = None, **fields: Any
) -> TdxEvidence:
    """A quote that names its certificate."""
    named = {3: _ppid(number) + TAIL, 2: _ppid(number, 256) + TAIL, 4: platform.pck.pem}.get(kind)
    given = named if data is None else data
    assert given is not None
    return TdxEvidence(quote=platform.quote(DATA, form=Form(certification=(kind, given)), **fields))


def _clear(platform: maker.Platform = TD) -> TdxEvidence:
    """Type 1: the PPID as it is."""
    return _bare(platform, kind=1, data=hashlib.sha256(bytes([1])).digest()[:16] + TAIL)


def _pcs(*, pccs: bool = False) -> FakePcs:
    pcs = FakePcs(INTEL, pccs=pccs)
    qe = f"qeid={QE_ID.hex().upper()}&" if pccs else ""
    for number, platform in ((1, TD), (2, SECOND)):
        pcs.certificates[f"{qe}encrypted_ppid={_ppid(number).hex().upper()}&{SVNS}"] = platform.pck.pem
        pcs.certificates[f"{qe}encrypted_ppid={_ppid(number, 256).hex().upper()}&{SVNS}"] = platform.pck.pem
    pcs.certificates[f"{qe}{SVNS}"] = TD.pck.pem
    return pcs


def _of_certificates(it: Built) -> list[str]:
    return it.cache.names("intel/pck/")


def _asked(server: VendorServer) -> int:
    return sum(count for path, count in server.asked.items() if "pckcert?" in path)


# name: (the quote, at a PCCS)
HAD: dict[str, tuple[Callable[[], TdxEvidence], bool]] = {
    "3 from Intel's own service": (_bare, False),
    "3 from a PCCS": (_bare, True),
    "2 from a PCCS": (lambda: _bare(kind=2), True),
    "1 from a PCCS": (_clear, True),
}


@pytest.mark.parametrize("case", HAD)
async def test_a_certificate_is_fetched_once_and_survives(tmp_path: Path, case: str) -> None:
    made, pccs = HAD[case]
    pcs = _pcs(pccs=pccs)
    evidence = made()
    async with VendorServer(pcs) as server:
        async with built(tmp_path / "s.db", pcs, server, pccs=pccs) as it:
            verified, used = await it.verify(evidence)
            assert verified.claims.product == maker.FMSPC.hex()
            assert (len(_of_certificates(it)), _asked(server)) == (1, 1)
            assert any(blob.startswith(TD.pck.pem.strip()) for blob in used.blobs)  # a replay needs it
            await it.verify(made())
            pieces = it.service.pieces(it.clock.now)
        async with built(tmp_path / "s.db", pcs, server, pccs=pccs) as it:
            await it.verify(evidence)
        async with built(tmp_path / "cold.db", pcs, server, pccs=pccs) as it:
            assert {outcome for _, outcome in await it.service.take(pieces, it.clock.now)} == {"kept"}
            await it.verify(evidence)
        assert (sum(server.asked.values()), _asked(server)) == (5, 1)


async def test_a_leaf_alone_needs_no_more_than_its_cas_chain(tmp_path: Path) -> None:
    """Type 4: what stands above it comes with the CA's list."""
    pcs = _pcs()
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(_bare(kind=4))
        assert (it.cache.names(), _asked(server)) == (NAMES, 0)
        await it.verify(_bare(SECOND, kind=4))
        assert sum(server.asked.values()) == 4


async def test_two_platforms_have_two(tmp_path: Path) -> None:
    pcs = _pcs()
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        one, _ = await it.verify(_bare())
        two, _ = await it.verify(_bare(SECOND, number=2))
        assert one.claims.platform_id != two.claims.platform_id
        assert len(_of_certificates(it)) == 2


async def test_many_at_once_make_one_fetch(tmp_path: Path) -> None:
    pcs = _pcs()
    evidence = _bare()
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server, seconds=20) as it:
        server.handler = lambda path, headers: dataclasses.replace(pcs(path, headers), slow_s=0.2)
        await asyncio.gather(*(it.verify(evidence) for _ in range(100)))
        assert set(server.asked.values()) == {1}


# name: (the quote, at a PCCS, the check)
NONE_TO_BE_HAD: dict[str, tuple[Callable[[], TdxEvidence], bool, str]] = {
    "a clear PPID, which Intel's own service does not take": (_clear, False, "PCK_CHAIN_MISSING"),
    "a key that is no longer in use": (lambda: _bare(kind=2), False, "PCK_CHAIN_MISSING"),
    "a platform that nobody knows": (lambda: _bare(number=9), False, "PCK_CHAIN_MISSING"),
    "no PCEID": (lambda: _bare(kind=1, data=bytes(16) + TAIL[:18]), True, "PCK_CHAIN_MISSING"),
    "sizes that are none": (lambda: _bare(data=bytes(100)), True, "QUOTE_CERT_DATA"),
    "a leaf of another CA's": (lambda: _bare(FOREIGN, kind=4), False, "CHAIN_SIGNATURE"),
}  # fmt: skip


@pytest.mark.parametrize("case", NONE_TO_BE_HAD)
async def test_where_there_is_none_it_is_refused(tmp_path: Path, case: str) -> None:
    made, pccs, check = NONE_TO_BE_HAD[case]
    pcs = _pcs(pccs=pccs)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server, pccs=pccs) as it:
        with pytest.raises(AttestError) as refused:
            await it.verify(made())
        assert check in refused.value.check
        assert _of_certificates(it) == []


# name: the answer in the place of the right one
LIES: dict[str, Callable[[FakePcs], Answer]] = {
    "another platform's": lambda pcs: pcs._pck(SECOND.pck.pem),
    "another root's": lambda pcs: pcs._pck(FOREIGN.pck.pem),
    "no chain": lambda pcs: Answer(body=TD.pck.pem),
    "junk": lambda pcs: dataclasses.replace(pcs._pck(b"junk")),
    "a CA's": lambda pcs: pcs._pck(INTEL.ca("platform").pem),
    "half a body": lambda pcs: dataclasses.replace(pcs._pck(TD.pck.pem[: len(TD.pck.pem) // 2])),
    "an error": lambda pcs: Answer(status=500),
    "a refusal": lambda pcs: Answer(status=401),
    "too many requests": lambda pcs: Answer(status=429),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
async def test_what_does_not_certify_the_quote_is_not_kept(tmp_path: Path, lie: str) -> None:
    pcs = _pcs()
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        server.fault = lambda path: LIES[lie](pcs) if "pckcert?" in path else None
        with pytest.raises(Unavailable) as refused:
            await it.verify(_bare())
        assert cause(refused.value)
        assert it.cache.names() == []
        server.fault = lambda path: None
        it.clock.now += DAY
        await it.verify(_bare())


async def test_strangers_have_a_budget_and_genuine_platforms_do_not_use_it_up(tmp_path: Path) -> None:
    """Quotes of one piece that no platform signed: each asks for a certificate that there is not."""
    pcs = _pcs()
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server, strangers=3) as it:
        for _ in range(5):
            await it.verify(_bare())
        for number in range(10, 20):
            with pytest.raises((AttestError, Unavailable)):
                await it.verify(_bare(number=number))
        assert _asked(server) == 1 + 3
        it.clock.now += DAY
        await it.verify(_bare(SECOND, number=2))


# name: a quote that fails without its certificate
BEFORE: dict[str, tuple[Callable[[], TdxEvidence], str]] = {
    "made for something else": (
        lambda: TdxEvidence(quote=TD.quote(bytes(64), form=Form(certification=(3, _ppid(1) + TAIL)))),
        "REPORT_DATA_MISMATCH",
    ),
    "changed since": (lambda: TdxEvidence(quote=_flipped(_bare().quote, 60)), "QUOTE_SIGNATURE"),
    "another key's": (lambda: TdxEvidence(quote=_flipped(_bare().quote, BOUND)), "QE_BINDING"),
}  # fmt: skip


def _flipped(quote: bytes, at: int) -> bytes:
    return quote[:at] + bytes([quote[at] ^ 1]) + quote[at + 1 :]


@pytest.mark.parametrize("case", BEFORE)
async def test_nothing_is_fetched_for_a_quote_that_is_not_of_one_piece(tmp_path: Path, case: str) -> None:
    made, check = BEFORE[case]
    pcs = _pcs()
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        with pytest.raises(AttestError, match=check):
            await it.verify(made())
        assert not server.asked
