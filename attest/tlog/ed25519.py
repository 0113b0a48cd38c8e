"""Which 32 bytes are an Ed25519 public key worth trusting.

Source: RFC 8032 sections 5.1.2 and 5.1.3. The verifier below us checks neither: under a public key of small order
anyone can make signatures that verify, and one point must not have two names. So a key is refused, when it is
configured, unless it is the canonical encoding of a curve point that is not of small order.
"""

from __future__ import annotations

__all__ = ["weakness"]

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P

# y of the points of order 8; those of order 1, 2 and 4 have y = 1, -1 and 0.
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})


def weakness(public_key: bytes) -> str | None:
    """What is wrong with a public key, or None."""
    if len(public_key) != 32:
        return f"{len(public_key)} bytes"
    y = int.from_bytes(public_key, "little") & (2**255 - 1)
    if y >= _P:
        return "not the canonical encoding of a point"
    if y in _SMALL_ORDER:
        return "a point of small order"
    if pow((y * y - 1) * (_D * y * y + 1), (_P - 1) // 2, _P) != 1:
        return "not a point of the curve"
    return None
