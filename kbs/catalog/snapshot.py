"""Loads the whole catalogue into one frozen value. What does not validate stops the load: nothing is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kbs.catalog import documents as read
from kbs.catalog import governance as read_governance
from kbs.catalog.port import ObjectReader
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
from kbs.model.enrolment import Enrolment

__all__ = ["load", "read_object", "snapshot_of"]

Reading = Asset | Device | Enrolment | KeyVersion | Lock | NamedProfile | NamedReferences | Principal | Tenant

_KINDS: Mapping[str, Callable[[bytes], Reading]] = {
    "asset": read.read_asset,
    "device": read.read_device,
    "enrolment": read_governance.read_enrolment,
    "key-version": read.read_key_version,
    "lock": read_governance.read_lock,
    "principal": read_governance.read_principal,
    "profile": read.read_profile,
    "reference-set": read.read_references,
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


def load(reader: ObjectReader, before: Snapshot | None = None) -> Snapshot:
    """The catalogue at its present revision; raises DocumentInvalid for anything that does not read.

    What is as it was in `before` is not read again: a change costs what changed.
    """
    revision, governance, rows = reader.objects()
    kept = before.objects if before else {}
    objects: dict[str, Object] = {}
    for name, kind, digest, document in rows:
        known = kept.get(name)
        if known is not None and (known.kind, known.digest) == (kind, digest):
            objects[name] = known
            continue
        reading = read_object(kind, name, document)
        objects[name] = Object(kind=kind, digest=digest, document=document, reading=reading)
    return snapshot_of(objects, revision, governance)


def snapshot_of(objects: Mapping[str, Object], revision: int, governance: int) -> Snapshot:
    """The objects by what they are; of an asset's key versions, the newest that is enabled is what is released."""
    found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    for each in objects.values():
        found[each.kind].append(each.reading)
    newest: dict[str, KeyVersion] = {}
    for version in sorted(found["key-version"], key=lambda v: int(v.version)):
        if version.state == "enabled":
            newest[str(version.asset)] = version
    return Snapshot(
        revision=revision,
        governance=governance,
        assets={str(a.name): a for a in found["asset"]},
        key_versions=newest,
        profiles={p.name: p for p in found["profile"]},
        references={r.name: r for r in found["reference-set"]},
        principals={p.key: p for p in found["principal"]},
        enrolments={e.name: e for e in found["enrolment"]},
        locks=tuple(lock for lock in found["lock"] if lock.target),
        objects=objects,
    )
