"""From certificates to a verified path that ends in Intel's pinned root key.

Source: Intel "SGX PCK Certificate and CRL Profile Specification". A PCK certificate is issued by the Platform or the
Processor CA, a signer of TCB documents by the root itself. The root that comes along is a carrier of the pinned key and
nothing more: with another key it is no root, whatever its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from attest.anchors import Anchors, IntelRoot
from attest.errors import NotAuthentic
from attest.path import Link, check_roles, link_of
from attest.tdx.claims import PckIdentity
from attest.tdx.pck import read_pck
from attest.tdx.pem import blocks_of, read_block
from attest.x509 import Certificate, load_certificate

__all__ = ["CAS", "Bench", "VerifiedChain", "authenticate_pck"]

CAS = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}
_LEAF = "Intel SGX PCK Certificate"
_NAMES = ("pck", "pck_ca", "root")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedChain:
    """A PCK certificate whose path to `root` was verified: signatures, names and roles.

    Worth keeping: what does not depend on the time or on a revocation list is never checked again for it. `source` is
    the chain in PEM as it was offered; `ca` is platform or processor, `ca_subject` and `ca_spki` its name and
    key, which issue the revocation list. `vouched` is what the PCK's key was last seen to have signed: a report of the
    quoting enclave with its signature, the same in all quotes of a platform until the enclave changes its key.
    """

    root: IntelRoot
    source: bytes
    pck: PckIdentity
    spki: bytes
    ca: str
    ca_subject: bytes
    ca_spki: bytes
    links: tuple[Link, ...]
    vouched: tuple[bytes, bytes] | None = None

    def having(self, vouched: tuple[bytes, bytes]) -> VerifiedChain:
        """The same chain, whose key was seen to have signed this. Written out, since `replace` takes twice as long."""
        return VerifiedChain(
            root=self.root,
            source=self.source,
            pck=self.pck,
            spki=self.spki,
            ca=self.ca,
            ca_subject=self.ca_subject,
            ca_spki=self.ca_spki,
            links=self.links,
            vouched=vouched,
        )


class Bench:
    """What one verification has already read and checked, so that nothing is done twice in it. Never kept."""

    __slots__ = ("_anchors", "_certificates", "_issued", "_roots")

    def __init__(self, anchors: Anchors) -> None:
        self._anchors = anchors
        self._certificates: dict[bytes, Certificate] = {}
        self._issued: set[tuple[bytes, bytes]] = set()
        self._roots: dict[bytes, IntelRoot] = {}

    def load(self, pem: bytes, *, path: str) -> tuple[Certificate, ...]:
        """The certificates of a chain; raises Malformed CERT_MALFORMED."""
        found = []
        for number, block in enumerate(blocks_of(pem, path=path)):  # a certificate has one way to be written
            certificate = self._certificates.get(block)
            if certificate is None:
                place = f"{path}[{number}]"
                certificate = self._certificates[block] = load_certificate(read_block(block, place), path=place)
            found.append(certificate)
        return tuple(found)

    def verify_path(self, certificates: Sequence[Certificate], names: Sequence[str], *, lowest: int = 0) -> IntelRoot:
        """Each is issued by the next, the last is the pinned root, and roles are kept. Returns the root's pin.

        `lowest` is 1 where the first certificate is a CA. Raises NotAuthentic PCK_ROOT_NOT_PINNED, CHAIN_SIGNATURE,
        CERT_EXTENSIONS, CERT_NOT_CA.
        """
        top = certificates[-1]
        root = self._roots.get(top.der)
        if root is None:
            root = self._roots[top.der] = self._root(top, names[-1])
        for depth in range(len(certificates) - 1):
            self._check_issued(certificates[depth], certificates[depth + 1], names[depth])
        check_roles(certificates, names, lowest=lowest)
        return root

    def _root(self, certificate: Certificate, path: str) -> IntelRoot:
        """The pin of this root. It signs itself, unless it is the very certificate that was pinned."""
        anchors = self._anchors.intel
        fingerprint = certificate.spki_sha256
        root = next((r for r in anchors if r.spki_sha256 == fingerprint), None)
        if root is None or certificate.common_name != root.common_name:
            pinned = ", ".join(f"{r.common_name} {r.spki_sha256.hex()}" for r in anchors)
            got = f"{certificate.common_name} {fingerprint.hex()}"
            raise NotAuthentic("PCK_ROOT_NOT_PINNED", path, expected=pinned or "no root is pinned", got=got)
        if root.certificate_sha256 != hashlib.sha256(certificate.der).digest():
            self._check_issued(certificate, certificate, path)
        return root

    def _check_issued(self, certificate: Certificate, issuer: Certificate, path: str) -> None:
        pair = certificate.der, issuer.der
        if pair not in self._issued:
            certificate.check_issued_by_p256(issuer, path=path)
            self._issued.add(pair)


def authenticate_pck(pem: bytes, bench: Bench) -> VerifiedChain:
    """PCK certificate, its CA, the root; raises PCK_CHAIN, and what `Bench` raises."""
    certificates = bench.load(pem, path="pck_chain")
    if len(certificates) != 3:
        names = ", ".join(c.common_name or "no name" for c in certificates) or "none"
        raise NotAuthentic("PCK_CHAIN", "pck_chain", expected="three certificates, leaf first", got=names)
    leaf, ca, _root = certificates
    if leaf.common_name != _LEAF:
        raise NotAuthentic("PCK_CHAIN", "pck_chain.pck", expected=_LEAF, got=leaf.common_name)
    if ca.common_name not in CAS:
        raise NotAuthentic("PCK_CHAIN", "pck_chain.pck_ca", expected=" or ".join(CAS), got=ca.common_name)
    root = bench.verify_path(certificates, _NAMES)
    return VerifiedChain(
        root=root,
        source=pem,
        pck=read_pck(leaf),
        spki=leaf.spki,
        ca=CAS[ca.common_name],
        ca_subject=ca.subject,
        ca_spki=ca.spki,
        links=tuple(link_of(c, name) for c, name in zip(certificates, _NAMES, strict=True)),
    )
