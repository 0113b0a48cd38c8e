"""What there is about devices: their manifests, revocation lists and OCSP responses, at hand or fetched together.

Nothing of it is asked for before a device's evidence is proven.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from attest.anchors import Anchors
from attest.errors import AttestError
from attest.gpu.prove import ProvenDevice
from attest.gpu.published import Subject, check_rim, list_of, read_rim_id, subjects
from kbs.collateral.errors import CollateralError
from kbs.collateral.library import Library, Order
from kbs.collateral.nvidia_orders import NvidiaOrders, NvidiaSources
from kbs.collateral.nvidia_pieces import Asked, key_of, rim_name, rims_of, status_names, subjects_of
from kbs.collateral.times import moment
from kbs.model.collateral import Piece

__all__ = ["Nvidia", "NvidiaSources"]

_SIGNERS: Final = 256


class Nvidia(NvidiaOrders):
    """What there is about the devices of one node, together."""

    curable: Final = frozenset({"REVOCATION_MISSING", "STATUS_EXPIRED", "RIM_EXPIRED"})

    def __init__(self, sources: NvidiaSources, library: Library, anchors: Anchors) -> None:
        super().__init__(sources, library, anchors)
        self._signers: OrderedDict[bytes, tuple[Subject, ...]] = OrderedDict()

    def at_hand(self, devices: Sequence[ProvenDevice], now: int) -> list[Piece]:
        """Whatever there is for these devices, valid at `now`."""
        rims = [piece for wanted in rims_of(devices) if (piece := self._library.look(rim_name(wanted), now))]
        asked = {**subjects_of(devices), **self._signers_of(rims, now)}
        names = dict.fromkeys(name for subject in asked.values() for name in status_names(subject))
        return [*rims, *(piece for name in names if (piece := self._library.look(name, now)) is not None)]

    async def gather(self, devices: Sequence[ProvenDevice], now: int) -> tuple[list[Piece], CollateralError | None]:
        """All that can be had for these devices, at once; and why the first that could not be had was not.

        Whether it matters is for the verifier to say, since a list and a response may speak for one certificate both.
        A manifest that the service does not know is no failure: it is missing.
        """
        wanted, asked = rims_of(devices), subjects_of(devices)
        orders = [*map(self.rim, wanted), *self._statuses(asked.values(), ())]
        found, errors = await self._all(orders, now)
        signers = self._signers_of([piece for piece in found if piece.name.startswith("nvidia/rim/")], now)
        more, again = await self._all(self._statuses(signers.values(), asked.values()), now)
        every = (*errors, *again)
        missed = [e for name, e in every if e.check != "SOURCE_UNKNOWN" or not name.startswith("nvidia/rim/")]
        return [*found, *more], (missed[0] if missed else None)

    async def _all(self, orders: Iterable[Order], now: int) -> tuple[list[Piece], list[tuple[str, CollateralError]]]:
        pieces, errors = [], []

        async def one(order: Order) -> None:
            try:
                pieces.append(await self._library.get(order, now))
            except CollateralError as error:
                errors.append((order.name, error))

        await asyncio.gather(*(one(order) for order in {order.name: order for order in orders}.values()))
        return sorted(pieces, key=lambda piece: piece.name), errors

    def _statuses(self, asked: Iterable[Subject], known: Iterable[Subject]) -> list[Order]:
        done = {key_of(subject) for subject in known}
        orders = []
        for subject in asked:
            if key_of(subject) in done:
                continue
            ders = tuple(link.der for link in subject.links)
            if title := list_of(subject):
                orders.append(self.crl(title, ders[1:]))
            orders.append(self.ocsp(subject.links[0], ders, subject.role))
        return orders

    def _signers_of(self, rims: Sequence[Piece], now: int) -> Asked:
        """The certificates of manifests that have to be asked about; each manifest is read once."""
        found: list[Subject] = []
        for piece in rims:
            known = self._signers.get(piece.data)
            if known is None:
                known = self._read_signers(piece, now)
                self._signers[piece.data] = known
                if len(self._signers) > _SIGNERS:
                    self._signers.popitem(last=False)
            found += known
        return {key_of(subject): subject for subject in found}

    def _read_signers(self, piece: Piece, now: int) -> tuple[Subject, ...]:
        wanted = read_rim_id(piece.name.rpartition("/")[2])
        if wanted is None:
            return ()
        try:
            rim = check_rim(piece.data, wanted, self._anchors, now=moment(now))
        except AttestError:  # a cache that was written to by somebody else: told by verification
            return ()
        return subjects(rim.window.links, "rim")
