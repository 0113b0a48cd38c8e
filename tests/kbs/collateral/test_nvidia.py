"""NVIDIA's collateral over real HTTP, from services that lie, break and hang: nothing wrong is ever accepted."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.x509 import ReasonFlags, ocsp

from attest.devices import judge_devices, prove_devices, without_manifests
from attest.errors import AttestError
from attest.evidence import Collateral
from attest.gpu.published import read_rim_id
from attest.gpu.verify import AuthenticDevice, keep
from kbs.collateral.errors import CollateralError
from kbs.collateral.shelf import Shelf
from kbs.model.collateral import Gathered, Piece
from kbs.model.refusal import Unavailable
from tests.kbs.collateral.built import DAY, HOUR, NOW, Built, built
from tests.kbs.collateral.test_kds import cause
from tests.makers import nvidia as maker
from tests.makers.nvidia import DRIVER, DRIVER_INDICES, VBIOS, VBIOS_INDICES, Device, certify, measured, name
from tests.makers.nvidia_http import FakeNvidia, rim_answer
from tests.makers.nvidia_rim import manifest
from tests.makers.vendor_http import Answer, VendorServer

NONCE = bytes(range(32))
VENDOR = maker.mint(now=NOW)
OTHER = maker.mint(now=NOW)
GPU = VENDOR.device("GH100")
NODE = maker.hgx(VENDOR)
DRIVER_GOLDEN = {index: [measured(index)] for index in DRIVER_INDICES}
VBIOS_GOLDEN = {index: [measured(index)] for index in VBIOS_INDICES}


async def judged(it: Built, *devices: Device) -> list[AuthenticDevice]:
    """As a release does it."""
    now, keeper = it.clock.now, it.service
    evidence = [device.evidence(NONCE) for device in devices]
    proven = list(prove_devices(evidence, it.anchors, nonce=NONCE, now=it.clock.at()))

    def under(gathered: Gathered) -> list[AuthenticDevice]:
        kept = keep([])
        return list(
            judge_devices(
                proven, gathered.collateral, it.anchors, now=it.clock.at(), revocation_required=True, kept=kept
            )
        )

    gathered = keeper.at_hand_for_devices(Gathered(collateral=Collateral(), kept=None), proven, now)
    failure: AttestError | None = None
    try:
        found = under(gathered)
        if not without_manifests(found):
            return found
    except AttestError as error:
        failure = error
    if not keeper.curable_for_devices(failure):
        assert failure is not None
        raise failure
    gathered, unavailable = await keeper.gather_for_devices(gathered, proven, now)
    try:
        found = under(gathered)
    except AttestError as error:
        if unavailable is None or not keeper.curable_for_devices(error):
            raise
        raise unavailable from unavailable.__cause__
    if unavailable is not None and without_manifests(found):
        raise unavailable
    return found


def asked(server: VendorServer) -> list[str]:
    return sorted(path.partition(" ")[0] for path in server.asked)


def fake(*devices: Device, chip: str = "GH100") -> FakeNvidia:
    return FakeNvidia(VENDOR, *(devices or (GPU,)), chip=chip)


async def test_a_node_gets_all_it_needs_once(tmp_path: Path) -> None:
    """Eight GPUs and four NVSwitches share two manifests and one, and almost everything else."""
    vendor = fake(*NODE)
    async with VendorServer(vendor, post=vendor.post) as server, built(tmp_path / "s.db", vendor, server) as it:
        found = await judged(it, *NODE)
        assert len(found) == 12
        assert not without_manifests(found)
        assert set(server.asked.values()) == {1}
        # 3 manifests, 3 lists; responses about 2 provisioners, 1 identity CA, and 3 of the manifests' chain
        assert asked(server) == sorted(
            [*(f"/v1/rim/{rim}" for rim in vendor.rims), "/crl/l1-root.crl", "/crl/l2-gh100.crl",
             "/crl-corim/l1-corim", *6 * ["/"]]
        )  # fmt: skip
        await judged(it, *NODE)
        await judged(it, *maker.hgx(VENDOR))
        assert sum(server.asked.values()) == 12


@pytest.mark.parametrize("chip", ["GH100", "GB100", "GB20X"])
async def test_every_design_has_its_own_identifiers(tmp_path: Path, chip: str) -> None:
    device = VENDOR.device(chip)
    vendor = fake(device, chip=chip)
    async with VendorServer(vendor, post=vendor.post) as server, built(tmp_path / "s.db", vendor, server) as it:
        found = await judged(it, device)
        assert not without_manifests(found)
        assert {path for path in server.asked if "/rim/" in path} == {
            f"/v1/rim/{vendor.driver}", f"/v1/rim/{vendor.vbios}",
        }  # fmt: skip


async def test_it_survives_a_restart_and_travels_as_pieces(tmp_path: Path) -> None:
    blackwell = VENDOR.device("GB100")
    vendor = fake(blackwell, chip="GB100")
    async with VendorServer(vendor, post=vendor.post) as server:
        async with built(tmp_path / "s.db", vendor, server) as it:
            await judged(it, blackwell)
            pieces = it.service.pieces(it.clock.now)
        server.fault = lambda path: Answer(status=500)
        async with built(tmp_path / "s.db", vendor, server) as it:
            await judged(it, blackwell)
        async with built(tmp_path / "cold.db", vendor, server) as it:
            assert {outcome for _, outcome in await it.service.take(pieces, it.clock.now)} == {"kept"}
            assert not without_manifests(await judged(it, blackwell))
            wrong = [Piece(name=p.name, data=p.data[:-1], fetched_at=0, good_until=0) for p in pieces]
            assert not {"kept", "known"} & {outcome for _, outcome in await it.service.take(wrong, it.clock.now)}


async def test_a_piece_under_anothers_name_is_not_taken(tmp_path: Path) -> None:
    vendor = fake()
    async with VendorServer(vendor, post=vendor.post) as server:
        async with built(tmp_path / "s.db", vendor, server) as it:
            await judged(it, GPU)
            pieces = it.service.pieces(it.clock.now)
        async with built(tmp_path / "cold.db", vendor, server) as it:
            kinds = {
                kind: [p for p in pieces if p.name.startswith(f"nvidia/{kind}/")] for kind in ("rim", "crl", "ocsp")
            }
            for group in kinds.values():
                assert len(group) >= 2
                swapped = [replace(one, name=two.name) for one, two in zip(group, group[1:] + group[:1], strict=True)]
                outcomes = await it.service.take(swapped, it.clock.now)
                assert not {"kept", "known"} & {outcome for _, outcome in outcomes}
            assert it.cache.names() == []


LATER = NOW + dt.timedelta(days=2)
STRANGER = VENDOR.device("GB100")


def response(**changed: object) -> Answer:
    """About the provisioner of the GPU."""
    subject, issuer = GPU.chain[2], GPU.chain[3]
    return Answer(body=VENDOR.ocsp(subject, issuer, **changed))  # type: ignore[arg-type]


def rim(data: bytes, **changed: object) -> Answer:
    return rim_answer(fake().driver, data, **changed)


_DRIVER = manifest(VENDOR, DRIVER, DRIVER_GOLDEN)
# name: (path that is answered wrong, what it is answered, part of the chain of causes)
LIES: dict[str, tuple[str, Callable[[], Answer], str]] = {
    "too many requests": ("/v1/rim/", lambda: Answer(status=429), "SOURCE_STATUS"),
    "an error": ("/v1/rim/", lambda: Answer(status=500), "SOURCE_STATUS"),
    "half a body": ("/v1/rim/", lambda: Answer(body=_DRIVER, half=True), "OUTBOUND_INCOMPLETE"),
    "a hang": ("/v1/rim/", lambda: Answer(hang=True), "OUTBOUND_TIMEOUT"),
    "a redirect": ("/v1/rim/", lambda: Answer(status=302), "OUTBOUND_REDIRECT"),
    "too large": ("/v1/rim/", lambda: Answer(body=bytes(1 << 19)), "OUTBOUND_TOO_LARGE"),
    "junk": ("/v1/rim/", lambda: Answer(body=b"<html>"), "COLLATERAL_REFUSED <- RIM_ANSWER"),
    "a list instead of an object": ("/v1/rim/", lambda: Answer(body=b"[]"), "COLLATERAL_REFUSED <- RIM_ANSWER"),
    "deep JSON": ("/v1/rim/", lambda: Answer(body=b"[" * 200_000), "COLLATERAL_REFUSED <- RIM_ANSWER"),
    "another id": ("/v1/rim/", lambda: rim(_DRIVER, id="NV_GPU_DRIVER_GH100_1.2"), "COLLATERAL_REFUSED <- RIM_ANSWER"),
    "a CoRIM": ("/v1/rim/", lambda: rim(_DRIVER, rim_format="CORIM"), "COLLATERAL_REFUSED <- RIM_ANSWER"),
    "no base64": ("/v1/rim/", lambda: rim(_DRIVER, rim="*"), "COLLATERAL_REFUSED <- RIM_ANSWER"),
    "the manifest of another driver": (
        "/v1/rim/NV_GPU_DRIVER",
        lambda: rim(manifest(VENDOR, "570.172.09", DRIVER_GOLDEN)),
        "COLLATERAL_REFUSED <- RIM_MISMATCH",
    ),
    "the manifest of another chip": (
        "/v1/rim/NV_GPU_DRIVER",
        lambda: rim(manifest(VENDOR, DRIVER, DRIVER_GOLDEN, product="GB100")),
        "COLLATERAL_REFUSED <- RIM_MISMATCH",
    ),
    "the VBIOS' manifest for the driver": (
        "/v1/rim/NV_GPU_DRIVER",
        lambda: rim(manifest(VENDOR, VBIOS, VBIOS_GOLDEN)),
        "COLLATERAL_REFUSED <- RIM_MISMATCH",
    ),
    "a manifest that nobody signed": (
        "/v1/rim/NV_GPU_DRIVER",
        lambda: rim(_DRIVER.replace(b'"570.172.08"', b'"570.172.08" ', 1).replace(b"r1", b"r2", 1)),
        "COLLATERAL_REFUSED <- RIM_DIGEST",
    ),
    "a manifest of another root": (
        "/v1/rim/NV_GPU_DRIVER",
        lambda: rim(manifest(OTHER, DRIVER, DRIVER_GOLDEN)),
        "COLLATERAL_REFUSED <- CHAIN_ROOT_NOT_PINNED",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_manifest_that_is_wrong_is_not_accepted(tmp_path: Path, lie: str) -> None:
    path, answer, told = LIES[lie]
    vendor = fake()
    async with VendorServer(vendor, post=vendor.post) as server:
        server.fault = lambda asked: answer() if asked.startswith(path) else None
        async with built(tmp_path / "s.db", vendor, server, seconds=1 if lie == "a hang" else 20) as it:
            with pytest.raises(Unavailable) as refused:
                await judged(it, GPU)
            assert told in cause(refused.value)
            assert not any(name.endswith(vendor.driver) for name in it.cache.names())
        await server.idle()


# name: (what the responder answers about every certificate, part of the chain of causes)
OCSP_LIES: dict[str, tuple[Callable[[], Answer], str]] = {
    "an error": (lambda: Answer(status=500), "SOURCE_STATUS"),
    "a hang": (lambda: Answer(hang=True), "OUTBOUND_TIMEOUT"),
    "half a body": (lambda: Answer(body=response().body, half=True), "OUTBOUND_INCOMPLETE"),
    "junk": (lambda: Answer(body=b"junk"), "COLLATERAL_REFUSED <- OCSP_MALFORMED"),
    "not found": (lambda: Answer(status=404), "SOURCE_UNKNOWN"),
    "another device's": (
        lambda: Answer(body=VENDOR.ocsp(STRANGER.chain[1], STRANGER.chain[2])),
        "COLLATERAL_REFUSED <- OCSP_MISMATCH",
    ),
    "an old one": (
        lambda: response(since=NOW - dt.timedelta(days=3)), "COLLATERAL_REFUSED <- STATUS_EXPIRED",
    ),
    "one of tomorrow": (lambda: response(since=LATER), "COLLATERAL_REFUSED <- STATUS_NOT_YET_VALID"),
    "one without an end": (lambda: response(hours=None), "COLLATERAL_REFUSED <- STATUS_EXPIRED"),
    "another's signature": (
        lambda: response(responder=OTHER.responder(OTHER.root)), "COLLATERAL_REFUSED <- OCSP_RESPONDER",
    ),
}  # fmt: skip
PROVISIONER = VENDOR.provisioners["GH100"].certificate.serial_number


@pytest.mark.parametrize("lie", OCSP_LIES)
async def test_a_response_that_is_wrong_is_not_accepted(tmp_path: Path, lie: str) -> None:
    """Without lists, so that responses are all there is."""
    answer, told = OCSP_LIES[lie]
    vendor = fake()

    def post(path: str, body: bytes) -> Answer:
        about = ocsp.load_der_ocsp_request(body).serial_number
        return answer() if about == PROVISIONER else vendor.post(path, body)

    async with VendorServer(vendor, post=post) as server:
        server.fault = lambda path: Answer(status=404) if "crl" in path else None
        async with built(tmp_path / "s.db", vendor, server, seconds=1 if lie == "a hang" else 20) as it:
            with pytest.raises(Unavailable) as refused:
                await judged(it, GPU)
            errors = await it_errors(it, PROVISIONER)
            assert "SOURCE_UNKNOWN" in cause(refused.value) or told in cause(refused.value)
            assert told in errors
        await server.idle()


async def it_errors(it: Built, serial: int) -> str:
    """What asking about one certificate meets."""
    proven = list(prove_devices([GPU.evidence(NONCE)], it.anchors, nonce=NONCE, now=it.clock.at()))
    link = next(link for link in proven[0].chain.window.links if link.serial == serial)
    above = proven[0].chain.window.links
    chain = tuple(each.der for each in above[above.index(link) :])
    order = it.service._devices.ocsp(link, chain, "device")  # type: ignore[attr-defined]
    it.clock.now += 2 * 60_000
    with pytest.raises(CollateralError) as refused:
        await it.library.get(order, it.clock.now)
    below = refused.value.__cause__
    return f"{refused.value.check} <- {getattr(below, 'check', below)}"


LISTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "another issuer's": ("/crl/l2-gh100.crl", lambda: VENDOR.crl(VENDOR.identities["GB100"])),
    "signed by another": ("/crl/l2-gh100.crl", lambda: VENDOR.crl(VENDOR.identities["GH100"], key=OTHER.root.key)),
    "an old one": (
        "/crl/l1-root.crl",
        lambda: VENDOR.crl(VENDOR.root, since=NOW - dt.timedelta(days=70)),
    ),
    "the manifests' for the devices'": ("/crl/l1-root.crl", lambda: VENDOR.crl(VENDOR.rim_root)),
}


@pytest.mark.parametrize("lie", LISTS)
async def test_a_list_that_is_wrong_is_not_kept(tmp_path: Path, lie: str) -> None:
    """A response speaks for the same certificate: the release goes on, the list is not among what was kept."""
    path, made = LISTS[lie]
    vendor = fake()
    vendor.lists[path] = made()
    async with VendorServer(vendor, post=vendor.post) as server, built(tmp_path / "s.db", vendor, server) as it:
        assert not without_manifests(await judged(it, GPU))
        kept = {name for name in it.cache.names() if "/crl/" in name}
        assert len(kept) == 2
        assert f"nvidia/crl/{Path(path).stem}" not in kept


@pytest.mark.parametrize(
    ("reason", "check"), [(ReasonFlags.key_compromise, "CERT_REVOKED"), (ReasonFlags.certificate_hold, "CERT_ON_HOLD")]
)
async def test_what_a_response_revokes_is_refused_whatever_else_fails(
    tmp_path: Path, reason: ReasonFlags, check: str
) -> None:
    vendor = fake()
    vendor.states[PROVISIONER] = (ocsp.OCSPCertStatus.REVOKED, reason)
    vendor.lists.clear()
    async with VendorServer(vendor, post=vendor.post) as server, built(tmp_path / "s.db", vendor, server) as it:
        with pytest.raises(AttestError) as refused:
            await judged(it, GPU)
        assert refused.value.check == check


async def test_one_source_of_two_is_enough(tmp_path: Path) -> None:
    """A responder that fails stops nobody whose certificates a list speaks for; manifests' signers have no list."""
    vendor = fake()
    signers = {each.certificate.serial_number for each in (VENDOR.rim_issuer, VENDOR.rim_signer)}

    def post(path: str, body: bytes) -> Answer:
        about = ocsp.load_der_ocsp_request(body).serial_number
        return vendor.post(path, body) if about in signers else Answer(status=404)

    async with VendorServer(vendor, post=post) as server, built(tmp_path / "s.db", vendor, server) as it:
        assert not without_manifests(await judged(it, GPU))


