"""From candidates to a chain: VCEK <- ASK <- ARK, or VLEK <- ASVK <- ARK, ending in a pinned ARK.

Source: AMD publication 57230, sections on certificates and `cert_chain`. Every certificate that is offered is only a
candidate: which kind of key and which product are required is said by the report and the pinned roots, never by what
was found. Where several candidates fit, all are tried, those of the evidence first, and one that passes is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attest.anchors import AmdRoot, Anchors
from attest.errors import AttestError, Malformed, NotAuthentic
from attest.path import Link, check_roles, link_of
from attest.snp import vek
from attest.snp.claims import SigningKey
from attest.snp.vek import Vek
from attest.x509 import Certificate, load_certificate

__all__ = ["Candidates", "VerifiedChain", "authenticate", "check_count", "leaves", "verify_issuers"]

_MAX_OFFERED = 32
_ISSUER_NAME = {SigningKey.VCEK: "SEV-{}", SigningKey.VLEK: "SEV-VLEK-{}"}
_NAMES = {SigningKey.VCEK: ("vcek", "ask", "ark"), SigningKey.VLEK: ("vlek", "asvk", "ark")}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedChain:
    """Leaf, intermediate and root whose signatures, names and roles were verified up to `root`.

    Worth keeping: what does not depend on the time, the report or a revocation list is never checked again for it.
    `authority` is the ARK, which also signs revocation lists.
    """

    root: AmdRoot
    vek: Vek
    links: tuple[Link, Link, Link]
    authority: Certificate

    def within(self, *offered: Sequence[bytes]) -> bool:
        """Whether each of its certificates, byte for byte, is among those offered this time."""
        at_hand = {der for certificates in offered for der in certificates}
        return at_hand.issuperset([link.der for link in self.links])


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Certificates in the order in which they are tried, and what was wrong with the first that is none."""

    certificates: tuple[Certificate, ...]
    malformed: Malformed | None

    @classmethod
    def read(cls, evidence: Sequence[bytes], collateral: Sequence[bytes]) -> Candidates:
        """Reads each once, those of the evidence first."""
        certificates, malformed = [], None
        for number, der in enumerate(dict.fromkeys((*evidence, *collateral))):
            try:
                certificates.append(load_certificate(der, path=f"certificates[{number}]"))
            except Malformed as error:
                malformed = malformed or error
        return cls(certificates=tuple(certificates), malformed=malformed)

    def missing(self, check: str, path: str, expected: str) -> AttestError:
        """What to raise when none of them fits: a certificate that could not be read may have been the one."""
        names = ", ".join(c.common_name for c in self.certificates) or "no certificate"
        return self.malformed or NotAuthentic(check, path, expected=expected, got=names)


def check_count(evidence: Sequence[bytes]) -> None:
    """Raises Malformed CERT_LIMIT if the evidence brings more certificates than anybody needs."""
    if len(evidence) > _MAX_OFFERED:
        raise Malformed("CERT_LIMIT", "certificates", expected=f"at most {_MAX_OFFERED}", got=len(evidence))


def leaves(candidates: Candidates, kind: SigningKey) -> tuple[Certificate, ...]:
    """The candidates that are named as an endorsement key of `kind`; at least one.

    Raises NotAuthentic VEK_TYPE_MISMATCH, VEK_SUBJECT or VEK_MISSING, or what is wrong with an unreadable candidate.
    """
    veks = [c for c in candidates.certificates if vek.is_vek(c)]
    wanted = tuple(c for c in veks if vek.kind_named(c) is kind)
    if wanted:
        return wanted
    other = next((c for c in veks if vek.kind_named(c) is not None), None)
    if other is not None:
        raise NotAuthentic(
            "VEK_TYPE_MISMATCH", "certificates", expected=f"{kind.common_name}, as KEY_INFO says", got=other.common_name
        )
    if veks:
        raise NotAuthentic("VEK_SUBJECT", "certificates", expected=kind.common_name, got=veks[0].common_name)
    raise candidates.missing("VEK_MISSING", "certificates", kind.common_name)


def authenticate(leaf: Certificate, candidates: Candidates, kind: SigningKey, anchors: Anchors) -> VerifiedChain:
    """The chain from `leaf` to a pinned ARK. Raises AttestError for the first pair of issuers that was tried."""
    parsed = vek.parse(leaf, kind, path=_NAMES[kind][0])
    first: AttestError | None = None
    for intermediate, authority in _issuers(leaf, candidates, kind, anchors):
        try:
            return _chain(parsed, (leaf, intermediate, authority), anchors)
        except AttestError as error:
            first = first or error
    raise first or candidates.missing("CHAIN_INCOMPLETE", "certificates", "the ARK that issued the intermediate")


