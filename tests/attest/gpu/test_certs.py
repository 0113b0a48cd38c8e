"""Device chains: as given, in order, to the pinned root's key, and of one design by all four names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from attest.evidence import DeviceEvidence
from attest.gpu.certs import authenticate
from attest.gpu.fwid import TCB_INFO
from attest.gpu.report import GPU, SWITCH
from attest.gpu.verify import verify_device
from tests.attest.gpu.made import NONCE, NOW, collateral, judge, kept_of, vendor, with_ocsp
from tests.attest.refusal import refused
from tests.makers.nvidia import Authority, Device, Nvidia, certify, fwid_extension, mint, name, sources

_SINCE = NOW - dt.timedelta(days=100)


def _pem(*chain: Authority) -> bytes:
    return Device(chip="GH100", chain=chain, pdi=bytes(8), fwid=bytes(48)).pem


def _with(device: Device, position: int, replacement: Authority) -> bytes:
    chain = list(device.chain)
    chain[position] = replacement
    return _pem(*chain)


@pytest.mark.parametrize(
    ("chip", "architecture", "kind"),
    [("GH100", "hopper", GPU), ("GB100", "blackwell", GPU), ("GB20X", "blackwell", GPU), ("LS_10", "ls10", SWITCH)],
)
def test_designs(chip: str, architecture: str, kind: str) -> None:
    device = vendor().device(chip)
    claims = judge(device.evidence(NONCE), with_ocsp(device)).claims
    assert (claims.architecture, claims.kind) == (architecture, kind)
    assert (claims.ueid, claims.pdi) == (device.ueid, device.pdi)
    assert claims.simulated
    assert claims.fwid == (None if chip == "LS_10" else device.fwid)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda c: c[:4], "GPU_CHAIN_LENGTH"),
        (lambda c: c[1:], "GPU_CHAIN_LENGTH"),
        (lambda c: c[4:], "GPU_CHAIN_LENGTH"),
        (lambda c: (*c, c[4]), "GPU_CHAIN_LENGTH"),
        (lambda c: (c[0], c[1], c[3], c[2], c[4]), "CHAIN_NAME"),
        (lambda c: (c[1], c[0], c[2], c[3], c[4]), "CHAIN_ROLE"),
        (lambda c: tuple(reversed(c)), "CHAIN_ROOT_NOT_PINNED"),
        (lambda c: (c[0], c[0], c[2], c[3], c[4]), "CHAIN_NAME"),
    ],
    ids=["no root", "no leaf", "root alone", "two roots", "swapped", "identity key first", "reversed", "leaf twice"],
)
def test_order_and_length(change: Callable[[tuple[Authority, ...]], tuple[Authority, ...]], check: str) -> None:
    with refused(check):
        authenticate(_pem(*change(vendor().device().chain)), GPU, vendor().anchors)


@pytest.mark.parametrize(
    "damage",
    [
        lambda pem: b"",
        lambda pem: b"x" + pem,
        lambda pem: pem + b"x",
        lambda pem: pem.replace(b"-----END", b"-----MID", 1),
        lambda pem: pem * 20,
        lambda pem: pem.replace(b"CERTIFICATE", b"X509 CRL"),
    ],
    ids=["empty", "before", "behind", "no end", "huge", "other label"],
)
def test_pem(damage: Callable[[bytes], bytes]) -> None:
    with refused("GPU_CHAIN_LENGTH"):
        authenticate(damage(vendor().device().pem), GPU, vendor().anchors)


def test_pem_may_end_like_a_c_string() -> None:
    pem = vendor().device().pem
    for ending in (b"\0", b"\n\0", b"\r\n"):
        assert authenticate(pem + ending, GPU, vendor().anchors).pem == pem + ending


def test_another_vendor_with_the_same_names() -> None:
    stranger = mint(now=NOW).device()
    with refused("CHAIN_ROOT_NOT_PINNED"):
        judge(stranger.evidence(NONCE))
    grafted = (*stranger.chain[:4], vendor().root)
    with refused("CHAIN_SIGNATURE"):
        authenticate(_pem(*grafted), GPU, vendor().anchors)


def test_another_certificate_of_the_root_is_the_root() -> None:
    """NVIDIA has two, of one name and key. What else is written in it counts for nothing."""
    anchors, device = vendor().anchors, vendor().device()
    root = vendor().root
    again = certify(root.certificate.subject, None, since=_SINCE, until=NOW - dt.timedelta(days=1), key=root.key)
    assert authenticate(_with(device, 4, again), GPU, anchors).pdi == device.pdi
    other = certify(root.certificate.subject, None, since=_SINCE)
    with refused("CHAIN_ROOT_NOT_PINNED"):
        authenticate(_with(device, 4, other), GPU, anchors)


def test_the_root_of_manifests_is_no_root_of_devices() -> None:
    v = vendor()
    with refused("CHAIN_ROOT_NOT_PINNED"):
        authenticate(_with(v.device(), 4, v.rim_root), GPU, v.anchors)


def test_a_switch_is_no_gpu_though_its_chain_is_good() -> None:
    """NVSwitch keys are issued below "NVIDIA GH100 Identity": only names tell them from Hopper's."""
    switch = vendor().device("LS_10")
    with refused("GPU_KIND"):
        authenticate(switch.pem, GPU, vendor().anchors)
    with refused("GPU_KIND"):
        authenticate(vendor().device().pem, SWITCH, vendor().anchors)


