"""Collateral that is current for its vendor and too old for a profile: on every platform, and told with its age."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest

from attest.age import Issued, age_findings
from attest.appraise import appraise
from attest.devices import verify_devices, with_devices
from attest.errors import Malformed
from attest.evidence import Collateral, SnpEvidence
from attest.finding import Finding, Outcome
from attest.profile import Claims, Profile
from attest.verify import inspect_without_binding
from tests.makers import amd, intel, nvidia
from tests.makers.nvidia_rim import manifests

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
AMD, INTEL, NVIDIA = amd.mint(now=NOW), intel.mint(now=NOW), nvidia.mint(now=NOW)


def ages(claims: Claims, profile: Any, now: dt.datetime | None = NOW) -> list[Finding]:
    found = appraise(claims, Profile.parse(profile), (), now=now).findings
    return [finding for finding in found if finding.check == "COLLATERAL_TOO_OLD"]


def outcomes(findings: Sequence[Finding]) -> dict[str, Outcome]:
    return {finding.path: finding.outcome for finding in findings}


def snp(*crls: bytes) -> Claims:
    chip = AMD.chip()
    evidence = SnpEvidence(report=chip.report(bytes(64)), certificates=chip.certificates)
    return inspect_without_binding(
        evidence, Collateral(crls=crls or (AMD.crl(),)), AMD.anchors, now=NOW, revocation="required"
    ).claims


def tdx() -> Claims:
    collateral = Collateral(tdx=(INTEL.collateral(),))
    return inspect_without_binding(
        INTEL.platform().evidence(bytes(64)), collateral, INTEL.anchors, now=NOW, revocation="required"
    ).claims


def gpu(since: dt.datetime, *responses: bytes) -> Claims:
    issuers = (NVIDIA.root, *NVIDIA.identities.values(), NVIDIA.rim_root, NVIDIA.rim_authority, NVIDIA.rim_issuer)
    crls = tuple(NVIDIA.crl(issuer, since=since) for issuer in issuers)
    evidence = [NVIDIA.device("GH100").evidence(bytes(32))]
    collateral = Collateral(crls=crls, rims=manifests(NVIDIA), ocsp=responses)
    devices = list(verify_devices(evidence, collateral, NVIDIA.anchors, nonce=None, now=NOW, revocation_required=True))
    return with_devices(snp(), devices)


def test_amds_list() -> None:
    claims = snp()
    since = claims.issued[0].since
    assert since is not None
    for hours, outcome in ((24, Outcome.PASSED), (25, Outcome.FAILED)):
        at = since + (hours + 0.5 if outcome is Outcome.FAILED else hours) * HOUR
        assert outcomes(ages(claims, {"snp": {"maximum_collateral_age_hours": 24}}, at))["collateral.crl"] is outcome
    failed = ages(claims, {"snp": {"maximum_collateral_age_hours": 24}}, since + 30 * HOUR)[0]
    assert (failed.expected, failed.got[:8]) == ("at most 24 hours old", "30 hours")


def test_intels_documents_and_lists_each() -> None:
    found = outcomes(ages(tdx(), {"tdx": {"maximum_collateral_age_hours": 24}}, NOW + 10_000 * HOUR))
    names = ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl")
    assert found == {**{f"collateral.{name}": Outcome.FAILED for name in names}}


def test_a_devices_chain_and_its_manifests_signers() -> None:
    claims, asked = gpu(NOW - 30 * HOUR), {"snp": {}, "gpu": {"count": 1, "maximum_collateral_age_hours": 24}}
    found = outcomes(ages(claims, asked))
    assert found["devices[0].chain"] is Outcome.FAILED
    assert found["devices[0].manifest.driver"] is Outcome.FAILED
    asked["gpu"] = {"count": 1, "maximum_collateral_age_hours": 31}
    found = outcomes(ages(claims, asked))
    assert Outcome.FAILED not in found.values()
    assert len(found) == 4


def test_the_newest_word_about_each_certificate_counts() -> None:
    """A response of today beside a list of last week, for every certificate of the device's chain."""
    provisioner, identity = NVIDIA.provisioners["GH100"], NVIDIA.identities["GH100"]
    claims = gpu(NOW - 200 * HOUR, NVIDIA.ocsp(provisioner, identity), NVIDIA.ocsp(identity, NVIDIA.root))
    found = outcomes(ages(claims, {"snp": {}, "gpu": {"count": 1, "maximum_collateral_age_hours": 24}}))
    assert found["devices[0].chain"] is Outcome.PASSED
    assert found["devices[0].manifest.vbios"] is Outcome.FAILED


def test_without_a_limit_it_is_skipped_and_without_a_time_it_fails() -> None:
    assert set(outcomes(ages(tdx(), {"tdx": {}})).values()) == {Outcome.SKIPPED}
    limited = {"tdx": {"maximum_collateral_age_hours": 8_760}}
    assert set(outcomes(ages(tdx(), limited, None)).values()) == {Outcome.FAILED}
    for issued in ((), (Issued(name="crl", since=None),)):
        assert [each.outcome for each in age_findings(issued, 24, NOW, "collateral")] == [Outcome.FAILED]


@pytest.mark.parametrize("value", [0, 23, 8_761, "48", 48.0, True, None])
@pytest.mark.parametrize("kind", ["snp", "tdx", "gpu"])
def test_what_is_no_limit(kind: str, value: object) -> None:
    document: dict[str, Any] = {"snp": {}, "gpu": {"count": 1}}
    document[kind] = {**document.get(kind, {}), "maximum_collateral_age_hours": value}
    with pytest.raises(Malformed, match="PROFILE_MALFORMED"):
        Profile.parse(document)
