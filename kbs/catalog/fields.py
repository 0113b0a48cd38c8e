"""How the members of a document are read: what is not what its field demands is DocumentInvalid, naming the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attest.errors import AttestError
from attest.tlog.entry import parse_canonical

__all__ = ["DocumentInvalid", "hexadecimal", "members", "object_", "text", "texts", "want", "whole"]


class DocumentInvalid(ValueError):
    """A document that is not what its kind demands; the sentence names the field."""


def members(data: bytes, version: str, *names: str, optional: frozenset[str] = frozenset()) -> Mapping[str, Any]:
    """The members of a document of this version, which are exactly `names` and perhaps some of `optional`."""
    try:
        document = parse_canonical(data)
    except AttestError as error:
        raise DocumentInvalid(f"the document is not canonical JSON: {error}") from error
    if document.get("v") != version:
        raise DocumentInvalid(f"v must be {version!r}, it is {document.get('v')!r}")
    missing, unknown = set(names) - document.keys(), document.keys() - {"v", *names} - optional
    if missing or unknown:
        raise DocumentInvalid(f"{version}: missing {sorted(missing)}, unknown {sorted(unknown)}")
    return document


def want(fine: bool, field: str, rule: str, got: object) -> None:
    """Raises DocumentInvalid unless `fine`."""
    if not fine:
        raise DocumentInvalid(f"{field} must be {rule}, it is {got!r}")


def whole(document: Mapping[str, Any], field: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    value = document[field]
    want(type(value) is int and low <= value <= high, field, f"a whole number from {low} to {high}", value)
    return int(value)


def text(document: Mapping[str, Any], field: str) -> str:
    """A text that is not empty."""
    value = document[field]
    want(isinstance(value, str) and value != "", field, "a text that is not empty", value)
    return str(value)


def texts(document: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """A list of different texts, not empty."""
    value = document[field]
    fine = (
        isinstance(value, list) and value and all(isinstance(v, str) for v in value) and len(set(value)) == len(value)
    )
    want(bool(fine), field, "a list of different texts, not empty", value)
    return tuple(value)


def hexadecimal(document: Mapping[str, Any], field: str, size: int, *, optional: bool = False) -> bytes:
    """`size` bytes in lower-case hexadecimal."""
    value = document[field]
    if optional and value == "":
        return b""
    try:
        data = bytes.fromhex(value)
    except (TypeError, ValueError):
        data = b""
    want(len(data) == size and value == data.hex(), field, f"{size} bytes in lower-case hexadecimal", value)
    return data


def object_(document: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """An object."""
    value = document[field]
    want(isinstance(value, dict), field, "an object", value)
    return dict(value)
