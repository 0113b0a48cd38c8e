"""A new root key: everything that the old one wraps, wrapped anew. Sealed data and released keys are not touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from kbs.custody.root import Root
from kbs.custody.vault import broker_context
from kbs.model.effect import ReplaceBrokerKey, ReplaceKeyMaterial

__all__ = ["RootWrapped", "opens", "rewrapped"]


class RootWrapped(Protocol):
    """What the root wraps."""

    def keys_below(self, parent: str) -> list[tuple[str, bytes]]:
        """(name, wrapped) of the keys below `parent`."""

    def all_broker_keys(self) -> list[tuple[str, int, int, bytes]]:
        """(purpose, serial, not_before, wrapped)."""


def rewrapped(old: Root, new: Root, reader: RootWrapped) -> Iterator[ReplaceKeyMaterial | ReplaceBrokerKey]:
    """The rows under `new`; raises WrapInvalid if `old` does not open all of them."""
    for name, wrapped in reader.keys_below(""):
        yield ReplaceKeyMaterial(name=name, parent="", wrapped=new.wrap(name, old.unwrap(name, wrapped)))
    for purpose, serial, not_before, wrapped in reader.all_broker_keys():
        context = broker_context(purpose, serial)
        yield ReplaceBrokerKey(
            purpose=purpose,
            serial=serial,
            not_before=not_before,
            wrapped=new.wrap(context, old.unwrap(context, wrapped)),
        )


def opens(root: Root, reader: RootWrapped) -> int:
    """How many keys the root opens; raises WrapInvalid at the first that it does not."""
    return sum(1 for _ in rewrapped(root, root, reader))
