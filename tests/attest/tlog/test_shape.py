"""What has a known shape is canonical, and says what `parse_canonical` says; a reader of leaves, what `parse_leaf`."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attest.errors import Malformed
from attest.tlog.canonical import MAX_DEPTH, MAX_INTEGER, MAX_LENGTH, canonical, parse_canonical
from attest.tlog.entry import Leaf, parse_leaf
from attest.tlog.leaf_reader import LeafReader
from attest.tlog.shape import Place, Shapes, value_of
from tests.makers.log import draft

WORTH = 16  # how often a shape must be seen

keys = st.text("abcxyz0189_", min_size=1, max_size=6)
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda s: unicodedata.normalize("NFC", s))
structural = st.text('{}[]:,"\\ -.eE0123456789truefalsn', max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | strings | structural,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(keys, values, max_size=6)


def taught(*right: bytes) -> Shapes[Place]:
    """Shapes that know those of `right`, if they have one."""
    shapes: Shapes[Place] = Shapes(lambda places: places)
    for raw in right:
        for _ in range(WORTH):
            shapes.learn(raw)
    return shapes


def same(shapes: Shapes[Place], raw: bytes) -> bool:
    """Whether `raw` has a known shape. If so it is canonical, and what is found in it is what it says."""
    found = shapes.find(raw)
    if found is None:
        return False
    assert value_of(*found) == parse_canonical(raw)  # which raises for what is not canonical
    assert json.dumps(value_of(*found), default=dict) == json.dumps(parse_canonical(raw))  # order and types as well
    return True


def readable(raw: bytes) -> bool:
    try:
        parse_canonical(raw)
    except Malformed:
        return False
    return True


@given(
    objects, st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b'{}[]:," \t\n-.eE019atrufls\\N\xc3')), max_size=3)
)
@settings(max_examples=400)
def test_right_values_and_damaged_ones(value: dict[str, object], damage: list[tuple[int, int]]) -> None:
    raw = bytearray(canonical(value))
    shapes = taught(bytes(raw))
    same(shapes, bytes(raw))
    for at, byte in damage:
        raw[at % len(raw)] = byte
        same(shapes, bytes(raw))
        raw.insert(at % len(raw), byte)
        same(shapes, bytes(raw))


@given(st.text('{}[]:,"abz0123456789-. truefalsn\\e', max_size=40).map(str.encode))
@example(b'{"a":1e5}')
def test_anything(raw: bytes) -> None:
    if readable(raw):
        same(taught(raw), raw)


@given(objects, objects)
def test_what_has_the_shape_of_another(one: dict[str, object], other: dict[str, object]) -> None:
    shapes = taught(canonical(one))
    same(shapes, canonical(other))
    same(shapes, canonical(other | one))


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


# What the odd ones are nearest to: shapes that a reader could mistake theirs for.
NEAR = [
    b"{}", b'{"a":1}', b'{"a":""}', b'{"a":[1]}', b'{"a":[]}', b'{"a":{}}', b'{"a":[{"b":1}]}', b'{"a":1,"b":2}',
    b'{"a":null}', b'{"a":true}',
]  # fmt: skip
HAVE_A_SHAPE = {"fifteen digits", "brackets in a text", "longest", "wide and flat", "empty object", "as deep as may be"}


@pytest.mark.parametrize("name", ODD)
def test_odd_ones(name: str) -> None:
    right = [ODD[name]] if readable(ODD[name]) else []
    shapes = taught(*NEAR, *right)
    assert same(shapes, ODD[name]) is (name in HAVE_A_SHAPE | {"deep in lists"})


@pytest.mark.parametrize(
    ("digits", "found"),
    [("0", True), ("7", True), ("10", True), ("9" * 15, True), ("9" * 16, False), ("007", False), ("00", False)],
)
def test_numbers_that_a_shape_admits(digits: str, found: bool) -> None:
    assert same(taught(b'{"a":1}'), b'{"a":%b}' % digits.encode()) is found


def test_it_takes_sixteen_to_learn_and_a_longer_text_does_not_matter() -> None:
    shapes: Shapes[Place] = Shapes(lambda places: places)
    for _ in range(WORTH - 1):
        shapes.learn(b'{"a":"b"}')
    assert not same(shapes, b'{"a":"c"}')
    shapes.learn(b'{"a":"b"}')
    assert same(shapes, b'{"a":"c"}')
    assert same(shapes, canonical({"a": "x" * (MAX_LENGTH - 8)}))
    assert not same(shapes, b'{"a":"' + b"x" * (MAX_LENGTH - 7) + b'"}')


def test_real_entries_damaged_in_one_place() -> None:
    dice = random.Random(4)
    bodies = [draft(index, "key", simulated=False).body for index in range(60)]
    shapes = taught(*bodies)
    assert all(same(shapes, raw) for raw in bodies)
    known = 0
    for _ in range(3_000):
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
        known += same(shapes, bytes(damaged))
    assert known > 300  # damage within a string or a number leaves the shape; the rest is no shape


def test_it_learns_no_end_of_shapes() -> None:
    shapes = taught(*[b'{"a":{"k%d":1}}' % number for number in range(40)])
    assert [same(shapes, b'{"a":{"k%d":2}}' % number) for number in (0, 7, 8, 39)] == [True, True, False, False]
    # eight of each number of keys, as many as may be alike in that
    wide = [canonical({f"{'abcdefgh'[n % 8]}{i}": 1 for i in range(100, 101 + n // 8)}) for n in range(300)]
    shapes = taught(*wide)
    assert sum(same(shapes, raw) for raw in wide) == 256


def test_shapes_seen_once_are_forgotten() -> None:
    shapes: Shapes[Place] = Shapes(lambda places: places)
    for number in range(3_000):
        shapes.learn(b'{"k%d":{"a":1,"b":2}}' % number)
    assert not same(shapes, b'{"k2999":{"a":1,"b":2}}')


def test_a_view_is_the_object_it_shows() -> None:
    raw = b'{"a":{"b":[{"c":1},"x",null]},"d":false}'
    found = taught(raw).find(raw)
    assert found is not None
    view: Any = value_of(*found)
    assert view == {"a": {"b": [{"c": 1}, "x", None]}, "d": False}
    assert (len(view), list(view), view.get("zzz"), view.get("zzz", 3), "a" in view) == (2, ["a", "d"], None, 3, True)
    assert repr(view) == repr({"a": {"b": [{"c": 1}, "x", None]}, "d": False})
    with pytest.raises(KeyError):
        view["zzz"]


LEAF = (
    b'{"b":{"type":"x"},"h":{"chains":[%b],"gp":null,"gs":null,"i":7,"log":"o","t":5,"v":"sealgate.audit/1","w":null}}'
)
LINK = b'{"asset":"a","prev":3,"seq":2}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b""),
        (b'"i":7', b'"i":3'),
        (b'"prev":3', b'"prev":7'),
        (b'"seq":2', b'"seq":1'),
        (b'"seq":2', b'"seq":0'),
        (b'"o"', b'""'),
        (b'"o"', b'"o o"'),
        (b"audit/1", b"audit/2"),
        (b'"asset":"a"', b'"asset":""'),
        (b'"x"', b'"y"'),
        (b'"t":5', b'"t":05'),
    ],
)
def test_a_reader_of_leaves_says_what_parse_leaf_says(old: bytes, new: bytes) -> None:
    reader, right = LeafReader(), LEAF % LINK
    for _ in range(WORTH):
        reader.parse(right)
    raw = right.replace(old, new)
    assert _outcome(reader.parse, raw) == _outcome(parse_leaf, raw)


def _outcome(parse: Callable[[bytes], Leaf], raw: bytes) -> object:
    try:
        return parse(raw)
    except Malformed as error:
        return str(error)
