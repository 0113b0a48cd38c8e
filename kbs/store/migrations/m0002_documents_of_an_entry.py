"""What one release alone names (transcript, evidence, wrapped bytes) lies in one row under its entry's index."""

from __future__ import annotations

from kbs.store.migrate import Migration, Phase

__all__ = ["MIGRATION"]

MIGRATION = Migration(
    version=2,
    what="keep what only one entry names beside it",
    phase=Phase.EXPAND,
    statements=(
        "CREATE TABLE entry_document (idx INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (idx)) STRICT",
        (
            "CREATE TRIGGER entry_document_no_update BEFORE UPDATE ON entry_document "
            "BEGIN SELECT RAISE(ABORT, 'entry_document is append-only'); END"
        ),
        (
            "CREATE TRIGGER entry_document_no_delete BEFORE DELETE ON entry_document "
            "BEGIN SELECT RAISE(ABORT, 'entry_document is append-only'); END"
        ),
    ),
)
