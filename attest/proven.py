"""Evidence of every kind, proven authentic by the room that knows it, and claims that no longer say which it was.

One line of `VERIFIERS` for each kind; a kind without a line is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from attest.age import Issued
from attest.anchors import Anchors
from attest.azure.hcl import SNP, HclReport, parse_hcl
from attest.azure.verify import VOUCHED, paravisor_claims, verify_azure_snp, verify_azure_tdx
from attest.errors import Malformed
from attest.evidence import AzureEvidence, Collateral, SnpEvidence, TdxEvidence
from attest.finding import Finding, Outcome
from attest.gpu.verify import KeptDevices
from attest.profile import Claims
from attest.snp.certs import VerifiedChain
from attest.snp.crl import PassedOver, VerifiedCrl
from attest.snp.verify import verify_snp
from attest.tdx.chain import VerifiedChain as PckChain
from attest.tdx.claims import TdxClaims
from attest.tdx.collateral import VerifiedCollateral
from attest.tdx.eventlog import verify_event_log
from attest.tdx.verify import verify_quote

__all__ = ["VERIFIERS", "Given", "Kept", "Proven"]


_NO_DEVICES = KeptDevices()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was verified and does not depend on time, report or challenge. The caller may keep it and pass it in again.

    Only signatures over byte-identical certificates, lists, documents and reports of quoting enclaves are spared by it:
    validity, revocation and the match with the report are checked at every use, so that the verdict is the same with it
    and without.
    """

    chains: tuple[VerifiedChain, ...] = ()
    crls: tuple[VerifiedCrl, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    pck_chains: tuple[PckChain, ...] = ()
    tdx: tuple[VerifiedCollateral, ...] = ()
    devices: KeptDevices = _NO_DEVICES


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Everything but the evidence."""

    collateral: Collateral
    anchors: Anchors
    now: datetime
    revocation_required: bool
    kept: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """Authentic claims of whichever platform, not yet bound to anything."""

    claims: Claims
    findings: tuple[Finding, ...]
    kept: Kept


def _snp(evidence: SnpEvidence, given: Given) -> Proven:
    found = verify_snp(
        evidence,
        given.collateral,
        given.anchors,
        now=given.now,
        revocation_required=given.revocation_required,
        chains=given.kept.chains,
        crls=given.kept.crls,
        passed_over=given.kept.passed_over,
    )
    return Proven(
        claims=Claims(platform="snp", simulated=found.claims.simulated, snp=found.claims, issued=_lists(found.crls)),
        findings=found.findings,
        kept=Kept(chains=(found.chain,), crls=found.crls, passed_over=found.passed_over),
    )


def _azure(evidence: AzureEvidence, given: Given) -> Proven:
    """The HCL report says which hardware it is of; the vTPM's quote is looked at last, under a key that is bound."""
    hcl = parse_hcl(evidence.hcl_report)
    proven = (_azure_snp if hcl.kind == SNP else _azure_tdx)(hcl, evidence, given)
    return replace(proven, findings=(*proven.findings, *VOUCHED))


def _azure_snp(hcl: HclReport, evidence: AzureEvidence, given: Given) -> Proven:
    found = verify_azure_snp(
        hcl,
        evidence,
        given.collateral,
        given.anchors,
        now=given.now,
        revocation_required=given.revocation_required,
        chains=given.kept.chains,
        crls=given.kept.crls,
        passed_over=given.kept.passed_over,
    )
    paravisor = paravisor_claims(hcl, evidence)
    return Proven(
        claims=Claims(
            platform="azure-snp",
            simulated=found.claims.simulated,
            snp=found.claims,
            paravisor=paravisor,
            issued=_lists(found.crls),
        ),
        findings=found.findings,
        kept=Kept(chains=(found.chain,), crls=found.crls, passed_over=found.passed_over),
    )


def _azure_tdx(hcl: HclReport, evidence: AzureEvidence, given: Given) -> Proven:
    found, claims = verify_azure_tdx(
        hcl,
        evidence,
        given.collateral,
        given.anchors,
        now=given.now,
        revocation_required=given.revocation_required,
        chains=given.kept.pck_chains,
        kept=given.kept.tdx,
    )
    paravisor = paravisor_claims(hcl, evidence)
    return Proven(
        claims=Claims(
            platform="azure-tdx",
            simulated=claims.simulated,
            tdx=claims,
            paravisor=paravisor,
            issued=found.collateral.issued,
        ),
        findings=found.findings,
        kept=Kept(pck_chains=(found.chain,), tdx=(found.collateral,)),
    )


def _tdx(evidence: TdxEvidence, given: Given) -> Proven:
    found = verify_quote(
        evidence.quote,
        given.collateral.tdx,
        given.anchors,
        now=given.now,
        revocation_required=given.revocation_required,
        chains=given.kept.pck_chains,
        kept=given.kept.tdx,
    )
    if not isinstance(found.claims, TdxClaims):
        raise Malformed("TEE_TYPE", "quote.header.tee_type", expected="0x81, TDX", got="0, SGX")
    claims, findings = found.claims, found.findings
    if evidence.event_log:
        claims = replace(claims, events=verify_event_log(evidence.event_log, claims.rtmrs))
        findings = (*findings, _REPLAYED)
    return Proven(
        claims=Claims(platform="tdx", simulated=claims.simulated, tdx=claims, issued=found.collateral.issued),
        findings=findings,
        kept=Kept(pck_chains=(found.chain,), tdx=(found.collateral,)),
    )


def _lists(crls: Sequence[VerifiedCrl]) -> tuple[Issued, ...]:
    """The newest of AMD's lists: older ones beside it take nothing back."""
    return (Issued(name="crl", since=max((crl.this_update for crl in crls), default=None)),)


_REPLAYED = Finding(
    check="EVENTLOG_RTMR_MISMATCH",
    path="event_log",
    outcome=Outcome.PASSED,
    expected="a log that adds up to the RTMRs",
    got="one",
)

VERIFIERS: Mapping[type, Callable[[Any, Given], Proven]] = {
    SnpEvidence: _snp,
    AzureEvidence: _azure,
    TdxEvidence: _tdx,
}
