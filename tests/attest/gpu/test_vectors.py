"""Captured evidence of real GPUs and NVSwitches, and NVIDIA's own manifests: each gets the manifest's verdict."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from attest.anchors import BUILT_IN
from attest.errors import AttestError
from attest.evidence import Collateral, DeviceEvidence
from attest.finding import Outcome
from attest.gpu.appraise import appraise_devices
from attest.gpu.certs import authenticate
from attest.gpu.claims import DeviceClaims
from attest.gpu.forms import read_devices, read_report
from attest.gpu.profile import GpuProfile
from attest.gpu.report import GPU, SWITCH
from attest.gpu.rim import verify_rim
from attest.gpu.verify import verify_device
from tests.attest.refusal import refused
from tests.vectors import VECTORS, manifest, needs_vectors

_SDK = "nvidia/attestation-sdk/testdata"
_SAMPLE = f"{_SDK}/sample_attestation_data"
_TRUST, _MUSEOP, _COCO = "nvidia/nvtrust/samples", "nvidia/museop-nvgpu-attestation", "nvidia/trustee/test_data/nvidia"
_PPCIE = "nvidia/nvtrust/ppcie-verifier-sdk-cpp/tests/data"
_NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
_LIFTED: dict[str, object] = {
    f"allow_{name}": True for name in ("unchecked_revocation", "unstated_mode", "missing_fwid", "missing_rim")
}
# Where a chain lies beside its report under another name; the check for what is refused.
CHAINS = {
    f"{_SDK}/hopperAttestationReport.txt": f"{_SDK}/hopperCertChain.txt",
    f"{_SAMPLE}/gpu/blackwellAttestationReport.txt": f"{_SAMPLE}/gpu/blackwellCertChain.txt",
    f"{_SAMPLE}/gpu/hopperAttestationReport.txt": f"{_SAMPLE}/gpu/hopperCertChain.txt",
    f"{_SAMPLE}/gpu/hopperAttestationReportExpired.txt": f"{_SAMPLE}/gpu/hopperCertChainExpired.txt",
    f"{_SAMPLE}/gpu/hopperAttestationReportInvalidSignature.txt": f"{_SAMPLE}/gpu/hopperCertChain.txt",
    f"{_SAMPLE}/switch/switchAttestationReport.txt": f"{_SAMPLE}/switch/switchCertChain.txt",
    f"{_SAMPLE}/switch/switchAttestationReportInvalidSignature.txt": f"{_SAMPLE}/switch/switchCertChain.txt",
    f"{_TRUST}/attestationReport@213af4b848.txt": f"{_TRUST}/gpuAkCertChain@213af4b848.txt",
    f"{_TRUST}/hopperAttestationReport.txt": f"{_TRUST}/hopperCertChain.txt",
    f"{_COCO}/blackwellAttestationReport@b28d3fe099.txt": f"{_COCO}/blackwell_cert_chain_case1@b28d3fe099.txt",
    f"{_COCO}/hopper_coco_report1.txt": f"{_COCO}/hopper_coco_certs1.txt",
}
REFUSED = {
    f"{_SAMPLE}/gpu/hopperAttestationReportInvalidSignature.txt": "GPU_SIGNATURE",
    f"{_SAMPLE}/switch/switchAttestationReportInvalidSignature.txt": "GPU_SIGNATURE",
    f"{_COCO}/blackwell_cert_chain_case2@b28d3fe099.txt": "GPU_CHAIN_LENGTH",
    f"{_COCO}/blackwell_cert_chain_case3@b28d3fe099.txt": "GPU_CHAIN_LENGTH",
    f"{_COCO}/hopper_cert_chain_case3.txt": "GPU_CHAIN_LENGTH",
    f"{_COCO}/hopper_cert_chain_case4.txt": "GPU_CHAIN_LENGTH",
    f"{_SDK}/incorrect_cert_chain_driver_rim.xml": "CHAIN_ROOT_NOT_PINNED",
    f"{_SDK}/incorrect_signature_driver_rim.xml": "RIM_SIGNATURE",
    f"{_SDK}/sample_rims/NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml": "RIM_DIGEST",
    f"{_SDK}/sample_rims/NV_GPU_DRIVER_GH100_570.124.03_expired.xml": "RIM_DIGEST",
    f"{_SDK}/sample_rims/NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml": "RIM_DIGEST",
    f"{_SDK}/sample_rims/NV_SWITCH_BIOS_5612_0002_890_9610550001_measurement_mismatch.xml": "RIM_DIGEST",
}


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A report with its chain and all its manifests, and a time at which all are valid."""

    report: str
    kind: str
    rims: tuple[str, ...]
    now: dt.datetime
    compared: tuple[int, ...]


