"""Is this quote authentic, and at which TCB was it made? Raises at the first failure.

Sources: Intel "TDX DCAP Quoting Library API", "SGX ECDSA QuoteLibReference DCAP API", "PCS API" version 4. What needs
no collateral is checked first, so that nothing is ever fetched for a quote that nobody made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from attest.anchors import Anchors
from attest.ecdsa import spki_of_p256, verify_p256
from attest.errors import AttestError, NotAuthentic
from attest.evidence import TdxCollateral
from attest.finding import Finding, Outcome
from attest.path import check_valid
from attest.tdx import certification
from attest.tdx.chain import CAS, Bench, VerifiedChain, authenticate_pck
from attest.tdx.claims import PckIdentity, SgxClaims, TcbStatus, TcbVerdict, TdxClaims
from attest.tdx.collateral import VerifiedCollateral, authenticate_collateral, check_current
from attest.tdx.pck import read_pck
from attest.tdx.qe import check_binding, evaluate_qe
from attest.tdx.quote import Proof, Quote, claims_of, parse
from attest.tdx.revocation import check_not_revoked
from attest.tdx.tcb import evaluate_sgx, evaluate_tdx, merge
from attest.tdx.tcb_info import TcbInfo
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
    chain = _certified(quote, collateral, bench, [each for each in chains if each.root in anchors.intel])  # 2
    check_valid(chain.links, now)  # 3
    proof = quote.proof
    chain = _vouching(chain, proof)
    check_binding(proof)  # 4
    _check_signature(spki_of_p256(proof.attestation_key), quote.signed, proof.signature, "QUOTE_SIGNATURE")  # 5
    usable = [each for each in kept if each.root in anchors.intel]
    first: AttestError | None = None
    for source in _likely(collateral, chain):
        try:
            authentic = _kept(usable, source) or authenticate_collateral(source, bench)  # 6
            return _judged(quote, chain, authentic, now=now, required=revocation_required)
        except AttestError as error:
            first = first or error
    expected = f"collateral for FMSPC {chain.pck.fmspc.hex()}, {chain.ca} CA, {_tee(quote)}"
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
    quote: Quote, collateral: Sequence[TdxCollateral], bench: Bench, kept: Sequence[VerifiedChain]
) -> VerifiedChain:
    """The chain that certifies the quoting enclave, kept from before or verified now."""
    named = quote.proof.certification
    first: AttestError | None = None
    for source in certification.chains(named, collateral):
        try:
            chain = _kept(kept, source) or authenticate_pck(source, bench)
            certification.check_names(named, chain.pck)
        except AttestError as error:
            first = first or error
        else:
            return chain
    raise first or NotAuthentic("PCK_CHAIN_MISSING", "pck_chain", expected="a chain", got="none")


_Verified = TypeVar("_Verified", VerifiedChain, VerifiedCollateral)


def _kept(kept: Sequence[_Verified], source: bytes | TdxCollateral) -> _Verified | None:
    """What was verified before of these very bytes."""
    for each in kept:
        if each.source == source:
            return each
    return None


def _vouching(chain: VerifiedChain, proof: Proof) -> VerifiedChain:
    """The chain, once its key signed the enclave's report: what it was seen to have signed before is spared."""
    vouched = proof.qe_report.raw, proof.qe_report_signature
    if chain.vouched == vouched:
        return chain
    _check_signature(chain.spki, *vouched, "QE_REPORT_SIGNATURE")
    return chain.having(vouched)


def _check_signature(spki: bytes, message: bytes, signature: bytes, check: str) -> None:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    verify_p256(spki, message, r, s, check=check, path=check.lower())


def _likely(collateral: Sequence[TdxCollateral], chain: VerifiedChain) -> Sequence[TdxCollateral]:
    """Those that speak of this family; if there is none, the first, so that a check can say what is wrong with it."""
    if len(collateral) == 1:
        return collateral
    name = chain.pck.fmspc.hex().encode()
    return [each for each in collateral if name in each.tcb_info.lower()] or collateral[:1]


def _judged(
    quote: Quote, chain: VerifiedChain, collateral: VerifiedCollateral, *, now: datetime, required: bool
) -> Authentic:
    """The claims, if the collateral is this platform's and speaks for it at `now`."""
    _check_family(_tee(quote), chain.pck, collateral.tcb_info)
    check_current(collateral, now)
    revocation = check_not_revoked(chain, collateral, required=required)  # 7
    verdict = _verdict(quote, chain.pck, collateral, now)  # 8
    return Authentic(
        claims=claims_of(quote, chain.pck, verdict, simulated=chain.root.simulated),
        findings=_PASSED + revocation,
        chain=chain,
        collateral=collateral,
    )


def _check_family(tee: str, pck: PckIdentity, info: TcbInfo) -> None:
    for name, expected, got in (
        ("id", tee, info.tee),
        ("fmspc", pck.fmspc, info.fmspc),
        ("pceId", pck.pceid, info.pceid),
    ):
        if expected != got:
            raise NotAuthentic("TCBINFO_MISMATCH", f"tcb_info.{name}", expected=expected, got=got)


def _verdict(quote: Quote, pck: PckIdentity, collateral: VerifiedCollateral, now: datetime) -> TcbVerdict:
    info, identity = collateral.tcb_info, collateral.qe_identity
    qe = evaluate_qe(quote.proof.qe_report, identity, _tee(quote))
    relaunch: TcbStatus | None = None
    if quote.td is None:
        parts = counted = (*evaluate_sgx(pck, info), qe)
    else:
        of_td, relaunch = evaluate_tdx(pck, quote.td, info, qe)
        parts = (*of_td, qe)
        counted = parts[1:]
    return TcbVerdict(
        status=merge([part.status for part in parts]) if relaunch is None else relaunch,
        advisories=tuple(sorted(set().union(*[part.advisories for part in counted]))),
        parts=parts,
        tcb_info_evaluation=info.evaluation,
        qe_identity_evaluation=identity.evaluation,
        at=now,
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
