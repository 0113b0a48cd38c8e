"""A revocation list that never says when it is stale: the library's builder refuses what RFC 5280 forbids."""

from __future__ import annotations

from collections.abc import Callable

from cryptography import x509

from attest import der

__all__ = ["without_next_update"]

_UTC_TIME = 0x17


def without_next_update(crl: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """The list, DER, without its nextUpdate, signed again by `sign`, which takes the part that is signed."""
    algorithm = der.items(der.items(crl)[0][1])[1][1]
    parts = der.items(der.items(x509.load_der_x509_crl(crl).tbs_certlist_bytes)[0][1])
    times = [number for number, (tag, _) in enumerate(parts) if tag == _UTC_TIME]
    tbs = _value(0x30, b"".join(_value(*part) for number, part in enumerate(parts) if number != times[1]))
    return _value(0x30, tbs + _value(0x30, algorithm) + _value(0x03, b"\0" + sign(tbs)))


def _value(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
