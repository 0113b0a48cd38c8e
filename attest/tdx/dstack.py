"""The event log of dstack guests: JSON, with the events of applications in RTMR[3] computed again from what they say.

Source: dstack, `cc-eventlog`: a runtime event has type 0x08000001 and the digest SHA-384(type, 4 bytes little-endian ||
":" || name || ":" || payload); in version 2 it is that of the canonical JSON (RFC 8785) of its four members. Events of
the firmware come with a digest and a name alone, which proves nothing of the name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from attest.errors import Malformed
from attest.tdx.events import DIGEST_SIZE, REGISTERS, Event
from attest.tlog.canonical import canonical

__all__ = ["RUNTIME_EVENT", "read_dstack"]

RUNTIME_EVENT = 0x08000001
_MAX_LOG = 2 << 20
_MAX_EVENTS = 4_096
_MAX_NAME = 256
_MAX_PAYLOAD = 1 << 16
_REQUIRED = {"imr", "event_type", "event", "event_payload"}
_OPTIONAL = {"digest", "version", "hash_input"}


def read_dstack(log: bytes) -> tuple[Event, ...]:
    """The events in order. Raises Malformed EVENTLOG_FORMAT, EVENTLOG_TOO_LARGE or EVENTLOG_EVENT_DIGEST."""
    if len(log) > _MAX_LOG:
        raise Malformed("EVENTLOG_TOO_LARGE", "event_log", expected=f"at most {_MAX_LOG} bytes", got=len(log))
    try:
        document = json.loads(log, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Malformed("EVENTLOG_FORMAT", "event_log", expected="a list in JSON", got=type(error).__name__) from error
    if not isinstance(document, list):
        raise _format("event_log", "a list", type(document).__name__)
    if len(document) > _MAX_EVENTS:
        raise Malformed("EVENTLOG_TOO_LARGE", "event_log", expected=f"at most {_MAX_EVENTS} events", got=len(document))
    return tuple(_event(each, f"event_log[{number}]") for number, each in enumerate(document))


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("EVENTLOG_FORMAT", "event_log", expected="each member once", got="a name twice")
    return members


def _format(path: str, expected: str, got: object) -> Malformed:
    return Malformed("EVENTLOG_FORMAT", path, expected=expected, got=got)


def _event(found: object, path: str) -> Event:
    if not isinstance(found, Mapping) or not _REQUIRED <= found.keys() <= _REQUIRED | _OPTIONAL:
        got = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        raise _format(path, f"an object with {', '.join(sorted(_REQUIRED))}", got)
    register, kind, name = found["imr"], found["event_type"], found["event"]
    if type(register) is not int or not 0 <= register < REGISTERS:
        raise _format(f"{path}.imr", f"0 to {REGISTERS - 1}", repr(register))
    if type(kind) is not int or not 0 <= kind < 1 << 32:
        raise _format(f"{path}.event_type", "32 bits", repr(kind))
    if not isinstance(name, str) or len(name) > _MAX_NAME or any("\ud800" <= each <= "\udfff" for each in name):
        raise _format(f"{path}.event", f"a text of at most {_MAX_NAME} characters", repr(name)[:80])
    payload = _hex(found["event_payload"], f"{path}.event_payload")
    given = _hex(found.get("digest", ""), f"{path}.digest")
    if kind != RUNTIME_EVENT:
        if len(given) != DIGEST_SIZE:
            raise _format(f"{path}.digest", f"{DIGEST_SIZE} bytes", f"{len(given)} bytes")
        return Event(register=register, type=kind, digest=given, text=name, proven=False)
    digest = hashlib.sha384(_measured(name, payload, found.get("version", 1), path)).digest()
    if given and given != digest:
        raise Malformed("EVENTLOG_EVENT_DIGEST", f"{path}.{name}", expected=digest, got=given)
    return Event(register=register, type=kind, digest=digest, text=f"{name}={payload.hex()}", proven=True)


def _measured(name: str, payload: bytes, version: object, path: str) -> bytes:
    """The bytes whose digest is extended."""
    if version == 1:
        return RUNTIME_EVENT.to_bytes(4, "little") + b":" + name.encode() + b":" + payload
    if version == 2:
        return canonical(
            {"event": name, "event_type": RUNTIME_EVENT, "payload": payload.hex(), "version": 2}, limit=_MAX_LOG
        )
    raise _format(f"{path}.version", "1 or 2", repr(version))


def _hex(value: object, path: str) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * _MAX_PAYLOAD:
        raise _format(path, f"at most {_MAX_PAYLOAD} bytes in hexadecimal", type(value).__name__)
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = b""
    if len(value) != 2 * len(data):
        raise _format(path, "bytes in hexadecimal", repr(value[:80]))
    return data
