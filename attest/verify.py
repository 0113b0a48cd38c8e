"""Verify: is the evidence authentic, and was it made for this? Facts, or the first check that failed.

`verify` is what releases rest on. `inspect_without_binding` is for people who look at evidence; its result has another
type, so that it can stand nowhere that `Verified` is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from attest.anchors import Anchors
from attest.errors import Malformed, NotBound
from attest.evidence import Collateral, SnpEvidence
from attest.finding import Finding, Outcome
from attest.profile import Claims
from attest.snp.certs import VerifiedChain
from attest.snp.crl import VerifiedCrl
from attest.snp.verify import Authentic, check_report_data, verify_snp

__all__ = ["Inspected", "Kept", "Revocation", "Verified", "inspect_without_binding", "verify"]

Revocation = Literal["required", "optional"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was verified and does not depend on time, report or challenge. The caller may keep it and pass it in again.

    Only signatures over byte-identical certificates and lists are spared by it: validity, revocation and the match with
    the report are checked at every use, so that the verdict is the same with it and without.
    """

    chains: tuple[VerifiedChain, ...] = ()
    crls: tuple[VerifiedCrl, ...] = ()


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
    evidence: SnpEvidence,
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
    authentic = _authenticate(evidence, collateral, anchors, now, revocation, kept)
    bound = check_report_data(authentic.claims, report_data)
    return Verified(claims=_claims(authentic), findings=(*authentic.findings, bound), kept=_kept(authentic))


def inspect_without_binding(
    evidence: SnpEvidence,
    collateral: Collateral,
    anchors: Anchors,
    *,
    now: datetime,
    revocation: Revocation,
    kept: Kept | None = None,
) -> Inspected:
    """As `verify`, but REPORT_DATA is compared with nothing, which its finding says: skipped, never passed."""
    authentic = _authenticate(evidence, collateral, anchors, now, revocation, kept)
    return Inspected(claims=_claims(authentic), findings=(*authentic.findings, _UNBOUND), kept=_kept(authentic))


_UNBOUND = Finding(
    check="REPORT_DATA_MISMATCH",
    path="report.report_data",
    outcome=Outcome.SKIPPED,
    expected="64 bytes to compare with",
    got="none given: this evidence may be a replay",
)


def _check_expectation(report_data: object) -> None:
    """A missing or short expectation is an error: never a prefix to compare, never nothing to compare."""
    if not isinstance(report_data, bytes) or len(report_data) != 64:
        got = f"{len(report_data)} bytes" if isinstance(report_data, bytes) else type(report_data).__name__
        raise NotBound("NONCE_REQUIRED", "report_data", expected="64 bytes to compare REPORT_DATA with", got=got)


def _authenticate(
    evidence: SnpEvidence,
    collateral: Collateral,
    anchors: Anchors,
    now: datetime,
    revocation: Revocation,
    kept: Kept | None,
) -> Authentic:
    if now.utcoffset() is None:
        raise Malformed("NOW_UNZONED", "now", expected="a time with its zone", got=now.isoformat())
    if revocation not in ("required", "optional"):
        raise Malformed("REVOCATION_MODE", "revocation", expected="required or optional", got=revocation)
    kept = kept or Kept()
    return verify_snp(
        evidence,
        collateral,
        anchors,
        now=now,
        revocation_required=revocation == "required",
        chains=kept.chains,
        crls=kept.crls,
    )


def _claims(authentic: Authentic) -> Claims:
    return Claims(platform="snp", simulated=authentic.claims.simulated, snp=authentic.claims)


def _kept(authentic: Authentic) -> Kept:
    return Kept(chains=(authentic.chain,), crls=authentic.crls)
