"""What a runtime register may be made of, event by event: which component differs is then known, and not only that one
does.

A register given this way accepts exactly the logs that have one event for each component, in order, with one of its
digests. Nothing is left out and nothing may be added: every event is allowed by value, as the whole register is else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from attest.tdx.events import DIGEST_SIZE, Event

__all__ = ["Component", "differing", "read_components"]

_MAX_COMPONENTS = 1_024
_MAX_DIGESTS = 64
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One extension of a register: `name` is for people (`kernel`, `initrd`, `cmdline`), `digests` are accepted."""

    name: str
    digests: frozenset[bytes]


def read_components(value: list[Any]) -> tuple[Component, ...]:
    """`[{"name": text, "digests": [hexadecimal of 48 bytes, ...]}, ...]`. Raises ValueError with what is wrong."""
    if not 1 <= len(value) <= _MAX_COMPONENTS:
        raise ValueError(f"1 to {_MAX_COMPONENTS} components, not {len(value)}")
    return tuple(_component(each, number) for number, each in enumerate(value))


def _component(found: Any, number: int) -> Component:
    if not isinstance(found, dict) or found.keys() != {"name", "digests"}:
        raise ValueError(f"component {number} must have name and digests, and nothing else")
    name, digests = found["name"], found["digests"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"component {number} needs a name")
    if (
        not isinstance(digests, list)
        or not 1 <= len(digests) <= _MAX_DIGESTS
        or len(set(map(str, digests))) != len(digests)
    ):
        raise ValueError(f"component {number} ({name}) needs 1 to {_MAX_DIGESTS} different digests")
    for each in digests:
        if not isinstance(each, str) or len(each) != 2 * DIGEST_SIZE or not set(each) <= _HEX:
            raise ValueError(f"component {number} ({name}): {each!r} is no SHA-384 in lower-case hexadecimal")
    return Component(name=name, digests=frozenset(map(bytes.fromhex, digests)))


def differing(
    register: int, components: Sequence[Component], events: Sequence[Event]
) -> Iterator[tuple[str, str, str]]:
    """(place, expected, got) of each component of RTMR[`register`] that the log does not have; none if all agree."""
    found = [event for event in events if event.register == register]
    for number in range(max(len(components), len(found))):
        component = components[number] if number < len(components) else None
        event = found[number] if number < len(found) else None
        if component is not None and event is not None and event.digest in component.digests:
            continue
        name = component.name if component else "no component"
        expected = " or ".join(sorted(each.hex() for each in component.digests)) if component else "the end of the log"
        yield f"rtmr{register}[{number}] ({name})", expected, _told(event)


def _told(event: Event | None) -> str:
    if event is None:
        return "the end of the log"
    return f"{event.digest.hex()} ({event.text}{'' if event.proven else ', as the log says'})"
