"""How often something may be tried: buckets that fill with time, one for everybody and one for each address."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Attempts"]

_SHARE = 4  # of what everybody may, an address alone may this part
_KEPT = 4_096
_MINUTE_MS = 60_000


class Attempts:
    """`take` says if an attempt may be looked at. Constant memory; times in ms of a clock that does not go back."""

    def __init__(self, per_minute: int) -> None:
        self._all = _Bucket(per_minute)
        self._share = max(1, per_minute // _SHARE)
        self._by_address: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, address: str, now: int) -> bool:
        """One attempt from `address`. An address over its share takes nothing from the others."""
        own = self._by_address.get(address)
        if own is None:
            own = self._by_address[address] = _Bucket(self._share)
            if len(self._by_address) > _KEPT:
                self._by_address.popitem(last=False)
        self._by_address.move_to_end(address)
        return own.take(now) and self._all.take(now)


class _Bucket:
    """Full at the beginning; a minute fills it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = float(size)
        self._at: int | None = None

    def take(self, now: int) -> bool:
        passed = 0 if self._at is None else max(0, now - self._at)
        self._at = now
        self._left = min(float(self._size), self._left + passed * self._size / _MINUTE_MS)
        if self._left < 1:
            return False
        self._left -= 1
        return True
