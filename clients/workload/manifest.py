"""The manifest of a sealed set: which sealed files an asset consists of, each pinned by size and header, or exactly.

Sources: RFC 6962 section 2.1 (the roots); RFC 8785 as narrowed by attest/tlog/canonical.py (the bytes). SHA-256 of the
bytes is the asset's `content_digest`. `header` is SHA-256 of a file's header and nonce: it fixes the file key, so that
nobody without that key can make a chunk that opens. `root` is empty, or the Merkle root of the file's pieces: then not
even who holds the key can. Which of the two and why: docs/decisions/0008-sealed-files-are-pinned-by-their-header.md.

    {"asset":"tenants/t/assets/a","files":[{"header":"<64 hex>","path":"a","root":"","size":1643}],
     "v":"sealgate.manifest/1"}                                                     (in one line, without spaces)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter

from attest.errors import Malformed
from attest.tlog.canonical import MAX_INTEGER, canonical, parse_canonical
from clients.workload.age_recipient import NotListed, NotSealed
from kbs.model.names import AssetName, InvalidName

__all__ = ["MAX_MANIFEST", "TREE_SUFFIX", "VERSION", "Listed", "Manifest"]

VERSION = "sealgate.manifest/1"
MAX_MANIFEST = 16 * 1024 * 1024  # bytes; about 65,000 files
TREE_SUFFIX = ".tree"  # the sidecar of piece hashes beside each sealed file

_MAX_PATH = 1024  # bytes
_MAX_COMPONENT = 255  # bytes, as Linux file systems have it
_DIGEST = re.compile("[0-9a-f]{64}")
_MEMBERS = {"v", "asset", "files"}
_FILE_MEMBERS = {"path", "size", "header", "root"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One sealed file: where it lies, its size in bytes, the digest of its header, perhaps the root of its pieces.

    `path` is relative, its components printable, none of them `.` or `..`, and it does not end in `.tree`. Raises
    NotSealed MANIFEST_FORMAT.
    """

    path: str
    size: int
    header: bytes
    root: bytes = b""

    def __post_init__(self) -> None:
        _check_path(self.path)
        if not 0 < self.size <= MAX_INTEGER:
            raise _wrong(f"{self.path}: size", f"1 to {MAX_INTEGER}", self.size)
        if len(self.header) != hashlib.sha256().digest_size:
            raise _wrong(f"{self.path}: header", "32 bytes", f"{len(self.header)} bytes")
        if len(self.root) not in {0, hashlib.sha256().digest_size}:
            raise _wrong(f"{self.path}: root", "none or 32 bytes", f"{len(self.root)} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The sealed files of one asset: at least one, sorted by path, each path once; else NotSealed MANIFEST_FORMAT."""

    asset: str
    files: tuple[Listed, ...]

    def __post_init__(self) -> None:
        try:
            AssetName.parse(self.asset)
        except InvalidName:
            raise _wrong("asset", "tenants/TENANT/assets/ASSET", repr(self.asset)) from None
        if not self.files:
            raise _wrong("files", "at least one", "none")
        for before, after in zip(self.files, self.files[1:], strict=False):
            if before.path >= after.path:
                raise _wrong("files", f"a path after {before.path!r}", repr(after.path))

    @classmethod
    def parse(cls, raw: bytes) -> Manifest:
        """Read what `encode` wrote, and nothing else: another spelling of the same value is refused too.

        Raises NotSealed MANIFEST_FORMAT. What it returns is well-formed, not trusted: see `registered`.
        """
        try:
            value = parse_canonical(raw, limit=MAX_MANIFEST)
        except Malformed as error:
            raise _wrong(error.path, error.expected, error.got) from None
        members = _members(value, _MEMBERS, "$")
        if members["v"] != VERSION:
            raise _wrong("v", VERSION, members["v"])
        asset, files = members["asset"], members["files"]
        if not isinstance(asset, str) or not isinstance(files, list):
            raise _wrong("$", "a string and a list", f"{type(asset).__name__} and {type(files).__name__}")
        return cls(asset=asset, files=tuple(_listed(each, f"files[{at}]") for at, each in enumerate(files)))

    @classmethod
    def registered(cls, raw: bytes, *, asset: str, content_digest: bytes) -> Manifest:
        """Read the manifest that `asset` is registered with: the digest is checked before anything is read.

        `content_digest` came with the release. Raises NotListed MANIFEST_DIGEST or MANIFEST_ASSET, and as `parse` does.
        """
        digest = hashlib.sha256(raw).digest()
        if not hmac.compare_digest(digest, content_digest):
            raise NotListed("MANIFEST_DIGEST", "manifest", expected=content_digest, got=digest)
        manifest = cls.parse(raw)
        if manifest.asset != asset:
            raise NotListed("MANIFEST_ASSET", "manifest.asset", expected=asset, got=manifest.asset)
        return manifest

    def encode(self) -> bytes:
        """The canonical bytes. Raises NotSealed MANIFEST_FORMAT above `MAX_MANIFEST`, and for paths not in NFC."""
        files = [
            {"path": each.path, "size": each.size, "header": each.header.hex(), "root": each.root.hex()}
            for each in self.files
        ]
        try:
            return canonical({"v": VERSION, "asset": self.asset, "files": files}, limit=MAX_MANIFEST)
        except Malformed as error:
            raise _wrong(error.path, error.expected, error.got) from None

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes: the asset's `content_digest`."""
        return hashlib.sha256(self.encode()).digest()

    def file(self, path: str) -> Listed:
        """The file at `path`; raises NotListed MANIFEST_UNKNOWN_PATH."""
        at = bisect_left(self.files, path, key=attrgetter("path"))
        if at == len(self.files) or self.files[at].path != path:
            expected = f"one of the {len(self.files)} paths of {self.asset}"
            raise NotListed("MANIFEST_UNKNOWN_PATH", "path", expected=expected, got=ascii(path))
        return self.files[at]


def _listed(value: object, path: str) -> Listed:
    members = _members(value, _FILE_MEMBERS, path)
    name, size = members["path"], members["size"]
    if not isinstance(name, str) or type(size) is not int:
        raise _wrong(path, "a string and an integer", f"{type(name).__name__} and {type(size).__name__}")
    header, root = (_digest(members[each], f"{path}.{each}") for each in ("header", "root"))
    return Listed(path=name, size=size, header=header, root=root)


def _digest(value: object, path: str) -> bytes:
    """The bytes of a digest, or of none; whether there must be one is for `Listed` to say."""
    if not isinstance(value, str) or (value and _DIGEST.fullmatch(value) is None):
        raise _wrong(path, "64 lower-case hexadecimal digits", repr(value))
    return bytes.fromhex(value)


def _members(value: object, names: set[str], path: str) -> dict[str, object]:
    if not isinstance(value, dict) or value.keys() != names:
        got = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise _wrong(path, f"exactly {sorted(names)}", got)
    return value


def _check_path(path: str) -> None:
    components = path.split("/")
    encoded = path.encode("utf-8", "replace")
    if not path.isprintable() or "\\" in path or len(encoded) > _MAX_PATH:
        raise _wrong("path", f"at most {_MAX_PATH} printable bytes without a backslash", ascii(path))
    for each in components:
        if each in {"", ".", ".."} or each != each.strip() or len(each.encode("utf-8", "replace")) > _MAX_COMPONENT:
            raise _wrong("path", f"components of 1 to {_MAX_COMPONENT} bytes, not '.' or '..'", ascii(path))
    if path.endswith(TREE_SUFFIX):
        raise _wrong("path", f"no {TREE_SUFFIX} at the end: that is a sidecar", ascii(path))


def _wrong(path: str, expected: object, got: object) -> NotSealed:
    return NotSealed("MANIFEST_FORMAT", path, expected=expected, got=got)
