"""What the service asks of whoever publishes collateral: of the vendor of a CPU, and of that of devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from attest.gpu.prove import ProvenDevice
from kbs.collateral.errors import CollateralError
from kbs.collateral.library import Order
from kbs.model.collateral import Coming, Piece

__all__ = ["DeviceVendor", "Publisher", "Vendor"]


class Publisher(Protocol):
    """What one vendor publishes. `curable` are the failures that more of it may cure."""

    @property
    def curable(self) -> frozenset[str]:
        """Names of checks."""

    @property
    def renewed(self) -> tuple[str, ...]:
        """How the names of pieces begin that the vendor issues anew."""

    @property
    def announced(self) -> str:
        """How the names of pieces begin that only say what is to come; empty if there are none."""

    def check(self, name: str, data: bytes, now: int) -> int | None:
        """The end of a piece's validity, if it is what its name says; None for another's name; raises AttestError."""

    def beside(self, name: str) -> tuple[str, ...]:
        """Names of pieces that are kept beside the piece of that name, to know what is to come."""

    def order_of(self, name: str, now: int) -> Order | None:
        """How the piece of that name is renewed; None if it is another's or is never issued anew."""


class Vendor(Publisher, Protocol):
    """The vendor of a CPU: what it publishes about evidence of one kind."""

    def at_hand(self, evidence: Any, now: int) -> list[Piece]:
        """Whatever there is without a fetch; raises AttestError for what is no evidence."""

    async def gather(self, evidence: Any, *, report_data: bytes, now: int) -> list[Piece]:
        """All that is needed; raises AttestError and CollateralError."""

    def foretell(self, evidence: Any, now: int) -> tuple[list[Piece], Coming] | None:
        """As `at_hand`, with what is announced in the place of what it will replace, and what that is."""

    def proved(self, evidence: Any) -> None:
        """Evidence was verified with what was fetched for it."""


class DeviceVendor(Publisher, Protocol):
    """The vendor of devices: what it publishes about those of one node, together."""

    def at_hand(self, devices: Sequence[ProvenDevice], now: int) -> list[Piece]:
        """Whatever there is without a fetch."""

    async def gather(self, devices: Sequence[ProvenDevice], now: int) -> tuple[list[Piece], CollateralError | None]:
        """All that can be had, and why the first that could not be had was not."""
