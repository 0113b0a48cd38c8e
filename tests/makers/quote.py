"""Quotes byte for byte as Intel's quoting library writes them; any field may be set, and is signed after that."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["SGX_FIELDS", "TD_FIELDS", "Form", "build", "point", "sgx_report", "sign", "td_report"]

VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
TDX, SGX = 0x81, 0
# name: (offset, size); integers are written little-endian.
SGX_FIELDS: Mapping[str, tuple[int, int]] = {
    "cpusvn": (0, 16), "miscselect": (16, 4), "reserved_20": (20, 12), "isvextprodid": (32, 16),
    "attributes": (48, 16), "mrenclave": (64, 32), "reserved_96": (96, 32), "mrsigner": (128, 32),
    "reserved_160": (160, 32), "configid": (192, 64), "isvprodid": (256, 2), "isvsvn": (258, 2), "configsvn": (260, 2),
    "reserved_262": (262, 42), "isvfamilyid": (304, 16), "report_data": (320, 64),
}  # fmt: skip
TD_FIELDS: Mapping[str, tuple[int, int]] = {
    "tee_tcb_svn": (0, 16), "mr_seam": (16, 48), "mrsigner_seam": (64, 48), "seam_attributes": (112, 8),
    "td_attributes": (120, 8), "xfam": (128, 8), "mr_td": (136, 48), "mr_config_id": (184, 48), "mr_owner": (232, 48),
    "mr_owner_config": (280, 48), "rtmr0": (328, 48), "rtmr1": (376, 48), "rtmr2": (424, 48), "rtmr3": (472, 48),
    "report_data": (520, 64), "tee_tcb_svn2": (584, 16), "mr_servicetd": (600, 48),
}  # fmt: skip
TD_SIZES = {"1.0": (2, 584), "1.5": (3, 648), "1.5 extended": (4, 885)}
_TD_DEFAULTS: Mapping[str, int | bytes] = {
    "tee_tcb_svn": bytes([5, 1, 2]) + bytes(13),
    "mr_seam": b"\x5e" * 48,
    "td_attributes": 1 << 28,
    "xfam": 0x702E7 & 0x6DBE7,
    "mr_td": b"\xd1" * 48,
    "rtmr0": b"\xa0" * 48,
    "rtmr1": b"\xa1" * 48,
    "rtmr2": b"\xa2" * 48,
    "tee_tcb_svn2": bytes([5, 1, 2]) + bytes(13),
}
_SGX_DEFAULTS: Mapping[str, int | bytes] = {"attributes": 5, "mrenclave": b"\xe1" * 32, "mrsigner": b"\x51" * 32}


def _filled(size: int, fields: Mapping[str, tuple[int, int]], values: Mapping[str, int | bytes]) -> bytes:
    raw = bytearray(size)
    for name, value in values.items():
        offset, length = fields[name]
        data = value.to_bytes(length, "little") if isinstance(value, int) else value
        if len(data) != length:
            raise ValueError(f"{name} has {length} bytes, not {len(data)}")
        raw[offset : offset + length] = data
    return bytes(raw)


def sgx_report(report_data: bytes = bytes(64), **fields: int | bytes) -> bytes:
    """An enclave's report, 384 bytes."""
    return _filled(384, SGX_FIELDS, {**_SGX_DEFAULTS, "report_data": report_data, **fields})


def td_report(report_data: bytes = bytes(64), form: str = "1.0", **fields: int | bytes) -> bytes:
    """A TD's report in one of its forms; the defaults that a form has no place for are left out."""
    size = TD_SIZES[form][1]
    defaults = {name: value for name, value in _TD_DEFAULTS.items() if sum(TD_FIELDS[name]) <= size}
    return _filled(size, TD_FIELDS, {**defaults, "report_data": report_data, **fields})


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """r || s."""
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """x || y."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


@dataclass(frozen=True, kw_only=True)
class Form:
    """Everything about a quote but its body. None means: as it should be."""

    version: int = 4
    key_type: int = 2
    tee_type: int = TDX
    vendor: bytes = VENDOR
    svns: bytes = bytes(4)
    descriptor: bytes | None = None
    qe_auth: bytes = bytes(range(32))
    qe_report_data: bytes | None = None
    qe_fields: Mapping[str, int | bytes] = field(default_factory=dict)
    certification: tuple[int, bytes] = (5, b"")
    outer_type: int = 6
    outer_slack: bytes = b""
    inner_slack: bytes = b""
    tail: bytes = b""
    attestation_point: bytes | None = None


def build(
    body: bytes,
    form: Form,
    *,
    attestation_key: ec.EllipticCurvePrivateKey,
    pck_key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """A quote about `body`; `signer` signs it if that is not the attestation key."""
    header = struct.pack(
        "<HHI4s16s20s", form.version, form.key_type, form.tee_type, form.svns, form.vendor, bytes(range(20))
    )
    descriptor = b""
    if form.version == 5:
        kinds = {384: 1, 584: 2, 648: 3, 885: 4}
        descriptor = struct.pack("<HI", kinds[len(body)], len(body)) if form.descriptor is None else form.descriptor
    signed = header + descriptor + body
    public = point(attestation_key) if form.attestation_point is None else form.attestation_point
    bound = hashlib.sha256(public + form.qe_auth).digest() + bytes(32)
    qe_report = sgx_report(bound if form.qe_report_data is None else form.qe_report_data, **form.qe_fields)
    kind, data = form.certification
    inner = (
        qe_report
        + sign(pck_key, qe_report)
        + struct.pack("<H", len(form.qe_auth))
        + form.qe_auth
        + struct.pack("<HI", kind, len(data))
        + data
        + form.inner_slack
    )
    proof = sign(signer or attestation_key, signed) + public
    if form.version == 3:
        proof += inner
    else:
        proof += struct.pack("<HI", form.outer_type, len(inner)) + inner
    proof += form.outer_slack
    return signed + struct.pack("<I", len(proof)) + proof + form.tail
