"""TCB info and enclave identity: which security versions Intel knows, and what it says of each.

Source: Intel "PCS API" version 4, TCB info in versions 3 and 2 (the latter for SGX alone) and enclave identity in
version 2. A document is recognised by its own version, never by where it came from. Levels are kept best first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from attest.tdx.claims import TcbPart, TcbStatus
from attest.tdx.members import Members, Shape

__all__ = [
    "COMPONENTS",
    "ISV_STATUSES",
    "MOST",
    "STATUSES",
    "EnclaveIdentity",
    "IsvLevel",
    "ModuleIdentity",
    "TcbInfo",
    "TcbLevel",
    "best_first",
    "best_isv_first",
    "read_identity",
    "read_tcb_info",
]

COMPONENTS = 16
MOST = 2**31 - 1
_TCBINFO, _QEID = "TCBINFO_FORMAT", "QEID_FORMAT"
# Statuses of a relaunch follow from an evaluation; no document has them.
STATUSES = {s.name: s for s in TcbStatus if not s.name.startswith("TDRelaunch")}
ISV_STATUSES = {s.name: s for s in (TcbStatus.UpToDate, TcbStatus.OutOfDate, TcbStatus.Revoked)}


class TcbLevel(NamedTuple):
    """A level of a platform: the least security versions, and what is said of a part that reaches it.

    `tdx` is None in a document for SGX. `as_sgx` and `as_tdx` are the same under the name of either part.
    """

    sgx: tuple[int, ...]
    pcesvn: int
    tdx: tuple[int, ...] | None
    as_sgx: TcbPart
    as_tdx: TcbPart


class IsvLevel(NamedTuple):
    """A level of an enclave or of a TDX module: the least ISVSVN, and what is said of one that reaches it."""

    isvsvn: int
    part: TcbPart


class ModuleIdentity(NamedTuple):
    """Who made a TDX module, and its levels; the one for modules without a major version has none."""

    mrsigner: bytes
    attributes: int
    attributes_mask: int
    levels: tuple[IsvLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """TCB info of one platform family. `modules` are by identifier in upper case, `module` is for major version 0."""

    tee: str
    issue_date: datetime
    next_update: datetime
    fmspc: bytes
    pceid: bytes
    evaluation: int
    module: ModuleIdentity | None
    modules: Mapping[str, ModuleIdentity]
    levels: tuple[TcbLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveIdentity:
    """Who the quoting enclave is. `identifier` is QE or TD_QE."""

    identifier: str
    issue_date: datetime
    next_update: datetime
    evaluation: int
    miscselect: int
    miscselect_mask: int
    attributes: int
    attributes_mask: int
    mrsigner: bytes
    isvprodid: int
    levels: tuple[IsvLevel, ...]


_HEAD_2 = frozenset(
    {"version", "issueDate", "nextUpdate", "fmspc", "pceId", "tcbType", "tcbEvaluationDataNumber", "tcbLevels"}
)
_TCB_INFO_2 = Shape(_HEAD_2)
_TCB_INFO_3 = Shape(_HEAD_2 | {"id"}, frozenset({"tdxModule", "tdxModuleIdentities"}))
_LEVEL = Shape(frozenset({"tcb", "tcbDate", "tcbStatus"}), frozenset({"advisoryIDs"}))
_MODULE = Shape(frozenset({"mrsigner", "attributes", "attributesMask"}))
_MODULE_IDENTITY = Shape(_MODULE.required | {"id", "tcbLevels"})
_ISV_TCB = Shape(frozenset({"isvsvn"}))
_TCB_SGX = Shape(frozenset({"sgxtcbcomponents", "pcesvn"}))
_TCB_TDX = Shape(_TCB_SGX.required | {"tdxtcbcomponents"})
_COMPONENTS_2 = tuple(f"sgxtcbcomp{n:02}svn" for n in range(1, COMPONENTS + 1))
_TCB_2 = Shape(frozenset({*_COMPONENTS_2, "pcesvn"}))


def best_first(levels: Sequence[TcbLevel]) -> tuple[TcbLevel, ...]:
    """The levels in the order of trial; raises ValueError where there is none, or two for the same versions."""
    by_versions = {(level.sgx, level.pcesvn, level.tdx or ()): level for level in levels}
    if not levels or len(by_versions) != len(levels):
        raise ValueError("at least one, each combination of versions once")
    return tuple([by_versions[versions] for versions in sorted(by_versions, reverse=True)])


def best_isv_first(levels: Sequence[IsvLevel]) -> tuple[IsvLevel, ...]:
    """As `best_first`, by ISVSVN."""
    by_isvsvn = {level.isvsvn: level for level in levels}
    if not levels or len(by_isvsvn) != len(levels):
        raise ValueError("at least one, each ISVSVN once")
    return tuple([by_isvsvn[isvsvn] for isvsvn in sorted(by_isvsvn, reverse=True)])


def read_tcb_info(document: Mapping[str, Any]) -> TcbInfo:
    """The value of `tcbInfo`; raises Malformed TCBINFO_FORMAT."""
    old = document.get("version") == 2
    read = Members(document, _TCB_INFO_2 if old else _TCB_INFO_3, _TCBINFO, "tcb_info")
    read.exactly("version", 2, 3)
    read.exactly("tcbType", 0)
    tee = "SGX" if old else str(read.exactly("id", "SGX", "TDX"))
    module = read.inner("tdxModule", _MODULE) if "tdxModule" in read else None
    return TcbInfo(
        tee=tee,
        issue_date=read.time("issueDate"),
        next_update=read.time("nextUpdate"),
        fmspc=read.hexadecimal("fmspc", 6),
        pceid=read.hexadecimal("pceId", 2),
        evaluation=read.whole("tcbEvaluationDataNumber", MOST),
        module=_module(module, ()) if module is not None else None,
        modules=_modules(read) if "tdxModuleIdentities" in read else {},
        levels=_levels(read, tee, old=old),
    )


def _module(read: Members, levels: tuple[IsvLevel, ...]) -> ModuleIdentity:
    return ModuleIdentity(
        mrsigner=read.hexadecimal("mrsigner", 48),
        attributes=int.from_bytes(read.hexadecimal("attributes", 8), "little"),
        attributes_mask=int.from_bytes(read.hexadecimal("attributesMask", 8), "little"),
        levels=levels,
    )


def _modules(read: Members) -> dict[str, ModuleIdentity]:
    found: dict[str, ModuleIdentity] = {}
    for each in read.each("tdxModuleIdentities", _MODULE_IDENTITY):
        identifier = each.text("id").upper()
        if identifier in found:
            raise each.refuse("id", "each module once", identifier)
        found[identifier] = _module(each, _isv_levels(each, "module"))
    return found


def _isv_levels(read: Members, name: str) -> tuple[IsvLevel, ...]:
    levels = [
        IsvLevel(
            isvsvn=each.inner("tcb", _ISV_TCB).whole("isvsvn", 0xFFFF),
            part=_part(each, name, ISV_STATUSES),
        )
        for each in read.each("tcbLevels", _LEVEL)
    ]
    try:
        return best_isv_first(levels)
    except ValueError as error:
        raise read.refuse("tcbLevels", str(error), [level.isvsvn for level in levels]) from error


def _levels(read: Members, tee: str, *, old: bool) -> tuple[TcbLevel, ...]:
    levels = [_level(each, tee, old=old) for each in read.each("tcbLevels", _LEVEL)]
    try:
        return best_first(levels)
    except ValueError as error:
        raise read.refuse("tcbLevels", str(error), f"{len(levels)} levels") from error


def _level(read: Members, tee: str, *, old: bool) -> TcbLevel:
    if old:
        tcb = read.inner("tcb", _TCB_2)
        sgx, tdx = tuple(tcb.whole(name, 255) for name in _COMPONENTS_2), None
    else:
        tcb = read.inner("tcb", _TCB_TDX if tee == "TDX" else _TCB_SGX)
        sgx = tcb.svns("sgxtcbcomponents", COMPONENTS)
        tdx = tcb.svns("tdxtcbcomponents", COMPONENTS) if tee == "TDX" else None
    part = _part(read, "sgx", STATUSES)
    as_tdx = TcbPart(name="tdx", status=part.status, tcb_date=part.tcb_date, advisories=part.advisories)
    return TcbLevel(sgx=sgx, pcesvn=tcb.whole("pcesvn", 0xFFFF), tdx=tdx, as_sgx=part, as_tdx=as_tdx)


def _part(read: Members, name: str, statuses: Mapping[str, TcbStatus]) -> TcbPart:
    return TcbPart(
        name=name,
        status=read.named("tcbStatus", statuses),
        tcb_date=read.time("tcbDate"),
        advisories=read.texts("advisoryIDs"),
    )


_IDENTITY = Shape(
    frozenset(
        {
            "id", "version", "issueDate", "nextUpdate", "tcbEvaluationDataNumber", "miscselect", "miscselectMask",
            "attributes", "attributesMask", "mrsigner", "isvprodid", "tcbLevels",
        }
    )
)  # fmt: skip


def read_identity(document: Mapping[str, Any]) -> EnclaveIdentity:
    """The value of `enclaveIdentity`; raises Malformed QEID_FORMAT. Integers in it are little-endian bytes."""
    read = Members(document, _IDENTITY, _QEID, "qe_identity")
    read.exactly("version", 2)
    return EnclaveIdentity(
        identifier=read.text("id"),
        issue_date=read.time("issueDate"),
        next_update=read.time("nextUpdate"),
        evaluation=read.whole("tcbEvaluationDataNumber", MOST),
        miscselect=int.from_bytes(read.hexadecimal("miscselect", 4), "little"),
        miscselect_mask=int.from_bytes(read.hexadecimal("miscselectMask", 4), "little"),
        attributes=int.from_bytes(read.hexadecimal("attributes", 16), "little"),
        attributes_mask=int.from_bytes(read.hexadecimal("attributesMask", 16), "little"),
        mrsigner=read.hexadecimal("mrsigner", 32),
        isvprodid=read.whole("isvprodid", 0xFFFF),
        levels=_isv_levels(read, "qe"),
    )