def _issuers(
    leaf: Certificate, candidates: Candidates, kind: SigningKey, anchors: Anchors
) -> Iterator[tuple[Certificate, Certificate]]:
    """Pairs of intermediate and root that fit by name."""
    intermediates = [c for c in candidates.certificates if c.subject == leaf.issuer]
    if not intermediates:
        raise _no_intermediate(leaf, candidates, kind, anchors)
    for intermediate in intermediates:
        for authority in candidates.certificates:
            if authority.subject == intermediate.issuer:
                yield intermediate, authority


def _no_intermediate(leaf: Certificate, candidates: Candidates, kind: SigningKey, anchors: Anchors) -> AttestError:
    """Why no candidate issued the leaf: an intermediate of another kind or product is not merely missing."""
    path = f"certificates.{_NAMES[kind][1]}"
    names = {c.common_name for c in candidates.certificates}
    for root in anchors.amd:
        for of_kind, pattern in _ISSUER_NAME.items():
            name = pattern.format(root.product)
            if name in names:
                check = "PRODUCT_MISMATCH" if of_kind is kind else "VEK_TYPE_MISMATCH"
                return NotAuthentic(check, path, expected=leaf.issuer_common_name, got=name)
    return candidates.missing("CHAIN_INCOMPLETE", path, leaf.issuer_common_name)


def _chain(parsed: Vek, certificates: tuple[Certificate, Certificate, Certificate], anchors: Anchors) -> VerifiedChain:
    """Pinned root, three signatures, roles. Raises NotAuthentic."""
    leaf, intermediate, authority = certificates
    names = _NAMES[parsed.kind]
    root = _pinned(intermediate, authority, names, anchors)
    leaf.check_issued_by(intermediate, path=names[0])
    check_roles(certificates, names)
    _check_issuer_name(intermediate, parsed.kind, root)
    if parsed.product != root.product:
        raise NotAuthentic("PRODUCT_MISMATCH", f"{names[0]}.productName", expected=root.product, got=parsed.product)
    links = [link_of(c, name) for name, c in zip(names, certificates, strict=True)]
    return VerifiedChain(root=root, vek=parsed, links=(links[0], links[1], links[2]), authority=authority)


def verify_issuers(intermediate: Certificate, authority: Certificate, kind: SigningKey, anchors: Anchors) -> AmdRoot:
    """The pinned root of an intermediate of `kind` and its ARK, without a leaf. Raises NotAuthentic."""
    names = _NAMES[kind]
    root = _pinned(intermediate, authority, names, anchors)
    check_roles((intermediate, authority), names[1:], lowest=1)
    _check_issuer_name(intermediate, kind, root)
    return root


def _pinned(intermediate: Certificate, authority: Certificate, names: Sequence[str], anchors: Anchors) -> AmdRoot:
    """The root that `authority` is, which signed itself and `intermediate`."""
    root = next((r for r in anchors.amd if r.spki_sha256 == authority.spki_sha256), None)
    if root is None:
        pinned = ", ".join(f"ARK-{r.product} {r.spki_sha256.hex()}" for r in anchors.amd)
        got = f"{authority.common_name} {authority.spki_sha256.hex()}"
        raise NotAuthentic("CHAIN_ROOT_NOT_PINNED", names[2], expected=pinned or "no root is pinned", got=got)
    authority.check_issued_by(authority, path=names[2])
    intermediate.check_issued_by(authority, path=names[1])
    return root


def _check_issuer_name(intermediate: Certificate, kind: SigningKey, root: AmdRoot) -> None:
    """A VCEK is issued by the ASK, a VLEK by the ASVK, of the root's product."""
    expected = _ISSUER_NAME[kind].format(root.product)
    if intermediate.common_name != expected:
        others = [pattern.format(root.product) for k, pattern in _ISSUER_NAME.items() if k is not kind]
        check = "VEK_TYPE_MISMATCH" if intermediate.common_name in others else "CHAIN_SUBJECT"
        raise NotAuthentic(check, _NAMES[kind][1], expected=expected, got=intermediate.common_name)
