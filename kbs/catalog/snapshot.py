"""Loads the whole catalogue into one frozen value. What does not validate stops the load: nothing is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kbs.catalog import documents as read
from kbs.catalog.port import ObjectReader
from kbs.model.asset import Asset, KeyVersion, Lock, NamedProfile, NamedReferences, Object, Principal, Snapshot
from kbs.model.enrolment import Enrolment

__all__ = ["load", "read_object"]

Reading = Asset | Enrolment | KeyVersion | NamedProfile | NamedReferences | Principal | Lock

_KINDS: Mapping[str, Callable[[bytes], Reading]] = {
    "asset": read.read_asset,
    "enrolment": read.read_enrolment,
    "key-version": read.read_key_version,
    "lock": read.read_lock,
    "principal": read.read_principal,
    "profile": read.read_profile,
    "reference-set": read.read_references,
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
    """The catalogue at its present revision; raises DocumentInvalid for anything that does not read."""
    revision, governance, rows = reader.objects()
    found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    objects: dict[str, Object] = {}
    for name, kind, digest, document in rows:
        reading = read_object(kind, name, document)
        found[kind].append(reading)
        objects[name] = Object(kind=kind, digest=digest, document=document)
    newest: dict[str, KeyVersion] = {}
    for version in sorted(found["key-version"], key=lambda v: int(v.version)):
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
