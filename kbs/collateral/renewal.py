"""Everything that is kept stays fresh as long as it is used, and what is to come is kept beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from kbs.collateral.errors import CollateralError
from kbs.collateral.library import Library, Order
from kbs.collateral.port import Cache
from kbs.collateral.publisher import Publisher
from kbs.collateral.usage import Usage

__all__ = ["Renewal"]


class Renewal:
    """Renews, piece by piece, what vendors issue anew."""

    def __init__(self, library: Library, cache: Cache, publishers: Sequence[Publisher], usage: Usage) -> None:
        self._library = library
        self._cache = cache
        self._publishers = publishers
        self._usage = usage

    async def renew(self, now: int, *, at_once: bool = False) -> list[str]:
        """Renews what is due, or `at_once` all that can be renewed; the names of what changed.

        What no decision has used for long is dropped instead. A failure is said in the process's log, and what there is
        stays until its end.
        """
        changed = []
        for name in await self._in_use():
            order = self._order_of(name, now)
            if order is None:
                continue
            before = self._library.look(name, now)
            with contextlib.suppress(CollateralError):  # told where it happened
                piece = await self._library.renew(order, now, at_once=at_once)
                if piece is not None and (before is None or piece.data != before.data):
                    changed.append(name)
        return changed

    async def _in_use(self) -> list[str]:
        """The names of what is renewed: what is used, and what stands beside it to say what is to come."""
        prefixes = [prefix for vendor in self._publishers for prefix in vendor.renewed]
        known = [name for prefix in prefixes for name in self._cache.names(prefix)]
        forecasts = [name for name in known if any(name.startswith(prefix) for prefix in self._forecasts())]
        judged_by = [name for name in known if name not in forecasts]
        gone = await self._usage.settle(judged_by)
        used = [name for name in judged_by if name not in gone]
        beside = {more for vendor in self._publishers for name in used for more in vendor.beside(name)}
        over = [name for name in forecasts if name not in beside]
        if over:
            self._cache.drop(over)
        for name in (*gone, *over):
            self._library.forget(name)
        return [*used, *sorted(beside)]

    def _forecasts(self) -> list[str]:
        return [vendor.announced for vendor in self._publishers if vendor.announced]

    def _order_of(self, name: str, now: int) -> Order | None:
        orders = (vendor.order_of(name, now) for vendor in self._publishers)
        return next((order for order in orders if order is not None), None)
