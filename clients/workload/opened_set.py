"""A sealed set with the key to it: what a node has after `keys get --dir`, and what everything that reads needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clients.errors import Usage
from clients.workload.age_recipient import KeyPair
from clients.workload.manifest import MAX_MANIFEST, Manifest
from clients.workload.sealed import open_sealed
from clients.workload.sealed_file import SealedFile
from clients.workload.sealed_set import MANIFEST

__all__ = ["OpenedSet"]

_DIGEST = 64  # hexadecimal digits


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSet:
    """A folder of sealed files, the manifest that was registered for it, the key that opens it."""

    folder: Path
    manifest: Manifest
    identity: KeyPair

    @classmethod
    def of(cls, folder: Path, *, key: Path, content: Path, asset: str | None = None) -> OpenedSet:
        """From the files that `keys get` wrote; without `asset` it is the one that the registered manifest names.

        Raises Usage, SealedError if the folder's manifest is not the registered one, OSError.
        """
        text = content.read_text(encoding="ascii", errors="replace").strip()
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            digest = b""
        if len(text) != _DIGEST or not digest:
            what = f"{content} is not a content digest of {_DIGEST} hexadecimal digits"
            raise Usage(f"{what}; the asset may have none registered")
        with (folder / MANIFEST).open("rb") as file:
            raw = file.read(MAX_MANIFEST + 1)
        name = asset or Manifest.parse(raw).asset  # what it names may be read before its digest is checked, no more
        manifest = Manifest.registered(raw, asset=name, content_digest=digest)
        return cls(folder=folder, manifest=manifest, identity=KeyPair.generate(key.read_bytes()))

    def open(self, path: str) -> SealedFile:
        """The file at `path` in the set; raises as `open_sealed` does."""
        return open_sealed(self.folder, path, manifest=self.manifest, identity=self.identity)
