"""What the log and the store say to each other: entries before and after they have a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ChainHead", "Closed", "Draft", "LogHead", "Place", "Placed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry without its place: canonical body bytes, the assets whose chains it continues, governance or not."""

    body: bytes
    assets: tuple[str, ...] = ()
    governance: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """Index and running number of the newest entry of one chain."""

    index: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """The one row that a log's next entry needs: size, encoded frontier, time of the last entry in ms since 1970."""

    size: int
    root: bytes
    frontier: bytes
    last_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An entry that has its index and its exact bytes."""

    index: int
    leaf: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A batch after its last entry: the new head and, for each entry in order, its inclusion proof in that tree."""

    head: LogHead
    proofs: Sequence[tuple[bytes, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a committed entry stands, with all that its receipt needs; the checkpoint can be signed again from it."""

    index: int
    leaf: bytes
    proof: tuple[bytes, ...]
    size: int
    root: bytes
    time: int
