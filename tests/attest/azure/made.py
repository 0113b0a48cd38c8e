"""A guest under a throwaway paravisor on a throwaway Milan, whole, or wrong in one chosen way."""

from __future__ import annotations

import hashlib
from typing import Any

from attest.evidence import AzureEvidence, Collateral
from attest.profile import Claims
from attest.verify import Verified, verify
from tests.attest.snp.made import DATA, NOW, chip, hierarchy
from tests.attest.tdx.made import collateral, intel, platform
from tests.makers import azure

__all__ = ["NONCE", "claims", "evidence", "judge", "td_evidence", "td_judge"]

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


def td_evidence(
    *,
    variable: bytes | None = None,
    report_data: bytes | None = None,
    inside: bytes | None = None,
    head: bytes = b"\x81",
    **fields: Any,
) -> AzureEvidence:
    """A guest on TDX; `fields` are those of the TD report, `inside` the REPORTDATA of the TDREPORT, `head` its type."""
    data = azure.variable_data() if variable is None else variable
    bound = azure.report_data_of(data) if report_data is None else report_data
    tdreport = head.ljust(0x80, b"\0") + (bound if inside is None else inside) + bytes(1_024 - 0xC0)
    quoted = azure.quote(NONCE)
    return AzureEvidence(
        hcl_report=azure.hcl_report(tdreport, data, kind=4),
        tpm_quote=quoted.message,
        tpm_signature=quoted.signature,
        pcrs=quoted.pcrs,
        td_quote=platform().quote(bound, **fields),
    )


def td_judge(given: AzureEvidence, **changed: Any) -> Verified:
    arguments: dict[str, Any] = {"report_data": DATA, "now": NOW, "revocation": "required", **changed}
    return verify(given, Collateral(tdx=arguments.pop("tdx", (collateral(),))), intel().anchors, **arguments)


def claims(**changed: Any) -> Claims:
    return judge(evidence(**changed)).claims
