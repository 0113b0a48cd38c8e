"""Collateral as tools hand it on: JSON of Intel's QuoteCollateral, in every spelling that is met.

Source: `sgx_ql_qve_collateral_t` of Intel's quote verification library, whose members these are. That library takes
whole bodies as Intel serves them, PEM, and lists in DER, hexadecimal or PEM; tools that write JSON of it differ:

    dcap-qvl            signed objects as texts, signatures beside them in hexadecimal (older ones as lists of numbers)
    Intel's library     the body whole, as a text, in base64, or as a list of numbers; texts may end in a NUL
    scripts for PCS     the body as an object, for whose bytes the file's own are taken
    chains' contracts   everything in hexadecimal behind 0x

The signed bytes are always those that were given. Nothing that is read here is authentic.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from attest import der
from attest.errors import Malformed
from attest.evidence import TdxCollateral
from attest.tdx.signed import Duplicate, located

__all__ = ["MAX_COLLATERAL", "read_collateral"]

MAX_COLLATERAL = 1 << 20
_CHAINS = ("tcb_info_issuer_chain", "qe_identity_issuer_chain", "pck_crl_issuer_chain")
_LISTS = ("pck_crl", "root_ca_crl")
_BODIES = {"tcb_info": "tcbInfo", "qe_identity": "enclaveIdentity"}
_SIGNATURES = frozenset(f"{name}_signature" for name in _BODIES)
_REQUIRED = frozenset((*_CHAINS, *_LISTS, *_BODIES))
# What the library's structure says of itself is not what anything is judged by.
_OPTIONAL = frozenset({"pck_certificate_chain", "version", "major_version", "minor_version", "tee_type"})
_WRAPPERS = ("quote_collateral", "collateral")
_SPELLINGS = 3  # base64 of hexadecimal of a list is met
Is = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A value as JSON reads it, and as it stands in the file."""

    value: Any
    text: str


def read_collateral(data: bytes) -> TdxCollateral:
    """Collateral from JSON; raises Malformed COLLATERAL_FORMAT, JSON_DUPLICATE_KEY. Nothing of it is authentic."""
    if len(data) > MAX_COLLATERAL:
        raise _wrong("", f"at most {MAX_COLLATERAL} bytes", f"{len(data)} bytes")
    try:
        found = _members(data.decode("utf-8"))
    except Duplicate as error:
        raise Malformed("JSON_DUPLICATE_KEY", "collateral", expected="each key once", got=str(error)[:80]) from error
    except (ValueError, RecursionError) as error:
        raise _wrong("", "one JSON object in UTF-8", str(error)) from error
    if not found.keys() - _OPTIONAL - _SIGNATURES == _REQUIRED:
        raise _wrong("", f"the keys {', '.join(sorted(_REQUIRED))}", ", ".join(sorted(found)) or "none")
    named = "pck_certificate_chain"
    return TdxCollateral(
        **{name: _chain(found, name) for name in _CHAINS},
        **{name: _body(found, name) for name in _BODIES},
        **{name: _list(found, name) for name in _LISTS},
        pck_certificate_chain=_chain(found, named) if named in found and found[named].value else b"",
    )


def _members(text: str) -> Mapping[str, _Member]:
    found = {key: _Member(value=value, text=text[start:end]) for key, (value, start, end) in located(text).items()}
    if len(found) == 1 and (name := next(iter(found))) in _WRAPPERS and isinstance(found[name].value, dict):
        return _members(found[name].text)
    return found


def _chain(found: Mapping[str, _Member], name: str) -> bytes:
    given = _given(found, name)
    return _spelled(given, lambda data: b"-----BEGIN " in data) or given


def _list(found: Mapping[str, _Member], name: str) -> bytes:
    """A revocation list, DER or PEM; nothing where it is empty, which is for the verifier to refuse."""
    given = _given(found, name)
    read = _spelled(given, lambda data: data.startswith((b"-----BEGIN ", b"\x30\x81", b"\x30\x82", b"\x30\x83")))
    if read is None and given:
        raise _wrong(name, "a revocation list in hexadecimal, base64, PEM or DER", repr(given[:60]))
    return read or b""


def _body(found: Mapping[str, _Member], name: str) -> bytes:
    """The body that Intel serves: given whole, or put together from the signed object and the signature beside it."""
    member, signed = _BODIES[name], f"{name}_signature"
    given = _given(found, name)
    read = _spelled(given, lambda data: data.lstrip().startswith(b"{")) or given
    if signed not in found:
        return read
    signature = found[signed].value
    if isinstance(signature, list):
        signature = _numbers(signature, signed).hex()
    if not isinstance(signature, str) or not signature.isalnum():
        raise _wrong(signed, "hexadecimal digits", repr(signature)[:80])
    digits = signature.removeprefix("0x").encode("ascii", "replace")
    return b'{"%s":%s,"signature":"%s"}' % (member.encode(), read, digits)


def _given(found: Mapping[str, _Member], name: str) -> bytes:
    """The bytes of a text, of a list of numbers, or of an object as it stands in the file."""
    member = found[name]
    value = member.value
    if isinstance(value, dict) and name in _BODIES:
        return member.text.encode("utf-8")
    if isinstance(value, list):
        return _unended(_numbers(value, name))
    if isinstance(value, str):
        try:
            return value.encode("utf-8").removesuffix(b"\0")
        except UnicodeEncodeError as error:
            raise _wrong(name, "a text, or a list of bytes", str(error)) from error
    raise _wrong(name, "a text, or a list of bytes", type(value).__name__)


def _numbers(value: list[Any], name: str) -> bytes:
    try:
        return bytes(value)
    except (ValueError, TypeError) as error:
        raise _wrong(name, "a text, or a list of bytes", str(error)) from error


def _unended(data: bytes) -> bytes:
    """Without the NUL that ends it. The last byte of a value in DER may be zero, too, and is its own."""
    if not data.endswith(b"\0"):
        return data
    try:
        return data[: max(der.step(data, 0, len(data))[2], len(data) - 1)]
    except ValueError:
        return data[:-1]


def _spelled(data: bytes, fits: Is) -> bytes | None:
    """`data`, out of hexadecimal and base64 until it is what it should be; None if it never is."""
    for _ in range(_SPELLINGS):
        if fits(data):
            return data
        decoded = _decoded(data)
        if decoded is None:
            return None
        data = _unended(decoded)
    return data if fits(data) else None


def _decoded(data: bytes) -> bytes | None:
    text = b"".join(data.split())
    for decode in (_unhex, _unbase64):
        try:
            return decode(text)
        except ValueError:
            continue
    return None


def _unhex(text: bytes) -> bytes:
    return binascii.unhexlify(text.removeprefix(b"0x"))


def _unbase64(text: bytes) -> bytes:
    return base64.b64decode(text, validate=True)


def _wrong(name: str, expected: str, got: str) -> Malformed:
    path = f"collateral.{name}" if name else "collateral"
    return Malformed("COLLATERAL_FORMAT", path, expected=expected, got=got)
