"""The SGX extension of a PCK certificate: which platform the key belongs to, and the TCB that it was made for.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.3.5. The extension is a SEQUENCE of pairs;
what has no name here is passed over, since it is Intel that signs it, and nothing may be there twice. The form that
Intel writes is recognised whole, every byte of it; any other is taken apart, and gives the same or a refusal.
"""

from __future__ import annotations

import re

from attest import der
from attest.errors import Malformed
from attest.tdx.claims import PckIdentity
from attest.x509 import Certificate

__all__ = ["SGX_EXTENSION", "read_pck"]

SGX_EXTENSION = "1.2.840.113741.1.13.1"
_ARC = bytes.fromhex("2a864886f84d010d01")  # that OID's own bytes; the members of the extension are below it
_TCB, _COMPONENTS = b"\x02", [b"\x02" + bytes([n]) for n in range(1, 17)]
_PCESVN, _CPUSVN = b"\x02\x11", b"\x02\x12"
_PPID, _PCEID, _FMSPC, _TYPE, _INSTANCE, _CONFIGURATION = b"\x01", b"\x03", b"\x04", b"\x05", b"\x06", b"\x07"
Pairs = dict[bytes, tuple[int, bytes]]


def read_pck(certificate: Certificate) -> PckIdentity:
    """What the certificate says of its platform; raises Malformed PCK_EXTENSION. Nothing of it is authentic yet."""
    path = "pck"
    if certificate.duplicate is not None:
        raise Malformed("PCK_EXTENSION", path, expected="each extension once", got=f"{certificate.duplicate} twice")
    raw = certificate.extensions.get(SGX_EXTENSION)
    if raw is None:
        raise Malformed("PCK_EXTENSION", path, expected=f"the extension {SGX_EXTENSION}", got="none")
    try:
        return _recognise(raw) or _read(raw)
    except ValueError as error:
        expected = "the SGX extension of Intel's profile"
        raise Malformed("PCK_EXTENSION", f"{path}.{SGX_EXTENSION}", expected=expected, got=str(error)) from error


def _read(raw: bytes) -> PckIdentity:
    ((tag, content),) = der.items(raw)
    if tag != der.SEQUENCE:
        raise ValueError(f"tag {tag:#04x} instead of a SEQUENCE")
    found = der.pairs(content)
    tcb = der.pairs(_value(found, _TCB, der.SEQUENCE))
    components = tuple(_number(tcb, arc, 255) for arc in _COMPONENTS)
    if _bytes(tcb, _CPUSVN, 16) != bytes(components):
        raise ValueError("CPUSVN is not its sixteen components")
    configuration = der.pairs(_value(found, _CONFIGURATION, der.SEQUENCE)) if _ARC + _CONFIGURATION in found else {}
    return PckIdentity(
        ppid=_bytes(found, _PPID, 16),
        components=components,
        pcesvn=_number(tcb, _PCESVN, 0xFFFF),
        pceid=_bytes(found, _PCEID, 2),
        fmspc=_bytes(found, _FMSPC, 6),
        sgx_type=der.number(_value(found, _TYPE, der.ENUMERATED)),
        platform_instance_id=_bytes(found, _INSTANCE, 16) if _ARC + _INSTANCE in found else b"",
        dynamic_platform=_flag(configuration, b"\x07\x01"),
        cached_keys=_flag(configuration, b"\x07\x02"),
        smt_enabled=_flag(configuration, b"\x07\x03"),
    )


def _dotted(arc: bytes) -> str:
    return ".".join((SGX_EXTENSION, *map(str, arc)))


def _value(found: Pairs, arc: bytes, tag: int) -> bytes:
    if _ARC + arc not in found:
        raise ValueError(f"no {_dotted(arc)}")
    got, content = found[_ARC + arc]
    if got != tag:
        raise ValueError(f"{_dotted(arc)} has tag {got:#04x}, not {tag:#04x}")
    return content


