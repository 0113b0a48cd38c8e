"""The quoting enclave: Intel's own, at a known level, and bound to the key that signed the quote.

Source: Intel "SGX ECDSA QuoteLibReference DCAP API" section on quote verification, "PCS API" version 4, enclave
identity. A mask is applied to the report alone; what is left has to be the identity's value, all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from attest.errors import NotAuthentic
from attest.tdx.body import SgxReport
from attest.tdx.claims import TcbPart
from attest.tdx.quote import Proof
from attest.tdx.tcb import isv_level
from attest.tdx.tcb_info import EnclaveIdentity

__all__ = ["check_binding", "evaluate_qe"]

_IDENTIFIER: Mapping[str, str] = {"SGX": "QE", "TDX": "TD_QE"}


def check_binding(proof: Proof) -> None:
    """REPORTDATA of the enclave names the attestation key and the authentication data, and nothing else.

    Raises NotAuthentic QE_BINDING.
    """
    expected = hashlib.sha256(proof.attestation_key + proof.qe_auth).digest() + bytes(32)
    if proof.qe_report.report_data != expected:
        got = proof.qe_report.report_data
        raise NotAuthentic("QE_BINDING", "qe_report.report_data", expected=expected, got=got)


def evaluate_qe(report: SgxReport, identity: EnclaveIdentity, tee: str) -> TcbPart:
    """The level of the enclave; raises NotAuthentic QEID_MISMATCH, QE_DEBUG, QE_REPORT_MISMATCH, TCB_NOT_SUPPORTED."""
    if identity.identifier != _IDENTIFIER[tee]:
        raise NotAuthentic("QEID_MISMATCH", "qe_identity.id", expected=_IDENTIFIER[tee], got=identity.identifier)
    if report.debug:
        raise NotAuthentic("QE_DEBUG", "qe_report.attributes", expected="no debugging", got=report.attributes)
    attributes = int.from_bytes(report.attributes, "little")
    compared = (
        ("miscselect", identity.miscselect, report.miscselect & identity.miscselect_mask),
        ("attributes", identity.attributes, attributes & identity.attributes_mask),
        ("mrsigner", identity.mrsigner, report.mrsigner),
        ("isvprodid", identity.isvprodid, report.isvprodid),
    )
    for name, expected, got in compared:
        if expected != got:
            raise NotAuthentic("QE_REPORT_MISMATCH", f"qe_report.{name}", expected=expected, got=got)
    return isv_level("tcb.qe", report.isvsvn, identity.levels).part
