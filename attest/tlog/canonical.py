"""Canonical JSON: one value, one byte string.

Sources: RFC 8785 (JCS), narrowed by facts/log.md 2.1 so that Python's own encoder produces it: keys match `[a-z0-9_]+`
(so that order by code point is order by UTF-16), integers within +-(2**53 - 1) and no other numbers, strings in NFC
without lone surrogates. tests/attest/tlog/test_canonical.py holds this against an independent JCS.

`parse_canonical` encodes again and compares. Of entries that are like others `attest.tlog.shape` knows it faster.
"""

from __future__ import annotations

import json
import re
import unicodedata

from attest.errors import Malformed

__all__ = ["MAX_DEPTH", "MAX_INTEGER", "MAX_LENGTH", "canonical", "parse_canonical"]

MAX_LENGTH = 60_000
MAX_DEPTH = 16
MAX_INTEGER = 2**53 - 1

_KEY = re.compile("[a-z0-9_]+")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def canonical(value: object, *, limit: int = MAX_LENGTH) -> bytes:
    """The canonical bytes of a dict (lists, tuples, str, int, bool and None inside it).

    Raises Malformed ENTRY_FORMAT for anything outside the profile, with its path, and ENTRY_LENGTH above `limit` bytes.
    """
    if not isinstance(value, dict):
        raise _wrong("$", "an object", type(value).__name__)
    if not _is_plain(value, MAX_DEPTH):
        _check(value, "$", MAX_DEPTH)
    encoded = _encode(value).encode("utf-8")
    if len(encoded) > limit:
        raise Malformed("ENTRY_LENGTH", "$", expected=f"at most {limit} bytes", got=f"{len(encoded)} bytes")
    return encoded


def parse_canonical(raw: bytes, *, limit: int = MAX_LENGTH) -> dict[str, object]:
    """Read what `canonical` wrote, and nothing else.

    Raises as `canonical` does, ENTRY_FORMAT for what is not JSON, and ENTRY_CANONICAL where the value has other
    canonical bytes: another order, a space, an escape too many, a number such as -0, a duplicate key.
    """
    if len(raw) > limit:
        raise Malformed("ENTRY_LENGTH", "$", expected=f"at most {limit} bytes", got=f"{len(raw)} bytes")
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _wrong("$", "JSON in UTF-8", error) from error
    encoded = canonical(value, limit=limit)
    if encoded != raw:
        at = next(
            (i for i, (a, b) in enumerate(zip(raw, encoded, strict=False)) if a != b), min(len(raw), len(encoded))
        )
        expected, got = encoded[at : at + 40], raw[at : at + 40]
        raise Malformed("ENTRY_CANONICAL", f"byte {at}", expected=repr(expected), got=repr(got))
    return dict(value)


def _is_plain(value: object, depth: int) -> bool:
    """True if `value` is surely inside the profile: ASCII, ordinary keys. What is not is left to `_check`.

    It says the same as `_check` at a third of the cost, since it builds no paths: entries are made for every release.
    """
    if isinstance(value, str):
        return value.isascii()
    if value is None or value is True or value is False:
        return True
    if isinstance(value, int):
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if depth > 0 and isinstance(value, dict):
        return all(
            isinstance(key, str)
            and key.isascii()
            and key.isidentifier()
            and key.islower()
            and (each.isascii() if isinstance(each, str) else _is_plain(each, depth - 1))
            for key, each in value.items()
        )
    return depth > 0 and isinstance(value, list) and all(_is_plain(each, depth - 1) for each in value)


def _check(value: object, path: str, depth: int) -> None:
    if isinstance(value, str):
        _check_string(value, path)
    elif value is None or value is True or value is False:
        return
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise _wrong(path, "an integer within 2**53 - 1", _describe(value))
    elif depth == 0:
        raise _wrong(path, f"at most {MAX_DEPTH} levels", "more")
    elif isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str) or _KEY.fullmatch(key) is None:
                raise _wrong(path, "keys that match [a-z0-9_]+", repr(key))
            _check(each, f"{path}.{key}", depth - 1)
    elif isinstance(value, (list, tuple)):
        for at, each in enumerate(value):
            _check(each, f"{path}[{at}]", depth - 1)
    else:
        raise _wrong(path, "an object, a list, a string, an integer, true, false or null", type(value).__name__)


def _check_string(value: str, path: str) -> None:
    if value.isascii():
        return
    if any("\ud800" <= each <= "\udfff" for each in value):
        raise _wrong(path, "no lone surrogate", ascii(value))
    if not unicodedata.is_normalized("NFC", value):
        raise _wrong(path, "a string in NFC", ascii(value))


def _describe(value: int) -> str:
    return f"an integer of {value.bit_length()} bits"


def _wrong(path: str, expected: object, got: object) -> Malformed:
    return Malformed("ENTRY_FORMAT", path, expected=expected, got=got)
