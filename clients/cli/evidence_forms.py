"""The forms in which people keep evidence of CPUs: text for bytes, and JSON of the tools that collect it.

    bytes       as they are, in hexadecimal (also behind 0x), or in base64
    quotes      CoCo {"quote", "cc_eventlog"}, dstack {"quote", "event_log"}, others {"intel_quote"}; also wrapped
    reports     {"attestation_report", "vek_cert"}; Azure containers {"evidence", "endorsements"}; the request of
                Microsoft Azure Attestation {"report": {"SnpReport", "VcekCertChain"}}; a paravisor's HCL report
    certificates  PEM, DER, the certificate table of an extended report, JSON of Azure's THIM, a folder of any of them

Nothing that is read here is authentic, and what a form says beside evidence and certificates is passed over.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attest.errors import Malformed
from attest.evidence import SnpEvidence, read_certificates

__all__ = ["decoded", "read_any_certificates", "read_quote_file", "read_report_file"]

_QUOTES = ("quote", "intel_quote", "tdx_quote", "sgx_quote")
_LOGS = ("event_log", "cc_eventlog")
_REPORTS = ("attestation_report", "evidence", "report", "SnpReport")
_CERTIFICATES = ("vek_cert", "endorsements", "VcekCertChain", "cert_chain")
_THIM = ("vcekCert", "certificateChain")
_WRAPPERS = ("sev_snp", "tdx", "sgx", "evidence", "primary_evidence", "tee-evidence", "report")
_DEPTH = 3
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_TABLE = 24  # bytes of an entry of a certificate table
_TOOLS = re.compile(rb"\s*(header|report|td_quote_body)\s*:?\s*\{")


def decoded(data: bytes) -> bytes:
    """The bytes of a text that is nothing but hexadecimal or base64; else `data`. Evidence itself is no such text."""
    if data.lstrip().startswith(b"-----"):  # PEM is made of the letters of base64url
        return data
    text = b"".join(data.split())
    try:
        return binascii.unhexlify(text.removeprefix(b"0x")) if text else data
    except binascii.Error:
        pass
    if not _BASE64.fullmatch(text):
        return data
    try:
        padded = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        return base64.b64decode(padded + b"=" * (-len(padded) % 4), validate=True)
    except binascii.Error:
        return data


def read_quote_file(data: bytes) -> tuple[bytes, bytes]:
    """A quote, and the event log that the form has beside it or nothing. Raises Malformed EVIDENCE_FORM."""
    document = _document(data)
    if document is None:
        return _no_text(decoded(data), "a quote"), b""
    found = _innermost(document, _QUOTES)
    quote = _bytes_of(_one(found, _QUOTES, "a quote"), "quote")
    log = next((found[name] for name in _LOGS if found.get(name)), None)
    if log is None:
        return quote, b""
    if isinstance(log, list) and log and isinstance(log[0], Mapping):
        return quote, json.dumps(log).encode()
    text = log.encode() if isinstance(log, str) else b""
    return quote, text if text.lstrip()[:1] in (b"[", b"{") else _bytes_of(log, "event_log")


def read_report_file(data: bytes) -> SnpEvidence:
    """An SNP report, with the certificates beside it. Raises Malformed, also as `attest.snp.shapes.read_evidence`."""
    from attest.azure.hcl import SNP, parse_hcl  # noqa: PLC0415  # the command line must start fast
    from attest.snp.report import REPORT_SIZE, VERSIONS  # noqa: PLC0415
    from attest.snp.shapes import read_evidence  # noqa: PLC0415

    data = decoded(data)
    if data[:4] == b"HCLA":
        hcl = parse_hcl(data)
        if hcl.kind != SNP:
            raise _bad("evidence", "an HCL report with an SNP report in it", "one with a TDREPORT")
        return read_evidence(hcl.hardware)
    document = _document(data)
    if document is None:
        version = int.from_bytes(_no_text(data, "a report")[:4], "little")
        if len(data) > REPORT_SIZE and version not in VERSIONS:  # another TEE's, and not a table that is malformed
            raise Malformed("SNP_VERSION", "report.version", expected=list(VERSIONS), got=version)
        return read_evidence(data)
    found = _innermost(document, _REPORTS)
    report = next((found[name] for name in _REPORTS if isinstance(found.get(name), str | list)), None)
    if report is None:
        return read_evidence(data if found is document else json.dumps(found).encode())
    inner = _bytes_of(report, "report")
    if inner.lstrip()[:1] == b"{":
        return read_report_file(inner)
    evidence = read_evidence(inner)
    beside = [item for name in _CERTIFICATES for item in _listed(found.get(name))]
    certificates = [der for item in beside for der in read_any_certificates(_blob(item), path="certificates")]
    return SnpEvidence(report=evidence.report, certificates=(*evidence.certificates, *certificates))


def read_any_certificates(data: bytes, *, path: str) -> tuple[bytes, ...]:
    """The certificates of a file, DER. Raises Malformed CERT_MALFORMED, CERT_TABLE."""
    from attest.snp.table import read_table  # noqa: PLC0415  # of AMD's alone

    if b"-----BEGIN " not in data:
        data = decoded(data)
    document = _document(data)
    if document is not None and any(isinstance(document.get(name), str) for name in _THIM):
        data = "\n".join(str(document[name]) for name in _THIM if document.get(name)).encode()
    if len(data) > _TABLE and data[:1] != b"\x30" and b"-----BEGIN " not in data[:_TABLE] and not data[:1].isspace():
        offset = int.from_bytes(data[16:20], "little")
        if 0 < offset < len(data):
            return read_table(data)
    return read_certificates(data, path=path)


def _document(data: bytes) -> Mapping[str, Any] | None:
    """A JSON object; None for what does not begin as one."""
    if data.lstrip()[:1] != b"{":
        return None
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad("evidence", "JSON", type(error).__name__) from error
    return found if isinstance(found, dict) else None


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    listed = list(pairs)
    found = dict(listed)
    if len(found) != len(listed):
        raise _bad("evidence", "each key once", "one of them twice")
    return found


def _innermost(document: Mapping[str, Any], wanted: Sequence[str]) -> Mapping[str, Any]:
    """The object that has one of the wanted members as a value, through the wrappers that are known."""
    for _ in range(_DEPTH):
        if any(name in document and not isinstance(document[name], Mapping) for name in wanted):
            return document
        inner = [document[name] for name in _WRAPPERS if isinstance(document.get(name), Mapping)]
        if len(inner) != 1:
            return document
        [document] = inner
    return document


def _one(found: Mapping[str, Any], names: Sequence[str], what: str) -> Any:
    given = [found[name] for name in names if found.get(name)]
    if len(given) != 1:
        raise _bad("evidence", f"{what}: one of {', '.join(names)}", ", ".join(sorted(found))[:120] or "none")
    return given[0]


def _bytes_of(value: Any, path: str) -> bytes:
    """Bytes that JSON has as text or as a list of numbers."""
    if isinstance(value, list) and all(type(byte) is int and 0 <= byte <= 255 for byte in value):
        return bytes(value)
    if isinstance(value, str):
        text = value.encode("utf-8", "replace")
        if (found := decoded(text)) != text:
            return found
    raise _bad(path, "hexadecimal, base64, or a list of bytes", type(value).__name__)


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) and not all(type(each) is int for each in value) else (value,)


def _blob(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) and "-----BEGIN " in value else _bytes_of(value, "certificates")


def _no_text(data: bytes, what: str) -> bytes:
    """`data`, unless it is a text: then it is no evidence at all, and not evidence that is malformed."""
    head = data[:200]
    if not head.strip() or not all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return data
    got = f"a text that begins {head[:40].decode('ascii')!r}"
    if _TOOLS.match(head):
        got = "protobuf as text; the tool that made it writes bytes with -outform bin"
    raise _bad("evidence", f"{what} in bytes, hexadecimal or base64, or JSON that has one", got)


def _bad(path: str, expected: str, got: object) -> Malformed:
    return Malformed("EVIDENCE_FORM", path, expected=expected, got=got)
