"""The few file operations that reach a TEE through the kernel's file systems; a fake of them is a fake kernel."""

from __future__ import annotations

import os
from typing import Protocol

__all__ = ["Files", "KernelFiles"]


class Files(Protocol):
    """Paths are absolute; every method raises OSError as the kernel would."""

    def exists(self, path: str) -> bool:
        """Whether there is something."""

    def mkdir(self, path: str) -> None:
        """Make a directory."""

    def rmdir(self, path: str) -> None:
        """Remove a directory, in configfs with the attributes in it."""

    def read(self, path: str, limit: int) -> bytes:
        """The whole content; raises OSError EFBIG above `limit` bytes."""

    def write(self, path: str, data: bytes) -> None:
        """Write `data` in one call, which is what an attribute takes."""


class KernelFiles:
    """The real ones."""

    def exists(self, path: str) -> bool:
        """Whether there is something."""
        return os.path.exists(path)

    def mkdir(self, path: str) -> None:
        """Make a directory."""
        os.mkdir(path)

    def rmdir(self, path: str) -> None:
        """Remove a directory, in configfs with the attributes in it."""
        os.rmdir(path)

    def read(self, path: str, limit: int) -> bytes:
        """The whole content; raises OSError EFBIG above `limit` bytes."""
        with open(path, "rb", buffering=0) as file:
            data = b""
            while piece := file.read(limit + 1 - len(data)):
                data += piece
                if len(data) > limit:
                    raise OSError(27, "it is larger than it may be", path)
        return data

    def write(self, path: str, data: bytes) -> None:
        """Write `data` in one call, which is what an attribute takes."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(5, "it took a part of what was written", path)
        finally:
            os.close(descriptor)
