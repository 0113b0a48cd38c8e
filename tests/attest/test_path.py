"""What holds for every path: who may issue, how deep, nothing unread, and validity with both ends inside."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from attest.path import check_roles, check_valid, link_of
from attest.x509 import load_certificate
from tests.attest.refusal import refused
from tests.attest.tdx.made import intel, platform

SECOND = dt.timedelta(seconds=1)
LEAF, CA, ROOT = (
    load_certificate(each.der, path="chain") for each in (platform().pck, intel().ca("platform"), intel().root)
)
NAMES = ("leaf", "ca", "root")

# name: (which certificate differs, how, the check that refuses)
WRONG: dict[str, tuple[int, dict[str, Any], str]] = {
    "a leaf that is a CA": (0, {"is_ca": True}, "CERT_NOT_CA"),
    "a CA that is none": (1, {"is_ca": False}, "CERT_NOT_CA"),
    "a CA that may not sign certificates": (1, {"signs_certificates": False}, "CERT_NOT_CA"),
    "a root without room below it": (2, {"path_length": 0}, "CERT_NOT_CA"),
    "a leaf with an extension twice": (0, {"duplicate": "2.5.29.15"}, "CERT_EXTENSIONS"),
    "a CA with an extension twice": (1, {"duplicate": "2.5.29.19"}, "CERT_EXTENSIONS"),
    "a leaf with what nobody understands": (0, {"critical": ("1.2.3",)}, "CERT_EXTENSIONS"),
    "a root with what nobody understands": (2, {"critical": ("1.2.3",)}, "CERT_EXTENSIONS"),
}


@pytest.mark.parametrize("case", WRONG)
def test_roles(case: str) -> None:
    position, changed, check = WRONG[case]
    chain = [LEAF, CA, ROOT]
    check_roles(chain, NAMES)
    check_roles([LEAF, CA._replace(path_length=None), ROOT._replace(path_length=1)], NAMES)
    check_roles([CA, ROOT], NAMES[1:], lowest=1)
    chain[position] = chain[position]._replace(**changed)
    with refused(check):
        check_roles(chain, NAMES)


def test_both_ends_are_inside() -> None:
    link = link_of(LEAF, "leaf")
    for now in (link.not_before, link.not_after):
        check_valid([link], now)
    for now, check in (
        (link.not_before - SECOND, "CERT_NOT_YET_VALID"),
        (link.not_after + SECOND, "CERT_EXPIRED"),
    ):
        with refused(check):
            check_valid([link_of(ROOT, "root"), link], now)
