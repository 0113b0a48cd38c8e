"""Key versions: made here, imported sealed, disabled, destroyed; and what a node then gets."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from sealgate.v1 import catalog_pb2
from sealgate.v1 import key_versions_pb2 as pb
from sealgate.v1.change_pb2 import Change

from clients.operator.key_versions import seal_import
from clients.workload.age_recipient import KeyPair
from kbs.custody.envelope import WrapInvalid
from kbs.model.refusal import Refused
from kbs.serve.wiring import Running
from tests.kbs.rpc.called import People
from tests.makers import site as maker
from tests.makers.site import ASSET, ORIGIN, SimulatedSite

SECRET = "tenants/acme/assets/luks"


@pytest_asyncio.fixture
async def running(site: SimulatedSite) -> AsyncIterator[Running]:
    with site.open() as opened:
        yield opened


@pytest_asyncio.fixture
async def operator(running: Running, site: SimulatedSite) -> People:
    return People(running, site.operator.key_digest)


async def create(operator: People, asset: str = ASSET, **changed: Any) -> Change:
    return await operator("CreateKeyVersion", pb.CreateKeyVersionRequest(parent=asset, **changed), Change)


async def get(operator: People, name: str) -> pb.KeyVersion:
    return await operator("GetKeyVersion", pb.GetKeyVersionRequest(name=name), pb.KeyVersion)


async def step(operator: People, verb: str, name: str, **changed: Any) -> Change:
    return await operator(f"{verb}KeyVersion", getattr(pb, f"{verb}KeyVersionRequest")(name=name, **changed), Change)


async def new_secret(operator: People) -> pb.KeyVersion:
    document = maker.asset_document(kind="secret", name=SECRET)
    asset = catalog_pb2.Asset(**document)  # type: ignore[arg-type]
    await operator("CreateAsset", catalog_pb2.CreateAssetRequest(asset=asset), Change)
    return await get(operator, (await create(operator, SECRET)).name)


async def test_rotation_is_a_pair_that_only_the_vault_knows(running: Running, operator: People) -> None:
    change = await create(operator)
    assert change.name == f"{ASSET}/keyVersions/2"
    version = await get(operator, f"{ASSET}/keyVersions/newest")
    assert (version.name, version.suite, version.state) == (
        change.name,
        "MLKEM768-X25519",
        pb.KEY_VERSION_STATE_ENABLED,
    )
    pair = KeyPair.generate(running.vault.key(change.name).reveal())
    assert pair.recipient.public == version.public_key
    assert running.broker.catalogue.current().key_versions[ASSET].version == 2
    listed = await operator("ListKeyVersions", pb.ListKeyVersionsRequest(parent=ASSET), pb.ListKeyVersionsResponse)
    assert [v.version for v in listed.key_versions] == [1, 2]
    assert pair.seed not in b"".join(leaf for leaf in running.reader.leaves(0, running.reader.head().size))


async def test_a_rotation_that_is_only_validated_makes_nothing(running: Running, operator: People) -> None:
    change = await create(operator, validate_only=True)
    with pytest.raises(WrapInvalid):
        running.vault.key(change.name)
    with pytest.raises(Refused, match="NOT_FOUND"):
        await get(operator, change.name)


async def test_disabled_is_not_released_and_destroyed_is_gone(running: Running, operator: People) -> None:
    name = (await create(operator)).name
    with pytest.raises(Refused, match="CATALOGUE_RULE"):
        await step(operator, "Destroy", name)
    await step(operator, "Disable", name)
    assert running.broker.catalogue.current().key_versions[ASSET].version == 1
    await step(operator, "Enable", name)
    assert running.broker.catalogue.current().key_versions[ASSET].version == 2
    etag = (await step(operator, "Disable", name)).etag
    with pytest.raises(Refused, match="ETAG_MISMATCH"):
        await step(operator, "Destroy", name, etag="00" * 32)
    await step(operator, "Destroy", name, etag=etag)
    with pytest.raises(WrapInvalid):
        running.vault.key(name)
    for verb in ("Enable", "Disable", "Destroy"):
        with pytest.raises(Refused, match="CATALOGUE_RULE"):
            await step(operator, verb, name)
    assert (await create(operator)).name.endswith("/3")  # a number is never used twice
    with pytest.raises(Refused, match="CATALOGUE_RULE"):
        await operator("DeleteAsset", catalog_pb2.DeleteAssetRequest(name=ASSET), Change)


async def test_a_secret_comes_in_sealed_and_its_pair_goes(running: Running, operator: People) -> None:
    awaiting = await new_secret(operator)
    assert (awaiting.state, awaiting.suite) == (pb.KEY_VERSION_STATE_AWAITING_IMPORT, "imported")
    assert SECRET not in running.broker.catalogue.current().key_versions  # nothing is released before it is there
    secret = os.urandom(64)
    sealed = seal_import(awaiting.public_key, ORIGIN, awaiting.name, secret)
    request = pb.ImportKeyVersionRequest(name=awaiting.name, etag=awaiting.etag, sealed=sealed)
    await operator("ImportKeyVersion", request, Change)
    imported = await get(operator, awaiting.name)
    assert (imported.state, imported.public_key) == (pb.KEY_VERSION_STATE_ENABLED, b"")
    assert running.vault.key(awaiting.name).reveal() == secret
    with pytest.raises(WrapInvalid):
        running.vault.key(f"{awaiting.name}/import")
    with pytest.raises(Refused, match="CATALOGUE_RULE"):
        await operator("ImportKeyVersion", pb.ImportKeyVersionRequest(name=awaiting.name, sealed=sealed), Change)


def _flipped(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


SEALED: dict[str, Callable[[bytes, str], bytes]] = {
    "nothing": lambda key, name: b"",
    "the secret itself": lambda key, name: b"\x07" * 64,
    "cut short": lambda key, name: seal_import(key, ORIGIN, name, b"s" * 32)[:-1],
    "one bit": lambda key, name: _flipped(seal_import(key, ORIGIN, name, b"s" * 32)),
    "for another version": lambda key, name: seal_import(key, ORIGIN, f"{name}1", b"s" * 32),
    "for another deployment": lambda key, name: seal_import(key, "other.example", name, b"s" * 32),
    "for another pair": lambda key, name: seal_import(KeyPair.generate(bytes(32)).recipient.public, ORIGIN, name, b"s"),
    "no bytes": lambda key, name: seal_import(key, ORIGIN, name, b""),
    "too many": lambda key, name: seal_import(key, ORIGIN, name, bytes(4_097)),
}


async def test_what_is_not_sealed_for_it_is_not_imported(operator: People) -> None:
    awaiting = await new_secret(operator)
    for name, seal in SEALED.items():
        sealed = seal(awaiting.public_key, awaiting.name)
        with pytest.raises(Refused, match="IMPORT_INVALID") as refused:
            await operator("ImportKeyVersion", pb.ImportKeyVersionRequest(name=awaiting.name, sealed=sealed), Change)
        assert b"s" * 8 not in repr(refused.value).encode(), name
    assert (await get(operator, awaiting.name)).state == pb.KEY_VERSION_STATE_AWAITING_IMPORT


async def test_an_abandoned_import_can_be_destroyed(running: Running, operator: People) -> None:
    awaiting = await new_secret(operator)
    await step(operator, "Destroy", awaiting.name)
    with pytest.raises(WrapInvalid):
        running.vault.key(f"{awaiting.name}/import")


async def test_documents_hold_public_halves_alone(running: Running, operator: People) -> None:
    await create(operator)
    await new_secret(operator)
    objects = running.broker.catalogue.current().objects.items()
    documents = {name: json.loads(stored.document) for name, stored in objects if stored.kind == "key-version"}
    assert len(documents) >= 2
    for name, document in documents.items():
        assert set(document) <= {"v", "asset", "version", "suite", "public_key", "state"}, name
