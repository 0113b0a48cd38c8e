"""Leaves: the header's fast encoding is JCS, what parses is what was written, and attacks 12 and 17."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from attest.tlog.entry import (
    MAX_BODY,
    MAX_CHAINS,
    MAX_LEAF,
    VERSION,
    ChainLink,
    Header,
    canonical,
    check_place,
    leaf,
    parse_leaf,
)
from tests.attest.tlog.refusal import refused

ORIGIN = "example.com/audit/2026"
LINK = ChainLink(asset="tenants/a/assets/b", prev=3, seq=2)
HEADER = Header(i=7, t=1_767_139_200_000, log=ORIGIN, chains=(LINK,), gp=5, gs=4, w="ab" * 32)
BODY = canonical({"type": "release.granted", "keys": [{"asset": "b", "version": 1}]})
MOST = 2**53 - 1

printable = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\'), min_size=1, max_size=20
)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    i = draw(st.integers(1, MOST))

    def place() -> tuple[int | None, int]:
        first = draw(st.booleans())
        return (None, 1) if first else (draw(st.integers(0, i - 1)), draw(st.integers(2, MOST)))

    chains = []
    for asset in draw(st.lists(printable, max_size=4, unique=True)):
        prev, seq = place()
        chains.append(ChainLink(asset=asset, prev=prev, seq=seq))
    gp, gs = place() if draw(st.booleans()) else (None, None)
    return Header(
        i=i,
        t=draw(st.integers(0, MOST)),
        log=ORIGIN,
        chains=tuple(chains),
        gp=gp,
        gs=gs,
        w=draw(st.none() | st.just("0f" * 32)),
    )


def as_json(header: Header) -> dict[str, object]:
    return {
        "chains": [{"asset": link.asset, "prev": link.prev, "seq": link.seq} for link in header.chains],
        "gp": header.gp,
        "gs": header.gs,
        "i": header.i,
        "log": header.log,
        "t": header.t,
        "v": header.v,
        "w": header.w,
    }


@given(headers(), st.dictionaries(st.sampled_from(["id", "type", "tenant"]), printable))
def test_a_leaf_is_jcs_and_reads_back(header: Header, body: dict[str, object]) -> None:
    raw = leaf(canonical(body), header)
    assert header.encode() == canonical(as_json(header))
    assert raw == rfc8785.dumps({"h": as_json(header), "b": body})  # type: ignore[dict-item]  # invariant JSON type
    parsed = parse_leaf(raw)
    assert (parsed.header, parsed.body) == (header, body)


def test_a_leaf_as_it_looks() -> None:
    assert leaf(b"{}", Header(i=0, t=0, log="o")) == (
        b'{"b":{},"h":{"chains":[],"gp":null,"gs":null,"i":0,"log":"o","t":0,"v":"sealgate.audit/1","w":null}}'
    )


def test_a_body_within_its_limit_fits_under_every_header() -> None:
    links = tuple(ChainLink(asset=f"{at:0200}", prev=MOST - 1, seq=MOST) for at in range(MAX_CHAINS))
    largest = Header(i=MOST, t=MOST, log="o" * 255, chains=links, gp=MOST - 1, gs=MOST, w="f" * 64)
    body = canonical({"a": "x" * (MAX_BODY - 8)}, limit=MAX_BODY)
    assert len(body) == MAX_BODY
    raw = leaf(body, largest)
    assert len(raw) <= MAX_LEAF
    assert parse_leaf(raw).header == largest
    with refused("ENTRY_LENGTH"):
        leaf(canonical({"a": "x" * (MAX_LEAF - 8)}), largest)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"i": -1}, "ENTRY_FORMAT"),
        ({"i": MOST + 1}, "ENTRY_FORMAT"),
        ({"t": -1}, "ENTRY_FORMAT"),
        ({"i": 3}, "ENTRY_FORMAT"),
        ({"i": 5}, "ENTRY_FORMAT"),
        ({"log": ""}, "ENTRY_FORMAT"),
        ({"log": 'a"b'}, "ENTRY_FORMAT"),
        ({"log": "a b"}, "ENTRY_FORMAT"),
        ({"log": "a+b"}, "ENTRY_FORMAT"),
        ({"log": "a\n"}, "ENTRY_FORMAT"),
        ({"log": "o" * 256}, "ENTRY_FORMAT"),
        ({"w": "AB" * 32}, "ENTRY_FORMAT"),
        ({"w": "ab" * 31}, "ENTRY_FORMAT"),
        ({"gp": None}, "ENTRY_FORMAT"),
        ({"gs": None}, "ENTRY_FORMAT"),
        ({"gs": 1}, "ENTRY_FORMAT"),
        ({"gp": None, "gs": 0}, "ENTRY_FORMAT"),
        ({"chains": (LINK, LINK)}, "ENTRY_FORMAT"),
        ({"chains": tuple(ChainLink(asset=f"{at}", prev=None, seq=1) for at in range(65))}, "ENTRY_FORMAT"),
        ({"v": "sealgate.audit/2"}, "ENTRY_VERSION"),
    ],
    ids=str,
)
def test_headers_that_are_refused(change: dict[str, Any], check: str) -> None:
    with refused(check):
        replace(HEADER, **change)


@pytest.mark.parametrize(
    ("asset", "prev", "seq"),
    [
        ("", None, 1),
        ('"', None, 1),
        ("\\", None, 1),
        ("\u00e4", None, 1),
        ("a" * 201, None, 1),
        ("a\n", None, 1),
        ("a", None, 2),
        ("a", 3, 1),
        ("a", -1, 2),
        ("a", None, 0),
        ("a", 3, MOST + 1),
    ],
)
def test_links_that_are_refused(asset: str, prev: int | None, seq: int) -> None:
    with refused("ENTRY_FORMAT"):
        ChainLink(asset=asset, prev=prev, seq=seq)


RAW = leaf(BODY, HEADER)


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        (b'"v":"sealgate.audit/1"', b'"v":"sealgate.audit/2"', "ENTRY_VERSION"),
        (b'"v":"sealgate.audit/1"', b'"v":1', "ENTRY_VERSION"),
        (b'"v":"sealgate.audit/1",', b"", "ENTRY_VERSION"),
        (b'"i":7', b'"i":true', "ENTRY_FORMAT"),
        (b'"t":1767139200000', b'"t":true', "ENTRY_FORMAT"),
        (b'"i":7', b'"i":"7"', "ENTRY_FORMAT"),
        (b'"i":7', b'"i":null', "ENTRY_FORMAT"),
        (b'"i":7', b'"i":7.0', "ENTRY_FORMAT"),
        (b'"i":7', b'"i":07', "ENTRY_FORMAT"),
        (b'"i":7', b'"i":7,"i":7', "ENTRY_CANONICAL"),
        (b'"i":7', b'"i":7,"j":7', "ENTRY_FORMAT"),
        (b'"gp":5,', b"", "ENTRY_FORMAT"),
        (b'"log":"example.com/audit/2026"', b'"log":7', "ENTRY_FORMAT"),
        (b'"seq":2', b'"seq":true', "ENTRY_FORMAT"),
        (b'"seq":2', b'"seq":2,"x":0', "ENTRY_FORMAT"),
        (b'"chains":[{', b'"chains":[1,{', "ENTRY_FORMAT"),
        (b'"chains":[', b'"chains":{},"d":[', "ENTRY_FORMAT"),
        (b'"b":{', b'"a":1,"b":{', "ENTRY_FORMAT"),
        (b'{"b":' + BODY, b'{"b":1', "ENTRY_FORMAT"),
        (b'{"b":' + BODY + b",", b"{", "ENTRY_FORMAT"),
        (b'"h":{', b'"h": {', "ENTRY_CANONICAL"),
        (b'"type":"release.granted"', b'"type":"release.refused","type":"release.granted"', "ENTRY_CANONICAL"),
    ],
)
def test_leaves_that_are_refused(old: bytes, new: bytes, check: str) -> None:
    assert RAW.count(old) == 1
    with refused(check):
        parse_leaf(RAW.replace(old, new))


def test_an_unknown_version_is_not_judged_by_its_other_fields() -> None:
    with refused("ENTRY_VERSION"):
        parse_leaf(b'{"b":{},"h":{"v":"sealgate.audit/9","zzz":[]}}')


def test_17_an_entry_of_another_shard_or_place() -> None:
    check_place(parse_leaf(RAW).header, ORIGIN, 7)
    with refused("ENTRY_LOG"):
        check_place(HEADER, "example.com/audit/2027", 7)
    with refused("ENTRY_INDEX"):
        check_place(HEADER, ORIGIN, 8)
    assert parse_leaf(RAW).header.v == VERSION
