"""Appraise: do we accept what verification established? Every finding; nothing to compare with is a failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from attest.age import age_findings
from attest.azure.appraise import appraise_paravisor
from attest.azure.claims import ParavisorClaims
from attest.finding import Finding, Outcome
from attest.gpu.appraise import appraise_devices
from attest.profile import Claims, Profile
from attest.reference import Difference, ReferenceSet, ReferenceValue
from attest.snp.appraise import appraise_snp
from attest.tdx.appraise import appraise_tdx

__all__ = ["Appraisal", "Nearest", "appraise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The reference value that comes nearest to the evidence, and where they differ. For people; it decides nothing."""

    set_name: str
    value: ReferenceValue
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """All findings. `matched` is the first reference value that is met; if none is, `nearest` says what was close.

    `images` are the values of the image that runs, each met or other only in what tells parties apart that boot it.
    """

    findings: tuple[Finding, ...]
    matched: ReferenceValue | None
    nearest: Nearest | None
    images: tuple[ReferenceValue, ...] = ()


# What the host gives at launch or the guest extends later: another party's guest of the same image differs in it.
_SECOND_FACTS = frozenset({"host_data", "mr_config_id", "rtmr3"})


def appraise(
    claims: Claims, profile: Profile, references: Sequence[ReferenceSet], *, now: datetime | None = None
) -> Appraisal:
    """Compares authentic claims with a profile and with the reference values of all `references` together.

    Acceptable is what `attest.finding.acceptable` says of the findings. Without any reference value POLICY_UNSPECIFIED
    fails: an empty expectation is a mistake of the configuration and never met. The age of collateral is told by `now`;
    where a profile limits it and no time is given, COLLATERAL_TOO_OLD fails.
    """
    compared = [
        Nearest(set_name=references_.name, value=value, differences=tuple(value.differences(claims)))
        for references_ in references
        for value in references_.values
    ]
    matched = next((each.value for each in compared if not each.differences), None)
    nearest = min(compared, key=_distance, default=None) if matched is None else None
    findings = (
        *_reference_findings(claims, len(compared), matched, nearest),
        *_init_data_findings(claims, profile),
        *_platform_findings(claims, profile, matched, now),
        *age_findings(claims.issued, profile.collateral_age(claims.platform), now, "collateral"),
        *_device_findings(claims, profile, now),
    )
    images = tuple(each.value for each in compared if _fields(each) <= _SECOND_FACTS)
    return Appraisal(findings=findings, matched=matched, nearest=nearest, images=images)


def _fields(each: Nearest) -> set[str]:
    """In which fields it differs; a component's place is no part of a field's name."""
    return {difference.field.partition("[")[0] for difference in each.differences}


def _platform_findings(
    claims: Claims, profile: Profile, matched: ReferenceValue | None, now: datetime | None
) -> tuple[Finding, ...]:
    """What the profile says of this kind of TEE; if it says nothing of it, that is the finding."""
    if claims.paravisor is not None:
        found = _paravisor_findings(claims, claims.paravisor, profile, matched, now)
    elif claims.snp is not None and profile.snp is not None:
        found = appraise_snp(claims.snp, profile.snp, now=now)
    elif claims.tdx is not None and profile.tdx is not None:
        found = appraise_tdx(claims.tdx, profile.tdx)
    else:
        found = ()
    if found:
        return found
    named = " or ".join(profile.names())
    return (_finding("POLICY_PLATFORM", "platform", Outcome.FAILED, named or "a TEE in the profile", claims.platform),)


def _device_findings(claims: Claims, profile: Profile, now: datetime | None) -> tuple[Finding, ...]:
    """What the profile asks of GPUs and NVSwitches; where it asks for none, those that are there were verified only."""
    if profile.gpu is not None:
        return appraise_devices(claims.devices, profile.gpu, now=now)
    if not claims.devices:
        return ()
    got = f"{len(claims.devices)} devices, not appraised"
    return (_finding("DEVICE_COUNT", "devices", Outcome.SKIPPED, "nothing asked for", got),)


def _paravisor_findings(
    claims: Claims,
    paravisor: ParavisorClaims,
    profile: Profile,
    matched: ReferenceValue | None,
    now: datetime | None,
) -> tuple[Finding, ...]:
    """The hardware's own findings, and the paravisor's; none where the profile does not name this platform."""
    pinned = frozenset(number for number, _ in matched.pcrs) if matched is not None else frozenset()
    if claims.snp is not None and profile.azure_snp is not None:
        asked = profile.azure_snp
        return (
            *appraise_snp(claims.snp, asked.cpu, now=now),
            *appraise_paravisor(paravisor, asked.pcrs, pinned, secure_boot=asked.secure_boot),
        )
    if claims.tdx is not None and profile.azure_tdx is not None:
        wanted = profile.azure_tdx
        return (
            *appraise_tdx(claims.tdx, wanted.cpu),
            *appraise_paravisor(paravisor, wanted.pcrs, pinned, secure_boot=wanted.secure_boot),
        )
    return ()


def _init_data_findings(claims: Claims, profile: Profile) -> Iterator[Finding]:
    """What the host said at launch, where a profile asks for it; init-data that was not given meets nothing."""
    for key, allowed in sorted(profile.init_data.items()):
        got = None if claims.init_data is None else claims.init_data.get(key)
        outcome = Outcome.PASSED if isinstance(got, str) and got in allowed else Outcome.FAILED
        expected = f"one of: {', '.join(sorted(allowed))}"
        yield _finding("POLICY_INIT_DATA", f"init_data.{key}", outcome, expected, "none" if got is None else str(got))


def _distance(each: Nearest) -> tuple[bool, int]:
    """A value of another platform is further than any of this one: it was never meant for this guest."""
    return any(difference.field == "platform" for difference in each.differences), len(each.differences)


def _reference_findings(
    claims: Claims, count: int, matched: ReferenceValue | None, nearest: Nearest | None
) -> Iterator[Finding]:
    outcome = Outcome.PASSED if count else Outcome.FAILED
    yield _finding("POLICY_UNSPECIFIED", "references", outcome, "at least one reference value", str(count))
    got = claims.measurement.hex()
    if not count:
        yield _finding("POLICY_MEASUREMENT", "report.measurement", Outcome.SKIPPED, "nothing to compare with", got)
        return
    differing = {d.field for d in nearest.differences} if nearest else set()
    fine = matched is not None or "measurement" not in differing
    outcome = Outcome.PASSED if fine else Outcome.FAILED
    expected = f"that of {matched.name}" if matched else f"one of {count} reference values"
    yield _finding("POLICY_MEASUREMENT", "report.measurement", outcome, expected, got)
    if nearest is not None and "measurement" not in differing:
        for difference in nearest.differences:
            name = difference.field.partition("[")[0]  # a component's place is no part of the check's name
            yield _finding(
                f"POLICY_{name.upper()}", f"reference.{nearest.value.name}.{difference.field}",
                Outcome.FAILED, difference.expected, difference.got,
            )  # fmt: skip
    elif matched is not None:
        for field, value in matched.asked():
            path = f"reference.{matched.name}.{field}"
            shown = f"{len(value)} components, in order" if isinstance(value, tuple) else value.hex()
            yield _finding(f"POLICY_{field.upper()}", path, Outcome.PASSED, shown, shown)


def _finding(check: str, path: str, outcome: Outcome, expected: str, got: str) -> Finding:
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)
