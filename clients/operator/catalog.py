"""The catalogue as an operator's client sees it: resources by name, whatever their kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sealgate.v1 import catalog_pb2 as pb
from sealgate.v1.change_pb2 import Change

from clients.errors import Usage
from clients.operator.documents import Type, type_of
from clients.transport import Channel

__all__ = ["delete", "get", "listed", "to_document", "write"]

_SERVICE = "/sealgate.v1.Catalog/"
_STATES = ("draft", "active", "deprecated", "revoked")


def get(channel: Channel, name: str) -> Any:
    """The resource of that name; raises Usage for what is no name, Denied, Unavailable."""
    kind = _kind(name)
    request = getattr(pb, f"Get{kind.one}Request")(name=name)
    return channel.call(f"{_SERVICE}Get{kind.one}", request, kind.message)


def listed(channel: Channel, kind: Type, parent: str, wanted: str = "") -> Iterator[Any]:
    """Every resource of a kind below `parent` (tenants/{tenant}; not looked at for tenants), page by page."""
    request = getattr(pb, f"List{kind.one}sRequest")(page_size=1_000, filter=wanted)
    if kind.collection:
        request.parent = parent
    while True:
        page = channel.call(f"{_SERVICE}List{kind.one}s", request, getattr(pb, f"List{kind.one}sResponse"))
        yield from getattr(page, f"{kind.field}s")
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def write(channel: Channel, message: Any, *, new: bool) -> Change:
    """Creates or updates a resource; with an etag it must be what is there. Raises Denied, Unavailable."""
    kind, verb = _kind(message.name), "Create" if new else "Update"
    request = getattr(pb, f"{verb}{kind.one}Request")(**{kind.field: message})
    return channel.call(f"{_SERVICE}{verb}{kind.one}", request, Change)


def delete(channel: Channel, name: str, etag: str = "") -> Change:
    """Removes a resource; raises Denied, Unavailable."""
    kind = _kind(name)
    request = getattr(pb, f"Delete{kind.one}Request")(name=name, etag=etag)
    return channel.call(f"{_SERVICE}Delete{kind.one}", request, Change)


def to_document(message: Any) -> dict[str, Any]:
    """The resource as `sealgate apply` reads it; what has its default is left out, but never a tier or a flag."""
    document: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.name in {"definition", "values"}:
            document[field.name] = json.loads(value)
        elif field.enum_type is not None:
            document[field.name] = _STATES[value - 1]
        elif field.message_type is not None:
            if message.HasField(field.name):
                document["sunset"] = value.ToJsonString()
        elif field.is_repeated:
            document |= {field.name: list(value)} if value else {}
        elif value or field.name in {"tier", "shared"}:
            document[field.name] = value
    return document


def _kind(name: str) -> Type:
    kind = type_of(name)
    if kind is None:
        raise Usage(f"{name} is not the name of a tenant, asset, profile, reference set or device")
    return kind
