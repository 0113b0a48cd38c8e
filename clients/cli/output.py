"""Files that commands write: whole or not at all, and not over what is there unless that is meant."""

from __future__ import annotations

import os
from pathlib import Path

from clients.errors import Usage, unwritten

__all__ = ["check_output", "write_new", "write_over"]


def check_output(path: Path) -> None:
    """Before anything is done that cannot be undone: raises Usage where no file could be made at `path`."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise Usage(f"{path} cannot be written: there is no directory {folder}")
    if path.is_dir():
        raise Usage(f"{path} cannot be written: it is a directory")
    if (path.is_file() or not path.exists()) and not os.access(folder, os.W_OK):
        raise Usage(f"{path} cannot be written: no files can be made in {folder}")


def write_new(path: Path, data: bytes, *, mode: int = 0o644, why: str = " and is not written over") -> None:
    """Makes a file, on the disk when this returns. Raises Usage, with `why`, if one is there; Usage or Unavailable."""
    try:
        _write(path, data, mode)
    except FileExistsError as error:
        raise Usage(f"{path} exists{why}") from error
    except OSError as error:
        raise unwritten(f"{path} cannot be written", error) from error


def write_over(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Makes or replaces a file: a reader sees the old bytes or the new ones. Raises Usage or Unavailable.

    What is no file, such as /dev/stdout, is written to.
    """
    place = Path(os.path.realpath(path))
    half = place.with_name(f".{place.name}.half")
    regular = place.is_file() or not place.exists()
    try:
        if not regular:
            place.write_bytes(data)
            return
        half.unlink(missing_ok=True)
        _write(half, data, mode)
        half.replace(place)
    except OSError as error:
        raise unwritten(f"{path} cannot be written", error) from error


def _write(path: Path, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise
