"""An answer of NVIDIA's RIM service: JSON around a manifest, read for being an answer to what was asked.

Source: NVIDIA's RIM service, `GET /v1/rim/{id}`: `id`, `rim` (base64), `rim_format`; what else is in it is not needed.
"""

from __future__ import annotations

import base64
import binascii
import json

from attest.errors import Malformed

__all__ = ["read_answer"]


def read_answer(body: bytes, wanted: str) -> bytes:
    """The manifest in an answer for the identifier `wanted`; raises Malformed RIM_ANSWER. It is not verified yet."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _malformed("", "JSON", type(error).__name__) from error
    if not isinstance(found, dict):
        raise _malformed("", "an object", type(found).__name__)
    for key, expected in (("id", wanted), ("rim_format", "TCG")):
        if found.get(key) != expected:
            raise _malformed(f".{key}", expected, str(found.get(key))[:80])
    try:
        return base64.b64decode(str(found.get("rim")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed(".rim", "base64", "none") from error


def _malformed(path: str, expected: str, got: str) -> Malformed:
    return Malformed("RIM_ANSWER", f"answer{path}", expected=expected, got=got)
