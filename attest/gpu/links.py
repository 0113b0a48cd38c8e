"""Links of NVIDIA's certificate chains, as given and in order, the last one by the pinned root's key.

Source: RFC 5280 sections 4.2.1.3, 4.2.1.9 and 6.1. Every key is P-384 and every signature ecdsa-with-SHA384 (RFC 5758).
The root that comes with a chain is read for its name and key only: what else is written in it counts for nothing. No
CA of NVIDIA's device chains has a path length or name constraints, so roles are told by names: see attest/gpu/certs.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import ExtensionNotFound, KeyUsage
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from attest.anchors import NvidiaRoot
from attest.ecdsa import verify_p384
from attest.errors import Malformed, NotAuthentic
from attest.x509 import Certificate

__all__ = ["Link", "Window", "check_chain", "find_root", "links_of", "window_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One certificate below the root, as far as it is needed again, and the name and key that issued it.

    `names_source` says that it names where its revocation can be asked for (CRL distribution point or OCSP). `der` is
    the certificate itself.
    """

    name: str
    der: bytes
    serial: int
    subject: bytes
    issuer: bytes
    issuer_spki: bytes
    not_before: datetime
    not_after: datetime
    names_source: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When every link of a chain is valid; RFC 5280 section 4.1.2.5: both ends are inside."""

    links: tuple[Link, ...]
    not_before: datetime
    not_after: datetime

    def check(self, now: datetime, *, path: str, of: str = "CERT") -> None:
        """Raises NotAuthentic `of`_NOT_YET_VALID or _EXPIRED, for the first link that is not valid at `now`."""
        if self.not_before <= now <= self.not_after:
            return
        for link in self.links:
            if now < link.not_before:
                got = f"from {link.not_before.isoformat()}"
                raise NotAuthentic(
                    f"{of}_NOT_YET_VALID", f"{path}.{link.name}", expected=f"valid at {now.isoformat()}", got=got
                )
            if now > link.not_after:
                got = f"until {link.not_after.isoformat()}"
                raise NotAuthentic(
                    f"{of}_EXPIRED", f"{path}.{link.name}", expected=f"valid at {now.isoformat()}", got=got
                )


def window_of(links: Sequence[Link]) -> Window:
    """The time in which all of `links` are valid."""
    return Window(
        links=tuple(links),
        not_before=max(link.not_before for link in links),
        not_after=min(link.not_after for link in links),
    )


def find_root(given: Certificate, roots: Iterable[NvidiaRoot], *, path: str) -> NvidiaRoot:
    """The pinned root whose name and key the chain's last certificate has; NotAuthentic CHAIN_ROOT_NOT_PINNED if none.

    Two certificates of NVIDIA's device root are in circulation, with one name and one key: both are that root.
    """
    for root in roots:
        if given.subject == root.subject and given.spki == root.spki:
            return root
    got = f"{given.common_name or 'no name'}, key {given.spki_sha256.hex()}"
    raise NotAuthentic("CHAIN_ROOT_NOT_PINNED", path, expected="the name and key of a pinned root", got=got)


def check_chain(
    chain: Sequence[Certificate], names: Sequence[str], root: NvidiaRoot, *, path: str, below: int = 0
) -> None:
    """The chain without its root: every link signed by the next, the last by `root`'s own key.

    `below` is how many certificates of the whole chain come before its first; with 0 it is the leaf.

    Raises NotAuthentic CHAIN_NAME, CHAIN_ROLE or CHAIN_SIGNATURE, and Malformed CERT_MALFORMED for a doubled extension.
    """
    for number, certificate in enumerate(chain):
        where = f"{path}.{names[number]}"
        last = number + 1 == len(chain)
        subject, spki = (root.subject, root.spki) if last else (chain[number + 1].subject, chain[number + 1].spki)
        _check_role(certificate, below + number, where)
        if certificate.issuer != subject:
            expected = f"the next certificate's subject: {root.common_name if last else chain[number + 1].common_name}"
            raise NotAuthentic("CHAIN_NAME", where, expected=expected, got=certificate.issuer_common_name or "no name")
        _check_signature(certificate, spki, where)


def _check_role(certificate: Certificate, below: int, path: str) -> None:
    """A leaf signs data and is no CA; what is above it is a CA whose path length allows for what is below it."""
    if certificate.duplicate is not None:
        raise Malformed("CERT_MALFORMED", path, expected="each extension once", got=f"{certificate.duplicate} twice")
    if certificate.critical:
        expected = "no critical extension beyond basic constraints and key usage"
        raise NotAuthentic("CHAIN_ROLE", path, expected=expected, got=", ".join(certificate.critical))
    if below == 0:
        fine = not certificate.is_ca and _signs_data(certificate)
        expected = "a certificate that signs data and is no CA"
    else:
        fine = certificate.is_ca and certificate.signs_certificates
        fine = fine and (certificate.path_length is None or certificate.path_length >= below - 1)
        expected = f"a CA with {below - 1} CAs below it"
    if not fine:
        got = f"CA {certificate.is_ca}, path length {certificate.path_length}"
        raise NotAuthentic("CHAIN_ROLE", path, expected=expected, got=got)


def _signs_data(certificate: Certificate) -> bool:
    try:
        usage = certificate.handle.extensions.get_extension_for_oid(ExtensionOID.KEY_USAGE).value
    except ExtensionNotFound:
        return False
    return isinstance(usage, KeyUsage) and usage.digital_signature and not usage.key_cert_sign


def _check_signature(certificate: Certificate, spki: bytes, path: str) -> None:
    if certificate.handle.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise NotAuthentic("CHAIN_SIGNATURE", path, expected="ecdsa-with-SHA384", got="another algorithm")
    try:
        r, s = decode_dss_signature(certificate.handle.signature)
    except ValueError as error:
        raise NotAuthentic("CHAIN_SIGNATURE", path, expected="an ECDSA signature", got="no such") from error
    verify_p384(spki, certificate.handle.tbs_certificate_bytes, r, s, check="CHAIN_SIGNATURE", path=path)


def links_of(chain: Sequence[Certificate], names: Sequence[str], root: NvidiaRoot) -> tuple[Link, ...]:
    """What is kept of a chain without its root."""
    issuers = [(c.subject, c.spki) for c in chain[1:]] + [(root.subject, root.spki)]
    return tuple(
        Link(
            name=name,
            der=certificate.der,
            serial=certificate.serial,
            subject=certificate.subject,
            issuer=issuer,
            issuer_spki=spki,
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            names_source=_names_source(certificate),
        )
        for certificate, name, (issuer, spki) in zip(chain, names, issuers, strict=True)
    )


def _names_source(certificate: Certificate) -> bool:
    sources = {ExtensionOID.CRL_DISTRIBUTION_POINTS, ExtensionOID.AUTHORITY_INFORMATION_ACCESS}
    return any(extension.oid in sources for extension in certificate.handle.extensions)
