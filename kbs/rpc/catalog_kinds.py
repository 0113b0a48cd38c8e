"""The kinds of the catalogue on the wire: messages to documents, and documents to messages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1 import catalog_pb2 as pb

from kbs.model.asset import REFERENCE_STATES, Object
from kbs.model.refusal import Refused
from kbs.model.tier import TIERS
from kbs.rpc.parse import parse_json

__all__ = ["KINDS", "Kind"]

Document = dict[str, object]
Pseudonym = Callable[[str, bytes], str]
_STATES = dict(enumerate(REFERENCE_STATES, start=1))
_CEILINGS = ("new_nodes_per_hour", "bytes_per_day", "lease_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind: what its methods are called after, its message, and both ways between message and document.

    `read` is given what makes the pseudonym of a device. `fields` are what lists are filtered by.
    """

    kind: str
    one: str
    message: type[Any]
    field: str
    fields: frozenset[str]
    read: Callable[[Any, Pseudonym], Document]
    show: Callable[[Mapping[str, Any], str], Any]

    def present(self, stored: Object) -> Any:
        """The message of what is stored."""
        return self.show(json.loads(stored.document), stored.digest.hex())


def _labelled(document: Document, labels: Any) -> Document:
    """Labels have no order; none are written as no member."""
    return {**document, "labels": sorted(labels)} if labels else document


def _read_tenant(message: pb.Tenant, _: Pseudonym) -> Document:
    return _labelled({"name": message.name, "owner": message.owner}, message.labels)


def _show_tenant(d: Mapping[str, Any], etag: str) -> pb.Tenant:
    return pb.Tenant(name=d["name"], owner=d["owner"], labels=d.get("labels", ()), etag=etag)


def _read_asset(message: pb.Asset, _: Pseudonym) -> Document:
    """What is 0 of the ceilings is what the tier allows."""
    if not message.HasField("tier"):
        raise Refused("DOCUMENT_INVALID", check="tier", expected=f"0 to {len(TIERS) - 1}", got="none")
    rule = TIERS[message.tier] if 0 <= message.tier < len(TIERS) else None
    document: Document = {
        name: getattr(message, name)
        for name in ("name", "kind", "tier", "owner", "size_bytes", "profile", "content_digest")
    }
    for name in _CEILINGS:
        document[name] = getattr(message, name) or (getattr(rule, name) if rule else 0)
    document |= {"purposes": sorted(message.purposes), "references": list(message.references)}
    return _labelled(document, message.labels)


def _show_asset(d: Mapping[str, Any], etag: str) -> pb.Asset:
    return pb.Asset(**{name: value for name, value in d.items() if name != "v"}, etag=etag)


def _read_profile(message: pb.Profile, _: Pseudonym) -> Document:
    return {"name": message.name, "profile": parse_json(message.definition, "definition")}


def _show_profile(d: Mapping[str, Any], etag: str) -> pb.Profile:
    return pb.Profile(name=d["name"], definition=_text(d["profile"]), etag=etag)


def _read_references(message: pb.ReferenceSet, _: Pseudonym) -> Document:
    document: Document = {
        "name": message.name,
        "state": _STATES.get(int(message.state), ""),
        "shared": message.shared,
        "values": parse_json(message.values, "values"),
    }
    if message.HasField("sunset_time"):
        document["sunset"] = _ms(message.sunset_time)
    return document


def _ms(time: Timestamp) -> int:
    return time.seconds * 1_000 + time.nanos // 1_000_000


def _show_references(d: Mapping[str, Any], etag: str) -> pb.ReferenceSet:
    states = {state: number for number, state in _STATES.items()}
    shown = pb.ReferenceSet(
        name=d["name"],
        state=pb.ReferenceState.Name(states[d["state"]]),  # type: ignore[arg-type]
        shared=d["shared"],
        values=_text(d["values"]),
        etag=etag,
    )
    if "sunset" in d:
        shown.sunset_time.CopyFrom(Timestamp(seconds=d["sunset"] // 1_000, nanos=d["sunset"] % 1_000 * 1_000_000))
    return shown


def _read_device(message: pb.Device, pseudonym: Pseudonym) -> Document:
    """The PDI becomes its pseudonym here; whoever has only that may give it instead."""
    name = message.pseudonym
    if message.pdi:
        if re.fullmatch("[0-9a-f]{16}", message.pdi) is None:
            raise Refused("DOCUMENT_INVALID", check="pdi", expected="8 bytes in hexadecimal", got="something else")
        name = pseudonym(message.kind, bytes.fromhex(message.pdi))
    if not name:
        raise Refused("DOCUMENT_INVALID", check="pdi", expected="the device's PDI", got="none")
    return _labelled({"name": message.name, "kind": message.kind, "pseudonym": name}, message.labels)


def _show_device(d: Mapping[str, Any], etag: str) -> pb.Device:
    shown = {"name": d["name"], "kind": d["kind"], "pseudonym": d["pseudonym"], "labels": d.get("labels", ())}
    return pb.Device(**shown, etag=etag)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


KINDS: tuple[Kind, ...] = (
    Kind(
        kind="tenant", one="Tenant", message=pb.Tenant, field="tenant", fields=frozenset({"owner", "labels"}),
        read=_read_tenant, show=_show_tenant,
    ),
    Kind(
        kind="asset", one="Asset", message=pb.Asset, field="asset",
        fields=frozenset({"kind", "tier", "owner", "size_bytes", "labels", "purposes", "profile", "references"}),
        read=_read_asset, show=_show_asset,
    ),
    Kind(
        kind="profile", one="Profile", message=pb.Profile, field="profile", fields=frozenset({"name"}),
        read=_read_profile, show=_show_profile,
    ),
    Kind(
        kind="reference-set", one="ReferenceSet", message=pb.ReferenceSet, field="reference_set",
        fields=frozenset({"state", "shared"}), read=_read_references, show=_show_references,
    ),
    Kind(
        kind="device", one="Device", message=pb.Device, field="device",
        fields=frozenset({"kind", "pseudonym", "labels"}), read=_read_device, show=_show_device,
    ),
)  # fmt: skip
