"""Bytes that are never shown."""

from __future__ import annotations

import hmac

__all__ = ["Secret"]


class Secret:
    """Key bytes. Not printed, not compared in variable time, not pickled; `reveal` is the one way to them."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)

    def reveal(self) -> bytes:
        """The bytes, for the primitive that needs them."""
        return self._data

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._data, other._data)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Secret of {len(self._data)} bytes>"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")
