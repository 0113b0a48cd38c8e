"""V5 and V6: what entries say about each other. Time, genesis, and the chains of assets and of governance.

One head per asset is held, so memory grows with the number of assets and not with the number of entries.
"""

from __future__ import annotations

from collections.abc import Mapping

from attest.errors import AttestError, NotLogged
from attest.tlog.entry import Leaf
from attest.tlog.shape import View
from clients.auditor.report import Findings

__all__ = ["History", "governs"]

_GENESIS = "log.genesis"
_GOVERNING = frozenset({_GENESIS, "log.incident", "broker.joined", "broker-key.added", "root.rotated"})
# May name what is no asset, under a pseudonym and without a chain.
_OPEN_NAMES = frozenset({"release.refused", "lease.refused"})
_ASSET_PREFIX = "tenants/"

_Place = tuple[int, int]  # index and running number


class History:
    """Follows the entries in order; what does not hold goes to `findings`.

    `deployment` and `log_keys` are what genesis must name: the trust file's origin, and its keys of this log.
    """

    def __init__(self, deployment: str, log_keys: frozenset[str], findings: Findings) -> None:
        self._deployment = deployment
        self._log_keys = log_keys
        self._findings = findings
        self._time = 0
        self._governance: _Place | None = None
        self._assets: dict[str, _Place] = {}

    @property
    def assets(self) -> int:
        """How many chains of assets there are."""
        return len(self._assets)

    def follow(self, index: int, leaf: Leaf) -> None:
        """The entry at `index`. A broken link counts once: the chain goes on from what the entry claims."""
        header, kind = leaf.header, leaf.body.get("type")
        if header.t < self._time:
            self._wrong("V5", "TIME_ORDER", "h.t", f"at least {self._time}", header.t, index)
        self._time = header.t
        if index == 0 or kind == _GENESIS:
            self._check_genesis(index, kind, leaf.body)
        if header.gs is not None:
            self._link("GOVERNANCE_CHAIN", "h.gp, h.gs", self._governance, header.gp, header.gs, index)
            self._governance = (index, header.gs)
        elif governs(kind):
            self._wrong("V6", "GOVERNANCE_CHAIN", "h.gs", "a link of the governance chain", "none", index)
        self._follow_assets(index, leaf, kind)

    def _check_genesis(self, index: int, kind: object, body: Mapping[str, object]) -> None:
        if (kind == _GENESIS) != (index == 0):
            expected = _GENESIS if index == 0 else f"{_GENESIS} at index 0 only"
            self._wrong("V6", "GENESIS_PLACE", "b.type", expected, kind, index)
            return
        log_key = body.get("log_key")
        if not isinstance(log_key, str) or log_key not in self._log_keys:
            self._wrong("V6", "GENESIS_KEY", "b.log_key", ", ".join(sorted(self._log_keys)), log_key, index)
        if body.get("deployment") != self._deployment:
            self._wrong("V6", "GENESIS_DEPLOYMENT", "b.deployment", self._deployment, body.get("deployment"), index)

    def _follow_assets(self, index: int, leaf: Leaf, kind: object) -> None:
        heads = self._assets
        for link in leaf.header.chains:
            asset = link.asset
            self._link("ASSET_CHAIN", f"h.chains {asset}", heads.get(asset), link.prev, link.seq, index)
            heads[asset] = (index, link.seq)
        for asset in _named(leaf.body, kind):
            if (head := heads.get(asset)) is None or head[0] != index:
                self._wrong("V6", "ASSET_CHAIN", f"h.chains {asset}", "a link, as b.keys names it", "none", index)

    def _link(self, check: str, path: str, head: _Place | None, prev: int | None, seq: int, index: int) -> None:
        before, number = (None, 1) if head is None else (head[0], head[1] + 1)
        if prev != before or seq != number:
            self._wrong("V6", check, path, _describe(before, number), _describe(prev, seq), index)

    def _wrong(self, level: str, check: str, path: str, expected: object, got: object, index: int) -> None:
        error: AttestError = NotLogged(check, path, expected=expected, got=got)
        self._findings.add(level, error, index)


def governs(kind: object) -> bool:
    """Whether entries of this type belong to the governance chain, whatever else may."""
    return isinstance(kind, str) and (kind in _GOVERNING or kind.endswith((".created", ".changed", ".deleted")))


def _named(body: Mapping[str, object], kind: object) -> list[str]:
    """The assets that a release names, each of which must find this entry in its chain."""
    keys = body.get("keys")
    names = [line.get("asset") for line in keys if isinstance(line, (dict, View))] if isinstance(keys, list) else []
    refused = isinstance(kind, str) and kind in _OPEN_NAMES
    return [name for name in names if isinstance(name, str) and (not refused or name.startswith(_ASSET_PREFIX))]


def _describe(prev: int | None, seq: int) -> str:
    return f"number {seq}, the first" if prev is None else f"number {seq} after entry {prev}"
