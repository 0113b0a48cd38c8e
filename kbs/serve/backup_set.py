"""A backup: one directory with all that a restore needs besides a recovery key, and a list of what is not in it.

    store.db        the store, of one moment           recovery.json   the root key, wrapped for the recovery keys
    broker.toml     the configuration, as it was read  trust.json      what workloads and auditors trust
    log-root.pub    the offline key's public half      log-keys        the note that it signed, which lists the log keys
    backup.json     SHA-256 of each, the log's head, and what the configuration names that is not in here

The root key is not in it in clear, nor is any secret that the configuration refers to.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from attest.tlog.entry import parse_leaf
from kbs.custody.file import write_private
from kbs.custody.recovery import RecoveryKey, open_recovery
from kbs.custody.rotation import opens
from kbs.serve.config.load import Loaded
from kbs.serve.config.option import SecretRef
from kbs.serve.config.sections import SECTIONS, Config
from kbs.serve.lock import Busy, alone
from kbs.serve.secrets import root_path
from kbs.serve.site import Site
from kbs.store.backup import Exists, Kept, backup, look
from kbs.store.errors import StoreUnavailable, StoreUnusable
from kbs.store.freeze import sync_directory
from kbs.store.port import Clock
from kbs.store.read import Reader
from kbs.store.schema import SCHEMA_VERSION

__all__ = [
    "LIST",
    "LOG_KEYS",
    "LOG_ROOT",
    "STORE",
    "BackupSet",
    "carried",
    "make_backup",
    "opened_by",
    "read_backup",
]

STORE, LIST = "store.db", "backup.json"
_VERSION = "sealgate.backup/1"
LOG_ROOT, LOG_KEYS = "log-root.pub", "log-keys"
_MAX_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSet:
    """What `backup.json` says: which log up to which head, when, whether the broker was serving, and the files.

    `recovery_keys` are the ids of those that open the root key; `elsewhere` is (what, where) of what is not in it.
    """

    directory: Path
    kept: Kept
    at: int
    serving: bool
    files: Mapping[str, str]
    recovery_keys: tuple[str, ...]
    elsewhere: tuple[tuple[str, str], ...]

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "v": _VERSION,
            "origin": self.kept.origin,
            "size": self.kept.head.size,
            "root": self.kept.head.root.hex(),
            "schema": self.kept.schema,
            "at": self.at,
            "serving": self.serving,
            "files": dict(self.files),
            "recovery_keys": list(self.recovery_keys),
            "elsewhere": [{"what": what, "where": where} for what, where in self.elsewhere],
        }


def make_backup(site: Site, loaded: Loaded | None, out: Path, clock: Clock) -> BackupSet:
    """Makes the new directory `out`, mode 0700, whole or not at all, while the broker goes on serving.

    Raises Exists, Busy if the root key is being rotated, LogFrozen, StoreUnusable, StoreUnavailable.
    """
    if os.path.lexists(out):
        raise Exists(f"{out} exists and is not written over")
    partial = out.with_name(f".{out.name}.{os.urandom(4).hex()}.partial")
    with ExitStack() as held:
        serving = _serving(site, held)
        held.enter_context(alone(site.directory, "custody.lock"))
        _refuse_half_rotated(site, loaded)
        try:
            partial.mkdir(mode=0o700)
            kept = backup(site.store, partial / STORE)
            _copy(site, loaded, partial)
            made = BackupSet(
                directory=out,
                kept=kept,
                at=clock(),
                serving=serving,
                files={path.name: _digest(path) for path in sorted(partial.iterdir())},
                recovery_keys=_recovery_keys(partial),
                elsewhere=tuple(_elsewhere(site, loaded)),
            )
            write_private(partial / LIST, json.dumps(made.document(), indent=1).encode() + b"\n")
            partial.rename(out)
            sync_directory(out.parent)
        except OSError as error:
            ours = error.filename is None or str(error.filename).startswith(str(partial))
            where = out.parent if ours else error.filename
            raise StoreUnavailable(f"the backup {out} could not be made: {where}: {error.strerror}") from error
        finally:
            _remove(partial)
    return made


def _serving(site: Site, held: ExitStack) -> bool:
    """Whether a broker serves; if none does, none starts until the backup is made."""
    try:
        held.enter_context(alone(site.directory))
    except Busy:
        return True
    return False


def _refuse_half_rotated(site: Site, loaded: Loaded | None) -> None:
    root = root_path(loaded.config) if loaded else site.root_key
    for path in (root, site.recovery):
        if path.with_name(f"{path.name}.new").exists():
            raise StoreUnusable(
                "a rotation of the root key was cut short, and which root key counts is open: start the broker, or run "
                "sealgate-broker custody rotate, which finishes it; then make the backup"
            )


def _copy(site: Site, loaded: Loaded | None, to: Path) -> None:
    for name, path in carried(site).items():
        if path.exists():
            write_private(to / name, path.read_bytes())
    if loaded is not None:
        write_private(to / "broker.toml", loaded.raw)


def carried(site: Site) -> dict[str, Path]:
    """What a backup has besides store and configuration, by its name there, and where it belongs."""
    trust = site.directory / "trust.json"
    return {"recovery.json": site.recovery, "trust.json": trust, LOG_ROOT: site.log_root, LOG_KEYS: site.log_keys}


def _remove(partial: Path) -> None:
    if partial.is_dir():
        for path in partial.iterdir():
            path.unlink()
        partial.rmdir()


def _elsewhere(site: Site, loaded: Loaded | None) -> Iterator[tuple[str, str]]:
    """What a restore needs or may want that is not in the backup: by name, never by content."""
    yield "the root key; a recovery key brings it back", str(root_path(loaded.config) if loaded else site.root_key)
    yield "the published log", str(site.log)
    if loaded is None:
        yield "the configuration", "not named: --config FILE"
        return
    yield from _references(loaded.config)


def _references(config: Config) -> Iterator[tuple[str, str]]:
    for name in SECTIONS:
        section: Any = getattr(config, name)
        for field in fields(section):
            value = getattr(section, field.name)
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, Path | SecretRef) and (name, field.name) not in {
                    ("deployment", "directory"), ("custody", "root"),
                }:  # fmt: skip
                    yield f"[{name}] {field.name}", str(each)


def _recovery_keys(directory: Path) -> tuple[str, ...]:
    path = directory / "recovery.json"
    if not path.exists():
        return ()
    return tuple(str(each["key"]) for each in json.loads(path.read_bytes())["wraps"])


def read_backup(directory: Path) -> BackupSet:
    """A backup whose every file is what it was when it was made, and whose store is sound. Opens no key.

    Raises StoreUnusable for one that is not, StoreUnavailable if it cannot be read.
    """
    document = _list(directory)
    try:
        files = {str(name): str(digest) for name, digest in document["files"].items()}
        head = (int(document["size"]), str(document["root"]), str(document["origin"]), int(document["schema"]))
        at, serving = int(document["at"]), document["serving"] is not False
        keys = tuple(map(str, document["recovery_keys"]))
        elsewhere = tuple((str(each["what"]), str(each["where"])) for each in document["elsewhere"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreUnusable(f"{directory / LIST} is not {_VERSION}: {error}") from error
    for name, digest in files.items():
        path = directory / name
        if "/" in name or not path.is_file():
            raise StoreUnusable(f"{path} is not there: the backup is not whole")
        if _digest(path) != digest:
            raise StoreUnusable(f"{path} is not what it was when the backup was made")
    kept = look(directory / STORE)
    if (kept.head.size, kept.head.root.hex(), kept.origin, kept.schema) != head:
        raise StoreUnusable(f"{directory / STORE} is not the store that {LIST} tells of")
    return BackupSet(
        directory=directory, kept=kept, at=at, serving=serving, files=files, recovery_keys=keys, elsewhere=elsewhere
    )


def opened_by(found: BackupSet, key: RecoveryKey) -> int:
    """How many keys of the backup a recovery key opens, by way of the root key: all. Writes nothing.

    Raises RootUnusable, WrapInvalid; StoreUnusable for a backup without recovery.json, or of an older schema.
    """
    path = found.directory / "recovery.json"
    if "recovery.json" not in found.files:
        raise StoreUnusable(f"{found.directory} has no recovery.json: only the root key's own file opens it")
    if found.kept.schema != SCHEMA_VERSION:
        raise StoreUnusable(
            f"{found.directory} has schema {found.kept.schema}; its keys can be tried once it is migrated"
        )
    with closing(Reader(found.directory / STORE)) as reader:
        [(_, leaf, _)] = reader.entries(0, 1)
        root = open_recovery(path.read_bytes(), key, deployment=str(parse_leaf(leaf).body["deployment"]))
        return opens(root, reader)


def _list(directory: Path) -> Mapping[str, Any]:
    path = directory / LIST
    try:
        data = path.read_bytes()
        document = json.loads(data) if len(data) < _MAX_BYTES else None
    except FileNotFoundError:
        raise StoreUnusable(f"{path} is not there: {directory} is not a backup that is whole") from None
    except ValueError as error:
        raise StoreUnusable(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("v") != _VERSION:
        raise StoreUnusable(f"{path} is not {_VERSION}")
    return document


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
