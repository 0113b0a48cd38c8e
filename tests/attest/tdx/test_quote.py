"""Rows T1 to T10 of a quote's own: every place that can be wrong, genuinely signed, with the check that says so."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import AttestError
from attest.tdx.quote import MAX_QUOTE, parse
from tests.attest.contract import EvidenceContract
from tests.attest.refusal import refused
from tests.attest.tdx.made import DATA, collateral, intel, judge, platform, td_of
from tests.makers.intel import key
from tests.makers.quote import SGX, Form, point

V3, V4, V5 = Form(version=3, tee_type=SGX), Form(version=4), Form(version=5)
GOOD = platform().quote(DATA)
SIGNED = 48 + 584


class TestContract(EvidenceContract):
    """A quote of version 4; no bit of the whole of it may change, and zeros may follow."""

    padding = True

    def good(self) -> bytes:
        return GOOD

    def judge(self, data: bytes) -> object:
        return judge(data)


class TestContract15(TestContract):
    """A quote of version 5 about a TD of 1.5."""

    def good(self) -> bytes:
        return _GOOD_15


_GOOD_15 = platform().quote(DATA, report="1.5")

# name: (report's form, quote's form, the check that refuses)
FORMS: dict[str, tuple[str, Form, str]] = {
    "T2 version 2": ("1.0", replace(V4, version=2), "QUOTE_VERSION"),
    "T2 version 6": ("1.0", replace(V4, version=6), "QUOTE_VERSION"),
    "T2 P-384 attestation key": ("1.0", replace(V4, key_type=3), "ATT_KEY_TYPE"),
    "T2 EPID": ("1.0", replace(V4, key_type=0), "ATT_KEY_TYPE"),
    "T2 another TEE": ("1.0", replace(V4, tee_type=0x82), "TEE_TYPE"),
    "T2 a TD in version 3": ("1.0", replace(V4, version=3), "TEE_TYPE"),
    "T2 another vendor": ("1.0", replace(V4, vendor=bytes(16)), "QE_VENDOR"),
    "reserved bytes of the header": ("1.0", replace(V4, svns=b"\0\0\0\1"), "QUOTE_RESERVED"),
    "T3 body type 0": ("1.5", replace(V5, descriptor=struct.pack("<HI", 0, 648)), "QUOTE_BODY"),
    "T3 body type 2 with the size of 3": ("1.5", replace(V5, descriptor=struct.pack("<HI", 2, 648)), "QUOTE_BODY"),
    "T3 body type 3 with the size of 2": ("1.5", replace(V5, descriptor=struct.pack("<HI", 3, 584)), "QUOTE_BODY"),
    "T3 an enclave as a TD": ("1.5", replace(V5, descriptor=struct.pack("<HI", 1, 384)), "QUOTE_BODY"),
    "T4 outer type 5": ("1.0", replace(V4, outer_type=5), "QUOTE_CERT_DATA"),
    "T4 outer type 0x0106": ("1.0", replace(V4, outer_type=0x0106), "QUOTE_CERT_DATA"),
    "T4 slack outside": ("1.0", replace(V4, outer_slack=b"\0"), "QUOTE_CERT_DATA"),
    "T4 slack inside": ("1.0", replace(V4, inner_slack=b"\0"), "QUOTE_CERT_DATA"),
    "T4 inner type 6": ("1.0", replace(V4, certification=(6, b"x")), "QUOTE_CERT_DATA"),
    "T4 inner type 7": ("1.0", replace(V4, certification=(7, b"x")), "QUOTE_CERT_DATA"),
    "T5 something follows": ("1.0", replace(V4, tail=bytes(40) + b"\1"), "QUOTE_TRAILING"),
    "T6 type 1 without a chain": ("1.0", replace(V4, certification=(1, bytes(36))), "PCK_CHAIN_MISSING"),
    "T6 type 2 without a chain": ("1.0", replace(V4, certification=(2, bytes(276))), "PCK_CHAIN_MISSING"),
    "T6 type 3 without a chain": ("1.0", replace(V4, certification=(3, bytes(404))), "PCK_CHAIN_MISSING"),
    "T6 type 3 of the size of 2": ("1.0", replace(V4, certification=(3, bytes(276))), "QUOTE_CERT_DATA"),
    "T6 type 4 without a chain": ("1.0", replace(V4, certification=(4, platform().pck.pem)), "PCK_CHAIN_MISSING"),
    "type 4 with two certificates": ("1.0", replace(V4, certification=(4, platform().pck.pem * 2)), "QUOTE_CERT_DATA"),
    "T9 the key alone": (
        "1.0",
        replace(V4, qe_report_data=hashlib.sha256(point(key("attestation"))).digest() + bytes(32)),
        "QE_BINDING",
    ),
    "T9 the second half": (
        "1.0",
        replace(
            V4,
            qe_report_data=hashlib.sha256(point(key("attestation")) + bytes(range(32))).digest() + bytes(31) + b"\1",
        ),
        "QE_BINDING",
    ),
    "T9 nothing": ("1.0", replace(V4, qe_report_data=bytes(64)), "QE_BINDING"),
    "T8 a key that is no point": ("1.0", replace(V4, attestation_point=bytes(64)), "QUOTE_SIGNATURE"),
    "T8 another key": ("1.0", replace(V4, attestation_point=point(key("other"))), "QUOTE_SIGNATURE"),
    "reserved bytes of the enclave's report": ("1.0", replace(V4, qe_fields={"reserved_96": 1}), "QUOTE_RESERVED"),
}


@pytest.mark.parametrize("case", FORMS)
def test_what_is_wrong_with_a_quote(case: str) -> None:
    report, form, check = FORMS[case]
    with refused(check):
        judge(platform().quote(DATA, report=report, form=form))


# name: a quote that is fine
FINE: dict[str, Callable[[], bytes]] = {
    "1.0": lambda: platform().quote(DATA),
    "1.0 in version 5": lambda: platform().quote(DATA, form=V5),
    "1.5": lambda: platform().quote(DATA, report="1.5"),
    "1.5 extended": lambda: platform().quote(DATA, report="1.5 extended"),
    "T7 no authentication data": lambda: platform().quote(DATA, form=replace(V4, qe_auth=b"")),
    "T7 much of it": lambda: platform().quote(DATA, form=replace(V4, qe_auth=b"\7" * 9_000)),
    "T5 zeros follow": lambda: platform().quote(DATA, form=replace(V4, tail=bytes(3_000))),
    "a chain without a zero byte": lambda: platform().quote(
        DATA, form=replace(V4, certification=(5, platform().chain))
    ),
    "a chain with CR LF": lambda: platform().quote(
        DATA, form=replace(V4, certification=(5, platform().chain.replace(b"\n", b"\r\n")))
    ),
    "a chain without a last line": lambda: platform().quote(
        DATA, form=replace(V4, certification=(5, platform().chain.rstrip()))
    ),
}


@pytest.mark.parametrize("case", FINE)
def test_what_is_fine(case: str) -> None:
    claims = td_of(judge(FINE[case]()))
    assert claims.simulated
    assert (claims.tee_tcb_svn2 is None) == case.startswith(("1.0", "T", "a"))


def _named(kind: int, data: bytes, **changed: Any) -> bytes:
    return platform().quote(DATA, form=replace(V4, certification=(kind, data)), **changed)


def test_t6_a_chain_that_is_handed_over() -> None:
    given = replace(collateral(), pck_certificate_chain=platform().chain.rstrip(b"\0"))
    tail = bytes(16) + struct.pack("<H", 13) + bytes(2)
    pck = platform().pck.sgx
    assert pck is not None
    for kind, data in (
        (1, pck.ppid + tail), (2, bytes(256) + tail), (3, bytes(384) + tail), (4, platform().pck.pem),
    ):  # fmt: skip
        assert judge(_named(kind, data), given).claims.platform_id == pck.ppid
    with refused("PCK_CHAIN"):
        judge(_named(1, bytes(16) + tail), given)
    with refused("PCK_CHAIN"):
        judge(_named(3, bytes(384) + tail[:-2] + b"\1\0"), given)
    with refused("PCK_CHAIN"):
        judge(_named(1, pck.ppid + tail[:-2] + b"\1\0"), given)
    other = replace(given, pck_certificate_chain=intel().platform(number=2).chain)
    with refused("PCK_CHAIN_MISSING"):
        judge(_named(4, platform().pck.pem), other)
    with refused("QE_REPORT_SIGNATURE"):
        judge(platform().quote(DATA, form=replace(V4, certification=(5, _another_key()))), given)


def test_t6_type_1_may_leave_out_pceid_and_no_other_type_may() -> None:
    given = replace(collateral(), pck_certificate_chain=platform().chain.rstrip(b"\0"))
    svns = bytes(16) + struct.pack("<H", 13)
    pck = platform().pck.sgx
    assert pck is not None
    assert judge(_named(1, pck.ppid + svns), given).claims.platform_id == pck.ppid
    with refused("PCK_CHAIN"):
        judge(_named(1, bytes(16) + svns), given)
    for kind, data in (
        (1, pck.ppid + svns[:-1]), (1, pck.ppid + svns + b"\0"), (1, pck.ppid + svns + bytes(3)),
        (2, bytes(256) + svns), (3, bytes(384) + svns),
    ):  # fmt: skip
        with refused("QUOTE_CERT_DATA"):
            judge(_named(kind, data), given)


def _another_key() -> bytes:
    """A chain of the same platform whose PCK did not sign the enclave's report."""
    made = intel().platform()
    return replace(made, pck=replace(made.pck, key=key("other"))).chain


