"""The note of log keys in a backup: whether anybody will believe it, judged by the offline key beside it."""

from __future__ import annotations

from attest.tlog.log_keys import LogKeys
from kbs.serve.backup_set import LOG_KEYS, LOG_ROOT, STORE, BackupSet
from kbs.serve.log_keys import LogKeysRefused, open_kept, own_key
from kbs.store.errors import StoreUnusable

__all__ = ["log_keys_of", "note_version"]


def log_keys_of(found: BackupSet, note: bytes | None = None) -> LogKeys | None:
    """The note of log keys in a backup, or another, judged by the offline key in it; None if the backup has none.

    Raises StoreUnusable for one that this key did not sign, or that lacks the key which signs the backup's log.
    """
    if LOG_KEYS not in found.files:
        return None
    if LOG_ROOT not in found.files:
        raise StoreUnusable(f"{found.directory / LOG_KEYS} has no offline key beside it: nobody can tell whose it is")
    try:
        own = own_key(found.directory / STORE)
        root, kept = ((found.directory / name).read_bytes() for name in (LOG_ROOT, LOG_KEYS))
        return open_kept(root, kept if note is None else note, own.name.rpartition("/audit/")[0], own)
    except LogKeysRefused as error:
        raise StoreUnusable(f"{found.directory / LOG_KEYS} is not to be believed: {error}") from error


def note_version(found: BackupSet, note: bytes | None = None) -> int:
    """The version of the backup's note, or of another judged by its offline key; 0 for what is not to be believed."""
    try:
        keys = log_keys_of(found, note)
    except StoreUnusable:
        return 0
    return 0 if keys is None else keys.version
