"""What custody needs stored."""

from __future__ import annotations

from typing import Protocol

__all__ = ["KeyReader"]


class KeyReader(Protocol):
    """Wrapped keys by name."""

    def key_material(self, name: str) -> tuple[str, bytes] | None:
        """(parent, wrapped) of a stored key; the parent of a tenant's key-encryption key is empty: the root."""

    def broker_keys(self, purpose: str) -> list[tuple[int, int, bytes]]:
        """(serial, not_before, wrapped) of a purpose's keys, oldest first."""
