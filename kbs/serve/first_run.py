"""The first run of a deployment, once: root key, recovery, every broker key, genesis, founders, the trust file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attest.tlog.entry import parse_leaf
from attest.tlog.keys import SignerKey
from kbs.custody.authority import Authority
from kbs.custody.envelope import KEY_SIZE
from kbs.custody.file import write_private
from kbs.custody.recovery import RecoveryPublic, wrap_for_recovery
from kbs.custody.root import HeldRoot, RootUnusable
from kbs.custody.secret import Secret
from kbs.custody.vault import Vault
from kbs.serve.config.sections import Config
from kbs.serve.founders import Founder, Invitation
from kbs.serve.secrets import Ask, root_path, write_root
from kbs.serve.site import LOG, SERVER_CA, Site, initialise
from kbs.store.port import Clock
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
) -> FirstRun:
    """Makes a deployment where none is.

    1. nothing is there  2. the root key, in memory  3. wrapped for the recovery keys  4. written where custody keeps it
    5. store, broker keys, genesis, founders' invitations, in one transaction  6. the trust file

    Raises NotEmpty, RootUnusable; then nothing was made. What a crash leaves half-made is of no use to anybody.
    """
    site = site_for(config)
    trust = site.directory / "trust.json"
    for path in (site.store, root_path(config), site.recovery, trust):  # 1
        if path.exists():
            raise NotEmpty(f"{path} exists: init makes a deployment once, and writes over nothing")
    recovery = read_recovery_keys(config)
    site.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(site.directory.stat().st_mode)
    if mode & 0o077:
        raise RootUnusable(f"{site.directory} has mode {mode:04o}; it is to be the broker's alone: chmod 0700 it")
    root = HeldRoot(Secret(os.urandom(KEY_SIZE)))  # 2
    wraps = wrap_for_recovery(root, recovery, deployment=site.deployment) if recovery else b""  # 3
    write_root(config, root_path(config), root.key, credentials, ask)  # 4
    if wraps:
        write_private(site.recovery, wraps)
    invitations = await initialise(site, clock, simulated=simulated, root=root, founders=founders)  # 5
    trust.write_bytes(trust_document(config, root, config.deployment.tenant))  # 6
    return FirstRun(site=site, invitations=invitations, recovery=tuple(key.id for key in recovery), trust=trust)


def read_recovery_keys(config: Config) -> list[RecoveryPublic]:
    """The public halves that the configuration names; raises RootUnusable."""
    found = []
    for path in config.custody.recovery:
        try:
            found.append(RecoveryPublic.parse(path.read_text("ascii"), name=str(path)))
        except (OSError, UnicodeDecodeError) as error:
            raise RootUnusable(f"the recovery key {path} cannot be read: {error}") from error
    return found


def trust_document(config: Config, root: HeldRoot, tenant: str) -> bytes:
    """`sealgate.trust/1` for the workloads of `tenant`, and auditors."""
    site = site_for(config)
    reader = Reader(site.store)
    try:
        vault = Vault(root, reader)
        seed = vault.broker_keys(LOG)[-1][1].reveal()
        own = Authority.of(vault.broker_keys(SERVER_CA)[-1][1]).pem
        [(_, first, _)] = reader.entries(0, 1)
    finally:
        reader.close()
    document = {
        "v": "sealgate.trust/1",
        "origin": site.deployment,
        "broker_ca": (config.tls.ca.read_bytes() if config.tls.ca else own).decode("ascii"),
        "log_keys": [SignerKey.from_seed(site.log_origin, seed).verifier_key],
        "tenant": tenant,
        "simulated": parse_leaf(first).body["simulated"],
    }
    return json.dumps(document, indent=1).encode() + b"\n"
