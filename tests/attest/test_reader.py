"""The cursor: in order, no leftovers, reserved bytes zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import Malformed
from attest.reader import Reader
from tests.attest.refusal import refused


def _reader(data: bytes) -> Reader:
    return Reader(data, path="thing", length="LENGTH", reserved="RESERVED")


def test_integers_are_little_endian_and_in_order() -> None:
    reader = _reader(bytes(range(1, 17)))
    found = reader.u8(), reader.u16(), reader.at(3).u32(), reader.u64()
    assert found == (1, 0x0302, 0x07060504, 0x0F0E0D0C0B0A0908)
    assert reader.take(1) == b"\x10"
    reader.end()


def test_missing_and_left_over_bytes() -> None:
    with refused("LENGTH"):
        _reader(b"123").u32()
    with refused("LENGTH"):
        _reader(b"123").take(-1)
    reader = _reader(b"123")
    reader.take(2)
    with refused("LENGTH"):
        reader.end()


def test_reserved_bytes_are_named_by_their_offset() -> None:
    reader = _reader(bytes(0x4C) + b"\1\0\0\0")
    reader.take(0x4C)
    with pytest.raises(Malformed) as caught:
        reader.zeros(4)
    assert str(caught.value) == "RESERVED: thing.reserved[0x04c]: expected 4 zero bytes, got 01000000"


def test_a_parser_that_is_not_where_its_table_is_has_a_defect() -> None:
    with pytest.raises(RuntimeError):
        _reader(b"12").at(1)


@given(st.binary(max_size=40), st.lists(st.integers(0, 12), max_size=8))
def test_what_is_taken_is_the_bytes(data: bytes, counts: list[int]) -> None:
    reader, taken = _reader(data), b""
    for count in counts:
        if len(taken) + count > len(data):
            with refused("LENGTH"):
                reader.take(count)
            return
        taken += reader.take(count)
    assert taken == data[: len(taken)]
