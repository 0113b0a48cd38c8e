"""Loads the whole catalogue into one frozen value. What does not validate stops the load: nothing is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kbs.catalog import documents as read
from kbs.catalog.port import ObjectReader
from kbs.model.asset import Asset, KeyVersion, Lock, NamedProfile, NamedReferences, Principal, Snapshot

__all__ = ["KINDS", "load"]

Reading = Asset | KeyVersion | NamedProfile | NamedReferences | Principal | Lock

KINDS: Mapping[str, Callable[[bytes], Reading]] = {
    "asset": read.read_asset,
    "key-version": read.read_key_version,
    "lock": read.read_lock,
    "principal": read.read_principal,
    "profile": read.read_profile,
    "reference-set": read.read_references,
}


def load(reader: ObjectReader) -> Snapshot:
    """The catalogue at its present revision; raises DocumentInvalid for anything that does not read."""
    revision, governance, rows = reader.objects()
    found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for name, kind, _, document in rows:
        if kind not in KINDS:
            raise read.DocumentInvalid(f"{name} is of kind {kind!r}, which this version does not know")
        found[kind].append(KINDS[kind](document))
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
        principals={p.certificate: p for p in found["principal"]},
        locks=tuple(lock for lock in found["lock"] if lock.target),
    )
