"""Appraisal: manifests against measurements, profiles against devices, and how a system is wired."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from attest.evidence import Collateral
from attest.finding import Finding, Outcome
from attest.gpu.appraise import appraise_devices
from attest.gpu.claims import DeviceClaims
from attest.gpu.profile import GpuProfile
from tests.attest.gpu.made import NONCE, NOW, collateral, failed, judge, rims, vendor, with_ocsp
from tests.attest.refusal import refused
from tests.makers.nvidia import DRIVER, DRIVER_INDICES, VBIOS, VBIOS_INDICES, Device, certify, hgx, measured
from tests.makers.nvidia_rim import manifest, signed, swid

_ONE: dict[str, object] = {"count": 1}
_PPCIE: dict[str, object] = {"count": 8, "topology": "ppcie"}
_GPUS_ONLY: dict[str, object] = {"count": 8, "topology": "gpus-only-switches-unverified"}
_OTHER = bytes([9]) * 48


def _golden(indices: Sequence[int]) -> dict[int, list[bytes]]:
    return {index: [measured(index)] for index in indices}


def _claims(offered: Collateral | None = None, **fields: object) -> DeviceClaims:
    return judge(vendor().device().evidence(NONCE, **fields), offered).claims


def _findings(claims: Sequence[DeviceClaims], profile: dict[str, object]) -> tuple[Finding, ...]:
    return appraise_devices(claims, GpuProfile.parse(profile))


def _failures(claims: DeviceClaims, profile: dict[str, object] = _ONE) -> list[tuple[str, str]]:
    return [(f.check, f.path) for f in _findings([claims], profile) if f.outcome is Outcome.FAILED]


def _driver(golden: dict[int, list[bytes]], version: str = DRIVER, **names: str) -> bytes:
    return manifest(vendor(), version, golden, **names)


def test_good_devices_of_every_design_meet_the_strictest_profile() -> None:
    for chip in ("GH100", "GB100", "GB20X"):
        assert failed([vendor().device(chip)], _ONE) == []
    assert failed(hgx(vendor()), _PPCIE) == []


def test_a_mismatch_names_the_index_with_golden_and_runtime_value() -> None:
    claims = _claims(measurements={9: _OTHER, 30: _OTHER})
    found = [f for f in _findings([claims], _ONE) if f.outcome is Outcome.FAILED]
    assert [(f.check, f.path) for f in found] == [
        ("RIM_MEASUREMENT", "devices[0].measurements.driver[30]"),
        ("RIM_MEASUREMENT", "devices[0].measurements.vbios[9]"),
    ]
    assert (found[1].expected.split()[0], found[1].got) == (measured(9).hex(), _OTHER.hex())


def test_alternatives_and_zero_are_values_like_any_other() -> None:
    golden = {**_golden(DRIVER_INDICES), 30: [measured(30), _OTHER, bytes(48)]}
    offered = collateral(rims_=[_driver(golden), rims()[1]])
    for value in (measured(30), _OTHER, bytes(48)):
        assert _failures(_claims(offered, measurements={30: value})) == []
    assert len(_failures(_claims(offered, measurements={30: bytes([8]) * 48}))) == 1
    zero = collateral(rims_=[_driver({**_golden(DRIVER_INDICES), 30: [bytes(48)]}), rims()[1]])
    assert _failures(_claims(zero)) == [("RIM_MEASUREMENT", "devices[0].measurements.driver[30]")]


def test_nvdec0_leaves_out_its_index_only_if_disabled_and_only_if_it_differs() -> None:
    status: bytes | None
    for status, value, outcome in (
        (b"\x55", _OTHER, Outcome.SKIPPED),
        (b"\xaa", _OTHER, Outcome.FAILED),
        (None, _OTHER, Outcome.FAILED),
        (b"\x55", measured(35), Outcome.PASSED),
    ):
        claims = _claims(opaque={11: status}, measurements={35: value})
        found = [f for f in _findings([claims], _ONE) if "driver" in f.path and f.check == "RIM_MEASUREMENT"]
        assert {f.outcome for f in found} == {outcome}
    assert _failures(_claims(opaque={11: b"\x55"}, measurements={34: _OTHER})) != []
    disabled = _claims(opaque={11: b"\x55"})
    short = dataclasses.replace(disabled, measurements=disabled.measurements[:35])
    missing = [f for f in _findings([short], _ONE) if f.path.endswith("driver[35]")]
    assert [(f.check, f.outcome, f.got) for f in missing] == [
        ("RIM_MEASUREMENT", Outcome.FAILED, "no such measurement")
    ]


def test_an_index_in_both_manifests() -> None:
    offered = collateral(rims_=[rims()[0], _driver({**_golden(VBIOS_INDICES), 7: [measured(7)]}, VBIOS)])
    assert _failures(_claims(offered)) == [("RIM_INDEX_CONFLICT", "devices[0].measurements")]


def test_measurements_that_no_manifest_speaks_of() -> None:
    claims = _claims(measurements={60: _OTHER})
    assert _failures(claims) == [("RIM_UNCOVERED", "devices[0].measurements")]
    assert _failures(claims, {**_ONE, "allow_uncovered_measurements": True}) == []
    (finding,) = [f for f in _findings([claims], _ONE) if f.check == "RIM_UNCOVERED"]
    assert finding.got == f"60: {_OTHER.hex()}"


def test_an_index_beyond_the_report() -> None:
    document = swid(DRIVER, {**_golden(DRIVER_INDICES), 64: [_OTHER]}, count=65)
    offered = collateral(rims_=[signed(vendor(), document), rims()[1]])
    assert _failures(_claims(offered)) == [("RIM_MEASUREMENT", "devices[0].measurements.driver[64]")]


@pytest.mark.parametrize(
    "driver",
    [
        {"version": "570.172.09"},
        {"product": "GB100"},
        {"edition": "SWITCH"},
        {"product": "gh100"},
        {"version": "570.172.08 "},
    ],
    ids=str,
)
def test_a_good_manifest_of_something_else_is_none(driver: dict[str, str]) -> None:
    """A service may answer with a validly signed manifest of another product: it says nothing about this one."""
    offered = collateral(rims_=[_driver(_golden(DRIVER_INDICES), **driver), rims()[1]])
    claims = _claims(offered)
    assert _failures(claims) == [("RIM_MISSING", "devices[0].measurements.driver")]
    assert _failures(claims, {**_ONE, "allow_missing_rim": True}) == []
    (finding,) = [f for f in _findings([claims], _ONE) if f.check == "RIM_MISSING"]
    assert finding.expected == "a manifest of GH100 570.172.08 (NV_GPU_DRIVER_GH100_570.172.08)"


def test_no_manifests_at_all() -> None:
    assert [check for check, _ in _failures(_claims(collateral(rims_=())))] == ["RIM_MISSING", "RIM_MISSING"]


def test_vbios_versions_compare_whatever_the_case() -> None:
    offered = collateral(rims_=[rims()[0], _driver(_golden(VBIOS_INDICES), VBIOS.lower())])
    assert _failures(_claims(offered)) == []


def test_a_bad_manifest_is_refused_when_it_is_offered() -> None:
    with refused("RIM_DIGEST"):
        _claims(collateral(rims_=[*rims(), rims()[0].replace(b'edition="GPU"', b'edition="GPU "')]))


def _issued(days_ago: int, days: int, value: bytes) -> bytes:
    """The VBIOS's manifest with another value at 9, by a signer of that age."""
    v = vendor()
    since = NOW - dt.timedelta(days=days_ago)
    signer = certify(
        v.rim_signer.certificate.subject, v.rim_issuer, since=since, until=since + dt.timedelta(days=days), ca=False
    )
    document = swid(VBIOS, {**_golden(VBIOS_INDICES), 9: [value]})
    return signed(v, document, chain=(signer, v.rim_issuer, v.rim_authority, v.rim_root))


