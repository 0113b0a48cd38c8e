"""The shapes in which quotes and collateral are met: bytes or hexadecimal text; JSON of Intel's QuoteCollateral.

Source: `sgx_ql_qve_collateral_t` of Intel's quote verification library, in the JSON that tools made of it: issuer
chains and signed objects are texts, signatures stand beside them, revocation lists are hexadecimal, base64 or PEM. A
body as Intel serves it is put together again from object and signature: the signed bytes are those that were given.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from attest.errors import Malformed
from attest.evidence import TdxCollateral

__all__ = ["MAX_COLLATERAL", "read_collateral", "read_quote"]

MAX_COLLATERAL = 1 << 20
_REQUIRED = {
    "tcb_info", "tcb_info_issuer_chain", "tcb_info_signature", "qe_identity", "qe_identity_issuer_chain",
    "qe_identity_signature", "pck_crl", "pck_crl_issuer_chain", "root_ca_crl",
}  # fmt: skip
_OPTIONAL = {"pck_certificate_chain"}


def read_quote(data: bytes) -> bytes:
    """The bytes of a quote, which may be given as hexadecimal text. A quote begins with its version, which is no digit.

    Raises Malformed EVIDENCE_SIZE.
    """
    if len(data) > MAX_COLLATERAL:
        raise Malformed("EVIDENCE_SIZE", "quote", expected=f"at most {MAX_COLLATERAL} bytes", got=len(data))
    text = b"".join(data.split())
    text = text.removeprefix(b"0x")
    try:
        return binascii.unhexlify(text) if text else data
    except binascii.Error:
        return data


def read_collateral(data: bytes) -> TdxCollateral:
    """Collateral from JSON; raises Malformed COLLATERAL_FORMAT, JSON_DUPLICATE_KEY. Nothing of it is authentic."""
    if len(data) > MAX_COLLATERAL:
        raise _wrong("", f"at most {MAX_COLLATERAL} bytes", f"{len(data)} bytes")
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _wrong("", "JSON in UTF-8", str(error)) from error
    if not isinstance(found, dict) or found.keys() - _OPTIONAL != _REQUIRED:
        got = ", ".join(sorted(found)) if isinstance(found, dict) else type(found).__name__
        raise _wrong("", f"the keys {', '.join(sorted(_REQUIRED))}", got)
    return TdxCollateral(
        tcb_info=_body("tcbInfo", found, "tcb_info"),
        tcb_info_issuer_chain=_text(found, "tcb_info_issuer_chain"),
        qe_identity=_body("enclaveIdentity", found, "qe_identity"),
        qe_identity_issuer_chain=_text(found, "qe_identity_issuer_chain"),
        pck_crl=_list(found, "pck_crl"),
        pck_crl_issuer_chain=_text(found, "pck_crl_issuer_chain"),
        root_ca_crl=_list(found, "root_ca_crl"),
        pck_certificate_chain=_text(found, "pck_certificate_chain") if found.get("pck_certificate_chain") else b"",
    )


def _wrong(name: str, expected: str, got: str) -> Malformed:
    path = f"collateral.{name}" if name else "collateral"
    return Malformed("COLLATERAL_FORMAT", path, expected=expected, got=got)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("JSON_DUPLICATE_KEY", "collateral", expected="each key once", got="one twice")
    return found


def _text(found: dict[str, Any], name: str) -> bytes:
    value = found[name]
    if not isinstance(value, str):
        raise _wrong(name, "a text", type(value).__name__)
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _wrong(name, "a text in UTF-8", str(error)) from error


def _body(member: str, found: dict[str, Any], name: str) -> bytes:
    """The body that was served: object and signature side by side."""
    signature = found[f"{name}_signature"]
    if not isinstance(signature, str) or not signature.isalnum():
        raise _wrong(f"{name}_signature", "hexadecimal digits", repr(signature)[:80])
    return b'{"%s":%s,"signature":"%s"}' % (member.encode(), _text(found, name), _text(found, f"{name}_signature"))


def _list(found: dict[str, Any], name: str) -> bytes:
    """A revocation list: PEM as it is, hexadecimal or base64 as its bytes; nothing where it is empty."""
    text = _text(found, name)
    if text.startswith(b"-----BEGIN "):
        return text
    try:
        return binascii.unhexlify(text)
    except binascii.Error:
        pass
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _wrong(name, "a revocation list in hexadecimal, base64 or PEM", str(error)) from error
