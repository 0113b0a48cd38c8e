"""Quotes that do not carry their PCK certificate: what can be said of them without it, and whether one is theirs.

Source: Intel "SGX ECDSA QuoteLibReference DCAP API" appendix A.4, certification data types 1 to 4, and "PCS API"
version 4, "Get PCK Certificate". A quote names its certificate by PPID, clear or encrypted, and security versions; a
PCCS knows it by the quoting enclave's id, too, which is the beginning of the header's user data.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from attest.anchors import Anchors
from attest.ecdsa import spki_of_p256, verify_p256
from attest.errors import NotBound
from attest.path import check_valid
from attest.tdx import certification
from attest.tdx.chain import CAS, Bench, authenticate_pck
from attest.tdx.pck import read_pck
from attest.tdx.pem import read_chain
from attest.tdx.qe import check_binding
from attest.tdx.quote import parse
from attest.tdx.verify import Needed
from attest.x509 import load_certificate

__all__ = ["Named", "check_certifies", "check_pck", "check_sound", "named", "needed_with"]

_QE_ID = slice(28, 44)
# By type: the size of the PPID, which CPUSVN (16), PCESVN (2) and PCEID (2) follow.
_PPID = {1: 16, 2: 256, 3: 384}
_WHOLE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Which certificate a quote asks for; nothing of it is authentic. `leaf` is the certificate itself, DER, or empty.

    Of type 4 there is the leaf alone; of types 1 to 3 the rest, `encrypted_ppid` empty for type 1. `digest` tells one
    asked-for certificate from others.
    """

    kind: int
    qe_id: bytes
    encrypted_ppid: bytes
    cpusvn: bytes
    pcesvn: bytes
    pceid: bytes
    leaf: bytes
    digest: bytes


def named(raw: bytes) -> Named | None:
    """What a quote of type 1 to 4 names; None for one that carries its chain, or leaves PCEID out. Raises Malformed."""
    quote = parse(raw)
    kind, data = quote.proof.certification.kind, quote.proof.certification.data
    qe_id = raw[_QE_ID]
    digest = hashlib.sha256(bytes([kind]) + qe_id + data).digest()
    none = {"encrypted_ppid": b"", "cpusvn": b"", "pcesvn": b"", "pceid": b"", "leaf": b""}
    carried = certification.carried(quote.proof.certification)
    if len(carried) == 1:
        return Named(kind=kind, qe_id=qe_id, digest=digest, **{**none, "leaf": carried[0]})
    size = _PPID.get(kind)
    if size is None or len(data) != size + _WHOLE:
        return None
    return Named(
        kind=kind,
        qe_id=qe_id,
        encrypted_ppid=b"" if kind == 1 else data[:size],
        cpusvn=data[size : size + 16],
        pcesvn=data[size + 16 : size + 18],
        pceid=data[size + 18 :],
        leaf=b"",
        digest=digest,
    )


def needed_with(raw: bytes, chain: bytes) -> Needed:
    """Which collateral a quote asks for that is certified by `chain` (PEM). Raises Malformed."""
    leaf = load_certificate(read_chain(chain, path="pck_certificate_chain")[0], path="pck_certificate_chain[0]")
    tee = "SGX" if parse(raw).td is None else "TDX"
    return Needed(fmspc=read_pck(leaf).fmspc, ca=CAS.get(leaf.issuer_common_name, ""), tee=tee)


def check_sound(raw: bytes, *, report_data: bytes) -> None:
    """All that can be checked of a quote without its certificate: that it is one, for this request, and of one piece.

    Raises Malformed, NotBound REPORT_DATA_MISMATCH, NotAuthentic QE_BINDING, QUOTE_SIGNATURE.
    """
    quote = parse(raw)
    got = quote.td.report_data if quote.td is not None else b""
    if got != report_data:
        raise NotBound("REPORT_DATA_MISMATCH", "report.report_data", expected=report_data, got=got)
    check_binding(quote.proof)
    _check(spki_of_p256(quote.proof.attestation_key), quote.signed, quote.proof.signature, "QUOTE_SIGNATURE")


def check_certifies(raw: bytes, chain: bytes, anchors: Anchors, *, now: datetime) -> datetime:
    """That `chain` (PEM) certifies this quote's platform at `now`; the moment after which it is no longer valid.

    Raises Malformed and NotAuthentic: PCK_*, CHAIN_SIGNATURE, CERT_*, QE_REPORT_SIGNATURE.
    """
    proof = parse(raw).proof
    found = authenticate_pck(chain, Bench(anchors))
    certification.check_names(proof.certification, found.pck)
    check_valid(found.links, now)
    _check(found.spki, proof.qe_report.raw, proof.qe_report_signature, "QE_REPORT_SIGNATURE")
    return min(link.not_after for link in found.links)


def check_pck(chain: bytes, anchors: Anchors, *, now: datetime) -> datetime:
    """That `chain` is some platform's, under the pinned root, valid at `now`; raises as above."""
    found = authenticate_pck(chain, Bench(anchors))
    check_valid(found.links, now)
    return min(link.not_after for link in found.links)


def _check(spki: bytes, message: bytes, signature: bytes, check: str) -> None:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    verify_p256(spki, message, r, s, check=check, path=check.lower())