async def test_a_manifest_that_nvidia_does_not_have_is_missing_and_no_failure(tmp_path: Path) -> None:
    vendor = fake()
    del vendor.rims[vendor.vbios]
    async with VendorServer(vendor, post=vendor.post) as server, built(tmp_path / "s.db", vendor, server) as it:
        found = await judged(it, GPU)
        assert without_manifests(found)
        assert found[0].claims.driver_manifests
        await judged(it, GPU)
        assert server.asked[f"/v1/rim/{vendor.vbios}"] == 1  # what is not there is not asked for again at once


def reissued(days: int, until: int, value: int) -> bytes:
    """The driver's manifest by a signer since `days` from now, with another golden value at 7."""
    signer = certify(
        name("HCC RIM L4 Signer"), VENDOR.rim_issuer, since=NOW + dt.timedelta(days=days), ca=False,
        until=NOW + dt.timedelta(days=until),
    )  # fmt: skip
    golden = {**DRIVER_GOLDEN, 7: [measured(value)]}
    return manifest(replace(VENDOR, rim_signer=signer), DRIVER, golden)


async def test_a_newer_issue_replaces_and_an_older_never_does(tmp_path: Path) -> None:
    """Whatever the ends of their validity: the older one lasts longer here, the newer one shorter."""
    vendor = fake()
    old, new = reissued(-300, 5_000, 99), reissued(-10, 200, 7)
    async with VendorServer(vendor, post=vendor.post) as server, built(tmp_path / "s.db", vendor, server) as it:
        await judged(it, GPU)
        piece = f"nvidia/rim/{vendor.driver}"
        vendor.rims[vendor.driver] = new
        it.clock.now += 20 * HOUR
        assert piece in await it.service.renew(it.clock.now)
        vendor.rims[vendor.driver] = old
        it.clock.now += 2 * HOUR
        assert piece not in await it.service.renew(it.clock.now, at_once=True)
        outcomes = await it.service.take(
            [Piece(name=piece, data=old, fetched_at=it.clock.now, good_until=1 << 50)], it.clock.now
        )
        assert "COLLATERAL_OLDER" in outcomes[0][1]
        held = it.cache.get(piece)
        assert held is not None
        assert held.data == new


