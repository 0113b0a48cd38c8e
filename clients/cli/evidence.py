"""`sealgate evidence verify|show`: is this authentic, and what does it say? Offline, under AMD's own roots alone."""

from __future__ import annotations

import argparse
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.errors import Usage

if TYPE_CHECKING:
    from attest.errors import AttestError
    from attest.evidence import Collateral, SnpEvidence
    from attest.finding import Finding
    from attest.profile import Claims
    from attest.snp.report import Report
    from clients.cli.main import Doors

__all__ = ["register"]

_MAX_FILE = 1 << 20
_NOT_TRUSTED = 4
_TCBS = ("reported", "committed", "current", "launch")
_VERIFY = """The chain must end in a root of AMD's that is built in, whatever certificates are given. Without --crl
revocation is shown as not checked; without --report-data the evidence may be a replay, which is shown too.

examples:
  sealgate evidence verify --type snp --evidence report.bin --certs vcek.der cert_chain.pem --crl milan.crl
  sealgate evidence verify --type snp --evidence extended.bin --report-data 3f0c... --at 2026-05-01T12:00:00Z --json

exit codes:
  0 authentic   2 usage   4 refused"""
_SHOW = """Nothing is verified: this only says what the bytes claim.

example:
  sealgate evidence show --type snp --evidence report.bin"""
_EVIDENCE_HELP = "a report, a report with certificate table, JSON of Confidential Containers, or any of them in hex"


def register(subparsers: Any) -> None:
    """Adds the command with `verify` and `show`."""
    about = "Verifies or shows attestation evidence, offline."
    evidence = subparsers.add_parser("evidence", help="verify or show attestation evidence, offline", description=about)
    actions = evidence.add_subparsers(metavar="ACTION", title="actions", required=True)
    verify = _action(actions, "verify", "is it authentic, under the vendor's own roots?", _VERIFY)
    files: dict[str, Any] = {"type": Path, "nargs": "+", "action": "extend", "default": [], "metavar": "FILE"}
    verify.add_argument("--certs", **files, help="certificates, PEM or DER, in any order; may be repeated")
    verify.add_argument("--crl", **files, help="revocation lists of the root, PEM or DER; may be repeated")
    verify.add_argument("--report-data", metavar="HEX", help="the 64 bytes that REPORT_DATA has to be")
    verify.add_argument("--at", metavar="RFC3339", help="judge validity at this time (default: now)")
    verify.set_defaults(run=_verify)
    _action(actions, "show", "what do the bytes say?", _SHOW).set_defaults(run=_show)


