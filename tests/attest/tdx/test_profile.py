"""A profile for TDs is read strictly: each mistake is refused with the path where it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from attest.errors import Malformed
from attest.tdx.claims import TcbStatus
from attest.tdx.profile import TdxProfile

GRACE = {
    "fmspc": "90c06f000000",
    "statuses": ["OutOfDate"],
    "level": "2025-05-14T00:00:00Z",
    "advisories": ["INTEL-SA-01245"],
    "owner": "platform-team",
    "until": "2026-12-01T00:00:00Z",
}

# name: (the document, the path that is named)
MALFORMED: dict[str, tuple[Any, str]] = {
    "no object": ([], "tdx"),
    "unknown key": ({"mrtd": []}, "tdx.mrtd"),
    "there is no key for debug": ({"allow_debug": True}, "tdx.allow_debug"),
    "there is no key for migration": ({"allow_migratable": True}, "tdx.allow_migratable"),
    "migration by another door": ({"allow_attributes": ["migratable"]}, "tdx.allow_attributes[0]"),
    "debug by another door": ({"allow_attributes": ["debug"]}, "tdx.allow_attributes[0]"),
    "no status": ({"accepted_tcb": []}, "tdx.accepted_tcb"),
    "a status of nobody": ({"accepted_tcb": ["Fine"]}, "tdx.accepted_tcb[0]"),
    "a status in other letters": ({"accepted_tcb": ["uptodate"]}, "tdx.accepted_tcb[0]"),
    "Revoked accepted": ({"accepted_tcb": ["UpToDate", "Revoked"]}, "tdx.accepted_tcb[1]"),
    "Revoked excused": ({"grace": [GRACE | {"statuses": ["Revoked"]}]}, "tdx.grace[0].statuses[0]"),
    "MRTD of 32 bytes": ({"mr_td": ["11" * 32]}, "tdx.mr_td[0]"),
    "an empty list of RTMRs": ({"rtmr2": []}, "tdx.rtmr2"),
    "RTMR4": ({"rtmr4": ["11" * 48]}, "tdx.rtmr4"),
    "a PPID of 8 bytes": ({"ppids": ["11" * 8]}, "tdx.ppids[0]"),
    "an FMSPC in upper case": ({"fmspcs": ["90C06F000000"]}, "tdx.fmspcs[0]"),
    "an evaluation of nothing": ({"minimum_tcb_evaluation": 0}, "tdx.minimum_tcb_evaluation"),
    "a flag as a number": ({"require_sept_ve_disable": 0}, "tdx.require_sept_ve_disable"),
    "no grace": ({"grace": []}, "tdx.grace"),
    "grace for anything": ({"grace": [{}]}, "tdx.grace[0]"),
    "grace without an owner": ({"grace": [GRACE | {"owner": ""}]}, "tdx.grace[0].owner"),
    "grace without an end": (
        {"grace": [{key: value for key, value in GRACE.items() if key != "until"}]},
        "tdx.grace[0]",
    ),
    "grace until a day": ({"grace": [GRACE | {"until": "2026-12-01"}]}, "tdx.grace[0].until"),
    "grace until no day": ({"grace": [GRACE | {"until": "2026-02-30T00:00:00Z"}]}, "tdx.grace[0].until"),
    "grace with a time of one digit": ({"grace": [GRACE | {"until": "2026-12-1T00:00:00Z"}]}, "tdx.grace[0].until"),
    "grace with an advisory that is none": ({"grace": [GRACE | {"advisories": [1]}]}, "tdx.grace[0].advisories[0]"),
    "grace with advisories that are a text": (
        {"grace": [GRACE | {"advisories": "INTEL-SA-1"}]},
        "tdx.grace[0].advisories",
    ),
    "grace with too many advisories": ({"grace": [GRACE | {"advisories": ["a"] * 257}]}, "tdx.grace[0].advisories"),
    "grace that is no list": ({"grace": GRACE}, "tdx.grace"),
    "too much grace": ({"grace": [GRACE] * 65}, "tdx.grace"),
    "grace with one more key": ({"grace": [GRACE | {"forever": True}]}, "tdx.grace[0].forever"),
}
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "grace for a family that is not allowed": ({"fmspcs": ["00" * 6], "grace": [GRACE]}, "tdx.grace[0].fmspc"),
    "grace for what is accepted": (
        {"accepted_tcb": ["UpToDate", "OutOfDate"], "grace": [GRACE]},
        "tdx.grace[0].statuses",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str) -> None:
    document, path = MALFORMED[case]
    with pytest.raises(Malformed) as caught:
        TdxProfile.parse(document)
    assert (caught.value.check, caught.value.path) == ("PROFILE_MALFORMED", path)


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions(case: str) -> None:
    document, path = CONTRADICTIONS[case]
    with pytest.raises(Malformed) as caught:
        TdxProfile.parse(document)
    assert (caught.value.check, caught.value.path) == ("PROFILE_CONTRADICTION", path)


def test_what_is_not_said_is_safe() -> None:
    profile = TdxProfile.parse({})
    assert profile == TdxProfile()
    assert profile.accepted_tcb == {TcbStatus.UpToDate}
    assert (profile.grace, profile.service_tds, profile.require_sept_ve_disable) == ((), frozenset(), True)


def test_everything_is_read() -> None:
    profile = TdxProfile.parse({"grace": [GRACE], "minimum_tcb_evaluation": 19, "ppids": ["11" * 16]})
    assert profile.grace[0].until == datetime(2026, 12, 1, tzinfo=UTC)
    assert profile.grace[0].statuses == {TcbStatus.OutOfDate}
    assert (profile.minimum_tcb_evaluation, profile.ppids) == (19, frozenset({b"\x11" * 16}))


def test_grace_for_a_family_that_is_allowed() -> None:
    """And for statuses of which some are accepted anyway."""
    profile = TdxProfile.parse(
        {"fmspcs": ["00" * 6, GRACE["fmspc"]], "grace": [GRACE | {"statuses": ["UpToDate", "OutOfDate"]}]}
    )
    assert len(profile.grace) == 1
