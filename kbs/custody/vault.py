"""Opens stored keys: down from the root through the key-encryption keys. One loader for the broker's own keys."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator

from kbs.custody.envelope import KEY_SIZE, WrapInvalid, unwrap, wrap
from kbs.custody.port import KeyReader
from kbs.custody.root import Root
from kbs.custody.secret import Secret
from kbs.model.effect import PutBrokerKey, PutKeyMaterial
from kbs.model.names import AssetName

__all__ = ["Vault", "broker_context"]

_KEPT = 1_024
_LEVELS = 2  # an asset's key-encryption key and its tenant's


class Vault:
    """Keys at rest. Key-encryption keys are kept in memory once opened, what they protect is not."""

    def __init__(self, root: Root, reader: KeyReader) -> None:
        self._root = root
        self._reader = reader
        self._keks: OrderedDict[str, Secret] = OrderedDict()

    def key(self, name: str) -> Secret:
        """The private half of a key version, or an imported secret; raises WrapInvalid."""
        parent, wrapped = self._stored(name)
        return unwrap(self._kek(parent), name, wrapped)

    def new_key(self, asset: AssetName, version: int, private: Secret, part: str = "") -> Iterator[PutKeyMaterial]:
        """The rows for a new key version: its own, and those of the key-encryption keys above it that do not exist.

        `part` names what the version needs besides what is released: the pair that a secret is imported through.
        """
        tenant_kek, asset_kek = _kek_names(asset)
        kek = None
        for name, parent in ((tenant_kek, ""), (asset_kek, tenant_kek)):
            if self._reader.key_material(name) is not None:
                kek = self._kek(name)
                continue
            fresh = Secret(os.urandom(KEY_SIZE))
            sealed = self._root.wrap(name, fresh) if kek is None else wrap(kek, name, fresh)
            yield PutKeyMaterial(name=name, parent=parent, wrapped=sealed)
            kek = fresh
        if kek is None:
            raise WrapInvalid(f"{asset} has no key-encryption key")
        name = asset.key_version(version) + part
        yield PutKeyMaterial(name=name, parent=asset_kek, wrapped=wrap(kek, name, private))

    def broker_keys(self, purpose: str, newest: int = 0) -> list[tuple[int, Secret]]:
        """(not_before, key) of a purpose, oldest first, of all or of the `newest`; raises WrapInvalid."""
        return [
            (not_before, self._root.unwrap(broker_context(purpose, serial), wrapped))
            for serial, not_before, wrapped in self._reader.broker_keys(purpose)[-newest:]
        ]

    def new_broker_key(self, purpose: str, serial: int, not_before: int, secret: Secret | None = None) -> PutBrokerKey:
        """The row of a new key of the broker's own: 32 random bytes, unless the key is given."""
        wrapped = self._root.wrap(broker_context(purpose, serial), secret or Secret(os.urandom(KEY_SIZE)))
        return PutBrokerKey(purpose=purpose, serial=serial, not_before=not_before, wrapped=wrapped)

    def _kek(self, name: str, below: int = _LEVELS) -> Secret:
        kept = self._keks.get(name)
        if kept is not None:
            self._keks.move_to_end(name)
            return kept
        parent, wrapped = self._stored(name)
        if parent and not below:
            raise WrapInvalid(f"the key-encryption key {name} has too many above it")
        kek = unwrap(self._kek(parent, below - 1), name, wrapped) if parent else self._root.unwrap(name, wrapped)
        self._keks[name] = kek
        if len(self._keks) > _KEPT:
            self._keks.popitem(last=False)
        return kek

    def _stored(self, name: str) -> tuple[str, bytes]:
        row = self._reader.key_material(name)
        if row is None:
            raise WrapInvalid(f"no key is stored under {name}")
        return row


def _kek_names(asset: AssetName) -> tuple[str, str]:
    return f"tenants/{asset.tenant}/kek", f"{asset}/kek"


def broker_context(purpose: str, serial: int) -> str:
    """What a broker key's wrap is bound to."""
    return f"broker/{purpose}/{serial}"
