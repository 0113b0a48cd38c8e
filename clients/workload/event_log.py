"""Which part of a TD's event log goes to the broker: what adds up to the quote, without the firmware's padding.

A log that does not add up is left at home. It proves nothing, and the broker refuses a node that sends one; registers
that something extended after the boot are then judged by their values alone.
"""

from __future__ import annotations

from attest.errors import AttestError
from attest.tdx.ccel import read_ccel, without_padding
from attest.tdx.events import replay
from attest.tdx.quote import parse

__all__ = ["sendable"]


def sendable(log: bytes, quote: bytes) -> bytes:
    """The log as it is sent with this quote, or nothing. What the quote says is for the broker to check."""
    try:
        td = parse(quote).td
        if td is None or replay(read_ccel(log)) != td.rtmrs:
            return b""
        return without_padding(log)
    except AttestError:
        return b""
