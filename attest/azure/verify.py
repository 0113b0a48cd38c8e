"""Is this evidence of a guest under Azure's paravisor authentic? Raises at the first failure.

The hardware's report was made at boot and says nothing of now: it vouches for the vTPM's attestation key, and that key
for PCRs and a nonce. Freshness and binding are the nonce's alone, which is SHA-256 of the 64 bytes that are bound.
A TDREPORT is keyed to its own machine and proves nothing here: on TDX the quote beside it is what is verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest.anchors import Anchors
from attest.azure.claims import ParavisorClaims
from attest.azure.hcl import SNP, HclReport, check_variable_data, parse_hcl
from attest.errors import Malformed, NotBound
from attest.evidence import AzureEvidence, Collateral, CpuEvidence, HardwareEvidence, SnpEvidence, TdxEvidence
from attest.finding import Finding, Outcome
from attest.snp.certs import VerifiedChain
from attest.snp.crl import PassedOver, VerifiedCrl
from attest.snp.verify import Authentic as AuthenticSnp
from attest.snp.verify import verify_snp
from attest.tdx.chain import VerifiedChain as PckChain
from attest.tdx.claims import TdxClaims
from attest.tdx.collateral import VerifiedCollateral
from attest.tdx.verify import Authentic as AuthenticQuote
from attest.tdx.verify import verify_quote
from attest.tpm import verify_tpm_quote

__all__ = ["VOUCHED", "hardware_of", "paravisor_claims", "presented", "verify_azure_snp", "verify_azure_tdx"]

_PARAVISOR = 0  # the VMPL
_TDREPORT_DATA = slice(0x80, 0xC0)


def verify_azure_snp(
    hcl: HclReport,
    evidence: AzureEvidence,
    collateral: Collateral,
    anchors: Anchors,
    *,
    now: datetime,
    revocation_required: bool,
    chains: Sequence[VerifiedChain] = (),
    crls: Sequence[VerifiedCrl] = (),
    passed_over: Sequence[PassedOver] = (),
) -> AuthenticSnp:
    """The SNP report in an HCL report is authentic, the paravisor's own, and its REPORT_DATA that of the variable data.

    Only what runs at VMPL 0 is the paravisor: a guest that can ask for reports from another level writes what it likes.
    `paravisor_claims` may follow, and not before: until then the key in that data is anybody's.
    """
    if evidence.td_quote:
        raise Malformed("UNSUPPORTED_EVIDENCE", "td_quote", expected="none beside a report of SNP", got="a quote")
    found = verify_snp(
        SnpEvidence(report=hcl.hardware, certificates=evidence.certificates),
        collateral,
        anchors,
        now=now,
        revocation_required=revocation_required,
        chains=chains,
        crls=crls,
        passed_over=passed_over,
    )
    if found.claims.vmpl != _PARAVISOR:
        raise NotBound("AZ_VMPL", "hcl.hardware.vmpl", expected=_PARAVISOR, got=found.claims.vmpl)
    check_variable_data(hcl, found.claims.report_data)
    return found


def verify_azure_tdx(
    hcl: HclReport,
    evidence: AzureEvidence,
    collateral: Collateral,
    anchors: Anchors,
    *,
    now: datetime,
    revocation_required: bool,
    chains: Sequence[PckChain] = (),
    kept: Sequence[VerifiedCollateral] = (),
) -> tuple[AuthenticQuote, TdxClaims]:
    """The TD quote beside an HCL report is authentic, is of the TDREPORT in it, and vouches for the variable data."""
    if not evidence.td_quote or evidence.certificates:
        got = "a TDREPORT alone, which only its own machine can verify" if not evidence.td_quote else "certificates"
        raise Malformed("UNSUPPORTED_EVIDENCE", "td_quote", expected="a TD quote, without certificates", got=got)
    found = verify_quote(
        evidence.td_quote,
        collateral.tdx,
        anchors,
        now=now,
        revocation_required=revocation_required,
        chains=chains,
        kept=kept,
    )
    if not isinstance(found.claims, TdxClaims):
        raise Malformed("TEE_TYPE", "quote.header.tee_type", expected="0x81, TDX", got="0, SGX")
    check_variable_data(hcl, found.claims.report_data)
    inside = hcl.hardware[_TDREPORT_DATA]
    if inside != found.claims.report_data:
        raise NotBound("AZ_BINDING", "hcl.hardware.report_data", expected=found.claims.report_data, got=inside)
    return found, found.claims


def presented(evidence: CpuEvidence, bound: bytes) -> tuple[HardwareEvidence, bytes]:
    """The hardware's own evidence, and what its REPORT_DATA has to be for the 64 bytes `bound`.

    Under a paravisor that was fixed at boot; all that can be seen without an endorsement is then looked at first: the
    HCL report, the variable data's digest, the vTPM's quote and its nonce. Raises AttestError. The key is nobody's yet.
    """
    if not isinstance(evidence, AzureEvidence):
        return evidence, bound
    hcl = parse_hcl(evidence.hcl_report)
    expected = hashlib.sha256(hcl.variable_data).digest() + bytes(32)
    nonce = hashlib.sha256(bound).digest()
    found = paravisor_claims(hcl, evidence).nonce
    if found != nonce:
        raise NotBound("TPM_NONCE", "tpm.quote.extraData", expected=nonce, got=found)
    return _hardware(hcl, evidence), expected


def hardware_of(evidence: CpuEvidence) -> HardwareEvidence:
    """The hardware's own evidence, which is what collateral is for. Raises Malformed AZ_HCL_FORMAT."""
    return _hardware(parse_hcl(evidence.hcl_report), evidence) if isinstance(evidence, AzureEvidence) else evidence


def _hardware(hcl: HclReport, evidence: AzureEvidence) -> HardwareEvidence:
    if hcl.kind == SNP:
        return SnpEvidence(report=hcl.hardware, certificates=evidence.certificates)
    return TdxEvidence(quote=evidence.td_quote)


def paravisor_claims(hcl: HclReport, evidence: AzureEvidence) -> ParavisorClaims:
    """The vTPM's quote under the key that the HCL report carries, which has to be bound before this means anything."""
    attestation_key = hcl.attestation_key()
    quote = verify_tpm_quote(evidence.tpm_quote, evidence.tpm_signature, evidence.pcrs, attestation_key)
    secure_boot = hcl.vm_configuration.get("secure-boot")
    key = attestation_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return ParavisorClaims(
        pcrs=quote.pcrs,
        nonce=quote.extra_data,
        secure_boot=secure_boot if isinstance(secure_boot, bool) else None,
        user_data=hcl.user_data,
        key_sha256=hashlib.sha256(key).digest(),
        reset_count=quote.reset_count,
    )


def _passed(check: str, path: str, expected: str) -> Finding:
    return Finding(check=check, path=path, outcome=Outcome.PASSED, expected=expected, got="so it is")


VOUCHED = (
    _passed("AZ_HCL_FORMAT", "hcl", "an HCL report"),
    _passed("AZ_BINDING", "report.report_data", "SHA-256 of the variable data, and zeros"),
    _passed("TPM_SIGNATURE", "tpm.signature", "a signature by HCLAkPub"),
    _passed("TPM_PCR", "tpm.quote.pcrDigest", "the digest of the PCRs given"),
)
