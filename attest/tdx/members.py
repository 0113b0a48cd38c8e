"""How a document of Intel's is read, once its signature was checked: every member known, typed and within bounds.

A member without a name here is refused. Intel has added members that change what a document means without a new version
(the identities of TDX modules, for one), and a reader that passed over them accepted what it should have refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from attest.errors import Malformed

__all__ = ["MAX_ITEMS", "Members", "Shape"]

Place = str | tuple["Place", str | int]
MAX_ITEMS = 256
_COMPONENT = frozenset({"svn", "category", "type"})
_MAX_TEXT = 256
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Shape:
    """Which members an object has to have, and which it may have beside them."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()


class Members:
    """The members of one object; every refusal is a Malformed `check` with the place.

    `path` is a text, or where the object stands: the place of the one around it, and a name or a number in it. It is
    put into words for a refusal alone.
    """

    __slots__ = ("_check", "_members", "_path")

    def __init__(self, document: Any, shape: Shape, check: str, path: Place) -> None:
        self._check = check
        self._path = path
        if not isinstance(document, dict):
            raise self._wrong("", "an object", type(document).__name__)
        if document.keys() != shape.required:
            unknown = document.keys() - shape.required - shape.optional
            missing = shape.required - document.keys()
            if unknown or missing:
                got = [f"no {name}" for name in sorted(missing)] + [f"unknown {name}" for name in sorted(unknown)]
                raise self._wrong("", "the members of Intel's PCS API version 4", ", ".join(got)[:_MAX_TEXT])
        self._members: Mapping[str, Any] = document

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def _wrong(self, name: str, expected: str, got: object) -> Malformed:
        path = _in_words(self._path)
        return Malformed(self._check, f"{path}.{name}" if name else path, expected=expected, got=got)

    def text(self, name: str) -> str:
        """A text, not empty."""
        value = self._members[name]
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
            raise self._wrong(name, "a text that is not empty", repr(value)[:_MAX_TEXT])
        return value

    def whole(self, name: str, most: int) -> int:
        """A whole number from 0 to `most`."""
        value = self._members[name]
        if type(value) is not int or not 0 <= value <= most:
            raise self._wrong(name, f"a whole number from 0 to {most}", repr(value)[:_MAX_TEXT])
        return value

    def exactly(self, name: str, *allowed: object) -> Any:
        """One of the values that are allowed."""
        value = self._members[name]
        for each in allowed:
            if value == each and type(value) is type(each):
                return value
        raise self._wrong(name, " or ".join(map(str, allowed)), repr(value)[:_MAX_TEXT])

    def named(self, name: str, table: Mapping[str, _Value]) -> _Value:
        """What `table` has under the text."""
        value = self._members[name]
        found = table.get(value) if isinstance(value, str) else None
        if found is None:
            raise self._wrong(name, " or ".join(table), repr(value)[:_MAX_TEXT])
        return found

    def hexadecimal(self, name: str, size: int) -> bytes:
        """`size` bytes in hexadecimal, whose letters Intel writes in either case."""
        value = self._members[name]
        data = b""
        if isinstance(value, str) and len(value) == 2 * size:
            try:
                data = bytes.fromhex(value)
            except ValueError:
                data = b""
        if len(data) != size:  # fewer, where `fromhex` passed over a space
            raise self._wrong(name, f"{size} bytes in hexadecimal", repr(value)[:_MAX_TEXT])
        return data

    def time(self, name: str) -> datetime:
        """A time of UTC to the second: 2026-05-01T12:00:00Z."""
        value = self._members[name]
        if isinstance(value, str) and len(value) == 20 and value[4:17:3] == "--T::" and value.endswith("Z"):
            try:
                found = datetime.fromisoformat(value)
            except ValueError:
                found = None
            if found is not None and found.tzinfo is UTC:
                return found
        raise self._wrong(name, "a time such as 2026-05-01T12:00:00Z", repr(value)[:_MAX_TEXT])

    def items(self, name: str) -> list[Any]:
        """A list, bounded, that may be empty."""
        value = self._members[name]
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise self._wrong(name, f"a list of at most {MAX_ITEMS}", type(value).__name__)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; none if the member is absent."""
        if name not in self._members:
            return ()
        values = self.items(name)
        if not all(isinstance(value, str) and 0 < len(value) <= _MAX_TEXT for value in values):
            raise self._wrong(name, "a list of texts", repr(values)[:_MAX_TEXT])
        return tuple(values)

    def inner(self, name: str, shape: Shape) -> Members:
        """The object under `name`."""
        return Members(self._members[name], shape, self._check, (self._path, name))

    def each(self, name: str, shape: Shape) -> list[Members]:
        """The objects of the list under `name`."""
        check, path = self._check, (self._path, name)
        return [Members(item, shape, check, (path, n)) for n, item in enumerate(self.items(name))]

    def svns(self, name: str, count: int) -> tuple[int, ...]:
        """The `svn` of each of exactly `count` components, beside which `category` and `type` may stand."""
        items = self.items(name)
        try:
            found = tuple([item["svn"] for item in items])
            fine = tuple(bytes(found)) == found and bool not in map(type, found) and set().union(*items) <= _COMPONENT
        except (TypeError, KeyError, ValueError):
            found, fine = (), False
        if not fine or len(found) != count:
            expected = f"{count} components, each with an svn from 0 to 255"
            raise self._wrong(name, expected, repr(items)[:_MAX_TEXT])
        return found

    def refuse(self, name: str, expected: str, got: object) -> Malformed:
        """What to raise when a member is of the right kind and still wrong."""
        return self._wrong(name, expected, got)


def _in_words(path: Place) -> str:
    if isinstance(path, str):
        return path
    around, name = path
    return f"{_in_words(around)}[{name}]" if isinstance(name, int) else f"{_in_words(around)}.{name}"
