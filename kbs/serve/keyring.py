"""The broker's own keys in force: loaded when a process starts, looked at again now and then, renewed when due.

A new challenge secret is accepted by every process 120 s before any issues with it, the old one 125 s longer: it is
written with its `not_before` in the future, and every process looks more often than that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from kbs.custody.authority import Authority, new_authority, new_signing_key
from kbs.custody.results import ResultSigner
from kbs.custody.secret import Secret
from kbs.custody.vault import Vault
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import change
from kbs.model.unit import Unit, Verdict
from kbs.release.challenge import Challenges
from kbs.serve.server_ca import in_force
from kbs.serve.site import CHALLENGE, EAR, PEOPLE_CA, PEOPLE_CA_LIFE_MS, SERVER_CA
from kbs.store.port import Clock

__all__ = ["LOOK_EVERY_S", "ROTATIONS", "Keyring", "Rotation"]

LOOK_EVERY_S = 20.0
_DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A key is replaced when it is `period` old; its successor begins `lead` after it was written. All in ms."""

    period: int
    lead: int


# The lead leaves every process several looks before anybody uses the key. People's certificates live a day at most, so
# that a CA that is no longer issued from has 30 days left for the last of them.
ROTATIONS: Mapping[str, Rotation] = {
    CHALLENGE: Rotation(period=_DAY_MS, lead=180_000),
    EAR: Rotation(period=30 * _DAY_MS, lead=3_600_000),
    PEOPLE_CA: Rotation(period=PEOPLE_CA_LIFE_MS - 30 * _DAY_MS, lead=3_600_000),
}


class Keyring:
    """Keys by purpose, newest last. Not shared between threads."""

    def __init__(self, vault: Vault, clock: Clock, deployment: str) -> None:
        self._vault = vault
        self._clock = clock
        self._deployment = deployment
        self.challenges = Challenges(vault.broker_keys(CHALLENGE, newest=3))
        self.results = ResultSigner(vault.broker_keys(EAR, newest=2))
        self._authorities: list[tuple[int, Authority]] = []
        self._servers: list[tuple[int, Authority]] = []
        self.look()

    def look(self) -> None:
        """Reads what is stored; raises StoreUnavailable, WrapInvalid, and then all is as it was."""
        challenges = self._vault.broker_keys(CHALLENGE, newest=3)
        people = [(since, Authority.of(secret)) for since, secret in self._vault.broker_keys(PEOPLE_CA, newest=2)]
        servers = [(since, Authority.of(secret)) for since, secret in self._vault.broker_keys(SERVER_CA, newest=2)]
        results = self._vault.broker_keys(EAR, newest=2)
        self.challenges.renew(challenges)
        self.results.renew(results)
        self._authorities, self._servers = people, servers

    def issuer(self) -> Authority:
        """The CA that people's certificates are issued from now."""
        return in_force(self._authorities, self._clock())

    @property
    def people_ca(self) -> bytes:
        """PEM of every CA whose certificates are accepted."""
        return b"".join(ca.pem for _, ca in self._authorities)

    @property
    def server_ca(self) -> Authority:
        """The CA that server certificates are issued from now."""
        return in_force(self._servers, self._clock())

    def due(self, rows: Mapping[str, tuple[int, int]], broker: Identity) -> list[Unit]:
        """A unit for each key that is due to be replaced. `rows` is (serial, not_before) of each purpose's newest.

        Several processes may find this at once: a serial is written once, the others' units fail and change nothing.
        """
        now = self._clock()
        return [
            self._successor(purpose, serial, now, rotation, broker)
            for purpose, rotation in ROTATIONS.items()
            for serial, since in [rows[purpose]]
            if now - since >= rotation.period
        ]

    def _successor(self, purpose: str, serial: int, now: int, rotation: Rotation, broker: Identity) -> Unit:
        start = now + rotation.lead
        row = self._vault.new_broker_key(purpose, serial + 1, start, self._secret(purpose, now))
        draft = change(
            entry_type="broker-key.added",
            entry_id=os.urandom(16).hex(),
            tenant="",
            actor=("broker", broker.id),
            broker=broker,
            name=f"brokerKeys/{purpose}-{serial + 1}",
            old=b"",
            new=b"",
        )
        return Unit(verdict=Verdict(draft=draft, effects=(row,)))

    def _secret(self, purpose: str, now: int) -> Secret | None:
        if purpose == PEOPLE_CA:
            return new_authority(f"Sealgate people of {self._deployment}", now, PEOPLE_CA_LIFE_MS).secret
        return new_signing_key() if purpose == EAR else None
