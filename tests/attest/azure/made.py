"""A guest under a throwaway paravisor on a throwaway Milan, whole, or wrong in one chosen way."""

from __future__ import annotations

import hashlib
from typing import Any

from attest.evidence import AzureEvidence, Collateral
from attest.profile import Claims
from attest.verify import Verified, verify
from tests.attest.snp.made import DATA, NOW, chip, hierarchy
from tests.makers import azure

__all__ = ["NONCE", "claims", "evidence", "judge"]

NONCE = hashlib.sha256(DATA).digest()


def evidence(
    *,
    variable: bytes | None = None,
    report_data: bytes | None = None,
    quote: azure.Quote | None = None,
    hcl: dict[str, int] | None = None,
    **fields: Any,
) -> AzureEvidence:
    """`fields` are those of the SNP report, `hcl` those of the HCL report."""
    data = azure.variable_data() if variable is None else variable
    bound = azure.report_data_of(data) if report_data is None else report_data
    hardware = chip().report(bound, **fields)
    quoted = quote or azure.quote(NONCE)
    return AzureEvidence(
        hcl_report=azure.hcl_report(hardware, data, **(hcl or {})),
        tpm_quote=quoted.message,
        tpm_signature=quoted.signature,
        pcrs=quoted.pcrs,
        certificates=chip().certificates,
    )


def judge(given: AzureEvidence, **changed: Any) -> Verified:
    maker = hierarchy()
    arguments: dict[str, Any] = {"report_data": DATA, "now": NOW, "revocation": "required", **changed}
    return verify(given, Collateral(crls=(maker.crl(),)), maker.anchors, **arguments)


def claims(**changed: Any) -> Claims:
    return judge(evidence(**changed)).claims
