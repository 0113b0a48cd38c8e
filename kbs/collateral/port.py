"""What this room needs from its neighbours: a place for its pieces, a way out, clocks and chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kbs.model.collateral import Piece
from kbs.outbound.client import Response

__all__ = ["Cache", "Chance", "Clock", "Fetch", "Secrets"]


class Cache(Protocol):
    """Pieces that survive a restart and that replicas share."""

    def get(self, name: str) -> Piece | None:
        """The piece of that name, whatever its age."""

    def names(self, prefix: str = "") -> list[str]:
        """The names that begin with `prefix`, sorted."""

    def ends(self) -> list[tuple[str, int, int]]:
        """Every name with when its piece was fetched and the end of its validity (ms), without the pieces."""

    def overdue(self, now: int) -> list[str]:
        """The names of pieces that are valid at `now`, and of whose time four fifths are over."""

    def put(self, pieces: Sequence[Piece]) -> None:
        """Keeps each, in place of an older one of its name, or says in the process's log why it could not. Blocks."""

    def uses(self) -> dict[str, int]:
        """When each piece was last used (ms), as far as that was noted."""

    def note(self, uses: Mapping[str, int]) -> None:
        """Notes when pieces were used. Blocks."""

    def drop(self, names: Sequence[str]) -> None:
        """Drops pieces that nothing uses. Blocks."""


class Fetch(Protocol):
    """The way out."""

    async def get(self, url: str, *, limit: int, seconds: float, secret: Mapping[str, str] | None = None) -> Response:
        """An answer; raises OutboundError. `secret` are headers for that host alone, and over TLS alone."""

    async def post(self, url: str, body: bytes, *, content_type: str, limit: int, seconds: float) -> Response:
        """An answer to `body`; raises OutboundError."""


class Secrets(Protocol):
    """Headers that say who asks. Made for each request, so that nobody keeps them."""

    def __call__(self) -> Mapping[str, str]:
        """Name and value."""


class Clock(Protocol):
    """ms since 1970, or monotonic."""

    def __call__(self) -> int:
        """The present moment."""


class Chance(Protocol):
    """A number from 0 to below 1."""

    def __call__(self) -> float:
        """The next one."""