@pytest.mark.parametrize(
    "names",
    [{0: "GB100 A01 GSP FMC LF"}, {1: "LS_10 A01 FSP BROM"}, {0: "GH100"}, {0: "GH100 A01 FSP FMC LF"}, {1: "GH100 x"}],
    ids=str,
)
def test_names_of_two_designs(names: dict[int, str]) -> None:
    with refused("GPU_ARCHITECTURE"):
        authenticate(vendor().device(names=names).pem, GPU, vendor().anchors)


def test_chip_info_of_another_design() -> None:
    device = vendor().device("GB20X")
    for info in (b"GB100\0", b"GH100\0", b"GB2020\0"):
        with refused("GPU_ARCHITECTURE"):
            judge(device.evidence(NONCE, opaque={35: info}), with_ocsp(device))


def _roles() -> list[tuple[str, Callable[[Nvidia], Device], str]]:
    def leaf_is_ca(v: Nvidia) -> Device:
        return v.device(leaf_ca=True)

    def critical(v: Nvidia) -> Device:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
        return v.device(leaf_extra=[(extension, True)])

    return [("leaf is a CA", leaf_is_ca, "CHAIN_ROLE"), ("critical extension", critical, "CHAIN_ROLE")]


@pytest.mark.parametrize(("_name", "make", "check"), _roles(), ids=[row[0] for row in _roles()])
def test_roles(_name: str, make: Callable[[Nvidia], Device], check: str) -> None:
    with refused(check):
        judge(make(vendor()).evidence(NONCE))


def _below(identity: Authority, *, path_length: int | None = None, ca: bool = True, sha256: bool = False) -> bytes:
    """A chain whose provisioner is issued anew by `identity`."""
    v = vendor()
    provisioner = certify(
        name("NVIDIA GH100 Provisioner ICA 1"), identity, since=_SINCE, ca=ca, path_length=path_length,
        digest=SHA256() if sha256 else None,
    )  # fmt: skip
    serial = int.from_bytes(b"\x41" + bytes(range(8)), "big")
    key = certify(name("GH100 A01 GSP BROM", f"{serial:018X}"), provisioner, since=_SINCE, serial=serial)
    leaf = certify(name("GH100 A01 GSP FMC LF", f"{7:040X}"), key, since=_SINCE, serial=7, ca=False)
    return _pem(leaf, key, provisioner, identity, v.root)


def test_path_length_usage_and_algorithm_of_a_ca() -> None:
    v = vendor()
    identity = v.identities["GH100"]
    authenticate(_below(identity), GPU, v.anchors)
    authenticate(_below(identity, path_length=1), GPU, v.anchors)
    for pem, check in (
        (_below(identity, path_length=0), "CHAIN_ROLE"),
        (_below(identity, ca=False), "CHAIN_ROLE"),
        (_below(identity, sha256=True), "CHAIN_SIGNATURE"),
    ):
        with refused(check):
            authenticate(pem, GPU, v.anchors)


def test_a_key_of_another_curve() -> None:
    v = vendor()
    device = v.device()
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certify(
        device.chain[0].certificate.subject, device.chain[1], since=_SINCE, serial=9, ca=False,
        key=key,
    )  # fmt: skip
    with refused("GPU_SIGNATURE"):
        authenticate(_with(device, 0, leaf), GPU, v.anchors)


@pytest.mark.parametrize(
    ("serial", "shown"), [(5, f"{6:040X}"), (1 << 158, ""), ((1 << 159) - 1, "7F")], ids=["other", "unnamed", "short"]
)
def test_serials_are_what_the_name_says(serial: int, shown: str) -> None:
    device = vendor().device()
    leaf = certify(
        name("GH100 A01 GSP FMC LF", shown), device.chain[1], since=_SINCE, serial=serial, ca=False,
        extra=[fwid_extension(device.fwid, device.chain[0].spki, dice=False)],
    )  # fmt: skip
    with refused("GPU_SERIAL"):
        authenticate(_with(device, 0, leaf), GPU, vendor().anchors)


