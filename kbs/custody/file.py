"""The root key in a file: the simplest custody there is. PKCS#11 and Vault transit stand behind the same two verbs."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from kbs.custody.envelope import KEY_SIZE, unwrap, wrap
from kbs.custody.secret import Secret

__all__ = ["FileRoot", "Root", "RootUnusable"]


class RootUnusable(Exception):
    """The root key cannot be used; the sentence says what to do."""


class Root(Protocol):
    """Whatever holds the root key: it wraps and unwraps, and never gives it away."""

    def wrap(self, context: str, secret: Secret) -> bytes:
        """`secret` under the root, bound to `context`."""

    def unwrap(self, context: str, wrapped: bytes) -> Secret:
        """The inverse; raises WrapInvalid."""


class FileRoot:
    """A root key of 32 bytes in a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        try:
            # Neither a link nor a pipe that nobody writes to may stand for the key.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise RootUnusable(f"the root key {path} cannot be opened: {error.strerror}") from error
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise RootUnusable(f"the root key {path} is not a file")
            if mode & 0o077:
                mode = stat.S_IMODE(mode)
                raise RootUnusable(f"the root key {path} has mode {mode:04o}; make it 0600, and consider it known")
            data = os.read(descriptor, KEY_SIZE + 1)
        finally:
            os.close(descriptor)
        if len(data) != KEY_SIZE:
            raise RootUnusable(f"the root key {path} is not {KEY_SIZE} bytes long")
        self._key = Secret(data)

    @staticmethod
    def create(path: Path) -> FileRoot:
        """Makes a new root key at `path`, which must not exist."""
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(os.urandom(KEY_SIZE))
            file.flush()
            os.fsync(file.fileno())
        return FileRoot(path)

    def wrap(self, context: str, secret: Secret) -> bytes:
        """`secret` under the root, bound to `context`."""
        return wrap(self._key, context, secret)

    def unwrap(self, context: str, wrapped: bytes) -> Secret:
        """The inverse; raises WrapInvalid."""
        return unwrap(self._key, context, wrapped)
