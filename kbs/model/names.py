"""Resource names, as AIP-122 writes them: tenants/{tenant}/assets/{asset}/keyVersions/{version}."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kbs.model.name_forms import ASSET as _ASSET
from kbs.model.name_forms import ASSET_SAYS, ID, PURPOSE

__all__ = ["PURPOSE", "TENANT", "AssetName", "InvalidName", "Place", "place_of", "tenant_of"]

_RESOURCE = re.compile(rf"tenants/({ID})(?:/[a-zA-Z]+/{ID})+", re.ASCII)
TENANT = re.compile(rf"tenants/{ID}", re.ASCII)


class InvalidName(ValueError):
    """A text that is not a resource name of the kind wanted; its beginning is quoted."""

    def __init__(self, expected: str, text: str) -> None:
        self.expected, self.got = expected, repr(text[:80])
        super().__init__(f"expected {expected}, got {self.got}")


@dataclass(frozen=True, slots=True, order=True)
class AssetName:
    """The name of an asset; valid from birth."""

    tenant: str
    asset: str

    @classmethod
    def parse(cls, text: str) -> AssetName:
        """Reads `tenants/{tenant}/assets/{asset}`; raises InvalidName."""
        match = _ASSET.fullmatch(text)
        if match is None:
            raise InvalidName(ASSET_SAYS, text)
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"tenants/{self.tenant}/assets/{self.asset}"

    def key_version(self, version: int) -> str:
        """The full resource name of one key version."""
        return f"{self}/keyVersions/{version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A thing, which need not exist, and the tenant that it is in: its resource name, or what else tells it apart."""

    tenant: str
    name: str


def place_of(name: str) -> Place:
    """The place of any resource name of ours, also that of a tenant itself; raises InvalidName."""
    if TENANT.fullmatch(name) is not None:
        return Place(tenant=name.removeprefix("tenants/"), name=name)
    return Place(tenant=tenant_of(name), name=name)


def tenant_of(name: str) -> str:
    """The tenant in any resource name of ours; raises InvalidName."""
    match = _RESOURCE.fullmatch(name)
    if match is None:
        raise InvalidName("tenants/TENANT/COLLECTION/ID", name)
    return match[1]
