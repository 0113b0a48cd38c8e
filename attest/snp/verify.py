"""Is this SNP evidence authentic, and was it made for this? Raises at the first failure.

Sources: AMD publication 56860 (report, KEY_INFO), 57230 (certificates). The signature covers the report's first 672
bytes as they were received; TCB, chip and product of the key's certificate must be exactly those of the report.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from attest.anchors import Anchors
from attest.ecdsa import verify_p384
from attest.errors import AttestError, NotAuthentic
from attest.evidence import Collateral, SnpEvidence
from attest.finding import Finding, Outcome
from attest.path import check_valid
from attest.snp import certs, tcb, vek
from attest.snp.certs import Candidates, VerifiedChain
from attest.snp.claims import SigningKey, SnpClaims
from attest.snp.crl import PassedOver, VerifiedCrl, check_not_revoked, relevant
from attest.snp.report import Report, claims_of, parse
from attest.snp.vek import Vek
from attest.x509 import Certificate

__all__ = ["Authentic", "verify_snp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentic:
    """Claims that are authentic, though not yet bound to anything; what was checked; what is worth keeping."""

    claims: SnpClaims
    findings: tuple[Finding, ...]
    chain: VerifiedChain
    crls: tuple[VerifiedCrl, ...]
    passed_over: tuple[PassedOver, ...] = ()


def verify_snp(
    evidence: SnpEvidence,
    collateral: Collateral,
    anchors: Anchors,
    *,
    now: datetime,
    revocation_required: bool,
    chains: Sequence[VerifiedChain] = (),
    crls: Sequence[VerifiedCrl] = (),
    passed_over: Sequence[PassedOver] = (),
) -> Authentic:
    """Verifies a report under pinned roots. Binding is the caller's.

    1. the report is what AMD's table says          4. each certificate is valid at `now`
    2. an endorsement key chains to a pinned ARK    5. no intermediate is revoked
    3. it is that of this product, TCB and chip     6. it signed the report

    `chains` and `crls` were verified before: steps 2 and the lists' signatures are not repeated for identical bytes;
    nor are the lists of others, which were `passed_over`, read again.
    """
    report = parse(evidence.report)  # 1
    certs.check_count(evidence.certificates)
    judge = _Judge(
        report=report,
        crls=collateral.crls,
        known=crls,
        passed_over=passed_over,
        now=now,
        required=revocation_required,
    )
    offered = evidence.certificates, collateral.certificates
    for chain in chains:
        if chain.root in anchors.amd and chain.within(*offered) and _is_key_of(chain.vek, report):
            with contextlib.suppress(AttestError):  # told below, as if nothing had been kept
                return judge.under(chain)
    candidates = Candidates.read(*offered)
    first: AttestError | None = None
    kind = report.key_info[1]
    for leaf in _likely(certs.leaves(candidates, kind), report):
        try:
            return judge.under(certs.authenticate(leaf, candidates, kind, anchors))  # 2
        except AttestError as error:
            first = first or error
    raise first or candidates.missing("VEK_MISSING", "certificates", kind.common_name)


def _likely(leaves: Sequence[Certificate], report: Report) -> Sequence[Certificate]:
    """Those made for this chip and TCB; if there is none, the first, so that a check can say what is wrong with it."""
    return [leaf for leaf in leaves if _fits(leaf, report)] or leaves[:1]


def _fits(leaf: Certificate, report: Report) -> bool:
    try:
        return _is_key_of(vek.parse(leaf, report.key_info[1], path="certificates"), report)
    except AttestError:
        return False


def _is_key_of(key: Vek, report: Report) -> bool:
    """Whether kind, TCB and chip are the report's."""
    same_kind = key.kind is report.key_info[1]
    same_tcb = key.tcb == report.reported_tcb
    return same_kind and same_tcb and (key.kind is SigningKey.VLEK or key.chip_id == report.chip_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Steps 3 to 6, for whichever chain."""

    report: Report
    crls: Sequence[bytes]
    known: Sequence[VerifiedCrl]
    passed_over: Sequence[PassedOver]
    now: datetime
    required: bool

    def under(self, chain: VerifiedChain) -> Authentic:
        """The claims, if the report was signed by the chain's key and nothing speaks against the chain at `now`."""
        report = self.report
        matching = _check_product(chain, report), _check_tcb(chain, report), _check_chip(chain, report)  # 3
        check_valid(chain.links, self.now)  # 4
        lists, others = relevant(self.crls, chain, self.known, self.passed_over)  # 5
        unrevoked = check_not_revoked(chain, lists, self.now, required=self.required, offered=len(self.crls))
        verify_p384(
            chain.vek.spki, report.signed, *report.signature, check="SNP_SIGNATURE", path="report.signature"
        )  # 6
        return Authentic(
            claims=claims_of(
                report, product=chain.root.product, csp_id=chain.vek.csp_id, simulated=chain.root.simulated
            ),
            findings=(*_ON_THE_WAY, *matching, _VALID, unrevoked, _SIGNED),
            chain=chain,
            crls=lists,
            passed_over=others,
        )


def _finding(check: str, path: str, outcome: Outcome, expected: str, got: str) -> Finding:
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)