@pytest.mark.parametrize(
    "serial",
    [b"\x50" + bytes(range(8)), b"\x41" + bytes(range(9)), b"\x01\x41" + bytes(range(8)), bytes(range(9))],
    ids=["a switch's", "wider than its field", "wider in front", "shorter than its field"],
)
def test_the_serial_of_an_identity_key_says_what_the_device_is(serial: bytes) -> None:
    _with_identity_serial(b"\x41" + bytes(range(8)))
    with refused("GPU_SERIAL"):
        _with_identity_serial(serial)


def _with_identity_serial(raw: bytes) -> None:
    v, serial = vendor(), int.from_bytes(raw, "big")
    key = certify(name("GH100 A01 GSP BROM", f"{serial:018X}"), v.provisioners["GH100"], since=_SINCE, serial=serial)
    leaf = certify(name("GH100 A01 GSP FMC LF", f"{7:040X}"), key, since=_SINCE, serial=7, ca=False)
    authenticate(_pem(leaf, key, *v.device().chain[2:]), GPU, v.anchors)


def test_fwid() -> None:
    hopper, blackwell = vendor().device(), vendor().device("GB100")
    for device in (hopper, blackwell):
        with refused("GPU_FWID_MISMATCH"):
            judge(device.evidence(NONCE, opaque={20: bytes(48)}), with_ocsp(device))
    claims = judge(hopper.evidence(NONCE, opaque={20: None})).claims
    assert claims.fwid is None


@pytest.mark.parametrize(
    "value",
    [b"", b"\x30\x00", b"\x30\x80\0\0", b"\x30\x03\x02\x01\x01", b"\xff" * 40, b"\x30\x81\x05" + bytes(5)],
    ids=lambda v: v.hex()[:12],
)
@pytest.mark.parametrize("oid", ["2.23.133.5.4.1", TCB_INFO])
def test_fwid_extensions_that_are_none(oid: str, value: bytes) -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
    device = vendor().device()
    leaf = certify(
        device.chain[0].certificate.subject, device.chain[1], since=_SINCE, ca=False, extra=[(extension, False)],
        serial=device.chain[0].certificate.serial_number,
    )  # fmt: skip
    with refused("GPU_FWID_FORMAT"):
        authenticate(_with(device, 0, leaf), GPU, vendor().anchors)


def test_both_fwid_extensions() -> None:
    device = vendor().device(leaf_extra=[fwid_extension(bytes(48), bytes(120), dice=True)])
    with refused("GPU_FWID_FORMAT"):
        judge(device.evidence(NONCE))


@pytest.mark.parametrize(
    ("now", "check"),
    [(NOW - dt.timedelta(days=450), "CERT_NOT_YET_VALID"), (NOW - dt.timedelta(days=600), "CERT_NOT_YET_VALID")],
)
def test_validity(now: dt.datetime, check: str) -> None:
    with refused(check):
        judge(vendor().device().evidence(NONCE), collateral(rims_=(), crls=()), now=now, required=False)


def test_an_expired_ca() -> None:
    v = vendor()
    identity = certify(
        name("NVIDIA GH100 Identity"), v.root, since=_SINCE, until=NOW - dt.timedelta(days=1), extra=sources()
    )
    evidence = DeviceEvidence(kind=GPU, report=v.device().report(NONCE), chain=_below(identity))
    with refused("CERT_EXPIRED"):
        judge(evidence)


def test_a_kept_chain_is_for_its_bytes_its_roots_and_its_kind() -> None:
    """Nothing that was kept makes other evidence good, and validity is asked at every use."""
    device, other = vendor().device(), vendor().device()
    kept = kept_of(judge(device.evidence(NONCE)))
    with refused("GPU_SIGNATURE"):
        judge(DeviceEvidence(kind=GPU, report=other.report(NONCE), chain=device.pem), kept=kept)
    assert judge(other.evidence(NONCE), kept=kept).claims.pdi == other.pdi
    with refused("CERT_NOT_YET_VALID"):
        judge(device.evidence(NONCE), now=NOW - dt.timedelta(days=450), kept=kept, required=False)
    stranger = mint(now=NOW)
    with refused("CHAIN_ROOT_NOT_PINNED"):
        verify_device(
            device.evidence(NONCE), collateral(rims_=(), crls=()), stranger.anchors, nonce=NONCE, now=NOW,
            revocation_required=False, kept=kept,
        )  # fmt: skip
