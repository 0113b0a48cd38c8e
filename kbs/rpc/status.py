"""What a caller may learn from a refusal: the one place where exceptions become google.rpc.Status.

docs/errors.md is written from these tables (`python -m kbs.rpc.errors_doc`), and a test holds it to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from attest.errors import AttestError, Malformed, NotBound
from kbs.model.refusal import Refused, Slowed, Unavailable

__all__ = ["CHECKS", "DETAILS_KEY", "DOMAIN", "REASONS", "reason_of", "status_of"]

DOMAIN = "sealgate"
DETAILS_KEY = "grpc-status-details-bin"
_Code = grpc.StatusCode
_TOLD = frozenset({_Code.INVALID_ARGUMENT, _Code.UNAUTHENTICATED})
# Only people who may list there come this far: they are told what is in the way.
_TOLD_REASONS = frozenset({"ALREADY_EXISTS", "CATALOGUE_RULE", "ETAG_MISMATCH", "LEASE_OVER", "NOT_FOUND"})

# reason: (code, the sentence for people)
REASONS: Mapping[str, tuple[Any, str]] = {
    "REQUEST_MALFORMED": (_Code.INVALID_ARGUMENT, "The request is not what the API describes."),
    "EVIDENCE_MALFORMED": (_Code.INVALID_ARGUMENT, "The evidence is not what its vendor's specification describes."),
    "EVIDENCE_TOO_LARGE": (_Code.INVALID_ARGUMENT, "The evidence exceeds a limit."),
    "EVIDENCE_UNSUPPORTED": (_Code.INVALID_ARGUMENT, "This broker does not verify evidence of that kind."),
    "EVIDENCE_SIGNATURE_INVALID": (_Code.UNAUTHENTICATED, "A signature in the evidence or its chain does not verify."),
    "CERTIFICATE_EXPIRED": (_Code.UNAUTHENTICATED, "A certificate of the evidence is outside its validity."),
    "ROOT_UNKNOWN": (_Code.UNAUTHENTICATED, "The evidence does not chain to a vendor root that is pinned here."),
    "BINDING_MISMATCH": (_Code.UNAUTHENTICATED, "The evidence was not made for this challenge, key and request."),
    "CHALLENGE_INVALID": (_Code.UNAUTHENTICATED, "The challenge was not issued by this deployment."),
    "CHALLENGE_EXPIRED": (_Code.UNAUTHENTICATED, "The challenge is too old; get a new one."),
    "CHALLENGE_REUSED": (_Code.UNAUTHENTICATED, "The challenge was used for another request; get a new one."),
    "HOLDER_PROOF": (_Code.UNAUTHENTICATED, "The signature is not by the holder key over this challenge."),
    "CERTIFICATE_UNKNOWN": (_Code.UNAUTHENTICATED, "The client certificate belongs to nobody who is enrolled here."),
    "ENROLMENT_CODE": (_Code.UNAUTHENTICATED, "The code is not one that somebody may enrol with now."),
    "ENROLMENT_CLOSED": (
        _Code.FAILED_PRECONDITION,
        "No code is open; two operators can let somebody in: sealgate-broker people invite.",
    ),
    "POSSESSION": (_Code.UNAUTHENTICATED, "The signature does not prove that the caller has the key."),
    "KEY_RETIRED": (
        _Code.PERMISSION_DENIED,
        "The key was somebody's who was removed, and lets nobody in; make a new one.",
    ),
    "KEY_ENROLLED": (_Code.ALREADY_EXISTS, "The key is somebody's already; make a new one."),
    "TLS_VERSION": (_Code.UNAUTHENTICATED, "The connection is not TLS 1.3."),
    "ACCESS_DENIED": (_Code.PERMISSION_DENIED, "Denied. An operator can say why: sealgate explain TICKET."),
    "DEBUG_ENABLED": (_Code.PERMISSION_DENIED, "The guest may be debugged by its host; no key is released to it."),
    "MIGRATION_AGENT": (_Code.PERMISSION_DENIED, "A migration agent can see the guest; no key is released to it."),
    "CERTIFICATE_REVOKED": (_Code.PERMISSION_DENIED, "A certificate of the evidence is revoked by its vendor."),
    "SIMULATED_ROOT": (
        _Code.PERMISSION_DENIED,
        "The evidence is simulated and this deployment is not, or the reverse.",
    ),
    "TCB_NOT_SUPPORTED": (_Code.PERMISSION_DENIED, "The vendor vouches for no TCB as old as this platform's."),
    "REVOKED_REATTEST": (
        _Code.FAILED_PRECONDITION,
        "The lease has ended; getting the keys anew may succeed: sealgate keys get.",
    ),
    "REVOKED_BLOCKED": (
        _Code.FAILED_PRECONDITION,
        "The lease has ended, and only a person can change that: sealgate explain TICKET.",
    ),
    "LEASE_OVER": (_Code.FAILED_PRECONDITION, "The lease is over already; there is nothing to end."),
    "LOCKED": (_Code.FAILED_PRECONDITION, "Releases are locked; an operator can say for how long."),
    "EXPOSURE_BUDGET": (_Code.RESOURCE_EXHAUSTED, "The release would cross a ceiling of exposure."),
    "RATE_LIMITED": (
        _Code.RESOURCE_EXHAUSTED,
        "The same was asked for too often; it is served after the wait that is told.",
    ),
    "COLLATERAL_UNAVAILABLE": (_Code.UNAVAILABLE, "What is needed to judge the platform is not at hand."),
    "LOG_UNAVAILABLE": (_Code.UNAVAILABLE, "The log cannot be written, hence nothing is released."),
    "CLOCK_BEHIND_LOG": (
        _Code.UNAVAILABLE,
        "The log's time is ahead of the broker's clock; nothing is released until the clock has caught up.",
    ),
    "KEY_UNAVAILABLE": (_Code.UNAVAILABLE, "The key cannot be opened now."),
    "STATE_MOVING": (_Code.UNAVAILABLE, "What the decision rests on changed meanwhile; try again."),
    "DOCUMENT_INVALID": (_Code.INVALID_ARGUMENT, "The document is not what its kind demands."),
    "IMPORT_INVALID": (_Code.INVALID_ARGUMENT, "What was imported is not sealed for this key version."),
    "CATALOGUE_RULE": (_Code.FAILED_PRECONDITION, "The catalogue would not hold together."),
    "ETAG_MISMATCH": (_Code.ABORTED, "Somebody else changed it meanwhile; look at it again."),
    "ALREADY_EXISTS": (_Code.ALREADY_EXISTS, "There is one of that name."),
    "NOT_FOUND": (_Code.NOT_FOUND, "There is no such thing."),
    "INTERNAL": (_Code.INTERNAL, "A defect of the broker's own; its log knows more."),
}

# check: reason, where the class of the error alone does not tell
CHECKS: Mapping[str, str] = {
    "CHAIN_ROOT_NOT_PINNED": "ROOT_UNKNOWN",
    "CERT_EXPIRED": "CERTIFICATE_EXPIRED",
    "CERT_NOT_YET_VALID": "CERTIFICATE_EXPIRED",
    "CERT_REVOKED": "CERTIFICATE_REVOKED",
    "CRL_MISSING": "COLLATERAL_UNAVAILABLE",
    "CRL_EXPIRED": "COLLATERAL_UNAVAILABLE",
    "CRL_NOT_YET_VALID": "COLLATERAL_UNAVAILABLE",
    "CRL_SIGNATURE": "COLLATERAL_UNAVAILABLE",
    "CERT_ON_HOLD": "CERTIFICATE_REVOKED",
    **dict.fromkeys(
        (
            "CERT_STATUS_UNKNOWN",
            "OCSP_MALFORMED",
            "OCSP_RESPONDER",
            "OCSP_SIGNATURE",
            "REVOCATION_MISSING",
            "RIM_CHAIN_LENGTH",
            "RIM_DIGEST",
            "RIM_EXPIRED",
            "RIM_NOT_YET_VALID",
            "RIM_SCHEMA",
            "RIM_SIGNATURE",
            "RIM_SIGNATURE_FORM",
            "RIM_TOO_LARGE",
            "RIM_XML",
            "STATUS_EXPIRED",
            "STATUS_NOT_YET_VALID",
        ),
        "COLLATERAL_UNAVAILABLE",
    ),
    "CRL_ISSUER": "COLLATERAL_UNAVAILABLE",
    "CRL_MALFORMED": "COLLATERAL_UNAVAILABLE",
    "CRL_UNSUPPORTED": "COLLATERAL_UNAVAILABLE",
    "COLLATERAL_MISSING": "COLLATERAL_UNAVAILABLE",
    "COLLATERAL_FORMAT": "COLLATERAL_UNAVAILABLE",
    "COLLATERAL_CHAIN": "COLLATERAL_UNAVAILABLE",
    "COLLATERAL_EXPIRED": "COLLATERAL_UNAVAILABLE",
    "COLLATERAL_NOT_YET_VALID": "COLLATERAL_UNAVAILABLE",
    "TCBINFO_FORMAT": "COLLATERAL_UNAVAILABLE",
    "TCBINFO_SIGNATURE": "COLLATERAL_UNAVAILABLE",
    "TCBINFO_MISMATCH": "COLLATERAL_UNAVAILABLE",
    "QEID_FORMAT": "COLLATERAL_UNAVAILABLE",
    "QEID_SIGNATURE": "COLLATERAL_UNAVAILABLE",
    "QEID_MISMATCH": "COLLATERAL_UNAVAILABLE",
    "JSON_DUPLICATE_KEY": "COLLATERAL_UNAVAILABLE",
    "PCK_CHAIN_MISSING": "COLLATERAL_UNAVAILABLE",
    "PCK_ROOT_NOT_PINNED": "ROOT_UNKNOWN",
    "TCB_NOT_SUPPORTED": "TCB_NOT_SUPPORTED",
    "TDX_MODULE_MISMATCH": "TCB_NOT_SUPPORTED",
    "QUOTE_TRUNCATED": "EVIDENCE_MALFORMED",
    "QUOTE_LENGTH": "EVIDENCE_TOO_LARGE",
    "QUOTE_VERSION": "EVIDENCE_MALFORMED",
    "QUOTE_BODY": "EVIDENCE_MALFORMED",
    "QUOTE_CERT_DATA": "EVIDENCE_MALFORMED",
    "QUOTE_RESERVED": "EVIDENCE_MALFORMED",
    "QUOTE_TRAILING": "EVIDENCE_MALFORMED",
    "ATT_KEY_TYPE": "EVIDENCE_UNSUPPORTED",
    "TEE_TYPE": "EVIDENCE_UNSUPPORTED",
    "QE_VENDOR": "EVIDENCE_UNSUPPORTED",
    "PCK_CHAIN": "EVIDENCE_SIGNATURE_INVALID",
    "PCK_EXTENSION": "EVIDENCE_MALFORMED",
    "QE_BINDING": "EVIDENCE_SIGNATURE_INVALID",
    "QE_DEBUG": "EVIDENCE_SIGNATURE_INVALID",
    "QE_REPORT_MISMATCH": "EVIDENCE_SIGNATURE_INVALID",
    "QE_REPORT_SIGNATURE": "EVIDENCE_SIGNATURE_INVALID",
    "QUOTE_SIGNATURE": "EVIDENCE_SIGNATURE_INVALID",
    "NONCE_REQUIRED": "BINDING_MISMATCH",
    "REPORT_DATA_MISMATCH": "BINDING_MISMATCH",
    "EVENTLOG_TOO_LARGE": "EVIDENCE_TOO_LARGE",
    "UNSUPPORTED_EVIDENCE": "EVIDENCE_UNSUPPORTED",
}


def reason_of(error: AttestError) -> str:
    """The coarse reason of a failed check."""
    if error.check in CHECKS:
        return CHECKS[error.check]
    if isinstance(error, NotBound):
        return "BINDING_MISMATCH"
    return "EVIDENCE_MALFORMED" if isinstance(error, Malformed) else "EVIDENCE_SIGNATURE_INVALID"


def status_of(error: AttestError | Refused) -> tuple[Any, str, bytes]:
    """(code, message, serialized google.rpc.Status) of a refusal.

    A failed check on the caller's own evidence or request is told whole; of a decision only the reason and the ticket
    are told, whatever the exception holds. A reason that is not in the table is a defect of ours: INTERNAL.
    """
    reason = reason_of(error) if isinstance(error, AttestError) else error.reason
    if reason not in REASONS:
        reason = "INTERNAL"
    code, message = REASONS[reason]
    if isinstance(error, AttestError):
        metadata = {"check": error.check, "path": error.path, "expected": error.expected, "got": error.got}
    else:
        told = {"ticket": error.ticket}
        if code in _TOLD or reason in _TOLD_REASONS:
            told |= {"check": error.check, "expected": error.expected, "got": error.got}
        metadata = {name: value for name, value in told.items() if value}
    status = Status(code=code.value[0], message=message)
    _pack(status, ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    if isinstance(error, Slowed | Unavailable) or code is _Code.UNAVAILABLE:
        seconds = error.retry_after if isinstance(error, Slowed | Unavailable) else 5.0
        _pack(status, RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))))
    return code, message, status.SerializeToString()


def _pack(status: Status, detail: ErrorInfo | RetryInfo) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
