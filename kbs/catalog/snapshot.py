"""Loads the whole catalogue into one frozen value. What does not validate stops the load: nothing is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kbs.catalog import documents as read
from kbs.catalog import governance as read_governance
from kbs.catalog.port import ChangedReader, ObjectReader
from kbs.model.asset import (
    Asset,
    Device,
    KeyVersion,
    Lock,
    NamedProfile,
    NamedReferences,
    Object,
    Principal,
    Snapshot,
    Tenant,
)
from kbs.model.enrolment import Enrolment, RetiredKey

__all__ = ["evolve", "load", "read_object", "reload", "snapshot_of"]

Reading = (
    Asset | Device | Enrolment | KeyVersion | Lock | NamedProfile | NamedReferences | Principal | RetiredKey | Tenant
)

_KINDS: Mapping[str, Callable[[bytes], Reading]] = {
    "asset": read.read_asset,
    "device": read.read_device,
    "enrolment": read_governance.read_enrolment,
    "key-version": read.read_key_version,
    "lock": read_governance.read_lock,
    "principal": read_governance.read_principal,
    "profile": read.read_profile,
    "reference-set": read.read_references,
    "retired-key": read_governance.read_retired_key,
    "tenant": read.read_tenant,
}


def read_object(kind: str, name: str, document: bytes) -> Reading:
    """The document of object `name`; raises DocumentInvalid, also for one that describes another object.

    A principal's document holds a pseudonym, hence its object may be named as people like.
    """
    if kind not in _KINDS:
        raise read.DocumentInvalid(f"{name} is of kind {kind!r}, which this version does not know")
    reading = _KINDS[kind](document)
    described = name if isinstance(reading, Principal) else str(reading.name)
    if described != name:
        raise read.DocumentInvalid(f"name must be {name!r}, it is {described!r}")
    return reading


def load(reader: ObjectReader) -> Snapshot:
    """The whole catalogue at its present revision; raises DocumentInvalid for anything that does not read."""
    revision, governance, rows = reader.objects()
    return snapshot_of(_read(rows), revision, governance)


def reload(reader: ChangedReader, before: Snapshot) -> Snapshot:
    """The catalogue at its present revision, from an earlier one: costs what changed, not what there is.

    Raises DocumentInvalid as `load` does; `before` is then what it was.
    """
    changed = reader.objects_since(before.governance)
    written = _read(changed.rows)
    gone: frozenset[str] = frozenset()
    if len(before.objects) + sum(name not in before.objects for name in written) != changed.count:
        gone = frozenset(before.objects) - frozenset(reader.object_names())
    return evolve(before, written, gone, changed.revision, changed.governance)


def _read(rows: Sequence[tuple[str, str, bytes, bytes]]) -> dict[str, Object]:
    return {
        name: Object(kind=kind, digest=digest, document=document, reading=read_object(kind, name, document))
        for name, kind, digest, document in rows
    }


def snapshot_of(objects: Mapping[str, Object], revision: int, governance: int) -> Snapshot:
    """The objects by what they are; of an asset's key versions, the newest that is enabled is what is released."""
    return evolve(_NOTHING, objects, frozenset(), revision, governance)


def evolve(
    before: Snapshot, written: Mapping[str, Object], gone: frozenset[str], revision: int, governance: int
) -> Snapshot:
    """`before` with the objects `written` as they are now, and without those `gone`. What is alike is shared."""
    objects = {**before.objects, **written}
    for name in gone:
        objects.pop(name, None)
    touched = [before.objects[name] for name in {*written, *gone} if name in before.objects] + list(written.values())
    kinds = {each.kind for each in touched}
    changed: dict[str, Any] = {}
    for kind, (field, key) in _PLACES.items():
        if kind in kinds:
            alike: dict[Any, Any] = dict(getattr(before, field))
            for each in touched:
                if each.kind == kind:
                    alike.pop(key(each.reading), None)
            alike |= {key(o.reading): o.reading for n, o in written.items() if o.kind == kind and n not in gone}
            changed[field] = alike
    if "key-version" in kinds:
        assets = {str(each.reading.asset) for each in touched if isinstance(each.reading, KeyVersion)}
        changed["key_versions"] = {
            **{name: version for name, version in before.key_versions.items() if name not in assets},
            **_newest(objects, assets),
        }
    if "lock" in kinds:
        found = (objects[name].reading for name in sorted(objects) if objects[name].kind == "lock")
        changed["locks"] = tuple(lock for lock in found if isinstance(lock, Lock) and lock.target)
    return replace(before, revision=revision, governance=governance, objects=objects, **changed)


def _newest(objects: Mapping[str, Object], assets: set[str]) -> dict[str, KeyVersion]:
    """Of each of these assets, the newest version that is enabled."""
    newest: dict[str, KeyVersion] = {}
    for each in objects.values():
        version = each.reading
        if isinstance(version, KeyVersion) and version.state == "enabled" and str(version.asset) in assets:
            known = newest.get(str(version.asset))
            if known is None or int(known.version) < int(version.version):
                newest[str(version.asset)] = version
    return newest


# Where readings of a kind stand in a snapshot, and under what. Of devices, retired keys and tenants `objects` alone
# knows.
_PLACES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "asset": ("assets", lambda asset: str(asset.name)),
    "enrolment": ("enrolments", lambda enrolment: enrolment.name),
    "principal": ("principals", lambda principal: principal.key),
    "profile": ("profiles", lambda profile: profile.name),
    "reference-set": ("references", lambda references: references.name),
}
_NOTHING = Snapshot(
    revision=0, governance=0, assets={}, key_versions={}, profiles={}, references={}, principals={}, locks=()
)
