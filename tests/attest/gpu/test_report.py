"""Reports: the contract of every room that reads evidence, and each field wrong in one way, genuinely signed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import AttestError
from attest.gpu.opaque import Mode, parse_gpu, parse_switch
from attest.gpu.report import GPU, SWITCH, parse
from tests.attest.contract import EvidenceContract
from tests.attest.gpu.made import NONCE, collateral, judge, kept_of, vendor
from tests.attest.refusal import refused
from tests.makers.nvidia import tlv

_OPAQUE = 45 + 64 * 55 + 32  # where a GPU's OpaqueLength is


class TestGpuReport(EvidenceContract):
    """A report under a kept chain: the signature and every byte under it count."""

    @pytest.fixture(autouse=True)
    def _device(self, request: pytest.FixtureRequest) -> None:
        if not hasattr(type(self), "evidence"):
            type(self).evidence = vendor().device().evidence(NONCE)  # type: ignore[attr-defined]
            type(self).kept = kept_of(judge(type(self).evidence))  # type: ignore[attr-defined]

    def good(self) -> bytes:
        return bytes(type(self).evidence.report)  # type: ignore[attr-defined]

    def lengths(self) -> range:
        return range(0, len(self.good()), 7)

    def judge(self, data: bytes) -> object:
        evidence = type(self).evidence  # type: ignore[attr-defined]
        changed = type(evidence)(kind=evidence.kind, report=data, chain=evidence.chain)
        return judge(changed, kept=type(self).kept)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("more", [b"\1", b"\0" * 23, b"\xff" * 24], ids=lambda m: f"{len(m)}")
    def test_appended_bytes(self, more: bytes) -> None:
        with refused("GPU_TRAILING"):
            self.judge(self.good() + more)

    def test_one_trailing_zero_passes_and_is_told(self) -> None:
        """NVML's buffer may be one byte longer than the report; that byte is not signed."""
        authentic = self.judge(self.good() + b"\0")
        assert authentic.claims.trailing == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("patch", "check"),
    [
        ({0: b"\x12"}, "GPU_REPORT_FORMAT"),
        ({1: b"\xe1"}, "GPU_REPORT_FORMAT"),
        ({2: b"\0"}, "GPU_REPORT_FORMAT"),
        ({3: b"\1"}, "GPU_REPORT_FORMAT"),
        ({36: b"\1"}, "GPU_REPORT_FORMAT"),
        ({37: b"\x10"}, "GPU_REPORT_FORMAT"),
        ({38: b"\x61"}, "GPU_REPORT_FORMAT"),
        ({41: b"\x3f"}, "GPU_REPORT_FORMAT"),
        ({41: b"\x1f"}, "GPU_REPORT_FORMAT"),
        ({42: b"\xc1"}, "GPU_REPORT_FORMAT"),
        ({44: b"\1"}, "GPU_REPORT_FORMAT"),
        ({45: b"\2"}, "GPU_MEASUREMENTS"),
        ({45 + 55: b"\1"}, "GPU_MEASUREMENTS"),
        ({46: b"\0"}, "GPU_MEASUREMENTS"),
        ({47: b"\x34"}, "GPU_MEASUREMENTS"),
        ({49: b"\0"}, "GPU_MEASUREMENTS"),
        ({50 + 63 * 55: b"\x20"}, "GPU_MEASUREMENTS"),
        ({_OPAQUE: b"\xff\x0f"}, "GPU_REPORT_LENGTH"),
        ({_OPAQUE: b"\xff\xff"}, "GPU_REPORT_LENGTH"),
    ],
    ids=str,
)
def test_frame(patch: dict[int, bytes], check: str) -> None:
    with refused(check):
        judge(vendor().device().evidence(NONCE, patch=patch))


@pytest.mark.parametrize(
    "opaque",
    [
        {6: None},
        {6: bytes(7)},
        {6: bytes.fromhex("00a5009601000001")},
        {3: b"570.172.08"},
        {3: b"\x01\0"},
        {3: b"570\n\0"},
        {3: b"\xff\0"},
        {3: b"5" * 40 + b"\0"},
        {11: b"\0"},
        {11: b"\xaa\xaa"},
        {12: bytes(255)},
        {14: bytes(5)},
        {15: b"882"},
        {20: bytes(47)},
        {21: b"\x01"},
        {22: bytes(143)},
        {34: b"\1"},
        {36: b"\3\0"},
        {36: b"\0"},
    ],
    ids=str,
)
def test_opaque_fields(opaque: dict[int, bytes | None]) -> None:
    with refused("GPU_OPAQUE"):
        judge(vendor().device().evidence(NONCE, opaque=opaque))