def _action(actions: Any, name: str, summary: str, epilog: str) -> Any:
    parser = actions.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--type", choices=["snp"], required=True, help="the kind of TEE")
    parser.add_argument("--evidence", type=Path, required=True, metavar="FILE", help=_EVIDENCE_HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _verify(args: argparse.Namespace, doors: Doors) -> int:
    from attest.anchors import BUILT_IN  # noqa: PLC0415
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.snp.shapes import read_evidence  # noqa: PLC0415
    from attest.verify import inspect_without_binding, verify  # noqa: PLC0415

    now = doors.now if args.at is None else _time(args.at)
    report_data = None if args.report_data is None else _hex(args.report_data, "--report-data")
    evidence_bytes = _read_evidence_file(args.evidence)
    certificate_files = [(path, _read(path)) for path in args.certs]
    crls = tuple(_read(path) for path in args.crl)
    try:
        evidence = read_evidence(evidence_bytes)
        collateral = _collateral(certificate_files, crls)
        common: dict[str, Any] = {"now": now, "revocation": "optional"}
        if report_data is None:
            inspected = inspect_without_binding(evidence, collateral, BUILT_IN, **common)
            claims, findings = inspected.claims, inspected.findings
        else:
            verified = verify(evidence, collateral, BUILT_IN, report_data=report_data, **common)
            claims, findings = verified.claims, verified.findings
    except AttestError as error:
        return _refused(error, args.json)
    document = _authentic(claims, findings, now)
    print(json.dumps(document) if args.json else "\n".join(_authentic_lines(document)))
    return 0


def _show(args: argparse.Namespace, _doors: Doors) -> int:
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.snp.report import parse  # noqa: PLC0415
    from attest.snp.shapes import read_evidence  # noqa: PLC0415

    data = _read_evidence_file(args.evidence)
    try:
        evidence = read_evidence(data)
        document = _unverified(parse(evidence.report), evidence)
    except AttestError as error:
        return _refused(error, args.json)
    print(json.dumps(document) if args.json else "\n".join(["not verified", *_lines(document, ("verdict",))]))
    return 0


def _read(path: Path) -> bytes:
    """The bytes of a file, with a limit; raises Usage with a sentence."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise Usage(f"{path} is larger than {_MAX_FILE} bytes")
    return data


def _read_evidence_file(path: Path) -> bytes:
    """The evidence; a file that is nothing but hexadecimal text is decoded."""
    data = _read(path)
    text = b"".join(data.split())
    try:
        return binascii.unhexlify(text) if text else data
    except binascii.Error:
        return data


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.utcoffset() is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Usage(f"--at is not a time as in RFC 3339, such as 2026-05-01T12:00:00Z: {text}") from error
    raise Usage(f"--at needs a zone, such as {text}Z")


def _hex(text: str, option: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Usage(f"{option} is not hexadecimal: {text[:80]}") from error


def _collateral(files: Sequence[tuple[Path, bytes]], crls: tuple[bytes, ...]) -> Collateral:
    from attest.evidence import Collateral, read_certificates  # noqa: PLC0415

    found = [der for path, data in files for der in read_certificates(data, path=str(path))]
    return Collateral(certificates=tuple(found), crls=crls)


def _refused(error: AttestError, as_json: bool) -> int:
    told = {"check": error.check, "path": error.path, "expected": error.expected, "got": error.got}
    if as_json:
        print(json.dumps({"verdict": "refused", **told}))
    else:
        print(
            f"refused  {error.check}\n" + "\n".join(f"  {name:<9}{told[name]}" for name in ("path", "expected", "got"))
        )
    return _NOT_TRUSTED


def _authentic(claims: Claims, findings: Iterable[Finding], now: datetime) -> dict[str, Any]:
    """The verdict, what the report says, and beside it what a profile without any wishes would find."""
    from attest.ear import vector_of  # noqa: PLC0415
    from attest.finding import Outcome  # noqa: PLC0415
    from attest.snp.appraise import appraise_snp  # noqa: PLC0415
    from attest.snp.profile import SnpProfile  # noqa: PLC0415

    snp = claims.snp
    if snp is None:
        raise TypeError(f"{claims.platform} evidence is shown elsewhere")
    default = [f for f in appraise_snp(snp, SnpProfile()) if f.outcome is not Outcome.SKIPPED]
    vector = vector_of(default)
    return {
        "verdict": "authentic",
        "type": claims.platform,
        "at": now.isoformat(),
        "product": snp.product,
        **_said(snp),
        "signing_key": snp.signing_key.name,
        "csp_id": snp.csp_id,
        **{f"{name}_tcb": getattr(snp, f"{name}_tcb").components() for name in _TCBS},
        "signed_bytes_sha256": snp.signed_bytes.hex(),
        "findings": [_finding(f) for f in findings],
        "default_profile": {
            "status": vector.status.name.lower(),
            "trustworthiness_vector": vector.document(),
            "acceptable": all(f.outcome is Outcome.PASSED for f in default),
            "findings": [_finding(f) for f in default],
        },
    }


def _said(report: Any) -> dict[str, Any]:
    """What report and claims have in common."""
    names = ("measurement", "report_data", "host_data", "chip_id", "report_id", "report_id_ma", "family_id", "image_id",
             "id_key_digest", "author_key_digest")  # fmt: skip
    return {
        "version": report.version,
        "policy": f"{report.policy.raw:#x}",
        "debug": report.policy.debug,
        "vmpl": report.vmpl,
        "guest_svn": report.guest_svn,
        "platform_info": f"{report.platform_info.raw:#x}",
        "platform": sorted(report.platform_info.names),
        "current_firmware": str(report.current_firmware),
        "committed_firmware": str(report.committed_firmware),
        **{name: getattr(report, name).hex() for name in names},
    }


def _unverified(report: Report, evidence: SnpEvidence) -> dict[str, Any]:
    return {
        "verdict": "not verified",
        "type": "snp",
        "signing_key": report.key_info[1].name,
        "cpuid": list(report.cpuid or ()),
        **_said(report),
        **{f"{name}_tcb": getattr(report, f"{name}_tcb").hex() for name in _TCBS},
        "certificates": len(evidence.certificates),
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {**asdict(finding), "outcome": finding.outcome.value}


def _lines(document: Mapping[str, Any], but: Sequence[str]) -> list[str]:
    """One short line for each value that says something."""
    told = {name: _shown(value) for name, value in document.items() if name not in but}
    return [f"  {name:<20} {text}" for name, text in told.items() if len(text) < 3 or text.strip("0")]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {part}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _authentic_lines(document: Mapping[str, Any]) -> list[str]:
    but = ("verdict", "type", "product", "at", "findings", "default_profile")
    lines = [f"authentic  {document['type']} {document['product']}, judged at {document['at']}", *_lines(document, but)]
    for finding in document["findings"]:
        skipped = finding["outcome"] == "skipped"
        lines.append(f"  {'skip' if skipped else 'ok  '} {finding['check']}" + f"  {finding['got']}" * skipped)
    failed = [f for f in document["default_profile"]["findings"] if f["outcome"] == "failed"]
    lines.append("a default profile would " + ("refuse it:" if failed else "accept the platform"))
    return lines + [f"  {f['check']} {f['path']}: expected {f['expected']}, got {f['got']}" for f in failed]
