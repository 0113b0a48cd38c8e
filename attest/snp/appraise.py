"""Do we accept this guest on this platform? Every finding, in the order of the profile, and never an exception.

Terms are those of AMD publication 56860. A bit of GUEST_POLICY that grants something to the host is bad when it is set
and not allowed; one that restricts the host is bad when it is clear and required. PLATFORM_INFO says how the platform
is, not how it had to be, hence it is checked apart. Debugging and migration agents are refused natively: no profile can
allow them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

from attest.finding import Finding, Outcome
from attest.grace import by_grace
from attest.snp.claims import SigningKey, SnpClaims, Tcb
from attest.snp.profile import PLATFORM_BITS, RESTRICTIONS, SnpGrace, SnpProfile
from attest.snp.tcb import LAYOUT, shortfalls

__all__ = ["appraise_snp"]

_NO_MIGRATION_AGENT = b"\xff" * 32
Rule = Callable[[SnpClaims, SnpProfile], Iterator[Finding]]


def appraise_snp(claims: SnpClaims, profile: SnpProfile, *, now: datetime | None = None) -> tuple[Finding, ...]:
    """Every finding of `profile` about `claims`; without `now` no dated exception counts."""
    named = tuple(finding for rule in _RULES for finding in rule(claims, profile))
    return (*named, *_tcb(claims, profile, now), *_firmware(claims, profile))


def _judged(check: str, path: str, fine: bool, expected: object, got: object) -> Finding:
    outcome = Outcome.PASSED if fine else Outcome.FAILED
    return Finding(check=check, path=path, outcome=outcome, expected=_text(expected), got=_text(got))


def _skipped(check: str, path: str, got: object) -> Finding:
    return Finding(check=check, path=path, outcome=Outcome.SKIPPED, expected="nothing asked for", got=_text(got))


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _listed(check: str, path: str, allowed: Collection[object], got: object) -> Finding:
    if not allowed:
        return _skipped(check, path, got)
    return _judged(check, path, got in allowed, "one of: " + ", ".join(sorted(map(_text, allowed))), got)


def _host_cannot_look(claims: SnpClaims, _profile: SnpProfile) -> Iterator[Finding]:
    """Native: no profile lifts these."""
    policy = claims.policy
    yield _judged("POLICY_DEBUG", "report.policy.debug", not policy.debug, 0, int(policy.debug))
    yield _judged("POLICY_MIGRATE_MA", "report.policy.migrate_ma", not policy.migrate_ma, 0, int(policy.migrate_ma))
    agent = claims.report_id_ma
    yield _judged("POLICY_MIGRATE_MA", "report.report_id_ma", agent == _NO_MIGRATION_AGENT, _NO_MIGRATION_AGENT, agent)


def _report(claims: SnpClaims, profile: SnpProfile) -> Iterator[Finding]:
    least = profile.minimum_report_version
    yield _judged(
        "POLICY_REPORT_VERSION", "report.version", claims.version >= least, f"at least {least}", claims.version
    )
    yield _listed("POLICY_PRODUCT", "report.product", profile.products, claims.product)
    keys = sorted(key.name for key in profile.signing_keys)
    fine = claims.signing_key in profile.signing_keys
    yield _judged("POLICY_SIGNING_KEY", "report.key_info", fine, " or ".join(keys), claims.signing_key.name)
    yield _judged("POLICY_VMPL", "report.vmpl", claims.vmpl == profile.vmpl, profile.vmpl, claims.vmpl)


def _guest_policy(claims: SnpClaims, profile: SnpProfile) -> Iterator[Finding]:
    policy = claims.policy
    path = "report.policy.abi"
    if profile.minimum_abi is None:
        yield _skipped("POLICY_ABI", path, policy.abi)
    else:
        yield _judged(
            "POLICY_ABI", path, policy.abi >= profile.minimum_abi, f"at least {profile.minimum_abi}", policy.abi
        )
    for name, allowed in (("smt", profile.allow_smt), ("cxl", profile.allow_cxl)):
        granted = getattr(policy, name)
        check, path = f"POLICY_{name.upper()}", f"report.policy.{name}"
        yield _skipped(check, path, int(granted)) if allowed else _judged(check, path, not granted, 0, int(granted))
    for name in sorted(RESTRICTIONS):
        restricted = getattr(policy, name)
        check, path = f"POLICY_{name.upper()}", f"report.policy.{name}"
        required = name in profile.require
        yield (
            _judged(check, path, restricted, 1, int(restricted)) if required else _skipped(check, path, int(restricted))
        )


def _platform(claims: SnpClaims, profile: SnpProfile) -> Iterator[Finding]:
    info = claims.platform_info
    check, path, on = "PLATFORM_SMT", "report.platform_info.smt_en", info.smt_en
    yield _skipped(check, path, int(on)) if profile.allow_platform_smt else _judged(check, path, not on, 0, int(on))
    for name, check in PLATFORM_BITS.items():
        is_set, path = name in info.names, f"report.platform_info.{name}"
        required = name in profile.require_platform
        yield _judged(check, path, is_set, 1, int(is_set)) if required else _skipped(check, path, int(is_set))
    check, path, unknown = "PLATFORM_UNKNOWN", "report.platform_info", f"{info.unknown:#x}"
    if profile.allow_unknown_platform_bits:
        yield _skipped(check, path, unknown)
    else:
        yield _judged(check, path, not info.unknown, "no unknown bit", unknown)


def _identity(claims: SnpClaims, profile: SnpProfile) -> Iterator[Finding]:
    yield _listed("POLICY_HOST_DATA", "report.host_data", profile.host_data, claims.host_data)
    yield _listed("POLICY_FAMILY_ID", "report.family_id", profile.family_ids, claims.family_id)
    yield _listed("POLICY_IMAGE_ID", "report.image_id", profile.image_ids, claims.image_id)
    check, path, least = "POLICY_GUEST_SVN", "report.guest_svn", profile.minimum_guest_svn
    if least is None:
        yield _skipped(check, path, claims.guest_svn)
    else:
        yield _judged(check, path, claims.guest_svn >= least, f"at least {least}", claims.guest_svn)
    yield _listed("POLICY_ID_KEY", "report.id_key_digest", profile.id_key_digests, claims.id_key_digest)
    author = claims.author_key_digest if claims.author_key_en else "no author key"
    yield _listed("POLICY_AUTHOR_KEY", "report.author_key_digest", profile.author_key_digests, author)
    chip = claims.chip_id if claims.signing_key is SigningKey.VCEK else "hidden by the VLEK"
    yield _listed("POLICY_CHIP_ID", "report.chip_id", profile.chip_ids, chip)
    yield _listed("POLICY_CSP_ID", "certificates.vlek.csp_id", profile.csp_ids, claims.csp_id or "none in a VCEK")


def _tcb(claims: SnpClaims, profile: SnpProfile, now: datetime | None) -> Iterator[Finding]:
    """Component by component. The host can set REPORTED below COMMITTED, hence both have to reach the minimum."""
    for name, tcb in (("reported_tcb", claims.reported_tcb), ("committed_tcb", claims.committed_tcb)):
        excuse = next((g for g in profile.grace if _excuses(g, tcb, profile, claims.product, now)), None)
        yield _least_tcb(name, tcb, profile.minimum_tcb, claims.product, excuse)
        if excuse is not None:
            yield by_grace(
                f"report.{name}",
                owner=excuse.owner,
                until=excuse.until,
                advisories=excuse.advisories,
                got=_shown(tcb),
            )
    yield _least_tcb("launch_tcb", claims.launch_tcb, profile.minimum_launch_tcb, claims.product)
    steps = (
        ("reported_tcb", claims.reported_tcb),
        ("committed_tcb", claims.committed_tcb),
        ("current_tcb", claims.current_tcb),
    )
    for (lower_name, lower), (upper_name, upper) in itertools.pairwise(steps):
        above = shortfalls(upper, lower.components())
        expected, got = f"at most {upper_name}: {_shown(upper)}", _shown(lower)
        yield _judged("TCB_INCONSISTENT", f"report.{lower_name}", not above, expected, got)
    check, path = "TCB_PROVISIONAL", "report.current_tcb"
    if profile.allow_provisional_firmware:
        yield _skipped(check, path, _shown(claims.current_tcb))
    else:
        fine = claims.current_tcb == claims.committed_tcb and claims.current_firmware == claims.committed_firmware
        expected = f"as committed: {_shown(claims.committed_tcb)}, firmware {claims.committed_firmware}"
        yield _judged(check, path, fine, expected, f"{_shown(claims.current_tcb)}, firmware {claims.current_firmware}")


def _excuses(grace: SnpGrace, tcb: Tcb, profile: SnpProfile, product: str, now: datetime | None) -> bool:
    """Whether it is needed, and every part of it fits; at its date it is over."""
    least = profile.minimum_tcb.get(product, {})
    return (
        grace.product == product
        and now is not None
        and now < grace.until
        and bool(shortfalls(tcb, least))
        and not shortfalls(tcb, {**least, **grace.level})
    )


def _least_tcb(
    name: str, tcb: Tcb, minimum: Mapping[str, Mapping[str, int]], product: str, excuse: SnpGrace | None = None
) -> Finding:
    path = f"report.{name}"
    if not minimum:
        return _skipped("TCB_BELOW_MIN", path, _shown(tcb))
    least = minimum.get(product)
    if least is None:
        return _judged("TCB_BELOW_MIN", path, False, f"a minimum for {product}", "none in the profile")
    expected = ", ".join(f"{part} at least {least[part]}" for part in LAYOUT[product].names if part in least)
    if excuse is not None:
        lower = ", ".join(f"{part} at least {value}" for part, value in excuse.level.items())
        expected += f", or by grace of {excuse.owner} until {excuse.until.isoformat()} {lower}"
    fine = excuse is not None or not shortfalls(tcb, least)
    return _judged("TCB_BELOW_MIN", path, fine, expected or "any", _shown(tcb))


def _shown(tcb: Tcb) -> str:
    return ", ".join(f"{name} {value}" for name, value in tcb.parts)


def _firmware(claims: SnpClaims, profile: SnpProfile) -> Iterator[Finding]:
    least = profile.minimum_firmware
    for name, version in (("current", claims.current_firmware), ("committed", claims.committed_firmware)):
        check, path = "FW_BELOW_MIN", f"report.{name}_firmware"
        yield (
            _skipped(check, path, version)
            if least is None
            else _judged(check, path, version >= least, f"at least {least}", version)
        )
    vectors = (
        ("current", profile.mitigations, claims.current_mit_vector),
        ("launch", profile.launch_mitigations, claims.launch_mit_vector),
    )
    for name, required, vector in vectors:
        check, path = "MITIGATION_MISSING", f"report.{name}_mit_vector"
        got = "none before version 5" if vector is None else f"{vector:#x}"
        fine = vector is not None and vector & required == required
        yield _judged(check, path, fine, f"all of {required:#x}", got) if required else _skipped(check, path, got)


_RULES: tuple[Rule, ...] = (_host_cannot_look, _report, _guest_policy, _platform, _identity)
