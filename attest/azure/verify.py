"""Is this evidence of a guest under Azure's paravisor authentic? Raises at the first failure.

The hardware's report was made at boot and says nothing of now: it vouches for the vTPM's attestation key, and that key
for PCRs and a nonce. Freshness and binding are the nonce's alone, which is SHA-256 of the 64 bytes that are bound.
A TDREPORT is keyed to its own machine and proves nothing here: on TDX the quote beside it is what is verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest.anchors import Anchors
from attest.azure.claims import ParavisorClaims
from attest.azure.hcl import SNP, HclReport, check_variable_data, parse_hcl
from attest.errors import Malformed
from attest.evidence import AzureEvidence, Collateral, SnpEvidence
from attest.finding import Finding, Outcome
from attest.snp.certs import VerifiedChain
from attest.snp.claims import SnpClaims
from attest.snp.crl import VerifiedCrl
from attest.snp.verify import verify_snp
from attest.tpm import verify_tpm_quote

__all__ = ["AuthenticSnp", "verify_azure_snp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticSnp:
    """Claims of the hardware and of the paravisor, authentic but bound to nothing yet; and what is worth keeping."""

    claims: SnpClaims
    paravisor: ParavisorClaims
    findings: tuple[Finding, ...]
    chain: VerifiedChain
    crls: tuple[VerifiedCrl, ...]


def verify_azure_snp(
    evidence: AzureEvidence,
    collateral: Collateral,
    anchors: Anchors,
    *,
    now: datetime,
    revocation_required: bool,
    chains: Sequence[VerifiedChain] = (),
    crls: Sequence[VerifiedCrl] = (),
) -> AuthenticSnp:
    """Verifies an HCL report on SNP and the vTPM's quote.

    1. the HCL report is what its layout says      3. its REPORT_DATA is that of the variable data
    2. the SNP report in it is authentic           4. the key in that data signed the quote over these PCRs
    """
    hcl = parse_hcl(evidence.hcl_report)  # 1
    if hcl.kind != SNP or evidence.td_quote:
        raise Malformed("UNSUPPORTED_EVIDENCE", "hcl.report_type", expected="a report of SNP", got=hcl.kind)
    found = verify_snp(
        SnpEvidence(report=hcl.hardware, certificates=evidence.certificates),
        collateral,
        anchors,
        now=now,
        revocation_required=revocation_required,
        chains=chains,
        crls=crls,
    )  # 2
    check_variable_data(hcl, found.claims.report_data)  # 3
    return AuthenticSnp(
        claims=found.claims,
        paravisor=paravisor_claims(hcl, evidence),  # 4
        findings=(*found.findings, *_PASSED),
        chain=found.chain,
        crls=found.crls,
    )


def paravisor_claims(hcl: HclReport, evidence: AzureEvidence) -> ParavisorClaims:
    """The vTPM's quote under the key that the HCL report carries, which has to be bound before this means anything."""
    quote = verify_tpm_quote(evidence.tpm_quote, evidence.tpm_signature, evidence.pcrs, hcl.attestation_key)
    secure_boot = hcl.vm_configuration.get("secure-boot")
    key = hcl.attestation_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
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


_PASSED = (
    _passed("AZ_HCL_FORMAT", "hcl", "an HCL report"),
    _passed("AZ_BINDING", "report.report_data", "SHA-256 of the variable data, and zeros"),
    _passed("TPM_SIGNATURE", "tpm.signature", "a signature by HCLAkPub"),
    _passed("TPM_PCR", "tpm.quote.pcrDigest", "the digest of the PCRs given"),
)
