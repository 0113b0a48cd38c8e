"""A node's devices beside its CPU: one nonce, one order, no device twice; appraised with it; one submodule for each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest

from attest.anchors import Anchors
from attest.appraise import appraise
from attest.devices import check_presented, verify_devices, why_unbound, with_devices
from attest.ear import Status, submodules_of
from attest.errors import NotBound
from attest.evidence import Collateral, DeviceEvidence
from attest.finding import Finding, Outcome, acceptable
from attest.gpu.verify import AuthenticDevice, keep
from attest.profile import Claims, Profile
from attest.reference import ReferenceSet
from attest.verify import verify
from tests.attest.refusal import refused
from tests.makers import amd
from tests.makers.nvidia import Device, hgx, measured, mint
from tests.makers.nvidia_rim import manifests

_NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
_NONCE, _DATA = bytes(range(32)), bytes(range(64))
_AMD, _NVIDIA = amd.mint("Milan", now=_NOW), mint(now=_NOW)
_ANCHORS = Anchors(amd=_AMD.anchors.amd, nvidia=_NVIDIA.anchors.nvidia, simulated=True)
_COLLATERAL = Collateral(crls=(_AMD.crl(), *_NVIDIA.crls()), rims=manifests(_NVIDIA))
_MEASUREMENT = bytes(range(48))
_REFERENCES = ReferenceSet.parse(
    {"name": "r", "values": [{"name": "v", "measurement": _MEASUREMENT.hex(), "covers": ["firmware"]}]}
)


def _verified(devices: Sequence[DeviceEvidence]) -> list[AuthenticDevice]:
    return list(verify_devices(devices, _COLLATERAL, _ANCHORS, nonce=_NONCE, now=_NOW, revocation_required=True))


def _claims(*devices: Device) -> Claims:
    evidence = _AMD.chip().evidence(_DATA, measurement=_MEASUREMENT)
    cpu = verify(evidence, _COLLATERAL, _ANCHORS, report_data=_DATA, now=_NOW, revocation="required").claims
    return with_devices(cpu, _verified([device.evidence(_NONCE) for device in devices]))


def _findings(claims: Claims, gpu: dict[str, object] | None) -> tuple[Finding, ...]:
    document: dict[str, object] = {"snp": {}, **({"gpu": gpu} if gpu is not None else {})}
    return appraise(claims, Profile.parse(document), [_REFERENCES]).findings


def test_a_node_with_all_its_devices() -> None:
    found = _findings(_claims(*hgx(_NVIDIA)), {"count": 8, "topology": "ppcie"})
    assert acceptable(found)


def test_zero_devices_are_not_the_devices_that_are_asked_for() -> None:
    found = _findings(_claims(), {"count": 1})
    assert [f.check for f in found if f.outcome is Outcome.FAILED] == ["DEVICE_COUNT"]


def test_devices_that_nobody_asked_for_are_verified_and_skipped() -> None:
    (finding,) = [f for f in _findings(_claims(_NVIDIA.device()), None) if f.path == "devices"]
    assert finding.outcome is Outcome.SKIPPED
    assert not [f for f in _findings(_claims(), None) if f.path.startswith("devices")]


def test_devices_alone_are_no_profile() -> None:
    with refused("PROFILE_MALFORMED"):
        Profile.parse({"gpu": {"count": 1}})
    with refused("PROFILE_MALFORMED"):
        Profile.parse({"snp": {}, "gpu": {}})


def test_what_is_presented() -> None:
    one, two = _NVIDIA.device().evidence(_NONCE), _NVIDIA.device().evidence(_NONCE)
    check_presented([one, two], _NONCE)
    check_presented([], _NONCE)
    with refused("DEVICE_DUPLICATE"):
        check_presented([one, two, one], _NONCE)
    with refused("GPU_NONCE_MISMATCH"):
        check_presented([one, _NVIDIA.device().evidence(bytes(32))], _NONCE)
    with refused("GPU_NONCE_MISMATCH"):
        check_presented([DeviceEvidence(kind="nvidia-gpu", report=b"", chain=b"")], _NONCE)


def test_the_place_of_a_failure_names_the_device() -> None:
    good, bad = _NVIDIA.device(), _NVIDIA.device()
    evidence = [good.evidence(_NONCE), bad.evidence(_NONCE, key=good.chain[0].key)]
    steps = verify_devices(evidence, _COLLATERAL, _ANCHORS, nonce=_NONCE, now=_NOW, revocation_required=True)
    assert next(steps).claims.pdi == good.pdi
    with pytest.raises(Exception, match=r"GPU_SIGNATURE: devices\[1\]\.report\.signature"):
        next(steps)


def test_one_device_with_two_reports_or_two_chains() -> None:
    one = _NVIDIA.device()
    again = _NVIDIA.device(pdi=one.pdi)
    for pair in (
        [one.evidence(_NONCE), one.evidence(_NONCE)],
        [one.evidence(_NONCE), again.evidence(_NONCE)],
    ):
        with refused("DEVICE_DUPLICATE"):
            _verified(pair)


def test_what_was_kept_serves_the_next_request() -> None:
    evidence = [device.evidence(_NONCE) for device in (_NVIDIA.device(), _NVIDIA.device())]
    kept = keep(_verified(evidence))
    again = verify_devices(evidence, _COLLATERAL, _ANCHORS, nonce=_NONCE, now=_NOW, revocation_required=True, kept=kept)
    assert keep(list(again)) == kept
    assert (len(kept.chains), len(kept.rims)) == (2, 6)


def _bound(digests: Sequence[bytes]) -> bytes:
    return (b"".join(digests) or b"none").ljust(64, b"\0")


def _mismatch(signed: Sequence[bytes], presented: Sequence[bytes]) -> NotBound:
    error = NotBound("REPORT_DATA_MISMATCH", "report", expected=_bound(presented), got=_bound(signed))
    return why_unbound(error, presented, _bound)


def test_why_the_cpu_did_not_sign_for_these() -> None:
    a, b, c, d = (bytes([n]) * 8 for n in range(1, 5))
    assert _mismatch([a, b], [a, b, c]).check == "DEVICE_ADDED"
    assert _mismatch([], [a]).check == "DEVICE_ADDED"
    assert _mismatch([a, b, c], [c, b, a]).check == "DEVICE_ORDER"
    for signed, presented in (([a, b, c], [a, b]), ([a, b], [a, c]), ([a, b, c, d], [b, c, d, a]), ([a], [])):
        assert _mismatch(signed, presented).check == "REPORT_DATA_MISMATCH"
    other = NotBound("TPM_NONCE", "tpm", expected=b"", got=b"")
    assert why_unbound(other, [a, b], _bound) is other


def test_one_submodule_for_each_device_and_the_worst_decides() -> None:
    good, bad = _NVIDIA.device(), _NVIDIA.device()
    claims = with_devices(
        _claims(), _verified([good.evidence(_NONCE), bad.evidence(_NONCE, measurements={9: measured(1)})])
    )
    found = submodules_of(_findings(claims, {"count": 2}), 2)
    assert [vector.status for vector in found.devices] == [Status.AFFIRMING, Status.CONTRAINDICATED]
    assert dict(found.devices[1].claims)["executables"] == 96
    assert found.status is Status.CONTRAINDICATED
    fine = submodules_of(_findings(_claims(good), {"count": 1}), 1)
    assert (fine.status, fine.node.status) == (Status.AFFIRMING, Status.AFFIRMING)


def test_a_device_of_which_nothing_was_compared_affirms_nothing() -> None:
    found = submodules_of(_findings(_claims(_NVIDIA.device()), None), 1)
    assert (found.node.status, found.status) == (Status.AFFIRMING, Status.NONE)


def test_what_concerns_all_devices_is_the_nodes() -> None:
    found = submodules_of(_findings(_claims(_NVIDIA.device()), {"count": 2}), 1)
    assert found.devices[0].status is Status.AFFIRMING
    assert found.node.status is Status.CONTRAINDICATED


def test_real_and_simulated_claims_are_never_joined() -> None:
    claims = _claims(_NVIDIA.device())
    with pytest.raises(ValueError, match="never joined"):
        Claims(platform="snp", simulated=False, snp=claims.snp, devices=claims.devices)
