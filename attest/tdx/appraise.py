"""Do we accept this TD on this platform? Every finding, in the order of the profile, and never an exception.

Terms are Intel's ("TDX Module Base Architecture Specification", "PCS API" version 4). Debugging and migration are
refused natively: no profile can allow them, and a TCB that Intel revoked cannot be excused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from attest.finding import Finding, Outcome
from attest.grace import by_grace
from attest.tdx.claims import SgxClaims, TcbStatus, TcbVerdict, TdxClaims
from attest.tdx.profile import XFAM_ALLOWED, Grace, TdxProfile

__all__ = ["appraise_sgx", "appraise_tdx"]

_X87_SSE = 0b11
_NONE = bytes(48)
# Each of these has a check of its own.
_JUDGED_APART = frozenset({"sept_ve_disable", "migratable", "debug", "hgs_plus_prof", "perf_prof", "pmt_prof"})
Rule = Callable[[TdxClaims, TdxProfile], Iterator[Finding]]


def appraise_tdx(claims: TdxClaims, profile: TdxProfile) -> tuple[Finding, ...]:
    """Every finding of `profile` about `claims`."""
    return tuple(finding for rule in _RULES for finding in rule(claims, profile))


def appraise_sgx(claims: SgxClaims) -> tuple[Finding, ...]:
    """What people are told of an enclave: whether its host may look inside, and its TCB. No profile is for enclaves."""
    verdict = claims.tcb_verdict
    check = "TCB_REVOKED" if verdict.status is TcbStatus.Revoked else "TCB_STATUS_NOT_ACCEPTED"
    fine = verdict.status is TcbStatus.UpToDate
    return (
        _judged("SGX_DEBUG", "report.attributes.debug", not claims.debug, 0, int(claims.debug)),
        _judged("SGX_DEBUG", "report.attributes.init", claims.initialised, 1, int(claims.initialised)),
        _judged(check, "tcb.status", fine, TcbStatus.UpToDate.name, _shown(verdict)),
    )


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


def _host_cannot_look(claims: TdxClaims, _profile: TdxProfile) -> Iterator[Finding]:
    """Native: no profile lifts these."""
    attributes = claims.td_attributes
    debug = attributes.under_debug
    yield _judged("TD_DEBUG", "report.td_attributes.tud", not debug, 0, f"{debug:#x}")
    moves = claims.migration_agent
    yield _judged("TD_MIGRATABLE", "report.td_attributes.migratable", not moves, 0, int(moves))
    unknown = attributes.unknown & ~0xFF
    yield _judged("TD_ATTRIBUTES", "report.td_attributes.reserved", not unknown, 0, f"{unknown:#x}")
    xfam = claims.xfam
    fine = xfam & _X87_SSE == _X87_SSE and not xfam & ~XFAM_ALLOWED
    yield _judged("TD_XFAM", "report.xfam", fine, f"x87 and SSE, and nothing outside {XFAM_ALLOWED:#x}", f"{xfam:#x}")


def _guest(claims: TdxClaims, profile: TdxProfile) -> Iterator[Finding]:
    names = claims.td_attributes.names
    check, path, is_set = "TD_SEPT_VE", "report.td_attributes.sept_ve_disable", "sept_ve_disable" in names
    required = profile.require_sept_ve_disable
    yield _judged(check, path, is_set, 1, int(is_set)) if required else _skipped(check, path, int(is_set))
    refused = names - profile.allow_attributes - _JUDGED_APART
    allowed = ", ".join(sorted(profile.allow_attributes)) or "none"
    got = ", ".join(sorted(names)) or "none"
    yield _judged("TD_ATTRIBUTES", "report.td_attributes", not refused, f"among {allowed}", got)
    service, path = claims.mr_servicetd, "report.mr_servicetd"
    if service is None:
        yield Finding(
            check="TD_SERVICE_TD", path=path, outcome=Outcome.SKIPPED, expected="no service TD", got="not in TDX 1.0"
        )
    else:
        fine = service == _NONE or service in profile.service_tds
        expected = ", ".join(["none", *sorted(each.hex() for each in profile.service_tds)])
        yield _judged("TD_SERVICE_TD", path, fine, expected, service)


def _identity(claims: TdxClaims, profile: TdxProfile) -> Iterator[Finding]:
    for name in ("mr_td", "mr_seam", "mr_config_id", "mr_owner", "mr_owner_config"):
        yield _listed(f"POLICY_{name.upper()}", f"report.{name}", getattr(profile, name), getattr(claims, name))
    for number, got in enumerate(claims.rtmrs):
        yield _listed(f"POLICY_RTMR{number}", f"report.rtmr{number}", getattr(profile, f"rtmr{number}"), got)
    pck = claims.pck
    yield _listed("POLICY_FMSPC", "pck.fmspc", profile.fmspcs, pck.fmspc)
    yield _listed("POLICY_PPID", "pck.ppid", profile.ppids, pck.ppid)
    instance = pck.platform_instance_id or "none under the Processor CA"
    yield _listed("POLICY_PLATFORM_INSTANCE", "pck.platform_instance_id", profile.platform_instance_ids, instance)
    for name, allowed in (
        ("dynamic_platform", profile.allow_dynamic_platform),
        ("cached_keys", profile.allow_cached_keys),
        ("smt_enabled", profile.allow_smt),
    ):
        check, path, on = f"PLATFORM_{name.upper()}", f"pck.{name}", getattr(pck, name)
        said = "not said" if on is None else int(on)
        yield _skipped(check, path, said) if allowed else _judged(check, path, on is False, 0, said)


def _tcb(claims: TdxClaims, profile: TdxProfile) -> Iterator[Finding]:
    verdict = claims.tcb_verdict
    for name, number in (
        ("tcb_info", verdict.tcb_info_evaluation),
        ("qe_identity", verdict.qe_identity_evaluation),
    ):
        check, path, least = "TCB_EVAL_NUMBER", f"{name}.tcb_evaluation_data_number", profile.minimum_tcb_evaluation
        yield (
            _skipped(check, path, number)
            if least is None
            else _judged(check, path, number >= least, f"at least {least}", number)
        )
    check = "TCB_REVOKED" if verdict.status is TcbStatus.Revoked else "TCB_STATUS_NOT_ACCEPTED"
    accepted = verdict.status in profile.accepted_tcb and verdict.status is not TcbStatus.Revoked
    excuse = None if accepted else next((g for g in profile.grace if _excuses(g, claims)), None)
    expected = " or ".join(status.name for status in sorted(profile.accepted_tcb))
    if excuse is not None:
        expected += f", or by grace of {excuse.owner} until {excuse.until.isoformat()} {verdict.status.name}"
    yield _judged(check, "tcb.status", accepted or excuse is not None, expected, _shown(verdict))
    if excuse is not None:
        yield by_grace(
            "tcb.status",
            owner=excuse.owner,
            until=excuse.until,
            advisories=excuse.advisories,
            got=_shown(verdict),
        )


def _excuses(grace: Grace, claims: TdxClaims) -> bool:
    """Every part of it has to fit; at its date it is over."""
    verdict = claims.tcb_verdict
    return (
        grace.fmspc == claims.pck.fmspc
        and verdict.status in grace.statuses
        and verdict.status is not TcbStatus.Revoked
        and verdict.tcb_date >= grace.level
        and grace.advisories.issuperset(verdict.advisories)
        and verdict.at < grace.until
    )


def _shown(verdict: TcbVerdict) -> str:
    parts = ", ".join(f"{part.name} {part.status.name}" for part in verdict.parts)
    advisories = f"; {', '.join(verdict.advisories)}" if verdict.advisories else ""
    return f"{verdict.status.name} ({parts}{advisories})"


_RULES: tuple[Rule, ...] = (_host_cannot_look, _guest, _identity, _tcb)
