"""Revocation of AMD's intermediates: lists issued and signed by the ARK.

Source: AMD publication 57230, endpoint `/{vcek,vlek}/v1/{product}/crl`; RFC 5280 sections 5 and 6.3. A list names ASKs
and ASVKs. Chips are retired by TCB, not by a list, and every VCEK has serial 0, so a leaf is never looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from attest.anchors import AmdRoot
from attest.errors import Malformed, NotAuthentic
from attest.finding import Finding, Outcome
from attest.snp.certs import VerifiedChain
from attest.x509 import Certificate, load_revocation_list

__all__ = ["PassedOver", "VerifiedCrl", "check_not_revoked", "relevant", "verify_crl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCrl:
    """A list whose signature by the ARK with this public key was verified. Worth keeping; when it is checked again."""

    der: bytes
    issuer_spki_sha256: bytes
    this_update: datetime
    next_update: datetime | None
    serials: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A list that could be read, and whose issuer (a name, in DER) was not the ARK at hand: it says nothing."""

    der: bytes
    issuer: bytes


def relevant(
    crls: Sequence[bytes], chain: VerifiedChain, kept: Sequence[VerifiedCrl], passed_over: Sequence[PassedOver] = ()
) -> tuple[tuple[VerifiedCrl, ...], tuple[PassedOver, ...]]:
    """The lists among `crls` that the chain's ARK issued, and those of others, which were only read.

    `kept` and `passed_over` are what came back before: none of them is read again, whichever chain it was read for.
    Raises Malformed CRL_MALFORMED, NotAuthentic CRL_SIGNATURE for one in its name that it did not sign, CRL_UNSUPPORTED
    for one with a critical extension, which may narrow what the list speaks of.
    """
    known = {crl.der: crl for crl in kept if crl.issuer_spki_sha256 == chain.root.spki_sha256}
    strangers = {crl.der: crl for crl in passed_over if crl.issuer != chain.authority.subject}
    own: list[VerifiedCrl] = []
    others: list[PassedOver] = []
    for number, der in enumerate(crls):
        found = known.get(der) or strangers.get(der) or _read(der, chain.authority, chain.root, f"crls[{number}]")
        if isinstance(found, VerifiedCrl):
            own.append(found)
        else:
            others.append(found)
    return tuple(own), tuple(others)


def verify_crl(der: bytes, authority: Certificate, root: AmdRoot, *, path: str) -> VerifiedCrl | None:
    """The list, if `authority`, whose key is `root`'s, issued it; None for another issuer's. Raises as `relevant`."""
    found = _read(der, authority, root, path)
    return found if isinstance(found, VerifiedCrl) else None


def _read(der: bytes, authority: Certificate, root: AmdRoot, path: str) -> VerifiedCrl | PassedOver:
    crl = load_revocation_list(der, path=path)
    if crl.issuer != authority.subject:
        return PassedOver(der=der, issuer=crl.issuer)
    crl.check_signed_by(authority, path=path)
    if crl.critical:
        raise Malformed("CRL_UNSUPPORTED", path, expected="no critical extension", got=", ".join(crl.critical))
    return VerifiedCrl(
        der=der,
        issuer_spki_sha256=root.spki_sha256,
        this_update=crl.this_update,
        next_update=crl.next_update,
        serials=crl.serials,
    )


def check_not_revoked(
    chain: VerifiedChain, crls: Sequence[VerifiedCrl], now: datetime, *, required: bool, offered: int
) -> Finding:
    """Passed, or skipped when there is no list and none is required.

    Raises NotAuthentic CRL_MISSING, CERT_REVOKED, CRL_NOT_YET_VALID or CRL_EXPIRED. One current list is enough, but
    what any authentic list revokes stays revoked: nothing comes back from a revocation.
    """
    issuer = f"ARK-{chain.root.product}"
    if not crls:
        got = f"{offered} of other issuers" if offered else "none"
        if required:
            raise NotAuthentic("CRL_MISSING", "crls", expected=f"a revocation list of {issuer}", got=got)
        return Finding(
            check="CERT_REVOKED",
            path="crls",
            outcome=Outcome.SKIPPED,
            expected=f"a revocation list of {issuer}",
            got=f"{got}: revocation was not checked",
        )
    for link in chain.links[1:]:
        for crl in crls:
            if link.serial in crl.serials:
                got = f"serial {link.serial:#x} is listed"
                raise NotAuthentic("CERT_REVOKED", link.name, expected="not revoked", got=got)
    _check_current(crls, now)
    return Finding(
        check="CERT_REVOKED", path="crls", outcome=Outcome.PASSED, expected="not revoked", got=f"not listed by {issuer}"
    )


def _check_current(crls: Sequence[VerifiedCrl], now: datetime) -> None:
    if any(crl.this_update <= now and crl.next_update is not None and now < crl.next_update for crl in crls):
        return
    newest = max(crls, key=lambda crl: crl.this_update)
    if now < newest.this_update:
        raise NotAuthentic(
            "CRL_NOT_YET_VALID", "crls", expected=f"by {now.isoformat()}", got=newest.this_update.isoformat()
        )
    until = newest.next_update.isoformat() if newest.next_update else "no nextUpdate"
    raise NotAuthentic("CRL_EXPIRED", "crls", expected=f"valid at {now.isoformat()}", got=until)
