"""`sealgate evidence verify|show --type nvidia`: GPUs and NVSwitches, offline, under NVIDIA's own roots alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attest.errors import AttestError
from clients.cli.evidence_collateral import Given, bundle_lines, read_given
from clients.cli.evidence_files import (
    NOT_TRUSTED,
    finding_document,
    read_file,
    read_hex,
    read_time,
    refused,
)
from clients.errors import Usage

if TYPE_CHECKING:
    from attest.evidence import Collateral
    from attest.finding import Finding
    from attest.gpu.claims import DeviceClaims
    from attest.gpu.forms import Declared
    from attest.gpu.report import Report
    from clients.cli.main import Doors

__all__ = ["show", "verify"]

_OF_OTHERS = ("certs", "report_data")


def verify(args: argparse.Namespace, doors: Doors) -> int:
    """Every device of the file, alone and all together; the exit code."""
    from attest.anchors import BUILT_IN  # noqa: PLC0415
    from attest.gpu.verify import verify_device  # noqa: PLC0415

    for name in _OF_OTHERS:
        if getattr(args, name):
            raise Usage(f"--{name.replace('_', '-')} is not for --type nvidia")
    now = doors.now if args.at is None else read_time(args.at)
    nonce = None if args.nonce is None else read_hex(args.nonce, "--nonce")
    claims: list[DeviceClaims] = []
    found: list[Sequence[Finding]] = []
    at = ""
    try:
        given = read_given(args, doors, intel=False)
        collateral = _collateral(args, given)
        devices = _devices(args)
        for number, device in enumerate(devices):
            at = f"devices[{number}]."
            authentic = verify_device(
                device.evidence, collateral, BUILT_IN, nonce=nonce, now=now, revocation_required=False
            )
            claims.append(authentic.claims)
            found.append(authentic.findings)
    except AttestError as error:
        return refused(error, args.json, path=at)
    appraisal = _appraised(claims)
    # A bundle is a whole fleet's: that these devices' manifests are not in it is told, and refuses nothing.
    failed = {f.check for f in appraisal if f.check.startswith("RIM_") and f.outcome.value == "failed"}
    differs = bool(failed if args.rim else failed - {"RIM_MISSING"})
    document = {
        "verdict": "refused" if differs else "authentic",
        "type": "nvidia",
        "at": now.isoformat(),
        "devices": [
            {**_said(each), **_declared(devices[n], each), "findings": [finding_document(f) for f in found[n]]}
            for n, each in enumerate(claims)
        ],
        "default_profile": {
            "acceptable": all(f.outcome.value != "failed" for f in appraisal),
            "findings": [finding_document(f) for f in appraisal if f.outcome.value != "skipped"],
        },
        **given.document(),
    }
    print(json.dumps(document) if args.json else "\n".join(_told(document)))
    return NOT_TRUSTED if differs else 0


def show(args: argparse.Namespace, _doors: Doors) -> int:
    """What the bytes say, unverified; the exit code."""
    from attest.gpu.report import parse  # noqa: PLC0415

    at = ""
    shown = []
    try:
        for number, device in enumerate(_devices(args, chain_needed=False)):
            at = f"devices[{number}]."
            shown.append(_unverified(parse(device.evidence.report, device.evidence.kind)))
    except AttestError as error:
        return refused(error, args.json, path=at)
    document = {"verdict": "not verified", "type": "nvidia", "devices": shown}
    lines = [line for number, each in enumerate(shown) for line in (f"device {number}", *_lines(each))]
    print(json.dumps(document) if args.json else "\n".join(["not verified", *lines]))
    return 0


def _devices(args: argparse.Namespace, *, chain_needed: bool = True) -> Sequence[Declared]:
    """The devices of --evidence: JSON that brings its chains, or one report with --chain beside it."""
    from attest.evidence import DeviceEvidence  # noqa: PLC0415
    from attest.gpu.forms import Declared, kind_of, read_devices, read_report  # noqa: PLC0415

    data = read_file(args.evidence)
    if data.lstrip()[:1] in (b"{", b"["):
        if args.chain is not None:
            raise Usage("--chain is for a plain report; this JSON brings the chain of each device")
        return read_devices(data)
    if args.chain is None and chain_needed:
        raise Usage("--chain is needed beside a plain report")
    report = read_report(data)
    chain = b"" if args.chain is None else read_file(args.chain)
    return (Declared(evidence=DeviceEvidence(kind=kind_of(report), report=report, chain=chain), nonce=None),)


def _collateral(args: argparse.Namespace, given: Given) -> Collateral:
    crls, rims, ocsp = (tuple(read_file(path) for path in paths) for paths in (args.crl, args.rim, args.ocsp))
    return given.with_files(crls=crls, rims=rims, ocsp=ocsp)


def _appraised(claims: Sequence[DeviceClaims]) -> Sequence[Finding]:
    """What a profile that asks for these many GPUs, and for topology where they are in PPCIE mode, would find."""
    from attest.gpu.appraise import appraise_devices  # noqa: PLC0415
    from attest.gpu.opaque import Mode  # noqa: PLC0415
    from attest.gpu.profile import GpuProfile  # noqa: PLC0415

    gpus = [each for each in claims if not each.is_switch]
    wired = any(each.mode is Mode.PPCIE for each in gpus)
    document: dict[str, object] = {"count": 8, "topology": "ppcie"} if wired else {"count": max(len(gpus), 1)}
    return appraise_devices(claims, GpuProfile.parse(document))


def _said(claims: DeviceClaims) -> dict[str, Any]:
    return {
        "kind": claims.kind,
        "architecture": claims.architecture,
        "product": claims.product,
        "model": claims.model,
        "ueid": str(int.from_bytes(claims.ueid, "big")),
        "pdi": claims.pdi.hex(),
        "driver_version": claims.driver_version,
        "vbios_version": claims.vbios_version,
        "board": claims.board,
        "mode": claims.mode.value,
        "fwid": (claims.fwid or b"").hex(),
        "nonce": claims.nonce.hex(),
        "rim_ids": [rim_id for rim_id in claims.rim_ids if rim_id],
        "manifests": [
            f"{each.rim.title}, issued {each.rim.issued}"
            for each in (*claims.driver_manifests, *claims.vbios_manifests)
        ],
    }


def _declared(device: Declared, claims: DeviceClaims) -> dict[str, Any]:
    """A file's own word about the nonce binds nothing; it is compared for people alone."""
    return {} if device.nonce is None else {"declared_nonce_is_reported": device.nonce == claims.nonce}


