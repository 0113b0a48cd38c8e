"""DER has one way to write each value: what BER would allow beside it is refused, wherever bytes are read by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from attest import der
from attest.names import certificate_parts, common_name, list_parts

LONG, LONGER = bytes(128), bytes(256)
READ: dict[str, tuple[bytes, list[tuple[int, bytes]]]] = {
    "nothing": (b"", []),
    "an empty value": (b"\x05\x00", [(5, b"")]),
    "127 bytes": (b"\x04\x7f" + bytes(127), [(4, bytes(127))]),
    "128 bytes": (b"\x04\x81\x80" + LONG, [(4, LONG)]),
    "255 bytes": (b"\x04\x81\xff" + bytes(255), [(4, bytes(255))]),
    "256 bytes": (b"\x04\x82\x01\x00" + LONGER, [(4, LONGER)]),
    "65,536 bytes": (b"\x04\x83\x01\x00\x00" + bytes(65_536), [(4, bytes(65_536))]),
    "two": (b"\x02\x01\x05\x05\x00", [(2, b"\5"), (5, b"")]),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_read(case: str) -> None:
    data, expected = READ[case]
    assert der.items(data) == expected
    assert [(tag, data[start:end]) for tag, _, start, end in der.elements(data)] == expected


WRONG: dict[str, bytes] = {
    "a tag alone": b"\x04",
    "a value cut short": b"\x04\x02\x00",
    "a length cut short": b"\x04\x82\x01",
    "a long value cut short": b"\x04\x81\x80" + bytes(127),
    "a byte behind": b"\x04\x01\x00\x00",
    "a long length for 127": b"\x04\x81\x7f" + bytes(127),
    "a longer length for 128": b"\x04\x82\x00\x80" + LONG,
    "a length of three bytes for 256": b"\x04\x83\x00\x01\x00" + LONGER,
    "a length of four bytes": b"\x04\x84\x01\x00\x00\x00" + bytes(1 << 24),
    "an indefinite length": b"\x30\x80\x00\x00",
    "a reserved length": b"\x04\xff" + bytes(200),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(case: str) -> None:
    for read in (der.items, der.elements):
        with pytest.raises(ValueError, match=r"value|length"):
            read(WRONG[case])


NUMBERS = {b"\x00": 0, b"\x7f": 127, b"\x00\x80": 128, b"\x00\xff": 255, b"\x01\x00": 256}


def test_numbers() -> None:
    assert {content: der.number(content) for content in NUMBERS} == NUMBERS
    for content in (b"", b"\xff", b"\x80", b"\x00\x00", b"\x00\x7f", b"\x00\x01\x00", b"\xff\x00"):
        with pytest.raises(ValueError, match="number"):
            der.number(content)


PAIR = b"\x30\x06\x06\x01\x2a\x04\x01\x07"
PAIRS: dict[str, bytes] = {
    "no SEQUENCE": b"\x31" + PAIR[1:],
    "no OID": PAIR[:2] + b"\x04" + PAIR[3:],
    "an OID alone": b"\x30\x03\x06\x01\x2a",
    "three": b"\x30\x08\x06\x01\x2a\x04\x01\x07\x05\x00",
    "the same OID twice": PAIR + PAIR[:-1] + b"\x08",
    "an OID longer than its place": b"\x30\x03\x06\x02\x2a",
    "a value longer than its place": b"\x30\x06\x06\x01\x2a\x04\x02\x07",
}


@pytest.mark.parametrize("case", PAIRS)
def test_pairs(case: str) -> None:
    assert der.pairs(b"") == {}
    assert der.pairs(PAIR + b"\x30\x06\x06\x01\x2b\x05\x01\x00") == {b"\x2a": (4, b"\7"), b"\x2b": (5, b"\0")}
    with pytest.raises(ValueError, match=r"SEQUENCE|OID|value"):
        der.pairs(PAIRS[case])


def _tlv(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return bytes([tag, len(body)]) + body


def _attribute(oid: bytes, tag: int, text: bytes) -> bytes:
    return _tlv(0x30, _tlv(6, oid), _tlv(tag, text))


COMMON, ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0a"
NAMES: dict[str, tuple[bytes, str]] = {
    "UTF-8": (_tlv(0x30, _tlv(0x31, _attribute(COMMON, 0x0C, "é".encode()))), "é"),
    "printable, behind an organisation": (
        _tlv(0x30, _tlv(0x31, _attribute(ORGANISATION, 0x13, b"o")), _tlv(0x31, _attribute(COMMON, 0x13, b"c"))),
        "c",
    ),
    "in one set with an organisation": (
        _tlv(0x30, _tlv(0x31, _attribute(COMMON, 0x13, b"c"), _attribute(ORGANISATION, 0x13, b"o"))),
        "c",
    ),
    "none": (_tlv(0x30, _tlv(0x31, _attribute(ORGANISATION, 0x13, b"o"))), ""),
    "no attributes": (_tlv(0x30), ""),
    "two": (
        _tlv(0x30, _tlv(0x31, _attribute(COMMON, 0x13, b"c")), _tlv(0x31, _attribute(COMMON, 0x13, b"d"))),
        "",
    ),
    "two in one set": (_tlv(0x30, _tlv(0x31, _attribute(COMMON, 0x13, b"c"), _attribute(COMMON, 0x13, b"c"))), ""),
    "in an encoding of yesterday": (_tlv(0x30, _tlv(0x31, _attribute(COMMON, 0x14, b"c"))), ""),
    "with something behind it": (
        _tlv(0x30, _tlv(0x31, _tlv(0x30, _tlv(6, COMMON), _tlv(0x13, b"c"), _tlv(0x13, b"d")))),
        "",
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_common_names(case: str) -> None:
    name, expected = NAMES[case]
    assert common_name(name) == expected


PARTS = [_tlv(0xA0, _tlv(2, b"\2")), _tlv(2, b"\7"), _tlv(0x30), _tlv(0x30, b"\5\0"), _tlv(0x30, b"\1\0"),
         _tlv(0x30, b"\6\0"), _tlv(0x30, b"\3\0")]  # fmt: skip


def test_parts_of_certificates_and_lists() -> None:
    algorithm, signature = _tlv(0x30, b"\6\0"), _tlv(3, b"\0sig")
    tbs = _tlv(0x30, *PARTS, _tlv(0xA3, _tlv(0x30, b"\5\0")))
    whole = _tlv(0x30, tbs, algorithm, signature)
    found = certificate_parts(whole)
    assert found[:3] == (tbs, algorithm, b"sig")
    assert found[3:7] == (PARTS[2], PARTS[1], PARTS[3], PARTS[5])
    assert found.spki == PARTS[6]
    old = _tlv(0x30, _tlv(0x30, *PARTS[1:]), algorithm, signature)
    with pytest.raises(ValueError, match="version 3"):
        certificate_parts(old)
    for version in ([_tlv(2, b"\1")], []):
        for extensions in ([], [_tlv(0xA0, _tlv(0x30, b"\5\0"))]):
            tbs = _tlv(0x30, *version, PARTS[2], PARTS[3], PARTS[4], *extensions)
            whole = _tlv(0x30, tbs, algorithm, signature)
            crl = list_parts(whole)
            assert crl == (tbs, algorithm, b"sig", PARTS[3])


@pytest.mark.parametrize("signature", [b"", b"\1sig", b"\7"])
def test_a_signature_has_no_unused_bits(signature: bytes) -> None:
    for read in (certificate_parts, list_parts):
        with pytest.raises(ValueError, match="unused bits"):
            read(_tlv(0x30, _tlv(0x30, *PARTS), _tlv(0x30), _tlv(3, signature)))
        with pytest.raises(ValueError, match="unused bits"):
            read(_tlv(0x30, _tlv(0x30, *PARTS), _tlv(0x30), _tlv(4, b"\0sig")))


CUT: list[Callable[[bytes], object]] = [certificate_parts, list_parts]


@pytest.mark.parametrize("read", CUT)
def test_what_is_cut_short(read: Callable[[bytes], object]) -> None:
    whole = _tlv(0x30, _tlv(0x30, *PARTS), _tlv(0x30), _tlv(3, b"\0"))
    for size in range(12):
        with pytest.raises(ValueError, match=r"value|length"):
            read(whole[:size])
