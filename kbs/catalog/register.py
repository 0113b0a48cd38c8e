"""Changes of the catalogue, each as one unit for the write door: the document, its entry, and what it must replace."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping

from attest.tlog.entry import canonical
from kbs.catalog.port import ChangeDraft
from kbs.catalog.snapshot import read_object
from kbs.model.effect import Effect, PutKeyMaterial, PutObject
from kbs.model.names import AssetName, tenant_of
from kbs.model.unit import Unit, Verdict

__all__ = ["key_version_document", "put"]


def put(  # everything that the change states
    kind: str,
    name: str,
    document: Mapping[str, object],
    *,
    entry: ChangeDraft,
    replaces: bytes = b"",
    keys: Iterable[PutKeyMaterial] = (),
    assets: tuple[str, ...] = (),
) -> Unit:
    """Sets object `name` to `document`, which is read first, so that only what can be used is stored.

    `replaces` is the digest of the document that it replaces, empty for a new object. Raises DocumentInvalid,
    and attest.errors.Malformed if the document has no canonical form.
    """
    data = canonical({"v": f"sealgate.{kind}/1", **document})
    read_object(kind, name, data)
    digest = hashlib.sha256(data).digest()
    draft = entry(
        entry_type=f"{kind}.changed" if replaces else f"{kind}.created",
        tenant=tenant_of(name) if name.startswith("tenants/") else "",
        name=name,
        old=replaces,
        new=digest,
        assets=assets,
    )
    effects: list[Effect] = [PutObject(name=name, kind=kind, digest=digest), *keys]
    verdict = Verdict(draft=draft, blobs=(data,), effects=tuple(effects))
    return Unit(verdict=verdict, expects=((name, replaces),))


def key_version_document(asset: AssetName, version: int, public_key: bytes) -> dict[str, object]:
    """The document of a key version: the public half of an X-Wing key pair, 1216 bytes."""
    encoded = base64.urlsafe_b64encode(public_key).decode().rstrip("=")
    return {"asset": str(asset), "version": version, "suite": "MLKEM768-X25519", "public_key": encoded}
