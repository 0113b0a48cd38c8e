"""One piece of what Intel publishes, checked by itself before anybody keeps it: nothing is fetched here.

Source: Intel "PCS API" version 4. An answer is checked under the pinned root, at `now`, and for being what was asked
for: where it came from says nothing. Each function returns the moment after which the piece is no longer valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from attest.anchors import Anchors
from attest.errors import Malformed, NotAuthentic
from attest.path import Link, check_valid, link_of
from attest.tdx.chain import CAS, Bench
from attest.tdx.forms import recognise_identity, recognise_tcb_info
from attest.tdx.recoveries import Recoveries, read_recoveries
from attest.tdx.signed import Signed, read_signed
from attest.tdx.tcb_info import EnclaveIdentity, TcbInfo, read_identity, read_tcb_info
from attest.x509 import Certificate, load_revocation_list

__all__ = ["Checked", "check_pck_crl", "check_qe_identity", "check_recoveries", "check_root_crl", "check_tcb_info"]

_SIGNER = "Intel SGX TCB Signing"
_DOCUMENT = ("COLLATERAL_NOT_YET_VALID", "COLLATERAL_EXPIRED")
_CRL = ("CRL_NOT_YET_VALID", "CRL_EXPIRED")
_QE = {"TDX": "TD_QE", "SGX": "QE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A piece that is authentic and current. `evaluation` is its tcbEvaluationDataNumber; 0 for a list.

    `events` are those of TCB recoveries, by their number, where the piece tells of them.
    """

    expires: datetime
    evaluation: int = 0
    events: Mapping[int, datetime] = field(default_factory=dict)


def check_tcb_info(body: bytes, chain: bytes, anchors: Anchors, *, tee: str, fmspc: bytes, now: datetime) -> Checked:
    """The body of `/{sgx,tdx}/certification/v4/tcb`, for this TEE and family; `chain` is its issuer chain, PEM.

    Raises Malformed or NotAuthentic: COLLATERAL_CHAIN, PCK_ROOT_NOT_PINNED, TCBINFO_*, COLLATERAL_EXPIRED and others.
    """
    signer, links = _issuers(chain, (_SIGNER,), "tcb_info_issuer_chain", anchors)
    signed = read_signed(body, "tcbInfo", recognise_tcb_info, check="TCBINFO_FORMAT", path="tcb_info")
    signed.check(signer, check="TCBINFO_SIGNATURE", path="tcb_info")
    info = signed.document(read_tcb_info)
    for name, expected, got in (("id", tee, info.tee), ("fmspc", fmspc, info.fmspc)):
        if expected != got:
            raise NotAuthentic("TCBINFO_MISMATCH", f"tcb_info.{name}", expected=expected, got=got)
    return _current(info, links, "tcb_info", now)


def check_qe_identity(body: bytes, chain: bytes, anchors: Anchors, *, tee: str, now: datetime) -> Checked:
    """The body of `/{sgx,tdx}/certification/v4/qe/identity`; raises as `check_tcb_info`, with QEID_* for TCBINFO_*."""
    signer, links = _issuers(chain, (_SIGNER,), "qe_identity_issuer_chain", anchors)
    signed = read_signed(body, "enclaveIdentity", recognise_identity, check="QEID_FORMAT", path="qe_identity")
    signed.check(signer, check="QEID_SIGNATURE", path="qe_identity")
    identity = signed.document(read_identity)
    if identity.identifier != _QE[tee]:
        raise NotAuthentic("QEID_MISMATCH", "qe_identity.id", expected=_QE[tee], got=identity.identifier)
    return _current(identity, links, "qe_identity", now)


def check_recoveries(body: bytes, chain: bytes, anchors: Anchors, *, tee: str, now: datetime) -> Checked:
    """The body of `/{sgx,tdx}/certification/v4/tcbevaluationdatanumbers`; raises as above, with EVALUATIONS_*."""
    signer, links = _issuers(chain, (_SIGNER,), "evaluations_issuer_chain", anchors)
    signed: Signed[Recoveries] = read_signed(
        body, "tcbEvaluationDataNumbers", lambda _: None, check="EVALUATIONS_FORMAT", path="evaluations"
    )
    signed.check(signer, check="EVALUATIONS_SIGNATURE", path="evaluations")
    found = signed.document(read_recoveries)
    if found.tee != tee:
        raise NotAuthentic("EVALUATIONS_MISMATCH", "evaluations.id", expected=tee, got=found.tee)
    return replace(_current(found, links, "evaluations", now), events=found.events)


