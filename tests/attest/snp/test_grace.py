"""Grace for AMD: a dated exception by product and components. It is said by whose leave, and it ends by itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from attest.appraise import Appraisal, appraise
from attest.errors import Malformed
from attest.finding import Outcome, acceptable
from attest.grace import CHECK
from attest.profile import Profile
from attest.reference import ReferenceSet, ReferenceValue
from attest.snp.profile import SnpProfile
from kbs.decide.demands import unmet
from tests.attest.snp.made import NOW, chip, claims

MEASUREMENT = bytes(range(48))
REFERENCES = ReferenceSet(name="set", values=(ReferenceValue(name="v", measurement=MEASUREMENT, covers=frozenset()),))
MINIMUM = {"milan": {"bl": 3, "snp": 24, "ucode": 230}}
GRACE: dict[str, Any] = {
    "product": "milan",
    "level": {"ucode": 209},
    "advisories": ["AMD-SB-3019"],
    "owner": "platform-team",
    "until": "2026-05-15T00:00:00Z",
}
END = dt.datetime(2026, 5, 15, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def _document(*graces: Mapping[str, Any]) -> dict[str, Any]:
    return {"products": ["milan"], "minimum_tcb": MINIMUM, "grace": list(graces) or [GRACE]}


def _appraise(*graces: Mapping[str, Any], now: dt.datetime | None = NOW, **fields: Any) -> Appraisal:
    profile = Profile.parse({"snp": _document(*graces)})
    return appraise(claims(chip(), measurement=MEASUREMENT, **fields), profile, (REFERENCES,), now=now)


def _failed(found: Appraisal) -> list[tuple[str, str]]:
    return [(f.check, f.path) for f in found.findings if f.outcome is Outcome.FAILED]


def test_what_passes_by_grace_says_until_when_and_by_whose_leave() -> None:
    found = _appraise()
    assert acceptable(found.findings)
    told = [f for f in found.findings if f.check == CHECK]
    assert [f.path for f in told] == ["report.reported_tcb", "report.committed_tcb"]
    assert {f.expected for f in told} == {
        "by grace until 2026-05-15T00:00:00+00:00, by leave of platform-team, for AMD-SB-3019"
    }
    below = [f for f in found.findings if f.check == "TCB_BELOW_MIN" and f.outcome is Outcome.PASSED]
    assert all("or by grace of platform-team until 2026-05-15" in f.expected for f in below)


# name: (what is changed, at which time; whether it excuses)
CASES: dict[str, tuple[dict[str, Any], dt.datetime | None, bool]] = {
    "a second before its end": ({}, END - SECOND, True),
    "at its end": ({}, END, False),
    "long after": ({}, END + dt.timedelta(days=400), False),
    "without a time nothing that is dated counts": ({}, None, False),
    "exactly its level": ({"level": {"ucode": 219}}, NOW, True),
    "one above what is there": ({"level": {"ucode": 220}}, NOW, False),
    "another component": ({"level": {"snp": 23}}, NOW, False),
}


@pytest.mark.parametrize("case", CASES)
def test_it_excuses_what_it_names_until_its_end(case: str) -> None:
    changed, now, excused = CASES[case]
    found = _appraise(GRACE | changed, now=now)
    assert acceptable(found.findings) is excused
    if not excused:
        assert _failed(found) == [("TCB_BELOW_MIN", "report.reported_tcb"), ("TCB_BELOW_MIN", "report.committed_tcb")]
        without = Profile.parse({"snp": {"products": ["milan"], "minimum_tcb": MINIMUM}})
        as_if_absent = appraise(claims(chip(), measurement=MEASUREMENT), without, (REFERENCES,), now=now)
        assert found.findings == as_if_absent.findings


def test_what_needs_no_grace_has_none() -> None:
    profile = Profile.parse({"snp": _document() | {"minimum_tcb": {"milan": {"ucode": 210}}}})
    found = appraise(claims(chip(), measurement=MEASUREMENT), profile, (REFERENCES,), now=NOW)
    assert CHECK not in {f.check for f in found.findings}


def test_the_one_that_fits_counts() -> None:
    over = GRACE | {"until": "2026-04-01T00:00:00Z", "owner": "gone"}
    found = _appraise(over, GRACE)
    assert {f.expected.split("leave of ")[1][:13] for f in found.findings if f.check == CHECK} == {"platform-team"}


# name: (the exception, where it is refused)
WRONG: dict[str, tuple[Any, str]] = {
    "no owner": ({k: v for k, v in GRACE.items() if k != "owner"}, "snp.grace[0]"),
    "no end": ({k: v for k, v in GRACE.items() if k != "until"}, "snp.grace[0]"),
    "until a day": (GRACE | {"until": "2026-05-15"}, "snp.grace[0].until"),
    "for no advisory": (GRACE | {"advisories": []}, "snp.grace[0].advisories"),
    "for a product that is not let in": (GRACE | {"product": "genoa"}, "snp.grace[0].product"),
    "for a product that nobody knows": (GRACE | {"product": "rome"}, "snp.grace[0].product"),
    "at no level": (GRACE | {"level": {}}, "snp.grace[0].level"),
    "at the minimum itself": (GRACE | {"level": {"ucode": 230}}, "snp.grace[0].level"),
    "at a component without a minimum": (GRACE | {"level": {"tee": 0}}, "snp.grace[0].level"),
    "at a component of another product": (GRACE | {"level": {"fmc": 0}}, "snp.grace[0].level"),
    "at a level that is a number": (GRACE | {"level": 3}, "snp.grace[0].level"),
    "of a key more": (GRACE | {"statuses": ["OutOfDate"]}, "snp.grace[0].statuses"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_exception_that_is_none_is_refused_when_it_is_read(case: str) -> None:
    grace, path = WRONG[case]
    with pytest.raises(Malformed) as caught:
        SnpProfile.parse(_document(grace))
    assert caught.value.path == path


def test_no_tier_above_the_lowest_lets_grace_reach_below_what_makes_reports_forgeable() -> None:
    low = GRACE | {"level": {"snp": 23}}
    for grace, names in ((low, ["TCB_FLOOR"]), (GRACE, [])):
        profile = Profile.parse({"snp": _document(grace)})
        assert [demand.name for demand, _ in unmet(profile, 1)] == names
        assert list(unmet(profile, 0)) == []
