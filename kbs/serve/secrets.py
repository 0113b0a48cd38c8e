"""Where a reference to a secret leads. The secret goes from there into a Secret, and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from kbs.custody.file import FileRoot, open_with_passphrase, read_private, write_with_passphrase
from kbs.custody.root import HeldRoot, RootUnusable
from kbs.custody.secret import Secret
from kbs.serve.config.option import SecretRef
from kbs.serve.config.sections import Config, Custody

__all__ = ["Ask", "open_root", "read_secret", "root_path", "write_root"]

Ask = Callable[[str], str]
_MAX_BYTES = 1 << 16


def read_secret(ref: SecretRef, credentials: Path | None) -> Secret:
    """The bytes behind `file:` or `credential:`; raises RootUnusable with what to do."""
    if ref.kind == "file":
        return Secret(read_private(Path(ref.where), _MAX_BYTES, "the secret"))
    if credentials is None:
        raise RootUnusable(
            f"{ref} asks for a systemd credential, and systemd has given none: LoadCredential={ref.where}:"
        )
    try:
        return Secret((credentials / ref.where).read_bytes()[:_MAX_BYTES])
    except OSError as error:
        raise RootUnusable(f"{ref} cannot be read: {error.strerror}; does the unit load it?") from error


def root_path(config: Config) -> Path:
    """Where the root key's file is."""
    return config.custody.root or config.deployment.directory / "root.key"


def open_root(config: Config, credentials: Path | None, ask: Ask) -> HeldRoot:
    """The root key as the configuration says; raises RootUnusable."""
    custody, path = config.custody, root_path(config)
    if custody.kind == "file":
        return FileRoot(path)
    return open_with_passphrase(path, _passphrase(custody, credentials, ask, again=False))


def write_root(config: Config, path: Path, key: Secret, credentials: Path | None, ask: Ask) -> None:
    """Writes the root key to `path`, in the form that the configuration says. Raises FileExistsError, RootUnusable."""
    if config.custody.kind == "file":
        FileRoot.create(path, key)
        return
    write_with_passphrase(path, key, _passphrase(config.custody, credentials, ask, again=True))


def _passphrase(custody: Custody, credentials: Path | None, ask: Ask, *, again: bool) -> Secret:
    ref = custody.passphrase
    if ref is None:
        raise RootUnusable('[custody] kind "passphrase" needs passphrase')
    if ref.kind == "terminal":
        typed = ask("Passphrase of the root key: ")
        if again and ask("The same once more: ") != typed:
            raise RootUnusable("the two passphrases differ")
        return Secret(typed.encode())
    read = _descriptor(int(ref.where)) if ref.kind == "fd" else read_secret(ref, credentials)
    return Secret(read.reveal().removesuffix(b"\n"))


def _descriptor(number: int) -> Secret:
    """All that an inherited descriptor holds; it is closed then."""
    try:
        if stat.S_ISREG(os.fstat(number).st_mode):
            os.lseek(number, 0, os.SEEK_SET)
        with os.fdopen(number, "rb") as file:
            return Secret(file.read(_MAX_BYTES))
    except OSError as error:
        raise RootUnusable(f"the passphrase cannot be read from descriptor {number}: {error.strerror}") from error
