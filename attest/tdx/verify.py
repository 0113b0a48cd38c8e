"""Is this quote authentic, and at which TCB was it made? Raises at the first failure.

Sources: Intel "TDX DCAP Quoting Library API", "SGX ECDSA QuoteLibReference DCAP API", "PCS API" version 4. What needs
no collateral is checked first, so that nothing is ever fetched for a quote that nobody made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from attest.anchors import Anchors
from attest.ecdsa import spki_of_p256, verify_p256
from attest.errors import AttestError, NotAuthentic
from attest.evidence import TdxCollateral
from attest.finding import Finding, Outcome
from attest.path import check_valid
from attest.tdx import certification
from attest.tdx.chain import CAS, Bench, VerifiedChain, authenticate_pck
from attest.tdx.claims import SgxClaims, TcbVerdict, TdxClaims
from attest.tdx.collateral import VerifiedCollateral, authenticate_collateral, check_current
from attest.tdx.pck import read_pck
from attest.tdx.qe import check_binding, evaluate_qe
from attest.tdx.quote import Quote, claims_of, parse
from attest.tdx.revocation import check_not_revoked
from attest.tdx.tcb import evaluate_sgx, evaluate_tdx, merge
from attest.x509 import load_certificate

__all__ = ["Authentic", "Needed", "needed", "verify_quote"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentic:
    """Claims that are authentic, though not yet bound to anything; what was checked; what is worth keeping."""

    claims: TdxClaims | SgxClaims
    findings: tuple[Finding, ...]
    chain: VerifiedChain
    collateral: VerifiedCollateral

    @property
    def expires(self) -> datetime:
        """The first moment after which the same evidence and collateral would be refused for their age."""
        return min(self.collateral.expires, *(link.not_after for link in self.chain.links))


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Which collateral a quote is judged by: that of this family, this CA (platform or processor), this TEE."""

    fmspc: bytes
    ca: str
    tee: str


def verify_quote(
    raw: bytes,
    collateral: Sequence[TdxCollateral],
    anchors: Anchors,
    *,
    now: datetime,
    revocation_required: bool,
    chains: Sequence[VerifiedChain] = (),
    kept: Sequence[VerifiedCollateral] = (),
) -> Authentic:
    """Verifies a quote of an enclave or a TD under pinned roots. Binding is the caller's.

    1. the quote is what Intel's tables say           5. the key signed the quote
    2. a PCK certificate chains to the pinned root    6. collateral of this family is authentic, and valid at `now`
    3. it is valid at `now`, and its key signed       7. no certificate on the way is revoked
       the quoting enclave's report                   8. the enclave is Intel's, and the TCB reaches a level
    4. that report vouches for the attestation key

    `chains` and `kept` were verified before: signatures over identical bytes are not checked again.
    """
    quote = parse(raw)  # 1
    bench = Bench(anchors)
    usable = [each for each in chains if each.root in anchors.intel]
    chain = _certified(quote, tuple(collateral), bench, usable)  # 2
    check_valid(chain.links, now)  # 3
    proof = quote.proof
    _check_signature(chain.spki, proof.qe_report.raw, proof.qe_report_signature, "QE_REPORT_SIGNATURE")
    check_binding(proof)  # 4
    _check_signature(spki_of_p256(proof.attestation_key), quote.signed, proof.signature, "QUOTE_SIGNATURE")  # 5
    judge = _Judge(quote=quote, chain=chain, now=now, required=revocation_required)
    first: AttestError | None = None
    for source in _likely(collateral, chain):
        try:
            found = next((each for each in kept if each.source == source and each.root in anchors.intel), None)
            return judge.by(found or authenticate_collateral(source, bench))  # 6
        except AttestError as error:
            first = first or error
    expected = f"collateral for FMSPC {chain.pck.fmspc.hex()}, {chain.ca} CA, {judge.tee}"
    raise first or NotAuthentic("COLLATERAL_MISSING", "collateral.tdx", expected=expected, got="none")


def needed(raw: bytes) -> Needed | None:
    """Which collateral this quote asks for, by what it says of itself; None if it does not carry its PCK certificate.

    Nothing of it is authentic: worth a look before anything is fetched, and no reason to fetch. Raises AttestError.
    """
    quote = parse(raw)
    ders = certification.carried(quote.proof.certification)
    if not ders:
        return None
    leaf = load_certificate(ders[0], path="pck_chain[0]")
    ca = CAS.get(leaf.issuer_common_name, "")
    return Needed(fmspc=read_pck(leaf).fmspc, ca=ca, tee=_tee(quote))


def _tee(quote: Quote) -> str:
    return "SGX" if quote.td is None else "TDX"


