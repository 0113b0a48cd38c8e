"""Collateral in the JSON of Intel's QuoteCollateral, as tools exchange it; and what dcap-qvl says of it."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

import dcap_qvl
from cryptography.hazmat.primitives.serialization import Encoding

from attest.evidence import TdxCollateral
from attest.x509 import load_revocation_list

__all__ = ["Oracle", "ask", "collateral_of", "quote_collateral"]


def _parts(body: bytes, name: str) -> tuple[str, str]:
    """The signed object of a body and its signature, as texts."""
    head, tail = b'{"%s":' % name.encode(), body.rindex(b',"signature":"')
    if not body.startswith(head):
        raise ValueError(f"a body without {name}")
    return body[len(head) : tail].decode(), body[tail + len(b',"signature":"') : -2].decode()


def _der(crl: bytes) -> str:
    if not crl.startswith(b"-----"):
        return crl.hex()
    return load_revocation_list(crl, path="crl").handle.public_bytes(Encoding.DER).hex()


def quote_collateral(collateral: TdxCollateral) -> dict[str, str]:
    """The JSON members; bodies have to be as the maker writes them."""
    tcb_info, tcb_signature = _parts(collateral.tcb_info, "tcbInfo")
    qe_identity, qe_signature = _parts(collateral.qe_identity, "enclaveIdentity")
    found = {
        "tcb_info": tcb_info,
        "tcb_info_signature": tcb_signature,
        "tcb_info_issuer_chain": collateral.tcb_info_issuer_chain.decode(),
        "qe_identity": qe_identity,
        "qe_identity_signature": qe_signature,
        "qe_identity_issuer_chain": collateral.qe_identity_issuer_chain.decode(),
        "pck_crl": _der(collateral.pck_crl),
        "pck_crl_issuer_chain": collateral.pck_crl_issuer_chain.decode(),
        "root_ca_crl": _der(collateral.root_ca_crl),
    }
    if collateral.pck_certificate_chain:
        found["pck_certificate_chain"] = collateral.pck_certificate_chain.decode()
    return found


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """Its answer: a status, or the sentence with which it refused."""

    status: str | None
    sentence: str


def collateral_of(collateral: TdxCollateral) -> dcap_qvl.QuoteCollateralV3:
    """As dcap-qvl takes it."""
    return dcap_qvl.QuoteCollateralV3.from_json(json.dumps(quote_collateral(collateral)))


def ask(quote: bytes, collateral: TdxCollateral, root: bytes, now: dt.datetime) -> Oracle:
    """What dcap-qvl says of a quote under a root in DER."""
    try:
        given = collateral_of(collateral)
        found = dcap_qvl.verify_with_root_ca(quote, given, root, int(now.timestamp()))
    except (ValueError, RuntimeError) as error:
        return Oracle(status=None, sentence=" ".join(str(error).split()))
    return Oracle(status=found.status, sentence="")
