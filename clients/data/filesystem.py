"""A sealed set as a read-only fsspec file system, so that loaders read shards where they lie.

Source: fsspec, "Creating an fsspec-compatible backend". Nothing is cached on a disk and no plaintext leaves the memory
of the process that reads. Usage::

    fs = fsspec.filesystem("sealgate", folder="/mnt/sealed", key="/run/keys/llm.key", content="/run/keys/llm.content")
    with fs.open("shards/000.tar") as shard: ...
"""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

from fsspec.spec import AbstractFileSystem

from clients.workload.opened_set import OpenedSet

__all__ = ["SealedFileSystem"]

_BUFFER = 1 << 20  # bytes that one read ahead takes: tar shards are read in order


class SealedFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The files that the registered manifest lists, and no others, in the clear.

    `folder`, `key` and `content` as `OpenedSet.of` takes them; what is wrong with them is raised at once.
    """

    protocol = "sealgate"
    cachable = False  # an instance holds a key; nobody gets it by asking for the same arguments

    def __init__(
        self, folder: str | Path, key: str | Path, content: str | Path, asset: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._set = OpenedSet.of(Path(folder), key=Path(key), content=Path(content), asset=asset)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size in the clear and type; the size is not believed before the file's last chunk has opened."""
        name = self._strip_protocol(path).strip("/")
        paths = [line.path for line in self._set.manifest.files]
        if name in paths:
            with self._set.open(name) as sealed:
                return {"name": name, "size": sealed.size, "type": "file"}
        if not name or any(each.startswith(f"{name}/") for each in paths):
            return {"name": name, "size": 0, "type": "directory"}
        raise FileNotFoundError(errno.ENOENT, "it is not in the manifest", path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What lies directly below a directory, or the file itself."""
        info = self.info(path)
        if info["type"] == "file":
            return [info] if detail else [info["name"]]
        start = f"{info['name']}/" if info["name"] else ""
        below = [line.path[len(start) :] for line in self._set.manifest.files if line.path.startswith(start)]
        names = sorted({start + each.split("/")[0] for each in below})
        return [self.info(name) for name in names] if detail else names

    def _open(self, path: str, mode: str = "rb", block_size: int | str | None = None, **_: Any) -> io.BufferedReader:
        if mode != "rb":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        name = self._strip_protocol(path).strip("/")
        if self.info(name)["type"] != "file":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        size = block_size if isinstance(block_size, int) and block_size > 0 else _BUFFER
        return io.BufferedReader(self._set.open(name), size)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: Any) -> bytes:
        """A stretch of a file: only the chunks that it touches are read."""
        with self._set.open(self._strip_protocol(path).strip("/")) as sealed:
            first, last, _step = slice(start, end).indices(sealed.size)
            into = bytearray(max(last - first, 0))
            sealed.read_at(first, memoryview(into))
            return bytes(into)

    def _read_only(self, path: str, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    mkdir = makedirs = rmdir = rm_file = _rm = cp_file = touch = pipe_file = _read_only
