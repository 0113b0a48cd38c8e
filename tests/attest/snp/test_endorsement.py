"""What a key server answers, piece by piece, before anybody keeps it: wrong in one way, and genuinely signed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.hashes import SHA384

from attest.anchors import Anchors
from attest.evidence import SnpEvidence
from attest.snp.claims import SigningKey
from attest.snp.endorsement import Issuers, Wanted, check_crl, check_issuers, check_vcek, wanted
from attest.x509 import load_certificate
from tests.attest.refusal import refused
from tests.attest.snp.made import DATA, NOW, chip, hierarchy
from tests.makers import amd
from tests.makers.endless import without_next_update
from tests.makers.kds import pem

SECOND = dt.timedelta(seconds=1)
DAY = dt.timedelta(days=1)
MILAN, GENOA, TURIN = hierarchy(), hierarchy("Genoa"), hierarchy("Turin")
ALL = Anchors(amd=(*MILAN.anchors.amd, *GENOA.anchors.amd, *TURIN.anchors.amd), intel=(), simulated=True)


def _issuers(vendor: amd.Amd = MILAN, kind: SigningKey = SigningKey.VCEK, product: str = "Milan") -> Issuers:
    issuer = vendor.ask if kind is SigningKey.VCEK else vendor.asvk
    return check_issuers(pem(issuer.der, vendor.ark.der), product, kind, ALL, now=NOW)


# name: (the hierarchy that answers when Milan's is asked for, the check that refuses)
ISSUERS: dict[str, tuple[amd.Amd, str]] = {
    "another product's": (GENOA, "PRODUCT_MISMATCH"),
    "an ASK that is no CA": (MILAN.reissued("ask", ca=False, path_length=None), "CERT_NOT_CA"),
    "an ASK of yesterday": (MILAN.reissued("ask", not_after=NOW - SECOND), "CERT_EXPIRED"),
    "an ASK of tomorrow": (MILAN.reissued("ask", not_before=NOW + SECOND), "CERT_NOT_YET_VALID"),
    "an ARK of yesterday": (MILAN.reissued("ark", not_after=NOW - SECOND), "CERT_EXPIRED"),
    "an ASK of the root's, for VLEKs": (replace(MILAN, ask=MILAN.asvk), "VEK_TYPE_MISMATCH"),
    "an ASK of another name": (MILAN.reissued("ask", common="SEV-Naples"), "CHAIN_SUBJECT"),
}


@pytest.mark.parametrize("case", ISSUERS)
def test_issuers_that_are_not_these(case: str) -> None:
    vendor, check = ISSUERS[case]
    with refused(check):
        _issuers(vendor)


def test_issuers_are_two_and_valid_from_their_first_to_their_last_second() -> None:
    for some in ([MILAN.ask.der], [MILAN.ask.der, MILAN.ark.der, MILAN.ark.der]):
        with refused("CHAIN_INCOMPLETE"):
            check_issuers(pem(*some), "Milan", SigningKey.VCEK, ALL, now=NOW)
    found = _issuers()
    start = max(found.intermediate.not_before, found.authority.not_before)
    answer = pem(MILAN.ask.der, MILAN.ark.der)
    for now in (start, found.not_after):
        assert check_issuers(answer, "Milan", SigningKey.VCEK, ALL, now=now) == found
    for now, check in ((start - SECOND, "CERT_NOT_YET_VALID"), (found.not_after + SECOND, "CERT_EXPIRED")):
        with refused(check):
            check_issuers(answer, "Milan", SigningKey.VCEK, ALL, now=now)


def _want(made: amd.Chip) -> Wanted:
    return wanted(made.evidence(DATA), ALL, report_data=DATA)


# name: (the chip that is asked for, the key that is answered, the check that refuses)
KEYS: dict[str, tuple[amd.Chip, amd.Chip, str]] = {
    "another chip's": (chip(), MILAN.chip(2), "CHIP_ID_MISMATCH"),
    "of another TCB": (chip(), MILAN.chip(tcb={"bl": 4, "tee": 0, "snp": 24, "ucode": 218}), "TCB_EXT_MISMATCH"),
    "of yesterday": (chip(), MILAN.chip(not_after=NOW - SECOND), "CERT_EXPIRED"),
    "of tomorrow": (chip(), MILAN.chip(not_before=NOW + SECOND), "CERT_NOT_YET_VALID"),
    "a VLEK": (chip(), chip(kind="VLEK"), "VEK_TYPE_MISMATCH"),
    "another product's": (chip(), GENOA.chip(), "PRODUCT_MISMATCH"),
}


@pytest.mark.parametrize("case", KEYS)
def test_a_key_that_is_not_this_chips(case: str) -> None:
    asked, answered, check = KEYS[case]
    issuers = _issuers()
    with refused(check, *(("CHAIN_INCOMPLETE",) if "product" in case else ())):
        check_vcek(answered.certificate, _want(asked), issuers, ALL, now=NOW)
    assert check_vcek(asked.certificate, _want(asked), issuers, ALL, now=NOW).vek.chip_id == asked.chip_id


def test_a_key_under_other_issuers_than_were_verified() -> None:
    """The pin of the issuers is compared too, not only that some pinned root is above the key."""
    issuers = replace(_issuers(), root=GENOA.anchors.amd[0])
    with refused("PRODUCT_MISMATCH"):
        check_vcek(chip().certificate, _want(chip()), issuers, ALL, now=NOW)


def _endless() -> bytes:
    return without_next_update(MILAN.crl(), lambda tbs: MILAN.ark.key.sign(tbs, amd.PSS, SHA384()))


# name: (the list that is answered, the check that refuses)
LISTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "another product's": (GENOA.crl, "CRL_ISSUER"),
    "by another key": (lambda: MILAN.crl(signer=MILAN.ask), "CRL_SIGNATURE"),
    "of tomorrow": (lambda: MILAN.crl(this_update=NOW + SECOND), "CRL_NOT_YET_VALID"),
    "stale since this second": (lambda: MILAN.crl(next_update=NOW), "CRL_EXPIRED"),
    "that never says when it is stale": (_endless, "CRL_EXPIRED"),
    "for some certificates alone": (lambda: MILAN.crl(critical=True), "CRL_UNSUPPORTED"),
}


@pytest.mark.parametrize("case", LISTS)
def test_a_list_that_says_nothing(case: str) -> None:
    make, check = LISTS[case]
    with refused(check):
        check_crl(make(), _issuers(), now=NOW)
    assert check_crl(MILAN.crl(this_update=NOW), _issuers(), now=NOW).serials == frozenset()


def _report(product: str, **fields: bytes) -> SnpEvidence:
    return SnpEvidence(report=chip(product).report(DATA, version=3, **fields))


# name: (evidence, the check that refuses before anything is fetched)
UNWANTED: dict[str, tuple[Callable[[], SnpEvidence], str]] = {
    "made for something else": (lambda: SnpEvidence(report=chip().report(bytes(64))), "REPORT_DATA_MISMATCH"),
    "a chip that hides": (lambda: _report("Milan", chip_id=bytes(64)), "CHIP_ID_MASKED"),
    "a chip id longer than Turin's": (lambda: _report("Turin", chip_id=bytes([7] * 9 + [0] * 55)), "CHIP_ID_MISMATCH"),
    "a TCB with a byte that is none": (
        lambda: _report("Milan", reported_tcb=bytes([4, 0, 0, 1, 0, 0, 24, 219])),
        "SNP_RESERVED",
    ),
    "too many certificates": (
        lambda: replace(_report("Milan"), certificates=tuple(bytes([n]) for n in range(33))),
        "CERT_LIMIT",
    ),
}


@pytest.mark.parametrize("case", UNWANTED)
def test_nothing_is_wanted_for_what_cannot_be_good(case: str) -> None:
    make, check = UNWANTED[case]
    with refused(check):
        wanted(make(), ALL, report_data=DATA)


def test_a_product_without_a_pin_is_not_asked_for() -> None:
    with refused("CHAIN_ROOT_NOT_PINNED"):
        wanted(chip("Genoa").evidence(DATA), MILAN.anchors, report_data=DATA)


def test_a_report_without_cpuid_may_be_of_any_product_that_makes_such() -> None:
    assert wanted(chip().evidence(DATA, version=2), ALL, report_data=DATA).products == ("Milan", "Genoa")
    assert wanted(chip().evidence(DATA), ALL, report_data=DATA).products == ("Milan",)
    with refused("CHAIN_ROOT_NOT_PINNED"):
        wanted(chip().evidence(DATA, version=2), TURIN.anchors, report_data=DATA)


def test_the_key_of_another_chip_endorses_nothing() -> None:
    want = _want(chip())
    assert want.endorsed_by([b"nothing", MILAN.ask.der, chip().certificate])
    other = MILAN.chip(2), MILAN.chip(tcb={"bl": 4, "tee": 0, "snp": 24, "ucode": 218}), chip(kind="VLEK")
    for made in other:
        assert not want.endorsed_by([made.certificate]), load_certificate(made.certificate, path="leaf").common_name
