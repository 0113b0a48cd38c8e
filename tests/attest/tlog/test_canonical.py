"""Canonical JSON, held against an independent JCS, and what is refused (attack 12 of facts/log.md section 3)."""

from __future__ import annotations

import enum
import unicodedata

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import Malformed
from attest.tlog.canonical import MAX_DEPTH, MAX_INTEGER, MAX_LENGTH, canonical, parse_canonical
from tests.attest.tlog.refusal import refused

keys = st.text("abcxyz0189_", min_size=1, max_size=6)
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(lambda s: unicodedata.normalize("NFC", s))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | strings,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=25,
)
objects = st.dictionaries(keys, values, max_size=6)


@given(objects)
def test_equals_jcs_and_round_trips(value: dict[str, object]) -> None:
    encoded = canonical(value)
    assert encoded == rfc8785.dumps(value)  # type: ignore[arg-type]  # its own JSON type is invariant
    assert parse_canonical(encoded) == value


def test_every_control_character_and_the_edges_of_the_planes() -> None:
    text = "".join(map(chr, range(0x100))) + "\u2028\u2029\ufeff\ud7ff\ue000\uffff\U00010000\U0010ffff"
    value = {"a": unicodedata.normalize("NFC", text)}
    assert canonical(value) == rfc8785.dumps(value)
    assert parse_canonical(canonical(value)) == value


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_canonical_or_refused(raw: bytes) -> None:
    try:
        value = parse_canonical(raw)
    except Malformed as error:
        assert error.check in {"ENTRY_FORMAT", "ENTRY_CANONICAL"}  # noqa: PT017 - either outcome is a result
    else:
        assert canonical(value) == raw


class Colour(enum.StrEnum):
    """A str that is more than a str."""

    RED = "red"


def test_tuples_and_enumerations_are_what_they_show() -> None:
    assert canonical({"a": (1, Colour.RED), "b": [True, None]}) == b'{"a":[1,"red"],"b":[true,null]}'


def nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], "$"),
        ("text", "$"),
        ({"a": 1.0}, "$.a"),
        ({"a": [0, {"b": 1.5}]}, "$.a[1].b"),
        ({"a": MAX_INTEGER + 1}, "$.a"),
        ({"a": -MAX_INTEGER - 1}, "$.a"),
        ({"a": 10**5000}, "$.a"),
        ({"a": b"bytes"}, "$.a"),
        ({"a": {1, 2}}, "$.a"),
        ({"A": 1}, "$"),
        ({"a-b": 1}, "$"),
        ({"": 1}, "$"),
        ({"a\n": 1}, "$"),
        ({"\u0660": 1}, "$"),
        ({1: 1}, "$"),
        ({"a": "e\u0301"}, "$.a"),
        ({"a": "\ud800"}, "$.a"),
        (nested(MAX_DEPTH + 1), "$" + ".a" * MAX_DEPTH),
    ],
)
def test_values_outside_the_profile(value: object, path: str) -> None:
    with pytest.raises(Malformed) as caught:
        canonical(value)
    assert (caught.value.check, caught.value.path) == ("ENTRY_FORMAT", path)


def test_limits() -> None:
    assert parse_canonical(canonical(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    full = {"a": "x" * (MAX_LENGTH - 8)}
    assert len(canonical(full)) == MAX_LENGTH
    assert parse_canonical(canonical(full)) == full
    with refused("ENTRY_LENGTH"):
        canonical({"a": "x" * (MAX_LENGTH - 7)})
    with refused("ENTRY_LENGTH"):
        canonical(full, limit=MAX_LENGTH - 1)
    with refused("ENTRY_LENGTH"):
        parse_canonical(canonical(full) + b" ")


@pytest.mark.parametrize(
    ("raw", "check"),
    [
        pytest.param(b'{"a":1,"a":2}', "ENTRY_CANONICAL", id="12: duplicate key, other value"),
        pytest.param(b'{"a":1,"a":1}', "ENTRY_CANONICAL", id="12: duplicate key, same value"),
        pytest.param(b'{"b":1,"a":2}', "ENTRY_CANONICAL", id="order"),
        pytest.param(b'{"a": 1}', "ENTRY_CANONICAL", id="space"),
        pytest.param(b'{"a":1}\n', "ENTRY_CANONICAL", id="newline"),
        pytest.param(b'{"a":-0}', "ENTRY_CANONICAL", id="negative zero"),
        pytest.param(b'{"a":"\\u0061"}', "ENTRY_CANONICAL", id="escape of a letter"),
        pytest.param(b'{"a":"\\/"}', "ENTRY_CANONICAL", id="escape of a slash"),
        pytest.param(b'{"a":"\\u001F"}', "ENTRY_CANONICAL", id="uppercase escape"),
        pytest.param(b'{"a":"\\u000a"}', "ENTRY_CANONICAL", id="long escape"),
        pytest.param(b'{"a":1.0}', "ENTRY_FORMAT", id="float"),
        pytest.param(b'{"a":1e2}', "ENTRY_FORMAT", id="exponent"),
        pytest.param(b'{"a":NaN}', "ENTRY_FORMAT", id="NaN"),
        pytest.param(b'{"a":-Infinity}', "ENTRY_FORMAT", id="Infinity"),
        pytest.param(b'{"a":01}', "ENTRY_FORMAT", id="leading zero"),
        pytest.param(b'{"a":9007199254740992}', "ENTRY_FORMAT", id="2**53"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", "ENTRY_FORMAT", id="a number that int() refuses"),
        pytest.param(b'{"a":"\\ud800"}', "ENTRY_FORMAT", id="lone surrogate"),
        pytest.param(b'{"a":"e\\u0301"}', "ENTRY_FORMAT", id="not NFC"),
        pytest.param(b'{"a":"\x01"}', "ENTRY_FORMAT", id="raw control character"),
        pytest.param(b'{"a":"\xff"}', "ENTRY_FORMAT", id="not UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', "ENTRY_FORMAT", id="byte order mark"),
        pytest.param(b"[1]", "ENTRY_FORMAT", id="not an object"),
        pytest.param(b"", "ENTRY_FORMAT", id="nothing"),
        pytest.param(b"[" * 59_000, "ENTRY_FORMAT", id="deeper than the stack"),
        pytest.param(b'{"a":' * 9_000 + b"1" + b"}" * 9_000, "ENTRY_FORMAT", id="deep and complete"),
    ],
)
def test_bytes_that_are_refused(raw: bytes, check: str) -> None:
    with refused(check):
        parse_canonical(raw)