def test_a_manifest_that_was_issued_again_under_the_same_name() -> None:
    """One that is met whole is enough; if none is, the newest says what differs; values are never mixed."""
    old, new = _issued(50, 100, _OTHER), _issued(10, 100, measured(9))
    for order in ([old, new], [new, old]):
        offered = collateral(rims_=[rims()[0], *order])
        assert _failures(_claims(offered)) == []
        assert _failures(_claims(offered, measurements={9: _OTHER})) == []
        assert _failures(_claims(offered, measurements={9: _OTHER, 8: _OTHER})) == [
            ("RIM_MEASUREMENT", "devices[0].measurements.vbios[8]"),
            ("RIM_MEASUREMENT", "devices[0].measurements.vbios[9]"),
        ]


def test_an_issue_that_has_expired_is_no_issue() -> None:
    expired, new = _issued(50, 10, _OTHER), _issued(10, 100, measured(9))
    assert _failures(_claims(collateral(rims_=[rims()[0], expired, new]))) == []
    assert _failures(_claims(collateral(rims_=[rims()[0], expired, new]), measurements={9: _OTHER})) != []
    with refused("RIM_EXPIRED"):
        _claims(collateral(rims_=[rims()[0], expired]))


def test_manifests_whose_signer_is_revoked_or_on_hold() -> None:
    v = vendor()
    good, serial = v.crls(), v.rim_signer.certificate.serial_number
    revoked = v.crl(v.rim_issuer, {serial: None})
    with refused("CERT_REVOKED"):
        _claims(collateral(crls=[*good, revoked]))
    response = v.ocsp(
        v.rim_signer, v.rim_issuer, ocsp.OCSPCertStatus.REVOKED, x509.ReasonFlags.certificate_hold,
        since=NOW - dt.timedelta(minutes=5),
    )  # fmt: skip
    claims = _claims(collateral(ocsp=[response]))
    assert _failures(claims) == [
        ("RIM_ON_HOLD", "devices[0].manifest.driver"),
        ("RIM_ON_HOLD", "devices[0].manifest.vbios"),
    ]
    assert _failures(claims, {**_ONE, "allow_rim_on_hold": True}) == []
    with refused("REVOCATION_MISSING"):
        _claims(collateral(crls=good[:-1]))


