"""From what Intel publishes to what can be judged by: signatures, chains and forms verified, once.

Source: Intel "PCS API" version 4. What depends on the time (validity of every certificate, list and document) and on
the platform (revocation) is checked at every use, so that verified collateral is worth keeping and never trusted
longer than it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from attest.age import Issued
from attest.anchors import IntelRoot
from attest.errors import Malformed, NotAuthentic
from attest.evidence import TdxCollateral
from attest.path import Link, check_valid, link_of
from attest.tdx.chain import CAS, Bench
from attest.tdx.forms import recognise_identity, recognise_tcb_info
from attest.tdx.signed import read_signed
from attest.tdx.tcb_info import EnclaveIdentity, TcbInfo, read_identity, read_tcb_info
from attest.x509 import Certificate, RevocationList, load_revocation_list

__all__ = ["Revocations", "VerifiedCollateral", "authenticate_collateral", "check_current"]

_SIGNER = "Intel SGX TCB Signing"
_CRL = ("CRL_NOT_YET_VALID", "CRL_EXPIRED")
_DOCUMENT = ("COLLATERAL_NOT_YET_VALID", "COLLATERAL_EXPIRED")


class Revocations(NamedTuple):
    """An authentic list: who issued it, by name and key, and which serials it names."""

    issuer: bytes
    issuer_spki: bytes
    this_update: datetime
    next_update: datetime | None
    serials: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCollateral:
    """Collateral whose every signature was verified up to `root`. `source` is what was offered.

    The lists are None where none was offered. `signers` are the certificates that signed documents, whose serials the
    root's list may name; `links` are all certificates on the way. `issued` says when Intel made each part, and within
    `window` all parts are valid; None if one never says until when it is.
    """

    root: IntelRoot
    source: TdxCollateral
    tcb_info: TcbInfo
    qe_identity: EnclaveIdentity
    pck_crl: Revocations | None
    root_crl: Revocations | None
    signers: tuple[Link, ...]
    links: tuple[Link, ...]
    issued: tuple[Issued, ...]
    window: tuple[datetime, datetime] | None

    @property
    def expires(self) -> datetime:
        """The first moment after which something in it is no longer valid."""
        lists = (crl.next_update for crl in (self.pck_crl, self.root_crl) if crl is not None)
        return min(
            self.tcb_info.next_update,
            self.qe_identity.next_update,
            *(link.not_after for link in self.links),
            *(until for until in lists if until is not None),
        )


def authenticate_collateral(source: TdxCollateral, bench: Bench) -> VerifiedCollateral:
    """Verifies every signature of `source`; nothing of it is compared with a platform or a time yet.

    1. each part is read                               3. each document is signed by its signer's key
    2. each issuer chain ends in the pinned root       4. each list is signed by the issuer of its chain

    Signatures are checked one after the other, behind all reading: what they need stays in the processor's caches.

    Raises NotAuthentic COLLATERAL_CHAIN, PCK_ROOT_NOT_PINNED, CHAIN_SIGNATURE, TCBINFO_SIGNATURE, QEID_SIGNATURE,
    CRL_ISSUER, CRL_SIGNATURE, and Malformed.
    """
    chains = _Chains(bench=bench, read=[])
    tcb_chain = chains.load(source.tcb_info_issuer_chain, (_SIGNER,), "tcb_info_issuer_chain")  # 1
    qe_chain = tcb_chain
    if source.qe_identity_issuer_chain != source.tcb_info_issuer_chain:
        qe_chain = chains.load(source.qe_identity_issuer_chain, (_SIGNER,), "qe_identity_issuer_chain")
    tcb_info = read_signed(source.tcb_info, "tcbInfo", recognise_tcb_info, check="TCBINFO_FORMAT", path="tcb_info")
    qe_identity = read_signed(
        source.qe_identity, "enclaveIdentity", recognise_identity, check="QEID_FORMAT", path="qe_identity"
    )
    lists: list[tuple[RevocationList, Certificate, str]] = []
    if source.pck_crl:
        ca_chain = chains.load(source.pck_crl_issuer_chain, tuple(CAS), "pck_crl_issuer_chain")
        lists.append(_issued(source.pck_crl, ca_chain[0], "pck_crl"))
    if source.root_ca_crl:
        lists.append(_issued(source.root_ca_crl, tcb_chain[-1], "root_ca_crl"))
    root = chains.verify()  # 2
    tcb_info.check(tcb_chain[0], check="TCBINFO_SIGNATURE", path="tcb_info")  # 3
    qe_identity.check(qe_chain[0], check="QEID_SIGNATURE", path="qe_identity")
    for crl, issuer, path in lists:
        crl.check_signed_by_p256(issuer, path=path)  # 4
    info, identity = tcb_info.document(read_tcb_info), qe_identity.document(read_identity)
    found = {path: _revocations(crl, issuer) for crl, issuer, path in lists}
    pck_crl, root_crl = found.get("pck_crl"), found.get("root_ca_crl")
    links = chains.links()
    return VerifiedCollateral(
        root=root,
        source=source,
        tcb_info=info,
        qe_identity=identity,
        pck_crl=pck_crl,
        root_crl=root_crl,
        signers=tuple([link for link in links if link.name == "tcb_signer"]),
        links=links,
        issued=(
            Issued(name="tcb_info", since=info.issue_date),
            Issued(name="qe_identity", since=identity.issue_date),
            Issued(name="pck_crl", since=pck_crl.this_update if pck_crl else None),
            Issued(name="root_ca_crl", since=root_crl.this_update if root_crl else None),
        ),
        window=_window(links, tuple(found.values()), (info, identity)),
    )


def _window(
    links: Sequence[Link], crls: Sequence[Revocations], documents: Sequence[TcbInfo | EnclaveIdentity]
) -> tuple[datetime, datetime] | None:
    """When all of these are valid, both ends included."""
    ends = [crl.next_update for crl in crls if crl.next_update is not None]
    if len(ends) != len(crls):
        return None
    starts = [crl.this_update for crl in crls]
    for link in links:
        starts.append(link.not_before)
        ends.append(link.not_after)
    for document in documents:
        starts.append(document.issue_date)
        ends.append(document.next_update)
    return max(starts), min(ends)


def check_current(collateral: VerifiedCollateral, now: datetime) -> None:
    """Every part is valid at `now`; raises NotAuthentic CERT_*, CRL_*, COLLATERAL_NOT_YET_VALID, COLLATERAL_EXPIRED."""
    if collateral.window is not None and collateral.window[0] <= now <= collateral.window[1]:
        return
    check_valid(collateral.links, now)
    for name, crl in (("pck_crl", collateral.pck_crl), ("root_ca_crl", collateral.root_crl)):
        if crl is not None:
            _check_window(_CRL, name, crl.this_update, crl.next_update, now)
    for name, document in (("tcb_info", collateral.tcb_info), ("qe_identity", collateral.qe_identity)):
        _check_window(_DOCUMENT, name, document.issue_date, document.next_update, now)


def _check_window(checks: tuple[str, str], path: str, start: datetime, end: datetime | None, now: datetime) -> None:
    if end is not None and start <= now <= end:
        return
    expected = f"valid at {now.isoformat()}"
    if now < start:
        raise NotAuthentic(checks[0], path, expected=expected, got=f"from {start.isoformat()}")
    got = "no nextUpdate" if end is None else f"until {end.isoformat()}"
    raise NotAuthentic(checks[1], path, expected=expected, got=got)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chains:
    """Issuer chains of one set of collateral: (where it stands, issuer and root)."""

    bench: Bench
    read: list[tuple[str, tuple[Certificate, ...]]]

    def load(self, pem: bytes, issuers: Sequence[str], path: str) -> tuple[Certificate, ...]:
        """The issuer and the root, in that order."""
        chain = self.bench.load(pem, path=path)
        if len(chain) != 2 or chain[0].common_name not in issuers:
            names = ", ".join(c.common_name or "no name" for c in chain) or "none"
            expected = f"{' or '.join(issuers)}, and its root"
            raise NotAuthentic("COLLATERAL_CHAIN", path, expected=expected, got=names)
        self.read.append((path, chain))
        return chain

    def verify(self) -> IntelRoot:
        """The one root of all of them: a list of one root says nothing about what another issued."""
        roots: dict[IntelRoot, None] = {}
        for path, chain in self.read:
            # A CA is judged with a place below it for the certificates that it issues.
            lowest = 1 if chain[0].common_name in CAS else 0
            roots[self.bench.verify_path(chain, (f"{path}.issuer", f"{path}.root"), lowest=lowest)] = None
        if len(roots) != 1:
            names = ", ".join(root.spki_sha256.hex() for root in roots)
            raise NotAuthentic("COLLATERAL_CHAIN", "root", expected="one root for all parts", got=names)
        return next(iter(roots))

    def links(self) -> tuple[Link, ...]:
        """All certificates, each once."""
        once = {certificate.der: certificate for _, chain in self.read for certificate in chain}
        return tuple([link_of(certificate, _named(certificate)) for certificate in once.values()])


def _issued(data: bytes, issuer: Certificate, path: str) -> tuple[RevocationList, Certificate, str]:
    """A list that says it is of this issuer, with it and with where it stands."""
    crl = load_revocation_list(data, path=path)
    if crl.issuer != issuer.subject:
        raise NotAuthentic("CRL_ISSUER", path, expected=issuer.common_name, got=crl.issuer)
    if crl.critical:
        raise Malformed("CRL_UNSUPPORTED", path, expected="no critical extension", got=", ".join(crl.critical))
    return crl, issuer, path


def _revocations(crl: RevocationList, issuer: Certificate) -> Revocations:
    return Revocations(
        issuer=crl.issuer,
        issuer_spki=issuer.spki,
        this_update=crl.this_update,
        next_update=crl.next_update,
        serials=crl.serials,
    )


def _named(certificate: Certificate) -> str:
    if certificate.common_name == _SIGNER:
        return "tcb_signer"
    return "pck_ca" if certificate.common_name in CAS else "root"
