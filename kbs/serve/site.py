"""A site on disk: the store and the root key in one directory, made once, opened by every start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attest.tlog.keys import SignerKey
from kbs.custody.authority import new_authority, new_signing_key
from kbs.custody.file import FileRoot
from kbs.custody.pseudonym import Pseudonyms
from kbs.custody.root import Root
from kbs.custody.vault import Vault
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import genesis
from kbs.log.log_note import LOG_KEYS
from kbs.log.sequence import LogSequencer
from kbs.model.effect import Effect, PutBrokerKey
from kbs.model.unit import Unit, Verdict
from kbs.serve.founders import Founder, Invitation, invite
from kbs.store.connect import create
from kbs.store.door import WriteDoor
from kbs.store.port import Clock, Faults, no_fault
from kbs.store.read import Reader

__all__ = [
    "CHALLENGE",
    "EAR",
    "LOG",
    "PEOPLE_CA",
    "PSEUDONYM",
    "SERVER_CA",
    "SERVER_CA_LIFE_MS",
    "Site",
    "initialise",
]

CHALLENGE, LOG, PSEUDONYM, EAR = "challenge", "log", "pseudonym", "ear"
SERVER_CA, PEOPLE_CA = "server-ca", "people-ca"
_YEAR_MS = 365 * 24 * 3_600_000
SERVER_CA_LIFE_MS, PEOPLE_CA_LIFE_MS = 20 * _YEAR_MS, _YEAR_MS  # the first is pinned inside measured images
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
    def log_keys(self) -> Path:
        """The note that lists the log's keys, signed by the offline key; served beside the log."""
        return self.log / LOG_KEYS

    @property
    def log_root(self) -> Path:
        """The public half of that offline key."""
        return self.directory / "log-root.pub"

    @property
    def recovery(self) -> Path:
        """The root key, wrapped for the offline recovery keys."""
        return self.directory / "recovery.json"

    @property
    def run(self) -> Path:
        """What serving processes leave for each other and for the web process."""
        return self.directory / "run"

    @property
    def log_origin(self) -> str:
        """The log's name: deployment and shard."""
        return f"{self.deployment}/audit/{_SHARD}"


async def initialise(
    site: Site,
    clock: Clock,
    *,
    simulated: bool,
    root: Root | None = None,
    founders: Sequence[Founder] = (),
    faults: Faults = no_fault,
) -> list[Invitation]:
    """Makes the store, the broker's own keys and the genesis entry, which also invites the founders.

    Makes a root key in a file unless one is given. Raises if anything is there.
    """
    site.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = root or FileRoot.create(site.root_key)
    sequencer = LogSequencer(site.log_origin)
    create(site.store, sequencer.empty())
    faults("init-empty-store")
    now = clock()
    reader, door = Reader(site.store), WriteDoor(site.store, sequencer, clock, faults)
    try:
        vault = Vault(root, reader)
        rows = _broker_keys(vault, site.deployment, now)
        seed = root.unwrap(f"broker/{LOG}/1", rows[LOG].wrapped)
        pseudonyms = Pseudonyms(root.unwrap(f"broker/{PSEUDONYM}/1", rows[PSEUDONYM].wrapped))
        invitations = [invite(founder, site.deployment, pseudonyms, now, os.urandom) for founder in founders]
        draft = genesis(
            entry_id=os.urandom(16).hex(),
            broker=Identity(id="init", measurement="", simulated=simulated),
            deployment=site.deployment,
            log_key=SignerKey.from_seed(site.log_origin, seed.reveal()).verifier_key,
        )
        effects: tuple[Effect, ...] = (*rows.values(), *(each.effect for each in invitations))
        blobs = tuple(each.document for each in invitations)
        await door.commit([Unit(verdict=Verdict(draft=draft, effects=effects, blobs=blobs))])
    finally:
        door.close()
        reader.close()
    return invitations


def _broker_keys(vault: Vault, deployment: str, now: int) -> dict[str, PutBrokerKey]:
    made = {
        CHALLENGE: None,
        LOG: None,
        PSEUDONYM: None,
        EAR: new_signing_key(),
        SERVER_CA: new_authority(f"Sealgate servers of {deployment}", now, SERVER_CA_LIFE_MS).secret,
        PEOPLE_CA: new_authority(f"Sealgate people of {deployment}", now, PEOPLE_CA_LIFE_MS).secret,
    }
    return {purpose: vault.new_broker_key(purpose, 1, now, secret) for purpose, secret in made.items()}