@pytest.mark.parametrize(
    "opaque",
    [{6: None}, {6: b"96.10.55.00.0\n"}, {22: bytes(7)}, {25: b"\2\0"}, {26: bytes(127)}, {12: bytes(103)}],
    ids=str,
)
def test_opaque_fields_of_a_switch(opaque: dict[int, bytes | None]) -> None:
    with refused("GPU_OPAQUE"):
        judge(vendor().device("LS_10").evidence(NONCE, opaque=opaque))


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_opaque_that_ends_within_a_field(cut: int) -> None:
    device = vendor().device()
    with refused("GPU_OPAQUE"):
        judge(device.evidence(NONCE, raw_opaque=tlv(device.fields())[:-cut]))


def test_a_type_twice_and_a_field_under_two_types() -> None:
    device, switch = vendor().device(), vendor().device("LS_10")
    with refused("GPU_OPAQUE"):
        judge(device.evidence(NONCE, raw_opaque=tlv(device.fields()) + tlv({3: b"1\0"})))
    with refused("GPU_OPAQUE"):
        judge(device.evidence(NONCE, raw_opaque=tlv(device.fields()) + tlv({99: b""}) * 2))
    with refused("GPU_OPAQUE"):
        judge(switch.evidence(NONCE, opaque={4: bytes(128)}))


def test_order_does_not_matter_and_unknown_types_are_kept() -> None:
    device = vendor().device()
    fields = {77: b"new", **dict(reversed(device.fields().items()))}
    report = parse(device.report(NONCE, raw_opaque=tlv(fields)), GPU)
    assert report.opaque.raw[77] == b"new"
    assert report.opaque.vbios_version == "96.00.A5.00.01"
    assert judge(device.evidence(NONCE, raw_opaque=tlv(fields))).claims.driver_version == "570.172.08"


@pytest.mark.parametrize(
    ("opaque", "mode"),
    [
        ({36: b"\0\0"}, Mode.SPT),
        ({36: b"\1\0"}, Mode.MPT),
        ({36: b"\2\0"}, Mode.PPCIE),
        ({36: None, 21: b"\xaa"}, Mode.PPCIE),
        ({36: None}, Mode.UNSTATED),
        ({36: None, 21: None}, Mode.UNSTATED),
    ],
    ids=str,
)
def test_mode(opaque: dict[int, bytes | None], mode: Mode) -> None:
    assert judge(vendor().device().evidence(NONCE, opaque=opaque)).claims.mode is mode


def test_a_gpu_is_no_switch() -> None:
    gpu, switch = vendor().device(), vendor().device("LS_10")
    with refused("GPU_REPORT_FORMAT"):
        parse(gpu.report(NONCE), SWITCH)
    with refused("GPU_REPORT_FORMAT"):
        parse(switch.report(NONCE), GPU)
    with refused("GPU_KIND"):
        parse(gpu.report(NONCE), "nvidia-nic")


def test_pdis_are_in_the_order_of_the_certificates() -> None:
    """A GPU names switches with their bytes reversed; switches name GPUs as the certificates do."""
    far = bytes.fromhex("77e911d843b7533a") * 2 + bytes(16 * 8)
    assert parse_gpu(tlv({6: bytes(8), 22: far})).switch_pdis == (bytes.fromhex("3a53b743d811e977"),) * 2
    gpus = bytes.fromhex("2921ce551e4eeda3") + bytes(56) + bytes(64)
    switch = parse_switch(tlv({6: b"96.10.55.00.01", 4: gpus}))
    assert switch.gpu_pdis == (bytes.fromhex("2921ce551e4eeda3"),)


@pytest.mark.parametrize("nonce", [b"", NONCE[:31], NONCE + b"\0", bytes(32)], ids=len)
def test_nonce(nonce: bytes) -> None:
    with refused("GPU_NONCE_MISMATCH" if len(nonce) == 32 else "NONCE_REQUIRED"):
        judge(vendor().device().evidence(NONCE), nonce=nonce)


def test_without_a_nonce_binding_is_skipped_never_passed() -> None:
    authentic = judge(vendor().device().evidence(NONCE), nonce=None)
    (finding,) = [f for f in authentic.findings if f.check == "GPU_NONCE_MISMATCH"]
    assert finding.outcome.value == "skipped"


def test_a_signature_of_another_key_or_out_of_range() -> None:
    device, other = vendor().device(), vendor().device()
    with refused("GPU_SIGNATURE"):
        judge(device.evidence(NONCE, key=other.chain[0].key))
    good = device.evidence(NONCE)
    for r_s in (bytes(96), b"\xff" * 96):
        with refused("GPU_SIGNATURE"):
            judge(type(good)(kind=good.kind, report=good.report[:-96] + r_s, chain=good.chain))


@given(st.binary(max_size=600))
def test_any_bytes_as_opaque_data(data: bytes) -> None:
    """Property: a value or an AttestError, and what is read again in another order is the same."""
    for read in (parse_gpu, parse_switch):
        try:
            found = read(data)
        except AttestError:
            continue
        again = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in [*found.raw.items()][::-1])
        assert read(again).raw == found.raw


def test_collateral_is_not_needed_to_read() -> None:
    assert not judge(vendor().device().evidence(NONCE), collateral(rims_=(), crls=()), required=False).claims.offered