def check_pck_crl(data: bytes, chain: bytes, anchors: Anchors, *, ca: str, now: datetime) -> Checked:
    """The body of `/sgx/certification/v4/pckcrl` for this CA, platform or processor.

    Raises Malformed or NotAuthentic: COLLATERAL_CHAIN, PCK_ROOT_NOT_PINNED, CRL_*.
    """
    names = tuple(name for name, kind in CAS.items() if kind == ca)
    issuer, links = _issuers(chain, names, "pck_crl_issuer_chain", anchors)
    until = _list(data, issuer, "pck_crl", now)
    check_valid(links, now)
    return Checked(expires=min(until, *(link.not_after for link in links)))


def check_root_crl(data: bytes, chain: bytes, anchors: Anchors, *, now: datetime) -> Checked:
    """Intel's root CRL, by the root at the end of `chain`, any issuer chain; raises Malformed, NotAuthentic CRL_*."""
    bench = Bench(anchors)
    certificates = bench.load(chain, path="issuer_chain")
    if not certificates:
        raise NotAuthentic("COLLATERAL_CHAIN", "issuer_chain", expected="a chain that ends in a root", got="none")
    bench.verify_path(certificates[-1:], ("issuer_chain.root",), lowest=1)
    return Checked(expires=_list(data, certificates[-1], "root_ca_crl", now))


def _issuers(pem: bytes, names: Sequence[str], path: str, anchors: Anchors) -> tuple[Certificate, tuple[Link, ...]]:
    """The issuer, with all links up to the pinned root."""
    bench = Bench(anchors)
    chain = bench.load(pem, path=path)
    if len(chain) != 2 or chain[0].common_name not in names:
        got = ", ".join(c.common_name or "no name" for c in chain) or "none"
        raise NotAuthentic("COLLATERAL_CHAIN", path, expected=f"{' or '.join(names)}, and its root", got=got)
    places = (f"{path}.issuer", f"{path}.root")
    bench.verify_path(chain, places, lowest=1 if chain[0].common_name in CAS else 0)
    return chain[0], tuple(link_of(c, place) for c, place in zip(chain, places, strict=True))


def _current(
    document: TcbInfo | EnclaveIdentity | Recoveries, links: Sequence[Link], path: str, now: datetime
) -> Checked:
    check_valid(links, now)
    _check_window(_DOCUMENT, path, document.issue_date, document.next_update, now)
    expires = min(document.next_update, *(link.not_after for link in links))
    return Checked(expires=expires, evaluation=document.evaluation)


def _list(data: bytes, issuer: Certificate, path: str, now: datetime) -> datetime:
    crl = load_revocation_list(data, path=path)
    if crl.issuer != issuer.subject:
        raise NotAuthentic("CRL_ISSUER", path, expected=issuer.common_name, got="a list of another issuer")
    crl.check_signed_by_p256(issuer, path=path)
    if crl.critical:
        raise Malformed("CRL_UNSUPPORTED", path, expected="no critical extension", got=", ".join(crl.critical))
    if crl.next_update is None:
        raise NotAuthentic("CRL_EXPIRED", path, expected=f"valid at {now.isoformat()}", got="no nextUpdate")
    _check_window(_CRL, path, crl.this_update, crl.next_update, now)
    return crl.next_update


def _check_window(checks: tuple[str, str], path: str, start: datetime, end: datetime, now: datetime) -> None:
    expected = f"valid at {now.isoformat()}"
    if now < start:
        raise NotAuthentic(checks[0], path, expected=expected, got=f"from {start.isoformat()}")
    if now > end:
        raise NotAuthentic(checks[1], path, expected=expected, got=f"until {end.isoformat()}")
