"""The SGX extension of a PCK certificate: which platform the key belongs to, and the TCB that it was made for.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.3.5. The extension is a SEQUENCE of pairs;
what has no name here is passed over, since it is Intel that signs it, and nothing may be there twice.
"""

from __future__ import annotations

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
        return _read(raw)
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
