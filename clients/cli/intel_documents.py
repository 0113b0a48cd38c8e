"""Intel's documents as its PCS serves them, each in a file of its own: what `curl` leaves behind.

Source: Intel "PCS API" version 4. Bodies are JSON whose bytes are signed; the issuer chains come in headers, as PEM;
revocation lists are DER, hexadecimal or PEM. Which file is which is seen from what it holds; nothing is authentic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attest.errors import Malformed
from attest.evidence import TdxCollateral
from clients.cli.evidence_forms import decoded
from clients.errors import Usage

__all__ = ["is_document", "put_together"]

_BODIES = {b'{"tcbInfo"': "tcb_info", b'{"enclaveIdentity"': "qe_identity"}
_ROOT, _SIGNER = "Intel SGX Root CA", "Intel SGX TCB Signing"
_NEEDED = {
    "tcb_info": "TCB info (/tcb)",
    "qe_identity": "the quoting enclave's identity (/qe/identity)",
    "pck_crl": "the revocation list of the PCK CA (/pckcrl)",
    "root_ca_crl": "the revocation list of the root",
    "signer": f"the chain of {_SIGNER} (header TCB-Info-Issuer-Chain)",
    "ca": "the chain of the PCK CA (header SGX-PCK-CRL-Issuer-Chain)",
}


def is_document(data: bytes) -> bool:
    """Whether a file is one of Intel's documents, and not a JSON of all of them."""
    return data.lstrip()[:1] != b"{" or _body(data) is not None


def put_together(files: Sequence[tuple[Path, bytes]]) -> TdxCollateral:
    """The collateral of one platform family; raises Usage for what is missing or twice, Malformed COLLATERAL_FORMAT."""
    found: dict[str, bytes] = {}
    certificates: dict[str, x509.Certificate] = {}
    issuer = ""
    for path, data in files:
        name, value = _body(data), data
        if name is None:
            raw = unquote_to_bytes(data) if data.startswith(b"-----BEGIN%20") else decoded(data)
            if b"-----BEGIN CERTIFICATE-----" in raw:
                certificates |= {_common(each.subject): each for each in _certificates(raw, path)}
                continue
            crl = _list(raw, path)
            value = crl.public_bytes(Encoding.DER)
            name = "root_ca_crl" if _common(crl.issuer) == _ROOT else "pck_crl"
            issuer = _common(crl.issuer) if name == "pck_crl" else issuer
        if found.get(name, value) != value:
            raise Usage(f"{path} is a second one of {_NEEDED[name]}: give those of one platform family")
        found[name] = value
    there = {*found, *(["signer"] if _SIGNER in certificates else []), *(["ca"] if issuer in certificates else [])}
    missing = [text for name, text in _NEEDED.items() if name not in there]
    if missing or _ROOT not in certificates:
        raise Usage("--collateral lacks " + "; ".join(missing or [f"the certificate of {_ROOT}"]))
    signers, cas = (_pem(certificates[name], certificates[_ROOT]) for name in (_SIGNER, issuer))
    return TdxCollateral(
        **found, tcb_info_issuer_chain=signers, qe_identity_issuer_chain=signers, pck_crl_issuer_chain=cas
    )


def _body(data: bytes) -> str | None:
    head = b"".join(data[:80].split())
    return next((name for start, name in _BODIES.items() if head.startswith(start)), None)


def _certificates(raw: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(raw)
    except ValueError as error:
        raise _wrong(path, "certificates in PEM", error) from error


def _list(raw: bytes, path: Path) -> x509.CertificateRevocationList:
    load = x509.load_pem_x509_crl if b"-----BEGIN " in raw[:100] else x509.load_der_x509_crl
    try:
        return load(raw)
    except ValueError as error:
        expected = "a bundle, JSON of QuoteCollateral, or one of Intel's documents, lists or chains"
        raise _wrong(path, expected, error) from error


def _common(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _pem(*chain: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in chain)


def _wrong(path: Path, expected: str, error: Exception) -> Malformed:
    return Malformed("COLLATERAL_FORMAT", f"collateral[{path.name}]", expected=expected, got=str(error)[:120])
