"""The root key in a file: 32 bytes, or these under a passphrase. PKCS#11 and Vault transit stand behind the same verbs.

Under a passphrase the file is JSON: scrypt (RFC 7914) makes the key that wraps the root, parameters and salt bound.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from attest.binding import bind
from kbs.custody.envelope import KEY_SIZE, WrapInvalid, unwrap, wrap
from kbs.custody.root import HeldRoot, RootUnusable
from kbs.custody.secret import Secret

__all__ = ["SCRYPT_N", "FileRoot", "open_with_passphrase", "read_private", "write_private", "write_with_passphrase"]

SCRYPT_N = 1 << 17  # 128 MiB and about half a second
_R, _P = 8, 1
_LEAST_N, _MOST_N = 1 << 14, 1 << 20
_LEAST_PASSPHRASE = 12
_VERSION = "sealgate.root/1"
_FIELDS = {"v", "n", "r", "p", "salt", "wrapped"}
_MAX_BYTES = 4_096


class FileRoot(HeldRoot):
    """A root key of 32 bytes in a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        data = read_private(path, KEY_SIZE + 1)
        if len(data) != KEY_SIZE:
            raise RootUnusable(f"the root key {path} is not {KEY_SIZE} bytes long")
        super().__init__(Secret(data))

    @staticmethod
    def create(path: Path, key: Secret | None = None) -> FileRoot:
        """Writes a root key, a new one unless it is given, to `path`, which must not exist."""
        write_private(path, key.reveal() if key else os.urandom(KEY_SIZE))
        return FileRoot(path)


def write_with_passphrase(path: Path, key: Secret, passphrase: Secret, *, n: int = SCRYPT_N) -> None:
    """Writes the root key under a passphrase to `path`, which must not exist. Raises RootUnusable for a short one."""
    if len(passphrase) < _LEAST_PASSPHRASE:
        raise RootUnusable(f"a passphrase has at least {_LEAST_PASSPHRASE} bytes; five random words are good ones")
    salt = os.urandom(16)
    wrapped = wrap(_kek(passphrase, n, salt), _context(n, salt), key)
    document = {"v": _VERSION, "n": n, "r": _R, "p": _P, "salt": salt.hex(), "wrapped": wrapped.hex()}
    write_private(path, json.dumps(document).encode() + b"\n")


def open_with_passphrase(path: Path, passphrase: Secret) -> HeldRoot:
    """The root key in a file that `write_with_passphrase` made; raises RootUnusable."""
    data = read_private(path, _MAX_BYTES)
    parsed = _parse(data)
    if parsed is None:
        raise RootUnusable(
            f'the root key {path} is not one under a passphrase; [custody] kind "file" is for a plain one'
        )
    n, salt, wrapped = parsed
    try:
        return HeldRoot(unwrap(_kek(passphrase, n, salt), _context(n, salt), wrapped))
    except WrapInvalid:
        raise RootUnusable(f"the passphrase does not open the root key {path}") from None


def _parse(data: bytes) -> tuple[int, bytes, bytes] | None:
    """(n, salt, wrapped), or None for what `write_with_passphrase` does not write."""
    try:
        document = json.loads(data)
        n, salt, wrapped = document["n"], bytes.fromhex(document["salt"]), bytes.fromhex(document["wrapped"])
    except (ValueError, TypeError, KeyError):
        return None
    fine = document.keys() == _FIELDS and (document["v"], document["r"], document["p"]) == (_VERSION, _R, _P)
    bounded = type(n) is int and _LEAST_N <= n <= _MOST_N and not n & (n - 1) and len(salt) == 16
    return (n, salt, wrapped) if fine and bounded else None


def _kek(passphrase: Secret, n: int, salt: bytes) -> Secret:
    return Secret(Scrypt(salt=salt, length=KEY_SIZE, n=n, r=_R, p=_P).derive(passphrase.reveal()))


def _context(n: int, salt: bytes) -> str:
    return bind("root-passphrase", n, _R, _P, salt).hex()


def read_private(path: Path, limit: int, what: str = "the root key") -> bytes:
    """At most `limit` bytes of a secret's file. Raises RootUnusable if others can read it, or if it is no file."""
    try:
        # Neither a link nor a pipe that nobody writes to may stand for the key.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise RootUnusable(f"{what} {path} cannot be opened: {error.strerror}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise RootUnusable(f"{what} {path} is not a file")
        if mode & 0o077:
            mode = stat.S_IMODE(mode)
            raise RootUnusable(f"{what} {path} has mode {mode:04o}; make it 0600, and consider it known")
        return os.read(descriptor, limit)
    finally:
        os.close(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """A new file that only its owner can read, from its first byte on; durable. Raises FileExistsError."""
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
