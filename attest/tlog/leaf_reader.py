"""Leaves by the million: what `parse_leaf` says of each, at a third of the cost for those that are like others.

That a header has the right keys, with a number or a string where one belongs, is true of a shape or not, so it is
checked once for each shape, by `parse_leaf` itself; what the numbers and strings say is checked in every entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attest.errors import Malformed
from attest.tlog.entry import ChainLink, Header, Leaf, parse_leaf
from attest.tlog.shape import Place, Shapes, Values, View

__all__ = ["LeafReader"]

_At = int | None  # None: null stands there


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the fields of a header stand among the values of a shape, and the places of the body."""

    i: int
    t: int
    log: int
    v: int
    gp: _At
    gs: _At
    w: _At
    chains: tuple[tuple[int, _At, int], ...]
    body: Mapping[str, Place]

    def leaf(self, values: Values) -> Leaf:
        """Raises Malformed, though not always what `parse_leaf` names first."""
        i, t, log, v = values.group(self.i, self.t, self.log, self.v)
        header = Header(
            i=int(i),
            t=int(t),
            log=log,
            chains=tuple(
                [
                    ChainLink(
                        asset=values[asset], prev=None if prev is None else int(values[prev]), seq=int(values[seq])
                    )
                    for asset, prev, seq in self.chains
                ]
            ),
            gp=None if self.gp is None else int(values[self.gp]),
            gs=None if self.gs is None else int(values[self.gs]),
            w=None if self.w is None else values[self.w],
            v=v,
        )
        return Leaf(header=header, body=View(self.body, values))


class LeafReader:
    """Reads leaves one after the other, and remembers their shapes; nothing else of what it read."""

    def __init__(self) -> None:
        self._shapes: Shapes[_Plan] = Shapes(_plan)

    def parse(self, raw: bytes) -> Leaf:
        """As `parse_leaf(raw)`, errors included; the body may be a view that is equal to the dict."""
        if (found := self._shapes.find(raw)) is not None:
            try:
                return found[0].leaf(found[1])
            except Malformed:  # which of several comes first is for `parse_leaf` to say
                pass
        leaf = parse_leaf(raw)
        self._shapes.learn(raw)
        return leaf


def _plan(places: Any) -> _Plan:
    """The plan of a shape of which `parse_leaf` has accepted a leaf: keys and types are right."""
    header = places["h"]
    return _Plan(
        **{key: header[key] for key in ("i", "t", "log", "v", "gp", "gs", "w")},
        chains=tuple((link["asset"], link["prev"], link["seq"]) for link in header["chains"]),
        body=places["b"],
    )
