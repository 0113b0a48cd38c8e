"""The auditor's own file: the signed checkpoint of the last log that was found to be right, byte for byte.

Because it is a signed note, two of them that contradict each other convict the log without any other witness.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from attest.tlog.note import MAX_NOTE
from clients.errors import Unavailable, Usage, unwritten

__all__ = ["read_state", "write_state"]


def read_state(path: Path) -> bytes | None:
    """What was kept, None if there is no file yet; raises Usage. An empty file is a damaged one, not a first use."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_NOTE + 1)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise Usage(f"the state file {path} cannot be kept: {path.parent} is not a directory") from None
        return None
    except OSError as error:
        raise Usage(f"the state file {path} cannot be read: {error.strerror}") from error


def write_state(path: Path, checkpoint: bytes, *, old: bytes | None) -> None:
    """Replaces `old` by rename, all synced; raises Usage, and Unavailable if something else is there by now."""
    if checkpoint == old:
        return
    if read_state(path) != old:
        raise Unavailable(f"another audit has changed the state file {path} meanwhile; run this one again")
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(checkpoint)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync(path.parent)
    except OSError as error:
        raise unwritten(f"the state file {path} cannot be written", error) from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
