"""Which PCK certificate certifies a quote: in the quote itself, or named there and found in the collateral.

Source: Intel "SGX ECDSA QuoteLibReference DCAP API" appendix A.4, certification data types 1 to 5. Types 1 to 3 name a
platform by its PPID (plain, or encrypted for Intel) and its security versions, 4 is the certificate alone; for all of
these the chain has to be handed over. A quote that brings its chain is judged by that one.
"""

from __future__ import annotations

from collections.abc import Sequence

from attest.errors import Malformed, NotAuthentic
from attest.evidence import TdxCollateral
from attest.tdx.claims import PckIdentity
from attest.tdx.pem import read_chain
from attest.tdx.quote import Certification

__all__ = ["carried", "chains", "check_names"]

_LEAF, _CHAIN = 4, 5
# By type: the size of the PPID, which CPUSVN (16), PCESVN (2) and PCEID (2) follow. PCEID is left out in the sample of
# Intel's verification library, the only bytes of type 1 that are known here.
_PPID = {1: 16, 2: 256, 3: 384}
_PLAIN = 1
_WHOLE, _WITHOUT_PCEID = 20, 18


def chains(certification: Certification, collateral: Sequence[TdxCollateral]) -> tuple[bytes, ...]:
    """The chains that may certify it, in PEM, in the order of trial; at least one.

    Raises Malformed CERT_MALFORMED, QUOTE_CERT_DATA, and NotAuthentic PCK_CHAIN_MISSING.
    """
    if certification.kind == _CHAIN:
        return (certification.data,)
    _check_size(certification)
    offered = tuple(dict.fromkeys(each.pck_certificate_chain for each in collateral if each.pck_certificate_chain))
    found = offered
    if certification.kind == _LEAF:
        leaf = _leaf(certification.data)
        found = tuple(pem for pem in offered if read_chain(pem, path="pck_certificate_chain")[:1] == leaf)
    if not found:
        expected = "a chain beside a quote that does not carry its own"
        got = f"certification data of type {certification.kind}, and {len(offered)} chains of others"
        raise NotAuthentic("PCK_CHAIN_MISSING", "pck_certificate_chain", expected=expected, got=got)
    return found


def carried(certification: Certification) -> tuple[bytes, ...]:
    """The certificates that the quote itself carries, from the leaf up; none for types 1 to 3."""
    if certification.kind == _CHAIN:
        return read_chain(certification.data, path="pck_chain")
    return _leaf(certification.data) if certification.kind == _LEAF else ()


def check_names(certification: Certification, pck: PckIdentity) -> None:
    """What a quote of type 1 to 3 says about its certificate holds of this one; raises NotAuthentic PCK_CHAIN.

    PCEID and the plain PPID have to be the same; the certificate may be of a lower TCB than the platform, since Intel
    issues one for each level and not for each version.
    """
    size = _PPID.get(certification.kind)
    if size is None:
        return
    pceid = certification.data[size + _WITHOUT_PCEID :]
    if pceid and pceid != pck.pceid:
        raise NotAuthentic("PCK_CHAIN", "pck.pceid", expected=pceid, got=pck.pceid)
    if certification.kind == _PLAIN and certification.data[:size] != pck.ppid:
        raise NotAuthentic("PCK_CHAIN", "pck.ppid", expected=certification.data[:size], got=pck.ppid)


def _check_size(certification: Certification) -> None:
    size = _PPID.get(certification.kind)
    if size is None:
        return
    tails = (_WITHOUT_PCEID, _WHOLE) if certification.kind == _PLAIN else (_WHOLE,)
    if len(certification.data) - size not in tails:
        expected, got = f"{size + _WHOLE} bytes", f"{len(certification.data)} bytes"
        raise Malformed("QUOTE_CERT_DATA", "quote.certification.data", expected=expected, got=got)


def _leaf(data: bytes) -> tuple[bytes, ...]:
    found = read_chain(data, path="pck")
    if len(found) != 1:
        raise Malformed("QUOTE_CERT_DATA", "quote.certification.data", expected="one certificate", got=len(found))
    return found
