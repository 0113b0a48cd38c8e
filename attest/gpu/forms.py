"""The forms in which NVIDIA evidence travels: NVIDIA's SDK, its remote service, CoCo, and plain files.

Sources: NVIDIA attestation-sdk, "Evidence JSON": a list of `{"arch", "evidence", "certificate", "nonce"}`; the request
of NVIDIA's Remote Attestation Service: `{"evidence_list": [...], "nonce"}`; Confidential Containers, guest-components:
`{"device_evidence_list": [{"arch", "uuid", "evidence", "certificate"}]}`. Evidence and certificates are base64 there.
A plain file is one report, raw or in hexadecimal. What a form declares (architecture, nonce, versions) is a hint at
most: it says which kind of device to expect, and a declared nonce is returned for people to compare.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attest.errors import Malformed
from attest.evidence import DeviceEvidence
from attest.gpu.report import GPU, SWITCH

__all__ = ["Declared", "kind_of", "read_devices", "read_report"]

_MAX_FILE, _MAX_DEVICES = 1 << 20, 32
_SWITCHES = frozenset({"ls10", "switch"})
_NONCE = slice(4, 36)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One device's evidence and the nonce that the file declares for it; None if it declares none."""

    evidence: DeviceEvidence
    nonce: bytes | None


def read_report(data: bytes) -> bytes:
    """A report from a file, raw or in hexadecimal with white space around it; raises Malformed GPU_FORM."""
    if len(data) > _MAX_FILE:
        raise _bad("evidence", f"at most {_MAX_FILE} bytes", f"{len(data)} bytes")
    if data[:1] == b"\x11":  # SPDMVersion, which is no digit
        return data
    expected = "a report, raw or in hexadecimal, or JSON"
    try:
        report = bytes.fromhex(data.decode("ascii").strip().removeprefix("0x"))
    except ValueError as error:
        raise _bad("evidence", expected, f"other bytes: {data[:8].hex()}") from error
    if not report:
        raise _bad("evidence", expected, "nothing")
    return report


def kind_of(report: bytes) -> str:
    """The kind of device that a plain report says it is of, by its number of blocks. The chain has the last word."""
    return SWITCH if report[41:42] == b"\x1f" else GPU


def read_devices(data: bytes) -> tuple[Declared, ...]:
    """The devices of a JSON file in one of the three forms, in its order; raises Malformed GPU_FORM."""
    if len(data) > _MAX_FILE:
        raise _bad("evidence", f"at most {_MAX_FILE} bytes", f"{len(data)} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _bad("evidence", "JSON", str(error)) from error
    nonce: object = None
    if isinstance(document, Mapping):
        lists = [document[key] for key in ("evidence_list", "device_evidence_list") if key in document]
        nonce = document.get("nonce")
        items = lists[0] if len(lists) == 1 else [document]
    else:
        items = document
    if not isinstance(items, list) or not 1 <= len(items) <= _MAX_DEVICES:
        raise _bad("evidence", f"a list of 1 to {_MAX_DEVICES} devices", type(items).__name__)
    return tuple(_device(item, nonce, f"evidence[{number}]") for number, item in enumerate(items))


def _device(item: Any, nonce: object, path: str) -> Declared:
    if not isinstance(item, Mapping):
        raise _bad(path, "an object with evidence and certificate", type(item).__name__)
    architecture = item.get("arch", "")
    kind = SWITCH if isinstance(architecture, str) and architecture.lower() in _SWITCHES else GPU
    evidence = DeviceEvidence(
        kind=kind,
        report=_base64(item.get("evidence"), f"{path}.evidence"),
        chain=_base64(item.get("certificate"), f"{path}.certificate"),
    )
    return Declared(evidence=evidence, nonce=_nonce(item.get("nonce", nonce), f"{path}.nonce"))


def _base64(value: object, path: str) -> bytes:
    if not isinstance(value, str):
        raise _bad(path, "base64", type(value).__name__)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(path, "base64", str(error)) from error


def _nonce(value: object, path: str) -> bytes | None:
    if value is None:
        return None
    text = value.removeprefix("0x") if isinstance(value, str) else ""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != _NONCE.stop - _NONCE.start:
        raise _bad(path, "32 bytes in hexadecimal", value)
    return found


def _bad(path: str, expected: str, got: object) -> Malformed:
    return Malformed("GPU_FORM", path, expected=expected, got=got)
