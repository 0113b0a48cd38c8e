"""A site on disk: the store and the root key in one directory, made once, opened by every start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from attest.tlog.keys import SignerKey
from kbs.custody.file import FileRoot
from kbs.custody.vault import Vault
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import genesis
from kbs.log.sequence import LogSequencer
from kbs.model.unit import Unit, Verdict
from kbs.store.connect import create
from kbs.store.door import WriteDoor
from kbs.store.port import Clock
from kbs.store.read import Reader

__all__ = ["Site", "initialise"]

CHALLENGE, LOG, PSEUDONYM = "challenge", "log", "pseudonym"
_SHARD = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a deployment's state lies, and the constant name that it is bound to."""

    directory: Path
    deployment: str

    @property
    def store(self) -> Path:
        """The database."""
        return self.directory / "store.db"

    @property
    def root_key(self) -> Path:
        """The root key's file."""
        return self.directory / "root.key"

    @property
    def log(self) -> Path:
        """Where the log is published."""
        return self.directory / "log"

    @property
    def log_origin(self) -> str:
        """The log's name: deployment and shard."""
        return f"{self.deployment}/audit/{_SHARD}"


async def initialise(site: Site, clock: Clock, *, simulated: bool) -> None:
    """Makes the root key, the store, the broker's own keys and the genesis entry. Raises if anything is there."""
    site.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = FileRoot.create(site.root_key)
    sequencer = LogSequencer(site.log_origin)
    create(site.store, sequencer.empty())
    reader, door = Reader(site.store), WriteDoor(site.store, sequencer, clock)
    try:
        vault = Vault(root, reader)
        rows = [vault.new_broker_key(purpose, 1, 0) for purpose in (CHALLENGE, LOG, PSEUDONYM)]
        seed = root.unwrap(f"broker/{LOG}/1", rows[1].wrapped)
        draft = genesis(
            entry_id=os.urandom(16).hex(),
            broker=Identity(id="init", measurement="", simulated=simulated),
            deployment=site.deployment,
            log_key=SignerKey.from_seed(site.log_origin, seed.reveal()).verifier_key,
        )
        await door.commit([Unit(verdict=Verdict(draft=draft, effects=tuple(rows)))])
    finally:
        door.close()
        reader.close()