def _certified(
    quote: Quote, collateral: tuple[TdxCollateral, ...], bench: Bench, kept: Sequence[VerifiedChain]
) -> VerifiedChain:
    """The chain that certifies the quoting enclave, kept from before or verified now."""
    named = quote.proof.certification
    first: AttestError | None = None
    for source in certification.chains(named, collateral):
        try:
            chain = next((c for c in kept if c.source == source), None) or authenticate_pck(source, bench)
            certification.check_names(named, chain.pck)
        except AttestError as error:
            first = first or error
        else:
            return chain
    raise first or NotAuthentic("PCK_CHAIN_MISSING", "pck_chain", expected="a chain", got="none")


def _check_signature(spki: bytes, message: bytes, signature: bytes, check: str) -> None:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    verify_p256(spki, message, r, s, check=check, path=check.lower())


def _likely(collateral: Sequence[TdxCollateral], chain: VerifiedChain) -> Sequence[TdxCollateral]:
    """Those that speak of this family; if there is none, the first, so that a check can say what is wrong with it."""
    name = chain.pck.fmspc.hex().encode()
    return [each for each in collateral if name in each.tcb_info.lower()] or collateral[:1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Steps 6 to 8, by whichever collateral."""

    quote: Quote
    chain: VerifiedChain
    now: datetime
    required: bool

    @property
    def tee(self) -> str:
        """SGX or TDX."""
        return _tee(self.quote)

    def by(self, collateral: VerifiedCollateral) -> Authentic:
        """The claims, if the collateral is this platform's and speaks for it at `now`."""
        self._check_family(collateral)
        check_current(collateral, self.now)
        revocation = check_not_revoked(self.chain, collateral, required=self.required)  # 7
        verdict = self._verdict(collateral)  # 8
        return Authentic(
            claims=claims_of(self.quote, self.chain.pck, verdict, simulated=self.chain.root.simulated),
            findings=(*_PASSED, *revocation),
            chain=self.chain,
            collateral=collateral,
        )

    def _check_family(self, collateral: VerifiedCollateral) -> None:
        pck, info = self.chain.pck, collateral.tcb_info
        compared = (("id", self.tee, info.tee), ("fmspc", pck.fmspc, info.fmspc), ("pceId", pck.pceid, info.pceid))
        for name, expected, got in compared:
            if expected != got:
                raise NotAuthentic("TCBINFO_MISMATCH", f"tcb_info.{name}", expected=expected, got=got)

    def _verdict(self, collateral: VerifiedCollateral) -> TcbVerdict:
        info, pck = collateral.tcb_info, self.chain.pck
        qe = evaluate_qe(self.quote.proof.qe_report, collateral.qe_identity, self.tee)
        relaunch = None
        if self.quote.td is None:
            parts = evaluate_sgx(pck, info)
        else:
            parts, relaunch = evaluate_tdx(pck, self.quote.td, info, qe)
        status = merge([*(part.status for part in parts), qe.status]) if relaunch is None else relaunch
        counted = (*parts[1 if self.quote.td is not None else 0 :], qe)
        return TcbVerdict(
            status=status,
            advisories=tuple(sorted({advisory for part in counted if part.advisories for advisory in part.advisories})),
            parts=(*parts, qe),
            tcb_info_evaluation=info.evaluation,
            qe_identity_evaluation=collateral.qe_identity.evaluation,
            at=self.now,
        )


def _passed(check: str, path: str, expected: str, got: str) -> Finding:
    return Finding(check=check, path=path, outcome=Outcome.PASSED, expected=expected, got=got)


# What has passed whenever there are claims at all.
_PASSED = (
    _passed("QUOTE_FORMAT", "quote", "a quote as in Intel's tables", "one"),
    _passed("PCK_ROOT_NOT_PINNED", "root", "Intel's pinned root key", "the same"),
    _passed("CHAIN_SIGNATURE", "pck_chain", "each issued by the next", "all are"),
    _passed("CERT_EXPIRED", "certificates", "each valid now", "all are"),
    _passed("QE_REPORT_SIGNATURE", "qe_report", "a signature by the PCK", "one"),
    _passed("QE_BINDING", "qe_report.report_data", "the attestation key, and nothing else", "the same"),
    _passed("QUOTE_SIGNATURE", "quote", "a signature by the attestation key", "one"),
    _passed("TCBINFO_SIGNATURE", "tcb_info", "a signature by Intel's signer", "one"),
    _passed("QEID_SIGNATURE", "qe_identity", "a signature by Intel's signer", "one"),
    _passed("COLLATERAL_EXPIRED", "collateral", "each document valid now", "all are"),
    _passed("QE_REPORT_MISMATCH", "qe_report", "Intel's quoting enclave", "the same"),
)