def _passed(check: str, path: str, expected: str, got: str) -> Finding:
    return _finding(check, path, Outcome.PASSED, expected, got)


# What has passed whenever a chain is judged at all, and what has passed when it was.
_ON_THE_WAY = (
    _passed("SNP_FORMAT", "report", "a report as in AMD publication 56860", "one"),
    _passed("CHAIN_ROOT_NOT_PINNED", "ark", "a pinned ARK", "one"),
    _passed("CHAIN_SIGNATURE", "certificates", "three RSA-PSS signatures", "all verify"),
)
_SIGNED = _passed("SNP_SIGNATURE", "report.signature", "a signature by the endorsed key", "one")
_VALID = _passed("CERT_EXPIRED", "certificates", "each valid now", "all are")
_SAME_PRODUCT = _passed("PRODUCT_MISMATCH", "report.cpuid", "the product of the chain", "the same")
_NO_CPUID = _finding("PRODUCT_MISMATCH", "report.cpuid", Outcome.SKIPPED, "CPUID", "none before version 3: the chain's")
_SAME_TCB = _passed("TCB_EXT_MISMATCH", "report.reported_tcb", "the TCB of the certificate", "the same")
_SAME_CHIP = _passed("CHIP_ID_MISMATCH", "report.chip_id", "the HWID of the certificate", "the same")
_NO_CHIP = _finding("CHIP_ID_MISMATCH", "report.chip_id", Outcome.SKIPPED, "a HWID", "none in a VLEK")


def _check_product(chain: VerifiedChain, report: Report) -> Finding:
    """CPUID names the chain's product; version 2 has no CPUID, and its product is one that makes such reports."""
    product = chain.root.product
    if report.cpuid is None:
        if tcb.LAYOUT[product].min_version > report.version:
            got = f"{product}, which makes none"
            raise NotAuthentic("PRODUCT_MISMATCH", "report.version", expected="a product with version 2", got=got)
        return _NO_CPUID
    found = tcb.product_of(report.cpuid[0], report.cpuid[1])
    if found != product:
        raise NotAuthentic("PRODUCT_MISMATCH", "report.cpuid", expected=product, got=found)
    return _SAME_PRODUCT


def _check_tcb(chain: VerifiedChain, report: Report) -> Finding:
    """Every component, and every reserved byte, exactly: the key of a higher TCB is another key."""
    expected = chain.vek.tcb
    if report.reported_tcb != expected:
        product = chain.vek.product
        raise NotAuthentic(
            "TCB_EXT_MISMATCH",
            "report.reported_tcb",
            expected=tcb.shown(product, expected),
            got=tcb.shown(product, report.reported_tcb),
        )
    return _SAME_TCB


def _check_chip(chain: VerifiedChain, report: Report) -> Finding:
    """CHIP_ID is the VCEK's HWID, zero-padded to 64 bytes and never zero; a VLEK hides it."""
    if chain.vek.kind is SigningKey.VLEK:
        return _NO_CHIP
    if not any(report.chip_id):
        raise NotAuthentic("CHIP_ID_MASKED", "report.chip_id", expected=chain.vek.hwid, got=report.chip_id)
    expected = chain.vek.chip_id
    if report.chip_id != expected:
        raise NotAuthentic("CHIP_ID_MISMATCH", "report.chip_id", expected=expected, got=report.chip_id)
    return _SAME_CHIP