async def test_lists_responses_and_manifests_are_renewed_ahead_of_their_end(tmp_path: Path) -> None:
    vendor = fake()
    async with VendorServer(vendor, post=vendor.post) as server, built(tmp_path / "s.db", vendor, server) as it:
        await judged(it, GPU)
        before = sum(server.asked.values())
        it.clock.now += 13 * HOUR
        vendor.vendor = replace(VENDOR, now=it.clock.at())
        vendor.lists = {path: FakeNvidia(vendor.vendor, GPU).lists[path] for path in vendor.lists}
        changed = await it.service.renew(it.clock.now)
        assert {name.split("/")[1] for name in changed} == {"crl", "ocsp"}
        assert sum(server.asked.values()) == 2 * before
        it.clock.now += DAY // 2
        server.fault = lambda path: Answer(status=500)
        await judged(it, GPU)


async def test_a_directory_with_all_of_it_needs_no_network(tmp_path: Path) -> None:
    vendor = fake()
    lying = Shelf(Collateral(crls=VENDOR.crls(), rims=tuple(vendor.rims.values())))
    async with VendorServer(vendor, post=vendor.post) as server:
        async with built(tmp_path / "s.db", vendor, server, shelf=lying) as it:
            proven = list(prove_devices([GPU.evidence(NONCE)], it.anchors, nonce=NONCE, now=it.clock.at()))
            gathered = it.service.at_hand_for_devices(
                Gathered(collateral=lying.collateral, kept=None), proven, it.clock.now
            )
            found = list(
                judge_devices(proven, gathered.collateral, it.anchors, now=it.clock.at(), revocation_required=True)
            )
            assert not without_manifests(found)
        assert not server.asked


