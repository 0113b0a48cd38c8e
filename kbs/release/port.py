"""The rooms that a release goes through, as it sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from attest.anchors import Anchors
from attest.errors import AttestError
from attest.evidence import HardwareEvidence
from attest.gpu.prove import ProvenDevice
from attest.verify import Kept
from kbs.custody.pseudonym import Pseudonyms
from kbs.custody.results import ResultSigner
from kbs.custody.vault import Vault
from kbs.guard.flood import FloodMeter
from kbs.guard.queries import QueryMeter
from kbs.guard.refusals import RefusalMeter
from kbs.guard.repeats import RepeatMeter
from kbs.log.bodies import Broker as BrokerIdentity
from kbs.log.log_note import LogNote
from kbs.log.signer import CheckpointSigner
from kbs.model.asset import Snapshot
from kbs.model.collateral import Foretold, Gathered, Used
from kbs.model.decision import EngineAnswer, Question
from kbs.model.faults import Faults
from kbs.model.lease import Elsewhere, LeaseRecord, Machine
from kbs.model.refusal import Unavailable
from kbs.model.unit import Outcome, Stored, Unit
from kbs.release.challenge import Challenges

__all__ = [
    "Broker",
    "Catalogue",
    "Clock",
    "Collaterals",
    "Digests",
    "Engine",
    "Faults",
    "LeaseReader",
    "Random",
    "Store",
    "UsedChallenges",
]


class Store(Protocol):
    """The write door."""

    async def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        """Writes each unit on its own merits; raises StoreUnavailable."""


class UsedChallenges(Protocol):
    """What used challenges left behind, and the present revision."""

    def used_challenge(self, digest: bytes) -> Stored | None:
        """The stored reply, or None."""

    def revision(self) -> tuple[int, int]:
        """(revision, governance)."""


class Catalogue(Protocol):
    """The state that is decided under."""

    def current(self) -> Snapshot:
        """The catalogue at its present revision."""


class Collaterals(Protocol):
    """What is needed to judge a platform besides its evidence."""

    def ready(self) -> Used:
        """What lay ready when the broker started."""

    def at_hand(self, evidence: HardwareEvidence, now: int) -> Gathered:
        """What there is without a fetch, with what was verified of it before."""

    def foretell(self, evidence: HardwareEvidence, now: int) -> Foretold | None:
        """What it will be judged by when an announced change is the standard. For forecasts: nothing rests on it."""

    async def gather(
        self, evidence: HardwareEvidence, failure: AttestError, *, report_data: bytes, now: int
    ) -> Gathered | None:
        """What verification missed, fetched; None if `failure` is nothing that collateral could cure.

        Raises AttestError for evidence that fails a check that needs no collateral, and Unavailable.
        """

    def curable(self, evidence: HardwareEvidence, failure: AttestError) -> bool:
        """Whether collateral could cure what verification of the CPU's evidence failed with."""

    def at_hand_for_devices(self, gathered: Gathered, devices: Sequence[ProvenDevice], now: int) -> Gathered:
        """`gathered`, with what there is about a node's devices without a fetch."""

    def curable_for_devices(self, failure: AttestError | None) -> bool:
        """Whether collateral could cure what judging devices failed with; None is a manifest that is missing."""

    async def gather_for_devices(
        self, gathered: Gathered, devices: Sequence[ProvenDevice], now: int
    ) -> tuple[Gathered, Unavailable | None]:
        """As above, fetched where it is missing; and what to say if something that could not be had is needed."""

    def keep(self, evidence: HardwareEvidence, gathered: Gathered, kept: Kept) -> Used:
        """Remembers what was verified with what, and says what that rested on."""

    def stored(self, used: Used) -> None:
        """What was used is in the store for good."""


class LeaseReader(Protocol):
    """Leases as they stand."""

    def lease(self, lease_id: str) -> LeaseRecord | None:
        """The record, or None."""

    def held(self, tenant: str, node: str, names: Sequence[str], now: int) -> frozenset[str]:
        """Those of the assets that a node holds under leases that are active."""

    def elsewhere(self, machine: Machine, now: int) -> Sequence[Elsewhere]:
        """The devices of a machine that are under live leases of others, each with one such lease."""


class Engine(Protocol):
    """A policy engine."""

    async def answer(self, question: Question) -> EngineAnswer:
        """One explicit answer."""


class Clock(Protocol):
    """Time in ms; since 1970, or monotonic."""

    def __call__(self) -> int:
        """The present moment."""


class Random(Protocol):
    """Random bytes."""

    def __call__(self, size: int, /) -> bytes:
        """`size` bytes nobody could guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """SHA-256 of what does not change from release to release; their preimages were stored at the start."""

    policy: bytes
    engine: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Everything that a release needs, handed over by kbs/serve."""

    deployment: str
    identity: BrokerIdentity
    anchors: Anchors
    challenges: Challenges
    collateral: Collaterals
    catalogue: Catalogue
    engines: Sequence[Engine]
    vault: Vault
    pseudonyms: Pseudonyms
    store: Store
    used: UsedChallenges
    leases: LeaseReader
    results: ResultSigner
    signer: CheckpointSigner
    log_note: LogNote
    digests: Digests
    floods: FloodMeter
    repeats: RepeatMeter
    refusals: RefusalMeter
    queries: QueryMeter
    clock: Clock
    monotonic: Clock
    random: Random
    faults: Faults
