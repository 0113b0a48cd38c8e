"""ATTESTATION_REPORT: 1184 bytes, read top to bottom.

Source: AMD publication 56860, "SEV Secure Nested Paging Firmware ABI Specification", table ATTESTATION_REPORT, with the
fields that came with versions 3 (CPUID_*) and 5 (*_MIT_VECTOR). Version 4 is laid out like 3. Every reserved byte must
be zero and an unknown version is refused before anything else of it is read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from attest.ecdsa import ORDER
from attest.errors import Malformed
from attest.reader import Reader
from attest.snp.claims import Firmware, GuestPolicy, PlatformInfo, SigningKey, SnpClaims
from attest.snp.tcb import decode

__all__ = ["REPORT_SIZE", "SIGNED_SIZE", "VERSIONS", "Report", "claims_of", "parse"]

REPORT_SIZE = 0x4A0
SIGNED_SIZE = 0x2A0
VERSIONS = (2, 3, 4, 5)

_POLICY_MUST_BE_ONE = 1 << 17
_POLICY_KNOWN_BITS = 26
_ECDSA_P384_SHA384 = 1
_SCALAR = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
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
    reader = Reader(data, path="report", length="SNP_LENGTH", reserved="SNP_RESERVED")
    version = _version(reader)
    report = Report(  # arguments are evaluated in order: this is the table
        signed=data[:SIGNED_SIZE],
        version=version,
        guest_svn=reader.at(0x04).u32(),
        policy=_policy(reader),
        family_id=reader.at(0x10).take(16),
        image_id=reader.take(16),
        vmpl=reader.at(0x30).u32(),
        signature_algo=_signature_algo(reader),
        current_tcb=reader.at(0x38).take(8),
        platform_info=PlatformInfo(raw=reader.u64()),
        key_info=_key_info(reader),
        report_data=reader.at(0x50).take(64),
        measurement=reader.at(0x90).take(48),
        host_data=reader.at(0xC0).take(32),
        id_key_digest=reader.take(48),
        author_key_digest=reader.take(48),
        report_id=reader.at(0x140).take(32),
        report_id_ma=reader.take(32),
        reported_tcb=reader.at(0x180).take(8),
        cpuid=_cpuid(reader, version),
        chip_id=reader.at(0x1A0).take(64),
        committed_tcb=reader.at(0x1E0).take(8),
        current_firmware=_firmware(reader),
        committed_firmware=_firmware(reader),
        launch_tcb=reader.at(0x1F0).take(8),
        mit_vectors=_mit_vectors(reader, version),
        signature=_signature(reader.at(SIGNED_SIZE)),
    )
    reader.end()
    return report


def claims_of(report: Report, *, product: str, csp_id: str, simulated: bool) -> SnpClaims:
    """The claims of a report, once it is authentic; raises Malformed SNP_RESERVED for a reserved byte of a TCB."""
    author_key_en, signing_key = report.key_info
    launch_mit_vector, current_mit_vector = report.mit_vectors
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
        reported_tcb=decode(product, report.reported_tcb, path="report.reported_tcb"),
        current_tcb=decode(product, report.current_tcb, path="report.current_tcb"),
        committed_tcb=decode(product, report.committed_tcb, path="report.committed_tcb"),
        launch_tcb=decode(product, report.launch_tcb, path="report.launch_tcb"),
        current_firmware=report.current_firmware,
        committed_firmware=report.committed_firmware,
        launch_mit_vector=launch_mit_vector,
        current_mit_vector=current_mit_vector,
        signed_bytes=hashlib.sha256(report.signed).digest(),
    )


def _version(reader: Reader) -> int:
    version = reader.u32()
    if version not in VERSIONS:
        raise Malformed("SNP_VERSION", "report.version", expected=list(VERSIONS), got=version)
    return version


def _policy(reader: Reader) -> GuestPolicy:
    raw = reader.u64()
    if not raw & _POLICY_MUST_BE_ONE or raw >> _POLICY_KNOWN_BITS:
        raise Malformed("SNP_POLICY_RESERVED", "report.policy", expected="bit 17 one, 63:26 zero", got=f"{raw:#x}")
    return GuestPolicy(raw=raw)


def _signature_algo(reader: Reader) -> int:
    algo = reader.u32()
    if algo != _ECDSA_P384_SHA384:
        raise Malformed("SNP_SIG_ALGO", "report.signature_algo", expected="1, ECDSA P-384 with SHA-384", got=algo)
    return algo


def _key_info(reader: Reader) -> tuple[bool, SigningKey]:
    raw = reader.u32()
    author_key_en, mask_chip_key, signing_key = raw & 1, raw >> 1 & 1, raw >> 2 & 7
    if raw >> 5 or signing_key not in (SigningKey.VCEK.value, SigningKey.VLEK.value):
        raise Malformed("SNP_KEY_INFO", "report.key_info", expected="SIGNING_KEY 0 or 1, 31:5 zero", got=f"{raw:#x}")
    key = SigningKey(signing_key)
    if mask_chip_key and key is SigningKey.VCEK:
        raise Malformed(
            "SNP_MASKED_CHIP_KEY", "report.key_info", expected="MASK_CHIP_KEY 0 with a VCEK", got=f"{raw:#x}"
        )
    reader.zeros(4)
    return bool(author_key_en), key


def _cpuid(reader: Reader, version: int) -> tuple[int, int, int] | None:
    """CPUID_FAM_ID, CPUID_MOD_ID and CPUID_STEP, reserved before version 3."""
    if version < 3:
        reader.zeros(24)
        return None
    cpuid = (reader.u8(), reader.u8(), reader.u8())
    reader.zeros(21)
    return cpuid


def _firmware(reader: Reader) -> Firmware:
    build, minor, major = reader.u8(), reader.u8(), reader.u8()
    reader.zeros(1)
    return Firmware(major=major, minor=minor, build=build)


def _mit_vectors(reader: Reader, version: int) -> tuple[int | None, int | None]:
    """LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR, reserved before version 5; then reserved bytes."""
    if version < 5:
        reader.zeros(168)
        return None, None
    vectors = reader.u64(), reader.u64()
    reader.zeros(152)
    return vectors


def _signature(reader: Reader) -> tuple[int, int]:
    """R and S, each 72 bytes little-endian of which a scalar fills 48, then 368 reserved bytes."""
    fields = reader.take(72), reader.take(72)
    rest = reader.take(368)
    if any(any(field[_SCALAR:]) for field in fields) or any(rest):
        raise Malformed("SNP_SIG_ENCODING", "report.signature", expected="48 bytes each, else zero", got="other bytes")
    r, s = (int.from_bytes(field, "little") for field in fields)
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise Malformed(
            "SNP_SIG_ENCODING", "report.signature", expected="r and s from 1 to n - 1", got=f"r {r:#x}, s {s:#x}"
        )
    return r, s
