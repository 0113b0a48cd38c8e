"""From bytes to statuses: CRLs and OCSP responses, each checked against the issuers of the chain at hand.

Sources: RFC 5280 section 5, RFC 6960 sections 4.1.1 and 4.2. An OCSP response is signed by the issuer itself or by a
certificate that this issuer gave the purpose id-kp-OCSPSigning; which of the certificates in the response that is says
the responder's identifier, never their order. Nonces are not asked for: a response is as fresh as its window says,
which is what lets a site without a network bring its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, SignatureAlgorithmOID

from attest.ecdsa import verify_p384
from attest.errors import Malformed, NotAuthentic
from attest.gpu.links import Link
from attest.gpu.status import State, VerifiedStatus
from attest.x509 import Certificate, load_certificate, load_revocation_list

__all__ = ["key_digest", "read_crl", "read_statuses"]

_KEY_OFFSET = 23  # of the public point in the DER SubjectPublicKeyInfo of a P-384 key
_MAX_OCSP = 16_384
_HASHES: Mapping[str, Callable[[bytes], bytes]] = {
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),  # an identifier, RFC 6960 section 4.3
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha384": lambda data: hashlib.sha384(data).digest(),
}
_FOREIGN = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


def read_statuses(
    crls: Sequence[bytes], responses: Sequence[bytes], links: Sequence[Link], known: Mapping[bytes, VerifiedStatus]
) -> tuple[VerifiedStatus, ...]:
    """Every CRL (DER) and OCSP response (DER) as far as it speaks for `links`; `known` are not checked again.

    Raises Malformed CRL_MALFORMED, CRL_UNSUPPORTED or OCSP_MALFORMED; NotAuthentic CRL_SIGNATURE, OCSP_SIGNATURE or
    OCSP_RESPONDER for one in the name of an issuer that did not make it. Those of others come back without an issuer.
    """
    read: list[VerifiedStatus] = []
    for number, der in enumerate(crls):
        found = known.get(der)
        if found is None or _is_news(found, links):
            found = read_crl(der, [(link.issuer, link.issuer_spki) for link in links], f"crls[{number}]")
        read.append(found)
    for number, der in enumerate(responses):
        found = known.get(der)
        read.append(_ocsp(der, links, f"ocsp[{number}]") if found is None or _is_news(found, links) else found)
    return tuple(read)


def _is_news(status: VerifiedStatus, links: Sequence[Link]) -> bool:
    """Whether a source that said nothing about other chains might speak for one of these links."""
    if status.issuer_spki:
        return False
    if status.complete:
        return any(link.issuer == status.issuer for link in links)
    return any(link.serial in status.states for link in links)


def read_crl(der: bytes, issuers: Iterable[tuple[bytes, bytes]], path: str) -> VerifiedStatus:
    """One list, by whichever of `issuers` (name, DER SubjectPublicKeyInfo) it names; raises as `read_statuses`."""
    crl = load_revocation_list(der, path=path)
    spki = next((spki for name, spki in issuers if name == crl.issuer), b"")
    states: dict[int, State] = {}
    if spki:
        if crl.critical:
            raise Malformed("CRL_UNSUPPORTED", path, expected="no critical extension", got=", ".join(crl.critical))
        _check_signature(crl.handle, crl.handle.tbs_certlist_bytes, spki, "CRL_SIGNATURE", path)
        states = {entry.serial_number: _crl_state(entry, path) for entry in crl.handle}
    return VerifiedStatus(
        der=der,
        source="a CRL",
        issuer=crl.issuer,
        issuer_spki=spki,
        since=crl.this_update,
        until=crl.next_update,
        states=states,
        complete=True,
    )


def _crl_state(entry: x509.RevokedCertificate, path: str) -> State:
    reason: x509.ReasonFlags | None = None
    try:
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CRLReason):
                reason = extension.value.reason
            elif extension.critical or isinstance(extension.value, x509.CertificateIssuer):
                got = extension.oid.dotted_string
                raise Malformed("CRL_UNSUPPORTED", path, expected="entries of its issuer's own", got=got)
    except _FOREIGN as error:
        raise Malformed("CRL_MALFORMED", path, expected="an X.509 revocation list", got=str(error)) from error
    return State.ON_HOLD if reason is x509.ReasonFlags.certificate_hold else State.REVOKED


def _ocsp(der: bytes, links: Sequence[Link], path: str) -> VerifiedStatus:
    if len(der) > _MAX_OCSP:
        raise _malformed(path, f"at most {_MAX_OCSP} bytes", f"{len(der)} bytes")
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise _malformed(path, "a successful response", response.response_status.name.lower())
        singles = list(response.responses)
        if len(singles) != 1:
            raise _malformed(path, "a response for one certificate", len(singles))
        link = next((link for link in links if _is_about(singles[0], link)), None)
        window = (singles[0].this_update_utc, singles[0].next_update_utc)
        if link is not None:
            window = _narrowed(window, _check_responder(response, link, path))
        return _ocsp_status(der, singles[0], link, window)
    except _FOREIGN as error:
        raise _malformed(path, "an OCSP response", str(error)) from error


def _ocsp_status(
    der: bytes, single: ocsp.OCSPSingleResponse, link: Link | None, window: tuple[datetime, datetime | None]
) -> VerifiedStatus:
    state = {ocsp.OCSPCertStatus.GOOD: State.GOOD, ocsp.OCSPCertStatus.UNKNOWN: State.UNKNOWN}.get(
        single.certificate_status, State.REVOKED
    )
    if state is State.REVOKED and single.revocation_reason is x509.ReasonFlags.certificate_hold:
        state = State.ON_HOLD
    return VerifiedStatus(
        der=der,
        source="an OCSP response",
        issuer=link.issuer if link else b"",
        issuer_spki=link.issuer_spki if link else b"",
        since=window[0],
        until=window[1],
        states={single.serial_number: state},
        complete=False,
    )


def _is_about(single: ocsp.OCSPSingleResponse, link: Link) -> bool:
    digest = _HASHES.get(single.hash_algorithm.name)
    return (
        digest is not None
        and single.serial_number == link.serial
        and single.issuer_name_hash == digest(link.issuer)
        and single.issuer_key_hash == digest(link.issuer_spki[_KEY_OFFSET:])
    )


def key_digest(name: str, data: bytes, *, key: bool = False) -> bytes:
    """The digest of an issuer's name, or of the point in its SubjectPublicKeyInfo, as a CertID has it."""
    return _HASHES[name](data[_KEY_OFFSET:] if key else data)


