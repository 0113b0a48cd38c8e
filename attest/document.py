"""How members of a document that people write are read: strictly, each mistake refused with the path where it is.

Readers take a value as JSON gives it and its path; they return it in the form in which it is used or raise Malformed
PROFILE_MALFORMED. Every TEE's profile is a table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attest.errors import Malformed

__all__ = ["Read", "flag", "hexadecimal", "malformed", "members", "numbers", "one_of", "set_of", "text", "whole"]

Read = Callable[[Any, str], Any]
_HEX = frozenset("0123456789abcdef")


def malformed(path: str, expected: str, got: object) -> Malformed:
    """What is raised for a value that is not what its place demands."""
    return Malformed("PROFILE_MALFORMED", path, expected=expected, got=got)


def members(document: object, readers: Mapping[str, Read], path: str) -> dict[str, Any]:
    """An object's members, each read by the reader of its name; a name without a reader is refused."""
    if not isinstance(document, Mapping):
        raise malformed(path, "an object", type(document).__name__)
    values: dict[str, Any] = {}
    for key, value in document.items():
        read = readers.get(key)
        if read is None:
            raise malformed(f"{path}.{key}", f"one of {', '.join(readers)}", key)
        values[key] = read(value, f"{path}.{key}")
    return values


def whole(low: int, high: int) -> Callable[[Any, str], int]:
    """A whole number from `low` to `high`."""

    def read(value: Any, path: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise malformed(path, f"a whole number from {low} to {high}", repr(value))
        return value

    return read


def flag(value: Any, path: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise malformed(path, "true or false", repr(value))
    return value


def text(value: Any, path: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise malformed(path, "a text that is not empty", repr(value))
    return value


def hexadecimal(size: int) -> Callable[[Any, str], bytes]:
    """`size` bytes in lower-case hexadecimal."""

    def read(value: Any, path: str) -> bytes:
        if not isinstance(value, str) or len(value) != 2 * size or not set(value) <= _HEX:
            raise malformed(path, f"{size} bytes in lower-case hexadecimal", repr(value))
        return bytes.fromhex(value)

    return read


def one_of(names: Mapping[str, Any]) -> Read:
    """One of `names`, as what it stands for."""

    def read(value: Any, path: str) -> Any:
        if not isinstance(value, str) or value not in names:
            raise malformed(path, f"one of {', '.join(sorted(names))}", repr(value))
        return names[value]

    return read


def numbers(count: int) -> Callable[[Any, str], tuple[int, ...]]:
    """`count` numbers from 0 to 255 with dots between them."""

    def read(value: Any, path: str) -> tuple[int, ...]:
        parts = value.split(".") if isinstance(value, str) else []
        if len(parts) != count or not all(p.isascii() and p.isdigit() and len(p) <= 3 and int(p) <= 255 for p in parts):
            raise malformed(path, f"{count} numbers from 0 to 255 with dots between", repr(value))
        return tuple(int(part) for part in parts)

    return read


def set_of(item: Read) -> Callable[[Any, str], frozenset[Any]]:
    """A list, not empty, of different items."""

    def read(value: Any, path: str) -> frozenset[Any]:
        if not isinstance(value, list) or not value:
            raise malformed(path, "a list that is not empty", repr(value))
        found = [item(each, f"{path}[{number}]") for number, each in enumerate(value)]
        if len(set(found)) != len(found):
            raise malformed(path, "each once", repr(value))
        return frozenset(found)

    return read
