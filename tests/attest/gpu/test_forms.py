"""The forms in which evidence travels: read alike, and whatever is none is refused with its place."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import AttestError
from attest.gpu.forms import read_devices, read_report
from tests.attest.gpu.made import NONCE, vendor
from tests.attest.refusal import refused
from tests.makers.nvidia import Device


def _item(device: Device, **more: object) -> dict[str, object]:
    arch = "LS10" if device.chip == "LS_10" else "HOPPER"
    evidence = base64.b64encode(device.report(NONCE)).decode()
    return {"arch": arch, "evidence": evidence, "certificate": base64.b64encode(device.pem).decode(), **more}


def test_three_forms_of_the_same() -> None:
    gpu, switch = vendor().device(), vendor().device("LS_10")
    items = [_item(gpu), _item(switch)]
    sdk = [dict(item, nonce="0x" + NONCE.hex()) for item in items]
    service = {"nonce": NONCE.hex(), "arch": "HOPPER", "evidence_list": items}
    coco = {"device_evidence_list": [dict(item, uuid="GPU-1") for item in items]}
    for document, nonce in ((sdk, NONCE), (service, NONCE), (coco, None)):
        found = read_devices(json.dumps(document).encode())
        assert [each.evidence.kind for each in found] == ["nvidia-gpu", "nvidia-switch"]
        assert [each.evidence.chain for each in found] == [gpu.pem, switch.pem]
        assert {each.nonce for each in found} == {nonce}
    assert read_devices(json.dumps(sdk[0]).encode())[0].nonce == NONCE


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        7,
        "x",
        [7],
        [{"evidence": "AA=="}],
        [{"evidence": "?", "certificate": "AA=="}],
        [{"evidence": 7, "certificate": "AA=="}],
        [{"evidence": "AA==", "certificate": "AA==", "nonce": "00"}],
        [{"evidence": "AA==", "certificate": "AA==", "nonce": 7}],
        [{"evidence": "AA==", "certificate": "AA=="}] * 33,
        {"evidence_list": []},
        {"evidence_list": {}},
    ],
    ids=lambda d: json.dumps(d)[:60],
)
def test_other_documents(document: object) -> None:
    with refused("GPU_FORM"):
        read_devices(json.dumps(document).encode())


def test_reports_raw_and_in_hexadecimal() -> None:
    report = vendor().device().report(NONCE)
    for data in (report, report.hex().encode(), b" 0x" + report.hex().upper().encode() + b"\n"):
        assert read_report(data) == report
    for data in (b"", b" \n", b"0x", b"x", b"1", b"\x12" + report[1:], b"\x11" * (2 << 20)):
        with refused("GPU_FORM"):
            read_report(data)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for read in (read_report, read_devices):
        try:
            assert read(data)
        except AttestError:
            continue  # any other exception fails the test
