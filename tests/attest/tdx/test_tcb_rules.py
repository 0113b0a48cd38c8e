"""Intel's rules for a platform's TCB, written down a second time as plainly as they can be, against any documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from attest.tdx.chain import Bench, authenticate_pck
from attest.tdx.collateral import authenticate_collateral
from attest.tdx.quote import parse
from attest.tdx.tcb_info import read_identity, read_tcb_info
from attest.tdx.verify import _verdict
from tests.attest.refusal import refused
from tests.attest.tdx.made import DATA, NOW, collateral, intel, platform

V = intel()
QUOTE = parse(platform().quote(DATA, report="1.5"))
PCK = authenticate_pck(platform().chain, Bench(V.anchors)).pck
COLLATERAL = authenticate_collateral(collateral(), Bench(V.anchors))
Level = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What is judged: versions of the PCK certificate, of the quote, of what runs now, of the quoting enclave."""

    cpu: Sequence[int]
    pce: int
    svn: Sequence[int]
    svn2: Sequence[int] | None
    qe: int
    seam: bytes


class NoAnswer(Exception):
    """The rules name no status: which check."""


def _combined(statuses: Sequence[str]) -> str:
    """What is wrong anywhere is wrong with the whole."""
    if "Revoked" in statuses:
        return "Revoked"
    old = any(status.startswith("OutOfDate") for status in statuses)
    configuration = any("Configuration" in status for status in statuses)
    hardening = any("SWHardening" in status for status in statuses)
    if old:
        return "OutOfDateConfigurationNeeded" if configuration else "OutOfDate"
    if configuration:
        return "ConfigurationAndSWHardeningNeeded" if hardening else "ConfigurationNeeded"
    return "SWHardeningNeeded" if hardening else "UpToDate"


def _best(levels: Sequence[Level], isvsvn: int) -> Level:
    reached = [level for level in levels if level["tcb"]["isvsvn"] <= isvsvn]
    if not reached:
        raise NoAnswer("TCB_NOT_SUPPORTED")
    return max(reached, key=lambda level: int(level["tcb"]["isvsvn"]))


def _svns(level: Level, name: str) -> list[int]:
    return [component["svn"] for component in level["tcb"][name]]


def _module(info: Mapping[str, Any], major: int) -> Mapping[str, Any]:
    if major == 0:
        return info["tdxModule"]  # type: ignore[no-any-return]
    for identity in info.get("tdxModuleIdentities", []):
        if identity["id"].upper() == f"TDX_{major:02X}":
            return identity  # type: ignore[no-any-return]
    raise NoAnswer("TDX_MODULE_MISMATCH")


def _relaunch(on: Machine, info: Mapping[str, Any], levels: Sequence[Level], of: Mapping[str, str]) -> str | None:
    if on.svn2 is None or of["module"] != "OutOfDate" or of["qe"] != "UpToDate" or of["tdx"] == "Revoked":
        return None
    if of["sgx"] == "Revoked" or of["sgx"].startswith("OutOfDate"):
        return None
    if on.svn2[1] == 0:
        floor = _svns(levels[0], "tdxtcbcomponents")[0]
    else:
        floor = max(level["tcb"]["isvsvn"] for level in _module(info, on.svn2[1])["tcbLevels"])
    if on.svn2[0] < floor or on.svn2[2] < _svns(levels[0], "tdxtcbcomponents")[2]:
        return None
    needs = "Configuration" in of["sgx"] or "Configuration" in of["tdx"]
    return "TDRelaunchAdvised" + ("ConfigurationNeeded" if needs else "")


def plainly(on: Machine, info: Mapping[str, Any], identity: Mapping[str, Any]) -> tuple[str, dict[str, str], list[str]]:
    """Status, the status of each part, and the advisories; raises NoAnswer."""
    module = _module(info, on.svn[1])
    if on.seam != bytes.fromhex(module["mrsigner"]):
        raise NoAnswer("TDX_MODULE_MISMATCH")
    order = ("sgxtcbcomponents", "pcesvn", "tdxtcbcomponents")
    levels = sorted(
        info["tcbLevels"],
        key=lambda level: [level["tcb"][n] if n == "pcesvn" else _svns(level, n) for n in order],
        reverse=True,
    )
    first = 2 if on.svn[1] else 0
    sgx = tdx = None
    for level in levels:
        if any(mine < least for mine, least in zip(on.cpu, _svns(level, "sgxtcbcomponents"), strict=True)):
            continue
        if on.pce < level["tcb"]["pcesvn"]:
            continue
        sgx = sgx or level
        least = _svns(level, "tdxtcbcomponents")
        if all(on.svn[i] >= least[i] for i in range(first, 16)):
            tdx = tdx or level
    if sgx is None or tdx is None:
        raise NoAnswer("TCB_NOT_SUPPORTED")
    parts: dict[str, Level] = {"sgx": sgx, "tdx": tdx}
    if on.svn[1]:
        parts["module"] = _best(module["tcbLevels"], on.svn[0])
    parts["qe"] = _best(identity["tcbLevels"], on.qe)
    of = {name: str(level["tcbStatus"]) for name, level in parts.items()}
    advisories = {each for name, level in parts.items() if name != "sgx" for each in level.get("advisoryIDs", [])}
    advised = _relaunch(on, info, levels, {"module": "none", **of})
    return advised or _combined(list(of.values())), of, sorted(advisories)


