"""Which keys sign the log, said by a key that is never here: its public half, and the notes that it signed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from attest.errors import AttestError
from attest.tlog.keys import VerifierKey
from attest.tlog.log_keys import LogKeys, check_root, open_log_keys
from kbs.log.log_note import LogNote
from kbs.log.publish import write_synced
from kbs.serve.lock import alone
from kbs.serve.site import Site
from kbs.store.connect import open_any
from kbs.store.errors import StoreUnavailable, StoreUnusable
from kbs.store.port import Faults, no_fault
from kbs.store.selfcheck import log_identity

__all__ = ["LogKeysRefused", "adopt", "draft", "install", "installed", "open_kept", "own_key", "read_file", "read_root"]


class LogKeysRefused(Exception):
    """The offline key or the note is not one for this deployment; nothing was changed."""


def read_root(site: Site) -> VerifierKey | None:
    """The public half of the offline key, None if none was adopted."""
    try:
        return _parse(site.log_root.read_bytes(), site.deployment)
    except FileNotFoundError:
        return None


def adopt(site: Site, text: bytes, faults: Faults = no_fault) -> VerifierKey:
    """Takes an offline key's public half; there is one for ever, as images name it. Raises LogKeysRefused."""
    root, kept = _parse(text, site.deployment), read_root(site)
    if kept is not None and kept != root:
        raise LogKeysRefused(f"{site.log_root} is {kept.vkey}: images that name it would believe no other")
    if kept is None:
        write_synced(site.log_root, f"{root.vkey}\n".encode())
        faults("log-root-adopted")
    return root


def installed(site: Site) -> LogKeys | None:
    """The note in force, None if there is none. Raises LogKeysRefused if it is not the adopted root's."""
    root, raw = read_root(site), LogNote(site.log_keys).current
    if root is None or not raw:
        return None
    return _open(raw, root, site.deployment, 1)


def open_kept(root: bytes, note: bytes, deployment: str, own: VerifierKey) -> LogKeys:
    """A note with the offline key it is said to be by, wherever they lie; raises LogKeysRefused.

    1. the key is this deployment's kind, and signed the note  2. `own`, which signs the log, is listed in it
    """
    found = _open(note, _parse(root, deployment), deployment, 1)
    _check_lists(found, own)
    return found


def draft(site: Site) -> LogKeys:
    """What is to be signed next: what is in force, and the key that signs the log now. Raises StoreUnusable."""
    known, own = installed(site), own_key(site.store)
    logs = known.logs if known else ()
    return LogKeys(
        deployment=site.deployment,
        version=known.version + 1 if known else 1,
        logs=logs if own in logs else (*logs, own),
        witnesses=known.witnesses if known else (),
    )


def install(site: Site, raw: bytes, faults: Faults = no_fault) -> LogKeys:
    """Puts a signed note in force, by rename; the same one again changes nothing.

    1. an offline key was adopted, and it signed the note  2. the version is above the one in force  3. the key that
    signs the log now is listed: receipts of today must verify

    Raises LogKeysRefused, StoreUnusable.
    """
    with alone(site.directory, "log-keys.lock", wait=True):
        return _install(site, raw, faults)


def _install(site: Site, raw: bytes, faults: Faults) -> LogKeys:
    root = read_root(site)
    if root is None:
        raise LogKeysRefused("no offline key was adopted: sealgate-broker log-keys adopt ROOT.pub --config ...")
    if raw == LogNote(site.log_keys).current:
        return _open(raw, root, site.deployment, 1)
    known = installed(site)
    found = _open(raw, root, site.deployment, known.version + 1 if known else 1)  # 1, 2
    _check_lists(found, own_key(site.store))  # 3
    write_synced(site.log_keys, raw)
    faults("log-keys-installed")
    return found


def _check_lists(found: LogKeys, own: VerifierKey) -> None:
    if own not in found.logs:
        raise LogKeysRefused(f"the note does not list {own.vkey}, which signs the log: no receipt would verify")


def _open(raw: bytes, root: VerifierKey, deployment: str, at_least: int) -> LogKeys:
    try:
        return open_log_keys(raw, root, deployment, at_least=at_least)
    except AttestError as error:
        raise LogKeysRefused(f"{error.check}: {error}") from error


def _parse(text: bytes, deployment: str) -> VerifierKey:
    try:
        root = VerifierKey.parse(text.decode("utf-8", "replace").strip())
        check_root(root, deployment)
    except AttestError as error:
        raise LogKeysRefused(f"that is no offline key of {deployment}: {error}") from error
    return root


def own_key(store: Path) -> VerifierKey:
    """What signs the log, as genesis has it; every start of a broker checks that its key is this one.

    Raises StoreUnavailable, StoreUnusable.
    """
    connection, _ = open_any(store, "ro")  # of whatever schema: a backup's as well
    try:
        found = log_identity(connection)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the log cannot be read: {error}") from error
    finally:
        connection.close()
    if found is None:
        raise StoreUnusable(f"{store} has no genesis entry; make the deployment: sealgate-broker init")
    return VerifierKey.parse(found[1])


def read_file(path: Path) -> bytes:
    """At most a note's bytes; raises LogKeysRefused."""
    try:
        with path.open("rb") as file:
            return file.read(1_000_000)
    except OSError as error:
        raise LogKeysRefused(f"{path} cannot be read: {error.strerror}") from error
