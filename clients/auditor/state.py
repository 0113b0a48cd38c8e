"""The auditor's own file: the signed checkpoint of the last log that was found to be right, byte for byte.

Because it is a signed note, two of them that contradict each other convict the log without any other witness. Where a
note of log keys says who signs, the newest one that was believed is kept behind it:

    sealgate.state/2
    <bytes of the checkpoint>
    <the checkpoint><the note>

Without such a note the file is the checkpoint alone.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from attest.tlog.note import MAX_NOTE
from clients.errors import Unavailable, Usage, unwritten

__all__ = ["State", "read_state", "write_state"]

_VERSION = b"sealgate.state/2\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was kept: a checkpoint, and the note of log keys, empty if the trust file listed the keys itself."""

    checkpoint: bytes
    log_keys: bytes = b""

    def encode(self) -> bytes:
        """The file. No checkpoint begins as one with a note does: its first line is a log's name."""
        if not self.log_keys:
            return self.checkpoint
        return b"%s%d\n%s%s" % (_VERSION, len(self.checkpoint), self.checkpoint, self.log_keys)

    @classmethod
    def decode(cls, raw: bytes) -> State | None:
        """Reads what `encode` gave and nothing else. That a checkpoint is one is for whoever opens it to find out."""
        if not raw.startswith(_VERSION):
            return cls(checkpoint=raw)
        size, newline, rest = raw.removeprefix(_VERSION).partition(b"\n")
        at = int(size) if newline and size.isdigit() and len(size) < 8 else 0
        found = cls(checkpoint=rest[:at], log_keys=rest[at:])
        return found if found.checkpoint and found.encode() == raw else None


def read_state(path: Path) -> State | None:
    """What was kept, None if there is no file yet; raises Usage. An empty file is a damaged one, not a first use."""
    try:
        with path.open("rb") as file:
            found = State.decode(file.read(2 * MAX_NOTE + 100))
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise Usage(f"the state file {path} cannot be kept: {path.parent} is not a directory") from None
        return None
    except OSError as error:
        raise Usage(f"the state file {path} cannot be read: {error.strerror}") from error
    if found is None:
        raise Usage(f"the state file {path} is damaged: it is not what an audit left")
    return found


def write_state(path: Path, state: State, *, old: State | None) -> None:
    """Replaces `old` by rename, all synced; raises Usage, and Unavailable if something else is there by now."""
    if state == old:
        return
    if read_state(path) != old:
        raise Unavailable(f"another audit has changed the state file {path} meanwhile; run this one again")
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(state.encode())
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
