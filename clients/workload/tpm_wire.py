"""Commands to a TPM 2.0 and its answers, as bytes: sizes, tags, the empty password, response codes, trying again.

Source: TCG "Trusted Platform Module Library", Part 1: Command/Response Structure (18), Password Authorizations (19.4);
Part 2: TPM_ST (6.9). Integers are big-endian. A TPM is as untrusted as whatever stands behind it: an answer that is
not just as specified is an error that names the command.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import TypeVar

from attest.errors import AttestError
from attest.reader import Reader
from clients.errors import Unavailable
from clients.workload.tpm_codes import AGAIN, LOCKOUT, base_of, name_of

__all__ = ["NAMES", "TpmRefused", "TpmWire", "Transmit", "sized", "structure", "u16", "u32"]

T = TypeVar("T")
Transmit = Callable[[bytes], bytes]

NAMES = {
    0x14E: "TPM2_NV_Read",
    0x158: "TPM2_Quote",
    0x169: "TPM2_NV_ReadPublic",
    0x173: "TPM2_ReadPublic",
    0x17A: "TPM2_GetCapability",
    0x17E: "TPM2_PCR_Read",
}
_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_HEADER = struct.Struct(">HII")  # tag, size, command or response code
_PASSWORD = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)  # TPM_RS_PW: no nonce, no attributes, an empty password
_ACKNOWLEDGED = {bytes(5), bytes.fromhex("0000010000")}  # no nonce, perhaps continueSession, no HMAC
_MOST = 4_096  # bytes: the kernel's own buffer
_PATIENCE_S, _FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 0.02, 0.5
_AGAIN_S = 5.0


class TpmRefused(Unavailable):
    """The TPM answered with a response code; `base` is the code alone."""

    def __init__(self, command: str, code: int) -> None:
        self.base = base_of(code)
        hint, retry = "", None
        if self.base == LOCKOUT:
            hint = ": it takes no authorisation for a while, since too many were wrong"
        elif self.base in AGAIN:
            hint, retry = f", for {_PATIENCE_S:.0f} s", _AGAIN_S
        super().__init__(f"the TPM refused {command} with {name_of(code)}{hint}", retry_after=retry)


class TpmWire:
    """One command after another through `transmit`, which carries one whole command there and its answer back."""

    def __init__(
        self,
        transmit: Transmit,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._transmit = transmit
        self._clock = clock
        self._sleep = sleep

    def ask(
        self,
        command: int,
        parse: Callable[[Reader], T],
        handles: bytes = b"",
        parameters: bytes = b"",
        *,
        authorised: bool = False,
    ) -> T:
        """What `parse` makes of the answer behind its header, of which nothing may be left.

        `authorised` puts the empty password beside the first handle. A TPM that is busy is asked again for a while.
        Raises TpmRefused, Unavailable.
        """
        body = handles + (_PASSWORD if authorised else b"") + parameters
        tag = _SESSIONS if authorised else _NO_SESSIONS
        message = _HEADER.pack(tag, _HEADER.size + len(body), command) + body
        end, pause = self._clock() + _PATIENCE_S, _FIRST_PAUSE_S
        while True:
            found, code, answer = _framed(self._transmit(message), NAMES[command])
            if not code:
                return structure(command, _parameters(found, tag, answer, NAMES[command]), parse)
            if found != _NO_SESSIONS or answer:
                raise _broken(NAMES[command], f"response code {code:#x} with tag {found:#06x} and {len(answer)} bytes")
            if base_of(code) not in AGAIN or self._clock() + pause > end:
                raise TpmRefused(NAMES[command], code)
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)


def structure(command: int, data: bytes, parse: Callable[[Reader], T]) -> T:
    """What `parse` makes of a structure in a command's answer, of which nothing may be left; raises Unavailable."""
    reader = Reader(data, path="answer", length="TPM_FORMAT", reserved="TPM_FORMAT")
    try:
        found = parse(reader)
        reader.end()
    except AttestError as error:
        raise _broken(NAMES[command], str(error)) from error
    return found


def u16(reader: Reader) -> int:
    """The next 2 bytes."""
    return int.from_bytes(reader.take(2), "big")


def u32(reader: Reader) -> int:
    """The next 4 bytes."""
    return int.from_bytes(reader.take(4), "big")


def sized(reader: Reader) -> bytes:
    """A TPM2B: its size in 2 bytes, then as many."""
    return reader.take(u16(reader))


def _framed(data: bytes, name: str) -> tuple[int, int, bytes]:
    if not _HEADER.size <= len(data) <= _MOST:
        raise _broken(name, f"{len(data)} bytes, where {_HEADER.size} to {_MOST} make an answer")
    tag, size, code = _HEADER.unpack_from(data)
    if size != len(data):
        raise _broken(name, f"{len(data)} bytes that say they are {size}")
    return tag, code, data[_HEADER.size :]


def _parameters(tag: int, expected: int, answer: bytes, name: str) -> bytes:
    """Without the authorisation's own part, which for a password says nothing."""
    if tag != expected:
        raise _broken(name, f"tag {tag:#06x} instead of {expected:#06x}")
    if tag == _SESSIONS:
        size = int.from_bytes(answer[:4], "big")
        answer, behind = answer[4 : 4 + size], answer[4 + size :]
        if len(answer) != size or behind not in _ACKNOWLEDGED:
            raise _broken(name, f"parameters of {size} bytes with {len(behind)} behind them")
    return answer


def _broken(name: str, what: str) -> Unavailable:
    return Unavailable(f"the TPM's answer to {name} is not as specified: {what}")
