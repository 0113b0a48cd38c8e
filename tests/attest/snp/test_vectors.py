"""Captured evidence of real platforms, with what the manifest says a correct verifier must answer."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from attest.anchors import BUILT_IN
from attest.appraise import appraise
from attest.errors import AttestError
from attest.evidence import Collateral, SnpEvidence, read_certificates
from attest.finding import Outcome
from attest.profile import Profile
from attest.snp.shapes import read_evidence
from attest.snp.table import read_table
from attest.verify import Inspected, inspect_without_binding, verify
from tests.attest.refusal import refused
from tests.attest.snp.made import snp_of
from tests.vectors import VECTORS, manifest, needs_vectors

SECOND = dt.timedelta(seconds=1)
FOLDER = VECTORS or Path()


def _reports() -> list[str]:
    wanted = ("snp-report", "snp-report-hex", "snp-report (from HCL report)")
    found = (p for p, e in manifest().items() if p.startswith("snp/") and e["kind"] in wanted)
    return sorted(p for p in found if manifest()[p]["expect"].get("verify") is True)


REPORTS = _reports()
REPORTS_COUNT = 15
TABLES = sorted(p for p in manifest() if "/certtable/bad-" in p)


def _bytes(path: str) -> bytes:
    return (FOLDER / path).read_bytes()


@cache
def _collateral() -> Collateral:
    """ASK, ASVK and ARK of all products."""
    files = [f"snp/confidential-containers-trustee/{p}_ask_ark_asvk.pem" for p in ("milan", "genoa", "turin")]
    return Collateral(certificates=tuple(der for file in files for der in read_certificates(_bytes(file))))


def _expected(path: str) -> dict[str, Any]:
    expected: dict[str, Any] = manifest()[path]["expect"]
    return expected


def _evidence(path: str) -> SnpEvidence:
    endorsement = [c for c in _expected(path)["endorsement_certs"] if (FOLDER / c).exists()]
    data = _bytes(path)
    report = bytes.fromhex(data.decode()) if path.endswith(".hex") else data
    return SnpEvidence(report=report, certificates=read_certificates(_bytes(endorsement[0])))


def _window(path: str) -> tuple[dt.datetime, dt.datetime]:
    start, end = map(dt.datetime.fromisoformat, _expected(path)["now_window"])
    return start, end


def _inspect(evidence: SnpEvidence, now: dt.datetime, collateral: Collateral | None = None) -> Inspected:
    collateral = collateral or _collateral()
    return inspect_without_binding(evidence, collateral, BUILT_IN, now=now, revocation="optional")


@needs_vectors(REPORTS_COUNT)
def test_all_captures_are_here() -> None:
    assert len(REPORTS) >= REPORTS_COUNT


@needs_vectors(REPORTS_COUNT)
@pytest.mark.parametrize("path", REPORTS)
def test_genuine_inside_its_window_and_not_outside(path: str) -> None:
    evidence, (start, end) = _evidence(path), _window(path)
    for now in (start, start + (end - start) / 2, end):
        claims = _inspect(evidence, now).claims
        assert not claims.simulated
    with refused("CERT_NOT_YET_VALID"):
        _inspect(evidence, start - SECOND)
    with refused("CERT_EXPIRED"):
        _inspect(evidence, end + SECOND)


@needs_vectors(REPORTS_COUNT)
@pytest.mark.parametrize("path", REPORTS)
def test_what_they_say(path: str) -> None:
    entry = manifest()[path]
    snp = snp_of(_inspect(_evidence(path), _window(path)[0]))
    assert snp.version == entry["version"]
    assert snp.product == _expected(path)["chain"].split("/")[0]
    fields = entry.get("fields")
    if fields is None:
        return
    assert (snp.vmpl, snp.policy.raw, snp.policy.debug) == (
        fields["vmpl"], int(fields["policy"], 0), fields["debug"]
    )  # fmt: skip
    assert (snp.platform_info.raw, snp.guest_svn) == (int(fields["platform_info"], 0), fields["guest_svn"])
    assert (snp.signing_key.value, int(snp.author_key_en)) == (fields["signing_key"], fields["author_key_en"])
    for name, parts in fields["tcb"].items():
        assert getattr(snp, name).components() == {key: value for key, value in parts.items() if key != "rsv"}
    if "fw" in fields:
        assert str(snp.current_firmware) == fields["fw"]


@needs_vectors(REPORTS_COUNT)
@pytest.mark.parametrize("path", REPORTS)
def test_bound_to_what_they_were_made_for_alone(path: str) -> None:
    evidence, now = _evidence(path), _window(path)[0]
    said = snp_of(_inspect(evidence, now)).report_data
    common: dict[str, Any] = {"now": now, "revocation": "optional"}
    assert verify(evidence, _collateral(), BUILT_IN, report_data=said, **common).claims.report_data == said
    other = said[:63] + bytes([said[63] ^ 1])
    with refused("REPORT_DATA_MISMATCH"):
        verify(evidence, _collateral(), BUILT_IN, report_data=other, **common)
    with refused("CRL_MISSING"):
        verify(evidence, _collateral(), BUILT_IN, report_data=said, now=now, revocation="required")


@needs_vectors(REPORTS_COUNT)
@pytest.mark.parametrize("path", REPORTS)
def test_s8_flipped_bits(path: str) -> None:
    """One bit in every third byte that is signed, of every real report."""
    evidence, now = _evidence(path), _window(path)[0]
    kept = _inspect(evidence, now).kept
    for position in range(REPORTS.index(path) % 3, 0x2A0, 3):
        report = bytearray(evidence.report)
        report[position] ^= 1 << position % 8
        changed = SnpEvidence(report=bytes(report), certificates=evidence.certificates)
        with pytest.raises(AttestError) as caught:
            inspect_without_binding(changed, _collateral(), BUILT_IN, now=now, revocation="optional", kept=kept)
        structured = position < 0x50 or position >= 0x180
        assert structured or caught.value.check == "SNP_SIGNATURE", (hex(position), str(caught.value))


@needs_vectors(1)
def test_s8_every_bit_of_one_report() -> None:
    path = "snp/microsoft-TEE-Attestation-Verification/turin_attestation_report.bin"
    now = _window(path)[0]
    chain = read_table(_bytes("snp/derived/certtable/turin-vcek.table.bin"))
    evidence = SnpEvidence(report=_bytes(path), certificates=chain)
    kept = _inspect(evidence, now, Collateral()).kept
    checks = set()
    for bit in range(0x2A0 * 8):
        report = bytearray(evidence.report)
        report[bit // 8] ^= 1 << bit % 8
        changed = SnpEvidence(report=bytes(report), certificates=evidence.certificates)
        with pytest.raises(AttestError) as caught:
            inspect_without_binding(changed, Collateral(), BUILT_IN, now=now, revocation="optional", kept=kept)
        checks.add(caught.value.check)
    assert checks >= {"SNP_SIGNATURE", "SNP_VERSION", "SNP_RESERVED", "TCB_EXT_MISMATCH", "CHIP_ID_MISMATCH"}


@needs_vectors(2)
@pytest.mark.parametrize("name", ["test-vcek-invalid-legacy.der", "test-vcek-invalid-new.der"])
def test_e18_look_alikes_parse_and_do_not_chain(name: str) -> None:
    folder = "snp/confidential-containers-trustee/"
    der = read_certificates(_bytes(folder + name))
    evidence = SnpEvidence(report=_bytes(folder + "test-report.bin"), certificates=der)
    with refused("CHAIN_SIGNATURE"):
        _inspect(evidence, _window(folder + "test-report.bin")[0])


@needs_vectors(2)
def test_e9_two_chips_at_the_same_tcb_swapped() -> None:
    first, second = "snp/confidential-containers-trustee/test-report.bin", "snp/derived/virtee-milan-v2.report.bin"
    for own, other in ((first, second), (second, first)):
        swapped = SnpEvidence(report=_evidence(own).report, certificates=_evidence(other).certificates)
        with refused("CHIP_ID_MISMATCH"):
            _inspect(swapped, _window(first)[0] + 365 * 86_400 * SECOND)


@needs_vectors(1)
def test_e7_another_chip_at_another_tcb() -> None:
    path = "snp/google-go-sev-guest/attestation.bin"
    other = _evidence("snp/derived/virtee-milan-v2.report.bin").certificates
    with refused("TCB_EXT_MISMATCH"):
        _inspect(SnpEvidence(report=_evidence(path).report, certificates=other), _window(path)[0])


@needs_vectors(len(TABLES) or 9)
@pytest.mark.parametrize("path", TABLES)
def test_e19_bad_tables(path: str) -> None:
    """Malformed ones are refused when they are read; those that name the wrong issuer when the chain is built."""
    report = _bytes("snp/confidential-containers-trustee/test-report.bin")
    wrong = {"bad-asvk-under-ask-for-vcek.bin": "VEK_TYPE_MISMATCH", "bad-wrong-product-ask.bin": "PRODUCT_MISMATCH"}
    with refused(wrong.get(Path(path).name, "CERT_TABLE")):
        _inspect(read_evidence(report + _bytes(path)), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), Collateral())


@needs_vectors(3)
@pytest.mark.parametrize(
    ("path", "now"),
    [
        ("snp/derived/certtable/milan-vcek.ext-report.bin", "2026-01-01T00:00:00+00:00"),
        ("snp/derived/certtable/milan-vlek.ext-report.bin", "2025-06-01T00:00:00+00:00"),
        ("snp/confidential-containers-trustee/e2e-evidence.json", "2026-01-01T00:00:00+00:00"),
    ],
)
def test_shapes(path: str, now: str) -> None:
    collateral = _collateral() if path.endswith("json") else Collateral()
    assert _inspect(read_evidence(_bytes(path)), dt.datetime.fromisoformat(now), collateral).claims.product


@needs_vectors(1)
def test_e13_the_vlek_of_a_year() -> None:
    evidence = read_evidence(_bytes("snp/derived/certtable/milan-vlek.ext-report.bin"))
    with refused("CERT_EXPIRED"):
        _inspect(evidence, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


# path: what a profile without any wishes finds wrong with a genuine platform
FOUND = {
    "snp/google-go-sev-guest/attestation.bin": {"POLICY_DEBUG", "TCB_BELOW_MIN"},
    "snp/confidential-containers-trustee/test-vlek-report.bin": {"POLICY_VMPL"},
    "snp/confidential-containers-trustee/test-report.bin": {"TCB_BELOW_MIN"},
    "snp/microsoft-TEE-Attestation-Verification/milan_attestation_report.bin": set(),
    "snp/microsoft-TEE-Attestation-Verification/genoa_attestation_report.bin": set(),
    "snp/microsoft-TEE-Attestation-Verification/turin_attestation_report.bin": set(),
    "snp/derived/trustee-e2e-genoa-v3.report.bin": set(),
}


@needs_vectors(len(FOUND))
@pytest.mark.parametrize("path", FOUND)
def test_what_a_default_profile_finds(path: str) -> None:
    claims = _inspect(_evidence(path), _window(path)[0]).claims
    findings = appraise(claims, Profile.parse({"snp": {}}), ()).findings
    failed = {finding.check for finding in findings if finding.outcome is Outcome.FAILED}
    assert failed - {"POLICY_UNSPECIFIED"} == FOUND[path]


@needs_vectors(REPORTS_COUNT)
@pytest.mark.parametrize("path", REPORTS)
def test_p13_genuine_platforms_are_consistent(path: str) -> None:
    """REPORTED <= COMMITTED <= CURRENT, and P14: provisional firmware alone refuses nothing."""
    claims = _inspect(_evidence(path), _window(path)[0]).claims
    findings = appraise(claims, Profile.parse({"snp": {}}), ()).findings
    assert {f.outcome for f in findings if f.check == "TCB_INCONSISTENT"} == {Outcome.PASSED}
    assert {f.outcome for f in findings if f.check == "TCB_PROVISIONAL"} == {Outcome.SKIPPED}
