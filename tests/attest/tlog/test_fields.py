"""Decimals and base64 as the text formats write them, and nothing that Python would also take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.tlog.fields import format_base64, parse_base64, parse_decimal


@given(st.integers(0, 2**63 - 1), st.binary(max_size=80))
def test_round_trips(number: int, value: bytes) -> None:
    assert parse_decimal(str(number)) == number
    assert parse_base64(format_base64(value)) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "+5", "05", "5 ", " 5", "1_000", "5\n", "\u0665", "9223372036854775808", "1" * 20]
)
def test_decimals_that_are_none(text: str) -> None:
    assert parse_decimal(text) is None


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AA=", "AAA==", "A===", "AAAA=", "AA==AA==", "AA-_", "A A=", "AAAA\n"]
)
def test_base64_that_is_none(text: str) -> None:
    assert parse_base64(text) is None
    assert parse_base64(text, canonical=False) is None


def test_unused_bits() -> None:
    assert parse_base64("AB==") is None
    assert parse_base64("AB==", canonical=False) == b"\0"
