"""The note of log keys that this deployment's offline key signed, as it goes out with receipts and lies beside the log.

The broker believes nothing in it and could not sign one: it is for those who trust the offline key.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["LOG_KEYS", "LogNote"]

LOG_KEYS = "log-keys"
_MAX_BYTES = 1_000_000


class LogNote:
    """What lies at `path`, read again when it is looked at."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._current = b""
        self.look()

    @property
    def current(self) -> bytes:
        """The note, empty if there is none."""
        return self._current

    def look(self) -> None:
        """Reads it again; raises OSError, and then all is as it was."""
        try:
            with self._path.open("rb") as file:
                self._current = file.read(_MAX_BYTES)
        except FileNotFoundError:
            self._current = b""
