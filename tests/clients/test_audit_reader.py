"""The auditor's reader of entries says exactly what `parse_canonical` says, of right entries and of wrong ones."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attest.errors import Malformed
from attest.tlog.canonical import MAX_DEPTH, MAX_INTEGER, MAX_LENGTH, Reader, canonical, parse_canonical
from attest.tlog.entry import parse_leaf
from tests.makers.log import draft

keys = st.text("abcxyz0189_", min_size=1, max_size=6)
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda s: unicodedata.normalize("NFC", s))
structural = st.text('{}[]:,"\\ -.eE0123456789truefalsn', max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | strings | structural,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(keys, values, max_size=6)


def same(reader: Reader, raw: bytes) -> None:
    """Both answers, or both refusals, are one."""
    expected, got = outcome(parse_canonical, raw), outcome(reader.parse, raw)
    assert got == expected
    if isinstance(got, dict):
        assert rfc8785.dumps(got) == raw


def outcome(parse: Callable[[bytes], dict[str, object]], raw: bytes) -> object:
    try:
        return parse(raw)
    except Malformed as error:
        return str(error)


@given(
    objects, st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b'{}[]:," \t\n-.eE019atrufls\\N\xc3')), max_size=3)
)
@settings(max_examples=400)
def test_right_values_and_damaged_ones(value: dict[str, object], damage: list[tuple[int, int]]) -> None:
    reader, raw = Reader(), bytearray(canonical(value))
    same(reader, bytes(raw))
    for at, byte in damage:
        raw[at % len(raw)] = byte
        same(reader, bytes(raw))
        raw.insert(at % len(raw), byte)
        same(reader, bytes(raw))


@given(st.text('{}[]:,"abz0123456789-. truefalsn\\e', max_size=40).map(str.encode))
@example(b'{"a":1e5}')
def test_anything(raw: bytes) -> None:
    same(Reader(), raw)


def nested(depth: int, around: str = '{"a":%s}') -> bytes:
    text = "1"
    for _ in range(depth):
        text = around % text
    return text.encode()


ODD = {
    "key twice": b'{"a":1,"a":1}',
    "key twice, deep": b'{"a":[{"b":1,"b":2}]}',
    "keys out of order": b'{"b":1,"a":2}',
    "empty key": b'{"":1}',
    "capital key": b'{"A":1}',
    "key with a newline": b'{"a\\n":1}',
    "space": b'{"a": 1}',
    "space before": b' {"a":1}',
    "space after": b'{"a":1} ',
    "two values": b'{"a":1}{"a":1}',
    "list": b"[1]",
    "text": b'"a"',
    "minus": b'{"a":-1}',
    "minus zero": b'{"a":-0}',
    "fraction": b'{"a":1.0}',
    "exponent": b'{"a":1e2}',
    "capital exponent": b'{"a":1E2}',
    "largest": b'{"a":9007199254740991}',
    "too large": b'{"a":9007199254740992}',
    "sixteen digits": b'{"a":1000000000000000}',
    "fifteen digits": b'{"a":999999999999999}',
    "leading zero": b'{"a":01}',
    "not a number": b'{"a":NaN}',
    "infinite": b'{"a":Infinity}',
    "half a literal": b'{"a":tru}',
    "escaped letter": b'{"a":"\\u0061"}',
    "escaped quote": b'{"a":"\\""}',
    "brackets in a text": b'{"a":"}]}]}]"}',
    "quote missing": b'{"a":"b}',
    "control character": b'{"a":"\x01"}',
    "delete": b'{"a":"\x7f"}',
    "not NFC": '{"a":"e\u0301"}'.encode(),
    "lone surrogate": b'{"a":"\\ud800"}',
    "umlaut": '{"a":"\u00fc"}'.encode(),
    "not UTF-8": b'{"a":"\xff"}',
    "as deep as may be": nested(MAX_DEPTH),
    "one too deep": nested(MAX_DEPTH + 1),
    "deep in lists": b'{"a":' + nested(MAX_DEPTH - 1, "[%s]") + b"}",
    "too deep in lists": b'{"a":' + nested(MAX_DEPTH, "[%s]") + b"}",
    "wide and flat": b'{"a":[' + b",".join([b"{}"] * 100) + b"]}",
    "deeper than the stack": b'{"a":' + b"[" * 50_000,
    "deep and closed": nested(6_000, "[%s]"),
    "longest": b'{"a":"' + b"x" * (MAX_LENGTH - 8) + b'"}',
    "too long": b'{"a":"' + b"x" * (MAX_LENGTH - 7) + b'"}',
    "nothing": b"",
    "empty object": b"{}",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_ones(name: str) -> None:
    reader = Reader()
    same(reader, ODD[name])
    same(reader, ODD[name])  # what it learned from the first changes nothing


def test_real_entries_damaged_in_one_place() -> None:
    """One reader for all, so that what it has learned is at its best and at its worst."""
    reader, dice = Reader(), random.Random(4)
    bodies = [draft(index, "key", simulated=False).body for index in range(60)]
    for raw in bodies:
        same(reader, raw)
    for _ in range(1_500):
        damaged = bytearray(dice.choice(bodies))
        at = dice.randrange(len(damaged))
        match dice.randrange(4):
            case 0:
                damaged[at] ^= 1 << dice.randrange(8)
            case 1:
                del damaged[at]
            case 2:
                damaged.insert(at, dice.choice(b'{}[]:,"\\ -.e0a'))
            case _:
                end = dice.randrange(len(damaged))
                damaged[at:end], damaged[end:at] = damaged[end:at], damaged[at:end]
        same(reader, bytes(damaged))


def test_it_learns_no_end_of_keys() -> None:
    reader = Reader()
    for number in range(3_000):
        same(reader, b'{"k%d":{"a":1,"b":2}}' % number)
    same(reader, b'{"k2999":{"b":1,"a":2}}')


def test_a_leaf_reads_the_same_with_it() -> None:
    raw = b'{"b":{},"h":{"chains":[],"gp":null,"gs":null,"i":0,"log":"o","t":0,"v":"sealgate.audit/1","w":null}}'
    assert parse_leaf(raw, Reader()) == parse_leaf(raw)
