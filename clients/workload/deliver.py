"""Where released keys go: files in memory, or an open descriptor. Never a disk, unless that is asked for by name.

Which file system a directory lies on is read from /proc/self/mountinfo (proc(5)), since statvfs does not tell.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clients.errors import Usage

__all__ = [
    "MOUNTINFO",
    "Owner",
    "check_descriptor",
    "check_directory",
    "deliver_to_descriptor",
    "deliver_to_directory",
    "rewrite",
]

MOUNTINFO = Path("/proc/self/mountinfo")
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs"})  # rootfs: the initramfs before anything is mounted on it
_ANYWAY = "--unsafe-write-keys-to-disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who may read what is written; None leaves it to whoever runs this."""

    user: int | None = None
    group: int | None = None
    mode: int = 0o600


def check_directory(directory: Path, *, disk: bool, mountinfo: Path = MOUNTINFO) -> None:
    """Raises Usage unless keys may be written there; a directory that is absent is judged by its parent.

    `disk` allows what is not in memory.
    """
    place = directory if directory.exists() else directory.absolute().parent
    if not place.is_dir():
        raise Usage(f"--dir {directory} is not a directory, nor could it be made: {place} is none")
    if not disk:
        _check_in_memory(place.stat().st_dev, f"--dir {directory}", mountinfo)


def check_descriptor(descriptor: int, *, disk: bool, mountinfo: Path = MOUNTINFO) -> None:
    """Raises Usage unless `descriptor` is open for writing and leads to no disk."""
    try:
        about = os.fstat(descriptor)
        os.write(descriptor, b"")
    except OSError as error:
        raise Usage(f"--fd {descriptor} is not open for writing: {error.strerror}") from error
    if os.isatty(descriptor):
        raise Usage(f"--fd {descriptor} is a terminal; keys are not shown")
    if stat.S_ISREG(about.st_mode) and not disk:
        _check_in_memory(about.st_dev, f"--fd {descriptor}", mountinfo)


def deliver_to_directory(files: Mapping[str, bytes], directory: Path, owner: Owner) -> None:
    """Write each file under its name, in order, each whole or not at all; raises OSError.

    A directory that is made here is its owner's alone, but for the group where `owner` lets that read.
    """
    if not directory.exists():
        directory.mkdir(mode=0o700)
        _give(directory, owner, 0o700 | (owner.mode & 0o070 and 0o050))
    for name, data in files.items():
        _write(directory / name, data, owner)


def rewrite(path: Path, data: bytes) -> None:
    """Replaces a file that is there, whole or not at all, for the owner and mode that it has; raises OSError."""
    about = path.stat()
    _write(path, data, Owner(user=about.st_uid, group=about.st_gid, mode=stat.S_IMODE(about.st_mode)))


def deliver_to_descriptor(data: bytes, descriptor: int) -> None:
    """All of `data`, however little each write takes; raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _write(path: Path, data: bytes, owner: Owner) -> None:
    """Under another name until it is whole and belongs to whom it should."""
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deliver_to_descriptor(data, descriptor)
        _give(descriptor, owner, owner.mode)
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _give(where: Path | int, owner: Owner, mode: int) -> None:
    if owner.user is not None or owner.group is not None:
        os.chown(where, -1 if owner.user is None else owner.user, -1 if owner.group is None else owner.group)
    os.chmod(where, mode)


def _check_in_memory(device: int, what: str, mountinfo: Path) -> None:
    kind = _file_system(device, mountinfo)
    if kind not in _IN_MEMORY:
        found = f"lies on {kind}" if kind else f"lies on a file system that {mountinfo} does not tell"
        raise Usage(
            f"{what} {found}; keys are written to memory alone (tmpfs, such as below /run), for whoever reads a disk "
            f"later has them too. {_ANYWAY} allows it all the same"
        )


def _file_system(device: int, mountinfo: Path) -> str:
    """The type of the file system with this device number, or nothing."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    kinds = {line.partition(" - ")[2].split(" ")[0] for line in lines if line.split(" ")[2:3] == [wanted]}
    return kinds.pop() if len(kinds) == 1 else ""
