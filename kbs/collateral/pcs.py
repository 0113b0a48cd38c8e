"""What Intel publishes about the platform of a quote: its family's TCB, the quoting enclave, the lists of its CAs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from attest.errors import NotBound
from attest.evidence import TdxEvidence
from attest.tdx.published import check_recoveries, check_tcb_info
from attest.tdx.quote import parse
from attest.tdx.verify import Needed, needed
from kbs.collateral.pcs_orders import EARLY, ROOT_CRL_NAME, PcsOrders, pck_crl_name, qe_name, tcb_name
from kbs.collateral.times import moment, ms
from kbs.model.collateral import Coming, Piece
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

    def foretell(self, evidence: TdxEvidence, now: int) -> tuple[list[Piece], Coming] | None:
        """What the quote will be judged by once Intel's next TCB evaluation is the standard; None if none is announced.

        The pieces bear the names of those that they will replace. Raises AttestError.
        """
        need = needed(evidence.quote)
        standard = self.at_hand(evidence, now)
        if need is None or not standard:
            return None
        names = (tcb_name(need.tee, need.fmspc), qe_name(need.tee))
        early = [self._library.look(EARLY + name.removeprefix("intel/"), now) for name in names]
        there = {name: piece for name, piece in zip(names, early, strict=True) if piece is not None}
        if names[0] not in there:
            return None
        at = moment(now)
        old, new = (self._evaluation(need, piece, at) for piece in (standard[0], there[names[0]]))
        if new <= old:
            return None
        coming = Coming(family=f"{need.tee} {need.fmspc.hex()}", evaluation=new, event=self._event(need.tee, new, now))
        return [replace(there.get(piece.name, piece), name=piece.name) for piece in standard], coming

    def _evaluation(self, need: Needed, piece: Piece, at: datetime) -> int:
        chain, body = unpack_below(piece.data)
        return check_tcb_info(body, chain, self._anchors, tee=need.tee, fmspc=need.fmspc, now=at).evaluation

    def _event(self, tee: str, evaluation: int, now: int) -> int:
        piece = self._library.look(f"{EARLY}recoveries/{tee}", now)
        if piece is None:
            return 0
        chain, body = unpack_below(piece.data)
        event = check_recoveries(body, chain, self._anchors, tee=tee, now=moment(now)).events.get(evaluation)
        return 0 if event is None else ms(event)

    def proved(self, evidence: TdxEvidence) -> None:
        """Nothing is owed: what is fetched here is fetched for quotes that a genuine platform signed."""

    def _at_hand(self, need: Needed, now: int) -> list[Piece]:
        names = (tcb_name(need.tee, need.fmspc), qe_name(need.tee), pck_crl_name(need.ca), ROOT_CRL_NAME)
        found = [piece for name in names if (piece := self._library.look(name, now)) is not None]
        return found if len(found) == len(names) else []
