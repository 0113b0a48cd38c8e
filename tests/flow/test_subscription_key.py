"""The subscription key of Intel's service: to the configured source, with what needs it, over TLS, and nowhere else."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from attest.errors import AttestError
from attest.evidence import TdxEvidence
from attest.verify import verify
from kbs.collateral.service import CollateralService
from kbs.custody.root import RootUnusable
from kbs.log.sequence import LogSequencer
from kbs.model.refusal import Unavailable
from kbs.serve.collateral import open_collateral
from kbs.serve.config.load import ConfigInvalid, parse
from kbs.serve.config.option import SecretRef
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.wiring import wall_clock
from kbs.store.connect import create
from tests.kbs.serve.deployment import configure
from tests.makers import intel as maker
from tests.makers import pki
from tests.makers.pcs import ROOT_CRL, FakePcs
from tests.makers.quote import Form
from tests.makers.vendor_http import Answer, VendorServer

KEY = "5ub5cr1pt10n-k3y-0f-th1s-s1te-0123456789"
HEADER = "ocp-apim-subscription-key"
DATA = bytes(range(64))
CERTIFICATES = "/sgx/certification/v4/pckcert"


class Recorded:
    """Answers as `answer` does, and remembers which requests had which key."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.keys: dict[str, set[str | None]] = {}

    def __call__(self, path: str, headers: Mapping[str, str]) -> Answer:
        self.keys.setdefault(path.partition("?")[0], set()).add(headers.get(HEADER))
        found: Answer = self.answer(path, headers)
        return found


def _intel() -> tuple[maker.Intel, FakePcs, TdxEvidence]:
    """A platform whose quote names its certificate and does not carry it."""
    intel = maker.mint(now=dt.datetime.now(dt.UTC))
    platform, ppid = intel.platform(), bytes([1]) * 384
    svns = bytes(maker.COMPONENTS)
    named = ppid + svns + maker.PCESVN.to_bytes(2, "little") + bytes(2)
    pcs = FakePcs(intel, pccs=True)
    asked = f"qeid={bytes(range(16)).hex().upper()}&encrypted_ppid={ppid.hex().upper()}"
    pcs.certificates[f"{asked}&cpusvn={svns.hex().upper()}&pcesvn=0D00&pceid=0000"] = platform.pck.pem
    return intel, pcs, TdxEvidence(quote=platform.quote(DATA, form=Form(certification=(3, named))))


def _tls(folder: Path) -> ssl.SSLContext:
    now = dt.datetime.now(dt.UTC)
    ca = pki.authority("a CA", now)
    pair = pki.issue(ca, "vendor", now, server=True)
    for name, data in (("server.key", pair.key), ("server.pem", pair.certificate), ("ca.pem", ca.pem)):
        (folder / name).write_bytes(data)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    return tls


def _section(folder: Path, base: str, key: str = KEY) -> Section:
    file = folder / "pcs.key"
    file.unlink(missing_ok=True)
    file.write_text(f"{key}\n")
    file.chmod(0o600)
    ref = SecretRef(kind="file", where=str(file))
    return Section(pcs=base, pcs_root_crl=f"{base}{ROOT_CRL}", kds=base, pcs_key=ref, ca_file=folder / "ca.pem")


@contextlib.asynccontextmanager
async def _keeper(folder: Path, section: Section, intel: maker.Intel) -> AsyncIterator[CollateralService]:
    store = folder / "store.db"
    if not store.exists():
        create(store, LogSequencer("keys.example.com/audit/1").empty())
    clocks: dict[str, Any] = {"clock": wall_clock, "monotonic": wall_clock, "chance": lambda: 0.5}
    async with open_collateral(section, store, intel.anchors, **clocks) as keeper:
        yield keeper


async def _judge(keeper: CollateralService, evidence: TdxEvidence, intel: maker.Intel) -> str:
    """As a release does; the product."""
    now = wall_clock()
    at = dt.datetime.fromtimestamp(now / 1_000, dt.UTC)
    gathered = keeper.at_hand(evidence, now)
    for _ in range(3):
        try:
            return str(
                verify(
                    evidence, gathered.collateral, intel.anchors, report_data=DATA, now=at, revocation="required"
                ).claims.product
            )
        except AttestError as error:
            failure = error
        found = await keeper.gather(evidence, failure, report_data=DATA, now=now)
        if found is None:
            raise failure
        gathered = found
    raise AssertionError("no end to what is missing")


