"""A change of one object, judged before it is written: the document, what it must replace, what it would break.

`Change` is what would go through the write door. Nothing here writes: whoever validates only, stops here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attest.errors import AttestError
from attest.tlog.entry import canonical
from kbs.catalog.coherence import complaints, misstep
from kbs.catalog.fields import DocumentInvalid
from kbs.catalog.port import ChangeDraft
from kbs.catalog.snapshot import evolve, read_object
from kbs.model.asset import Object, Snapshot
from kbs.model.effect import DropObject, Effect, PutObject
from kbs.model.names import place_of
from kbs.model.refusal import Refused
from kbs.model.unit import Unit, Verdict

__all__ = ["COLLECTIONS", "Change", "create", "delete", "update"]

# kind: its collection. What people may write here; principals and locks have ways of their own.
COLLECTIONS: Mapping[str, str] = {
    "tenant": "",
    "asset": "assets",
    "device": "devices",
    "profile": "profiles",
    "reference-set": "referenceSets",
    "key-version": "keyVersions",
}
_ID = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Object `name` goes from the document of digest `old` to that of `new`, either empty for none.

    `after` is the catalogue as it would be.
    """

    kind: str
    name: str
    old: bytes
    new: bytes
    document: bytes
    after: Snapshot

    def unit(
        self, entry: ChangeDraft, *, revision: int, own: tuple[bytes, ...] = (), also: tuple[Effect, ...] = ()
    ) -> Unit:
        """What goes through the write door. `also` are further rows, `own` is what the entry alone names."""
        verb = "deleted" if not self.new else "changed" if self.old else "created"
        asset = re.match(f"tenants/{_ID}/assets/{_ID}", self.name)
        draft = entry(
            entry_type=f"{self.kind}.{verb}",
            tenant=place_of(self.name).tenant,
            name=self.name,
            old=self.old,
            new=self.new,
            assets=(asset[0],) if asset else (),
        )
        row: Effect = DropObject(name=self.name)
        if self.new:
            row = PutObject(name=self.name, kind=self.kind, digest=self.new)
        blobs = (self.document,) if self.new else ()
        verdict = Verdict(draft=draft, blobs=blobs, own=own, effects=(row, *also))
        return Unit(verdict=verdict, expects=((self.name, self.old),), revision=revision)


def create(snapshot: Snapshot, kind: str, name: str, document: Mapping[str, object], *, now: int) -> Change:
    """A new object. Raises Refused ALREADY_EXISTS, DOCUMENT_INVALID or CATALOGUE_RULE, with a sentence."""
    if name in snapshot.objects:
        raise Refused("ALREADY_EXISTS", check="name", expected="a name that is free", got=name)
    return _change(snapshot, kind, name, document, b"", now)


def update(snapshot: Snapshot, kind: str, name: str, document: Mapping[str, object], *, etag: str, now: int) -> Change:
    """Another document for an object. `etag` is that of the one it is to replace; empty: of whichever is there.

    Raises Refused NOT_FOUND, ETAG_MISMATCH, DOCUMENT_INVALID or CATALOGUE_RULE.
    """
    return _change(snapshot, kind, name, document, _present(snapshot, kind, name, etag).digest, now)


def delete(snapshot: Snapshot, kind: str, name: str, *, etag: str, now: int) -> Change:
    """No object any more. Raises Refused NOT_FOUND, ETAG_MISMATCH or CATALOGUE_RULE where something needs it."""
    present = _present(snapshot, kind, name, etag)
    after = evolve(snapshot, {}, frozenset({name}), snapshot.revision, snapshot.governance)
    _insist(complaints(after, name, present.reading, now))
    return Change(kind=kind, name=name, old=present.digest, new=b"", document=b"", after=after)


def _present(snapshot: Snapshot, kind: str, name: str, etag: str) -> Object:
    present = snapshot.objects.get(name)
    if present is None or present.kind != kind:
        raise Refused("NOT_FOUND", check="name", expected=f"one of kind {kind}", got=name)
    if etag and etag != present.digest.hex():
        raise Refused("ETAG_MISMATCH", check="etag", expected=present.digest.hex(), got=etag)
    return present


def _change(snapshot: Snapshot, kind: str, name: str, document: Mapping[str, object], old: bytes, now: int) -> Change:
    _check_name(kind, name)
    try:
        data = canonical({"v": f"sealgate.{kind}/1", **document})
        reading = read_object(kind, name, data)
    except (AttestError, DocumentInvalid) as error:
        raise Refused("DOCUMENT_INVALID", check=name, expected=f"a document of kind {kind}", got=str(error)) from error
    before = snapshot.objects.get(name)
    digest = hashlib.sha256(data).digest()
    written = Object(kind=kind, digest=digest, document=data, reading=reading)
    after = evolve(snapshot, {name: written}, frozenset(), snapshot.revision, snapshot.governance)
    if digest != old:
        wrong = misstep(before.reading if before else None, reading)
        _insist([wrong] if wrong else complaints(after, name, before.reading if before else None, now))
    return Change(kind=kind, name=name, old=old, new=digest, document=data, after=after)


def _check_name(kind: str, name: str) -> None:
    pattern = f"tenants/{_ID}"
    if kind == "key-version":
        pattern += f"/assets/{_ID}/keyVersions/[1-9][0-9]{{0,9}}"
    elif kind != "tenant":
        pattern += f"/{COLLECTIONS[kind]}/{_ID}"
    if re.fullmatch(pattern, name, re.ASCII) is None:
        like = f"tenants/TENANT/{COLLECTIONS[kind]}/ID" if COLLECTIONS[kind] else "tenants/TENANT"
        raise Refused("DOCUMENT_INVALID", check="name", expected=like, got=name[:120])


def _insist(found: Iterable[tuple[str, str]]) -> None:
    for rule, sentence in found:
        raise Refused("CATALOGUE_RULE", check=rule, got=sentence)