async def test_a_thousand_first_requests_fetch_each_piece_once(tmp_path: Path) -> None:
    vendor = fake()

    def late(path: str, headers: object) -> Answer:
        return replace(vendor(path, {}), slow_s=0.1)

    async with (
        VendorServer(late, post=vendor.post) as server,
        built(tmp_path / "s.db", vendor, server, seconds=30) as it,
    ):
        proven = list(prove_devices([GPU.evidence(NONCE)], it.anchors, nonce=NONCE, now=it.clock.at()))
        empty = Gathered(collateral=Collateral(), kept=None)
        waiting = (it.service.gather_for_devices(empty, proven, it.clock.now) for _ in range(1_000))
        results: Sequence[tuple[Gathered, Unavailable | None]] = await asyncio.gather(*waiting)
        assert {unavailable for _, unavailable in results} == {None}
        assert len({gathered.collateral for gathered, _ in results}) == 1
        assert set(server.asked.values()) == {1}


# what is no identifier
@pytest.mark.parametrize(
    "text", ["", "NV_GPU_DRIVER_GH100_", "NV_GPU_DRIVER_GH100_../ids", "NV_GPU_VBIOS_1010_0200_882_96", "ids",
             "NV_GPU_DRIVER_GH100_550.90.07/", "NV_GPU_VBIOS_1010_0200_882_96009F0001\n"],
)  # fmt: skip
def test_what_is_no_identifier_is_never_asked_for(text: str) -> None:
    assert read_rim_id(text) is None
