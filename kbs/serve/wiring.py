"""Hands every room its neighbours. Anchors, clocks, randomness, faults are arguments; there is no switch."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

from attest.anchors import Anchors
from kbs.catalog.current import CurrentCatalogue
from kbs.custody.file import FileRoot
from kbs.custody.pseudonym import Pseudonyms
from kbs.custody.root import Root
from kbs.custody.vault import Vault
from kbs.guard.flood import FloodMeter
from kbs.guard.queries import QueryMeter
from kbs.guard.refusals import RefusalMeter
from kbs.guard.repeats import RepeatMeter
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import joined
from kbs.log.log_note import LogNote
from kbs.log.publish import Publisher
from kbs.log.receipts import Receipts
from kbs.log.sequence import LogSequencer
from kbs.log.signer import CheckpointSigner
from kbs.model.unit import Unit, Verdict
from kbs.policy.bundle import Bundle, default_bundle
from kbs.policy.cedar import CedarEngine
from kbs.release.port import Broker, Clock, Collaterals, Digests, Random
from kbs.serve.build import engine_document
from kbs.serve.check import ensure_sound
from kbs.serve.keyring import Keyring
from kbs.serve.lock import alone
from kbs.serve.site import LOG, PSEUDONYM, Site
from kbs.store.door import WriteDoor
from kbs.store.leases import Leases
from kbs.store.port import Faults, no_fault
from kbs.store.read import Reader

__all__ = ["Running", "monotonic", "open_site", "wall_clock"]


def wall_clock() -> int:
    """ms since 1970: the process's clock, read here and nowhere deeper."""
    return time.time_ns() // 1_000_000


def monotonic() -> int:
    """ms of a clock that never goes back."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A broker with the parts that are served or closed beside it."""

    broker: Broker
    reader: Reader
    door: WriteDoor
    vault: Vault
    publisher: Publisher
    publish: Callable[[], int]
    leases: Leases
    receipts: Receipts
    joined: Unit
    recheck: Callable[[], object]
    keyring: Keyring


@contextmanager
def open_site(
    site: Site,
    collateral: Collaterals,
    anchors: Anchors,
    *,
    root: Root | None = None,
    bundle: Bundle | None = None,
    clock: Clock = wall_clock,
    monotonic: Clock = monotonic,
    random: Random = os.urandom,
    faults: Faults = no_fault,
    repeats: RepeatMeter | None = None,
) -> Iterator[Running]:
    """Opens a site's store and keys and wires a broker over them; closes them at the end.

    The root key is that in the site's file unless it is given.

    `joined` is the entry with which the process says that it serves; commit it before serving. Raises LogFrozen if the
    log is frozen, or is not what was published: then nothing is served. `recheck` looks again.
    """
    with ExitStack() as held:
        reader, follower = (held.enter_context(closing(Reader(site.store))) for _ in range(2))
        vault = Vault(root or FileRoot(site.root_key), reader)
        signer = CheckpointSigner(site.log_origin, vault.broker_keys(LOG)[-1][1].reveal())
        sound = partial(ensure_sound, site.store, site.log, clock, log_key=signer.verifier_key)
        door = WriteDoor(site.store, LogSequencer(site.log_origin), clock, faults, seen=sound())
        held.callback(door.close)
        publisher = Publisher(site.log, follower, signer, faults)
        policy = bundle or default_bundle()
        keyring = Keyring(vault, clock, site.deployment)
        broker, joins = _wire(
            site, collateral, anchors, policy, vault, keyring, signer, reader, door, clock, monotonic, random, faults,
            repeats or RepeatMeter(),
        )  # fmt: skip
        yield Running(
            broker=broker,
            reader=reader,
            door=door,
            vault=vault,
            publisher=publisher,
            publish=partial(_publish, site, publisher),
            leases=Leases(reader),
            receipts=Receipts(site.log, reader, signer),
            joined=joins,
            recheck=sound,
            keyring=keyring,
        )


def _publish(site: Site, publisher: Publisher) -> int:
    """One process at a time: they write the same files."""
    with alone(site.directory, "publishing.lock", wait=True):
        return publisher.publish()


def _wire(
    site: Site,
    collateral: Collaterals,
    anchors: Anchors,
    bundle: Bundle,
    vault: Vault,
    keyring: Keyring,
    signer: CheckpointSigner,
    reader: Reader,
    door: WriteDoor,
    clock: Clock,
    monotonic: Clock,
    random: Random,
    faults: Faults,
    repeats: RepeatMeter,
) -> tuple[Broker, Unit]:
    identity = Identity(id=f"broker-{random(8).hex()}", measurement="", simulated=anchors.simulated)
    policy, engine, ready = bundle.document(), engine_document(), collateral.ready()
    digests = Digests(policy=hashlib.sha256(policy).digest(), engine=hashlib.sha256(engine).digest())
    broker = Broker(
        deployment=site.deployment,
        identity=identity,
        anchors=anchors,
        challenges=keyring.challenges,
        collateral=collateral,
        catalogue=CurrentCatalogue(reader),
        engines=(CedarEngine(bundle),),
        vault=vault,
        pseudonyms=Pseudonyms(vault.broker_keys(PSEUDONYM)[-1][1]),
        store=door,
        used=reader,
        leases=Leases(reader),
        results=keyring.results,
        signer=signer,
        log_note=LogNote(site.log_keys),
        digests=digests,
        floods=FloodMeter(clock()),
        repeats=repeats,
        refusals=RefusalMeter(),
        queries=QueryMeter(),
        clock=clock,
        monotonic=monotonic,
        random=random,
        faults=faults,
    )
    draft = joined(
        entry_id=random(16).hex(),
        broker=identity,
        policy=digests.policy,
        engine=digests.engine,
        collateral=ready.digest,
    )
    return broker, Unit(verdict=Verdict(draft=draft, blobs=(policy, engine, *ready.blobs)))
