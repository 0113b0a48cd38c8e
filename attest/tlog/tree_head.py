"""The text of a checkpoint: which log, how many leaves, which root.

Source: C2SP tlog-checkpoint v1.0.0, section "Note text". Extension lines exist in the format but no one audits them and
ML-DSA-44 cosignatures do not cover them, so this product neither writes nor accepts them in its own logs.
"""

from __future__ import annotations

from dataclasses import dataclass

from attest.errors import Malformed
from attest.tlog.fields import format_base64, parse_base64, parse_decimal
from attest.tlog.merkle import EMPTY_ROOT, HASH_SIZE, MAX_SIZE

__all__ = ["Checkpoint"]

_MAX_ORIGIN = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One state of one log. Raises Malformed CHECKPOINT_FORMAT, or CHECKPOINT_ROOT for an empty tree with a root.

    `extensions` is empty in our logs.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _is_line(self.origin) or len(self.origin.encode()) > _MAX_ORIGIN:
            raise _wrong("origin", f"one line of 1 to {_MAX_ORIGIN} bytes", repr(self.origin))
        if not 0 <= self.size <= MAX_SIZE:
            raise _wrong("size", f"0 to {MAX_SIZE}", self.size)
        if len(self.root) != HASH_SIZE:
            raise _wrong("root", "32 bytes", f"{len(self.root)} bytes")
        if not all(map(_is_line, self.extensions)):
            raise _wrong("extensions", "lines that are not empty", self.extensions)
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise Malformed("CHECKPOINT_ROOT", "checkpoint.root", expected=EMPTY_ROOT, got=self.root)

    def text(self) -> bytes:
        """The note text that is signed, with its final newline."""
        lines = (self.origin, str(self.size), format_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode("utf-8")

    @classmethod
    def parse(cls, text: bytes, *, allow_extensions: bool = False) -> Checkpoint:
        """Read a note text. There is one text for each checkpoint: `parse(text).text() == text`.

        Raises as the class does, and Malformed CHECKPOINT_EXTENSION unless `allow_extensions`, which is for the logs of
        others.
        """
        try:
            lines = text.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise _wrong("text", "UTF-8", text) from error
        if len(lines) < 4 or lines.pop() != "":
            raise _wrong("text", "at least 3 lines, each ending in a newline", text)
        if len(lines) > 3 and not allow_extensions:
            raise Malformed("CHECKPOINT_EXTENSION", "checkpoint", expected="3 lines", got=f"{len(lines)} lines")
        size = parse_decimal(lines[1])
        if size is None:
            raise _wrong("size", "a decimal number without sign, space or leading zero", repr(lines[1]))
        root = parse_base64(lines[2])
        if root is None:
            raise _wrong("root", "canonical base64", repr(lines[2]))
        return cls(origin=lines[0], size=size, root=root, extensions=tuple(lines[3:]))


def _is_line(text: str) -> bool:
    """Not empty, no control character, encodable."""
    return bool(text) and not any(each < " " or "\ud800" <= each <= "\udfff" for each in text)


def _wrong(path: str, expected: object, got: object) -> Malformed:
    return Malformed("CHECKPOINT_FORMAT", f"checkpoint.{path}", expected=expected, got=got)
