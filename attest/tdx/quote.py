"""A quote: header, what it is about, and what proves it. Versions 3 (SGX), 4 and 5 (SGX and TDX).

Sources: Intel "SGX ECDSA QuoteLibReference DCAP API" appendix A (version 3), "TDX DCAP Quoting Library API" appendix A
(versions 4 and 5). Lengths have to nest exactly and reserved bytes to be zero. What may follow is padding: quoting
services hand out buffers of a fixed size, and zeros mean nothing. Integers are little-endian, ECDSA values big-endian.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from attest.errors import Malformed
from attest.tdx.body import SGX_SIZE, SgxReport, TdReport, read_sgx, read_td
from attest.tdx.claims import PckIdentity, SgxClaims, TcbVerdict, TdAttributes, TdxClaims

__all__ = ["MAX_QUOTE", "Certification", "Proof", "Quote", "claims_of", "parse"]

MAX_QUOTE = 64 * 1_024
VERSIONS = (3, 4, 5)
_HEADER = struct.Struct("<HHI4s16s20s")
_HEAD_3 = struct.Struct("<64s64s384s64sH")
_HEAD_4 = struct.Struct("<64s64sHI384s64sH")
_OUTER = 64 + 64 + 2 + 4
_DESCRIPTOR = _CERTIFICATION = struct.Struct("<HI")
_NO_SVNS = bytes(4)
_SGX, _TDX = 0x00, 0x81
_ECDSA_P256 = 2
_INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_QE_REPORT_CERTIFICATION = 6
_CERTIFICATION_TYPES = range(1, 6)
# Version 5 says what the body is: type: (TEE, size).
_BODIES = {1: (_SGX, SGX_SIZE), 2: (_TDX, 584), 3: (_TDX, 648), 4: (_TDX, 885)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """What certifies the quoting enclave: `kind` 1 to 3 name a PCK certificate, 4 is one, 5 is its whole chain."""

    kind: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What proves a quote: the attestation key's signature, and the quoting enclave that vouches for the key.

    Signatures are r || s, `attestation_key` x || y, 32 bytes each.
    """

    signature: bytes
    attestation_key: bytes
    qe_report: SgxReport
    qe_report_signature: bytes
    qe_auth: bytes
    certification: Certification


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A parsed quote; exactly one of `sgx` and `td` is there. `signed` is what the signature covers, as received."""

    version: int
    signed: bytes
    sgx: SgxReport | None
    td: TdReport | None
    proof: Proof


def parse(data: bytes) -> Quote:
    """The quote in `data`; raises Malformed QUOTE_*, ATT_KEY_TYPE, TEE_TYPE, QE_VENDOR. Nothing is authentic yet."""
    if len(data) > MAX_QUOTE:
        raise Malformed("QUOTE_LENGTH", "quote", expected=f"at most {MAX_QUOTE} bytes", got=f"{len(data)} bytes")
    version, tee = _header(_take(data, 0, _HEADER.size))
    start, size = _place_of_body(data, version, tee)
    body = _take(data, start, size)
    sgx = read_sgx(body, path="report") if tee == _SGX else None
    td = read_td(body, path="report") if tee == _TDX else None
    end = start + size
    left = int.from_bytes(_take(data, end, 4), "little")
    proof = _proof(_take(data, end + 4, left), version)
    _check_padding(data, end + 4 + left)
    return Quote(version=version, signed=data[:end], sgx=sgx, td=td, proof=proof)


def _take(data: bytes, start: int, count: int) -> bytes:
    taken = data[start : start + count]
    if len(taken) != count:
        got = len(data) - start
        raise Malformed("QUOTE_TRUNCATED", "quote", expected=f"{count} bytes at {start:#x}", got=got)
    return taken


def _header(raw: bytes) -> tuple[int, int]:
    version, key_type, tee, svns, vendor, _user_data = _HEADER.unpack(raw)
    if version not in VERSIONS:
        raise Malformed("QUOTE_VERSION", "quote.header.version", expected=list(VERSIONS), got=version)
    if key_type != _ECDSA_P256:
        raise Malformed("ATT_KEY_TYPE", "quote.header.att_key_type", expected="2, ECDSA over P-256", got=key_type)
    if tee != _SGX and (tee != _TDX or version == 3):
        expected = "0, SGX" if version == 3 else "0, SGX, or 0x81, TDX"
        raise Malformed("TEE_TYPE", "quote.header.tee_type", expected=expected, got=f"{tee:#x}")
    if version != 3 and svns != _NO_SVNS:
        raise Malformed("QUOTE_RESERVED", "quote.header.reserved[0x008]", expected="4 zero bytes", got=svns)
    if vendor != _INTEL_QE:
        raise Malformed("QE_VENDOR", "quote.header.qe_vendor_id", expected=_INTEL_QE, got=vendor)
    return version, tee


def _place_of_body(data: bytes, version: int, tee: int) -> tuple[int, int]:
    """Where the body begins, and its size."""
    start = _HEADER.size
    if version != 5:
        return start, (SGX_SIZE if tee == _SGX else 584)
    kind, size = _DESCRIPTOR.unpack(_take(data, start, _DESCRIPTOR.size))
    if _BODIES.get(kind) != (tee, size):
        expected = ", ".join(f"type {k} with {s} bytes" for k, (t, s) in _BODIES.items() if t == tee)
        raise Malformed("QUOTE_BODY", "quote.body", expected=expected, got=f"type {kind} with {size} bytes")
    return start + _DESCRIPTOR.size, size


def _proof(data: bytes, version: int) -> Proof:
    """Signature and key; from version 4 on all else stands in certification data of type 6, which ends with it."""
    head = _HEAD_3 if version == 3 else _HEAD_4
    if len(data) < head.size:
        got = f"{len(data)} bytes"
        raise Malformed("QUOTE_CERT_DATA", "quote.signature_data", expected=f"at least {head.size} bytes", got=got)
    signature, key, *outer, qe_report, qe_report_signature, auth_size = head.unpack_from(data)
    if outer:
        _check_outer(outer[0], outer[1], len(data) - _OUTER)
    at = head.size + auth_size
    left = len(data) - at - _CERTIFICATION.size
    if left < 0:
        got = f"{len(data)} bytes"
        raise Malformed("QUOTE_CERT_DATA", "quote.signature_data", expected=f"more than {at} bytes", got=got)
    kind, size = _CERTIFICATION.unpack_from(data, at)
    if kind not in _CERTIFICATION_TYPES:
        raise Malformed("QUOTE_CERT_DATA", "quote.certification.type", expected="1 to 5", got=kind)
    if left != size:
        path = "quote.certification.size"
        raise Malformed("QUOTE_CERT_DATA", path, expected=f"{left}, which are left", got=size)
    return Proof(
        signature=signature,
        attestation_key=key,
        qe_report=read_sgx(qe_report, path="qe_report"),
        qe_report_signature=qe_report_signature,
        qe_auth=data[head.size : at],
        certification=Certification(kind=kind, data=data[at + _CERTIFICATION.size :]),
    )


def _check_outer(kind: int, size: int, left: int) -> None:
    path = "quote.signature_data.certification"
    if kind != _QE_REPORT_CERTIFICATION:
        expected = "6, QE report certification data"
        raise Malformed("QUOTE_CERT_DATA", f"{path}.type", expected=expected, got=kind)
    if size != left:
        raise Malformed("QUOTE_CERT_DATA", f"{path}.size", expected=f"{left}, which are left", got=size)


def _check_padding(data: bytes, end: int) -> None:
    if data.count(0, end) != len(data) - end:
        raise Malformed("QUOTE_TRAILING", f"quote[{end:#x}]", expected="nothing, or zeros", got=data[end:])


def claims_of(quote: Quote, pck: PckIdentity, verdict: TcbVerdict, *, simulated: bool) -> TdxClaims | SgxClaims:
    """The claims of a quote, once it is authentic and its platform judged."""
    report, signed_bytes = quote.td, hashlib.sha256(quote.signed).digest()
    if report is None:
        return _sgx_claims(quote, pck, verdict, signed_bytes, simulated=simulated)
    return TdxClaims(
        quote_version=quote.version,
        simulated=simulated,
        tee_tcb_svn=report.tee_tcb_svn,
        mr_seam=report.mr_seam,
        mrsigner_seam=report.mrsigner_seam,
        td_attributes=TdAttributes(raw=report.td_attributes),
        xfam=report.xfam,
        mr_td=report.mr_td,
        mr_config_id=report.mr_config_id,
        mr_owner=report.mr_owner,
        mr_owner_config=report.mr_owner_config,
        rtmrs=report.rtmrs,
        report_data=report.report_data,
        tee_tcb_svn2=report.tee_tcb_svn2,
        mr_servicetd=report.mr_servicetd,
        pck=pck,
        tcb_verdict=verdict,
        signed_bytes=signed_bytes,
    )


def _sgx_claims(
    quote: Quote, pck: PckIdentity, verdict: TcbVerdict, signed_bytes: bytes, *, simulated: bool
) -> SgxClaims:
    report = quote.sgx
    if report is None:
        raise TypeError("a quote is of an enclave or of a TD")
    return SgxClaims(
        quote_version=quote.version,
        simulated=simulated,
        attributes=report.attributes,
        mrenclave=report.mrenclave,
        mrsigner=report.mrsigner,
        isvprodid=report.isvprodid,
        isvsvn=report.isvsvn,
        configid=report.configid,
        report_data=report.report_data,
        pck=pck,
        tcb_verdict=verdict,
        signed_bytes=signed_bytes,
    )
