"""A whole set sealed into a folder: files and directories, their manifest, and how to go on after an interruption.

The journal of a run lies with who seals, not with what was sealed: the folder may be on storage that others write to,
and a line of the manifest must come from nowhere but our own hands. It holds sizes, times and digests, nothing secret.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attest.tlog.canonical import MAX_INTEGER
from clients.errors import Usage
from clients.workload.age_recipient import Recipient, SealedError
from clients.workload.bulk import Told, seal_whole
from clients.workload.manifest import TREE_SUFFIX, Listed, Manifest

__all__ = ["MANIFEST", "Journal", "Source", "find_sources", "seal_set"]

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file to seal, and its path in the set."""

    file: Path
    path: str
    size: int


class Journal:
    """What one run has sealed so far: a line for each finished file.

    `file` belongs to exactly one target folder, asset, recipient and way of pinning; see `of`.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def of(cls, folder: Path, *, target: Path, asset: str, recipient: Recipient, exact: bool) -> Journal:
        """The journal in `folder` of the run that these make up."""
        what = [str(target.resolve()), asset, recipient.text(), exact]
        return cls(folder / f"seal-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]}.jsonl")

    def begin(self) -> None:
        """Before anything is sealed that could not be noted; raises Usage."""
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            where = f"{self.file.parent}: {error.strerror}"
            raise Usage(f"what was sealed cannot be noted in {where}; name another folder with --state DIR") from error

    def read(self) -> dict[str, tuple[list[int], Listed]]:
        """By path: the source's mark when it was sealed, and the line. A line that was cut off is passed over."""
        found: dict[str, tuple[list[int], Listed]] = {}
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                mark, path, size, header, root = json.loads(line)
                listed = Listed(path=path, size=size, header=bytes.fromhex(header), root=bytes.fromhex(root))
            except (ValueError, TypeError, SealedError):
                continue
            found[path] = (mark, listed)
        return found

    def add(self, mark: list[int], listed: Listed) -> None:
        """One more file; on the disk when this returns."""
        line = json.dumps([mark, listed.path, listed.size, listed.header.hex(), listed.root.hex()])
        with open(os.open(self.file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())

    def forget(self) -> None:
        """The run is over."""
        self.file.unlink(missing_ok=True)


def find_sources(paths: Sequence[Path], target: Path) -> tuple[Source, ...]:
    """The files at and below `paths`, sorted by their path in the set; raises Usage.

    A file is named as it is, one in a directory with the directory's name in front. Links to files are followed; what
    is neither file nor directory is refused, and so is a linked directory, since it may contain itself.
    """
    found: dict[str, Source] = {}
    for path in paths:
        for file, name in _below(path):
            if name in found:
                raise Usage(f"{file} and {found[name].file} would both be sealed as {name}")
            if name == MANIFEST or name.endswith(TREE_SUFFIX):
                raise Usage(f"{file} cannot be sealed as {name}: that is the name of a file that sealing writes")
            if file.resolve().is_relative_to(target.resolve()):
                raise Usage(f"{file} lies in {target}, where the sealed files go; choose a folder outside")
            found[name] = Source(file=file, path=name, size=file.stat().st_size)
    if not found:
        raise Usage("there is no file to seal at " + ", ".join(map(str, paths)))
    return tuple(found[name] for name in sorted(found))


def seal_set(
    sources: Sequence[Source],
    target: Path,
    recipient: Recipient,
    *,
    asset: str,
    exact: bool,
    workers: int,
    journal: Journal,
    resume: bool,
    told: Told,
) -> Manifest:
    """Seal `sources` into the folder `target` and write its manifest; returns it.

    With `resume` a file that an earlier run finished is kept if its source is the same by size and times, and the
    sealed one has the size that was written: if its content is not ours, it does not open. Without, a file that is
    there already is an error. A set that is finished is never sealed over: its manifest may be registered. What no
    manifest could hold is refused before anything is sealed. Raises Usage, SealedError, OSError.
    """
    _check_manifest(sources, asset, exact=exact)
    journal.begin()
    target.mkdir(parents=True, exist_ok=True)
    if not (resume and journal.file.exists()):
        _refuse_finished(target)
    done = journal.read() if resume else {}
    if not resume:
        _refuse_existing(sources, target)
        journal.forget()
    lines = []
    for source in sources:
        mark, kept = _mark(source.file), done.get(source.path)
        if kept is not None and kept[0] == mark and _is_there(target / source.path, kept[1]):
            lines.append(kept[1])
            told(source.size)
            continue
        lines.append(_seal_one(source, target, recipient, exact=exact, workers=workers, resume=resume, told=told))
        journal.add(mark, lines[-1])
    manifest = Manifest(asset=asset, files=tuple(lines))
    written = target / f".{MANIFEST}.half"
    written.write_bytes(manifest.encode())
    written.replace(target / MANIFEST)
    journal.forget()
    return manifest


def _check_manifest(sources: Sequence[Source], asset: str, *, exact: bool) -> None:
    """Encodes one as long as it can become: names, their form and their number are judged as they will be."""
    digest = bytes(hashlib.sha256().digest_size)
    root = digest if exact else b""
    try:
        lines = (Listed(path=source.path, size=MAX_INTEGER, header=digest, root=root) for source in sources)
        Manifest(asset=asset, files=tuple(lines)).encode()
    except SealedError as error:
        raise Usage(f"this set can have no manifest: {error}") from error


def _refuse_finished(target: Path) -> None:
    """A manifest without a journal of ours is that of a run that is over."""
    if (target / MANIFEST).exists():
        raise Usage(f"{target} holds a set that is finished: {target / MANIFEST}; seal into another folder")


def _refuse_existing(sources: Sequence[Source], target: Path) -> None:
    """Before anything of an earlier run is forgotten."""
    for source in sources:
        if (target / source.path).exists():
            raise FileExistsError(17, "it exists already", str(target / source.path))


def _seal_one(
    source: Source, target: Path, recipient: Recipient, *, exact: bool, workers: int, resume: bool, told: Told
) -> Listed:
    sealed = target / source.path
    sealed.parent.mkdir(parents=True, exist_ok=True)
    if resume:
        sealed.unlink(missing_ok=True)
        sealed.with_name(f"{sealed.name}{TREE_SUFFIX}").unlink(missing_ok=True)
    return seal_whole(
        source.file,
        sealed,
        recipient,
        path=source.path,
        file_key=os.urandom(16),
        nonce=os.urandom(16),
        exact=exact,
        workers=workers,
        told=told,
    )


def _below(path: Path) -> Iterator[tuple[Path, str]]:
    if not path.exists():
        raise Usage(f"{path} does not exist")
    if not path.is_dir():
        yield _regular(path), path.name
        return
    top = path.resolve().name
    for folder, folders, files in os.walk(path):
        for name in folders:
            if (Path(folder) / name).is_symlink():
                raise Usage(f"{Path(folder) / name} is a link to a directory; name its target instead")
        for name in files:
            file = Path(folder) / name
            yield _regular(file), (Path(top) / file.relative_to(path)).as_posix()


def _regular(file: Path) -> Path:
    if not file.is_file():
        raise Usage(f"{file} is no file that can be sealed")
    return file


def _mark(file: Path) -> list[int]:
    """What changes when the file does."""
    about: os.stat_result = file.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _is_there(sealed: Path, listed: Listed) -> bool:
    try:
        about = sealed.lstat()
        tree = sealed.with_name(f"{sealed.name}{TREE_SUFFIX}")
        return stat.S_ISREG(about.st_mode) and about.st_size == listed.size and (not listed.root or tree.is_file())
    except FileNotFoundError:
        return False
