"""Everything that a release may need to judge a platform: what lies ready, what is cached, what can be fetched.

A release verifies with what is at hand. Only when verification says that an endorsement or a list is missing, and every
check that needs no fetch has passed, is anything fetched: once for all who wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from attest.errors import AttestError, Malformed
from attest.evidence import Collateral, HardwareEvidence
from attest.gpu.prove import ProvenDevice
from attest.verify import Kept
from kbs.collateral.errors import CollateralError
from kbs.collateral.library import Library
from kbs.collateral.lifetimes import Lifetimes
from kbs.collateral.memory import Memory
from kbs.collateral.pcs_orders import EARLY
from kbs.collateral.port import Cache, Chance, Clock
from kbs.collateral.publisher import DeviceVendor, Publisher, Vendor
from kbs.collateral.renewal import Renewal
from kbs.collateral.shelf import Shelf
from kbs.collateral.usage import Usage
from kbs.model.collateral import Foretold, Gathered, Lifetime, Piece, Used
from kbs.model.pieces import collateral_of
from kbs.model.refusal import Unavailable

__all__ = ["CollateralService"]

_log = logging.getLogger("sealgate.collateral")
_SWEEP_S: Final = 30.0
_NEVER: Final = 1 << 62


class CollateralService:
    """Collateral for one broker. `shelf` is what lies ready in a directory; `vendors` by the kind of evidence."""

    def __init__(
        self,
        shelf: Shelf,
        library: Library,
        cache: Cache,
        vendors: Mapping[type, Vendor],
        devices: DeviceVendor,
        *,
        usage: Usage,
        chance: Chance,
    ) -> None:
        self._shelf = shelf
        self._library = library
        self._cache = cache
        self._vendors = vendors
        self._devices = devices
        self._publishers: tuple[Publisher, ...] = (*vendors.values(), devices)
        self._usage = usage
        self._renewal = Renewal(library, cache, self._publishers, usage)
        self._chance = chance
        self._memory = Memory()
        self._lifetimes = Lifetimes(cache)

    def ready(self) -> Used:
        """What lay ready when the broker started, as a document with its pieces."""
        return self._shelf.ready()

    def at_hand(self, evidence: HardwareEvidence, now: int) -> Gathered:
        """What there is without a fetch, with what was verified of it before."""
        found = self._memory.recall(evidence)
        if found is not None and found.generation == self._library.generation and now < found.until:
            return found
        vendor, pieces = self._vendors.get(type(evidence)), list[Piece]()
        if vendor is not None:
            with contextlib.suppress(AttestError):  # told by verification
                pieces = vendor.at_hand(evidence, now)
        return self._assemble(pieces, found.kept if found else self._memory.shared())

    async def gather(
        self, evidence: HardwareEvidence, failure: AttestError, *, report_data: bytes, now: int
    ) -> Gathered | None:
        """What verification missed, fetched; None if `failure` is nothing that collateral could cure.

        Raises AttestError for evidence that fails a check that needs no collateral, and Unavailable
        COLLATERAL_UNAVAILABLE, whose cause is for the operator.
        """
        vendor = self._vendors.get(type(evidence))
        if vendor is None or failure.check not in vendor.curable:
            return None
        try:
            pieces = await vendor.gather(evidence, report_data=report_data, now=now)
        except CollateralError as error:
            raise Unavailable("COLLATERAL_UNAVAILABLE", retry_after=error.retry_after) from error
        return self._assemble(pieces, None)

    def foretell(self, evidence: HardwareEvidence, now: int) -> Foretold | None:
        """What the evidence will be judged by when an announced change has become the standard; None if none has."""
        vendor = self._vendors.get(type(evidence))
        found = None
        if vendor is not None:
            with contextlib.suppress(AttestError):  # told by verification
                found = vendor.foretell(evidence, now)
        if found is None:
            return None
        pieces, coming = found
        return Foretold(gathered=self._assemble(pieces, None), coming=coming)

    def curable(self, evidence: HardwareEvidence, failure: AttestError) -> bool:
        """Whether collateral could cure what verification of the CPU's evidence failed with."""
        vendor = self._vendors.get(type(evidence))
        return vendor is not None and failure.check in vendor.curable

    def at_hand_for_devices(self, gathered: Gathered, devices: Sequence[ProvenDevice], now: int) -> Gathered:
        """`gathered`, with what there is about a node's devices without a fetch."""
        return self._with(gathered, self._devices.at_hand(devices, now)) if devices else gathered

    def curable_for_devices(self, failure: AttestError | None) -> bool:
        """Whether collateral could cure what judging devices failed with; None is a manifest that is missing."""
        return failure is None or failure.check in self._devices.curable

    async def gather_for_devices(
        self, gathered: Gathered, devices: Sequence[ProvenDevice], now: int
    ) -> tuple[Gathered, Unavailable | None]:
        """As above, fetched where it is missing; and what to say if something that could not be had is needed."""
        pieces, error = await self._devices.gather(devices, now)
        missed = None
        if error is not None:
            missed = Unavailable("COLLATERAL_UNAVAILABLE", retry_after=error.retry_after)
            missed.__cause__ = error
        return self._with(gathered, pieces), missed

    def keep(self, evidence: HardwareEvidence, gathered: Gathered, kept: Kept) -> Used:
        """Remembers what was verified, for the next time, and says what that rested on."""
        vendor = self._vendors.get(type(evidence))
        self._usage.mark(gathered.names)
        if self._memory.remember(evidence, replace(gathered, kept=kept)) and vendor is not None:
            vendor.proved(evidence)
        return self._memory.used(evidence, kept)

    def stored(self, used: Used) -> None:
        """What was used is in the store for good."""
        self._memory.stored(used.digest)

    async def renew(self, now: int, *, at_once: bool = False) -> list[str]:
        """Renews what is due, or `at_once` all that can be renewed; drops what is unused; the names of what changed."""
        return await self._renewal.renew(now, at_once=at_once)

    @property
    def generation(self) -> int:
        """Moves whenever a piece is not what it was."""
        return self._library.generation

    def ends(self) -> list[Lifetime]:
        """Every cached piece that something is judged by, by name, with its end and what it is made for."""
        return self._lifetimes.every(without=EARLY)

    def overdue(self, now: int) -> frozenset[str]:
        """Of these, the names of those that should have been renewed by now and have not ended."""
        return frozenset(name for name in self._cache.overdue(now) if not name.startswith(EARLY))

    def pieces(self, now: int) -> list[Piece]:
        """Every piece of the cache that is valid at `now`, by name."""
        found = (self._library.look(name, now) for name in self._cache.names())
        return [piece for piece in found if piece is not None]

    async def take(self, pieces: Sequence[Piece], now: int) -> list[tuple[str, str]]:
        """Keeps pieces that came by another way, each verified as if its vendor had answered; issuers are taken first.

        For each its name and what became of it: `kept`, `known` if what is at hand lasts as long, or why not.
        """
        outcomes = []
        for piece in sorted(pieces, key=lambda p: ("/issuers/" not in p.name, "/crl/" not in p.name, p.name)):
            try:
                outcomes.append((piece.name, await self._take(piece, now)))
            except AttestError as error:
                outcomes.append((piece.name, str(error)))
        return outcomes

    async def _take(self, piece: Piece, now: int) -> str:
        for vendor in self._publishers:
            until = vendor.check(piece.name, piece.data, now)
            if until is not None:
                admitted = replace(piece, fetched_at=min(piece.fetched_at, now), good_until=until)
                return "kept" if await self._library.add(admitted) else "known"
        raise Malformed(
            "COLLATERAL_NAME", piece.name, expected="a piece of a vendor that is known here", got=piece.name
        )

    async def keep_fresh(self, clock: Clock) -> None:
        """Renews what is due, for ever; to be run as a task and cancelled at the end."""
        while True:
            try:
                await self.renew(clock())
            except Exception:  # noqa: BLE001  # whatever it was, the next round comes; releases do not depend on it
                _log.exception("collateral was not renewed")
            await asyncio.sleep(_SWEEP_S * (0.5 + self._chance()))

    async def close(self) -> None:
        """Ends what is under way."""
        await self._library.close()

    def _with(self, gathered: Gathered, pieces: Sequence[Piece]) -> Gathered:
        """`gathered` and these; what is there already is there once."""
        had, found = gathered.collateral, collateral_of(pieces)
        rims, crls = dict.fromkeys((*had.rims, *found.rims)), dict.fromkeys((*had.crls, *found.crls))
        collateral = replace(
            had, rims=tuple(rims), crls=tuple(crls), ocsp=tuple(dict.fromkeys((*had.ocsp, *found.ocsp)))
        )
        until = min((piece.good_until for piece in pieces), default=_NEVER)
        names = tuple(dict.fromkeys((*gathered.names, *(piece.name for piece in pieces))))
        return replace(gathered, collateral=collateral, until=min(gathered.until, until), names=names)

    def _assemble(self, pieces: list[Piece], kept: Kept | None) -> Gathered:
        lying = self._shelf.collateral
        found = collateral_of(pieces)
        collateral = Collateral(
            certificates=lying.certificates + found.certificates,
            crls=lying.crls + found.crls,
            tdx=lying.tdx + found.tdx,
            rims=lying.rims + found.rims,
            ocsp=lying.ocsp + found.ocsp,
        )
        return Gathered(
            collateral=collateral,
            kept=self._memory.known(collateral, kept),
            generation=self._library.generation,
            until=min((piece.good_until for piece in pieces), default=_NEVER),
            names=tuple(piece.name for piece in pieces),
        )
