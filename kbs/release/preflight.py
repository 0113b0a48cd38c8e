"""Who will be refused at another date, and why: steps 3 and 4 of a release, for every platform that the log has seen.

The evidence of a platform's newest release is verified with the collateral of today and appraised as of the date that
is asked about. What a vendor will publish until then nobody knows: collateral that ends before the date is told apart,
since it is renewed where the vendor can be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from attest.anchors import Anchors
from attest.devices import verify_devices, with_devices
from attest.errors import AttestError
from attest.evidence import CpuEvidence, DeviceEvidence
from attest.finding import Outcome
from attest.profile import Claims, bound_init_data
from attest.verify import inspect_without_binding
from kbs.model.asset import Snapshot
from kbs.model.collateral import Gathered
from kbs.release.appraisal import appraise_all

__all__ = ["Ending", "Forecast", "Refusal", "Seen", "forecast", "refusals_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A platform as its newest grant left it. `node` is its pseudonym, `assets` what it was given."""

    node: str
    tenant: str
    product: str
    assets: tuple[str, ...]
    evidence: CpuEvidence
    init_data: bytes
    devices: tuple[DeviceEvidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Refusal:
    """One reason for which nodes of a product will not get an asset; of `evidence` where the asset does not matter."""

    product: str
    asset: str
    check: str
    path: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A piece of collateral that ends before the date, and must be renewed by then."""

    name: str
    good_until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Who is refused at `at` (ms): nodes by reason, the most first."""

    at: int
    platforms: int
    refusals: tuple[tuple[Refusal, tuple[str, ...]], ...]
    endings: tuple[Ending, ...]

    @property
    def refused(self) -> int:
        """How many platforms are refused something."""
        return len({node for _, nodes in self.refusals for node in nodes})


def refusals_of(
    seen: Seen, gathered: Gathered, anchors: Anchors, snapshot: Snapshot, *, now: int, at: int
) -> tuple[Refusal, ...]:
    """Why this platform would be refused at `at`; empty if it would not. Pure."""
    judged = min(at, max(now, gathered.until - 1))  # what ends before is told by the endings
    try:
        inspected = inspect_without_binding(
            seen.evidence,
            gathered.collateral,
            anchors,
            now=_utc(judged),
            revocation="required",
            kept=gathered.kept,
        )
        devices = list(
            verify_devices(
                seen.devices,
                gathered.collateral,
                anchors,
                nonce=None,
                now=_utc(judged),
                revocation_required=True,
                kept=gathered.kept.devices if gathered.kept else None,
            )
        )
        init_data = bound_init_data(seen.init_data, inspected.claims)
    except AttestError as error:
        return (_refusal(seen, "", error.check, error.path, error.expected, error.got),)
    claims = _as_of(replace(with_devices(inspected.claims, devices), init_data=init_data), _utc(at))
    return tuple(
        _refusal(seen, asset, finding.check, finding.path, finding.expected, finding.got)
        for asset, appraisal in appraise_all(seen.assets, claims, snapshot, at).items()
        for finding in appraisal.findings
        if finding.outcome is Outcome.FAILED and (finding.check != "COLLATERAL_TOO_OLD" or at <= now)  # renewed by then
    )


def forecast(
    found: Sequence[tuple[Seen, tuple[Refusal, ...]]], ends: Sequence[tuple[str, int]], *, at: int
) -> Forecast:
    """What was found for each platform, by reason; `ends` are names of collateral with the ends of their validity."""
    nodes: dict[Refusal, set[str]] = {}
    for seen, refusals in found:
        for refusal in refusals:
            nodes.setdefault(refusal, set()).add(seen.node)
    ordered = sorted(nodes.items(), key=lambda item: (-len(item[1]), item[0]))
    return Forecast(
        at=at,
        platforms=len({seen.node for seen, _ in found}),
        refusals=tuple((refusal, tuple(sorted(who))) for refusal, who in ordered),
        endings=tuple(Ending(name=name, good_until=until) for name, until in ends if until <= at),
    )


def _refusal(seen: Seen, asset: str, check: str, path: str, expected: str, got: str) -> Refusal:
    return Refusal(product=seen.product, asset=asset, check=check, path=path, expected=expected, got=got)


def _as_of(claims: Claims, at: datetime) -> Claims:
    """The same claims on another day: grace ends by its date."""
    if claims.tdx is None:
        return claims
    verdict = replace(claims.tdx.tcb_verdict, at=at)
    return replace(claims, tdx=replace(claims.tdx, tcb_verdict=verdict))


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
