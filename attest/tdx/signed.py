"""A document that Intel signed, inside the JSON that carries it: exactly the bytes that were signed.

Source: Intel "PCS API" version 4: `{"tcbInfo": {...}, "signature": "<128 hexadecimal digits>"}`, where the signature
covers the value's own bytes as they stand in the body. So they are located, never written anew: another order, one
space more, is another document. A key that occurs twice, at any depth, would be read differently by different readers,
and is refused. What is not there is never assumed, and numbers are whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from attest.ecdsa import verify_p256
from attest.errors import Malformed
from attest.x509 import Certificate

__all__ = ["MAX_DOCUMENT", "Duplicate", "Signed", "located", "read_signed"]

MAX_DOCUMENT = 1 << 18
_SPACE = " \t\n\r"
_HEX = frozenset("0123456789abcdefABCDEF")
_SIGNATURE, _CLOSE = b',"signature":"', b'"}'
_TAIL = len(_SIGNATURE) + 128 + len(_CLOSE)
Document = TypeVar("Document")


class Duplicate(ValueError):
    """A key that occurs twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed(Generic[Document]):
    """The bytes that were signed, and the signature; authentic only after `check`.

    Either the document was recognised in the form that Intel serves, or its members were decoded and are still to be
    read.
    """

    recognised: Document | None
    members: Mapping[str, Any]
    raw: bytes
    signature: tuple[int, int]

    def document(self, read: Callable[[Mapping[str, Any]], Document]) -> Document:
        """The document as a value; raises what `read` raises of members that are not what they should be."""
        return read(self.members) if self.recognised is None else self.recognised

    def check(self, signer: Certificate, *, check: str, path: str) -> None:
        """Returns if `signer` signed it; else raises NotAuthentic `check`."""
        verify_p256(signer.spki, self.raw, *self.signature, check=check, path=path)


def read_signed(
    body: bytes, name: str, recognise: Callable[[str], Document | None], *, check: str, path: str
) -> Signed[Document]:
    """The object under `name` and its signature; raises Malformed `check`, or JSON_DUPLICATE_KEY."""
    if len(body) > MAX_DOCUMENT:
        raise Malformed(check, path, expected=f"at most {MAX_DOCUMENT} bytes", got=f"{len(body)} bytes")
    return _recognised(body, name, recognise) or _decoded(body, name, check=check, path=path)


def _recognised(body: bytes, name: str, recognise: Callable[[str], Document | None]) -> Signed[Document] | None:
    """A body in the form that Intel serves: the object first, no spaces, and a document that is recognised whole."""
    head, at = b'{"%s":' % name.encode(), len(body) - _TAIL
    if at < len(head) or not body.startswith(head) or not body.startswith(_SIGNATURE, at) or body[-2:] != _CLOSE:
        return None
    raw, digits = body[len(head) : at], body[at + len(_SIGNATURE) : -len(_CLOSE)]
    if not raw.isascii() or not digits.isalnum():
        return None
    document = recognise(raw.decode("ascii"))
    if document is None:
        return None
    try:
        r_s = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    signature = int.from_bytes(r_s[:32], "big"), int.from_bytes(r_s[32:], "big")
    return Signed(recognised=document, members={}, raw=raw, signature=signature)


def _decoded(body: bytes, name: str, *, check: str, path: str) -> Signed[Document]:
    """Any body that is one object in JSON, key by key."""
    try:
        text = body.decode("utf-8")
        found = located(text)
    except Duplicate as error:
        raise Malformed("JSON_DUPLICATE_KEY", path, expected="each key once", got=str(error)) from error
    except (ValueError, RecursionError) as error:
        raise Malformed(check, path, expected="one JSON object in UTF-8", got=str(error)) from error
    if set(found) != {name, "signature"}:
        raise Malformed(check, path, expected=f"the keys {name} and signature", got=", ".join(found) or "none")
    members, start, end = found[name]
    if not isinstance(members, dict):
        raise Malformed(check, f"{path}.{name}", expected="an object", got=type(members).__name__)
    signature = found["signature"][0]
    if not isinstance(signature, str) or len(signature) != 128 or not set(signature) <= _HEX:
        raise Malformed(check, f"{path}.signature", expected="128 hexadecimal digits", got=repr(signature))
    r, s = int(signature[:64], 16), int(signature[64:], 16)
    return Signed(recognised=None, members=members, raw=text[start:end].encode("utf-8"), signature=(r, s))


def located(text: str) -> dict[str, tuple[Any, int, int]]:
    """The members of the one object in `text`, with where each value begins and ends; raises ValueError."""
    found: dict[str, tuple[Any, int, int]] = {}
    at = _past(text, 0, "{")
    while True:
        start = _skip(text, at)
        if text[start : start + 1] != '"':
            raise ValueError(f"no key at {start}")
        key, at = _DECODER.raw_decode(text, start)
        if key in found:
            raise Duplicate(key)
        start = _skip(text, _past(text, at, ":"))
        value, end = _DECODER.raw_decode(text, start)
        found[key] = (value, start, end)
        at = _skip(text, end)
        if text[at : at + 1] != ",":
            break
        at += 1
    at = _skip(text, _past(text, at, "}"))
    if at != len(text):
        raise ValueError(f"something follows the object at {at}")
    return found


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _past(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"no {mark} at {at}")
    return at + 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise Duplicate(next(key for key in keys if keys.count(key) > 1))
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no whole number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_no_number, parse_constant=_no_number)
