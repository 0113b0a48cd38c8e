"""sealgate.v1.KeyVersions: made in here, or imported sealed; the private half is in no message and no document."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from sealgate.v1 import key_versions_pb2 as pb
from sealgate.v1.change_pb2 import Change as ChangeMessage

from kbs.catalog.change import create, update
from kbs.catalog.documents import IMPORTED, X_WING
from kbs.custody.envelope import WrapInvalid
from kbs.custody.pair import IMPORT, SEED_SIZE, open_import, public_key
from kbs.custody.secret import Secret
from kbs.model.asset import Asset, KeyVersion, Object, Snapshot
from kbs.model.effect import DropKeyMaterial, Effect
from kbs.model.refusal import Refused, Unavailable
from kbs.release.port import Broker
from kbs.rpc.changing import commit
from kbs.rpc.handler import Method
from kbs.rpc.pages import page
from kbs.rpc.people import Allowed, Rpc, by_name, methods_of

__all__ = ["NAME", "methods"]

NAME = "sealgate.v1.KeyVersions"
_STATES: Mapping[str, pb.KeyVersionState.ValueType] = {
    "enabled": pb.KEY_VERSION_STATE_ENABLED,
    "disabled": pb.KEY_VERSION_STATE_DISABLED,
    "destroyed": pb.KEY_VERSION_STATE_DESTROYED,
    "awaiting-import": pb.KEY_VERSION_STATE_AWAITING_IMPORT,
}
# What each verb makes of a version, and of which states.
_STEPS: Mapping[str, tuple[str, frozenset[str]]] = {
    "Disable": ("disabled", frozenset({"enabled"})),
    "Enable": ("enabled", frozenset({"disabled"})),
    "Destroy": ("destroyed", frozenset({"disabled", "awaiting-import"})),
}


def methods(broker: Broker) -> dict[str, Method]:
    """The service's methods over one broker."""
    table: dict[str, Rpc[Any]] = {
        "GetKeyVersion": Rpc(request=pb.GetKeyVersionRequest, locate=by_name("name"), run=_get),
        "ListKeyVersions": Rpc(request=pb.ListKeyVersionsRequest, locate=by_name("parent"), run=_list),
        "CreateKeyVersion": Rpc(
            request=pb.CreateKeyVersionRequest, locate=by_name("parent"), run=partial(_create, broker)
        ),
        "ImportKeyVersion": Rpc(
            request=pb.ImportKeyVersionRequest, locate=by_name("name"), run=partial(_import, broker)
        ),
    }
    for verb in _STEPS:
        request = getattr(pb, f"{verb}KeyVersionRequest")
        table[f"{verb}KeyVersion"] = Rpc(request=request, locate=by_name("name"), run=partial(_step, broker, verb))
    return methods_of(NAME, table, broker)


async def _get(request: pb.GetKeyVersionRequest, allowed: Allowed) -> pb.KeyVersion:
    name = request.name
    asset, _, version = name.rpartition("/keyVersions/")
    if version == "newest":
        released = allowed.snapshot.key_versions.get(asset)
        name = released.name if released else name
    return _show(*_found(allowed.snapshot, name))


async def _list(request: pb.ListKeyVersionsRequest, allowed: Allowed) -> pb.ListKeyVersionsResponse:
    asset = _asset(allowed.snapshot, request.parent)
    by_number = {f"{v.version:010}": (v, stored) for v, stored in _versions(allowed.snapshot, asset)}
    found, token = page(sorted(by_number), request.page_size, request.page_token)
    return pb.ListKeyVersionsResponse(key_versions=[_show(*by_number[n]) for n in found], next_page_token=token)