@pytest.mark.parametrize(
    ("opaque", "profile", "check"),
    [
        ({36: b"\1\0"}, {"modes": ["spt"]}, "DEVICE_MODE"),
        ({36: b"\2\0"}, {}, "DEVICE_MODE"),
        ({36: None}, {}, "DEVICE_MODE"),
        ({36: None}, {"allow_unstated_mode": True}, ""),
        ({36: b"\1\0"}, {"modes": ["mpt"]}, ""),
        ({20: None}, {}, "DEVICE_FWID"),
        ({20: None}, {"allow_missing_fwid": True}, ""),
        ({}, {"architectures": ["blackwell"]}, "DEVICE_ARCHITECTURE"),
        ({}, {"minimum_driver": "570.172.8"}, ""),
        ({}, {"minimum_driver": "570.172.09"}, "DEVICE_DRIVER_VERSION"),
        ({}, {"minimum_driver": "570.173"}, "DEVICE_DRIVER_VERSION"),
        ({}, {"minimum_vbios": "96.00.A5.00.01"}, ""),
        ({}, {"minimum_vbios": "96.00.a5.00.02"}, "DEVICE_VBIOS_VERSION"),
        ({3: b"570.beta\0"}, {"minimum_driver": "1", "allow_missing_rim": True}, "DEVICE_DRIVER_VERSION"),
        ({3: None}, {"minimum_driver": "1", "allow_missing_rim": True}, "DEVICE_DRIVER_VERSION"),
        ({}, {"pdis": ["00" * 8]}, "DEVICE_PDI"),
        ({}, {"count": 2}, "DEVICE_COUNT"),
    ],
    ids=str,
)
def test_profiles(opaque: dict[int, bytes | None], profile: dict[str, object], check: str) -> None:
    found = _failures(_claims(opaque=opaque), {**_ONE, **profile})
    assert [name for name, _ in found] == ([check] if check else [])


def test_no_devices_meet_no_profile() -> None:
    assert [f.check for f in _findings([], _ONE) if f.outcome is Outcome.FAILED] == ["DEVICE_COUNT"]
    assert "DEVICE_COUNT" in [f.check for f in _findings([], _PPCIE) if f.outcome is Outcome.FAILED]


def test_one_device_twice_by_ueid_or_by_pdi() -> None:
    """Other firmware makes another UEID of the same device: the PDI tells."""
    one = vendor().device()
    again = vendor().device(pdi=one.pdi)
    for pair, paths in (
        ([one, one], ["devices.ueid", "devices.pdi"]),
        ([one, again], ["devices.pdi"]),
    ):
        found = failed(pair, {"count": 2})
        assert [(f.check, f.path) for f in found] == [("DEVICE_DUPLICATE", path) for path in paths]


