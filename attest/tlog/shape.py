"""The shape of canonical JSON: everything in it but the contents of its strings and the digits of its numbers.

Entries of a log are alike. Bytes that have the shape of others which were canonical are canonical themselves: keys,
their order, punctuation, literals and depth are those of the shape, a string of printable ASCII without quote and
backslash is its own encoding, and so is a whole number of at most 15 digits without sign or leading zero. One regular
expression tells all of it, at a quarter of the cost of parsing. What is not so simple has no shape here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from attest.tlog.canonical import MAX_LENGTH

__all__ = ["Number", "Place", "Shapes", "Text", "Values", "View", "value_of"]

_TEXT = '"([^"]*+)"'
_NUMBER = "(0|[1-9][0-9]{0,14}+)"
_TOKEN = re.compile(r'("[^"]*")(:?)|(-?[0-9]+)|[^"0-9-]+')
_PLAIN = bytes(each for each in range(0x20, 0x7F) if each != 0x5C)  # what a string may hold; the backslash is not in it
_MAX_DIGITS = 15

_MAX_SHAPES = 256  # an expression costs 2 ms to compile and some 50 KB to keep
_MAX_RIVALS = 8  # shapes with the same number of quotes, which are tried one after the other
_MAX_SIGHTINGS = 1_024
_WORTH = 16  # how often a shape must have been seen before an expression is made of it
_MAX_SHAPED = 8_192  # bytes; longer ones are rare, and their expressions long

_Made = TypeVar("_Made")


class Text(int):
    """Which group of the expression is a string."""


class Number(int):
    """Which group of the expression is a number."""


Values = re.Match[str]
Place = Text | Number | bool | dict[str, "Place"] | list["Place"] | None


class Shapes(Generic[_Made]):
    """The shapes that were seen often, each with what `make` says of the places of its values; bounded in number."""

    def __init__(self, make: Callable[[Place], _Made]) -> None:
        self._make = make
        self._known: dict[int, list[tuple[Callable[[str], Values | None], _Made]]] = {}  # by number of quotes
        self._seen: dict[str, int] = {}
        self._left = _MAX_SHAPES

    def find(self, raw: bytes) -> tuple[_Made, Values] | None:
        """If `raw` has a known shape, and hence is canonical, what was made for it and the values; else None."""
        rivals = self._known.get(raw.count(b'"'))
        if not rivals or raw.translate(None, _PLAIN) or len(raw) > MAX_LENGTH:
            return None
        text = raw.decode("ascii")
        for at, rival in enumerate(rivals):
            if (match := rival[0](text)) is not None:
                if at:
                    rivals.insert(0, rivals.pop(at))
                return rival[1], match
        return None

    def learn(self, raw: bytes) -> None:
        """Remembers the shape of `raw`, which MUST be canonical. What has no shape is left alone."""
        rivals = self._known.setdefault(raw.count(b'"'), [])
        if not self._left or len(rivals) == _MAX_RIVALS or len(raw) > _MAX_SHAPED or raw.translate(None, _PLAIN):
            return
        pattern, outline = _dissect(raw.decode("ascii"))
        if pattern is None:
            return
        if len(self._seen) == _MAX_SIGHTINGS:
            self._seen.clear()
        seen = self._seen[pattern] = self._seen.get(pattern, 0) + 1
        if seen == _WORTH:
            self._left -= 1
            rivals.append((re.compile(pattern).fullmatch, self._make(_placed(json.loads(outline)))))


def _dissect(text: str) -> tuple[str | None, str]:
    """The expression of a shape, None if it has none; and the JSON in which each value is its own place."""
    pattern: list[str] = []
    outline: list[str] = []
    values = 0
    for match in _TOKEN.finditer(text):
        string, colon, number = match.groups()
        if number is not None:
            if number.startswith("-") or len(number) > _MAX_DIGITS:
                return None, ""
            values += 1
            pattern.append(_NUMBER)
            outline.append(str(values))
        elif string is not None and not colon:
            values += 1
            pattern.append(_TEXT)
            outline.append(f'"{values}"')
        else:
            pattern.append(re.escape(match.group()))
            outline.append(match.group())
    return "".join(pattern), "".join(outline)


def _placed(value: object) -> Place:
    if isinstance(value, dict):
        return {key: _placed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_placed(each) for each in value]
    if isinstance(value, str):
        return Text(value)
    if value is None or isinstance(value, bool):
        return value
    return Number(str(value))  # of our outlines nothing else is left


def value_of(place: Place, values: Values) -> object:
    """What is at a place; an object is a `View`."""
    if type(place) is Text:
        return values[place]
    if type(place) is Number:
        return int(values[place])
    if isinstance(place, dict):
        return View(place, values)
    return [value_of(each, values) for each in place] if isinstance(place, list) else place


class View(Mapping[str, object]):
    """An object that was not built: its values are read when they are asked for."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, Place], values: Values) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, key: str) -> object:
        return value_of(self._places[key], self._values)

    def get(self, key: str, default: object = None) -> object:
        """As of any mapping."""
        places = self._places
        return value_of(places[key], self._values) if key in places else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))
