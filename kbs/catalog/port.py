"""What the catalogue needs from its neighbours."""

from __future__ import annotations

from typing import Protocol

from kbs.model.log import Draft

__all__ = ["ChangeDraft", "ObjectReader"]


class ObjectReader(Protocol):
    """The present objects with their documents, as of one moment."""

    def objects(self) -> tuple[int, int, list[tuple[str, str, bytes, bytes]]]:
        """(revision, governance, [(name, kind, digest, document)])."""


class ChangeDraft(Protocol):
    """Makes the entry of a change; the log's."""

    def __call__(
        self, *, entry_type: str, tenant: str, name: str, old: bytes, new: bytes, assets: tuple[str, ...]
    ) -> Draft:
        """The entry that says that object `name` went from digest `old` to digest `new`."""
