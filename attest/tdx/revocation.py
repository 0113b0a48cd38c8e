"""Is a certificate on the way to this quote revoked? Lists are required, unless the caller says otherwise.

Source: Intel "SGX PCK Certificate and CRL Profile Specification"; RFC 5280 section 6.3. PCK certificates are revoked by
their own CA, that CA and the signers of documents by the root. A list of the other CA says nothing about this platform.
"""

from __future__ import annotations

from attest.errors import NotAuthentic
from attest.finding import Finding, Outcome
from attest.path import Link
from attest.tdx.chain import VerifiedChain
from attest.tdx.collateral import Revocations, VerifiedCollateral

__all__ = ["check_not_revoked"]


def check_not_revoked(chain: VerifiedChain, collateral: VerifiedCollateral, *, required: bool) -> tuple[Finding, ...]:
    """One finding for each list: passed, or skipped if there is none and none is required.

    Raises NotAuthentic CRL_MISSING, CRL_ISSUER, CERT_REVOKED.
    """
    leaf, *issuers = chain.links
    if collateral.root.spki_sha256 != chain.root.spki_sha256:
        expected, got = chain.root.spki_sha256, collateral.root.spki_sha256
        raise NotAuthentic("CRL_ISSUER", "root_ca_crl", expected=expected, got=got)
    own = collateral.pck_crl
    if own is not None and (own.issuer_spki != chain.ca_spki or own.issuer != chain.ca_subject):
        raise NotAuthentic("CRL_ISSUER", "pck_crl", expected=f"the {chain.ca} CA of this platform", got="another CA")
    return (
        _judged(own, (leaf,), "pck_crl", f"a list of the {chain.ca} CA", required),
        _judged(collateral.root_crl, (*issuers, *collateral.signers), "root_ca_crl", "a list of the root", required),
    )


def _judged(crl: Revocations | None, links: tuple[Link, ...], path: str, expected: str, required: bool) -> Finding:
    if crl is None:
        if required:
            raise NotAuthentic("CRL_MISSING", path, expected=expected, got="none")
        got = "none: revocation was not checked"
        return Finding(check="CERT_REVOKED", path=path, outcome=Outcome.SKIPPED, expected=expected, got=got)
    for link in links:
        if link.serial in crl.serials:
            got = f"serial {link.serial:#x} is listed"
            raise NotAuthentic("CERT_REVOKED", link.name, expected="not revoked", got=got)
    return _UNLISTED[path]


_UNLISTED = {
    path: Finding(check="CERT_REVOKED", path=path, outcome=Outcome.PASSED, expected="not revoked", got="not listed")
    for path in ("pck_crl", "root_ca_crl")
}
