"""The catalogue at its present revision: brought forward when the revision moves, otherwise the same value again."""

from __future__ import annotations

from typing import Protocol

from kbs.catalog.port import ChangedReader, ObjectReader
from kbs.catalog.snapshot import load, reload
from kbs.model.asset import Snapshot

__all__ = ["CurrentCatalogue"]


class RevisionReader(ObjectReader, ChangedReader, Protocol):
    """Objects, and the revision that tells when to read them again."""

    def revision(self) -> tuple[int, int]:
        """(revision, governance)."""


class CurrentCatalogue:
    """One point read per use; what changed, when it changed."""

    def __init__(self, reader: RevisionReader) -> None:
        self._reader = reader
        self._snapshot = load(reader)

    def current(self) -> Snapshot:
        """The catalogue; raises DocumentInvalid, and StoreUnavailable."""
        revision, governance = self._reader.revision()
        if (revision, governance) != (self._snapshot.revision, self._snapshot.governance):
            self._snapshot = reload(self._reader, self._snapshot)
        return self._snapshot