def _check_responder(response: ocsp.OCSPResponse, link: Link, path: str) -> Certificate | None:
    """The delegate that signed, or None if the issuer did."""
    key = hashlib.sha1(link.issuer_spki[_KEY_OFFSET:], usedforsecurity=False).digest()
    name = response.responder_name.public_bytes() if response.responder_name is not None else None
    if response.responder_key_hash == key or name == link.issuer:
        _check_signature(response, response.tbs_response_bytes, link.issuer_spki, "OCSP_SIGNATURE", path)
        return None
    for handle in response.certificates:
        delegate = load_certificate(handle.public_bytes(Encoding.DER), path=f"{path}.responder")
        point = hashlib.sha1(delegate.spki[_KEY_OFFSET:], usedforsecurity=False).digest()
        if response.responder_key_hash == point or name == delegate.subject:
            _check_delegate(delegate, link, f"{path}.responder")
            _check_signature(response, response.tbs_response_bytes, delegate.spki, "OCSP_SIGNATURE", path)
            return delegate
    expected = "the issuer, or a responder whose certificate is there"
    raise NotAuthentic("OCSP_RESPONDER", path, expected=expected, got=f"{len(response.certificates)} others")


def _check_delegate(delegate: Certificate, link: Link, path: str) -> None:
    """RFC 6960 section 4.2.2.2: issued by the CA in question itself, for this purpose."""
    try:
        usage = delegate.handle.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE).value
        purposes = tuple(usage) if isinstance(usage, x509.ExtendedKeyUsage) else ()
    except x509.ExtensionNotFound:
        purposes = ()
    critical = set(delegate.critical) - {ExtensionOID.EXTENDED_KEY_USAGE.dotted_string}
    if delegate.issuer != link.issuer or ExtendedKeyUsageOID.OCSP_SIGNING not in purposes or critical:
        expected = "a certificate of the issuer's for OCSP signing"
        raise NotAuthentic("OCSP_RESPONDER", path, expected=expected, got=delegate.common_name or "no name")
    tbs = delegate.handle.tbs_certificate_bytes
    _check_signature(delegate.handle, tbs, link.issuer_spki, "OCSP_RESPONDER", path)


def _narrowed(
    window: tuple[datetime, datetime | None], delegate: Certificate | None
) -> tuple[datetime, datetime | None]:
    """A response is worth nothing while its signer's certificate is not valid."""
    since, until = window
    if delegate is None:
        return window
    return max(since, delegate.not_before), None if until is None else min(until, delegate.not_after)


def _check_signature(
    signed: x509.Certificate | x509.CertificateRevocationList | ocsp.OCSPResponse,
    message: bytes,
    spki: bytes,
    check: str,
    path: str,
) -> None:
    if signed.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise NotAuthentic(check, path, expected="ecdsa-with-SHA384", got="another algorithm")
    try:
        r, s = decode_dss_signature(signed.signature)
    except ValueError as error:
        raise NotAuthentic(check, path, expected="an ECDSA signature", got="no such") from error
    verify_p384(spki, message, r, s, check=check, path=path)


def _malformed(path: str, expected: str, got: object) -> Malformed:
    return Malformed("OCSP_MALFORMED", path, expected=expected, got=got)
