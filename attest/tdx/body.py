"""What a quote is about: the report of an SGX enclave, or of a TD in one of its three forms.

Sources: Intel SDM volume 3D, table REPORT (384 bytes); Intel "TDX DCAP Quoting Library API", TD quote body descriptors:
TD report 1.0 (584 bytes), 1.5 (648) and the extended form (885), which is read here as the library describes it and was
never seen from hardware. All integers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from attest.errors import Malformed

__all__ = ["SGX_SIZE", "TD_EXTENDED", "TD_REPORT", "SgxReport", "TdReport", "read_sgx", "read_td"]

SGX_SIZE = 384
# CPUSVN, ISVEXTPRODID, CONFIGSVN and ISVFAMILYID are passed over: nothing is judged by them.
_SGX = struct.Struct("<16xI12s16x16s32s32s32s32s64sHH2x42s16x64s")
_RESERVED = (20, 96, 160, 262)
_ZEROS = (bytes(12), bytes(32), bytes(32), bytes(42))
_TD10 = struct.Struct("<16s48s48sQQQ48s48s48s48s48s48s48s48s64s")
_TD15 = struct.Struct("<16s48s")
TD_REPORT = {584: "1.0", 648: "1.5", 885: "1.5 extended"}
TD_EXTENDED = 885


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxReport:
    """The report of an enclave: the quoting enclave's own, or the one that a quote is about."""

    raw: bytes
    miscselect: int
    attributes: bytes
    mrenclave: bytes
    mrsigner: bytes
    configid: bytes
    isvprodid: int
    isvsvn: int
    report_data: bytes

    @property
    def debug(self) -> bool:
        """ATTRIBUTES.DEBUG: the host may look inside."""
        return bool(self.attributes[0] & 2)

    @property
    def initialised(self) -> bool:
        """ATTRIBUTES.INIT."""
        return bool(self.attributes[0] & 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport:
    """The report of a TD; what came with TDX 1.5 is None in a report of 1.0. What is beyond 1.5 has no name here."""

    tee_tcb_svn: bytes
    mr_seam: bytes
    mrsigner_seam: bytes
    seam_attributes: int
    td_attributes: int
    xfam: int
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn2: bytes | None
    mr_servicetd: bytes | None


def read_sgx(data: bytes, *, path: str) -> SgxReport:
    """An enclave's report of 384 bytes; raises Malformed QUOTE_BODY, QUOTE_RESERVED."""
    if len(data) != SGX_SIZE:
        raise Malformed("QUOTE_BODY", path, expected=f"{SGX_SIZE} bytes", got=f"{len(data)} bytes")
    (
        miscselect, reserved_20, attributes, mrenclave, reserved_96, mrsigner, reserved_160,
        configid, isvprodid, isvsvn, reserved_262, report_data,
    ) = _SGX.unpack(data)  # fmt: skip
    reserved = (reserved_20, reserved_96, reserved_160, reserved_262)
    if reserved != _ZEROS:
        offset, found = next((o, got) for o, got in zip(_RESERVED, reserved, strict=True) if any(got))
        where = f"{path}.reserved[{offset:#05x}]"
        raise Malformed("QUOTE_RESERVED", where, expected=f"{len(found)} zero bytes", got=found)
    return SgxReport(
        raw=data,
        miscselect=miscselect,
        attributes=attributes,
        mrenclave=mrenclave,
        mrsigner=mrsigner,
        configid=configid,
        isvprodid=isvprodid,
        isvsvn=isvsvn,
        report_data=report_data,
    )


def read_td(data: bytes, *, path: str) -> TdReport:
    """A TD's report of 584, 648 or 885 bytes; raises Malformed QUOTE_BODY."""
    if len(data) not in TD_REPORT:
        raise Malformed("QUOTE_BODY", path, expected=list(TD_REPORT), got=f"{len(data)} bytes")
    (
        tee_tcb_svn, mr_seam, mrsigner_seam, seam_attributes, td_attributes, xfam,
        mr_td, mr_config_id, mr_owner, mr_owner_config, rtmr0, rtmr1, rtmr2, rtmr3, report_data,
    ) = _TD10.unpack_from(data)  # fmt: skip
    later: tuple[bytes | None, bytes | None] = (None, None)
    if len(data) > _TD10.size:
        later = _TD15.unpack_from(data, _TD10.size)
    return TdReport(
        tee_tcb_svn=tee_tcb_svn,
        mr_seam=mr_seam,
        mrsigner_seam=mrsigner_seam,
        seam_attributes=seam_attributes,
        td_attributes=td_attributes,
        xfam=xfam,
        mr_td=mr_td,
        mr_config_id=mr_config_id,
        mr_owner=mr_owner,
        mr_owner_config=mr_owner_config,
        rtmrs=(rtmr0, rtmr1, rtmr2, rtmr3),
        report_data=report_data,
        tee_tcb_svn2=later[0],
        mr_servicetd=later[1],
    )
