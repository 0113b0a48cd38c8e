"""A small published log, made by the broker's own sequencer, signer and publisher; and the rogue who holds its key.

Its entries are of the kinds that a broker writes: genesis, broker.joined, changes, releases over one and two assets,
refusals, queries. `MadeLog.forge` publishes any leaves at all, correctly hashed and signed: what is wrong with them is
then genuinely signed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attest.tlog import proofs
from attest.tlog.entry import canonical, leaf, parse_leaf
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import leaf_hash, root_of
from attest.tlog.proof_file import ProofFile
from clients.trust import Trust
from kbs.log.bodies import Broker, KeyLine, ReleaseBody, change, genesis, joined
from kbs.log.calls import query
from kbs.log.publish import Publisher
from kbs.log.sequence import LogSequencer
from kbs.log.signer import CheckpointSigner
from kbs.model.log import ChainHead, Draft, LogHead

__all__ = ["DEPLOYMENT", "LeafReader", "MadeLog", "draft", "edit", "make_log", "resequence"]

DEPLOYMENT = "sealgate.test"
TENANT = "tenants/acme"
START = 1_790_000_000_000  # ms: September 2026
SEED = hashlib.sha256(b"the log key of a throwaway deployment").digest()
_ASSETS = tuple(f"{TENANT}/assets/model-{n}" for n in range(5))
_GOVERNANCE = "gov"


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


class LeafReader:
    """The committed log in memory: leaves in, head out."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves
        self._hashes = [leaf_hash(each) for each in leaves]

    def head(self) -> LogHead:
        return LogHead(size=len(self._leaves), root=root_of(self._hashes), frontier=b"", last_time=0)

    def entries(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        return [(n, self._leaves[n], self._hashes[n]) for n in range(start, end)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadeLog:
    """A log and where it is published."""

    directory: Path
    origin: str
    signer: CheckpointSigner
    leaves: tuple[bytes, ...]
    simulated: bool

    @property
    def trust(self) -> Trust:
        """What an auditor of this deployment believes."""
        return Trust(
            origin=DEPLOYMENT,
            broker_ca=b"none",
            log_keys=(VerifierKey.parse(self.signer.verifier_key),),
            tenant=TENANT,
            simulated=self.simulated,
        )

    def write_trust(self, path: Path) -> Path:
        """The same as a file."""
        keys = [self.signer.verifier_key]
        fields = {"broker_ca": "none", "log_keys": keys, "tenant": TENANT, "simulated": self.simulated}
        path.write_text(json.dumps({"v": "sealgate.trust/1", "origin": DEPLOYMENT, **fields}))
        return path

    def checkpoint(self, size: int | None = None) -> bytes:
        """The signed checkpoint of the first `size` entries, of all by default."""
        hashes = [leaf_hash(each) for each in self.leaves[:size]]
        return self.signer.checkpoint(len(hashes), root_of(hashes))

    def receipt(self, index: int, size: int | None = None, *, with_leaf: bool = True) -> bytes:
        """The receipt of entry `index` against the tree of `size`."""
        hashes = [leaf_hash(each) for each in self.leaves[:size]]
        return ProofFile(
            index=index,
            hashes=proofs.inclusion_proof(hashes, index),
            checkpoint=self.checkpoint(size),
            extra=self.leaves[index] if with_leaf else None,
        ).encode()

    def forge(self, directory: Path, leaves: Sequence[bytes]) -> MadeLog:
        """Whoever has the key: publishes these leaves, hashed and signed as they are."""
        Publisher(directory, LeafReader(leaves), self.signer).publish()
        return dataclasses.replace(self, directory=directory, leaves=tuple(leaves))


def make_log(
    directory: Path, size: int, *, simulated: bool = True, shard: int = 1, seed: bytes = SEED, stops: Sequence[int] = ()
) -> MadeLog:
    """A log of `size` mixed entries, published when it has each of `stops` entries and at the end."""
    origin = f"{DEPLOYMENT}/audit/{shard}"
    signer = CheckpointSigner(origin, seed)
    sequencer = LogSequencer(origin)
    head = sequencer.empty()
    leaves: list[bytes] = []
    chains: dict[str, ChainHead] = {}
    for end in sorted({*stops, *range(0, size, 37), size}):
        batch = sequencer.begin(head, START + end * 1_000)
        drafts = [draft(index, signer.verifier_key, simulated=simulated) for index in range(len(leaves), end)]
        leaves += [_place(batch, each, chains) for each in drafts]
        head = batch.close().head
        if leaves and (end == size or end in stops):
            Publisher(directory, LeafReader(leaves), signer).publish()
    return MadeLog(directory=directory, origin=origin, signer=signer, leaves=tuple(leaves), simulated=simulated)


def _place(batch: Any, made: Draft, chains: dict[str, ChainHead]) -> bytes:
    governance = chains.get(_GOVERNANCE) if made.governance else None
    placed = batch.place(made, [(asset, chains.get(asset)) for asset in made.assets], governance)
    for chain in (*made.assets, *([_GOVERNANCE] if made.governance else [])):
        before = chains.get(chain)
        chains[chain] = ChainHead(index=placed.index, seq=before.seq + 1 if before else 1)
    return bytes(placed.leaf)


def draft(index: int, log_key: str, *, simulated: bool) -> Draft:
    """The entry that stands at `index`, without its place."""
    broker = Broker(id="broker-1", measurement="", simulated=simulated)
    entry_id = _digest("id", index)[:16].hex()
    if index == 0:
        return genesis(entry_id=entry_id, broker=broker, deployment=DEPLOYMENT, log_key=log_key)
    if index == 1:
        return joined(
            entry_id=entry_id, broker=broker, policy=_digest("p"), engine=_digest("e"), collateral=_digest("c")
        )
    if index <= 1 + len(_ASSETS) or index % 41 == 0:
        asset = _ASSETS[index % len(_ASSETS)]
        new = index <= 1 + len(_ASSETS)
        return change(
            entry_type="asset.created" if new else "asset.changed",
            entry_id=entry_id,
            tenant=TENANT,
            actor=("person", "person-abc"),
            broker=broker,
            name=asset,
            old=b"" if new else _digest("old", index),
            new=_digest("new", index),
            assets=(asset,),
        )
    if index % 29 == 0:
        return query(entry_id=entry_id, tenant=TENANT, actor="person-abc", broker=broker, scope=_digest("s", index))
    return _release(index, entry_id, broker)


def _release(index: int, entry_id: str, broker: Broker) -> Draft:
    refused = index % 7 == 0
    assets = tuple(sorted({_ASSETS[index % 5], _ASSETS[index % 3]}))
    lines = [KeyLine(asset=a, version=None if refused else 1, wrapped=None if refused else _digest(a)) for a in assets]
    if refused:
        lines.append(KeyLine(asset="unknown-abcdef", version=None, wrapped=None))
    digests = ("bound", "transcript", "request", "evidence", "collateral", "policy", "references", "decision", "engine")
    return ReleaseBody(
        type="release.refused" if refused else "release.granted",
        id=entry_id,
        tenant=TENANT,
        node=f"node-{index % 11}",
        broker=broker,
        governance=1,
        action="release",
        purpose="training",
        suite=1,
        keys=lines,
        lease=None if refused else (f"lease-{index}", START, START + 3_600_000),
        platform="snp",
        product="Genoa",
        measurement=_digest("m") + _digest("m")[:16],
        tcb={"bl": 10, "tee": 0, "snp": 23, "ucode": 84},
        devices=(),
        now=START + index * 1_000,
        reason="MEASUREMENT_UNKNOWN" if refused else "ALLOWED",
        reasons=["MEASUREMENT_UNKNOWN" if refused else "ALLOWED"],
        account=[("node", 3_600, 1, 100)],
        **{name: _digest(name, index) for name in digests},
    ).draft(assets)


def edit(raw: bytes, body: Callable[[dict[str, Any]], dict[str, Any]] | None = None, **header: object) -> bytes:
    """A leaf with another body or other header fields, canonical again."""
    parsed = parse_leaf(raw)
    changed = dict(parsed.body) if body is None else body(dict(parsed.body))
    return leaf(canonical(changed), dataclasses.replace(parsed.header, **header))  # type: ignore[arg-type]


def resequence(leaves: Sequence[bytes]) -> list[bytes]:
    """The same bodies at the same times, placed anew from index 0: what a thief of the key does after a change."""
    parsed = [parse_leaf(raw) for raw in leaves]
    sequencer = LogSequencer(parsed[0].header.log)
    chains: dict[str, ChainHead] = {}
    batch = sequencer.begin(sequencer.empty(), 0)
    placed = []
    for each in parsed:
        assets = tuple(link.asset for link in each.header.chains)
        made = Draft(body=canonical(dict(each.body)), assets=assets, governance=each.header.gs is not None)
        placed.append(edit(_place(batch, made, chains), t=each.header.t))
    return placed
