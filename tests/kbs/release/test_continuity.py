"""Whose lease it is: every fact of the holder counts, and nothing is told of the lease to anybody else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from attest.finding import Outcome
from kbs.model.lease import BLOCKED, REATTEST, Holder, LeaseRecord
from kbs.release.continuity import continuity

HOLDER = Holder(tenant="acme", node="n", guest="g", platform="snp", key=b"k" * 32, devices=("d", "e"))
LEASE = LeaseRecord(
    lease_id="0" * 32, holder=HOLDER, purpose="training", keys=(("a", 1), ("b", 2)), start=0, end=100, granted=1,
    newest=1, ended=0, reason="",
)  # fmt: skip
WHO = ["LEASE_GUEST", "LEASE_HOLDER", "LEASE_REQUEST"]


def _found(lease: LeaseRecord | None = LEASE, now: int = 50, **asked: Any) -> list[tuple[str, str]]:
    purpose, names = asked.pop("purpose", "training"), asked.pop("names", ("a", "b"))
    found = continuity(lease, dataclasses.replace(HOLDER, **asked), purpose, names, now)
    return [(f.check, f.got) for f in found if f.outcome is not Outcome.PASSED] or [(f.check, "") for f in found]


def _lease(**changed: Any) -> LeaseRecord:
    return dataclasses.replace(LEASE, **changed)


def _without_key() -> LeaseRecord:
    return _lease(holder=dataclasses.replace(HOLDER, key=b""))


def test_the_holder() -> None:
    assert [check for check, _ in _found()] == [*WHO, "LEASE_OVER", "LEASE_DEVICES"]


# name: (the lease, what is asked, the checks that fail)
REFUSED: dict[str, tuple[LeaseRecord | None, dict[str, Any], list[str]]] = {
    "no lease": (None, {}, ["LEASE_UNKNOWN"]),
    "another tenant's": (LEASE, {"tenant": "umbrella"}, ["LEASE_UNKNOWN"]),
    "another tenant's, that is over": (_lease(ended=7), {"tenant": "umbrella"}, ["LEASE_UNKNOWN"]),
    "another node": (LEASE, {"node": "m"}, ["LEASE_GUEST"]),
    "another guest": (LEASE, {"guest": "h"}, ["LEASE_GUEST"]),
    "another platform": (LEASE, {"platform": "tdx"}, ["LEASE_GUEST"]),
    "another key": (LEASE, {"key": b"l" * 32}, ["LEASE_HOLDER"]),
    "no key": (LEASE, {"key": b""}, ["LEASE_HOLDER"]),
    "no key of a lease without one": (_without_key(), {"key": b""}, ["LEASE_HOLDER"]),
    "a key of a lease without one": (_without_key(), {}, ["LEASE_HOLDER"]),
    "another purpose": (LEASE, {"purpose": "inference"}, ["LEASE_REQUEST"]),
    "another order": (LEASE, {"names": ("b", "a")}, ["LEASE_REQUEST"]),
    "one of them": (LEASE, {"names": ("a",)}, ["LEASE_REQUEST"]),
    "all of it another's": (LEASE, {"node": "m", "key": b"l" * 32, "purpose": "inference"}, WHO),
    "another's, of a lease that is over": (_lease(ended=7, reason=BLOCKED), {"guest": "h"}, ["LEASE_GUEST"]),
    "over at this moment": (_lease(end=50), {}, ["LEASE_OVER"]),
    "ended": (_lease(ended=7, reason=REATTEST), {}, ["LEASE_OVER"]),
    "blocked": (_lease(ended=7, reason=BLOCKED), {}, ["LEASE_BLOCKED"]),
    "devices in another order": (LEASE, {"devices": ("e", "d")}, ["LEASE_DEVICES"]),
    "no devices": (LEASE, {"devices": ()}, ["LEASE_DEVICES"]),
    "over, and other devices": (_lease(end=49), {"devices": ()}, ["LEASE_OVER", "LEASE_DEVICES"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_not_and_what_is_over(name: str) -> None:
    lease, asked, checks = REFUSED[name]
    assert [check for check, _ in _found(lease, **asked)] == checks


def test_what_the_holder_is_told_of_the_end() -> None:
    assert _found(_lease(end=50)) == [("LEASE_OVER", "expired")]
    assert _found(_lease(ended=7, reason=BLOCKED)) == [("LEASE_BLOCKED", f"ended: {BLOCKED}")]
