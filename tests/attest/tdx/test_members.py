"""How a document of Intel's is read: each member of the wrong kind is refused with its place, under the given check."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from attest.errors import Malformed
from attest.tdx.members import Members, Shape

# name: (how a member is read, values that are refused, values that are read, and as what)
KINDS: dict[str, tuple[Callable[[Members], object], list[Any], list[tuple[Any, object]]]] = {
    "text": (
        lambda read: read.text("m"),
        ["", "x" * 257, 1, None, ["x"], True],
        [("x", "x"), ("x" * 256, "x" * 256)],
    ),
    "whole": (
        lambda read: read.whole("m", 255),
        [-1, 256, True, "1", 1.0, None, [1]],
        [(0, 0), (255, 255)],
    ),
    "exactly": (lambda read: read.exactly("m", 3, 2), [1, True, "3", 3.0, None, [3]], [(3, 3), (2, 2)]),
    "named": (lambda read: read.named("m", {"a": 1}), ["b", 1, None, ["a"], ""], [("a", 1)]),
    "hexadecimal": (
        lambda read: read.hexadecimal("m", 2),
        ["", "00", "000000", "0 00", "00 0", "zz00", 1, None, ["0", "0", "0", "0"], "\uff10000"],
        [("00ff", b"\0\xff"), ("AbCd", b"\xab\xcd")],
    ),
    "time": (
        lambda read: read.time("m"),
        [
            "2026-05-01T12:00:00", "2026-05-01 12:00:00Z", "2026-05-01T12:00:00+00:00", "2026-05-01T12:00:60Z",
            "2026-02-30T12:00:00Z", "2026-05-01T12:00:00z", "20260501T120000.000Z", "2026-05-01T12:00-05Z",
            "2026-W18-5T12:00:00Z", "2026-05-01T12:00,00Z", "2026-05-01T120000.0Z", "\uff12026-05-01T12:00:00Z",
            1, None, ["2026"] * 20,
        ],
        [("2026-05-01T12:00:00Z", datetime(2026, 5, 1, 12, tzinfo=UTC))],
    ),
    "items": (lambda read: read.items("m"), [{}, "x", None, [0] * 257], [([], []), ([0] * 256, [0] * 256)]),
    "texts": (
        lambda read: read.texts("m"),
        ["x", {}, [1], [""], ["x" * 257], ["x", None], ["x"] * 257],
        [([], ()), (["x" * 256], ("x" * 256,))],
    ),
    "svns": (
        lambda read: read.svns("m", 2),
        [
            [], [{"svn": 1}], [{"svn": 1}] * 3, [{"svn": 1}, {"svn": -1}], [{"svn": -1}, {"svn": 256}],
            [{"svn": 1}, {"svn": 256}], [{"svn": 1}, {"svn": True}], [{"svn": 1}, {}], [{"svn": 1}, 1],
            [{"svn": 1}, {"svn": 1, "more": 1}], [{"svn": 1}, {"svn": "1"}], {"svn": 1}, None, [{"svn": 1}] * 257,
        ],
        [([{"svn": 0}, {"svn": 255, "category": "BIOS", "type": "t"}], (0, 255))],
    ),
    "inner": (
        lambda read: read.inner("m", Shape(frozenset({"a"}), frozenset({"b"}))).text("a"),
        [[], "a", None, {}, {"b": "x"}, {"a": "x", "c": "x"}, {"a": "x", "b": "x", "c": "x"}],
        [({"a": "x"}, "x"), ({"a": "x", "b": "y"}, "x")],
    ),
    "each": (
        lambda read: [one.text("a") for one in read.each("m", Shape(frozenset({"a"})))],
        [{}, "a", [1], [{"a": "x"}, {}], [{"a": "x", "b": "x"}]],
        [([], []), ([{"a": "x"}], ["x"])],
    ),
}  # fmt: skip


def _read(value: object) -> Members:
    return Members({"m": value}, Shape(frozenset({"m"})), "TCBINFO_FORMAT", "doc")


@pytest.mark.parametrize("case", KINDS)
def test_a_member_is_what_it_should_be(case: str) -> None:
    read, wrong, right = KINDS[case]
    for value in wrong:
        with pytest.raises(Malformed) as caught:
            read(_read(value))
        assert (caught.value.check, caught.value.path[:5]) == ("TCBINFO_FORMAT", "doc.m"), value
    for value, expected in right:
        assert read(_read(value)) == expected


@pytest.mark.parametrize("document", [[], "m", None, 1, {}, {"m": 1, "n": 1}])
def test_a_document_has_its_members_and_no_others(document: object) -> None:
    with pytest.raises(Malformed) as caught:
        Members(document, Shape(frozenset({"m"})), "QEID_FORMAT", "doc")
    assert (caught.value.check, caught.value.path) == ("QEID_FORMAT", "doc")


def test_what_is_absent_is_no_list_of_texts() -> None:
    read = Members({}, Shape(frozenset(), frozenset({"m"})), "TCBINFO_FORMAT", "doc")
    assert (read.texts("m"), "m" in read) == ((), False)
