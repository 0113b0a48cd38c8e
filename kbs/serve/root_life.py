"""What becomes of a root key after it was made: drilled, recovered, rotated. Each with the broker's store at hand."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from kbs.custody.envelope import KEY_SIZE, WrapInvalid
from kbs.custody.file import write_private
from kbs.custody.recovery import RecoveryKey, open_recovery, wrap_for_recovery
from kbs.custody.root import HeldRoot, RootUnusable, root_id
from kbs.custody.rotation import opens, rewrapped
from kbs.custody.secret import Secret
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import change
from kbs.log.sequence import LogSequencer
from kbs.model.unit import Committed, Unit, Verdict
from kbs.serve.check import ensure_sound
from kbs.serve.config.sections import Config
from kbs.serve.first_run import read_recovery_keys, site_for
from kbs.serve.lock import alone
from kbs.serve.secrets import Ask, open_root, root_path, write_root
from kbs.serve.unfinished import refuse_unfinished
from kbs.store.door import WriteDoor
from kbs.store.port import Clock
from kbs.store.read import Reader

__all__ = ["drill", "recover", "rotate"]


def drill(config: Config, key: RecoveryKey) -> int:
    """Opens the root with a recovery key and every key below with that, and returns how many. The broker may serve.

    Raises RootUnusable, and WrapInvalid if the recovered root is not the one that the store is under.
    """
    site = site_for(config)
    refuse_unfinished(site.directory)
    root = open_recovery(_document(site.recovery), key, deployment=site.deployment)
    with closing(Reader(site.store)) as reader:
        return opens(root, reader)


def recover(config: Config, key: RecoveryKey, credentials: Path | None, ask: Ask) -> int:
    """Writes the root key's file again, after a drill; raises RootUnusable if one is there."""
    if root_path(config).exists():
        raise RootUnusable(f"{root_path(config)} is there; move it away if it is not the right one")
    count = drill(config, key)
    site = site_for(config)
    root = open_recovery(_document(site.recovery), key, deployment=site.deployment)
    write_root(config, root_path(config), root.key, credentials, ask)
    return count


async def rotate(config: Config, clock: Clock, credentials: Path | None, ask: Ask) -> int:
    """Puts a new root key over everything, with its entry, and returns how many keys were wrapped anew.

    1. nobody serves  2. a rotation that was cut short is finished first  3. the new root, recovery wrap and file beside
    the old ones  4. every row under it, in one transaction  5. the new files take the old ones' places

    A crash before 4 leaves the old root in force, after it the new one; the next rotation, or start, finds out which.
    Raises Busy, RootUnusable, WrapInvalid, LogFrozen.
    """
    site, path = site_for(config), root_path(config)
    refuse_unfinished(site.directory)
    with alone(site.directory), alone(site.directory, "custody.lock"), closing(Reader(site.store)) as reader:  # 1
        ensure_sound(site.store, site.log, clock)
        old = open_root(config, credentials, ask)
        if settle(config, reader, old, credentials, ask):  # 2
            raise RootUnusable(
                "a rotation that was cut short is finished now; rotate again if you want another root key"
            )
        new = HeldRoot(Secret(os.urandom(KEY_SIZE)))  # 3
        recovery = read_recovery_keys(config)
        if recovery:
            wraps = wrap_for_recovery(new, recovery, deployment=site.deployment)
            write_private(_beside(site.recovery), wraps)
        write_root(config, _beside(path), new.key, credentials, ask)
        rows = tuple(rewrapped(old, new, reader))
        draft = change(
            entry_type="root.rotated",
            entry_id=os.urandom(16).hex(),
            tenant="",
            actor=("broker", "custody"),
            broker=Identity(id="custody", measurement="", simulated=False),
            name="root",
            old=bytes.fromhex(root_id(old.key)),
            new=bytes.fromhex(root_id(new.key)),
        )
        with closing(WriteDoor(site.store, LogSequencer(site.log_origin), clock)) as door:  # 4
            outcome = (await door.commit([Unit(verdict=Verdict(draft=draft, effects=rows))]))[0]
        if not isinstance(outcome, Committed):
            raise RootUnusable(f"the rotation was not written: {outcome}")
        _take_place(site.recovery, path)  # 5
        if not recovery:
            site.recovery.unlink(missing_ok=True)  # it opens nothing any more
    return len(rows)


def settle(config: Config, reader: Reader, old: HeldRoot, credentials: Path | None, ask: Ask) -> bool:
    """Finishes a rotation that was cut short; True if the new root key is the one that counts, and is in place now."""
    path, recovery = root_path(config), site_for(config).recovery
    if not _beside(path).exists():
        _beside(recovery).unlink(missing_ok=True)
        return False
    try:
        opens(old, reader)
    except WrapInvalid:
        _take_place(recovery, path)
        opens(open_root(config, credentials, ask), reader)
        return True
    for left in (_beside(path), _beside(recovery)):
        left.unlink(missing_ok=True)
    return False


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _take_place(recovery: Path, path: Path) -> None:
    """By rename, the root key last: as long as it lies beside the old one, the rotation is not finished."""
    if _beside(recovery).exists():
        _beside(recovery).replace(recovery)
    _beside(path).replace(path)


def _document(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RootUnusable(f"the recovery document {path} cannot be read: {error.strerror}") from error