def test_t8_a_quote_signed_by_another_key() -> None:
    with refused("QUOTE_SIGNATURE"):
        judge(platform().quote(DATA, signer=key("other")))


def test_t10_an_enclave_report_signed_by_another_key() -> None:
    with refused("QE_REPORT_SIGNATURE"):
        judge(replace(platform(), pck=replace(platform().pck, key=key("other"))).quote(
            DATA, form=replace(V4, certification=(5, platform().chain))
        ))  # fmt: skip


def test_t1_only_attest_errors_whatever_the_length() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(AttestError):
            parse(GOOD[:length])
    with refused("QUOTE_LENGTH"):
        parse(GOOD + bytes(MAX_QUOTE))
    with refused("QUOTE_TRUNCATED"):
        parse(GOOD[: SIGNED + 2])


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x80000000, 0])
def test_lengths_that_lie(size: int) -> None:
    changed = bytearray(GOOD)
    changed[SIGNED : SIGNED + 4] = struct.pack("<I", size)
    with refused("QUOTE_TRUNCATED", "QUOTE_CERT_DATA"):
        judge(bytes(changed))


def test_t41_fields_are_where_intel_puts_them() -> None:
    fields: dict[str, Any] = {
        "mr_td": b"\1" * 48, "mr_config_id": b"\2" * 48, "mr_owner": b"\3" * 48, "mr_owner_config": b"\4" * 48,
        "rtmr0": b"\5" * 48, "rtmr1": b"\6" * 48, "rtmr2": b"\7" * 48, "rtmr3": b"\x08" * 48, "mr_seam": b"\x09" * 48,
    }  # fmt: skip
    claims = td_of(judge(platform().quote(DATA, report="1.5", mr_servicetd=b"\x0a" * 48, **fields)))
    for name in ("mr_td", "mr_config_id", "mr_owner", "mr_owner_config", "mr_seam"):
        assert getattr(claims, name) == fields[name]
    assert claims.rtmrs == tuple(fields[f"rtmr{n}"] for n in range(4))
    assert (claims.mr_servicetd, claims.report_data) == (b"\x0a" * 48, DATA)
    assert (claims.measurement, claims.host_data) == (fields["mr_td"], fields["mr_config_id"])


def test_an_enclave_is_no_td() -> None:
    quote = platform().quote(DATA, tee="SGX", form=V3)
    with refused("TEE_TYPE"):
        judge(quote, collateral(tee="SGX"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2_000), st.integers(0, len(GOOD)))
def test_any_bytes_are_a_quote_or_malformed(noise: bytes, at: int) -> None:
    for data in (noise, GOOD[:at] + noise, GOOD[:at] + noise + GOOD[at + len(noise) :]):
        try:
            assert parse(data).signed == data[: len(parse(data).signed)]
        except AttestError:
            continue  # any other exception fails the test
