"""What the catalogue needs from its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kbs.model.asset import Changed
from kbs.model.log import Draft

__all__ = ["ChangeDraft", "ChangedReader", "ObjectReader"]


class ObjectReader(Protocol):
    """The present objects with their documents, as of one moment."""

    def objects(self) -> tuple[int, int, list[tuple[str, str, bytes, bytes]]]:
        """(revision, governance, [(name, kind, digest, document)])."""


class ChangedReader(Protocol):
    """What changed of them."""

    def objects_since(self, index: int) -> Changed:
        """Those that an entry after `index` wrote, and how many there are in all."""

    def object_names(self) -> Sequence[str]:
        """The names of all."""


class ChangeDraft(Protocol):
    """Makes the entry of a change; the log's."""

    def __call__(
        self, *, entry_type: str, tenant: str, name: str, old: bytes, new: bytes, assets: tuple[str, ...]
    ) -> Draft:
        """The entry that says that object `name` went from digest `old` to digest `new`."""