async def test_it_is_sent_with_what_needs_it_and_with_nothing_else(tmp_path: Path) -> None:
    intel, pcs, evidence = _intel()
    recorded = Recorded(pcs)
    async with (
        VendorServer(recorded, tls=_tls(tmp_path)) as server,
        _keeper(tmp_path, _section(tmp_path, server.base), intel) as keeper,
    ):
        assert await _judge(keeper, evidence, intel) == maker.FMSPC.hex()
        await keeper.renew(wall_clock(), at_once=True)
    assert recorded.keys.pop(CERTIFICATES) == {KEY}
    assert len(recorded.keys) >= 4
    assert set().union(*recorded.keys.values()) == {None}


@pytest.mark.parametrize("status", [302, 308])
async def test_it_goes_to_nobody_that_the_source_points_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    intel, pcs, evidence = _intel()
    elsewhere = Recorded(pcs)
    tls = _tls(tmp_path)
    with caplog.at_level(logging.DEBUG):
        async with VendorServer(elsewhere, tls=tls) as other:

            def pointing(path: str, headers: Mapping[str, str]) -> Answer:
                if path.startswith(CERTIFICATES):
                    return Answer(status=status, headers={"Location": f"{other.base}{path}"})
                return pcs(path, headers)

            recorded = Recorded(pointing)
            async with (
                VendorServer(recorded, tls=tls) as server,
                _keeper(tmp_path, _section(tmp_path, server.base), intel) as keeper,
            ):
                with pytest.raises(Unavailable) as caught:
                    await _judge(keeper, evidence, intel)
    assert recorded.keys[CERTIFICATES] == {KEY}
    assert elsewhere.keys == {}
    seen: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        seen += [repr(error), str(error), *map(repr, error.args)]
        error = error.__cause__ or error.__context__
    assert KEY not in caplog.text + "".join(seen)


async def test_a_key_that_is_not_taken_stops_nothing_that_needs_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    intel, pcs, evidence = _intel()

    def closed(path: str, headers: Mapping[str, str]) -> Answer:
        return Answer(status=401) if path.startswith(CERTIFICATES) else pcs(path, headers)

    async with (
        VendorServer(closed, tls=_tls(tmp_path)) as server,
        _keeper(tmp_path, _section(tmp_path, server.base), intel) as keeper,
    ):
        for _ in range(8):
            with pytest.raises(Unavailable):
                await _judge(keeper, evidence, intel)
        asked = sum(count for path, count in server.asked.items() if path.startswith(CERTIFICATES))
        assert asked == 1  # and not again at once
        assert "SOURCE_KEY" in caplog.text
        assert KEY not in caplog.text
        whole = TdxEvidence(quote=intel.platform().quote(DATA))
        assert await _judge(keeper, whole, intel) == maker.FMSPC.hex()


async def test_what_is_no_key_is_said_without_it(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(pki.authority("a CA", dt.datetime.now(dt.UTC)).pem)
    intel, _, _ = _intel()
    for key in ("", "two words", "a\r\nX-Other: b", "\x00", "k\u00e9y", "x" * 513):
        with pytest.raises(RootUnusable, match="holds no subscription key") as caught:
            async with _keeper(tmp_path, _section(tmp_path, "https://pcs.example", key), intel):
                raise AssertionError("it opened")
        assert not key or key not in str(caught.value)


def test_it_is_a_reference_and_never_sent_in_clear(tmp_path: Path) -> None:
    raw = configure(tmp_path).read_bytes()

    def read(more: str) -> Section:
        return parse(raw + f"\n[collateral]\n{more}\n".encode(), tmp_path / "broker.toml").collateral

    assert str(read('pcs_key = "credential:pcs-key"').pcs_key) == "credential:pcs-key"
    assert read('pcs_key = "file:pcs.key"').pcs_key == SecretRef(kind="file", where=str(tmp_path / "pcs.key"))
    for wrong, said in (
        ('pcs_key = "0123456789abcdef"', "pcs_key must be"),
        ('pcs_key = "terminal"', "pcs_key must be"),
        ('pcs = "http://127.0.0.1:8081"\npcs_key = "file:pcs.key"', "sent in clear"),
    ):
        with pytest.raises(ConfigInvalid, match=said):
            read(wrong)


async def test_a_secret_leaves_over_tls_alone() -> None:
    from kbs.outbound.client import Egress, Outbound  # noqa: PLC0415
    from kbs.outbound.errors import OutboundError  # noqa: PLC0415

    recorded = Recorded(lambda path, headers: Answer(body=b"x"))
    async with VendorServer(recorded) as server:
        client = Outbound(Egress(hosts=frozenset({server.host}), loopback=True))
        with pytest.raises(OutboundError, match="OUTBOUND_SCHEME") as caught:
            await client.get(f"{server.base}/x", limit=10, seconds=20, secret={"Ocp-Apim-Subscription-Key": KEY})
        assert KEY not in str(caught.value)
        await client.close()
    assert recorded.keys == {}
