"""Parsing: rows S1 to S14 of the pitfalls, each with the check that must name it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.ecdsa import ORDER
from attest.errors import AttestError
from attest.snp.claims import Firmware, SigningKey
from attest.snp.report import REPORT_SIZE, SIGNED_SIZE, parse
from tests.attest.contract import EvidenceContract
from tests.attest.refusal import refused
from tests.attest.snp.made import DATA, chip, judge, snp_of

GOOD = chip().report(DATA)


def _patched(offset: int, value: bytes, version: int = 3) -> bytes:
    """Genuinely signed, with other bytes at `offset`."""
    signed = bytearray(chip().report(DATA, version=version)[:SIGNED_SIZE])
    signed[offset : offset + len(value)] = value
    return chip().sign(bytes(signed))


def _signature(change: Callable[[bytearray], None]) -> bytes:
    raw = bytearray(GOOD)
    change(raw)
    return bytes(raw)


def _r_and_s(r: int, s: int) -> bytes:
    return GOOD[:SIGNED_SIZE] + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(368)


def _swapped() -> bytes:
    r, s = (GOOD[0x2A0 + 72 * n : 0x2A0 + 72 * n + 48] for n in (0, 1))
    return GOOD[:0x2A0] + r[::-1] + bytes(24) + s[::-1] + bytes(24) + bytes(368)


R, S = parse(GOOD).signature

# name: (the report, the check)
REFUSED: dict[str, tuple[bytes, str]] = {
    "S1 empty": (b"", "SNP_LENGTH"),
    "S1 one byte short": (GOOD[:-1], "SNP_LENGTH"),
    "S1 one byte more": (GOOD + b"\0", "SNP_LENGTH"),
    "S2 version 0": (_patched(0, b"\0\0\0\0"), "SNP_VERSION"),
    "S2 version 1": (_patched(0, b"\1\0\0\0"), "SNP_VERSION"),
    "S2 version 6": (_patched(0, b"\6\0\0\0"), "SNP_VERSION"),
    "S2 version 0xffffffff": (_patched(0, b"\xff" * 4), "SNP_VERSION"),
    "S2 version 0x103, not read as 3": (_patched(0, b"\3\1\0\0"), "SNP_VERSION"),
    "S4 reserved 0x4c": (_patched(0x4C, b"\1"), "SNP_RESERVED"),
    "S4 reserved 0x18b": (_patched(0x18B, b"\1"), "SNP_RESERVED"),
    "S4 reserved 0x19f": (_patched(0x19F, b"\x80"), "SNP_RESERVED"),
    "S4 reserved 0x1eb": (_patched(0x1EB, b"\1"), "SNP_RESERVED"),
    "S4 reserved 0x1ef": (_patched(0x1EF, b"\1"), "SNP_RESERVED"),
    "S4 reserved 0x208 in version 5": (_patched(0x208, b"\1", version=5), "SNP_RESERVED"),
    "S4 reserved 0x29f in version 5": (_patched(0x29F, b"\1", version=5), "SNP_RESERVED"),
    "S4 CPUID in version 2": (_patched(0x188, b"\x19", version=2), "SNP_RESERVED"),
    "S4 mitigation vector in version 2": (_patched(0x1F8, b"\1", version=2), "SNP_RESERVED"),
    "S4 mitigation vector in version 3": (_patched(0x1F8, b"\1"), "SNP_RESERVED"),
    "S4 mitigation vector in version 4": (_patched(0x200, b"\1", version=4), "SNP_RESERVED"),
    "S5 signature algorithm 0": (_patched(0x34, b"\0"), "SNP_SIG_ALGO"),
    "S5 signature algorithm 2": (_patched(0x34, b"\2"), "SNP_SIG_ALGO"),
    "S6 r has 49 bytes": (_signature(lambda raw: raw.__setitem__(0x2A0 + 48, 1)), "SNP_SIG_ENCODING"),
    "S6 r, byte 50": (_signature(lambda raw: raw.__setitem__(0x2A0 + 50, 1)), "SNP_SIG_ENCODING"),
    "S6 s, byte 71": (_signature(lambda raw: raw.__setitem__(0x2A0 + 143, 1)), "SNP_SIG_ENCODING"),
    "S6 first byte behind": (_signature(lambda raw: raw.__setitem__(0x2A0 + 144, 1)), "SNP_SIG_ENCODING"),
    "S6 last byte": (_signature(lambda raw: raw.__setitem__(0x49F, 1)), "SNP_SIG_ENCODING"),
    "S7 no signature": (GOOD[:SIGNED_SIZE] + bytes(512), "SNP_SIG_ENCODING"),
    "S7 r is 0": (_r_and_s(0, S), "SNP_SIG_ENCODING"),
    "S7 s is 0": (_r_and_s(R, 0), "SNP_SIG_ENCODING"),
    "S7 r is n": (_r_and_s(ORDER, S), "SNP_SIG_ENCODING"),
    "S7 s is n": (_r_and_s(R, ORDER), "SNP_SIG_ENCODING"),
    "S7 s is 2^384 - 1": (_r_and_s(R, 2**384 - 1), "SNP_SIG_ENCODING"),
    "S8 one bit of REPORT_DATA": (_signature(lambda raw: raw.__setitem__(0x50, raw[0x50] ^ 1)), "SNP_SIGNATURE"),
    "S8 one bit of MEASUREMENT": (_signature(lambda raw: raw.__setitem__(0xBF, raw[0xBF] ^ 0x80)), "SNP_SIGNATURE"),
    "S9 big-endian r and s": (_swapped(), "SNP_SIGNATURE"),
    "S9 r and s swapped": (_r_and_s(S, R), "SNP_SIGNATURE"),
    "S11 policy without bit 17": (_patched(0x08, b"\0\0\1\0"), "SNP_POLICY_RESERVED"),
    "S11 policy bit 26": (_patched(0x08, b"\0\0\3\4"), "SNP_POLICY_RESERVED"),
    "S11 policy bit 63": (_patched(0x08, b"\0\0\3\0\0\0\0\x80"), "SNP_POLICY_RESERVED"),
    **{f"S12 SIGNING_KEY {key}": (_patched(0x48, bytes([key << 2])), "SNP_KEY_INFO") for key in range(2, 8)},
    "S12 key info bit 5": (_patched(0x48, b"\x20"), "SNP_KEY_INFO"),
    "S12 key info bit 31": (_patched(0x48, b"\0\0\0\x80"), "SNP_KEY_INFO"),
    "S13 masked chip key": (_patched(0x48, b"\2"), "SNP_MASKED_CHIP_KEY"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    report, check = REFUSED[case]
    with refused(check):
        judge(report, chip().certificates, chip().amd)


def test_a_place_is_named() -> None:
    with pytest.raises(AttestError) as caught:
        parse(_patched(0x4C, b"\1"))
    assert str(caught.value) == "SNP_RESERVED: report.reserved[0x04c]: expected 4 zero bytes, got 01000000"


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_every_version_and_field(version: int) -> None:
    fields: dict[str, int | bytes] = {
        "guest_svn": 65_547,
        "policy": 0x3_001F,
        "family_id": b"F" * 16,
        "image_id": b"I" * 16,
        "vmpl": 3,
        "key_info": 1,
        "measurement": b"M" * 48,
        "host_data": b"H" * 32,
        "id_key_digest": b"K" * 48,
        "author_key_digest": b"A" * 48,
        "report_id": b"R" * 32,
        "report_id_ma": b"B" * 32,
        "current_version": bytes([1, 2, 3, 0]),
        "committed_version": bytes([4, 5, 6, 0]),
    }
    report = parse(chip().report(DATA, version=version, **fields))
    same = ("guest_svn", "family_id", "image_id", "vmpl", "measurement", "host_data", "id_key_digest",
            "author_key_digest", "report_id", "report_id_ma")  # fmt: skip
    assert {name: getattr(report, name) for name in same} == {name: fields[name] for name in same}
    assert report.version == version
    assert report.policy.abi == (0, 0x1F)
    assert report.key_info == (True, SigningKey.VCEK)
    assert report.report_data == DATA
    assert report.current_firmware == Firmware(major=3, minor=2, build=1)
    assert report.committed_firmware == Firmware(major=6, minor=5, build=4)
    assert report.cpuid == (None if version < 3 else (0x19, 1, 1))
    assert report.mit_vectors == ((0x3F, 0x3F) if version == 5 else (None, None))
    assert len(report.signed) == SIGNED_SIZE


def test_s10_a_report_is_not_known_by_its_signature() -> None:
    other = _r_and_s(R, ORDER - S)
    first, second = (snp_of(judge(report, chip().certificates, chip().amd)) for report in (GOOD, other))
    assert first.signed_bytes == second.signed_bytes
    assert other != GOOD


def test_s14_unknown_platform_bits_parse() -> None:
    claims = snp_of(judge(chip().report(DATA, platform_info=0xFFFF_0065), chip().certificates, chip().amd))
    assert claims.platform_info.unknown == 0xFFFF_0000
    assert "iommu_write_safe" in claims.platform_info.names


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=REPORT_SIZE, max_size=REPORT_SIZE), st.integers(0, 5))
def test_any_bytes_parse_or_are_malformed(noise: bytes, version: int) -> None:
    for data in (noise, version.to_bytes(4, "little") + noise[4:]):
        with pytest.raises(AttestError):
            parse(data)


class TestContract(EvidenceContract):
    """A report under its own chain."""

    def good(self) -> bytes:
        return GOOD

    def judge(self, data: bytes) -> object:
        return judge(data, chip().certificates, chip().amd)
