"""TCB_VERSION: where each product keeps which component, and how two of them compare.

Source: AMD publication 56860, structure TCB_VERSION, and AMD publication 57230 ("VCEK certificate and KDS interface").
Comparison is component by component: as one integer the microcode would outweigh everything else. There are four:
REPORTED derives the endorsement key, COMMITTED is the floor that the host cannot roll back, CURRENT is running, and
LAUNCH was running when the guest was launched or imported; REPORTED <= COMMITTED <= CURRENT holds on genuine platforms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attest.errors import Malformed
from attest.snp.claims import Tcb

__all__ = ["LAYOUT", "SIZE", "Layout", "decode", "encode", "product_of", "shortfalls", "shown"]

SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which byte of TCB_VERSION is which component; all other bytes are reserved. `hwid` is the size of a HWID."""

    positions: tuple[tuple[int, str], ...]
    hwid: int
    min_version: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the components, in order."""
        return tuple(name for _, name in self.positions)


_MILAN = Layout(
    positions=((0, "bl"), (1, "tee"), (6, "snp"), (7, "ucode")),
    hwid=64,
    min_version=2,
)
_TURIN = Layout(
    positions=((0, "fmc"), (1, "bl"), (2, "tee"), (3, "snp"), (7, "ucode")),
    hwid=8,
    min_version=3,
)

LAYOUT: Mapping[str, Layout] = {"Milan": _MILAN, "Genoa": _MILAN, "Turin": _TURIN}

# CPUID family: ranges of models, with AMD's name for the product in the KDS. 0xA0-0xAF are Bergamo and Siena.
_FAMILIES: Mapping[int, tuple[tuple[range, str], ...]] = {
    0x19: ((range(0x10), "Milan"), (range(0x10, 0x20), "Genoa"), (range(0xA0, 0xB0), "Genoa")),
    0x1A: ((range(0x12), "Turin"),),
}


def product_of(family: int, model: int) -> str:
    """The product with this CPUID; raises Malformed PRODUCT_UNKNOWN."""
    for models, product in _FAMILIES.get(family, ()):
        if model in models:
            return product
    raise Malformed(
        "PRODUCT_UNKNOWN", "report.cpuid", expected=", ".join(LAYOUT), got=f"family {family:#x}, model {model:#x}"
    )


def decode(product: str, raw: bytes, *, path: str) -> Tcb:
    """The components of 8 bytes; raises Malformed SNP_RESERVED if a byte that is none of them is not zero."""
    layout = LAYOUT[product]
    parts = tuple([(name, raw[position]) for position, name in layout.positions])
    if len(raw) != SIZE or sum(raw) != sum([value for _, value in parts]):
        raise Malformed("SNP_RESERVED", path, expected=f"{product}: {', '.join(layout.names)}, else zero", got=raw)
    return Tcb(raw=raw, parts=parts)


def encode(product: str, components: Mapping[str, int]) -> bytes:
    """The 8 bytes with these components, each below 256."""
    raw = bytearray(SIZE)
    for position, name in LAYOUT[product].positions:
        raw[position] = components[name]
    return bytes(raw)


def shown(product: str, raw: bytes) -> str:
    """The components as text, for people, with the bytes they stand in."""
    parts = ", ".join(f"{name} {raw[position]}" for position, name in LAYOUT[product].positions)
    return f"{parts} ({raw.hex()})"


def shortfalls(tcb: Tcb, minimum: Mapping[str, int]) -> tuple[str, ...]:
    """The names of the components that are below `minimum`, or that `tcb` does not have; empty is good enough."""
    found = dict(tcb.parts)
    return tuple(name for name, least in minimum.items() if found.get(name, -1) < least)
