"""The confidential-computing event log (CCEL): what firmware and boot loader extended, in the TCG's binary form.

Sources: UEFI "Confidential Computing" (EFI_CC_EVENT), TCG "PC Client Platform Firmware Profile" (TCG_PCR_EVENT2), Intel
"TDX Virtual Firmware Design Guide" (measurement register index 1 to 4 is RTMR[0] to RTMR[3], index 0 is MRTD, which
cannot be extended). Integers are little-endian.
"""

from __future__ import annotations

from attest.errors import Malformed
from attest.reader import Reader
from attest.tdx.events import DIGEST_SIZE, REGISTERS, Event
from attest.tdx.tcg import EV_NO_ACTION, describe

__all__ = ["MAX_LOG", "SIGNATURE", "read_ccel", "without_padding"]

SIGNATURE = b"Spec ID Event03\0"
MAX_LOG = 2 << 20
_MAX_EVENTS = 4_096
_MAX_DATA = 1 << 18
_MAX_DIGESTS = 8
_SHA384 = 0x000C
_TERMINATOR = b"\xff\xff\xff\xff"
_SHA1_SIZE = 20


def read_ccel(log: bytes) -> tuple[Event, ...]:
    """The events that extend a register, in order. Raises Malformed.

    EVENTLOG_TOO_LARGE: more bytes, events or data than a boot makes. EVENTLOG_FORMAT: lengths that do not nest, no
    SHA-384, an unknown register, anything after the end of the log but padding of one byte's value.
    EVENTLOG_EVENT_DIGEST: an event whose digest is not that of its data, where its type says that it must be.
    """
    return _walk(log)[0]


def without_padding(log: bytes) -> bytes:
    """The log up to its end: the rest of the firmware's area is padding of one byte. Raises as `read_ccel`."""
    return log[: _walk(log)[1]] + _TERMINATOR


def _walk(log: bytes) -> tuple[tuple[Event, ...], int]:
    """The events, and where they end."""
    if len(log) > MAX_LOG:
        raise Malformed("EVENTLOG_TOO_LARGE", "event_log", expected=f"at most {MAX_LOG} bytes", got=len(log))
    reader = Reader(log, path="event_log", length="EVENTLOG_FORMAT", reserved="EVENTLOG_FORMAT")
    sizes = _header(reader)
    events: list[Event] = []
    for number in range(_MAX_EVENTS):
        if reader.peek(4) == _TERMINATOR or not any(reader.peek(8)):  # index 0 and type 0 are no event
            return tuple(events), len(log) - _padding(reader)
        event = _event(reader, sizes, f"event_log.events[{number}]")
        if event is not None:
            events.append(event)
    raise Malformed("EVENTLOG_TOO_LARGE", "event_log.events", expected=f"at most {_MAX_EVENTS}", got="more")


def _header(reader: Reader) -> dict[int, int]:
    """The first record, in the form of TCG 1.2: which algorithms the log has, and the size of their digests."""
    register, kind = reader.u32(), reader.u32()
    reader.zeros(_SHA1_SIZE)
    data = _data(reader, "event_log.spec_id")
    if register not in (0, 1) or kind != EV_NO_ACTION or not data.startswith(SIGNATURE):
        got = f"index {register}, type {kind:#x}, {data[:16]!r}"
        raise Malformed("EVENTLOG_FORMAT", "event_log.spec_id", expected=f"EV_NO_ACTION with {SIGNATURE!r}", got=got)
    inner = Reader(data, path="event_log.spec_id", length="EVENTLOG_FORMAT", reserved="EVENTLOG_FORMAT")
    inner.take(16 + 4 + 4)  # signature, platformClass, minor, major, errata, uintnSize
    count = inner.u32()
    if not 1 <= count <= _MAX_DIGESTS:
        raise Malformed("EVENTLOG_FORMAT", "event_log.spec_id.algorithms", expected=f"1 to {_MAX_DIGESTS}", got=count)
    sizes: dict[int, int] = {}
    for _ in range(count):
        algorithm, size = inner.u16(), inner.u16()
        sizes[algorithm] = size
    if sizes.get(_SHA384) != DIGEST_SIZE or len(sizes) != count:
        got = ", ".join(f"{algorithm:#06x}: {size}" for algorithm, size in sizes.items())
        raise Malformed("EVENTLOG_FORMAT", "event_log.spec_id.algorithms", expected="SHA-384 (0x000c: 48)", got=got)
    inner.take(inner.u8())  # vendorInfo
    inner.end()
    return sizes


def _event(reader: Reader, sizes: dict[int, int], path: str) -> Event | None:
    """One TCG_PCR_EVENT2; None for what extends nothing."""
    register, kind = reader.u32(), reader.u32()
    digest = _digest(reader, sizes, path)
    data = _data(reader, path)
    if kind == EV_NO_ACTION:
        return None
    if not 1 <= register <= REGISTERS:
        raise Malformed("EVENTLOG_FORMAT", f"{path}.index", expected=f"1 to {REGISTERS}", got=register)
    text, proven = describe(kind, data, digest, path)
    return Event(register=register - 1, type=kind, digest=digest, text=text, proven=proven)


def _digest(reader: Reader, sizes: dict[int, int], path: str) -> bytes:
    count = reader.u32()
    if not 1 <= count <= _MAX_DIGESTS:
        raise Malformed("EVENTLOG_FORMAT", f"{path}.digests", expected=f"1 to {_MAX_DIGESTS}", got=count)
    found: dict[int, bytes] = {}
    for _ in range(count):
        algorithm = reader.u16()
        if algorithm not in sizes or algorithm in found:
            known = ", ".join(f"{each:#06x}" for each in sizes)
            raise Malformed(
                "EVENTLOG_FORMAT", f"{path}.digests", expected=f"each once of {known}", got=f"{algorithm:#06x}"
            )
        found[algorithm] = reader.take(sizes[algorithm])
    if _SHA384 not in found:
        raise Malformed("EVENTLOG_FORMAT", f"{path}.digests", expected="one of SHA-384", got="none")
    return found[_SHA384]


def _data(reader: Reader, path: str) -> bytes:
    size = reader.u32()
    if size > _MAX_DATA:
        raise Malformed("EVENTLOG_TOO_LARGE", f"{path}.data", expected=f"at most {_MAX_DATA} bytes", got=size)
    return reader.take(size)


def _padding(reader: Reader) -> int:
    """Its size. The firmware's area goes on behind the log, all of it with one value; others would be data unread."""
    rest = reader.rest()
    if len(rest) not in (rest.count(0x00), rest.count(0xFF)):
        raise Malformed("EVENTLOG_FORMAT", "event_log.padding", expected="one byte's value, 00 or ff", got="others")
    return len(rest)
