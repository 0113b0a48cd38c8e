"""What was extended into a TD's runtime measurement registers, one event at a time, and what that adds up to.

Source: Intel "TDX Module Base Architecture Specification", TDG.MR.RTMR.EXTEND: RTMR := SHA-384(RTMR || digest), from
zero. Only the digest of an event is measured; its text is proven only where the digest can be computed again from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from attest.errors import NotBound

__all__ = ["DIGEST_SIZE", "REGISTERS", "Event", "replay", "require_replay"]

DIGEST_SIZE = 48
REGISTERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One extension of RTMR[`register`] by `digest`, 48 bytes.

    `text` says what it was, for people; with `proven` the digest was computed again from what the text is taken from.
    Without, the text is a claim of whoever wrote the log. The type is never measured, nor the word that a boot loader
    puts before a text: nothing may rest on them.
    """

    register: int
    type: int
    digest: bytes
    text: str
    proven: bool


def replay(events: Iterable[Event]) -> tuple[bytes, bytes, bytes, bytes]:
    """The values of RTMR[0] to RTMR[3] after these events, in order."""
    registers = [bytes(DIGEST_SIZE)] * REGISTERS
    for event in events:
        registers[event.register] = hashlib.sha384(registers[event.register] + event.digest).digest()
    return registers[0], registers[1], registers[2], registers[3]


def require_replay(events: Iterable[Event], rtmrs: tuple[bytes, bytes, bytes, bytes]) -> None:
    """Every register must be what the log adds up to; raises NotBound EVENTLOG_RTMR_MISMATCH with the first."""
    for number, (computed, quoted) in enumerate(zip(replay(events), rtmrs, strict=True)):
        if computed != quoted:
            raise NotBound("EVENTLOG_RTMR_MISMATCH", f"event_log.rtmr{number}", expected=quoted, got=computed)
