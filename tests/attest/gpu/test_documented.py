"""docs/gpu.md names every check of devices, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import attest.gpu

_ROOM = Path(attest.gpu.__file__).parent
_PAGE = Path(__file__).parents[3] / "docs" / "gpu.md"
_NAME = r"(?:GPU|RIM|CHAIN|CERT|CRL|OCSP|STATUS|REVOCATION|DEVICE|TOPOLOGY|SWITCH|NONCE|REPORT)_[A-Z_]+"
# Made of parts where they are raised.
_COMPOSED = {"CERT_NOT_YET_VALID", "RIM_NOT_YET_VALID", "RIM_EXPIRED", "DEVICE_DRIVER_VERSION", "DEVICE_VBIOS_VERSION"}
_ELSEWHERE = {"CERT_MALFORMED", "CRL_MALFORMED", "DEVICE_LEASED_ELSEWHERE", "REPORT_DATA_MISMATCH"}
_NO_CHECKS = {"RIM_NAMES", "GPU_INFO"}


def test_every_check_is_documented() -> None:
    code = "".join(path.read_text() for path in (*_ROOM.glob("*.py"), _ROOM.parent / "devices.py"))
    raised = set(re.findall(rf'"({_NAME})"', code)) | _COMPOSED | _ELSEWHERE
    written = set(re.findall(rf"`({_NAME})`", _PAGE.read_text()))
    assert written == raised - _NO_CHECKS
