"""`sealgate evidence verify|show --type snp`: is this report authentic, and what does it say?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.evidence_collateral import Given, bundle_lines, read_given
from clients.cli.evidence_files import certificate_files, finding_document, read_file, read_hex, read_time, refused
from clients.cli.evidence_forms import read_any_certificates, read_report_file

if TYPE_CHECKING:
    from attest.evidence import Collateral, SnpEvidence
    from attest.finding import Finding
    from attest.profile import Claims
    from attest.snp.report import Report
    from clients.cli.main import Doors

__all__ = ["show", "verify"]

_TCBS = ("reported", "committed", "current", "launch")


def verify(args: argparse.Namespace, doors: Doors) -> int:
    """Prints whether the report is authentic, and apart from it what the default profile finds; the exit code."""
    from attest.anchors import BUILT_IN  # noqa: PLC0415
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.verify import inspect_without_binding, verify  # noqa: PLC0415

    now = doors.now if args.at is None else read_time(args.at)
    report_data = None if args.report_data is None else read_hex(args.report_data, "--report-data")
    evidence_bytes = read_file(args.evidence)
    files = certificate_files(args.certs)
    crls = tuple(read_file(path) for path in args.crl)
    try:
        evidence = read_report_file(evidence_bytes)
        given = read_given(args, doors, intel=False)
        collateral = _collateral(files, crls, given)
        common: dict[str, Any] = {"now": now, "revocation": "optional"}
        if report_data is None:
            inspected = inspect_without_binding(evidence, collateral, BUILT_IN, **common)
            claims, findings = inspected.claims, inspected.findings
        else:
            verified = verify(evidence, collateral, BUILT_IN, report_data=report_data, **common)
            claims, findings = verified.claims, verified.findings
    except AttestError as error:
        return refused(error, args.json)
    document = _authentic(claims, findings, now) | given.document()
    print(json.dumps(document) if args.json else "\n".join(_authentic_lines(document)))
    return 0


def show(args: argparse.Namespace, _doors: Doors) -> int:
    """Prints what the bytes claim; nothing is verified."""
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.snp.report import parse  # noqa: PLC0415

    data = read_file(args.evidence)
    try:
        evidence = read_report_file(data)
        document = _unverified(parse(evidence.report), evidence)
    except AttestError as error:
        return refused(error, args.json)
    print(json.dumps(document) if args.json else "\n".join(["not verified", *_lines(document, ("verdict",))]))
    return 0


def _collateral(files: Sequence[tuple[Path, bytes]], crls: tuple[bytes, ...], given: Given) -> Collateral:
    found = [der for path, data in files for der in read_any_certificates(data, path=str(path))]
    return given.with_files(certificates=tuple(found), crls=crls)


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
        "findings": [finding_document(f) for f in findings],
        "default_profile": {
            "status": vector.status.name.lower(),
            "trustworthiness_vector": vector.document(),
            "acceptable": all(f.outcome is Outcome.PASSED for f in default),
            "findings": [finding_document(f) for f in default],
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


def _lines(document: Mapping[str, Any], but: Sequence[str]) -> list[str]:
    """One short line for each value that says something."""
    told = {name: _shown(value) for name, value in document.items() if name not in but}
    return [f"  {name:<20} {text}" for name, text in told.items() if len(text) < 3 or text.strip("0")]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {part}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _authentic_lines(document: Mapping[str, Any]) -> list[str]:
    but = ("verdict", "type", "product", "at", "findings", "default_profile", "collateral_bundles")
    lines = [f"authentic  {document['type']} {document['product']}, judged at {document['at']}", *_lines(document, but)]
    lines += bundle_lines(document)
    for finding in document["findings"]:
        skipped = finding["outcome"] == "skipped"
        lines.append(f"  {'skip' if skipped else 'ok  '} {finding['check']}" + f"  {finding['got']}" * skipped)
    failed = [f for f in document["default_profile"]["findings"] if f["outcome"] == "failed"]
    lines.append("a default profile would " + ("refuse it:" if failed else "accept the platform"))
    return lines + [f"  {f['check']} {f['path']}: expected {f['expected']}, got {f['got']}" for f in failed]