async def _create(broker: Broker, request: pb.CreateKeyVersionRequest, allowed: Allowed) -> ChangeMessage:
    """A pair of 32 fresh random bytes, which nobody outside this function and the vault ever sees."""
    asset = _asset(allowed.snapshot, request.parent)
    number = 1 + max((v.version for v, _ in _versions(allowed.snapshot, asset)), default=0)
    imported = asset.kind == "secret"
    seed = Secret(broker.random(SEED_SIZE))
    version = KeyVersion(
        asset=asset.name,
        version=number,
        public_key=public_key(seed),
        suite=IMPORTED if imported else X_WING,
        state="awaiting-import" if imported else "enabled",
    )
    change = create(allowed.snapshot, "key-version", version.name, _document(version), now=broker.clock())
    rows = tuple(broker.vault.new_key(asset.name, number, seed, IMPORT if imported else ""))
    return await commit(broker, allowed, change, validate_only=request.validate_only, also=rows)


async def _import(broker: Broker, request: pb.ImportKeyVersionRequest, allowed: Allowed) -> ChangeMessage:
    version, _ = _found(allowed.snapshot, request.name)
    if version.state != "awaiting-import":
        raise _not_now(version, "imported", frozenset({"awaiting-import"}))
    try:
        pair = broker.vault.key(version.name + IMPORT)
    except WrapInvalid as error:
        raise Unavailable("KEY_UNAVAILABLE") from error
    try:
        secret = open_import(pair, broker.deployment, version.name, request.sealed)
    except WrapInvalid as error:
        raise Refused("IMPORT_INVALID", check="sealed", expected="a secret for this version", got=str(error)) from None
    rows: tuple[Effect, ...] = (
        *broker.vault.new_key(version.asset, version.version, secret),
        DropKeyMaterial(name=version.name + IMPORT),
    )
    after = replace(version, state="enabled", public_key=b"")
    return await _update(broker, request, allowed, after, rows)


async def _step(broker: Broker, verb: str, request: Any, allowed: Allowed) -> ChangeMessage:
    version, _ = _found(allowed.snapshot, request.name)
    state, before = _STEPS[verb]
    if version.state not in before:
        raise _not_now(version, state, before)
    part = IMPORT if version.state == "awaiting-import" else ""
    rows = (DropKeyMaterial(name=version.name + part),) if verb == "Destroy" else ()
    return await _update(broker, request, allowed, replace(version, state=state), rows)


async def _update(
    broker: Broker, request: Any, allowed: Allowed, after: KeyVersion, rows: tuple[Effect, ...]
) -> ChangeMessage:
    document = _document(after)
    change = update(allowed.snapshot, "key-version", after.name, document, etag=request.etag, now=broker.clock())
    return await commit(broker, allowed, change, validate_only=request.validate_only, also=rows)


def _not_now(version: KeyVersion, state: str, before: frozenset[str]) -> Refused:
    sentence = f"{version.name} is {version.state}; only what is {' or '.join(sorted(before))} becomes {state}"
    return Refused("CATALOGUE_RULE", check="STATE", got=sentence)


def _asset(snapshot: Snapshot, name: str) -> Asset:
    asset = snapshot.assets.get(name)
    if asset is None:
        raise Refused("NOT_FOUND", check="parent", expected="an asset of the catalogue", got=name)
    return asset


def _versions(snapshot: Snapshot, asset: Asset) -> list[tuple[KeyVersion, Object]]:
    prefix = f"{asset.name}/keyVersions/"
    held = ((o.reading, o) for name, o in snapshot.objects.items() if name.startswith(prefix))
    return [(version, stored) for version, stored in held if isinstance(version, KeyVersion)]


def _found(snapshot: Snapshot, name: str) -> tuple[KeyVersion, Object]:
    stored = snapshot.objects.get(name)
    if stored is None or not isinstance(stored.reading, KeyVersion):
        raise Refused("NOT_FOUND", check="name", expected="a key version of the catalogue", got=name)
    return stored.reading, stored


def _document(version: KeyVersion) -> dict[str, object]:
    encoded = base64.urlsafe_b64encode(version.public_key).decode().rstrip("=")
    return {
        "asset": str(version.asset),
        "version": version.version,
        "suite": version.suite,
        "public_key": encoded,
        "state": version.state,
    }


def _show(version: KeyVersion, stored: Object) -> pb.KeyVersion:
    return pb.KeyVersion(
        name=version.name,
        version=version.version,
        suite=version.suite,
        public_key=version.public_key,
        state=_STATES[version.state],
        etag=stored.digest.hex(),
    )
