"""What Intel publishes about the platform of a quote: its family's TCB, the quoting enclave, the lists of its CAs."""

from __future__ import annotations

import asyncio
from typing import Final

from attest.errors import NotBound
from attest.evidence import TdxEvidence
from attest.tdx.quote import parse
from attest.tdx.verify import Needed, needed
from kbs.collateral.pcs_orders import ROOT_CRL_NAME, PcsOrders, pck_crl_name, qe_name, tcb_name
from kbs.model.collateral import Piece
from kbs.model.pieces import unpack_below

__all__ = ["BASE", "ROOT_CRL", "Pcs"]

BASE: Final = "https://api.trustedservices.intel.com"
ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"


class Pcs(PcsOrders):
    """All that one quote is judged by."""

    curable: Final = frozenset({"COLLATERAL_MISSING", "COLLATERAL_EXPIRED", "CRL_MISSING", "CRL_EXPIRED"})

    def at_hand(self, evidence: TdxEvidence, now: int) -> list[Piece]:
        """All that the quote needs if all of it is there, valid at `now`; else nothing. Raises AttestError."""
        need = needed(evidence.quote)
        return [] if need is None else self._at_hand(need, now)

    async def gather(self, evidence: TdxEvidence, *, report_data: bytes, now: int) -> list[Piece]:
        """All that the quote needs, fetched where it is not at hand.

        The quote is authentic when this is asked for: verification checks its signatures before it misses anything.
        Raises NotBound for one that was made for something else, and CollateralError.
        """
        found = parse(evidence.quote)
        got = found.td.report_data if found.td is not None else b""
        if got != report_data:
            raise NotBound("REPORT_DATA_MISMATCH", "report.report_data", expected=report_data, got=got)
        need = needed(evidence.quote)
        if need is None:
            return []
        tcb = await self._library.get(self.tcb(need.tee, need.fmspc), now)
        orders = (self.qe(need.tee), self.pck_crl(need.ca), self.root_list(unpack_below(tcb.data)[0]))
        return [tcb, *await asyncio.gather(*(self._library.get(order, now) for order in orders))]

    def proved(self, evidence: TdxEvidence) -> None:
        """Nothing is owed: what is fetched here is fetched for quotes that a genuine platform signed."""

    def _at_hand(self, need: Needed, now: int) -> list[Piece]:
        names = (tcb_name(need.tee, need.fmspc), qe_name(need.tee), pck_crl_name(need.ca), ROOT_CRL_NAME)
        found = [piece for name in names if (piece := self._library.look(name, now)) is not None]
        return found if len(found) == len(names) else []
