"""What is bound, byte for byte as docs/architecture.md says it: guests in measured images compute it for themselves."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.binding import (
    Request,
    bind,
    bound,
    device_digest,
    device_nonce,
    key_info,
    transcript,
    wrapped_digest,
    wrapped_preimage,
)


def _item(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def test_the_vector() -> None:
    expected = "000000016400000002616200000008000000000000000100000002000000017800000000"
    assert bind("d", b"ab", 1, [b"x", b""]).hex() == expected


ENCODED: dict[str, tuple[tuple[Any, ...], bytes]] = {
    "the domain alone": ((), b""),
    "nothing": ((b"",), _item(b"")),
    "text in UTF-8": (("é",), _item(b"\xc3\xa9")),
    "the greatest number": ((2**64 - 1,), _item(b"\xff" * 8)),
    "an empty list": (([],), bytes(4)),
    "a list": (([b"a", "b", 3],), b"\0\0\0\3" + _item(b"a") + _item(b"b") + _item(bytes(7) + b"\3")),
    "two lists": (([b"a"], [b"b"]), b"\0\0\0\1" + _item(b"a") + b"\0\0\0\1" + _item(b"b")),
}


@pytest.mark.parametrize("case", ENCODED)
def test_encoding(case: str) -> None:
    fields, expected = ENCODED[case]
    assert bind("domain", *fields) == _item(b"domain") + expected


@pytest.mark.parametrize("field", [None, True, 1.0, [[b"a"]], (b"a",), bytearray(b"a"), memoryview(b"a"), {}, [None]])
def test_anything_else_is_a_defect_of_the_caller(field: object) -> None:
    with pytest.raises(TypeError, match="bind"):
        bind("d", field)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_out_of_range(number: int) -> None:
    with pytest.raises(OverflowError):
        bind("d", number)


_ITEM = st.binary(max_size=5)
_FIELDS = st.tuples(_ITEM, _ITEM, st.lists(_ITEM, max_size=3), _ITEM)


@given(one=_FIELDS, other=_FIELDS)
def test_two_things_are_never_one(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert (bind("d", *one) == bind("d", *other)) == (one == other)
    assert bind("d", *one) != bind("e", *one)


CHALLENGE, RECIPIENT, HOLDER = b"\x01" * 57, b"\x02" * 32, b"\x03" * 91
REQUEST = Request(action="renew", origin="o.example/a", purpose="training", names=("a", "b"), lease_id="l-1")


def test_each_value_is_as_the_design_says() -> None:
    encoded = b"".join(map(_item, (b"sealgate/v1/request", b"renew", b"o.example/a", b"training")))
    encoded += b"\0\0\0\2" + _item(b"a") + _item(b"b") + _item(b"l-1")
    assert (REQUEST.encoded(), REQUEST.digest()) == (encoded, hashlib.sha256(encoded).digest())
    suite = _item(bytes(7) + b"\2")
    nonce = _item(b"sealgate/v1/device-nonce") + _item(CHALLENGE) + suite + _item(RECIPIENT)
    assert device_nonce(CHALLENGE, 2, RECIPIENT) == hashlib.sha256(nonce).digest()
    device = b"".join(map(_item, (b"sealgate/v1/device", b"nvidia-gpu", b"report", b"chain")))
    digest = hashlib.sha384(device).digest()
    assert device_digest("nvidia-gpu", b"report", b"chain") == digest
    whole = _item(b"sealgate/v1/transcript") + _item(CHALLENGE) + suite + _item(RECIPIENT) + _item(HOLDER)
    whole += _item(REQUEST.digest()) + b"\0\0\0\1" + _item(digest)
    told = transcript(CHALLENGE, 2, RECIPIENT, HOLDER, REQUEST.digest(), [digest])
    assert (told, bound(told)) == (whole, hashlib.sha512(whole).digest())
    info = b"".join(map(_item, (b"sealgate/v1/release", bound(told), b"key", b"training", b"l-1", b"content")))
    assert key_info(bound(told), "key", "training", "l-1", b"content") == info
    wrapped = b"".join(map(_item, (b"sealgate/v1/wrapped", info, b"sealed")))
    assert wrapped_preimage(info, b"sealed") == wrapped
    assert wrapped_digest(info, b"sealed") == hashlib.sha256(wrapped).digest()


def test_a_device_that_is_dropped_added_or_moved_is_another_transcript() -> None:
    one, two = device_digest("nvidia-gpu", b"1", b""), device_digest("nvidia-gpu", b"2", b"")
    lists: tuple[list[bytes], ...] = ([], [one], [two], [one, two], [two, one], [one, one])
    assert len({transcript(CHALLENGE, 2, RECIPIENT, b"", bytes(32), each) for each in lists}) == len(lists)
    # What ends one field never begins the next: report and chain, kind and report.
    assert device_digest("nvidia-gpu", b"ab", b"c") != device_digest("nvidia-gpu", b"a", b"bc")
    assert device_digest("nvidia-switch", b"1", b"") != one
