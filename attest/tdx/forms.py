"""TCB info of a TDX platform and enclave identity in the form in which Intel serves them, recognised as they stand.

Source: Intel "PCS API" version 4; the order of members is that of every document that was seen. A text that matches has
each member once, in one order and one spelling, so that it is read while it is matched. To recognise is never to
refuse: whatever has another form, down to a space, is decoded as JSON and read member by member, and gives the same
value or a refusal (attest/tdx/signed.py, attest/tdx/tcb_info.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from attest.tdx.claims import TcbPart
from attest.tdx.members import MAX_ITEMS
from attest.tdx.tcb_info import (
    COMPONENTS,
    ISV_STATUSES,
    MOST,
    STATUSES,
    EnclaveIdentity,
    IsvLevel,
    ModuleIdentity,
    TcbInfo,
    TcbLevel,
    best_first,
    best_isv_first,
)

__all__ = ["recognise_identity", "recognise_tcb_info"]

_TIME = r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"'
_NUMBER = r"(0|[1-9]\d{0,9})"
_TEXT = r'"[ !#-\[\]-~]{1,256}+"'  # printable ASCII in which nothing is escaped
_STATUS = rf'"tcbDate":{_TIME},"tcbStatus":"(\w{{1,64}}+)"(?:,"advisoryIDs":\[({_TEXT}(?:,{_TEXT})*+)?\])?\}}([,\]])'
_COMPONENT = rf'\{{"svn":(0|[1-9]\d{{0,2}})(?:,"category":{_TEXT})?+(?:,"type":{_TEXT})?+\}}'
_COMPONENTS = rf"\[{','.join([_COMPONENT] * COMPONENTS)}\]"


def _hexadecimal(size: int) -> str:
    return rf'"([0-9A-Fa-f]{{{2 * size}}})"'


_MADE_BY = rf'"mrsigner":{_hexadecimal(48)},"attributes":{_hexadecimal(8)},"attributesMask":{_hexadecimal(8)}'
_TCB_INFO = re.compile(
    rf'\{{"id":"TDX","version":3,"issueDate":{_TIME},"nextUpdate":{_TIME},"fmspc":{_hexadecimal(6)},'
    rf'"pceId":{_hexadecimal(2)},"tcbType":0,"tcbEvaluationDataNumber":{_NUMBER},"tdxModule":\{{{_MADE_BY}\}},',
    re.ASCII,
)
_MODULES, _LEVELS = '"tdxModuleIdentities":[', '"tcbLevels":['
_MODULE = re.compile(rf'\{{"id":({_TEXT}),{_MADE_BY},"tcbLevels":\[', re.ASCII)
_ISV_LEVEL = re.compile(rf'\{{"tcb":\{{"isvsvn":{_NUMBER}\}},{_STATUS}', re.ASCII)
_LEVEL = re.compile(
    rf'\{{"tcb":\{{"sgxtcbcomponents":{_COMPONENTS},"pcesvn":{_NUMBER},"tdxtcbcomponents":{_COMPONENTS}\}},{_STATUS}',
    re.ASCII,
)
_IDENTITY = re.compile(
    rf'\{{"id":"(QE|TD_QE)","version":2,"issueDate":{_TIME},"nextUpdate":{_TIME},"tcbEvaluationDataNumber":{_NUMBER},'
    rf'"miscselect":{_hexadecimal(4)},"miscselectMask":{_hexadecimal(4)},"attributes":{_hexadecimal(16)},'
    rf'"attributesMask":{_hexadecimal(16)},"mrsigner":{_hexadecimal(32)},"isvprodid":{_NUMBER},"tcbLevels":\[',
    re.ASCII,
)
_QUOTED = re.compile(r'"([^"]+)"')


def recognise_tcb_info(text: str) -> TcbInfo | None:
    """What `read_tcb_info` gives of this object, or None."""
    try:
        return _tcb_info(text)
    except (ValueError, KeyError):
        return None


def recognise_identity(text: str) -> EnclaveIdentity | None:
    """What `read_identity` gives of this object, or None."""
    try:
        return _identity(text)
    except (ValueError, KeyError):
        return None


def _tcb_info(text: str) -> TcbInfo:
    found = _match(_TCB_INFO, text, 0)
    issued, until, fmspc, pceid, evaluation, *made_by = found.groups()
    at = found.end()
    modules: dict[str, ModuleIdentity] = {}
    if text.startswith(_MODULES, at):
        modules, at = _modules(text, at + len(_MODULES))
        at = _past(text, at, ",")
    at = _past(text, at, _LEVELS)
    levels: list[TcbLevel] = []
    mark = ","
    while mark == ",":
        level, at, mark = _level(text, at)
        levels.append(level)
    _few(levels)
    _end(text, at)
    return TcbInfo(
        tee="TDX",
        issue_date=datetime.fromisoformat(issued),
        next_update=datetime.fromisoformat(until),
        fmspc=bytes.fromhex(fmspc),
        pceid=bytes.fromhex(pceid),
        evaluation=_at_most(evaluation, MOST),
        module=_module(made_by, ()),
        modules=modules,
        levels=best_first(levels),
    )


def _modules(text: str, at: int) -> tuple[dict[str, ModuleIdentity], int]:
    modules: dict[str, ModuleIdentity] = {}
    more, count = True, 0
    while more:
        found = _match(_MODULE, text, at)
        identifier, *made_by = found.groups()
        levels, at = _isv_levels(text, found.end(), "module")
        modules[identifier[1:-1].upper()] = _module(made_by, levels)
        count += 1
        more, at = _next(text, _past(text, at, "}"), count)
    if len(modules) != count:
        raise ValueError("a module occurs twice")
    return modules, at


def _module(made_by: list[str], levels: tuple[IsvLevel, ...]) -> ModuleIdentity:
    mrsigner, attributes, mask = map(bytes.fromhex, made_by)
    return ModuleIdentity(
        mrsigner=mrsigner,
        attributes=int.from_bytes(attributes, "little"),
        attributes_mask=int.from_bytes(mask, "little"),
        levels=levels,
    )


def _isv_levels(text: str, at: int, name: str) -> tuple[tuple[IsvLevel, ...], int]:
    levels: list[IsvLevel] = []
    mark = ","
    while mark == ",":
        found = _match(_ISV_LEVEL, text, at)
        isvsvn, date, status, advisories, mark = found.groups()
        part = TcbPart(name, ISV_STATUSES[status], datetime.fromisoformat(date), _advisories(advisories))
        levels.append(IsvLevel(_at_most(isvsvn, 0xFFFF), part))
        at = found.end()
    _few(levels)
    return best_isv_first(levels), at


def _level(text: str, at: int) -> tuple[TcbLevel, int, str]:
    found = _match(_LEVEL, text, at)
    groups = found.groups()
    sgx, pcesvn, tdx = groups[:COMPONENTS], groups[COMPONENTS], groups[COMPONENTS + 1 : -4]
    date, status, advisories, mark = groups[-4:]
    said, dated, known = STATUSES[status], datetime.fromisoformat(date), _advisories(advisories)
    level = TcbLevel(
        sgx=tuple(bytes(map(int, sgx))),  # `bytes` refuses what is above 255
        pcesvn=_at_most(pcesvn, 0xFFFF),
        tdx=tuple(bytes(map(int, tdx))),
        as_sgx=TcbPart(name="sgx", status=said, tcb_date=dated, advisories=known),
        as_tdx=TcbPart(name="tdx", status=said, tcb_date=dated, advisories=known),
    )
    return level, found.end(), mark


def _identity(text: str) -> EnclaveIdentity:
    found = _match(_IDENTITY, text, 0)
    identifier, issued, until, evaluation, *texts, product = found.groups()
    miscselect, miscselect_mask, attributes, attributes_mask, mrsigner = map(bytes.fromhex, texts)
    levels, at = _isv_levels(text, found.end(), "qe")
    _end(text, at)
    return EnclaveIdentity(
        identifier=identifier,
        issue_date=datetime.fromisoformat(issued),
        next_update=datetime.fromisoformat(until),
        evaluation=_at_most(evaluation, MOST),
        miscselect=int.from_bytes(miscselect, "little"),
        miscselect_mask=int.from_bytes(miscselect_mask, "little"),
        attributes=int.from_bytes(attributes, "little"),
        attributes_mask=int.from_bytes(attributes_mask, "little"),
        mrsigner=mrsigner,
        isvprodid=_at_most(product, 0xFFFF),
        levels=levels,
    )


def _match(form: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    found = form.match(text, at)
    if found is None:
        raise ValueError(f"another form at {at}")
    return found


def _past(text: str, at: int, mark: str) -> int:
    if not text.startswith(mark, at):
        raise ValueError(f"no {mark} at {at}")
    return at + len(mark)


def _next(text: str, at: int, count: int) -> tuple[bool, int]:
    """Whether another item of the list follows, and where it begins, or where what is behind the list does."""
    mark = text[at : at + 1]
    if mark not in (",", "]") or count > MAX_ITEMS:
        raise ValueError(f"no list goes on like this at {at}")
    return mark == ",", at + 1


def _few(items: Sequence[object]) -> None:
    if len(items) > MAX_ITEMS:
        raise ValueError("too many items")


def _end(text: str, at: int) -> None:
    if text[at:] != "}":
        raise ValueError(f"no end at {at}")


def _at_most(text: str, most: int) -> int:
    found = int(text)
    if found > most:
        raise ValueError(f"{found} is above {most}")
    return found


def _advisories(text: str | None) -> tuple[str, ...]:
    found = tuple(_QUOTED.findall(text)) if text else ()
    if len(found) > MAX_ITEMS:
        raise ValueError("too many advisories")
    return found
