"""Verify: is the evidence authentic, and was it made for this? Facts, or the first check that failed.

`verify` is what releases rest on. `inspect_without_binding` is for people who look at evidence; its result has another
type, so that it can stand nowhere that `Verified` is asked for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from attest.anchors import Anchors
from attest.errors import Malformed, NotBound
from attest.evidence import Collateral, CpuEvidence
from attest.finding import Finding, Outcome
from attest.profile import Claims
from attest.proven import VERIFIERS, Given, Kept, Proven

__all__ = ["Inspected", "Kept", "Revocation", "Verified", "inspect_without_binding", "verify"]

Revocation = Literal["required", "optional"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Authentic claims that are bound to what the caller asked for. `findings` shows what was skipped as skipped."""

    claims: Claims
    findings: tuple[Finding, ...]
    kept: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """Authentic claims that are bound to nothing: the evidence may be a replay. Never a reason to release anything."""

    claims: Claims
    findings: tuple[Finding, ...]
    kept: Kept


def verify(
    evidence: CpuEvidence,
    collateral: Collateral,
    anchors: Anchors,
    *,
    report_data: bytes,
    now: datetime,
    revocation: Revocation,
    kept: Kept | None = None,
) -> Verified:
    """Verifies evidence under pinned roots and its binding to `report_data`, exactly 64 bytes.

    Raises AttestError at the first failure; without 64 bytes to compare with, NotBound NONCE_REQUIRED before all else.
    `now` is aware. With revocation `optional` a missing revocation list is a skipped finding; one that is given must be
    good in either case.
    """
    _check_expectation(report_data)
    proven = _authenticate(evidence, collateral, anchors, now, revocation, kept)
    bound = _check_report_data(proven.claims, report_data)
    return Verified(claims=proven.claims, findings=(*proven.findings, bound), kept=proven.kept)


def inspect_without_binding(
    evidence: CpuEvidence,
    collateral: Collateral,
    anchors: Anchors,
    *,
    now: datetime,
    revocation: Revocation,
    kept: Kept | None = None,
) -> Inspected:
    """As `verify`, but REPORT_DATA is compared with nothing, which its finding says: skipped, never passed."""
    proven = _authenticate(evidence, collateral, anchors, now, revocation, kept)
    return Inspected(claims=proven.claims, findings=(*proven.findings, _UNBOUND), kept=proven.kept)


_UNBOUND = Finding(
    check="REPORT_DATA_MISMATCH",
    path="report.report_data",
    outcome=Outcome.SKIPPED,
    expected="64 bytes to compare with",
    got="none given: this evidence may be a replay",
)


_BOUND = Finding(
    check="REPORT_DATA_MISMATCH",
    path="report.report_data",
    outcome=Outcome.PASSED,
    expected="the 64 bytes asked for",
    got="the same",
)

_BOUND_NONCE = Finding(
    check="TPM_NONCE",
    path="tpm.quote.extraData",
    outcome=Outcome.PASSED,
    expected="SHA-256 of the 64 bytes asked for",
    got="the same",
)


def _check_expectation(report_data: object) -> None:
    """A missing or short expectation is an error: never a prefix to compare, never nothing to compare."""
    if not isinstance(report_data, bytes) or len(report_data) != 64:
        got = f"{len(report_data)} bytes" if isinstance(report_data, bytes) else type(report_data).__name__
        raise NotBound("NONCE_REQUIRED", "report_data", expected="64 bytes to compare REPORT_DATA with", got=got)


def _check_report_data(claims: Claims, expected: bytes) -> Finding:
    """REPORT_DATA is exactly `expected`, all 64 bytes; raises NotBound REPORT_DATA_MISMATCH.

    Under a paravisor REPORT_DATA was fixed at boot, and the nonce of the vTPM's quote is SHA-256 of `expected` instead;
    raises NotBound TPM_NONCE, for an empty one as for any other.
    """
    if claims.paravisor is not None:
        nonce = hashlib.sha256(expected).digest()
        if claims.paravisor.nonce != nonce:
            raise NotBound("TPM_NONCE", "tpm.quote.extraData", expected=nonce, got=claims.paravisor.nonce)
        return _BOUND_NONCE
    if claims.report_data != expected:
        raise NotBound("REPORT_DATA_MISMATCH", "report.report_data", expected=expected, got=claims.report_data)
    return _BOUND


def _authenticate(
    evidence: CpuEvidence,
    collateral: Collateral,
    anchors: Anchors,
    now: datetime,
    revocation: Revocation,
    kept: Kept | None,
) -> Proven:
    if now.utcoffset() is None:
        raise Malformed("NOW_UNZONED", "now", expected="a time with its zone", got=now.isoformat())
    if revocation not in ("required", "optional"):
        raise Malformed("REVOCATION_MODE", "revocation", expected="required or optional", got=revocation)
    verifier = VERIFIERS.get(type(evidence))
    if verifier is None:
        expected = ", ".join(kind.__name__ for kind in VERIFIERS)
        raise Malformed("UNSUPPORTED_EVIDENCE", "evidence", expected=expected, got=type(evidence).__name__)
    return verifier(
        evidence,
        Given(
            collateral=collateral,
            anchors=anchors,
            now=now,
            revocation_required=revocation == "required",
            kept=kept or Kept(),
        ),
    )
