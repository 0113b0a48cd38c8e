"""Each piece of NVIDIA's by itself, before anybody keeps it: wrong in one way, and genuinely signed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest

from attest.gpu.published import check_crl, check_ocsp, check_rim, read_rim_id
from attest.gpu.rim import verify_rim
from tests.attest.gpu.made import NOW, rims, vendor
from tests.attest.refusal import refused
from tests.makers.nvidia import Authority, certify, mint, name, sources

SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
V, STRANGER = vendor(), mint(now=NOW)
DEVICE = V.device()
LEAF, KEY, PROVISIONER, IDENTITY, _ROOT = DEVICE.chain


def _crl(der: bytes, above: tuple[Authority, ...] = (IDENTITY,), title: str = "l2-gh100", **at: dt.datetime) -> object:
    return check_crl(der, [each.der for each in above], title, V.anchors, now=at.get("now", NOW))


def _ocsp(der: bytes, *chain: Authority, role: str = "device", now: dt.datetime = NOW) -> object:
    return check_ocsp(der, [each.der for each in chain or (KEY, PROVISIONER, IDENTITY)], role, V.anchors, now=now)


def _good() -> bytes:
    return V.ocsp(KEY, PROVISIONER)


FAKE = certify(name("NVIDIA GH100 Identity"), STRANGER.root, since=NOW - DAY, extra=sources())
NOT_CA = certify(name("NVIDIA GH100 Identity"), V.root, since=NOW - DAY, ca=False)

WRONG: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "a root list of another root": (lambda: _crl(STRANGER.crl(STRANGER.root), (), "l1-root"), ("CRL_SIGNATURE",)),
    "a root list of the root of manifests": (lambda: _crl(V.crl(V.rim_root), (), "l1-root"), ("CRL_ISSUER",)),
    "a list of manifests by the root of devices": (lambda: _crl(V.crl(V.root), (), "l1-corim"), ("CRL_ISSUER",)),
    "a list of another CA": (lambda: _crl(V.crl(V.identities["GB100"])), ("CRL_ISSUER",)),
    "a list under a CA of another name": (
        lambda: _crl(V.crl(V.identities["GB100"]), (V.identities["GB100"],)),
        ("CRL_ISSUER",),
    ),
    "a list by another key": (lambda: _crl(V.crl(IDENTITY, key=PROVISIONER.key)), ("CRL_SIGNATURE",)),
    "a list of a CA that the root did not sign": (lambda: _crl(V.crl(FAKE), (FAKE,)), ("CHAIN_SIGNATURE",)),
    "a list of what is no CA": (lambda: _crl(V.crl(NOT_CA), (NOT_CA,)), ("CHAIN_ROLE",)),
    "a list under nothing": (lambda: _crl(V.crl(IDENTITY), ()), ("COLLATERAL_CHAIN",)),
    "a list under too much": (lambda: _crl(V.crl(IDENTITY), (IDENTITY,) * 5), ("COLLATERAL_CHAIN",)),
    "a list of no name": (lambda: _crl(V.crl(IDENTITY), title="l9"), ("CRL_ISSUER",)),
    "a response about another": (lambda: _ocsp(V.ocsp(PROVISIONER, IDENTITY)), ("OCSP_MISMATCH",)),
    "a response by another": (
        lambda: _ocsp(V.ocsp(KEY, PROVISIONER, responder=STRANGER.responder(STRANGER.root))),
        ("OCSP_RESPONDER", "OCSP_SIGNATURE"),
    ),
    "a response about a chain that nobody signed": (
        lambda: _ocsp(_good(), KEY, PROVISIONER, FAKE),
        ("CHAIN_SIGNATURE", "CHAIN_NAME"),
    ),
    "a response about a chain out of order": (
        lambda: _ocsp(_good(), PROVISIONER, KEY, IDENTITY),
        ("CHAIN_ROOT_NOT_PINNED", "CHAIN_NAME", "CHAIN_ROLE"),
    ),
    "a response of yesterday": (
        lambda: _ocsp(V.ocsp(KEY, PROVISIONER, since=NOW - 2 * DAY, hours=24)),
        ("STATUS_EXPIRED",),
    ),
    "a response of tomorrow": (lambda: _ocsp(V.ocsp(KEY, PROVISIONER, since=NOW + DAY)), ("STATUS_NOT_YET_VALID",)),
    "a response under the root of manifests": (lambda: _ocsp(_good(), role="rim"), ("CHAIN_ROOT_NOT_PINNED",)),
    "a response under no role": (lambda: _ocsp(_good(), role="cpu"), ("COLLATERAL_CHAIN",)),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_kept(case: str) -> None:
    make, checks = WRONG[case]
    with refused(*checks):
        make()


def test_what_is_kept() -> None:
    for der, above, title in (
        (V.crl(V.root), (), "l1-root"), (V.crl(V.rim_root), (), "l1-corim"), (V.crl(IDENTITY), (IDENTITY,), "l2-gh100"),
    ):  # fmt: skip
        _crl(der, above, title)
    _ocsp(_good())


def test_a_list_holds_from_its_first_to_its_last_second() -> None:
    der = V.crl(V.root, since=NOW - DAY, days=2)
    for now in (NOW - DAY, NOW + DAY - SECOND):
        _crl(der, (), "l1-root", now=now)
    for now, check in ((NOW - DAY - SECOND, "STATUS_NOT_YET_VALID"), (NOW + DAY + SECOND, "STATUS_EXPIRED")):
        with refused(check):
            _crl(der, (), "l1-root", now=now)


def test_a_manifest_is_the_one_that_was_asked_for_and_valid() -> None:
    for data in rims():
        rim = verify_rim(data, V.anchors)
        text = "NV_GPU_DRIVER_{}_{}" if rim.edition == "GPU" and "." in rim.version else ""
        wanted = read_rim_id(text.format(rim.product, rim.version))
        if wanted is None:
            continue
        assert check_rim(data, wanted, V.anchors, now=NOW) == rim
        for other in (
            replace(wanted, version="1.2.3"),
            replace(wanted, product="GB100"),
            replace(wanted, edition="SWITCH"),
        ):
            with refused("RIM_MISMATCH"):
                check_rim(data, other, V.anchors, now=NOW)
        for now, check in (
            (rim.window.not_before - SECOND, "RIM_NOT_YET_VALID"),
            (rim.window.not_after + SECOND, "RIM_EXPIRED"),
        ):
            with refused(check):
                check_rim(data, wanted, V.anchors, now=now)
        with refused("CHAIN_ROOT_NOT_PINNED"):
            check_rim(data, wanted, STRANGER.anchors, now=NOW)
        return
    raise AssertionError("no manifest of a driver")
