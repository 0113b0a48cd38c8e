"""Pieces by name: in memory, in the cache, or fetched; only what verified is ever kept.

A piece is used while the vendor lets it be valid, and renewed well before that ends. A renewal that fails leaves what
there is until its end, never beyond. Before something is fetched the cache is asked, since another replica may have
been there already.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from attest.errors import AttestError, NotAuthentic
from kbs.collateral.errors import CollateralError
from kbs.collateral.flight import Flights
from kbs.collateral.port import Cache, Chance, Clock
from kbs.collateral.source import Vendor
from kbs.model.collateral import Piece
from kbs.outbound.client import Response

__all__ = ["Library", "Limits", "Order"]

_log = logging.getLogger("sealgate.collateral")
_IN_MEMORY: Final = 8_192
_REFUSED: Final = 4_096
_ASK_AGAIN_MS: Final = {"SOURCE_UNKNOWN": 600_000, "SOURCE_KEY": 600_000, "COLLATERAL_REFUSED": 60_000}
_RENEW_AGAIN_MS: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of what is under way. `wait_s` is how long one request waits for a fetch that it shares with others.

    A node with devices waits for a dozen pieces at once, each of which counts.
    """

    flights: int = 64
    waiters: int = 16_384
    wait_s: float = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How one piece is had. `path` is appended to the source's base; `question` is an OCSP request to be sent there.

    `admit(answer, now)` returns the bytes to keep and the end of their validity in ms, or raises AttestError; `now` is
    in ms. `renew_ms` is the age at which it is renewed at the latest, 0 for what its vendor does not issue anew. With
    `rising`, a piece that ends before the one at hand is an old one played back. `before` may refuse, before anything
    is sent. What could not be had is not asked for again for `again_ms`, if that is more than the library's own time.
    """

    name: str
    source: Vendor
    path: str
    limit: int
    admit: Callable[[Response, int], tuple[bytes, int]]
    renew_ms: int
    rising: bool = False
    before: Callable[[], None] | None = None
    question: bytes | None = None
    again_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    piece: Piece
    chance: float
    not_before: int = 0

    def renew_at(self, order: Order) -> int:
        """Between half and three quarters of its life, so that many brokers do not all come at once."""
        life = self.piece.good_until - self.piece.fetched_at
        life = min(life, order.renew_ms) if order.renew_ms else life
        return max(self.piece.fetched_at + int(life * (0.5 + 0.25 * self.chance)), self.not_before)


class Library:
    """The pieces. `generation` moves whenever one of them changes."""

    def __init__(self, cache: Cache, clock: Clock, chance: Chance, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self._cache = cache
        self._clock = clock
        self._chance = chance
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._refused: OrderedDict[str, tuple[int, CollateralError]] = OrderedDict()
        self._flights: Flights[Piece] = Flights(flights=limits.flights, waiters=limits.waiters, seconds=limits.wait_s)
        self.generation = 0
        self.fetched = 0

    def look(self, name: str, now: int) -> Piece | None:
        """The piece of that name if it is at hand and valid at `now`."""
        held = self._held.get(name) or self._from_cache(name)
        if held is not None and held.piece.good_until <= now:
            held = self._from_cache(name)
        return held.piece if held is not None and now < held.piece.good_until else None

    async def get(self, order: Order, now: int) -> Piece:
        """The piece, fetched if it is not at hand. Raises CollateralError."""
        piece = self.look(order.name, now)
        if piece is not None:
            return piece
        self._check_refused(order.name, now)
        return await self._flights.join(order.name, lambda: self._fetch(order))

    async def renew(self, order: Order, now: int, *, at_once: bool = False) -> Piece | None:
        """The piece anew if it is due, or `at_once`; None if it was not due. Raises CollateralError."""
        held = self._held.get(order.name) or self._from_cache(order.name)
        if held is not None and not at_once:
            if now < held.renew_at(order):
                return None
            held = self._from_cache(order.name) or held  # another replica may have renewed it
            if now < held.renew_at(order):
                return None
        elif held is None and not at_once:
            self._check_refused(order.name, now)
        try:
            return await self._flights.join(order.name, lambda: self._fetch(order))
        except CollateralError:
            if held is not None:
                again = now + int(_RENEW_AGAIN_MS * (1 + self._chance()))
                self._held[order.name] = replace(held, not_before=again)
            raise

    async def add(self, piece: Piece) -> bool:
        """Keeps a piece that its vendor's rules have admitted; False if what is at hand lasts as long or longer."""
        old = self.look(piece.name, self._clock())
        if old is not None and piece.good_until <= old.good_until:
            return False
        await asyncio.to_thread(self._cache.put, [piece])
        self._hold(piece)
        return True

    def forget(self, name: str) -> None:
        """The piece of that name is no longer kept."""
        self._held.pop(name, None)

    async def close(self) -> None:
        """Ends what is under way."""
        await self._flights.close()

    async def _fetch(self, order: Order) -> Piece:
        try:
            if order.before is not None:
                order.before()
            answer = await order.source.ask(order.path, limit=order.limit, question=order.question)
            try:
                return await self._admit(order, answer)
            except AttestError as error:
                raise CollateralError(
                    "COLLATERAL_REFUSED", order.name, expected="what was asked for", got=error.check, retry_after=10.0
                ) from error
        except CollateralError as error:
            self._remember_refusal(order, error)
            _log.warning("collateral could not be had: %s", error)
            raise

    async def _admit(self, order: Order, answer: Response) -> Piece:
        now = self._clock()
        data, good_until = order.admit(answer, now)
        old = self.look(order.name, now)
        if order.rising and old is not None and good_until < old.good_until:
            raise NotAuthentic("COLLATERAL_OLDER", order.name, expected=f"good until {old.good_until}", got=good_until)
        piece = Piece(name=order.name, data=data, fetched_at=now, good_until=good_until)
        await asyncio.to_thread(self._cache.put, [piece])
        self.fetched += 1
        self._refused.pop(order.name, None)
        self._hold(piece)
        return piece

    def _remember_refusal(self, order: Order, error: CollateralError) -> None:
        """What a source does not have, or has wrong, is not asked for again at once."""
        again, name = max(_ASK_AGAIN_MS.get(error.check, 0), order.again_ms), order.name
        if not again:
            return
        self._refused[name] = (self._clock() + again, error)
        self._refused.move_to_end(name)
        if len(self._refused) > _REFUSED:
            self._refused.popitem(last=False)

    def _check_refused(self, name: str, now: int) -> None:
        found = self._refused.get(name)
        if found is not None and now < found[0]:
            raise found[1].again()

    def _from_cache(self, name: str) -> _Held | None:
        piece = self._cache.get(name)
        if piece is None:
            return None
        old = self._held.get(name)
        return old if old is not None and old.piece == piece else self._hold(piece)

    def _hold(self, piece: Piece) -> _Held:
        held = _Held(piece, self._chance())
        old = self._held.get(piece.name)
        if old is None or old.piece.data != piece.data:
            self.generation += 1
        self._held[piece.name] = held
        self._held.move_to_end(piece.name)
        if len(self._held) > _IN_MEMORY:
            self._held.popitem(last=False)
        return held
