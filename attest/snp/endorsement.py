"""What an SNP report needs besides itself, and whether what a key server answered is that: nothing is fetched here.

Source: AMD publication 57230, "VCEK Certificate and KDS Interface Specification": `/vcek/v1/{product}/{hwid}`;
`cert_chain` (PEM: ASK or ASVK, then ARK); `crl` (DER, by the ARK). An answer is checked under the pinned roots before
anybody keeps it: where it came from says nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from attest.anchors import AmdRoot, Anchors
from attest.errors import AttestError, NotAuthentic, NotBound
from attest.evidence import SnpEvidence
from attest.snp import certs, tcb, vek
from attest.snp.certs import Candidates, VerifiedChain
from attest.snp.claims import SigningKey
from attest.snp.crl import VerifiedCrl, verify_crl
from attest.snp.report import parse
from attest.x509 import Certificate, load_certificate, load_pem_or_der

__all__ = ["Issuers", "Wanted", "check_crl", "check_issuers", "check_vcek", "issuers_of", "wanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which endorsement a report needs. `products` are those it may be of: version 2 does not say.

    `tcb` is REPORTED_TCB, `chip_id` CHIP_ID, zero under a VLEK, which no key server gives to strangers.
    """

    kind: SigningKey
    products: tuple[str, ...]
    tcb: bytes
    chip_id: bytes

    def hwid(self, product: str) -> bytes:
        """The part of CHIP_ID by which the key server knows the chip."""
        return self.chip_id[: tcb.LAYOUT[product].hwid]

    def endorsed_by(self, certificates: Sequence[bytes]) -> bool:
        """Whether one of the certificates gives itself out as the key of this chip and TCB."""
        for der in certificates:
            with contextlib.suppress(AttestError):
                key = vek.parse(load_certificate(der, path="certificates"), self.kind, path="certificates")
                if key.tcb == self.tcb and key.chip_id == self.chip_id:
                    return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuers:
    """An ASK or ASVK and the ARK above it, verified up to a pinned root."""

    root: AmdRoot
    kind: SigningKey
    intermediate: Certificate
    authority: Certificate

    @property
    def not_after(self) -> datetime:
        """When the first of them expires."""
        return min(self.intermediate.not_after, self.authority.not_after)


def wanted(evidence: SnpEvidence, anchors: Anchors, *, report_data: bytes) -> Wanted:
    """What the report needs, after every check that can be made without it.

    Raises Malformed for what is no report, NotBound REPORT_DATA_MISMATCH for one that was made for something else,
    NotAuthentic CHIP_ID_MASKED or CHAIN_ROOT_NOT_PINNED.
    """
    report = parse(evidence.report)
    certs.check_count(evidence.certificates)
    if report.report_data != report_data:
        raise NotBound("REPORT_DATA_MISMATCH", "report.report_data", expected=report_data, got=report.report_data)
    kind = report.key_info[1]
    if kind is SigningKey.VCEK and not any(report.chip_id):
        raise NotAuthentic("CHIP_ID_MASKED", "report.chip_id", expected="the chip's", got=report.chip_id)
    pinned = tuple(root.product for root in anchors.amd)
    if report.cpuid is None:
        products = tuple(p for p in pinned if tcb.LAYOUT[p].min_version <= report.version)
    else:
        of = tcb.product_of(report.cpuid[0], report.cpuid[1])
        products = tuple(p for p in pinned if p == of)
    if not products:
        raise NotAuthentic("CHAIN_ROOT_NOT_PINNED", "report.cpuid", expected=", ".join(pinned), got="another product")
    for product in products:
        tcb.decode(product, report.reported_tcb, path="report.reported_tcb")
        if any(report.chip_id[tcb.LAYOUT[product].hwid :]):
            raise NotAuthentic("CHIP_ID_MISMATCH", "report.chip_id", expected=f"{product}'s", got=report.chip_id)
    return Wanted(kind=kind, products=products, tcb=report.reported_tcb, chip_id=report.chip_id)


