"""How much may be fetched on the word of those who have proven nothing yet.

What a report asks for is known before it is authentic: its chip and TCB could be anybody's invention. So every such
fetch takes from a small store of tokens, and gets its token back when a report is verified with what was fetched.
Genuine nodes therefore cost nothing, however many boot at once; inventions use the tokens up, and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict

from kbs.collateral.errors import CollateralError
from kbs.collateral.port import Clock

__all__ = ["Budget"]

_TAKEN = 4_096


class Budget:
    """`size` tokens, one more every `every_ms`, never above `size`. `monotonic` is in ms."""

    def __init__(self, size: int, every_ms: int, monotonic: Clock) -> None:
        self._size = size
        self._every = every_ms
        self._monotonic = monotonic
        self._left = float(size)
        self._at = monotonic()
        self._taken: OrderedDict[str, None] = OrderedDict()

    def take(self, name: str) -> None:
        """One token for `name`; raises CollateralError COLLATERAL_BUDGET if there is none."""
        self._refill()
        if self._left < 1:
            raise CollateralError(
                "COLLATERAL_BUDGET",
                name,
                expected=f"fewer than {self._size} fetches for chips that proved nothing",
                got="as many",
                retry_after=self._every / 1_000,
            )
        self._left -= 1
        self._taken[name] = None
        if len(self._taken) > _TAKEN:
            self._taken.popitem(last=False)

    def give_back(self, name: str) -> None:
        """The token that was taken for `name`, if one was."""
        if name in self._taken:
            del self._taken[name]
            self._left = min(self._left + 1, float(self._size))

    def _refill(self) -> None:
        now = self._monotonic()
        self._left = min(self._left + (now - self._at) / self._every, float(self._size))
        self._at = now