def _number(found: Pairs, arc: bytes, most: int) -> int:
    value = der.number(_value(found, arc, der.INTEGER))
    if value > most:
        raise ValueError(f"{_dotted(arc)} is above {most}")
    return value


def _bytes(found: Pairs, arc: bytes, size: int) -> bytes:
    content = _value(found, arc, der.OCTET_STRING)
    if len(content) != size:
        raise ValueError(f"{_dotted(arc)} has {len(content)} bytes, not {size}")
    return content


def _flag(found: Pairs, arc: bytes) -> bool | None:
    if _ARC + arc not in found:
        return None
    content = _value(found, arc, der.BOOLEAN)
    if content not in (b"\x00", b"\xff"):
        raise ValueError(f"{_dotted(arc)} is neither true nor false")
    return content == b"\xff"


def _pair(arc: bytes, value: bytes, size: int) -> bytes:
    """The pattern of a pair whose value is `size` bytes in DER and matches `value`."""
    oid = _ARC + arc
    return re.escape(bytes((der.SEQUENCE, 2 + len(oid) + size, 6, len(oid))) + oid) + value


def _octets(arc: bytes, size: int) -> bytes:
    return _pair(arc, re.escape(bytes((der.OCTET_STRING, size))) + rb"(.{%d})" % size, 2 + size)


def _small(arc: bytes) -> bytes:
    """A number up to 255, its last byte kept: it is below 128, or behind a zero byte."""
    return (
        rb"(?:"
        + _pair(arc, rb"\x02\x01(?=[\x00-\x7f])", 3)
        + rb"|"
        + _pair(arc, rb"\x02\x02\x00(?=[\x80-\xff])", 4)
        + rb")(.)"
    )


def _long(arc: bytes, content: bytes) -> bytes:
    """A pair with a SEQUENCE of 256 bytes or more, both lengths kept."""
    oid = _ARC + arc
    return rb"\x30\x82(..)" + re.escape(bytes((6, len(oid))) + oid) + rb"\x30\x82(..)" + content


_TCB_PAIRS = b"".join((*map(_small, _COMPONENTS), _small(_PCESVN), _octets(_CPUSVN, 16)))
_FLAGS = b"".join(_pair(b"\x07" + bytes([n]), rb"\x01\x01([\x00\xff])", 3) for n in (1, 2, 3))
_TRUTH = {None: None, b"\x00": False, b"\xff": True}
_FORM = re.compile(
    rb"\x30\x82(..)"
    + _octets(_PPID, 16)
    + _long(_TCB, rb"(?P<tcb>" + _TCB_PAIRS + rb")")
    + _octets(_PCEID, 2)
    + _octets(_FMSPC, 6)
    + _pair(_TYPE, rb"\x0a\x01([\x00-\x7f])", 3)
    + rb"(?:" + _octets(_INSTANCE, 16) + _pair(_CONFIGURATION, rb"\x30\x36" + _FLAGS, 0x38) + rb")?",
    re.DOTALL,
)  # fmt: skip


def _recognise(raw: bytes) -> PckIdentity | None:
    """What `_read` gives, of an extension in Intel's own order and form; None of another."""
    found = _FORM.fullmatch(raw)
    if found is None:
        return None
    whole, ppid, outer, inner, tcb, *versions, cpusvn, pceid, fmspc, kind, instance, dynamic, cached, smt = (
        found.groups()
    )
    lengths = [int.from_bytes(each, "big") for each in (whole, outer, inner)]
    *components, pcesvn = versions
    if lengths != [len(raw) - 4, len(tcb) + 16, len(tcb)] or b"".join(components) != cpusvn:
        return None
    return PckIdentity(
        ppid=ppid,
        components=tuple(cpusvn),
        pcesvn=pcesvn[0],
        pceid=pceid,
        fmspc=fmspc,
        sgx_type=kind[0],
        platform_instance_id=instance or b"",
        dynamic_platform=_TRUTH[dynamic],
        cached_keys=_TRUTH[cached],
        smt_enabled=_TRUTH[smt],
    )
