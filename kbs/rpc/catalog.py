"""sealgate.v1.Catalog: the documents that releases are decided by. Every method is the same for every kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sealgate.v1 import catalog_pb2 as pb
from sealgate.v1.change_pb2 import CHANGE_STATE_VALIDATED

from kbs.catalog.change import Change, create, delete, update
from kbs.model.asset import Principal, Snapshot
from kbs.model.names import InvalidName, Place, place_of
from kbs.model.refusal import Refused
from kbs.release.port import Broker
from kbs.rpc.catalog_kinds import KINDS, Kind
from kbs.rpc.changing import commit, told
from kbs.rpc.handler import Method
from kbs.rpc.pages import filter_of, page
from kbs.rpc.people import Allowed, Rpc, by_name, methods_of

__all__ = ["NAME", "methods"]

NAME = "sealgate.v1.Catalog"
_MAX_PLANNED = 512
_ORDER = {kind.field: kind for kind in KINDS}


def methods(broker: Broker) -> dict[str, Method]:
    """The service's methods over one broker."""
    table: dict[str, Rpc[Any]] = {}
    for kind in KINDS:
        table |= {
            f"Get{kind.one}": _rpc(f"Get{kind.one}Request", by_name("name"), partial(_get, kind)),
            f"List{kind.one}s": _rpc(f"List{kind.one}sRequest", _parent(kind), partial(_list, kind)),
            f"Create{kind.one}": _rpc(
                f"Create{kind.one}Request", by_name(f"{kind.field}.name"), partial(_write, broker, kind, new=True)
            ),
            f"Update{kind.one}": _rpc(
                f"Update{kind.one}Request", by_name(f"{kind.field}.name"), partial(_write, broker, kind, new=False)
            ),
            f"Delete{kind.one}": _rpc(f"Delete{kind.one}Request", by_name("name"), partial(_delete, broker, kind)),
        }
    table["PlanChanges"] = _rpc("PlanChangesRequest", by_name("parent"), partial(_plan, broker))
    return methods_of(NAME, table, broker)


def _rpc(request: str, locate: Callable[[Any, Principal], Place], run: Any) -> Rpc[Any]:
    return Rpc(request=getattr(pb, request), locate=locate, run=run)


def _parent(kind: Kind) -> Callable[[Any, Principal], Place]:
    """Where a list is of: its parent; tenants are those of the person who asks."""
    if kind.kind != "tenant":
        return by_name("parent")
    return lambda _request, person: Place(tenant=min(person.tenants), name="tenants")


async def _get(kind: Kind, request: Any, allowed: Allowed) -> Any:
    stored = allowed.snapshot.objects.get(request.name)
    if stored is None or stored.kind != kind.kind:
        raise Refused("NOT_FOUND", check="name", expected=f"one of kind {kind.kind}", got=request.name)
    return kind.present(stored)


async def _list(kind: Kind, request: Any, allowed: Allowed) -> Any:
    meets = filter_of(request.filter, kind.fields)
    if kind.kind == "tenant":
        names = _names(kind, allowed.snapshot, [f"tenants/{tenant}" for tenant in allowed.person.tenants])
    else:
        if request.parent != f"tenants/{allowed.place.tenant}":
            raise Refused("REQUEST_MALFORMED", check="parent", expected="tenants/TENANT", got=request.parent[:80])
        prefix = f"{request.parent}/"
        names = _names(kind, allowed.snapshot, (n for n in allowed.snapshot.objects if n.startswith(prefix)))
    stored = allowed.snapshot.objects
    fitting = (name for name in names if meets(json.loads(stored[name].document)))
    found, token = page(fitting, request.page_size, request.page_token)
    response = getattr(pb, f"List{kind.one}sResponse")
    return response(**{f"{kind.field}s": [kind.present(stored[n]) for n in found], "next_page_token": token})


def _names(kind: Kind, snapshot: Snapshot, names: Iterable[str]) -> list[str]:
    return sorted(n for n in names if n in snapshot.objects and snapshot.objects[n].kind == kind.kind)


async def _write(broker: Broker, kind: Kind, request: Any, allowed: Allowed, *, new: bool) -> Any:
    change = _judge(broker, kind, getattr(request, kind.field), allowed.snapshot, new=new)
    return await commit(broker, allowed, change, validate_only=request.validate_only)


def _judge(broker: Broker, kind: Kind, message: Any, snapshot: Snapshot, *, new: bool) -> Change:
    tenant = place_of(message.name).tenant
    document = kind.read(message, partial(broker.pseudonyms.device, tenant))
    if new:
        return create(snapshot, kind.kind, message.name, document, now=broker.clock())
    return update(snapshot, kind.kind, message.name, document, etag=message.etag, now=broker.clock())


async def _delete(broker: Broker, kind: Kind, request: Any, allowed: Allowed) -> Any:
    change = delete(allowed.snapshot, kind.kind, request.name, etag=request.etag, now=broker.clock())
    return await commit(broker, allowed, change, validate_only=request.validate_only)


async def _plan(broker: Broker, request: Any, allowed: Allowed) -> pb.PlanChangesResponse:
    """Each upon what those before it would leave; one that would be refused leaves nothing."""
    if len(request.changes) > _MAX_PLANNED:
        raise Refused(
            "REQUEST_MALFORMED", check="changes", expected=f"at most {_MAX_PLANNED}", got=str(len(request.changes))
        )
    snapshot, outcomes = allowed.snapshot, []
    for number, planned in enumerate(request.changes):
        await asyncio.sleep(0)  # each looks through the catalogue; others go between
        try:
            change = _planned(broker, planned, allowed.place.tenant, snapshot, f"changes[{number}]")
        except Refused as refused:
            outcomes.append(pb.PlannedOutcome(reason=refused.reason, check=refused.check, message=_sentence(refused)))
            continue
        snapshot = change.after
        outcome = pb.PlannedOutcome(change=told(change, CHANGE_STATE_VALIDATED), present_etag=change.old.hex())
        outcomes.append(outcome)
    return pb.PlanChangesResponse(outcomes=outcomes)


def _planned(broker: Broker, planned: Any, tenant: str, snapshot: Snapshot, where: str) -> Change:
    field = planned.WhichOneof("change")
    if field is None:
        raise Refused("REQUEST_MALFORMED", check=where, expected="a resource or a name to delete", got="neither")
    name = planned.delete if field == "delete" else getattr(planned, field).name
    try:
        place = place_of(name)
    except InvalidName as error:
        raise Refused("REQUEST_MALFORMED", check=where, expected=error.expected, got=error.got) from None
    if place.tenant != tenant:
        raise Refused("REQUEST_MALFORMED", check=where, expected=f"a resource of tenants/{tenant}", got=name)
    if field == "delete":
        present = snapshot.objects.get(name)
        kind = present.kind if present and present.kind in {k.kind for k in KINDS} else "resource"
        return delete(snapshot, kind, name, etag="", now=broker.clock())
    message = getattr(planned, field)
    return _judge(broker, _ORDER[field], message, snapshot, new=name not in snapshot.objects)


def _sentence(refused: Refused) -> str:
    return f"expected {refused.expected}, got {refused.got}" if refused.expected else refused.got
