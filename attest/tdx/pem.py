"""Chains of certificates as Intel writes them: PEM, one way to write each, so that no byte of it is free.

Source: RFC 7468, narrowed to its strict form (section 3, `stricttextualmsg`): lines of at most 64 characters, all but
the last of a block full, nothing between blocks. A zero byte may end the text, as in the quotes of Intel's library.
"""

from __future__ import annotations

import base64
import binascii
import re

from attest.errors import Malformed

__all__ = ["read_chain"]

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
_MAX = 8
_WIDTH = 64
_LINES = re.compile(rb"(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/=]{1,64}\n")


def read_chain(text: bytes, *, path: str) -> tuple[bytes, ...]:
    """The certificates of a chain in DER, in the order given; raises Malformed CERT_MALFORMED."""
    rest = text.rstrip(b"\0").replace(b"\r\n", b"\n")
    if rest and not rest.endswith(b"\n"):
        rest += b"\n"
    found: list[bytes] = []
    while rest:
        end = rest.find(_END)
        if not rest.startswith(_BEGIN) or end < 0 or len(found) == _MAX:
            raise _malformed(f"{path}[{len(found)}]", f"at most {_MAX} certificates in PEM", rest[:40])
        found.append(_block(rest[len(_BEGIN) : end], f"{path}[{len(found)}]"))
        rest = rest[end + len(_END) :]
    return tuple(found)


def _block(body: bytes, path: str) -> bytes:
    """One certificate. Its lines are full, and the bits that base64 has to spare at the end are zero."""
    if _LINES.fullmatch(body) is None:
        raise _malformed(path, f"base64 in lines of {_WIDTH}", body[:40])
    text = body.replace(b"\n", b"")
    try:
        der = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise _malformed(path, "base64", str(error)) from error
    last = der[-(len(der) % 3 or 3) :]
    if base64.b64encode(last) != text[-4:]:
        raise _malformed(path, "base64 with no bit to spare", text[-4:])
    return der


def _malformed(path: str, expected: str, got: object) -> Malformed:
    return Malformed("CERT_MALFORMED", path, expected=expected, got=got)
