"""Chains of certificates as Intel writes them: PEM, one way to write each, so that no byte of it is free.

Source: RFC 7468, narrowed to its strict form (section 3, `stricttextualmsg`): lines of at most 64 characters, all but
the last of a block full, nothing between blocks. A zero byte may end the text, as in the quotes of Intel's library.
"""

from __future__ import annotations

import binascii

from attest.errors import Malformed

__all__ = ["blocks_of", "read_block", "read_chain"]

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
_MAX = 8
_WIDTH = 64
_LINE = _WIDTH + 1


def read_chain(text: bytes, *, path: str) -> tuple[bytes, ...]:
    """The certificates of a chain in DER, in the order given; raises Malformed CERT_MALFORMED."""
    return tuple([read_block(body, f"{path}[{n}]") for n, body in enumerate(blocks_of(text, path=path))])


def blocks_of(text: bytes, *, path: str) -> tuple[bytes, ...]:
    """What stands between the marks of each certificate, still in base64; raises Malformed CERT_MALFORMED."""
    rest = text.rstrip(b"\0")
    if b"\r" in rest:
        rest = rest.replace(b"\r\n", b"\n")
    if rest and not rest.endswith(b"\n"):
        rest += b"\n"
    *blocks, left = rest.split(_END)
    for number, block in enumerate(blocks):
        if not block.startswith(_BEGIN) or number == _MAX:
            raise _malformed(f"{path}[{number}]", f"at most {_MAX} certificates in PEM", block[:40])
    if left:
        raise _malformed(f"{path}[{len(blocks)}]", f"at most {_MAX} certificates in PEM", left[:40])
    return tuple([block[len(_BEGIN) :] for block in blocks])


def read_block(body: bytes, path: str) -> bytes:
    """One certificate, which has one way to be written: lines that are full, base64 that spares no bit."""
    full, last = divmod(len(body), _LINE)
    ends = full + (last > 0)
    if last == 1 or not body.endswith(b"\n") or (body.count(b"\n"), body[_WIDTH::_LINE]) != (ends, b"\n" * full):
        raise _malformed(path, f"base64 in lines of {_WIDTH}", body[:40])
    text = body.replace(b"\n", b"")
    try:
        der = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise _malformed(path, "base64", str(error)) from error
    if binascii.b2a_base64(der[len(der) // 3 * 3 :], newline=False) != text[len(der) // 3 * 4 :]:
        raise _malformed(path, "base64 with no bit to spare", text[-4:])
    return der


def _malformed(path: str, expected: str, got: object) -> Malformed:
    return Malformed("CERT_MALFORMED", path, expected=expected, got=got)
