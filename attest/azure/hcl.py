"""The HCL report: a hardware report made at boot, and the data whose digest it carries, with the vTPM's keys in it.

Source: Microsoft "Azure confidential VMs: guest attestation", IGVM_ATTEST request and response (NV index 0x01400001).
Layout, integers little-endian: header of 32 bytes ("HCLA", version, size, request type, status, reserved), hardware
report area of 1184 bytes, then size, version, report type, hash type and length of the variable data, which is JSON.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attest.errors import Malformed, NotBound
from attest.reader import Reader

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["SNP", "TDX", "HclReport", "check_variable_data", "parse_hcl"]

SNP, TDX = 2, 4
_SIGNATURE = b"HCLA"
_VERSIONS = (1, 2)
_REQUEST = 2
_HARDWARE = {SNP: 1_184, TDX: 1_024}
_AREA = 1_184
_SHA256 = 1
_MAX = 16_384
_KEY_SIZES, _EXPONENT = (2_048, 3_072, 4_096), 65_537
_USER_DATA = 64
_TDREPORT = b"\x81\x00"  # REPORTMACSTRUCT.REPORTTYPE: type TDX, subtype 0
_KEY_OPS = ["sign"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HclReport:
    """`hardware` is an SNP report, or a TDREPORT that nobody outside the machine can verify. `variable_data` is as
    received, since its digest binds it. `modulus` is that of the vTPM's HCLAkPub, an RSA key whose exponent is 65537;
    trusted only once it is bound.
    """

    kind: int
    hardware: bytes
    variable_data: bytes
    modulus: int
    vm_configuration: Mapping[str, object]
    user_data: bytes

    def attestation_key(self) -> RSAPublicKey:
        """HCLAkPub; raises Malformed AZ_HCL_FORMAT for numbers that are no key."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers  # noqa: PLC0415  # guests need none

        try:
            return RSAPublicNumbers(_EXPONENT, self.modulus).public_key()
        except ValueError as error:
            raise _format("hcl.variable_data.keys.HCLAkPub", "an RSA key", str(error)) from error


def parse_hcl(blob: bytes) -> HclReport:
    """Reads an HCL report; raises Malformed AZ_HCL_FORMAT with the place."""
    if len(blob) > _MAX:
        raise _format("hcl", f"at most {_MAX} bytes", len(blob))
    reader = Reader(blob, path="hcl", length="AZ_HCL_FORMAT", reserved="AZ_HCL_FORMAT")
    signature, version = reader.take(4), reader.u32()
    size, request, status = reader.u32(), reader.u32(), reader.u32()
    if signature != _SIGNATURE or version not in _VERSIONS or request != _REQUEST or status != 0:
        got = f"{signature!r}, version {version}, request {request}, status {status}"
        raise _format("hcl.header", f"{_SIGNATURE!r}, version 1 or 2, request {_REQUEST}, status 0", got)
    reader.zeros(12)
    area = reader.take(_AREA)
    data_size, data_version, kind, hash_type, length = (reader.u32() for _ in range(5))
    if kind not in _HARDWARE or hash_type != _SHA256 or data_version != 1:
        got = f"version {data_version}, report type {kind}, hash type {hash_type}"
        raise _format("hcl.data", "version 1, report type 2 or 4, hash type 1", got)
    if data_size != 20 + length or size != 32 + _AREA + data_size:
        raise _format("hcl.sizes", "sizes that nest", f"report {size}, data {data_size}, variable {length}")
    if area[_HARDWARE[kind] :].strip(b"\0"):
        raise _format("hcl.hardware", "zeros after the report", "others")
    if kind == TDX and not area.startswith(_TDREPORT):
        raise _format("hcl.hardware", "a TDREPORT, as the report type says", f"type {area[:2].hex()}")
    variable = reader.take(length)
    if reader.rest().strip(b"\0"):
        raise _format("hcl", "zeros after the variable data", "others")
    return _with_keys(kind, area[: _HARDWARE[kind]], variable)


def check_variable_data(report: HclReport, report_data: bytes) -> None:
    """REPORT_DATA is SHA-256 of the variable data and 32 zero bytes; both halves count. Raises NotBound AZ_BINDING."""
    expected = hashlib.sha256(report.variable_data).digest() + bytes(32)
    if report_data != expected:
        raise NotBound("AZ_BINDING", "report.report_data", expected=expected, got=report_data)


def _with_keys(kind: int, hardware: bytes, variable: bytes) -> HclReport:
    try:
        document = json.loads(variable.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _format("hcl.variable_data", "JSON", type(error).__name__) from error
    if not isinstance(document, dict):
        raise _format("hcl.variable_data", "an object", type(document).__name__)
    keys, configuration = document.get("keys"), document.get("vm-configuration")
    if not isinstance(keys, list) or not isinstance(configuration, dict):
        raise _format("hcl.variable_data", "keys and vm-configuration", ", ".join(map(str, document)))
    ours = [each for each in keys if isinstance(each, dict) and each.get("kid") == "HCLAkPub"]
    if len(ours) != 1:
        raise _format("hcl.variable_data.keys", "exactly one HCLAkPub", len(ours))
    return HclReport(
        kind=kind,
        hardware=hardware,
        variable_data=variable,
        modulus=_modulus(ours[0]),
        vm_configuration=configuration,
        user_data=_user_data(document.get("user-data", "")),
    )


def _modulus(key: Mapping[str, Any]) -> int:
    """RFC 7517: an RSA key that signs; small keys and exponents are refused, so that a signature means something."""
    modulus, exponent = _number(key.get("n")), _number(key.get("e"))
    if key.get("key_ops") != _KEY_OPS:
        raise _format("hcl.variable_data.keys.HCLAkPub", f"key_ops {_KEY_OPS}", repr(key.get("key_ops"))[:80])
    if key.get("kty") != "RSA" or modulus.bit_length() not in _KEY_SIZES or exponent != _EXPONENT:
        got = f"{key.get('kty')!r}, {modulus.bit_length()} bits, exponent {exponent}"
        raise _format("hcl.variable_data.keys.HCLAkPub", "RSA, 2048 to 4096 bits, exponent 65537", got)
    return modulus


def _number(value: object) -> int:
    if not isinstance(value, str) or len(value) > _MAX:
        return 0
    try:
        return int.from_bytes(base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True), "big")
    except (ValueError, binascii.Error):
        return 0


def _user_data(value: object) -> bytes:
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None or len(data) not in (0, _USER_DATA):
        raise _format("hcl.variable_data.user-data", f"{_USER_DATA} bytes in hexadecimal", repr(value)[:80])
    return data


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _format("hcl.variable_data", "each member once", "a name twice")
    return members


def _format(path: str, expected: str, got: object) -> Malformed:
    return Malformed("AZ_HCL_FORMAT", path, expected=expected, got=got)
