"""What Intel says of a platform's TCB: the levels that its parts reach, and one status that follows from them.

Source: Intel "PCS API" version 4, "Get TDX TCB Info", section on determining the status, and the reference verifier
that Intel publishes. Parts are kept apart and the worst of them counts: docs/decisions/0012 says how it was settled
where well-known verifiers disagree.

SGX components and PCESVN are those of the PCK certificate, TDX components those of the quote (TEE_TCB_SVN). Components
0 and 1 are the TDX module's and are compared with a level only if the module has no major version of its own; with one,
the module's identity says what they are worth.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from attest.errors import Malformed, NotAuthentic
from attest.tdx.body import TdReport
from attest.tdx.claims import PckIdentity, TcbPart, TcbStatus
from attest.tdx.tcb_info import IsvLevel, ModuleIdentity, TcbInfo, TcbLevel

__all__ = ["evaluate_sgx", "evaluate_tdx", "isv_level", "merge"]

_S = TcbStatus
_FINE = frozenset({_S.UpToDate})
_NEEDS_CONFIGURATION = frozenset(
    {
        _S.ConfigurationNeeded,
        _S.ConfigurationAndSWHardeningNeeded,
        _S.OutOfDateConfigurationNeeded,
        _S.TDRelaunchAdvisedConfigurationNeeded,
    }
)
_NEEDS_HARDENING = frozenset({_S.SWHardeningNeeded, _S.ConfigurationAndSWHardeningNeeded})
_OUT_OF_DATE = frozenset({_S.OutOfDate, _S.OutOfDateConfigurationNeeded})
_OLD_OR_REVOKED = _OUT_OF_DATE | {_S.Revoked}
_RELAUNCH = frozenset({_S.TDRelaunchAdvised, _S.TDRelaunchAdvisedConfigurationNeeded})
# By (needs configuration, needs hardening): what is left when nothing is out of date.
_PLAIN = {
    (False, False): _S.UpToDate,
    (False, True): _S.SWHardeningNeeded,
    (True, False): _S.ConfigurationNeeded,
    (True, True): _S.ConfigurationAndSWHardeningNeeded,
}


def merge(statuses: Sequence[TcbStatus]) -> TcbStatus:
    """The one status that says the worst of all: revoked, out of date, to be relaunched, in that order.

    What needs configuration beside it is never lost; hardening is said where nothing graver is.
    """
    found = frozenset(statuses)
    if found == _FINE:
        return _S.UpToDate
    if _S.Revoked in found:
        return _S.Revoked
    configuration = bool(found & _NEEDS_CONFIGURATION)
    if found & _OUT_OF_DATE:
        return _S.OutOfDateConfigurationNeeded if configuration else _S.OutOfDate
    if found & _RELAUNCH:
        return _S.TDRelaunchAdvisedConfigurationNeeded if configuration else _S.TDRelaunchAdvised
    return _PLAIN[configuration, bool(found & _NEEDS_HARDENING)]


def evaluate_sgx(pck: PckIdentity, info: TcbInfo) -> tuple[TcbPart, ...]:
    """The level that the platform reaches; raises NotAuthentic TCB_NOT_SUPPORTED if it is below all."""
    return (_sgx_level(pck, info).as_sgx,)


def evaluate_tdx(
    pck: PckIdentity, report: TdReport, info: TcbInfo, qe: TcbPart
) -> tuple[tuple[TcbPart, ...], TcbStatus | None]:
    """The parts `sgx`, `tdx` and, if it has a major version, `module`; and the status of a relaunch, if one is advised.

    Raises NotAuthentic TCB_NOT_SUPPORTED, TDX_MODULE_MISMATCH.
    """
    svn = report.tee_tcb_svn
    identity = _module(info, svn[1])
    _check_module(report, identity)
    sgx = _sgx_level(pck, info)
    tdx = _tdx_level(pck, svn, info)
    parts: tuple[TcbPart, ...] = (sgx.as_sgx, tdx.as_tdx)
    if svn[1]:
        parts = (*parts, isv_level("tcb.module", svn[0], identity.levels).part)
    return parts, _relaunch(report, info, parts, qe)


def isv_level(path: str, isvsvn: int, levels: Sequence[IsvLevel]) -> IsvLevel:
    """The best level that ISVSVN reaches; raises NotAuthentic TCB_NOT_SUPPORTED."""
    for level in levels:
        if isvsvn >= level.isvsvn:
            return level
    raise _not_supported(path, f"ISVSVN of at least {levels[-1].isvsvn if levels else 'any level'}", isvsvn)


def _sgx_level(pck: PckIdentity, info: TcbInfo) -> TcbLevel:
    for level in info.levels:
        if _reaches(pck, level):
            return level
    got = f"{bytes(pck.components).hex()}, PCESVN {pck.pcesvn}"
    raise _not_supported("tcb.sgx", "a level that the PCK certificate reaches", got)


def _tdx_level(pck: PckIdentity, svn: bytes, info: TcbInfo) -> TcbLevel:
    for level in info.levels:
        if _reaches(pck, level) and _tdx_reaches(svn, level):
            return level
    raise _not_supported("tcb.tdx", "a level that TEE_TCB_SVN reaches", svn.hex())


def _reaches(pck: PckIdentity, level: TcbLevel) -> bool:
    return pck.pcesvn >= level.pcesvn and all(map(operator.ge, pck.components, level.sgx))


def _tdx_reaches(svn: bytes, level: TcbLevel) -> bool:
    first = 2 if svn[1] else 0
    return level.tdx is not None and all(map(operator.ge, svn[first:], level.tdx[first:]))


def _not_supported(path: str, expected: str, got: object) -> NotAuthentic:
    return NotAuthentic("TCB_NOT_SUPPORTED", path, expected=expected, got=got)


def _module(info: TcbInfo, major: int) -> ModuleIdentity:
    """The identity for modules of this major version; version 0 is `tdxModule`."""
    name = f"TDX_{major:02X}" if major else "tdxModule"
    found = info.modules.get(name) if major else info.module
    if found is None:
        listed = ", ".join(sorted(info.modules)) or "none"
        raise NotAuthentic("TDX_MODULE_MISMATCH", "report.tee_tcb_svn", expected=f"one of: {listed}", got=name)
    return found


def _check_module(report: TdReport, identity: ModuleIdentity) -> None:
    """Intel's modules have no attributes; whatever an identity's mask hides, none may be set."""
    if report.mrsigner_seam != identity.mrsigner:
        signer = report.mrsigner_seam
        raise NotAuthentic("TDX_MODULE_MISMATCH", "report.mrsigner_seam", expected=identity.mrsigner, got=signer)
    attributes = report.seam_attributes
    if attributes or identity.attributes & identity.attributes_mask:
        expected, got = f"none, and {identity.attributes:#x}", f"{attributes:#x}"
        raise NotAuthentic("TDX_MODULE_MISMATCH", "report.seam_attributes", expected=expected, got=got)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Now:
    """What a TD would run on if it were launched again."""

    module: int
    major: int
    loader: int


def _relaunch(report: TdReport, info: TcbInfo, parts: Sequence[TcbPart], qe: TcbPart) -> TcbStatus | None:
    """Whether all that is out of date is what the TD was launched on, and the platform has since been updated."""
    if report.tee_tcb_svn2 is None:
        return None
    sgx, tdx, *module = [part.status for part in parts]
    if module != [_S.OutOfDate] or tdx is _S.Revoked:
        return None
    if qe.status in _OLD_OR_REVOKED or sgx in _OLD_OR_REVOKED:
        return None
    svn2, latest = report.tee_tcb_svn2, info.levels[0].tdx
    if latest is None:
        raise Malformed("TCBINFO_FORMAT", "tcb_info.tcbLevels[0]", expected="TDX components", got="none")
    now = _Now(module=svn2[0], major=svn2[1], loader=svn2[2])
    floor = latest[0] if not now.major else _module(info, now.major).levels[0].isvsvn
    if now.module < floor or now.loader < latest[2]:
        return None
    configuration = bool({sgx, tdx} & _NEEDS_CONFIGURATION)
    return _S.TDRelaunchAdvisedConfigurationNeeded if configuration else _S.TDRelaunchAdvised
