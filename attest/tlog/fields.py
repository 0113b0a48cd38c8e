"""The two field encodings that all C2SP text formats share: decimals and base64.

Source: C2SP tlog-checkpoint v1.0.0, signed-note v1.0.0. Python's own `int()` and `b64decode()` accept far more (`+5`,
`05`, `5 `, `1_000`, letters outside the alphabet), so neither is called before the text has been matched. A failure is
None, because only the caller knows the name of the check.
"""

from __future__ import annotations

import base64
import re

from attest.tlog.merkle import MAX_SIZE

__all__ = ["format_base64", "parse_base64", "parse_decimal"]

_DECIMAL = re.compile("0|[1-9][0-9]{0,18}")
_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def parse_decimal(text: str) -> int | None:
    """An ASCII decimal without sign, space or leading zero, below 2**63; else None."""
    if _DECIMAL.fullmatch(text) is None:
        return None
    value = int(text)
    return value if value <= MAX_SIZE else None


def parse_base64(text: str, *, canonical: bool = True) -> bytes | None:
    """Standard padded base64; else None. `canonical` also refuses unused bits that are not zero."""
    if _BASE64.fullmatch(text) is None:
        return None
    value = base64.b64decode(text)
    return value if not canonical or format_base64(value) == text else None


def format_base64(value: bytes) -> str:
    """Standard padded base64."""
    return base64.b64encode(value).decode("ascii")
