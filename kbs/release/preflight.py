"""Who will be refused at another date, and why: steps 3 and 4 of a release, for every platform that the log has seen.

The evidence of a platform's newest release is verified with the collateral of today and appraised as of the date that
is asked about. What a vendor will publish until then nobody knows: collateral that ends before the date is told apart,
since it is renewed where the vendor can be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from attest.anchors import Anchors
from attest.devices import verify_devices, with_devices
from attest.errors import AttestError
from attest.evidence import CpuEvidence, DeviceEvidence
from attest.finding import Outcome
from attest.grace import CHECK as GRACE
from attest.profile import Claims, bound_init_data
from attest.verify import inspect_without_binding
from kbs.model.asset import Snapshot
from kbs.model.collateral import Coming, Gathered, Lifetime
from kbs.release.appraisal import appraise_all

__all__ = ["Change", "Ending", "Forecast", "Leave", "Outlook", "Refusal", "Seen", "forecast", "outlook_of"]

# What says that collateral is not there, and nothing of the platform.
_ABSENT = frozenset(
    {"VEK_MISSING", "CHAIN_INCOMPLETE", "CRL_MISSING", "COLLATERAL_MISSING", "PCK_CHAIN_MISSING", "REVOCATION_MISSING"}
)
Reason = TypeVar("Reason", "Refusal", "Leave")


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
    """A piece of collateral that ends before the date and must be renewed by then; `overdue` if it should have been."""

    name: str
    good_until: int
    overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Leave:
    """An exception by which nodes of a product still get an asset: until when, by whose leave, for which advisories."""

    product: str
    asset: str
    path: str
    leave: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is foreseen for one platform: why it is refused, by which exceptions it passes, and what is not at hand."""

    refusals: tuple[Refusal, ...] = ()
    leaves: tuple[Leave, ...] = ()
    missing: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Who will be refused when an announced change is the standard, besides those that will be anyway."""

    coming: Coming
    platforms: int
    refusals: tuple[tuple[Refusal, tuple[str, ...]], ...]

    @property
    def refused(self) -> int:
        """How many platforms it will refuse something."""
        return len({node for _, nodes in self.refusals for node in nodes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Who is refused at `at` (ms): nodes by reason, the most first.

    `leaves` are exceptions by which others pass; `missing` is what platforms cannot be judged without, to be fetched or
    imported; `changes` are what vendors have announced. `short_lived` pieces end as well, and are made anew before.
    """

    at: int
    platforms: int
    refusals: tuple[tuple[Refusal, tuple[str, ...]], ...]
    endings: tuple[Ending, ...]
    short_lived: int = 0
    leaves: tuple[tuple[Leave, tuple[str, ...]], ...] = ()
    missing: tuple[tuple[Refusal, tuple[str, ...]], ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def graced(self) -> int:
        """How many platforms get something by an exception."""
        return len({node for _, nodes in self.leaves for node in nodes})

    @property
    def refused(self) -> int:
        """How many platforms are refused something."""
        return len({node for _, nodes in self.refusals for node in nodes})


def outlook_of(
    seen: Seen,
    gathered: Gathered,
    anchors: Anchors,
    snapshot: Snapshot,
    *,
    now: int,
    at: int,
    curable: Callable[[AttestError], bool],
) -> Outlook:
    """What is foreseen for this platform at `at`; `curable` says whether collateral could cure a failure. Pure."""
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
        why = (_refusal(seen, "", error.check, error.path, error.expected, error.got),)
        return Outlook(missing=why) if error.check in _ABSENT and curable(error) else Outlook(refusals=why)
    claims = _as_of(replace(with_devices(inspected.claims, devices), init_data=init_data), _utc(at))
    appraised = appraise_all(seen.assets, claims, snapshot, at).items()
    findings = [(asset, finding) for asset, appraisal in appraised for finding in appraisal.findings]
    refusals = tuple(
        _refusal(seen, asset, finding.check, finding.path, finding.expected, finding.got)
        for asset, finding in findings
        if finding.outcome is Outcome.FAILED and (finding.check != "COLLATERAL_TOO_OLD" or at <= now)  # renewed by then
    )
    if refusals:  # one asset refused is the request refused: no exception lets this platform pass
        return Outlook(refusals=refusals)
    return Outlook(
        leaves=tuple(
            Leave(product=seen.product, asset=asset, path=finding.path, leave=finding.expected)
            for asset, finding in findings
            if finding.check == GRACE
        )
    )


def forecast(
    found: Sequence[tuple[Seen, Outlook]],
    ends: Sequence[Lifetime],
    *,
    now: int,
    at: int,
    later: Sequence[tuple[Seen, Coming, tuple[Refusal, ...]]] = (),
) -> Forecast:
    """What was found for each platform, by reason; `ends` is what there is of collateral, with its ends.

    `later` is for whom what is announced, and for what it will refuse them besides.
    """
    ending = [piece for piece in ends if piece.good_until <= at]
    told = [piece for piece in ending if piece.worth_a_notice(now, at)]
    return Forecast(
        at=at,
        platforms=len({seen.node for seen, _ in found}),
        refusals=_by_reason((seen, each) for seen, outlook in found for each in outlook.refusals),
        endings=tuple(
            Ending(name=piece.name, good_until=piece.good_until, overdue=piece.overdue(now)) for piece in told
        ),
        short_lived=len(ending) - len(told),
        leaves=_by_reason((seen, each) for seen, outlook in found for each in outlook.leaves),
        missing=_by_reason((seen, each) for seen, outlook in found for each in outlook.missing),
        changes=tuple(
            Change(
                coming=coming,
                platforms=len({seen.node for seen, other, _ in later if other == coming}),
                refusals=_by_reason((seen, each) for seen, other, why in later if other == coming for each in why),
            )
            for coming in sorted({coming for _, coming, _ in later})
        ),
    )


def _by_reason(found: Iterable[tuple[Seen, Reason]]) -> tuple[tuple[Reason, tuple[str, ...]], ...]:
    """Each reason with its nodes, the most first."""
    nodes: dict[Reason, set[str]] = {}
    for seen, reason in found:
        nodes.setdefault(reason, set()).add(seen.node)
    ordered = sorted(nodes.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple((reason, tuple(sorted(who))) for reason, who in ordered)


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