STATUSES = ["UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
            "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked"]  # fmt: skip
SMALL = st.sampled_from([0, 1, 1, 2])
COMPONENTS = st.builds(lambda head, last: [*head, *[1] * 12, last], st.lists(SMALL, min_size=3, max_size=3), SMALL)
ADVISORIES = st.lists(st.sampled_from(["INTEL-SA-1", "INTEL-SA-2", "INTEL-SA-3"]), max_size=2)
OF_ENCLAVE = st.sampled_from(["UpToDate", "UpToDate", "OutOfDate", "OutOfDate", "Revoked"])
ISV = st.lists(
    st.builds(
        lambda svn, status, advisories: V.isv_level(svn, status, advisories=advisories),
        SMALL, OF_ENCLAVE, ADVISORIES,
    ),
    min_size=1, max_size=3, unique_by=lambda level: level["tcb"]["isvsvn"],
)  # fmt: skip
LEVELS = st.lists(
    st.builds(
        lambda sgx, pce, tdx, status, advisories: V.level(status, sgx=sgx, pcesvn=pce, tdx=tdx, advisories=advisories),
        COMPONENTS, SMALL, COMPONENTS, st.sampled_from(STATUSES), ADVISORIES,
    ),
    min_size=1, max_size=5, unique_by=lambda level: repr(level["tcb"]),
)  # fmt: skip
MODULES = st.lists(
    st.builds(V.module, st.sampled_from(["TDX_01", "TDX_01", "tdx_01", "TDX_02"]), ISV),
    min_size=1, max_size=3, unique_by=lambda module: module["id"].upper(),
)  # fmt: skip
MACHINES = st.builds(
    Machine,
    cpu=st.builds(lambda head: [*head, *[1] * 12, 2], st.lists(st.sampled_from([1, 2, 2]), min_size=3, max_size=3)),
    pce=st.integers(1, 2),
    svn=COMPONENTS.map(lambda svn: [2, *svn[1:3], *[2] * 13]),
    svn2=st.none() | COMPONENTS.map(lambda svn: [2, *svn[1:]]),
    qe=st.integers(1, 2),
    seam=st.sampled_from([bytes(48)] * 19 + [b"\1" * 48]),
)


@settings(max_examples=100, deadline=None)
@given(on=MACHINES, levels=LEVELS, modules=MODULES, qe=ISV)
def test_any_documents_and_any_machine(
    on: Machine, levels: list[dict[str, Any]], modules: list[dict[str, Any]], qe: list[dict[str, Any]]
) -> None:
    info = V.tcb_info(tcbLevels=levels, tdxModuleIdentities=modules)
    identity = V.qe_identity(tcbLevels=qe)
    try:
        expected, failed = plainly(on, info, identity), ""
    except NoAnswer as error:
        expected, failed = None, str(error)
    assert QUOTE.td is not None
    td = replace(
        QUOTE.td,
        tee_tcb_svn=bytes(on.svn),
        tee_tcb_svn2=None if on.svn2 is None else bytes(on.svn2),
        mrsigner_seam=on.seam,
    )
    proof = replace(QUOTE.proof, qe_report=replace(QUOTE.proof.qe_report, isvsvn=on.qe))
    pck = replace(PCK, components=tuple(on.cpu), pcesvn=on.pce)
    given_documents = replace(COLLATERAL, tcb_info=read_tcb_info(info), qe_identity=read_identity(identity))
    judged = replace(QUOTE, td=td, proof=proof), pck, given_documents, NOW
    if expected is None:
        with refused(failed, "TCB_NOT_SUPPORTED"):  # more may be wrong, and which is said first is a matter of order
            _verdict(*judged)
        return
    found = _verdict(*judged)
    parts = {part.name: part.status.name for part in found.parts}
    assert (found.status.name, parts, list(found.advisories)) == expected
