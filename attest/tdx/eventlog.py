"""An event log that adds up to a quote's RTMRs: the way from four digests to what was booted."""

from __future__ import annotations

from attest.errors import Malformed
from attest.tdx.ccel import read_ccel
from attest.tdx.dstack import read_dstack
from attest.tdx.events import Event, require_replay

__all__ = ["read_event_log", "verify_event_log"]

_CCEL = (bytes.fromhex("0000000003000000"), bytes.fromhex("0100000003000000"))  # EV_NO_ACTION of index 0, or of 1


def read_event_log(log: bytes) -> tuple[Event, ...]:
    """The events of a CCEL or of a dstack log, told apart by their first bytes. Raises Malformed EVENTLOG_*."""
    if log.startswith(_CCEL):
        return read_ccel(log)
    if log.lstrip(b" \t\r\n").startswith(b"["):
        return read_dstack(log)
    raise Malformed("EVENTLOG_FORMAT", "event_log", expected="a CCEL, or a list in JSON", got=log[:16])


def verify_event_log(log: bytes, rtmrs: tuple[bytes, bytes, bytes, bytes]) -> tuple[Event, ...]:
    """The events, once they add up to all four registers of an authentic quote.

    Raises Malformed EVENTLOG_FORMAT, EVENTLOG_TOO_LARGE, EVENTLOG_EVENT_DIGEST; NotBound EVENTLOG_RTMR_MISMATCH.
    """
    events = read_event_log(log)
    require_replay(events, rtmrs)
    return events
