"""The listeners' TLS: a certificate of the broker's own CA, made anew by every process, or a configured one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kbs.rpc.server import Tls
from kbs.serve.config.sections import Config
from kbs.serve.keyring import Keyring
from kbs.serve.secrets import read_secret

__all__ = ["SERVER_LIFE_MS", "configured_tls", "own_tls"]

SERVER_LIFE_MS = 30 * 24 * 3_600_000


def own_tls(keyring: Keyring, names: Sequence[str], now: int) -> Tls:
    """A fresh key and certificate for `names`; people's certificates are of the broker's own CA."""
    made = keyring.server_ca.issue_server(names, now, SERVER_LIFE_MS)
    return Tls(key=made.key, chain=made.chain, people_ca=keyring.people_ca)


def configured_tls(config: Config, keyring: Keyring, credentials: Path | None, now: int) -> Tls:
    """As the configuration says. Raises RootUnusable if the key cannot be read, OSError for the certificate."""
    tls = config.tls
    if tls.certificate is None or tls.key is None:
        return own_tls(keyring, config.listen.names, now)
    key = read_secret(tls.key, credentials)
    return Tls(key=key.reveal(), chain=tls.certificate.read_bytes(), people_ca=keyring.people_ca)
