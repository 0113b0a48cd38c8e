"""What the SNP tests share: a throwaway hierarchy for each product, and a short way to judge a report under it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cache
from typing import Any

from attest.evidence import Collateral, SnpEvidence
from attest.profile import Claims
from attest.snp.claims import SnpClaims
from attest.verify import Inspected, Verified, verify
from tests.makers import amd

__all__ = ["DATA", "NOW", "chip", "claims", "hierarchy", "judge", "snp_of"]

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
DATA = bytes(range(64))


@cache
def hierarchy(product: str = "Milan") -> amd.Amd:
    return amd.mint(product, now=NOW)


@cache
def chip(product: str = "Milan", kind: str = "VCEK") -> amd.Chip:
    return hierarchy(product).chip(kind=kind)


def snp_of(found: Verified | Inspected) -> SnpClaims:
    """The claims of SNP, which are there for SNP evidence."""
    assert found.claims.snp is not None
    return found.claims.snp


def judge(
    report: bytes,
    certificates: Sequence[bytes],
    maker: amd.Amd,
    *,
    crls: Sequence[bytes] | None = None,
    **changed: Any,
) -> Verified:
    """Verifies under the maker's own root, with its revocation list, for DATA at NOW."""
    collateral = Collateral(crls=tuple((maker.crl(),) if crls is None else crls))
    evidence = SnpEvidence(report=report, certificates=tuple(certificates))
    arguments: dict[str, Any] = {"report_data": DATA, "now": NOW, "revocation": "required", **changed}
    return verify(evidence, collateral, arguments.pop("anchors", maker.anchors), **arguments)


def claims(made: amd.Chip | None = None, *, version: int = 3, **fields: int | bytes) -> Claims:
    """The authentic claims of a report with these fields."""
    made = made or chip()
    return judge(made.report(DATA, version=version, **fields), made.certificates, made.amd).claims
