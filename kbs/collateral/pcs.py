"""What Intel publishes about the platform of a quote: its family's TCB, the quoting enclave, the lists of its CAs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from attest.anchors import Anchors
from attest.evidence import TdxEvidence
from attest.tdx.published import check_recoveries, check_tcb_info
from attest.tdx.uncertified import check_certifies, check_sound, named, needed_with
from attest.tdx.verify import Needed, needed
from kbs.collateral.errors import CollateralError
from kbs.collateral.library import Library
from kbs.collateral.pcs_orders import EARLY, ROOT_CRL_NAME, PcsOrders, pck_crl_name, qe_name, tcb_name
from kbs.collateral.pcs_pck import PckSource, pck_name
from kbs.collateral.source import Vendor
from kbs.collateral.times import moment, ms
from kbs.model.collateral import Coming, Piece
from kbs.model.pieces import chain_of, pack_below, pem_of, unpack_below

__all__ = ["BASE", "ROOT_CRL", "Pcs"]

BASE: Final = "https://api.trustedservices.intel.com"
ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"


class Pcs(PcsOrders):
    """All that one quote is judged by."""

    curable: Final = frozenset(
        {"COLLATERAL_MISSING", "COLLATERAL_EXPIRED", "CRL_MISSING", "CRL_EXPIRED", "PCK_CHAIN_MISSING"}
    )

    def __init__(
        self,
        source: Vendor,
        root_crl: tuple[Vendor, str],
        library: Library,
        anchors: Anchors,
        *,
        certificates: PckSource,
    ) -> None:
        super().__init__(source, root_crl, library, anchors)
        self._certificates = certificates

    def at_hand(self, evidence: TdxEvidence, now: int) -> list[Piece]:
        """All that the quote needs if all of it is there, valid at `now`; else nothing. Raises AttestError."""
        need, own = self._needed(evidence.quote, now)
        if need is None:
            return []
        names = (tcb_name(need.tee, need.fmspc), qe_name(need.tee), pck_crl_name(need.ca), ROOT_CRL_NAME)
        found = [piece for name in names if (piece := self._library.look(name, now)) is not None]
        return [*found, *own] if len(found) == len(names) else []

    async def gather(self, evidence: TdxEvidence, *, report_data: bytes, now: int) -> list[Piece]:
        """All that the quote needs, fetched where it is not at hand.

        A quote that carries its certificate is authentic when this is asked for: verification checks its signatures
        before it misses anything. One that does not has been checked as far as that goes, and its certificate is
        fetched first; none of it where there is none to be had, which is for the verifier to say.

        Raises NotBound for one that was made for something else, NotAuthentic, and CollateralError.
        """
        check_sound(evidence.quote, report_data=report_data)
        await self._certify(evidence.quote, now)
        need, own = self._needed(evidence.quote, now)
        if need is None:
            return []
        if own:
            check_certifies(evidence.quote, chain_of(own[0]), self._anchors, now=moment(now))
        tcb = await self._library.get(self.tcb(need.tee, need.fmspc), now)
        orders = (self.qe(need.tee), self.pck_crl(need.ca), self.root_list(unpack_below(tcb.data)[0]))
        return [tcb, *await asyncio.gather(*(self._library.get(order, now) for order in orders)), *own]

    async def _certify(self, quote: bytes, now: int) -> None:
        """What the quote's certificate needs, if it does not carry its chain: itself, or what is above the leaf."""
        wanted = named(quote)
        if wanted is None:
            return
        if wanted.leaf:
            need = needed(quote)
            if need is not None and need.ca:
                await self._library.get(self.pck_crl(need.ca), now)
            return
        order = self._certificates.order(wanted, quote)
        if order is not None:
            try:
                await self._library.get(order, now)
            except CollateralError as error:
                if error.check != "SOURCE_UNKNOWN":
                    raise

    def _needed(self, quote: bytes, now: int) -> tuple[Needed | None, list[Piece]]:
        """What the quote is judged by, and the piece that certifies it where the quote does not carry its chain.

        A leaf alone is joined to the CA's own chain, which comes with its list.
        """
        wanted = named(quote)
        if wanted is None:
            return needed(quote), []
        piece = self._library.look(pck_name(wanted), now)
        if wanted.leaf and (need := needed(quote)) is not None:
            above = self._library.look(pck_crl_name(need.ca), now)
            if above is not None:
                data = pack_below(unpack_below(above.data)[0], pem_of(wanted.leaf))
                piece = replace(above, name=pck_name(wanted), data=data)
        return (None, []) if piece is None else (needed_with(quote, chain_of(piece)), [piece])

    def foretell(self, evidence: TdxEvidence, now: int) -> tuple[list[Piece], Coming] | None:
        """What the quote will be judged by once Intel's next TCB evaluation is the standard; None if none is announced.

        The pieces bear the names of those that they will replace. Raises AttestError.
        """
        need, _ = self._needed(evidence.quote, now)
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
