"""Each piece of Intel's by itself, before anybody keeps it: wrong in one way, and genuinely signed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from attest.tdx.published import Checked, check_pck_crl, check_qe_identity, check_root_crl, check_tcb_info
from tests.attest.refusal import refused
from tests.attest.tdx.made import NOW, collateral, intel
from tests.makers.endless import without_next_update
from tests.makers.intel import FMSPC, Intel, key

SECOND = dt.timedelta(seconds=1)
V = intel()
SIGNERS, PLATFORM = V.signer.pem + V.root.pem, V.ca("platform").pem + V.root.pem
ROGUE = key("rogue")
ROGUES = V.but("signer", key=ROGUE).signer.pem + V.root.pem


def _tcb(vendor: Intel = V, now: dt.datetime = NOW, chain: bytes = b"", **changed: object) -> Checked:
    body = vendor.collateral(tcb_info=changed).tcb_info
    chain = chain or vendor.signer.pem + vendor.root.pem
    return check_tcb_info(body, chain, V.anchors, tee="TDX", fmspc=FMSPC, now=now)


def _qe(vendor: Intel = V, now: dt.datetime = NOW, chain: bytes = b"", **changed: object) -> Checked:
    body = vendor.collateral(qe_identity=changed).qe_identity
    return check_qe_identity(body, chain or vendor.signer.pem + vendor.root.pem, V.anchors, tee="TDX", now=now)


def _pck(crl: bytes | None = None, vendor: Intel = V, now: dt.datetime = NOW, chain: bytes = b"") -> Checked:
    chain = chain or vendor.ca("platform").pem + vendor.root.pem
    return check_pck_crl(V.crl() if crl is None else crl, chain, V.anchors, ca="platform", now=now)


def _root(crl: bytes | None = None, now: dt.datetime = NOW, chain: bytes = SIGNERS) -> Checked:
    return check_root_crl(V.crl("root") if crl is None else crl, chain, V.anchors, now=now)


def _endless(name: str) -> bytes:
    return without_next_update(V.crl(name), lambda tbs: key(name).sign(tbs, ec.ECDSA(SHA256())))


def _forged(check: Callable[..., Checked], role: str) -> Callable[[], Checked]:
    """A certificate of the right name and role that nobody above it signed."""
    return lambda: check(vendor=V.but(role, key=ROGUE, issuer_key=ROGUE))


WRONG: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "TCB info by nobody": (lambda: _tcb(chain=ROGUES), ("TCBINFO_SIGNATURE",)),
    "TCB info of another family": (lambda: _tcb(fmspc="00806F050000"), ("TCBINFO_MISMATCH",)),
    "TCB info of another TEE": (
        lambda: check_tcb_info(collateral(tee="SGX").tcb_info, SIGNERS, V.anchors, tee="TDX", fmspc=FMSPC, now=NOW),
        ("TCBINFO_MISMATCH",),
    ),
    "TCB info of tomorrow": (lambda: _tcb(issueDate="2026-05-01T12:00:01Z"), ("COLLATERAL_NOT_YET_VALID",)),
    "TCB info of yesterday": (lambda: _tcb(nextUpdate="2026-05-01T11:59:59Z"), ("COLLATERAL_EXPIRED",)),
    "TCB info without its root": (lambda: _tcb(chain=V.signer.pem), ("COLLATERAL_CHAIN",)),
    "TCB info with one certificate more": (lambda: _tcb(chain=SIGNERS + V.root.pem), ("COLLATERAL_CHAIN",)),
    "TCB info under a CA": (lambda: _tcb(chain=PLATFORM), ("COLLATERAL_CHAIN",)),
    "a signer of yesterday": (lambda: _tcb(V.but("signer", not_after=NOW - SECOND)), ("CERT_EXPIRED",)),
    "a signer of tomorrow": (lambda: _qe(V.but("signer", not_before=NOW + SECOND)), ("CERT_NOT_YET_VALID",)),
    "a signer that nobody signed": (_forged(_tcb, "signer"), ("CHAIN_SIGNATURE",)),
    "a signer that is a CA": (lambda: _qe(V.but("signer", ca=True)), ("CERT_NOT_CA",)),
    "QE identity by nobody": (lambda: _qe(chain=ROGUES), ("QEID_SIGNATURE",)),
    "QE identity of another enclave": (
        lambda: check_qe_identity(collateral(tee="SGX").qe_identity, SIGNERS, V.anchors, tee="TDX", now=NOW),
        ("QEID_MISMATCH",),
    ),
    "QE identity of yesterday": (lambda: _qe(nextUpdate="2026-05-01T11:59:59Z"), ("COLLATERAL_EXPIRED",)),
    "a PCK list of the other CA": (lambda: _pck(V.crl("processor")), ("CRL_ISSUER",)),
    "a PCK list by another key": (lambda: _pck(V.crl(signed_by="processor")), ("CRL_SIGNATURE",)),
    "a PCK list under the other CA": (
        lambda: _pck(V.crl("processor"), chain=V.ca("processor").pem + V.root.pem),
        ("COLLATERAL_CHAIN",),
    ),
    "a PCK list of yesterday": (lambda: _pck(V.crl(end=NOW - SECOND)), ("CRL_EXPIRED",)),
    "a PCK list of tomorrow": (lambda: _pck(V.crl(start=NOW + SECOND)), ("CRL_NOT_YET_VALID",)),
    "a PCK list without an end": (lambda: _pck(_endless("platform")), ("CRL_EXPIRED",)),
    "a PCK list for some certificates alone": (lambda: _pck(V.crl(critical=True)), ("CRL_UNSUPPORTED",)),
    "a CA of yesterday": (lambda: _pck(vendor=V.but("platform", not_after=NOW - SECOND)), ("CERT_EXPIRED",)),
    "a CA that is none": (
        lambda: _pck(vendor=V.but("platform", ca=False, path_length=None)),
        ("CERT_NOT_CA",),
    ),
    "a CA that nobody signed": (_forged(_pck, "platform"), ("CHAIN_SIGNATURE", "CRL_SIGNATURE")),
    "a root list by another key": (lambda: _root(V.crl("root", signed_by="platform")), ("CRL_SIGNATURE",)),
    "a root list of a CA": (lambda: _root(V.crl()), ("CRL_ISSUER",)),
    "a root list without an end": (lambda: _root(_endless("root")), ("CRL_EXPIRED",)),
    "a root list under no chain": (lambda: _root(chain=b""), ("COLLATERAL_CHAIN",)),
    "a root list under a CA alone": (lambda: _root(V.crl(), chain=V.ca("platform").pem), ("PCK_ROOT_NOT_PINNED",)),
    "a root list under a root of another key": (
        lambda: _root(V.crl("root"), chain=V.but("root", key=ROGUE, issuer_key=ROGUE).root.pem),
        ("PCK_ROOT_NOT_PINNED",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_kept(case: str) -> None:
    make, checks = WRONG[case]
    with refused(*checks):
        make()


# name: (the piece that is checked at a time, when it begins and ends)
WINDOWS: dict[str, tuple[Callable[[dt.datetime], Checked], tuple[str, str]]] = {
    "TCB info": (
        lambda now: _tcb(now=now, issueDate="2026-04-30T12:00:00Z", nextUpdate="2026-05-30T12:00:00Z"),
        ("COLLATERAL_NOT_YET_VALID", "COLLATERAL_EXPIRED"),
    ),
    "QE identity": (
        lambda now: _qe(now=now, issueDate="2026-04-30T12:00:00Z", nextUpdate="2026-05-30T12:00:00Z"),
        ("COLLATERAL_NOT_YET_VALID", "COLLATERAL_EXPIRED"),
    ),
    "PCK list": (
        lambda now: _pck(V.crl(start=NOW - 86_400 * SECOND, end=NOW + 29 * 86_400 * SECOND), now=now),
        ("CRL_NOT_YET_VALID", "CRL_EXPIRED"),
    ),
    "root list": (
        lambda now: _root(V.crl("root", start=NOW - 86_400 * SECOND, end=NOW + 29 * 86_400 * SECOND), now=now),
        ("CRL_NOT_YET_VALID", "CRL_EXPIRED"),
    ),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_it_holds_from_its_first_to_its_last_second(case: str) -> None:
    check, (early, late) = WINDOWS[case]
    start, end = NOW - 86_400 * SECOND, NOW + 29 * 86_400 * SECOND
    assert check(start).expires == check(end).expires == end
    with refused(early):
        check(start - SECOND)
    with refused(late):
        check(end + SECOND)


def test_a_certificate_may_end_first() -> None:
    end = NOW + 3_600 * SECOND
    assert _tcb(V.but("signer", not_after=end)).expires == end
    assert _pck(vendor=V.but("platform", not_after=end)).expires == end
    assert (_tcb().evaluation, _qe().evaluation, _pck().evaluation) == (20, 20, 0)
