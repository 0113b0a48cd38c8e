"""Endorsement: rows E1 to E20 of the pitfalls, each with the check that must name it, on genuinely signed evidence."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384

from attest.anchors import BUILT_IN, Anchors
from attest.errors import AttestError
from attest.evidence import Collateral
from attest.finding import Outcome
from attest.snp.claims import SigningKey
from attest.verify import Kept, inspect_without_binding
from tests.attest.refusal import refused
from tests.attest.snp.made import DATA, NOW, chip, hierarchy, judge, snp_of
from tests.makers import amd
from tests.makers.endless import without_next_update

SECOND = dt.timedelta(seconds=1)
DAY = dt.timedelta(days=1)
MILAN = hierarchy()
FAKE_KEY = amd.rsa_key("another ARK")
OTHER_TCB = {"bl": 4, "tee": 0, "snp": 24, "ucode": 218}
Case = Callable[[], object]


def _judged(made: amd.Chip, maker: amd.Amd | None = None, *, version: int = 3, **changed: Any) -> object:
    fields = changed.pop("fields", {})
    certificates = changed.pop("certificates", made.certificates)
    return judge(made.report(DATA, version=version, **fields), certificates, maker or made.amd, **changed)


def _with(which: str, **changed: object) -> amd.Amd:
    return MILAN.reissued(which, **changed)


def _fake(**changed: object) -> amd.Amd:
    """An attacker's own hierarchy under AMD's names."""
    ark = amd.authority("ARK-Milan", None, now=NOW, serial=0x10000, key=FAKE_KEY)
    ask = amd.authority("SEV-Milan", ark, now=NOW, serial=0x10001, key=amd.rsa_key("another ASK"), path_length=0)
    return replace(MILAN, ark=ark, ask=ask, **changed)  # type: ignore[arg-type]


def _broken(der: bytes) -> bytes:
    return der[:-1] + bytes([der[-1] ^ 1])


def _extension(kind: str = "VCEK", product: str = "Milan", **changed: bytes | None) -> Case:
    """A chip whose extension (by number, with _ for a dot) is another one, or missing."""
    change = {f"{amd.ARC}.{name[1:].replace('_', '.')}": value for name, value in changed.items()}
    return lambda: _judged(hierarchy(product).chip(kind=kind, change=change))


def _duplicated() -> object:
    rename = bytes.fromhex("010309"), bytes.fromhex("010308")
    return _judged(MILAN.chip(rename=rename, change={f"{amd.ARC}.3.9": amd.der_integer(219)}))


def _swapped(other: amd.Chip) -> Case:
    """A report with the VCEK of another chip."""
    return lambda: _judged(chip(), certificates=other.certificates)


def _turin_in_milan_layout() -> object:
    turin = chip("Turin")
    return _judged(turin, fields={"reported_tcb": bytes([1, 1, 0, 0, 0, 0, 4, 81])})


def _ucode(spl: int) -> Case:
    return lambda: _judged(MILAN.chip(tcb={**OTHER_TCB, "ucode": spl}))


def _with_crl(crl: bytes, **changed: Any) -> Case:
    return lambda: _judged(chip(), crls=[crl], **changed)


def _expiring(which: str, **changed: object) -> Case:
    def run() -> object:
        if which == "vcek":
            return _judged(MILAN.chip(**changed))  # type: ignore[arg-type]
        maker = _with(which, **changed)
        return _judged(maker.chip())

    return run


VCEK_FOR_VLEK = {"key_info": 1 << 2, "chip_id": bytes(64)}

# name: (what is judged, the check)
REFUSED: dict[str, tuple[Case, str]] = {
    "E1 an attacker's own chain": (lambda: _judged(_fake().chip(), MILAN, crls=[]), "CHAIN_ROOT_NOT_PINNED"),
    "E1 under AMD's real roots": (lambda: _judged(chip(), anchors=BUILT_IN), "CHAIN_ROOT_NOT_PINNED"),
    "E1 with no root pinned": (
        lambda: _judged(chip(), anchors=Anchors(amd=(), simulated=True)),
        "CHAIN_ROOT_NOT_PINNED",
    ),
    "E2 leaf": (
        lambda: _judged(chip(), certificates=(_broken(chip().certificate), MILAN.ask.der, MILAN.ark.der)),
        "CHAIN_SIGNATURE",
    ),
    "E2 ASK": (
        lambda: _judged(chip(), certificates=(chip().certificate, _broken(MILAN.ask.der), MILAN.ark.der)),
        "CHAIN_SIGNATURE",
    ),
    "E2 ARK": (
        lambda: _judged(chip(), certificates=(chip().certificate, MILAN.ask.der, _broken(MILAN.ark.der))),
        "CHAIN_SIGNATURE",
    ),
    "E2 leaf signed with PKCS#1 v1.5": (
        lambda: _judged(MILAN.chip(serial=7, pss=False)),
        "CHAIN_SIGNATURE",
    ),
    "E2 ASK signed with PKCS#1 v1.5": (lambda: _judged(_with("ask", pss=False).chip()), "CHAIN_SIGNATURE"),
    "E3 Genoa's CPUID under Milan's chain": (
        lambda: _judged(chip(), fields={"cpuid": bytes([0x19, 0x11, 1])}),
        "PRODUCT_MISMATCH",
    ),
    "E3 Genoa's report, VCEK and Milan's chain": (
        lambda: _judged(
            chip("Genoa"),
            MILAN,
            certificates=(chip("Genoa").certificate, MILAN.ask.der, MILAN.ark.der),
        ),
        "PRODUCT_MISMATCH",
    ),
    "E3 version 2 under Turin's chain": (lambda: _judged(chip("Turin"), version=2), "PRODUCT_MISMATCH"),
    "E3 a CPUID that is nobody's": (
        lambda: _judged(chip(), fields={"cpuid": bytes([0x1B, 0, 0])}),
        "PRODUCT_UNKNOWN",
    ),
    "E4 productName of another product": (_extension(_2=amd.der_ia5("Genoa")), "PRODUCT_MISMATCH"),
    "E4 productName that begins alike": (_extension(_2=amd.der_ia5("Milano-B0")), "PRODUCT_MISMATCH"),
    "E5 VLEK for a VCEK report": (
        lambda: _judged(chip(), certificates=chip(kind="VLEK").certificates),
        "VEK_TYPE_MISMATCH",
    ),
    "E5 VCEK for a VLEK report": (lambda: _judged(chip(), fields=VCEK_FOR_VLEK), "VEK_TYPE_MISMATCH"),
    "E5 named VCEK with a CSP_ID": (
        lambda: _judged(
            MILAN.chip(change={f"{amd.ARC}.4": None, f"{amd.ARC}.5": amd.der_ia5("CN=x")}),
        ),
        "VEK_TYPE_MISMATCH",
    ),
    "E5 named VLEK with a HWID": (
        lambda: _judged(MILAN.chip(kind="VLEK", change={f"{amd.ARC}.4": bytes(64), f"{amd.ARC}.5": None})),
        "VEK_TYPE_MISMATCH",
    ),
    "E5 VCEK issued by the ASVK": (
        lambda: _judged(
            MILAN.chip(issuer=MILAN.asvk),
            certificates=(MILAN.chip(issuer=MILAN.asvk).certificate, MILAN.asvk.der, MILAN.ark.der),
        ),
        "VEK_TYPE_MISMATCH",
    ),
    "E5 VLEK issued by the ASK": (
        lambda: _judged(
            chip(kind="VLEK"),
            certificates=(MILAN.chip(kind="VLEK", issuer=MILAN.ask).certificate, MILAN.ask.der, MILAN.ark.der),
        ),
        "VEK_TYPE_MISMATCH",
    ),
    "E6 common name VCEK": (lambda: _judged(MILAN.chip(subject="VCEK")), "VEK_SUBJECT"),
    "E6 common name SEV-VCEK2": (lambda: _judged(MILAN.chip(subject="SEV-VCEK2")), "VEK_SUBJECT"),
    "E6 common name in lower case": (lambda: _judged(MILAN.chip(subject="sev-vcek")), "VEK_SUBJECT"),
    "E7 another chip's VCEK at another TCB": (_swapped(MILAN.chip(2, tcb=OTHER_TCB)), "TCB_EXT_MISMATCH"),
    "E7 TCB of the certificate lower": (_swapped(MILAN.chip(tcb=OTHER_TCB)), "TCB_EXT_MISMATCH"),
    "E7 TCB of the certificate higher": (
        _swapped(MILAN.chip(tcb={**OTHER_TCB, "ucode": 255})),
        "TCB_EXT_MISMATCH",
    ),
    "E7 a reserved byte of REPORTED_TCB": (
        lambda: _judged(chip(), fields={"reported_tcb": bytes([4, 0, 1, 0, 0, 0, 24, 219])}),
        "TCB_EXT_MISMATCH",
    ),
    "E7 a reserved byte of CURRENT_TCB": (
        lambda: _judged(chip(), fields={"current_tcb": bytes([4, 0, 1, 0, 0, 0, 24, 219])}),
        "SNP_RESERVED",
    ),
    "E8 Turin's report in Milan's layout": (_turin_in_milan_layout, "TCB_EXT_MISMATCH"),
    "E8 Turin's FMC differs": (
        lambda: _judged(
            chip("Turin"),
            certificates=hierarchy("Turin").chip(tcb={**amd.TCB["Turin"], "fmc": 2}).certificates,
        ),
        "TCB_EXT_MISMATCH",
    ),
    "E9 another chip's VCEK at the same TCB": (_swapped(MILAN.chip(2)), "CHIP_ID_MISMATCH"),
    "E9 Turin: bytes behind the eighth": (
        lambda: _judged(chip("Turin"), fields={"chip_id": chip("Turin").chip_id[:8] + b"\1" + bytes(55)}),
        "CHIP_ID_MISMATCH",
    ),
    "E10 no CHIP_ID under a VCEK": (lambda: _judged(chip(), fields={"chip_id": bytes(64)}), "CHIP_ID_MASKED"),
    "E11 no HWID and no CSP_ID": (_extension(_4=None), "VEK_EXTENSIONS"),
    "E11 HWID and CSP_ID": (_extension(_5=amd.der_ia5("CN=x")), "VEK_EXTENSIONS"),
    "E11 HWID and CSP_ID in a VLEK": (_extension("VLEK", _4=bytes(64)), "VEK_EXTENSIONS"),
    "E11 no snpSPL": (_extension(_3_3=None), "VEK_EXTENSIONS"),
    "E11 no productName": (_extension(_2=None), "VEK_EXTENSIONS"),
    "E11 no fmcSPL on Turin": (_extension(product="Turin", _3_9=None), "VEK_EXTENSIONS"),
    "E11 fmcSPL on Milan": (_extension(_3_9=amd.der_integer(1)), "VEK_EXTENSIONS"),
    "E11 spl4 is not 0": (_extension(_3_4=amd.der_integer(1)), "VEK_EXTENSIONS"),
    "E11 ucodeSPL twice": (_duplicated, "VEK_EXTENSIONS"),
    "E11 ucodeSPL above 255": (_extension(_3_8=amd.der_integer(475)), "VEK_EXTENSIONS"),
    "E11 ucodeSPL with its last byte right": (_extension(_3_8=b"\2\2\1\xdb"), "VEK_EXTENSIONS"),
    "E11 ucodeSPL negative": (_extension(_3_8=b"\2\1\xdb"), "VEK_EXTENSIONS"),
    "E11 ucodeSPL padded": (_extension(_3_8=b"\2\3\0\0\xdb"), "VEK_EXTENSIONS"),
    "E11 snpSPL padded": (_extension(_3_3=b"\2\2\0\x18"), "VEK_EXTENSIONS"),
    "E11 snpSPL of another type": (_extension(_3_3=b"\4\1\x18"), "VEK_EXTENSIONS"),
    "E11 snpSPL and a byte more": (_extension(_3_3=b"\2\1\x18\0"), "VEK_EXTENSIONS"),
    "E11 productName that is not text": (_extension(_2=b"\x16\5Mil\0n"), "VEK_EXTENSIONS"),
    "E11 productName with DEL": (_extension(_2=b"\x16\6Milan\x7f"), "VEK_EXTENSIONS"),
    "E11 productName longer than it says": (_extension(_2=b"\x16\4Milan"), "VEK_EXTENSIONS"),
    "E11 productName shorter than it says": (_extension(_2=b"\x16\6Milan"), "VEK_EXTENSIONS"),
    "E11 productName with nothing in it": (_extension(_2=b"\x16\0"), "VEK_EXTENSIONS"),
    "E11 CSP_ID with nothing in it": (_extension("VLEK", _5=b"\x16\0"), "VEK_EXTENSIONS"),
    "E11 CSP_ID of no stated length": (_extension("VLEK", _5=b"\x16\x80" + b"x" * 128), "VEK_EXTENSIONS"),
    "E11 CSP_ID in the long form": (_extension("VLEK", _5=b"\x16\x81\x80" + b"x" * 128), "VEK_EXTENSIONS"),
    "E12 HWID of 63 bytes": (_extension(_4=bytes(63)), "VEK_EXTENSIONS"),
    "E12 HWID of 66 bytes without a header": (_extension(_4=bytes(66)), "VEK_EXTENSIONS"),
    "E12 HWID of 8 bytes on Milan": (_extension(_4=bytes(8)), "VEK_EXTENSIONS"),
    "E12 HWID of 64 bytes on Turin": (_extension(product="Turin", _4=bytes(64)), "VEK_EXTENSIONS"),
    "E13 VCEK over": (_expiring("vcek", not_after=NOW - SECOND), "CERT_EXPIRED"),
    "E13 VCEK not yet": (_expiring("vcek", not_before=NOW + SECOND), "CERT_NOT_YET_VALID"),
    "E13 ASK over": (_expiring("ask", not_after=NOW - SECOND), "CERT_EXPIRED"),
    "E13 ASK not yet": (_expiring("ask", not_before=NOW + SECOND), "CERT_NOT_YET_VALID"),
    "E13 ARK over": (_expiring("ark", not_after=NOW - SECOND), "CERT_EXPIRED"),
    "E13 ARK not yet": (_expiring("ark", not_before=NOW + SECOND), "CERT_NOT_YET_VALID"),
    "E14 ASK without CA": (lambda: _judged(_with("ask", ca=False).chip()), "CERT_NOT_CA"),
    "E14 ASK without basic constraints": (lambda: _judged(_with("ask", ca=None).chip()), "CERT_NOT_CA"),
    "E14 ASK may not sign certificates": (lambda: _judged(_with("ask", cert_sign=False).chip()), "CERT_NOT_CA"),
    "E14 ARK without CA": (lambda: _judged(_with("ark", ca=False).chip()), "CERT_NOT_CA"),
    "E14 ARK with path length 0": (lambda: _judged(_with("ark", path_length=0).chip()), "CERT_NOT_CA"),
    "E14 leaf is a CA": (lambda: _judged(MILAN.chip(ca=True)), "CERT_NOT_CA"),
    "E14 ASK as leaf": (
        lambda: _judged(chip(), certificates=(MILAN.ask.der, MILAN.ark.der)),
        "VEK_MISSING",
    ),
    "E14 unknown critical extension": (
        lambda: _judged(_with("ask", extensions={"1.2.3.4": b"\5\0"}, critical=("1.2.3.4",)).chip()),
        "CERT_EXTENSIONS",
    ),
    "E15 ASK revoked": (_with_crl(MILAN.crl([0x10001])), "CERT_REVOKED"),
    "E15 ARK revoked": (_with_crl(MILAN.crl([0x10000])), "CERT_REVOKED"),
    "E15 revoked in a list that is over": (
        _with_crl(MILAN.crl([0x10001], next_update=NOW - SECOND)),
        "CERT_REVOKED",
    ),
    "E15 list signed by another": (_with_crl(MILAN.crl(signer=MILAN.ask)), "CRL_SIGNATURE"),
    "E15 list with a flipped bit": (_with_crl(_broken(MILAN.crl())), "CRL_SIGNATURE"),
    "E15 list over": (_with_crl(MILAN.crl(next_update=NOW - SECOND)), "CRL_EXPIRED"),
    "E15 list over at this second": (_with_crl(MILAN.crl(next_update=NOW)), "CRL_EXPIRED"),
    "E15 list over, though not required": (
        _with_crl(MILAN.crl(next_update=NOW - SECOND), revocation="optional"),
        "CRL_EXPIRED",
    ),
    "E15 list not yet": (
        _with_crl(MILAN.crl(this_update=NOW + SECOND, next_update=NOW + DAY)),
        "CRL_NOT_YET_VALID",
    ),
    "E15 one list over, one not yet": (
        lambda: _judged(
            chip(),
            crls=[
                MILAN.crl(this_update=NOW + SECOND, next_update=NOW + DAY),
                MILAN.crl(this_update=NOW - 2 * DAY, next_update=NOW - DAY),
            ],
        ),
        "CRL_NOT_YET_VALID",
    ),
    "E15 list that is none": (_with_crl(b"\x30\x00"), "CRL_MALFORMED"),
    "E15 list with a critical extension": (_with_crl(MILAN.crl(critical=True)), "CRL_UNSUPPORTED"),
    "E16 no list": (lambda: _judged(chip(), crls=[]), "CRL_MISSING"),
    "E16 a list of another root": (_with_crl(hierarchy("Genoa").crl()), "CRL_MISSING"),
    "E16 a list in the ASK's name": (_with_crl(MILAN.crl(issuer=MILAN.ask, signer=MILAN.ask)), "CRL_MISSING"),
    "E17 ARK-Milan with another key": (
        lambda: _judged(
            chip(),
            certificates=(
                chip().certificate,
                MILAN.ask.der,
                amd.authority("ARK-Milan", None, now=NOW, serial=0x10000, key=FAKE_KEY).der,
            ),
        ),
        "CHAIN_ROOT_NOT_PINNED",
    ),
    "E18 a VCEK that nobody signed": (
        lambda: _judged(_fake().chip(), MILAN, certificates=(_fake().chip().certificate, MILAN.ask.der, MILAN.ark.der)),
        "CHAIN_SIGNATURE",
    ),
    "E20 candidates do not choose the kind": (
        lambda: _judged(chip(), certificates=(*chip(kind="VLEK").certificates, MILAN.ask.der)),
        "VEK_TYPE_MISMATCH",
    ),
    "no certificate": (lambda: _judged(chip(), certificates=()), "VEK_MISSING"),
    "no ASK": (lambda: _judged(chip(), certificates=(chip().certificate, MILAN.ark.der)), "CHAIN_INCOMPLETE"),
    "no ARK": (lambda: _judged(chip(), certificates=(chip().certificate, MILAN.ask.der)), "CHAIN_INCOMPLETE"),
    "an ASK of another name": (
        lambda: _judged(_with("ask", common="SEV-Rome").chip()),
        "CHAIN_SUBJECT",
    ),
    "the VCEK is damaged": (
        lambda: _judged(chip(), certificates=(chip().certificate[:-1], MILAN.ask.der, MILAN.ark.der)),
        "CERT_MALFORMED",
    ),
    "the VCEK is on another curve": (lambda: _judged(MILAN.chip(curve=ec.SECP256R1())), "VEK_KEY"),
    "too many certificates": (
        lambda: _judged(chip(), certificates=[*chip().certificates, *(bytes([n]) for n in range(30))]),
        "CERT_LIMIT",
    ),
    "P8 no expectation": (lambda: _judged(chip(), report_data=None), "NONCE_REQUIRED"),
    "P8 an empty expectation": (lambda: _judged(chip(), report_data=b""), "NONCE_REQUIRED"),
    "P8 REPORT_DATA of another request": (lambda: _judged(chip(), report_data=bytes(64)), "REPORT_DATA_MISMATCH"),
    "P9 a prefix of REPORT_DATA": (lambda: _judged(chip(), report_data=DATA[:32]), "NONCE_REQUIRED"),
    "P9 a prefix and zeros": (lambda: _judged(chip(), report_data=DATA[:32] + bytes(32)), "REPORT_DATA_MISMATCH"),
    "P9 a byte more": (lambda: _judged(chip(), report_data=DATA + b"\0"), "NONCE_REQUIRED"),
    "P9 the last byte": (lambda: _judged(chip(), report_data=DATA[:63] + b"\0"), "REPORT_DATA_MISMATCH"),
    "a time without a zone": (lambda: _judged(chip(), now=NOW.replace(tzinfo=None)), "NOW_UNZONED"),
    "a mode that is none": (lambda: _judged(chip(), revocation="maybe"), "REVOCATION_MODE"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    judged, check = REFUSED[case]
    with refused(check):
        judged()


# name: (what is judged, the checks that are skipped)
ACCEPTED: dict[str, tuple[Case, set[str]]] = {
    "Milan": (lambda: _judged(chip()), set()),
    "Genoa": (lambda: _judged(chip("Genoa")), set()),
    "Turin": (lambda: _judged(chip("Turin")), set()),
    "Genoa, Bergamo's CPUID": (lambda: _judged(chip("Genoa"), fields={"cpuid": bytes([0x19, 0xA0, 2])}), set()),
    "S2 version 4": (lambda: _judged(chip(), version=4), set()),
    "version 5": (lambda: _judged(chip("Turin"), version=5, fields={"platform_info": 0x65}), set()),
    "version 2 has no CPUID": (lambda: _judged(chip(), version=2), {"PRODUCT_MISMATCH"}),
    "a VLEK hides the chip": (lambda: _judged(chip(kind="VLEK")), {"CHIP_ID_MISMATCH"}),
    "a VLEK with MASK_CHIP_KEY": (lambda: _judged(chip(kind="VLEK"), fields={"key_info": 6}), {"CHIP_ID_MISMATCH"}),
    "E12 HWID as OCTET STRING": (
        lambda: _judged(MILAN.chip(change={f"{amd.ARC}.4": b"\4\x40" + chip().chip_id})),
        set(),
    ),
    "E12 raw HWID that begins like an OCTET STRING": (
        lambda: _judged(MILAN.chip(chip_id=b"\4\x40" + bytes(61) + b"\1")),
        set(),
    ),
    **{f"E7 ucode {spl}, in {1 + (spl > 127)} bytes": (_ucode(spl), set()) for spl in (0, 127, 128, 255)},
    "a CSP_ID of every printable kind": (
        lambda: _judged(MILAN.chip(kind="VLEK", csp_id=" ~" + "x" * 125)),
        {"CHIP_ID_MISMATCH"},
    ),
    "as many certificates as may be": (
        lambda: _judged(chip(), certificates=[*chip().certificates, *(bytes([n]) for n in range(29))]),
        set(),
    ),
    "E15 a list from this second on": (_with_crl(MILAN.crl(this_update=NOW)), set()),
    "E13 both ends of a validity are inside": (lambda: _judged(MILAN.chip(not_before=NOW, not_after=NOW)), set()),
    "E15 another serial revoked": (_with_crl(MILAN.crl([0x10002])), set()),
    "E15 a VCEK's serial says nothing": (lambda: _judged(MILAN.chip(serial=7), crls=[MILAN.crl([7])]), set()),
    "E15 one list over, one current": (
        lambda: _judged(chip(), crls=[MILAN.crl(next_update=NOW - SECOND), MILAN.crl()]),
        set(),
    ),
    "E16 no list, none required": (lambda: _judged(chip(), crls=[], revocation="optional"), {"CERT_REVOKED"}),
    "certificates in any order, with strangers": (
        lambda: _judged(
            chip(),
            certificates=(*chip("Genoa").certificates, b"junk", *reversed(chip().certificates), MILAN.asvk.der),
        ),
        set(),
    ),
    "an attacker's chain beside the genuine one": (
        lambda: _judged(chip(), certificates=(*_fake().chip(2).certificates, *chip().certificates)),
        set(),
    ),
    "an expired VCEK beside a current one of the same key": (
        lambda: _judged(
            chip(),
            certificates=(
                MILAN.chip(key=chip().key, not_after=NOW - SECOND).certificate,
                *chip().certificates,
            ),
        ),
        set(),
    ),
    "a time in another zone": (lambda: _judged(chip(), now=NOW.astimezone(dt.timezone(9 * 60 * SECOND * 60))), set()),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str) -> None:
    judged, skipped = ACCEPTED[case]
    verified: Any = judged()
    assert {f.check for f in verified.findings if f.outcome is Outcome.SKIPPED} == skipped
    assert {f.outcome for f in verified.findings} <= {Outcome.PASSED, Outcome.SKIPPED}
    assert "REPORT_DATA_MISMATCH" in {f.check for f in verified.findings if f.outcome is Outcome.PASSED}
    assert verified.claims.simulated


def test_a_duplicate_is_named() -> None:
    with pytest.raises(AttestError) as caught:
        _duplicated()
    assert caught.value.got == f"{amd.ARC}.3.8 twice"


def test_claims() -> None:
    found = judge(chip("Turin").report(DATA, version=5), chip("Turin").certificates, hierarchy("Turin"))
    snp = snp_of(found)
    assert (found.claims.platform, snp.product, snp.signing_key, snp.csp_id) == ("snp", "Turin", SigningKey.VCEK, "")
    assert snp.reported_tcb.components() == {"fmc": 1, "bl": 1, "tee": 1, "snp": 4, "ucode": 81}
    assert (snp.launch_mit_vector, snp.current_mit_vector) == (0x3F, 0x3F)
    assert snp.platform_id == snp.chip_id == struct.pack(">Q", 1) + bytes(56)


def test_a_vlek_hides_the_platform() -> None:
    first, second = (
        judge(chip(kind="VLEK").report(DATA, report_id=bytes([n]) * 32), chip(kind="VLEK").certificates, MILAN)
        for n in (1, 2)
    )
    assert snp_of(first).csp_id == "CN=cc-us-east-2.example.com"
    assert first.claims.platform_id != second.claims.platform_id


def test_inspection_is_never_bound() -> None:
    evidence, collateral = chip().evidence(DATA), Collateral(crls=(MILAN.crl(),))
    inspected = inspect_without_binding(evidence, collateral, MILAN.anchors, now=NOW, revocation="required")
    last = inspected.findings[-1]
    assert (last.check, last.outcome) == ("REPORT_DATA_MISMATCH", Outcome.SKIPPED)
    assert type(inspected).__name__ == "Inspected"


class TestKept:
    """What was verified before spares signatures, and never changes a verdict."""

    kept: Kept = judge(chip().report(DATA), chip().certificates, MILAN).kept

    def test_it_holds_the_chain_and_the_list(self) -> None:
        assert (len(self.kept.chains), len(self.kept.crls)) == (1, 1)
        again = judge(chip().report(DATA), chip().certificates, MILAN, kept=self.kept)
        assert again.kept.chains[0] is self.kept.chains[0]

    def test_no_certificate_is_read_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("attest.snp.certs.load_certificate", None)
        monkeypatch.setattr("attest.snp.crl.load_revocation_list", None)
        crls = [self.kept.crls[0].der]
        again = judge(chip().report(DATA), chip().certificates, MILAN, crls=crls, kept=self.kept)
        assert again.kept == self.kept

    def test_lists_of_others_are_read_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        crls = [hierarchy("Genoa").crl(), self.kept.crls[0].der, hierarchy("Turin").crl()]
        first = judge(chip().report(DATA), chip().certificates, MILAN, crls=crls)
        assert [each.der for each in first.kept.passed_over] == [crls[0], crls[2]]
        monkeypatch.setattr("attest.snp.crl.load_revocation_list", None)
        again = judge(chip().report(DATA), chip().certificates, MILAN, crls=crls, kept=first.kept)
        assert again.kept == first.kept

    def test_what_was_passed_over_for_another_product_is_read_for_its_own(self) -> None:
        """And what it says is heeded; a list that was merely read is never one that was verified."""
        genoa = hierarchy("Genoa").chip()
        for own, check in ((MILAN.crl([0x10001]), "CERT_REVOKED"), (MILAN.crl(signer=MILAN.ask), "CRL_SIGNATURE")):
            crls = [hierarchy("Genoa").crl(), own]
            kept = judge(genoa.report(DATA), genoa.certificates, genoa.amd, crls=crls).kept
            assert [each.der for each in kept.passed_over] == [own]
            with refused(check):
                judge(chip().report(DATA), chip().certificates, MILAN, crls=crls, kept=kept)
        good = [hierarchy("Genoa").crl(), MILAN.crl()]
        kept = judge(genoa.report(DATA), genoa.certificates, genoa.amd, crls=good).kept
        assert judge(chip().report(DATA), chip().certificates, MILAN, crls=good, kept=kept).kept.crls[0].der == good[1]

    @pytest.mark.parametrize(
        ("changed", "check"),
        [
            ({"now": NOW + 9_001 * DAY}, "CERT_EXPIRED"),
            ({"now": NOW - 31 * DAY}, "CERT_NOT_YET_VALID"),
            ({"now": NOW + 181 * DAY}, "CRL_EXPIRED"),
            ({"crls": []}, "CRL_MISSING"),
            ({"crls": [MILAN.crl([0x10001])]}, "CERT_REVOKED"),
            ({"anchors": BUILT_IN}, "CHAIN_ROOT_NOT_PINNED"),
            ({"anchors": hierarchy("Genoa").anchors}, "CHAIN_ROOT_NOT_PINNED"),
            ({"report_data": bytes(64)}, "REPORT_DATA_MISMATCH"),
        ],
        ids=lambda value: value if isinstance(value, str) else next(iter(value)),
    )
    def test_what_depends_on_the_moment_is_checked_again(self, changed: dict[str, Any], check: str) -> None:
        with refused(check):
            judge(chip().report(DATA), chip().certificates, MILAN, **{"kept": self.kept, **changed})

    @pytest.mark.parametrize("dropped", [0, 1, 2])
    def test_the_certificates_must_come_along_again(self, dropped: int) -> None:
        certificates = [der for number, der in enumerate(chip().certificates) if number != dropped]
        with pytest.raises(AttestError):
            judge(chip().report(DATA), certificates, MILAN, kept=self.kept)

    def test_another_report_is_not_vouched_for(self) -> None:
        with refused("CHIP_ID_MISMATCH"):
            judge(MILAN.chip(2).report(DATA), chip().certificates, MILAN, kept=self.kept)
        with refused("SNP_SIGNATURE"):
            judge(MILAN.chip().report(DATA), chip().certificates, MILAN, kept=self.kept)

    @pytest.mark.parametrize("case", REFUSED)
    def test_every_refusal_is_the_same_with_it(self, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The whole table again, as for a broker that has seen the good chip before."""
        monkeypatch.setattr("tests.attest.snp.test_verify.judge", partial(judge, kept=self.kept))
        judged, check = REFUSED[case]
        with refused(check):
            judged()


def test_a_list_of_another_root_is_not_this_roots_because_it_was_kept() -> None:
    """What was verified under one ARK says nothing under another, byte for byte the same or not."""
    genoa = hierarchy("Genoa")
    kept = judge(chip("Genoa").report(DATA), chip("Genoa").certificates, genoa).kept
    listed = [kept.crls[0].der]
    with refused("CRL_MISSING"):
        judge(chip().report(DATA), chip().certificates, MILAN, crls=listed, kept=kept)


def test_a_list_that_never_says_when_it_is_stale() -> None:
    endless = without_next_update(MILAN.crl(), lambda tbs: MILAN.ark.key.sign(tbs, amd.PSS, SHA384()))
    with refused("CRL_EXPIRED"):
        judge(chip().report(DATA), chip().certificates, MILAN, crls=[endless])
    assert judge(chip().report(DATA), chip().certificates, MILAN, crls=[endless, MILAN.crl()]).claims.snp is not None