WHOLE = {
    "H100 550.90.07": Whole(
        report=f"{_TRUST}/hopperAttestationReport.txt",
        kind=GPU,
        rims=(
            f"{_MUSEOP}/NV_GPU_DRIVER_GH100_550.90.07.swidtag",
            f"{_MUSEOP}/NV_GPU_VBIOS_1010_0200_882_96009F0001.swidtag",
        ),
        now=_NOW,
        compared=(21, 12),
    ),
    "H100 545.00": Whole(
        report=f"{_TRUST}/attestationReport@213af4b848.txt",
        kind=GPU,
        rims=(f"{_TRUST}/Driver_RIM_test_no_gpu.swidtag", f"{_TRUST}/1010_0200_882_96005E0001_test_no_gpu.swidtag"),
        now=dt.datetime(2024, 6, 1, tzinfo=dt.UTC),
        compared=(21, 12),
    ),
    "LS10 96.10.55.00.01, issue of 2026": Whole(
        report=f"{_SAMPLE}/switch/switchAttestationReport.txt",
        kind=SWITCH,
        rims=(f"{_SDK}/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml",),
        now=dt.datetime(2026, 12, 1, tzinfo=dt.UTC),
        compared=(31,),
    ),
    "LS10 96.10.55.00.01, issue of 2024": Whole(
        report=f"{_SAMPLE}/switch/switchAttestationReport.txt",
        kind=SWITCH,
        rims=(f"{_SDK}/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001@98c9d96764.xml",),
        now=dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
        compared=(31,),
    ),
}


def _read(path: str) -> bytes:
    assert VECTORS is not None
    return (VECTORS / path).read_bytes()


def _paths(*kinds: str) -> list[str]:
    return sorted(p for p, e in manifest().items() if p.startswith("nvidia/") and e.get("kind") in kinds)


def _kind(path: str) -> str:
    return SWITCH if manifest()[path].get("architecture") == "LS10" else GPU


def _evidence(path: str) -> DeviceEvidence:
    return DeviceEvidence(kind=_kind(path), report=read_report(_read(path)), chain=_read(CHAINS[path]))


def _judge(evidence: DeviceEvidence, *, rims: Iterable[str] = (), now: dt.datetime = _NOW) -> DeviceClaims:
    collateral = Collateral(rims=tuple(_read(rim) for rim in rims))
    return verify_device(
        evidence, collateral, BUILT_IN, nonce=evidence.report[4:36], now=now, revocation_required=False
    ).claims


@needs_vectors(1)
def test_nothing_is_left_out() -> None:
    """Every file that says something is in a case below; the rest are tokens, policies and listings."""
    judged = _paths("report", "evidence", "cert-chain", "rim")
    assert len(judged) == 59
    assert {p for p in judged if p in REFUSED} | set(_COUNTED) == {
        p for p in judged if manifest()[p]["should_verify"] is False
    }
    assert set(CHAINS) == set(_paths("report"))


_COUNTED = {
    f"nvidia/attestation-sdk/common-test-data/serialized_test_evidence/multi_switch_ls10{at}.json": 4
    for at in ("", "@91c6a956c4")
}


@needs_vectors(11)
@pytest.mark.parametrize("path", _paths("report"))
def test_reports(path: str) -> None:
    if path in REFUSED:
        with refused(REFUSED[path]):
            _judge(_evidence(path))
        return
    claims, (checked,) = _judge(_evidence(path)), manifest()[path]["checked"]
    assert claims.driver_version == checked.get("driver_version", "")
    assert claims.vbios_version == checked["vbios_version"]
    assert int.from_bytes(claims.ueid, "big") == int(checked["ueid_leaf_serial_decimal"])
    assert claims.pdi.hex() == checked["ik_serial_hex"][2:]
    assert claims.trailing == checked["trailing_bytes_after_signature"]
    assert (claims.fwid is not None) == checked["fwid"]["in_report"]
    assert not claims.simulated


@needs_vectors(11)
@pytest.mark.parametrize("path", _paths("cert-chain", "certificate"))
def test_chains(path: str) -> None:
    entry = manifest()[path]
    if entry["kind"] == "cert-chain" and entry["should_verify"]:
        assert authenticate(_read(path), _kind(path), BUILT_IN).pem == _read(path)
    elif "case" in path:
        with refused(REFUSED[path]):
            authenticate(_read(path), _kind(path), BUILT_IN)
    else:  # roots and single certificates are no chains
        with pytest.raises(AttestError):
            authenticate(_read(path), _kind(path), BUILT_IN)


@needs_vectors(24)
@pytest.mark.parametrize("path", _paths("rim"))
def test_manifests(path: str) -> None:
    if path in REFUSED:
        with refused(REFUSED[path]):
            verify_rim(_read(path), BUILT_IN)
        return
    rim, window = verify_rim(_read(path), BUILT_IN), manifest()[path]["valid_time"]["rim_chain"]
    assert rim.window.not_before == dt.datetime.fromisoformat(window["not_before"])
    assert rim.window.not_after == dt.datetime.fromisoformat(window["not_after"])


