"""Revocation: CRLs and OCSP responses, good, revoked, on hold, unknown, stale, and forged in one way each."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.x509 import ocsp

from attest.gpu.appraise import appraise_device
from attest.gpu.profile import GpuProfile
from tests.attest.gpu.made import NONCE, NOW, collateral, judge, kept_of, vendor
from tests.attest.refusal import refused
from tests.makers.nvidia import Authority, mint

_HOLD, _REVOKED = x509.ReasonFlags.certificate_hold, ocsp.OCSPCertStatus.REVOKED
_GONE = x509.ReasonFlags.key_compromise
_HOUR = dt.timedelta(hours=1)


def _provisioner() -> Authority:
    return vendor().provisioners["GH100"]


def _identity() -> Authority:
    return vendor().identities["GH100"]


def _judge(*crls: bytes, responses: tuple[bytes, ...] = (), required: bool = True, now: dt.datetime = NOW) -> object:
    offered = collateral(rims_=(), crls=crls, ocsp=responses)
    return judge(vendor().device().evidence(NONCE), offered, now=now, required=required)


def _good() -> tuple[bytes, ...]:
    return vendor().crl(vendor().root), vendor().crl(_identity())


def test_lists_of_both_issuers_are_enough_and_one_is_not() -> None:
    root, identity = _good()
    _judge(root, identity)
    for crls in ((), (root,), (identity,)):
        with refused("REVOCATION_MISSING"):
            _judge(*crls)


def test_responses_are_enough() -> None:
    v = vendor()
    _judge(responses=(v.ocsp(_identity(), v.root), v.ocsp(_provisioner(), _identity())))
    _judge(v.crl(v.root), responses=(v.ocsp(_provisioner(), _identity()),))


def test_without_any_it_is_skipped_and_the_profile_decides() -> None:
    authentic = judge(vendor().device().evidence(NONCE), collateral(crls=()), required=False)
    assert authentic.claims.standing.unchecked == ("provisioner", "identity_ca")
    for lifted, outcome in ((False, "failed"), (True, "skipped")):
        profile = GpuProfile(count=1, allow_unchecked_revocation=lifted)
        (finding,) = [f for f in appraise_device(0, authentic.claims, profile) if f.check == "DEVICE_REVOCATION"]
        assert finding.outcome.value == outcome


def test_blackwell_identity_keys_ask_for_a_response_of_their_own() -> None:
    v = vendor()
    device = v.device("GB100")
    with refused("REVOCATION_MISSING"):
        judge(device.evidence(NONCE), collateral(rims_=()))
    response = v.ocsp(device.chain[1], device.chain[2], _REVOKED, _GONE)
    with refused("CERT_REVOKED"):
        judge(device.evidence(NONCE), collateral(rims_=(), ocsp=[response]))


@pytest.mark.parametrize("required", [True, False])
def test_revoked(required: bool) -> None:
    v = vendor()
    for serials, issuer in ((_identity(), v.root), (_provisioner(), _identity())):
        listed = v.crl(issuer, {serials.certificate.serial_number: _GONE})
        with refused("CERT_REVOKED"):
            _judge(listed, *_good(), required=required)
        with refused("CERT_REVOKED"):
            _judge(*_good(), responses=(v.ocsp(serials, issuer, _REVOKED, _GONE),), required=required)


def test_a_revocation_outlives_its_list() -> None:
    v = vendor()
    old = v.crl(_identity(), {_provisioner().certificate.serial_number: None}, since=NOW - dt.timedelta(days=90))
    with refused("CERT_REVOKED"):
        _judge(*_good(), old)


def test_hold_is_a_state_of_its_own_and_the_newest_word_counts() -> None:
    v = vendor()
    serial = _provisioner().certificate.serial_number
    held = v.crl(_identity(), {serial: _HOLD}, since=NOW - 5 * _HOUR)
    with refused("CERT_ON_HOLD"):
        _judge(v.crl(v.root), held)
    with refused("CERT_ON_HOLD"):
        _judge(v.crl(v.root), responses=(v.ocsp(_provisioner(), _identity(), _REVOKED, _HOLD),))
    _judge(v.crl(v.root), held, v.crl(_identity(), since=NOW - _HOUR))  # released since
    with refused("CERT_ON_HOLD"):
        _judge(v.crl(v.root), held, v.crl(_identity(), since=NOW - 9 * _HOUR))
    with refused("CERT_ON_HOLD"):  # two words of one time: the worse
        _judge(v.crl(v.root), v.crl(_identity(), since=NOW - 5 * _HOUR), held)


def test_unknown_to_its_issuer() -> None:
    v = vendor()
    with refused("CERT_STATUS_UNKNOWN"):
        _judge(v.crl(v.root), responses=(v.ocsp(_provisioner(), _identity(), ocsp.OCSPCertStatus.UNKNOWN),))


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("since", "check"),
    [(NOW - dt.timedelta(days=61), "STATUS_EXPIRED"), (NOW + _HOUR, "STATUS_NOT_YET_VALID")],
)
def test_stale(since: dt.datetime, check: str, required: bool) -> None:
    v = vendor()
    with refused(check):
        _judge(v.crl(v.root), v.crl(_identity(), since=since), required=required)
    with refused(check):
        _judge(v.crl(v.root), responses=(v.ocsp(_provisioner(), _identity(), since=since),), required=required)
    _judge(v.crl(v.root), v.crl(_identity(), since=since), v.crl(_identity()))


def test_the_end_of_a_window_is_outside() -> None:
    v = vendor()
    last = v.crl(_identity(), since=NOW - _HOUR, days=1 / 24)
    with refused("STATUS_EXPIRED"):
        _judge(v.crl(v.root), last)
    _judge(v.crl(v.root), last, now=NOW - dt.timedelta(seconds=1))


def test_a_response_that_never_ends_is_always_stale() -> None:
    v = vendor()
    with refused("STATUS_EXPIRED"):
        _judge(v.crl(v.root), responses=(v.ocsp(_provisioner(), _identity(), hours=None),))


def test_a_list_that_another_key_signed() -> None:
    v = vendor()
    with refused("CRL_SIGNATURE"):
        _judge(v.crl(v.root), v.crl(_identity(), key=v.root.key))


def test_lists_of_others_say_nothing() -> None:
    v = vendor()
    with refused("REVOCATION_MISSING"):
        _judge(v.crl(v.root), v.crl(v.identities["GB100"]))


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"no list" * 20], ids=len)
def test_bytes_that_are_neither(data: bytes) -> None:
    with refused("CRL_MALFORMED"):
        _judge(*_good(), data)
    with refused("OCSP_MALFORMED"):
        _judge(*_good(), responses=(data,))


def test_a_list_that_speaks_of_some_only() -> None:
    v = vendor()
    extension = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
    with refused("CRL_UNSUPPORTED"):
        _judge(v.crl(v.root), v.crl(_identity(), extra=[(extension, True)]))


def test_delegated_responders() -> None:
    v = vendor()
    good, no_purpose = v.responder(_identity()), v.responder(_identity(), purpose=False)
    elsewhere, gone = v.responder(v.root), v.responder(_identity(), days=0.5)
    crl = v.crl(v.root)
    _judge(crl, responses=(v.ocsp(_provisioner(), _identity(), responder=good),))
    _judge(crl, responses=(v.ocsp(_provisioner(), _identity(), responder=good, attached=(elsewhere, good)),))
    for responder, check in ((no_purpose, "OCSP_RESPONDER"), (elsewhere, "OCSP_RESPONDER"), (gone, "STATUS_EXPIRED")):
        with refused(check):
            _judge(crl, responses=(v.ocsp(_provisioner(), _identity(), responder=responder),))
    with refused("OCSP_RESPONDER"):
        _judge(crl, responses=(v.ocsp(_provisioner(), _identity(), responder=good, attached=(elsewhere,)),))
    for signer in (good, None):
        response = v.ocsp(_provisioner(), _identity(), responder=signer)
        later = response.replace(b"20260531230000Z", b"20260531235959Z")  # thisUpdate, after it was signed
        assert later != response
        with refused("OCSP_SIGNATURE"):
            _judge(crl, responses=(later,))


def test_responses_about_others_say_nothing() -> None:
    v, stranger = vendor(), mint(now=NOW)
    response = stranger.ocsp(stranger.provisioners["GH100"], stranger.identities["GH100"])
    with refused("REVOCATION_MISSING"):
        _judge(v.crl(v.root), responses=(response,))


@pytest.mark.parametrize("algorithm", [SHA256(), SHA384()], ids=lambda a: a.name)
def test_identifiers_of_other_digests(algorithm: SHA256 | SHA384) -> None:
    v = vendor()
    _judge(v.crl(v.root), responses=(v.ocsp(_provisioner(), _identity(), algorithm=algorithm),))


def test_what_was_kept_is_asked_again_at_every_use() -> None:
    v = vendor()
    device = v.device()
    offered = collateral(rims_=(), crls=(v.crl(v.root), v.crl(_identity(), days=2)))
    kept = kept_of(judge(device.evidence(NONCE), offered))
    judge(device.evidence(NONCE), offered, kept=kept)
    with refused("STATUS_EXPIRED"):
        judge(device.evidence(NONCE), offered, kept=kept, now=NOW + dt.timedelta(days=3))
    with refused("REVOCATION_MISSING"):  # what is kept is not what is offered
        judge(device.evidence(NONCE), collateral(rims_=(), crls=()), kept=kept)


def test_a_kept_response_about_another_device_is_read_again_for_its_own() -> None:
    v = vendor()
    one, two = v.device("GB100"), v.device("GB100")
    responses = [v.ocsp(device.chain[1], device.chain[2]) for device in (one, two)]
    offered = collateral(rims_=(), ocsp=responses)
    kept = kept_of(judge(one.evidence(NONCE), offered))
    assert judge(two.evidence(NONCE), offered, kept=kept).claims.pdi == two.pdi
