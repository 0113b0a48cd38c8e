"""The first run of a deployment, once: root key, recovery, every broker key, genesis, founders, the trust file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attest.tlog.entry import parse_leaf
from attest.tlog.keys import SignerKey
from kbs.custody.envelope import KEY_SIZE
from kbs.custody.file import write_private
from kbs.custody.recovery import RecoveryPublic, wrap_for_recovery
from kbs.custody.root import HeldRoot, RootUnusable
from kbs.custody.secret import Secret
from kbs.custody.vault import Vault
from kbs.serve.config.sections import Config
from kbs.serve.founders import Founder, Invitation
from kbs.serve.lock import alone
from kbs.serve.log_keys import LogKeysRefused, installed, read_root
from kbs.serve.secrets import Ask, root_path, write_root
from kbs.serve.server_ca import server_cas, trusted
from kbs.serve.site import LOG, Site, initialise
from kbs.serve.unfinished import NotOurs, Unfinished, clear, finish, staged
from kbs.store.port import Clock, Faults, no_fault
from kbs.store.read import Reader

__all__ = ["FirstRun", "NotEmpty", "first_run", "read_recovery_keys", "site_for", "trust_document"]


class NotEmpty(Exception):
    """Something is there already; a deployment is made once."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FirstRun:
    """What was made. The invitations hold the codes, which are shown once."""

    site: Site
    invitations: list[Invitation]
    recovery: tuple[str, ...]
    trust: Path


def site_for(config: Config) -> Site:
    """The places of a configured deployment."""
    return Site(directory=config.deployment.directory, deployment=config.deployment.name)


async def first_run(
    config: Config,
    founders: Sequence[Founder],
    clock: Clock,
    credentials: Path | None,
    ask: Ask,
    *,
    simulated: bool,
    codes: Sequence[Path] = (),
    tell: Callable[[FirstRun], None],
    faults: Faults = no_fault,
) -> FirstRun:
    """Makes a deployment where none is, or where one was begun and never finished.

    1. alone, in a directory of the broker's own, where nothing is but what an unfinished init left  2. the root key and
    its recovery wrap, beside their names  3. the mark, then their names  4. store, broker keys, genesis, founders'
    invitations, in one transaction  5. the trust file  6. whoever runs this is told the codes  7. the mark goes

    `tell` shows the codes, or writes them to the files `codes`. Raises NotEmpty, RootUnusable, Busy, OSError; then
    nothing was made. After a crash the mark is there: nobody serves the site, and the next first run clears it away.
    """
    site = site_for(config)
    recovery = read_recovery_keys(config)
    _ensure_own(site.directory)  # 1
    with alone(site.directory):
        kept = [root_path(config), *([site.recovery] if recovery else [])]
        _ensure_free(config, site, kept, codes)
        try:
            root = HeldRoot(Secret(os.urandom(KEY_SIZE)))  # 2
            write_root(config, staged(root_path(config)), root.key, credentials, ask)
            faults("init-root")
            if recovery:
                write_private(staged(site.recovery), wrap_for_recovery(root, recovery, deployment=site.deployment))
            faults("init-staged")
            begun = Unfinished.of(site.directory, site.store, kept, _trust_file(site), codes)
            begun.write()  # 3
            faults("init-marked")
            begun.in_place()
            faults("init-keys")
            invitations = await initialise(
                site, clock, simulated=simulated, root=root, founders=founders, faults=faults
            )
            faults("init-store")
            _write(_trust_file(site), trust_document(config, root, config.deployment.tenant, clock()))  # 5
            faults("init-trust")
            ids = tuple(key.id for key in recovery)
            made = FirstRun(site=site, invitations=invitations, recovery=ids, trust=_trust_file(site))
            tell(made)  # 6
            faults("init-told")
            finish(site.directory)  # 7
        except Exception:
            clear(site.directory, kept)
            raise
    return made


def _write(path: Path, data: bytes) -> None:
    """A new file that anybody may read; durable once its directory is."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _trust_file(site: Site) -> Path:
    return site.directory / "trust.json"


def _ensure_own(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & 0o077:
        raise RootUnusable(f"{directory} has mode {mode:04o}; it is to be the broker's alone: chmod 0700 {directory}")


def _ensure_free(config: Config, site: Site, kept: Sequence[Path], codes: Sequence[Path]) -> None:
    """Nothing is there once what an unfinished init left is cleared; raises NotEmpty."""
    try:
        clear(site.directory, kept)
    except NotOurs as error:
        raise NotEmpty(str(error)) from error
    for path in (site.store, root_path(config), site.recovery, _trust_file(site)):
        if path.exists():
            raise NotEmpty(f"{path} exists: init makes a deployment once, and writes over nothing")
    for path in codes:
        if path.exists():
            raise NotEmpty(f"{path} exists and is not written over")


def read_recovery_keys(config: Config) -> list[RecoveryPublic]:
    """The public halves that the configuration names; raises RootUnusable."""
    found = []
    for path in config.custody.recovery:
        try:
            found.append(RecoveryPublic.parse(path.read_text("ascii"), name=str(path)))
        except (OSError, UnicodeDecodeError) as error:
            raise RootUnusable(f"the recovery key {path} cannot be read: {error}") from error
    return found


def trust_document(config: Config, root: HeldRoot, tenant: str, now: int) -> bytes:
    """A trust file for the workloads of `tenant`, and auditors: with the server CA in force and its successor, and with
    the log's key or the adopted offline key.

    Raises LogKeysRefused where an offline key was adopted and no note of it is in force: nobody would believe a log.
    """
    site = site_for(config)
    reader = Reader(site.store)
    try:
        vault = Vault(root, reader)
        seed = vault.broker_keys(LOG)[-1][1].reveal()
        own = trusted(server_cas(vault, now))
        [(_, first, _)] = reader.entries(0, 1)
    finally:
        reader.close()
    root_key, note = read_root(site), installed(site)
    if root_key is None:
        signers: dict[str, object] = {"log_keys": [SignerKey.from_seed(site.log_origin, seed).verifier_key]}
    elif note is None:
        raise LogKeysRefused(f"{root_key.name} has signed no note yet: sealgate-broker log-keys draft --config ...")
    else:
        signers = {"log_root": {"key": root_key.vkey, "min_version": note.version}}
    document = {
        "v": "sealgate.trust/1" if root_key is None else "sealgate.trust/2",
        "origin": site.deployment,
        "broker_ca": (config.tls.ca.read_bytes() if config.tls.ca else own).decode("ascii"),
        **signers,
        "tenant": tenant,
        "simulated": parse_leaf(first).body["simulated"],
    }
    return json.dumps(document, indent=1).encode() + b"\n"
