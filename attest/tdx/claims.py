"""What a TD quote says, and what Intel says of the platform it was made on, once both are authentic.

Sources: Intel "TDX DCAP Quoting Library API" (TD report, quote), "SGX PCK Certificate and CRL Profile" (PCK extension),
"PCS API" version 4 (TCB statuses). Names are theirs.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from attest.tdx.events import Event

__all__ = ["PckIdentity", "SgxClaims", "TcbPart", "TcbStatus", "TcbVerdict", "TdAttributes", "TdxClaims"]

# TD ATTRIBUTES by bit. 7:0 are the group TUD, "TD under debug": with any of them set the host may look inside.
_UNDER_DEBUG = 0xFF
_ATTRIBUTES: Mapping[int, str] = {
    0: "debug",
    4: "hgs_plus_prof",
    5: "perf_prof",
    6: "pmt_prof",
    16: "icssd",
    27: "lass",
    28: "sept_ve_disable",
    29: "migratable",
    30: "pks",
    31: "kl",
    62: "tpa",
    63: "perfmon",
}


class TcbStatus(enum.IntEnum):
    """`tcbStatus`, ordered: the worst of several is the greatest. Those of a relaunch are never in a document."""

    UpToDate = 0
    SWHardeningNeeded = 1
    ConfigurationNeeded = 2
    ConfigurationAndSWHardeningNeeded = 3
    TDRelaunchAdvised = 4
    TDRelaunchAdvisedConfigurationNeeded = 5
    OutOfDate = 6
    OutOfDateConfigurationNeeded = 7
    Revoked = 8


class TcbPart(NamedTuple):
    """What Intel says of one part (`sgx`, `tdx`, `module` or `qe`): the level that it reaches."""

    name: str
    status: TcbStatus
    tcb_date: datetime
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbVerdict:
    """The state of a platform's TCB at the time `at`: `status` follows from `parts`, `advisories` are all of theirs.

    The evaluation data numbers say how new the documents are that were judged by.
    """

    status: TcbStatus
    advisories: tuple[str, ...]
    parts: tuple[TcbPart, ...]
    tcb_info_evaluation: int
    qe_identity_evaluation: int
    at: datetime

    @property
    def tcb_date(self) -> datetime:
        """The date of the oldest level among the parts."""
        return min(part.tcb_date for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdAttributes:
    """TD ATTRIBUTES, 64 bits."""

    raw: int

    @property
    def names(self) -> frozenset[str]:
        """The names of the known bits that are set."""
        return frozenset(name for bit, name in _ATTRIBUTES.items() if self.raw >> bit & 1)

    @property
    def unknown(self) -> int:
        """The bits that are set and have no name here."""
        return self.raw & ~sum(1 << bit for bit in _ATTRIBUTES)

    @property
    def under_debug(self) -> int:
        """The bits of the group TUD that are set, known or not."""
        return self.raw & _UNDER_DEBUG


@dataclass(frozen=True, slots=True, kw_only=True)
class PckIdentity:
    """The extension of a PCK certificate: which platform, at which TCB.

    `platform_instance_id` is empty under the Processor CA; flags that a certificate does not have are None.
    """

    ppid: bytes
    components: tuple[int, ...]
    pcesvn: int
    pceid: bytes
    fmspc: bytes
    sgx_type: int
    platform_instance_id: bytes
    dynamic_platform: bool | None
    cached_keys: bool | None
    smt_enabled: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxClaims:
    """What an enclave's report says, once its quote is authentic. No key is released to an enclave; people look at it.

    `signed_bytes` is the SHA-256 of what the quote's signature covers.
    """

    quote_version: int
    simulated: bool
    attributes: bytes
    mrenclave: bytes
    mrsigner: bytes
    isvprodid: int
    isvsvn: int
    configid: bytes
    report_data: bytes
    pck: PckIdentity
    tcb_verdict: TcbVerdict
    signed_bytes: bytes

    @property
    def debug(self) -> bool:
        """ATTRIBUTES.DEBUG: the host may look inside."""
        return bool(self.attributes[0] & 2)

    @property
    def initialised(self) -> bool:
        """ATTRIBUTES.INIT."""
        return bool(self.attributes[0] & 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxClaims:
    """What a TD report says, once its quote is authentic. The fields of TDX 1.5 are None in a report of 1.0.

    `signed_bytes` is the SHA-256 of what the quote's signature covers: the only identity of a quote, whose other bytes
    can be changed by whoever carries it. `events` are those of a log that adds up to the RTMRs, or None.
    """

    quote_version: int
    simulated: bool
    tee_tcb_svn: bytes
    mr_seam: bytes
    mrsigner_seam: bytes
    td_attributes: TdAttributes
    xfam: int
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn2: bytes | None
    mr_servicetd: bytes | None
    pck: PckIdentity
    tcb_verdict: TcbVerdict
    signed_bytes: bytes
    events: tuple[Event, ...] | None = None

    @property
    def platform_id(self) -> bytes:
        """What tells this platform from others: the PPID."""
        return self.pck.ppid

    @property
    def product(self) -> str:
        """The FMSPC, which is as much as Intel says about a platform's kind."""
        return self.pck.fmspc.hex()

    @property
    def measurement(self) -> bytes:
        """MRTD."""
        return self.mr_td

    @property
    def host_data(self) -> bytes:
        """MRCONFIGID."""
        return self.mr_config_id

    @property
    def report_id(self) -> bytes:
        """The platform's, since a TD has none of its own."""
        return self.platform_id

    @property
    def tcb(self) -> Mapping[str, int]:
        """The versions that count, by name."""
        return {
            "module": self.tee_tcb_svn[0],
            "module_major": self.tee_tcb_svn[1],
            "seam_loader": self.tee_tcb_svn[2],
            "pcesvn": self.pck.pcesvn,
            "evaluation": self.tcb_verdict.tcb_info_evaluation,
        }

    @property
    def debug(self) -> bool:
        """Whether the host may look inside."""
        return self.td_attributes.under_debug != 0

    @property
    def migration_agent(self) -> bool:
        """Whether the host may have the TD moved, with its memory, to another platform."""
        return "migratable" in self.td_attributes.names
