"""Captured quotes of real platforms, with what the manifest says a correct verifier must answer at that time."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attest.anchors import BUILT_IN
from attest.appraise import appraise
from attest.evidence import TdxCollateral
from attest.finding import Finding, Outcome
from attest.profile import Claims, Profile
from attest.tdx.claims import TdxClaims
from attest.tdx.collateral_json import read_collateral
from attest.tdx.quote import parse
from attest.tdx.verify import Authentic, verify_quote
from clients.cli.evidence_forms import decoded
from tests.attest.refusal import refused
from tests.vectors import VECTORS, manifest, needs_vectors

FOLDER = VECTORS or Path()
SECOND = dt.timedelta(seconds=1)


def _cases() -> dict[str, tuple[str, dict[str, Any]]]:
    """Each quote with each set of collateral that the manifest names for it and that is there."""
    runs = [
        (path, run)
        for path, entry in manifest().items()
        for run in entry.get("expect", {}).get("with_collateral", ())
        if (FOLDER / "tdx/derived/bundles" / run["bundle"]).exists()
    ]
    return {f"{n} {path.removeprefix('tdx/')} by {run['bundle']}": (path, run) for n, (path, run) in enumerate(runs)}


CASES = _cases()
COUNT = 41


def _collateral(bundle: str) -> TdxCollateral:
    return read_collateral((FOLDER / "tdx/derived/bundles" / bundle).read_bytes())


def _judge(path: str, bundle: str, now: dt.datetime) -> Authentic:
    quote = decoded((FOLDER / path).read_bytes())
    return verify_quote(quote, [_collateral(bundle)], BUILT_IN, now=now, revocation_required=True)


@needs_vectors(COUNT)
def test_none_is_missing() -> None:
    assert len(CASES) == COUNT


@needs_vectors(COUNT)
@pytest.mark.parametrize("case", CASES)
def test_verdict_and_status(case: str) -> None:
    path, run = CASES[case]
    now, expected = dt.datetime.fromtimestamp(run["now"], dt.UTC), run["intel_style"]
    if path.endswith("SPR_E4.dat"):  # 39 bytes of text follow it
        with refused("QUOTE_TRAILING"):
            _judge(path, run["bundle"], now)
        return
    if not run["pck_valid_at_now"]:
        with refused("CERT_NOT_YET_VALID", "CERT_EXPIRED"):
            _judge(path, run["bundle"], now)
        return
    if expected["status"].startswith("TCB_NOT_SUPPORTED"):
        with refused("TCB_NOT_SUPPORTED"):
            _judge(path, run["bundle"], now)
        return
    found = _judge(path, run["bundle"], now)
    verdict = found.claims.tcb_verdict
    assert verdict.status.name == expected["status"]
    assert list(verdict.advisories) == sorted(expected["advisories"])
    # A module without a major version has no level of its own.
    parts = {name: status for name, status in expected["parts"].items() if status != "OK"}
    assert {part.name: part.status.name for part in verdict.parts} == parts
    assert not found.claims.simulated
    with refused("COLLATERAL_EXPIRED", "CRL_EXPIRED", "CERT_EXPIRED"):
        _judge(path, run["bundle"], found.expires + SECOND)


@needs_vectors(3)
def test_the_text_behind_a_quote_is_all_that_is_wrong_with_it() -> None:
    path = "tdx/google-go-tdx-guest/tdx_prod_quote_SPR_E4.dat"
    quote = (FOLDER / path).read_bytes()[:-39]
    for run in manifest()[path]["expect"]["with_collateral"]:
        if not (FOLDER / "tdx/derived/bundles" / run["bundle"]).exists():
            continue
        with refused("TCB_NOT_SUPPORTED"):
            now = dt.datetime.fromtimestamp(run["now"], dt.UTC)
            verify_quote(quote, [_collateral(run["bundle"])], BUILT_IN, now=now, revocation_required=True)


# name: (quote, what the default profile finds besides its status)
PROFILES: dict[str, tuple[str, set[str]]] = {
    "T35 a TD under debug": ("tdx/confidential-containers-trustee/tdx_quote_4.dat", {"TD_DEBUG"}),
    "Z6 a TD of Azure's": (
        "tdx/derived/azure/confidential-containers-trustee_az-tdx-vtpm_evidence-v1.quote.bin",
        {"TD_SEPT_VE"},
    ),
    "T37 a TD with a service TD": (
        "tdx/automata-network-automata-dcap-attestation/rust-samples/quotev5.dat",
        {"TD_SERVICE_TD"},
    ),
    "a good one": ("tdx/Phala-Network-dcap-qvl/tdx_quote", set()),
}


@needs_vectors(len(PROFILES))
@pytest.mark.parametrize("case", PROFILES)
def test_what_the_default_profile_finds(case: str) -> None:
    path, expected = PROFILES[case]
    run = next(r for p, r in CASES.values() if p == path and not r["intel_style"]["status"].startswith("TCB"))
    claims = _judge(path, run["bundle"], dt.datetime.fromtimestamp(run["now"], dt.UTC)).claims
    assert isinstance(claims, TdxClaims)
    profile = Profile.parse({"tdx": {"accepted_tcb": ["UpToDate", "OutOfDate"]}})
    found = appraise(Claims(platform="tdx", simulated=False, tdx=claims), profile, []).findings
    assert {f.check for f in _failed(found)} - {"POLICY_UNSPECIFIED"} == expected


def _failed(findings: tuple[Finding, ...]) -> list[Finding]:
    return [f for f in findings if f.outcome is Outcome.FAILED]


@needs_vectors(2)
def test_t14_the_lists_of_the_other_ca() -> None:
    path, run = next((p, r) for p, r in CASES.values() if p == "tdx/Phala-Network-dcap-qvl/tdx_quote")
    given, other = _collateral(run["bundle"]), _collateral("tdx_b0c06f000000_processor_20250619_eval17.json")
    quote, now = (FOLDER / path).read_bytes(), dt.datetime.fromtimestamp(run["now"], dt.UTC)
    swapped = replace(given, pck_crl=other.pck_crl, pck_crl_issuer_chain=other.pck_crl_issuer_chain)
    with refused("CRL_ISSUER"):
        verify_quote(quote, [swapped], BUILT_IN, now=now, revocation_required=True)
    with refused("CRL_ISSUER"):
        crl_alone = replace(given, pck_crl=other.pck_crl)
        verify_quote(quote, [crl_alone], BUILT_IN, now=now, revocation_required=True)


@needs_vectors(1)
def test_t11_intels_own_sample_has_a_root_of_its_own() -> None:
    folder = FOLDER / "tdx/intel-SGX-TDX-DCAP-QuoteVerificationLibrary/sampleData"
    quote = (folder / "quote.dat").read_bytes()
    chain = (folder / "pckCert.pem").read_bytes() + (folder / "pckSignChain.pem").read_bytes()
    assert parse(quote).proof.certification.kind == 1
    assert parse(quote).proof.qe_auth == b""
    given = TdxCollateral(
        tcb_info=b"", tcb_info_issuer_chain=b"", qe_identity=b"", qe_identity_issuer_chain=b"", pck_crl=b"",
        pck_crl_issuer_chain=b"", root_ca_crl=b"", pck_certificate_chain=chain.replace(b"\r", b""),
    )  # fmt: skip
    with refused("PCK_ROOT_NOT_PINNED", "CERT_MALFORMED", "PCK_CHAIN"):
        now = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
        verify_quote(quote, [given], BUILT_IN, now=now, revocation_required=True)
