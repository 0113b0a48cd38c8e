"""VCEK and VLEK: the versioned chip and loaded endorsement keys, and what their certificates say of chip and TCB.

Source: AMD publication 57230, "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification",
section "VCEK certificate": extensions under 1.3.6.1.4.1.3704.1. The values are DER inside the extension, but for the
HWID, which genuine certificates hold raw; as an OCTET STRING it is recognised by its total length alone, since a raw
HWID may begin with the bytes 04 40.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attest.ecdsa import is_p384_spki
from attest.errors import Malformed, NotAuthentic
from attest.snp.claims import SigningKey
from attest.snp.tcb import LAYOUT, encode
from attest.x509 import Certificate

__all__ = ["Vek", "is_vek", "kind_named", "parse"]

_ARC = "1.3.6.1.4.1.3704.1."
_PRODUCT_NAME = _ARC + "2"
_HWID = _ARC + "4"
_CSP_ID = _ARC + "5"
# spl4 to spl7 exist in certificates, may be absent, and are reserved: TCB_VERSION has no component for them.
_SPL: Mapping[str, str] = {
    "bl": _ARC + "3.1",
    "tee": _ARC + "3.2",
    "snp": _ARC + "3.3",
    "ucode": _ARC + "3.8",
    "fmc": _ARC + "3.9",
}
_RESERVED_SPL = tuple(f"{_ARC}3.{number}" for number in range(4, 8))
_INTEGER, _OCTET_STRING, _IA5_STRING = 0x02, 0x04, 0x16


@dataclass(frozen=True, slots=True, kw_only=True)
class Vek:
    """What an endorsement key's certificate says. `hwid` is empty for a VLEK, `csp_id` for a VCEK.

    `tcb` is the TCB_VERSION that the key was derived from, `chip_id` the CHIP_ID that its reports must have.
    """

    kind: SigningKey
    product: str
    components: Mapping[str, int]
    tcb: bytes
    hwid: bytes
    chip_id: bytes
    csp_id: str
    spki: bytes


def is_vek(certificate: Certificate) -> bool:
    """Whether it gives itself out as an endorsement key, by its name or by AMD's extensions."""
    return kind_named(certificate) is not None or any(oid.startswith(_ARC) for oid in certificate.extensions)


def kind_named(certificate: Certificate) -> SigningKey | None:
    """The kind that its subject's common name says, compared whole."""
    return next((kind for kind in SigningKey if kind.common_name == certificate.common_name), None)


def parse(certificate: Certificate, kind: SigningKey, *, path: str) -> Vek:
    """What the certificate says, if it is one of `kind`.

    Raises Malformed VEK_EXTENSIONS, NotAuthentic VEK_TYPE_MISMATCH or VEK_KEY. Nothing of it is authentic yet.
    """
    if certificate.duplicate is not None:
        raise _extensions(path, "each extension once", f"{certificate.duplicate} twice")
    found = certificate.extensions
    product = _ia5(found, _PRODUCT_NAME, path).split("-")[0]
    layout = LAYOUT.get(product)
    if layout is None:
        raise NotAuthentic("PRODUCT_MISMATCH", f"{path}.productName", expected=", ".join(LAYOUT), got=product)
    components = {name: _spl(found, _SPL[name], path) for name in layout.names}
    for oid in (*_RESERVED_SPL, *(o for name, o in _SPL.items() if name not in layout.names)):
        if oid in found and _spl(found, oid, path) != 0:
            raise _extensions(f"{path}.{oid}", f"0 or absent, since {product} has no such component", found[oid].hex())
    if (_HWID in found) == (_CSP_ID in found):
        both = "both" if _HWID in found else "neither"
        raise _extensions(path, "one of HWID and CSP_ID", both)
    if (_HWID in found) != (kind is SigningKey.VCEK):
        wanted = {SigningKey.VCEK: "a HWID, as in a VCEK", SigningKey.VLEK: "a CSP_ID, as in a VLEK"}
        got = "a HWID" if _HWID in found else "a CSP_ID"
        raise NotAuthentic("VEK_TYPE_MISMATCH", path, expected=wanted[kind], got=got)
    if not is_p384_spki(certificate.spki):
        raise NotAuthentic("VEK_KEY", path, expected="a P-384 public key", got=certificate.spki)
    hwid = _hwid(found[_HWID], layout.hwid, path) if kind is SigningKey.VCEK else b""
    return Vek(
        kind=kind,
        product=product,
        components=components,
        tcb=encode(product, components),
        hwid=hwid,
        chip_id=hwid.ljust(64, b"\0"),
        csp_id=_ia5(found, _CSP_ID, path) if kind is SigningKey.VLEK else "",
        spki=certificate.spki,
    )


def _extensions(path: str, expected: str, got: str) -> Malformed:
    return Malformed("VEK_EXTENSIONS", path, expected=expected, got=got)


def _value(found: Mapping[str, bytes], oid: str, tag: int, path: str) -> bytes:
    """The content of a primitive DER value shorter than 128 bytes that fills the extension."""
    data = found.get(oid)
    if data is None:
        raise _extensions(f"{path}.{oid}", "the extension", "none")
    if len(data) < 3 or data[0] != tag or data[1] > 127 or data[1] != len(data) - 2:
        raise _extensions(f"{path}.{oid}", f"one DER value with tag {tag:#04x}", data.hex())
    return data[2:]


def _spl(found: Mapping[str, bytes], oid: str, path: str) -> int:
    """A security patch level: an INTEGER from 0 to 255, above 127 in two bytes."""
    content = _value(found, oid, _INTEGER, path)
    value = int.from_bytes(content, "big", signed=True)
    if not 0 <= value <= 255 or len(content) != 1 + (value > 127):
        raise _extensions(f"{path}.{oid}", "an INTEGER from 0 to 255", content.hex())
    return value


def _ia5(found: Mapping[str, bytes], oid: str, path: str) -> str:
    content = _value(found, oid, _IA5_STRING, path)
    if not all(0x20 <= byte < 0x7F for byte in content):
        raise _extensions(f"{path}.{oid}", "printable text", content.hex())
    return content.decode("ascii")


def _hwid(data: bytes, size: int, path: str) -> bytes:
    if len(data) == size:
        return data
    if len(data) == size + 2 and data[0] == _OCTET_STRING and data[1] == size:
        return data[2:]
    raise _extensions(f"{path}.{_HWID}", f"{size} bytes, raw or as an OCTET STRING", f"{len(data)} bytes")
