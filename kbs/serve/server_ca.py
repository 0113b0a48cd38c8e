"""The CA of the broker's servers, and its successor: announced in trust files long before anything is issued from it.

The CA lies in the trust files of measured images, which nobody exchanges in a moment. So a successor is written with
the date from when on it issues; trust files that are written from then on list both, and every process changes over by
itself on that day. Who still has a trust file without the successor then cannot connect any more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from kbs.custody.authority import Authority, new_authority
from kbs.custody.root import HeldRoot, RootUnusable
from kbs.custody.vault import Vault
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import change
from kbs.log.sequence import LogSequencer
from kbs.model.unit import Committed, Unit, Verdict
from kbs.serve.check import ensure_sound
from kbs.serve.lock import alone
from kbs.serve.site import SERVER_CA, SERVER_CA_LIFE_MS, Site
from kbs.store.door import WriteDoor
from kbs.store.port import Clock
from kbs.store.read import Reader

__all__ = ["LEAST_NOTICE_MS", "ServerCa", "in_force", "rotate_server_ca", "server_cas", "trusted"]

LEAST_NOTICE_MS = 10 * 60_000  # every process looks at its keys several times meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCa:
    """One of them: its number, from when on it issues (ms since 1970), and whether that is past, now or to come."""

    serial: int
    since: int
    authority: Authority
    state: str


def server_cas(vault: Vault, now: int) -> list[ServerCa]:
    """All that there ever were, oldest first: `past`, one `in force`, and at most one `next`."""
    keys = [(since, Authority.of(secret)) for since, secret in vault.broker_keys(SERVER_CA)]
    current = in_force(keys, now)
    states = ["in force" if authority is current else "next" if since > now else "past" for since, authority in keys]
    return [
        ServerCa(serial=n, since=since, authority=authority, state=state)
        for n, ((since, authority), state) in enumerate(zip(keys, states, strict=True), 1)
    ]


def in_force(keys: Sequence[tuple[int, Authority]], now: int) -> Authority:
    """The newest that has begun; of none that has, the first: a clock that runs behind ends no service."""
    begun = [authority for since, authority in keys if since <= now]
    return begun[-1] if begun else keys[0][1]


def trusted(cas: Sequence[ServerCa]) -> bytes:
    """PEM of what a trust file lists: the one in force, and the one that follows it."""
    return b"".join(ca.authority.pem for ca in cas if ca.state != "past")


async def rotate_server_ca(site: Site, root: HeldRoot, start: int, clock: Clock) -> ServerCa:
    """Writes a successor that issues from `start` on, with its entry. The broker may serve.

    Raises RootUnusable if that is too soon or a successor is there already, Busy, LogFrozen, StoreUnavailable.
    """
    now = clock()
    if start < now + LEAST_NOTICE_MS:
        raise RootUnusable(
            f"a new server CA is announced at least {LEAST_NOTICE_MS // 60_000} minutes ahead, so that every process "
            "knows it; give images time to get the new trust file, too"
        )
    with alone(site.directory, "custody.lock"), closing(Reader(site.store)) as reader:
        ensure_sound(site.store, site.log, clock)
        vault = Vault(root, reader)
        cas = server_cas(vault, now)
        if cas[-1].state == "next":
            raise RootUnusable("a new server CA is announced already; it has to be in force before another can follow")
        serial = cas[-1].serial + 1
        # Another subject than its predecessor's, so that no verifier can take one for the other.
        life = start - now + SERVER_CA_LIFE_MS
        made = new_authority(f"Sealgate servers {serial} of {site.deployment}", now, life)
        row = vault.new_broker_key(SERVER_CA, serial, start, made.secret)
        draft = change(
            entry_type="broker-key.added",
            entry_id=os.urandom(16).hex(),
            tenant="",
            actor=("broker", "custody"),
            broker=Identity(id="custody", measurement="", simulated=False),
            name=f"brokerKeys/{SERVER_CA}-{serial}",
            old=b"",
            new=b"",
        )
        with closing(WriteDoor(site.store, LogSequencer(site.log_origin), clock)) as door:
            outcome = (await door.commit([Unit(verdict=Verdict(draft=draft, effects=(row,)))]))[0]
        if not isinstance(outcome, Committed):
            raise RootUnusable(f"the new server CA was not written: {outcome}")
    return ServerCa(serial=serial, since=start, authority=made, state="next")
