"""The listeners' TLS: a certificate of the broker's own CA, made anew by every process, or a configured one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kbs.rpc.server import Tls
from kbs.serve.config.sections import Config
from kbs.serve.keyring import Keyring
from kbs.serve.secrets import read_secret
from kbs.store.port import Clock

__all__ = ["SERVER_LIFE_MS", "Certificates", "own_tls"]

SERVER_LIFE_MS = 30 * 24 * 3_600_000
_RENEW_MS = 24 * 3_600_000


def own_tls(keyring: Keyring, names: Sequence[str], now: int) -> Tls:
    """A fresh key and certificate for `names`; people's certificates are of the broker's own CA."""
    made = keyring.server_ca.issue_server(names, now, SERVER_LIFE_MS)
    return Tls(key=made.key, chain=made.chain, people_ca=keyring.people_ca)


class Certificates:
    """What the listeners show. `current` may be called from any thread; `renew` now and then from one."""

    def __init__(self, config: Config, keyring: Keyring, credentials: Path | None, clock: Clock) -> None:
        """Raises RootUnusable or OSError if what is configured cannot be read."""
        self._config = config
        self._keyring = keyring
        self._credentials = credentials
        self._clock = clock
        self._made = clock()
        self._issuer = keyring.server_ca.der
        self._tls = self._make()

    def current(self) -> Tls:
        """The same value until it changes."""
        return self._tls

    def renew(self) -> None:
        """Own ones every day and when another CA takes over, configured ones when their files change, both when the
        people's CA does."""
        own, issuer = self._config.tls.certificate is None, self._keyring.server_ca.der
        due = self._clock() - self._made >= _RENEW_MS or self._tls.people_ca != self._keyring.people_ca
        if own and not due and issuer == self._issuer:
            return
        made = self._make()
        if own or made != self._tls:
            self._tls, self._made, self._issuer = made, self._clock(), issuer

    def _make(self) -> Tls:
        tls = self._config.tls
        if tls.certificate is None or tls.key is None:
            return own_tls(self._keyring, self._config.listen.names, self._clock())
        key = read_secret(tls.key, self._credentials)
        return Tls(key=key.reveal(), chain=tls.certificate.read_bytes(), people_ca=self._keyring.people_ca)