def _unverified(report: Report) -> dict[str, Any]:
    opaque = report.opaque
    return {
        "kind": report.kind,
        "driver_version": opaque.driver_version,
        "vbios_version": opaque.vbios_version,
        "board": "_".join(part for part in (opaque.project, opaque.project_sku, opaque.chip_sku) if part),
        "chip_info": opaque.chip_info,
        "mode": opaque.mode.value,
        "nonce": report.nonce.hex(),
        "fwid": (opaque.fwid or b"").hex(),
        "switch_pdis": sorted({pdi.hex() for pdi in opaque.switch_pdis}),
        "gpu_pdis": [pdi.hex() for pdi in opaque.gpu_pdis],
        "trailing": report.trailing,
        "measurements": {str(n): value.hex() for n, value in enumerate(report.measurements) if any(value)},
    }


def _told(document: Mapping[str, Any]) -> list[str]:
    count = len(document["devices"])
    lines = [f"{document['verdict']}  {count} device{'s' * (count > 1)}, judged at {document['at']}"]
    lines += bundle_lines(document)
    for number, device in enumerate(document["devices"]):
        lines += [f"device {number}", *_lines(device)]
        for finding in device["findings"]:
            skipped = finding["outcome"] == "skipped"
            lines.append(f"  {'skip' if skipped else 'ok  '} {finding['check']}" + f"  {finding['got']}" * skipped)
    failed = [f for f in document["default_profile"]["findings"] if f["outcome"] == "failed"]
    lines.append("a default profile would " + ("refuse them:" if failed else "accept them"))
    return lines + [f"  {f['check']} {f['path']}: expected {f['expected']}, got {f['got']}" for f in failed]


def _lines(device: Mapping[str, Any]) -> list[str]:
    told: list[tuple[str, object]] = []
    for name, value in device.items():
        if isinstance(value, dict):
            told += [(f"{name}[{index}]", text) for index, text in value.items()]
        elif name != "findings" and value not in ("", []):
            told.append((name, ", ".join(value) if isinstance(value, list) else value))
    return [f"  {name:<20} {text}" for name, text in told]