def check_issuers(pem: bytes, product: str, kind: SigningKey, anchors: Anchors, *, now: datetime) -> Issuers:
    """The answer of `cert_chain`: the product's intermediate of that kind under its pinned ARK, both valid at `now`.

    Raises Malformed or NotAuthentic.
    """
    found = load_pem_or_der(pem, path="cert_chain")
    if len(found) != 2:
        raise NotAuthentic("CHAIN_INCOMPLETE", "cert_chain", expected="an intermediate and its ARK", got=len(found))
    return issuers_of(found[0], found[1], product, kind, anchors, now=now)


def issuers_of(
    intermediate: Certificate,
    authority: Certificate,
    product: str,
    kind: SigningKey,
    anchors: Anchors,
    *,
    now: datetime,
) -> Issuers:
    """The two as issuers, if they are those of `product`; raises NotAuthentic."""
    root = certs.verify_issuers(intermediate, authority, kind, anchors)
    if root.product != product:
        raise NotAuthentic("PRODUCT_MISMATCH", "cert_chain", expected=product, got=root.product)
    for certificate in (intermediate, authority):
        _check_valid(certificate, now)
    return Issuers(root=root, kind=kind, intermediate=intermediate, authority=authority)


def check_vcek(der: bytes, want: Wanted, issuers: Issuers, anchors: Anchors, *, now: datetime) -> VerifiedChain:
    """The answer of `/vcek/v1/{product}/{hwid}`: the key of exactly this product, chip and TCB, valid at `now`.

    Raises Malformed or NotAuthentic: PRODUCT_MISMATCH, CHIP_ID_MISMATCH, TCB_EXT_MISMATCH or what the chain lacks.
    """
    leaf = load_certificate(der, path="vcek")
    candidates = Candidates.read((leaf.der,), (issuers.intermediate.der, issuers.authority.der))
    named = certs.leaves(candidates, SigningKey.VCEK)
    chain = certs.authenticate(named[0], candidates, SigningKey.VCEK, anchors)
    if chain.root != issuers.root:
        raise NotAuthentic("PRODUCT_MISMATCH", "vcek", expected=issuers.root.product, got=chain.root.product)
    if chain.vek.chip_id != want.chip_id:
        raise NotAuthentic("CHIP_ID_MISMATCH", "vcek", expected=want.chip_id, got=chain.vek.chip_id)
    if chain.vek.tcb != want.tcb:
        product = chain.root.product
        shown = tcb.shown(product, want.tcb), tcb.shown(product, chain.vek.tcb)
        raise NotAuthentic("TCB_EXT_MISMATCH", "vcek", expected=shown[0], got=shown[1])
    _check_valid(leaf, now)
    return chain


def check_crl(der: bytes, issuers: Issuers, *, now: datetime) -> VerifiedCrl:
    """The answer of `crl`: a list by this ARK that says when it is stale, and is not at `now`.

    Raises Malformed, or NotAuthentic CRL_ISSUER, CRL_SIGNATURE, CRL_NOT_YET_VALID or CRL_EXPIRED.
    """
    crl = verify_crl(der, issuers.authority, issuers.root, path="crl")
    if crl is None:
        raise NotAuthentic("CRL_ISSUER", "crl", expected=issuers.authority.common_name, got="a list of another issuer")
    if now < crl.this_update:
        raise NotAuthentic(
            "CRL_NOT_YET_VALID", "crl", expected=f"by {now.isoformat()}", got=crl.this_update.isoformat()
        )
    if crl.next_update is None or now >= crl.next_update:
        until = crl.next_update.isoformat() if crl.next_update else "no nextUpdate"
        raise NotAuthentic("CRL_EXPIRED", "crl", expected=f"valid at {now.isoformat()}", got=until)
    return crl


def _check_valid(certificate: Certificate, now: datetime) -> None:
    if not certificate.not_before <= now <= certificate.not_after:
        check = "CERT_NOT_YET_VALID" if now < certificate.not_before else "CERT_EXPIRED"
        got = f"{certificate.not_before.isoformat()} to {certificate.not_after.isoformat()}"
        raise NotAuthentic(check, certificate.common_name, expected=f"valid at {now.isoformat()}", got=got)
