"""The shapes in which quotes are met: bytes, or hexadecimal text."""

from __future__ import annotations

import binascii

from attest.errors import Malformed

__all__ = ["MAX_QUOTE", "read_quote"]

MAX_QUOTE = 1 << 20


def read_quote(data: bytes) -> bytes:
    """The bytes of a quote, which may be given as hexadecimal text. A quote begins with its version, which is no digit.

    Raises Malformed EVIDENCE_SIZE.
    """
    if len(data) > MAX_QUOTE:
        raise Malformed("EVIDENCE_SIZE", "quote", expected=f"at most {MAX_QUOTE} bytes", got=len(data))
    text = b"".join(data.split())
    text = text.removeprefix(b"0x")
    try:
        return binascii.unhexlify(text) if text else data
    except binascii.Error:
        return data
