"""ATTESTATION_REPORT: 1184 bytes, read top to bottom.

Source: AMD publication 56860, "SEV Secure Nested Paging Firmware ABI Specification", table ATTESTATION_REPORT, with the
fields that came with versions 3 (CPUID_*) and 5 (*_MIT_VECTOR). Version 4 is laid out like 3. Every reserved byte must
be zero and an unknown version is refused before anything else of it is read.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

from attest.ecdsa import ORDER
from attest.errors import Malformed
from attest.snp.claims import Firmware, GuestPolicy, PlatformInfo, SigningKey, SnpClaims, Tcb
from attest.snp.tcb import decode

__all__ = ["REPORT_SIZE", "SIGNED_SIZE", "VERSIONS", "Report", "claims_of", "parse"]

REPORT_SIZE = 0x4A0
SIGNED_SIZE = 0x2A0
VERSIONS = (2, 3, 4, 5)

_POLICY_MUST_BE_ONE = 1 << 17
_POLICY_KNOWN_BITS = 26
_ECDSA_P384_SHA384 = 1
_SCALAR = 48

# The whole table at once, in its order; `parse` names the columns. All little-endian.
_TABLE = struct.Struct(
    "<IIQ16s16sII"  # 0x000 VERSION to SIGNATURE_ALGO
    "8sQI4s"  # 0x038 CURRENT_TCB, PLATFORM_INFO, KEY_INFO, reserved
    "64s48s32s48s48s"  # 0x050 REPORT_DATA to AUTHOR_KEY_DIGEST
    "32s32s8s3s21s"  # 0x140 REPORT_ID, REPORT_ID_MA, REPORTED_TCB, CPUID_*, reserved
    "64s8s4s4s8s"  # 0x1A0 CHIP_ID, COMMITTED_TCB, CURRENT_*, COMMITTED_*, LAUNCH_TCB
    "QQ152s"  # 0x1F8 LAUNCH_MIT_VECTOR, CURRENT_MIT_VECTOR, reserved
    "72s72s368s"  # 0x2A0 SIGNATURE
)


class Report(NamedTuple):
    """A parsed report, its fields in the order of the table.

    `signed` are the bytes that `signature` (r, s) covers, exactly as received. TCB versions are 8 raw bytes, since only
    the product, which version 2 does not name, says what is where. `key_info` is AUTHOR_KEY_EN and SIGNING_KEY,
    `mit_vectors` LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR.
    """

    signed: bytes
    version: int
    guest_svn: int
    policy: GuestPolicy
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algo: int
    current_tcb: bytes
    platform_info: PlatformInfo
    key_info: tuple[bool, SigningKey]
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    cpuid: tuple[int, int, int] | None
    chip_id: bytes
    committed_tcb: bytes
    current_firmware: Firmware
    committed_firmware: Firmware
    launch_tcb: bytes
    mit_vectors: tuple[int | None, int | None]
    signature: tuple[int, int]


def parse(data: bytes) -> Report:
    """The report in `data`; raises Malformed. Nothing of it is authentic yet."""
    if len(data) != REPORT_SIZE:
        raise Malformed("SNP_LENGTH", "report", expected=f"{REPORT_SIZE} bytes", got=f"{len(data)} bytes")
    version = _version(data)
    (
        _, guest_svn, policy, family_id, image_id, vmpl, signature_algo,
        current_tcb, platform_info, key_info, reserved_4c,
        report_data, measurement, host_data, id_key_digest, author_key_digest,
        report_id, report_id_ma, reported_tcb, cpuid, reserved_18b,
        chip_id, committed_tcb, current_firmware, committed_firmware, launch_tcb,
        launch_mit_vector, current_mit_vector, reserved_208,
        signature_r, signature_s, signature_rest,
    ) = _TABLE.unpack(data)  # fmt: skip
    checked_policy = _policy(policy)
    _check_signature_algo(signature_algo)
    checked_key_info = _key_info(key_info)
    _zeros(reserved_4c, 0x4C)
    checked_cpuid = _cpuid(cpuid, version)
    _zeros(reserved_18b, 0x18B)
    firmware = _firmware(current_firmware, 0x1E8), _firmware(committed_firmware, 0x1EC)
    mit_vectors = _mit_vectors(launch_mit_vector, current_mit_vector, version)
    _zeros(reserved_208, 0x208)
    return Report(
        signed=data[:SIGNED_SIZE],
        version=version,
        guest_svn=guest_svn,
        policy=checked_policy,
        family_id=family_id,
        image_id=image_id,
        vmpl=vmpl,
        signature_algo=signature_algo,
        current_tcb=current_tcb,
        platform_info=PlatformInfo(raw=platform_info),
        key_info=checked_key_info,
        report_data=report_data,
        measurement=measurement,
        host_data=host_data,
        id_key_digest=id_key_digest,
        author_key_digest=author_key_digest,
        report_id=report_id,
        report_id_ma=report_id_ma,
        reported_tcb=reported_tcb,
        cpuid=checked_cpuid,
        chip_id=chip_id,
        committed_tcb=committed_tcb,
        current_firmware=firmware[0],
        committed_firmware=firmware[1],
        launch_tcb=launch_tcb,
        mit_vectors=mit_vectors,
        signature=_signature(signature_r, signature_s, signature_rest),
    )


def claims_of(report: Report, *, product: str, csp_id: str, simulated: bool) -> SnpClaims:
    """The claims of a report, once it is authentic; raises Malformed SNP_RESERVED for a reserved byte of a TCB."""
    author_key_en, signing_key = report.key_info
    launch_mit_vector, current_mit_vector = report.mit_vectors
    decoded: dict[bytes, Tcb] = {}  # the four are mostly one
    for path in ("reported_tcb", "current_tcb", "committed_tcb", "launch_tcb"):
        raw: bytes = getattr(report, path)
        if raw not in decoded:
            decoded[raw] = decode(product, raw, path=f"report.{path}")
    return SnpClaims(
        version=report.version,
        product=product,
        cpuid=report.cpuid,
        signing_key=signing_key,
        csp_id=csp_id,
        simulated=simulated,
        policy=report.policy,
        platform_info=report.platform_info,
        vmpl=report.vmpl,
        guest_svn=report.guest_svn,
        family_id=report.family_id,
        image_id=report.image_id,
        report_data=report.report_data,
        measurement=report.measurement,
        host_data=report.host_data,
        id_key_digest=report.id_key_digest,
        author_key_digest=report.author_key_digest,
        author_key_en=author_key_en,
        report_id=report.report_id,
        report_id_ma=report.report_id_ma,
        chip_id=report.chip_id,
        reported_tcb=decoded[report.reported_tcb],
        current_tcb=decoded[report.current_tcb],
        committed_tcb=decoded[report.committed_tcb],
        launch_tcb=decoded[report.launch_tcb],
        current_firmware=report.current_firmware,
        committed_firmware=report.committed_firmware,
        launch_mit_vector=launch_mit_vector,
        current_mit_vector=current_mit_vector,
        signed_bytes=hashlib.sha256(report.signed).digest(),
    )


def _zeros(found: bytes, offset: int) -> None:
    """Reserved bytes are zero."""
    if found.count(0) != len(found):
        path = f"report.reserved[{offset:#05x}]"
        raise Malformed("SNP_RESERVED", path, expected=f"{len(found)} zero bytes", got=found)


def _version(data: bytes) -> int:
    """Looked at before anything else: what follows means something for known versions alone."""
    version = int.from_bytes(data[:4], "little")
    if version not in VERSIONS:
        raise Malformed("SNP_VERSION", "report.version", expected=list(VERSIONS), got=version)
    return version


def _policy(raw: int) -> GuestPolicy:
    if not raw & _POLICY_MUST_BE_ONE or raw >> _POLICY_KNOWN_BITS:
        raise Malformed("SNP_POLICY_RESERVED", "report.policy", expected="bit 17 one, 63:26 zero", got=f"{raw:#x}")
    return GuestPolicy(raw=raw)


def _check_signature_algo(algo: int) -> None:
    if algo != _ECDSA_P384_SHA384:
        raise Malformed("SNP_SIG_ALGO", "report.signature_algo", expected="1, ECDSA P-384 with SHA-384", got=algo)


def _key_info(raw: int) -> tuple[bool, SigningKey]:
    author_key_en, mask_chip_key, signing_key = raw & 1, raw >> 1 & 1, raw >> 2 & 7
    if raw >> 5 or signing_key > SigningKey.VLEK.value:
        raise Malformed("SNP_KEY_INFO", "report.key_info", expected="SIGNING_KEY 0 or 1, 31:5 zero", got=f"{raw:#x}")
    key = SigningKey(signing_key)
    if mask_chip_key and key is SigningKey.VCEK:
        raise Malformed(
            "SNP_MASKED_CHIP_KEY", "report.key_info", expected="MASK_CHIP_KEY 0 with a VCEK", got=f"{raw:#x}"
        )
    return bool(author_key_en), key


def _cpuid(raw: bytes, version: int) -> tuple[int, int, int] | None:
    """CPUID_FAM_ID, CPUID_MOD_ID and CPUID_STEP, reserved before version 3."""
    if version < 3:
        _zeros(raw, 0x188)
        return None
    family, model, step = raw
    return family, model, step


def _firmware(raw: bytes, offset: int) -> Firmware:
    build, minor, major, _ = raw
    _zeros(raw[3:], offset + 3)
    return Firmware(major=major, minor=minor, build=build)


def _mit_vectors(launch: int, current: int, version: int) -> tuple[int | None, int | None]:
    """LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR, reserved before version 5."""
    if version >= 5:
        return launch, current
    _zeros(launch.to_bytes(8, "little") + current.to_bytes(8, "little"), 0x1F8)
    return None, None


def _signature(r_field: bytes, s_field: bytes, rest: bytes) -> tuple[int, int]:
    """R and S, each 72 bytes little-endian of which a scalar fills 48, then 368 reserved bytes."""
    if (r_field[_SCALAR:] + s_field[_SCALAR:] + rest).count(0) != 2 * (72 - _SCALAR) + 368:
        raise Malformed("SNP_SIG_ENCODING", "report.signature", expected="48 bytes each, else zero", got="other bytes")
    r, s = int.from_bytes(r_field, "little"), int.from_bytes(s_field, "little")
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise Malformed(
            "SNP_SIG_ENCODING", "report.signature", expected="r and s from 1 to n - 1", got=f"r {r:#x}, s {s:#x}"
        )
    return r, s