def test_what_is_lifted_is_skipped_and_never_passed() -> None:
    claims = _claims(collateral(rims_=()), opaque={20: None, 36: None}, measurements={60: _OTHER})
    lifted = {f"allow_{name}": True for name in ("missing_rim", "unstated_mode", "missing_fwid")}
    found = {f.check: f.outcome for f in _findings([claims], {**_ONE, **lifted})}
    assert {found[name] for name in ("RIM_MISSING", "DEVICE_MODE", "DEVICE_FWID")} == {Outcome.SKIPPED}


def _system() -> list[DeviceClaims]:
    return [judge(device.evidence(NONCE), with_ocsp(device)).claims for device in hgx(vendor())]


def _wiring(claims: Sequence[DeviceClaims], profile: dict[str, object]) -> set[str]:
    return {f.check for f in _findings(claims, profile) if f.outcome is Outcome.FAILED}


def test_topology() -> None:
    good, foreign = _system(), _system()
    gpu, switch = good[0], good[8]
    pdis = gpu.switch_pdis
    cases: list[tuple[list[DeviceClaims], set[str]]] = [
        (good, set()),
        (good[:8], {"SWITCH_EVIDENCE_MISSING"}),
        (good[:11], {"TOPOLOGY_COUNT", "TOPOLOGY_SWITCHES"}),
        ([*good, foreign[8]], {"TOPOLOGY_COUNT", "TOPOLOGY_SWITCHES", "TOPOLOGY_GPUS"}),
        (good[1:], {"DEVICE_COUNT", "TOPOLOGY_GPUS"}),
        ([foreign[0], *good[1:]], {"TOPOLOGY_SWITCHES", "TOPOLOGY_GPUS"}),
        ([*good[:8], *foreign[8:]], {"TOPOLOGY_SWITCHES", "TOPOLOGY_GPUS"}),
        ([*good[:11], good[10]], {"DEVICE_DUPLICATE", "TOPOLOGY_SWITCHES"}),
        ([dataclasses.replace(gpu, switch_pdis=pdis[:3]), *good[1:]], {"TOPOLOGY_SWITCHES"}),
        ([dataclasses.replace(gpu, switch_pdis=()), *good[1:]], {"TOPOLOGY_SWITCHES"}),
        ([dataclasses.replace(gpu, pdi=bytes(8)), *good[1:]], {"TOPOLOGY_GPUS"}),
        ([*good[:8], dataclasses.replace(switch, gpu_pdis=()), *good[9:]], {"TOPOLOGY_GPUS"}),
        ([*good[:8], dataclasses.replace(switch, pdi=bytes(8)), *good[9:]], {"TOPOLOGY_SWITCHES"}),
        ([*good[:8], dataclasses.replace(switch, locked=False), *good[9:]], {"SWITCH_UNLOCKED"}),
        ([*good[:8], dataclasses.replace(switch, locked=None), *good[9:]], {"SWITCH_UNLOCKED"}),
    ]
    for claims, expected in cases:
        assert _wiring(claims, _PPCIE) == expected


def test_the_weaker_topology_says_that_it_is_weaker() -> None:
    good = _system()
    assert _wiring(good[:8], _GPUS_ONLY) == set()
    (finding,) = [f for f in _findings(good[:8], _GPUS_ONLY) if f.check == "SWITCH_EVIDENCE_MISSING"]
    assert finding.outcome is Outcome.SKIPPED
    assert "unverified" in finding.got
    lying = [dataclasses.replace(good[0], switch_pdis=(bytes(7) + b"\1",) * 4), *good[1:8]]
    assert _wiring(lying, _GPUS_ONLY) == {"TOPOLOGY_SWITCHES"}
    assert "TOPOLOGY_SWITCHES" in _wiring([dataclasses.replace(each, switch_pdis=()) for each in good[:8]], _GPUS_ONLY)


def test_a_switch_names_itself_as_its_certificate_does() -> None:
    with refused("GPU_PDI_MISMATCH"):
        judge(vendor().device("LS_10").evidence(NONCE, opaque={22: bytes(8)}))


def test_ppcie_without_a_topology_is_refused() -> None:
    devices: tuple[Device, ...] = hgx(vendor())[:8]
    assert {f.check for f in failed(devices, {"count": 8})} == {"DEVICE_MODE"}