@needs_vectors(11)
@pytest.mark.parametrize("path", _paths("evidence"))
def test_json_evidence(path: str) -> None:
    """Each device of the SDK's files verifies for the nonce that the file declares; duplicates are told."""
    declared = read_devices(_read(path))
    claims = []
    for each in declared:
        assert each.nonce is not None
        authentic = verify_device(
            each.evidence, Collateral(), BUILT_IN, nonce=each.nonce, now=_NOW, revocation_required=False
        )
        claims.append(authentic.claims)
    twice = appraise_devices(claims, GpuProfile.parse({"count": 1}))
    duplicate = any(f.check == "DEVICE_DUPLICATE" and f.outcome is Outcome.FAILED for f in twice)
    assert duplicate == (path in _COUNTED)
    assert manifest()[path]["should_verify"] == (not duplicate)


@needs_vectors(4)
@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_whole_sets(whole: Whole) -> None:
    """Device, chain and every manifest: all compared, none skipped but what was not there when they were made."""
    claims = _judge(_evidence(whole.report), rims=whole.rims, now=whole.now)
    profile = GpuProfile.parse({"count": 1, **_LIFTED, "allow_missing_rim": False})
    found = [f for f in appraise_devices([claims], profile) if f.check.startswith("RIM_")]
    assert {f.outcome for f in found} == {Outcome.PASSED}
    assert [f.got for f in found if f.check == "RIM_MEASUREMENT"] == [f"all {count}" for count in whole.compared]


@needs_vectors(4)
@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_whole_sets_outside_the_signers_time(whole: Whole) -> None:
    for now, check in (
        (dt.datetime(2023, 4, 1, tzinfo=dt.UTC), "RIM_NOT_YET_VALID"),
        (dt.datetime(2029, 1, 1, tzinfo=dt.UTC), "RIM_EXPIRED"),
    ):
        with refused(check):
            _judge(_evidence(whole.report), rims=whole.rims, now=now)


@needs_vectors(3)
@pytest.mark.parametrize(
    ("report", "rims", "now", "indices"),
    [
        (f"{_COCO}/hopper_coco_report1.txt", (f"{_TRUST}/1010_0200_882_960074001A_PROD.swidtag",), (2024, 6, 1), [9]),
        (
            f"{_SAMPLE}/gpu/hopperAttestationReport.txt",
            (f"{_SDK}/sample_rims/NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml",),
            (2024, 6, 1),
            [9],
        ),
        (
            f"{_TRUST}/attestationReport@213af4b848.txt",
            (f"{_TRUST}/1010_0200_882_96005E0001_PROD.swidtag",),
            (2024, 6, 1),
            [1, 2, 3, 9],
        ),
    ],
    ids=["580.95.05", "535.86.09", "545.00"],
)
def test_genuine_manifests_of_other_values(
    report: str, rims: tuple[str, ...], now: tuple[int, int, int], indices: list[int]
) -> None:
    claims = _judge(_evidence(report), rims=rims, now=dt.datetime(*now, tzinfo=dt.UTC))
    found = appraise_devices([claims], GpuProfile.parse({"count": 1, **_LIFTED}))
    failed = [f.path for f in found if f.check == "RIM_MEASUREMENT" and f.outcome is Outcome.FAILED]
    assert failed == [f"devices[0].measurements.vbios[{index}]" for index in indices]


def _node(*files: str) -> list[DeviceClaims]:
    return [_judge(each.evidence) for file in files for each in read_devices(_read(f"{_PPCIE}/{file}"))]


@needs_vectors(3)
def test_a_real_ppcie_system() -> None:
    """8 GPUs and 4 NVSwitches name each other by the serials of their certificates; less of them do not."""
    profile = GpuProfile.parse({"count": 8, "topology": "ppcie", **_LIFTED})
    system = _node("gpu_evidence.json", "switch_evidence.json")
    assert [f for f in appraise_devices(system, profile) if f.outcome is Outcome.FAILED] == []
    for part in (system[1:], system[:8], system[:11], system[8:]):
        assert any(f.outcome is Outcome.FAILED for f in appraise_devices(part, profile))


@needs_vectors(2)
def test_half_a_system_has_no_system() -> None:
    path = "nvidia/attestation-sdk/common-test-data/serialized_test_evidence/multi_gpu_hopper.json"
    claims = [_judge(each.evidence) for each in read_devices(_read(path))]
    for topology in ("ppcie", "gpus-only-switches-unverified"):
        profile = GpuProfile.parse({"count": 8, "topology": topology, **_LIFTED})
        failed = {f.check for f in appraise_devices(claims, profile) if f.outcome is Outcome.FAILED}
        assert "DEVICE_COUNT" in failed


@needs_vectors(1)
def test_the_other_certificate_of_the_device_root_is_the_root() -> None:
    pem = _read(f"{_TRUST}/hopperCertChain.txt")
    other = _read(f"{_MUSEOP}/Root-CA-L1B.pem")
    begin = pem.rindex(b"-----BEGIN")
    assert authenticate(pem[:begin] + other, GPU, BUILT_IN).root.common_name == "NVIDIA Device Identity CA"
