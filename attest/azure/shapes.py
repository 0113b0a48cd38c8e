"""The shape in which evidence of a paravisor is met: JSON of Confidential Containers' agents, versions 0 to 2.

Source: confidential-containers/trustee, deps/verifier, `az-snp-vtpm` and `az-tdx-vtpm`. Bytes are lists of numbers
(version 0), hexadecimal (quote, PCRs) or base64url (reports, quotes of a TD, certificates); a VCEK may be PEM.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from attest.errors import Malformed
from attest.evidence import AzureEvidence, read_certificates
from attest.tpm import PCRS

__all__ = ["MAX_EVIDENCE", "read_azure"]

MAX_EVIDENCE = 1 << 18
_REPORT, _QUOTE = ("hcl_report", "report"), ("tpm_quote", "quote")
_KNOWN = {"version", "hcl_report", "report", "tpm_quote", "quote", "vcek", "td_quote"}
_PARTS = {"message", "signature", "pcrs"}


def read_azure(data: bytes) -> AzureEvidence:
    """The evidence in a JSON document; raises Malformed EVIDENCE_JSON, EVIDENCE_SIZE or CERT_MALFORMED."""
    if len(data) > MAX_EVIDENCE:
        raise Malformed("EVIDENCE_SIZE", "evidence", expected=f"at most {MAX_EVIDENCE} bytes", got=len(data))
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad("evidence", "JSON", type(error).__name__) from error
    if not isinstance(document, dict) or not document.keys() <= _KNOWN:
        got = ", ".join(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise _bad("evidence", f"an object of {', '.join(sorted(_KNOWN))}", got)
    quote = _one_of(document, _QUOTE)
    if not isinstance(quote, dict) or quote.keys() != _PARTS or not isinstance(quote["pcrs"], list):
        raise _bad("tpm_quote", f"an object of {', '.join(sorted(_PARTS))}", type(quote).__name__)
    if len(quote["pcrs"]) > PCRS:
        raise _bad("tpm_quote.pcrs", f"at most {PCRS}", len(quote["pcrs"]))
    return AzureEvidence(
        hcl_report=_base64(_one_of(document, _REPORT), "hcl_report"),
        tpm_quote=_hex(quote["message"], "tpm_quote.message"),
        tpm_signature=_hex(quote["signature"], "tpm_quote.signature"),
        pcrs=tuple(_hex(each, f"tpm_quote.pcrs[{number}]") for number, each in enumerate(quote["pcrs"])),
        certificates=_certificates(document["vcek"]) if document.get("vcek") else (),
        td_quote=_base64(document["td_quote"], "td_quote") if document.get("td_quote") else b"",
    )


def _one_of(document: Mapping[str, Any], names: Sequence[str]) -> Any:
    found = [document[name] for name in names if name in document]
    if len(found) != 1:
        raise _bad("evidence", f"one of {' and '.join(names)}", f"{len(found)} of them")
    return found[0]


def _certificates(value: Any) -> tuple[bytes, ...]:
    pem = isinstance(value, str) and value.startswith("-----BEGIN ")
    return read_certificates(value.encode() if pem else _base64(value, "vcek"), path="vcek")


def _hex(value: Any, path: str) -> bytes:
    if isinstance(value, list):
        return _numbers(value, path)
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise _bad(path, "hexadecimal", type(value).__name__) from None


def _base64(value: Any, path: str) -> bytes:
    if isinstance(value, list):
        return _numbers(value, path)
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _bad(path, "base64url", type(value).__name__) from None


def _numbers(value: Sequence[Any], path: str) -> bytes:
    if not all(type(byte) is int and 0 <= byte <= 255 for byte in value):
        raise _bad(path, "numbers from 0 to 255", "others")
    return bytes(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _bad("evidence", "each key once", "one of them twice")
    return found


def _bad(path: str, expected: str, got: object) -> Malformed:
    return Malformed("EVIDENCE_JSON", path, expected=expected, got=got)
