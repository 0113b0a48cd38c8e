"""The CA of the broker's servers, and its successor: announced in trust files long before anything is issued from it.

The CA lies in the trust files of measured images, which nobody exchanges in a moment. So a successor is written with
the date from when on it issues; trust files that are written from then on list both, and every process changes over by
itself on that day. Who still has a trust file without the successor then cannot connect any more. Until shortly before
the day it can be moved, or the successor cancelled.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from attest.tlog.entry import canonical
from kbs.custody.authority import Authority, new_authority
from kbs.custody.root import HeldRoot, RootUnusable
from kbs.custody.vault import Vault
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import change
from kbs.log.sequence import LogSequencer
from kbs.model.effect import DropBrokerKey, Effect, ReplaceBrokerKey
from kbs.model.unit import Committed, Unit, Verdict
from kbs.serve.check import ensure_sound
from kbs.serve.lock import alone
from kbs.serve.site import SERVER_CA, SERVER_CA_LIFE_MS, Site
from kbs.store.door import WriteDoor
from kbs.store.port import Clock
from kbs.store.read import Reader

__all__ = [
    "LEAST_NOTICE_MS",
    "ServerCa",
    "cancel_server_ca",
    "in_force",
    "move_server_ca",
    "rotate_server_ca",
    "server_cas",
    "trusted",
]

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
    _check_notice(start, now)
    with alone(site.directory, "custody.lock"), closing(Reader(site.store)) as reader:
        ensure_sound(site.store, site.log, clock)
        vault = Vault(root, reader)
        cas = server_cas(vault, now)
        if cas[-1].state == "next":
            raise RootUnusable(
                "a new server CA is announced already; it has to be in force before another can follow, or be "
                "cancelled: sealgate-broker trust cancel-ca"
            )
        serial = cas[-1].serial + 1
        # Another subject than any other's, a cancelled one's as well, so that no verifier can take one for the other.
        life = start - now + SERVER_CA_LIFE_MS
        made = new_authority(f"Sealgate servers {serial}.{os.urandom(4).hex()} of {site.deployment}", now, life)
        row = vault.new_broker_key(SERVER_CA, serial, start, made.secret)
        found = ServerCa(serial=serial, since=start, authority=made, state="next")
        await _write(site, clock, "broker-key.added", row, old=None, new=found)
    return found


async def move_server_ca(site: Site, root: HeldRoot, start: int, clock: Clock) -> tuple[ServerCa, ServerCa]:
    """Gives the announced successor another day, earlier or later, with an entry; it before, and it now.

    Trust files that list both go on listing the right ones. Raises as `cancel_server_ca`, and RootUnusable for a day
    that is too soon, or that the CA's own life does not reach well beyond.
    """
    now = clock()
    _check_notice(start, now)
    with alone(site.directory, "custody.lock"), closing(Reader(site.store)) as reader:
        ensure_sound(site.store, site.log, clock)
        announced = _announced(Vault(root, reader), now)
        ends = int(announced.authority.certificate.not_valid_after_utc.timestamp() * 1_000)
        if start > ends - SERVER_CA_LIFE_MS // 2:
            raise RootUnusable(
                "the announced CA was made for an earlier day, and would end too soon after that one: cancel it, and "
                "announce another"
            )
        [wrapped] = [data for serial, _, data in reader.broker_keys(SERVER_CA) if serial == announced.serial]
        row = ReplaceBrokerKey(purpose=SERVER_CA, serial=announced.serial, not_before=start, wrapped=wrapped)
        moved = replace(announced, since=start)
        await _write(site, clock, "broker-key.changed", row, old=announced, new=moved)
    return announced, moved


async def cancel_server_ca(site: Site, root: HeldRoot, clock: Clock) -> ServerCa:
    """Destroys the announced successor, with an entry, so that the CA in force stays; the one that was announced.

    Trust files that list it go on working, and trust a key that nobody has. Raises RootUnusable if none is announced or
    its day is so near that a process may be about to use it; Busy, LogFrozen, StoreUnavailable.
    """
    now = clock()
    with alone(site.directory, "custody.lock"), closing(Reader(site.store)) as reader:
        ensure_sound(site.store, site.log, clock)
        announced = _announced(Vault(root, reader), now)
        row = DropBrokerKey(purpose=SERVER_CA, serial=announced.serial)
        await _write(site, clock, "broker-key.deleted", row, old=announced, new=None)
    return announced


def _check_notice(start: int, now: int) -> None:
    if start < now + LEAST_NOTICE_MS:
        raise RootUnusable(
            f"a new server CA is announced at least {LEAST_NOTICE_MS // 60_000} minutes ahead, so that every process "
            "knows it; give images time to get the new trust file, too"
        )


def _announced(vault: Vault, now: int) -> ServerCa:
    """The one that is to come, as long as no process can be about to use it."""
    last = server_cas(vault, now)[-1]
    if last.state != "next":
        raise RootUnusable("no new server CA is announced: sealgate-broker trust list")
    if last.since < now + LEAST_NOTICE_MS:
        raise RootUnusable(
            f"the new server CA takes over in less than {LEAST_NOTICE_MS // 60_000} minutes, and processes may be "
            "about to use it: let it, and announce another"
        )
    return last


async def _write(
    site: Site, clock: Clock, entry_type: str, row: Effect, *, old: ServerCa | None, new: ServerCa | None
) -> None:
    """One row and its entry, which commits to what was announced before and what is now."""
    before, after = (b"" if ca is None else _document(ca) for ca in (old, new))
    serial = max(ca.serial for ca in (old, new) if ca is not None)
    draft = change(
        entry_type=entry_type,
        entry_id=os.urandom(16).hex(),
        tenant="",
        actor=("broker", "custody"),
        broker=Identity(id="custody", measurement="", simulated=False),
        name=f"brokerKeys/{SERVER_CA}-{serial}",
        old=hashlib.sha256(before).digest() if before else b"",
        new=hashlib.sha256(after).digest() if after else b"",
    )
    blobs = tuple(document for document in (before, after) if document)
    with closing(WriteDoor(site.store, LogSequencer(site.log_origin), clock)) as door:
        outcome = (await door.commit([Unit(verdict=Verdict(draft=draft, effects=(row,), blobs=blobs))]))[0]
    if not isinstance(outcome, Committed):
        raise RootUnusable(f"the server CA was not written: {outcome}")


def _document(ca: ServerCa) -> bytes:
    """What is announced: which CA, and from when on (ms since 1970)."""
    digest = hashlib.sha256(ca.authority.der).hexdigest()
    return canonical(
        {"v": "sealgate.server-ca/1", "serial": ca.serial, "since": ca.since, "certificate_sha256": digest}
    )
