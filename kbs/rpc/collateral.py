"""sealgate.v1.Collateral: bundles out and in, a fetch now, and who will be refused at a date. Each call is logged."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1.collateral_pb2 import (
    ExportCollateralRequest,
    ExportCollateralResponse,
    ForecastChange,
    ForecastEnding,
    ForecastGrace,
    ForecastRefusal,
    ImportCollateralRequest,
    ImportCollateralResponse,
    PieceOutcome,
    PreflightCollateralRequest,
    PreflightCollateralResponse,
    RefreshCollateralRequest,
    RefreshCollateralResponse,
)

from kbs.model.asset import Principal
from kbs.model.bundle import bundle_text, contents_of, join_bundle
from kbs.model.collateral import Lifetime, Piece
from kbs.model.names import Place
from kbs.model.refusal import Refused
from kbs.release.fleet import Fleet
from kbs.release.foresight import foresee
from kbs.release.port import Broker
from kbs.release.preflight import Forecast, Refusal
from kbs.rpc.handler import Method
from kbs.rpc.parse import parse_time
from kbs.rpc.people import Allowed, Rpc, methods_of
from kbs.rpc.queries import log_query

__all__ = ["NAME", "CollateralKeeper", "methods"]

NAME = "sealgate.v1.Collateral"
_MOST_BYTES = 3 << 20  # of a bundle: what gRPC's clients take in one message
_MOST_NODES = 100


class CollateralKeeper(Protocol):
    """The collateral room, as operators reach it."""

    def pieces(self, now: int) -> list[Piece]:
        """Every piece that is cached and valid."""

    def ends(self) -> list[Lifetime]:
        """Every piece that is cached, with its end."""

    async def take(self, pieces: list[Piece], now: int) -> list[tuple[str, str]]:
        """Keeps what verifies; (name, outcome)."""

    async def renew(self, now: int, *, at_once: bool = False) -> list[str]:
        """Fetches what can be renewed; the names of what changed."""


def methods(broker: Broker, keeper: CollateralKeeper, fleet: Fleet) -> dict[str, Method]:
    """The service's methods over one broker."""

    async def export_collateral(request: ExportCollateralRequest, allowed: Allowed) -> ExportCollateralResponse:
        await _log(broker, allowed, "ExportCollateral", request)
        now = broker.clock()
        contents = contents_of([p for p in keeper.pieces(now) if p.name.startswith(request.prefix)])
        if len(contents) > _MOST_BYTES:
            expected = f"at most {_MOST_BYTES} bytes; ask for a prefix"
            raise Refused("REQUEST_MALFORMED", check="prefix", expected=expected, got=f"{len(contents)} bytes")
        note = broker.signer.note(bundle_text(broker.signer.origin, now, contents))
        return ExportCollateralResponse(bundle=join_bundle(note, contents))

    async def import_collateral(request: ImportCollateralRequest, allowed: Allowed) -> ImportCollateralResponse:
        await _log(broker, allowed, "ImportCollateral", request)
        pieces = [
            Piece(name=p.name, data=p.data, fetched_at=parse_time(p.fetched_at, "fetched_at"), good_until=0)
            for p in request.pieces
        ]
        outcomes = await keeper.take(pieces, broker.clock())
        return ImportCollateralResponse(outcomes=[PieceOutcome(name=n, outcome=o) for n, o in outcomes])

    async def refresh_collateral(request: RefreshCollateralRequest, allowed: Allowed) -> RefreshCollateralResponse:
        await _log(broker, allowed, "RefreshCollateral", request)
        return RefreshCollateralResponse(changed=await keeper.renew(broker.clock(), at_once=True))

    async def preflight_collateral(
        request: PreflightCollateralRequest, allowed: Allowed
    ) -> PreflightCollateralResponse:
        await _log(broker, allowed, "PreflightCollateral", request)
        now = broker.clock()
        at = parse_time(request.at, "at") if request.HasField("at") else now
        tenants = frozenset(allowed.person.tenants)
        return _forecast(await foresee(broker, keeper.ends(), fleet, at=max(at, now), tenants=tenants))

    table: dict[str, Rpc[Any]] = {
        "ExportCollateral": Rpc(request=ExportCollateralRequest, locate=_locate, run=export_collateral),
        "ImportCollateral": Rpc(request=ImportCollateralRequest, locate=_locate, run=import_collateral),
        "RefreshCollateral": Rpc(request=RefreshCollateralRequest, locate=_locate, run=refresh_collateral),
        "PreflightCollateral": Rpc(request=PreflightCollateralRequest, locate=_locate, run=preflight_collateral),
    }
    return methods_of(NAME, table, broker)


def _locate(_request: Message, person: Principal) -> Place:
    """Collateral is the deployment's: whoever has the role in any tenant of theirs has it here."""
    return Place(tenant=min(person.tenants), name="collateral")


async def _log(broker: Broker, allowed: Allowed, method: str, request: Message) -> None:
    asked = await asyncio.to_thread(lambda: hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest())
    await log_query(broker, allowed, allowed.place.tenant, method, request_digest=asked)


def _forecast(found: Forecast) -> PreflightCollateralResponse:
    endings = [ForecastEnding(name=e.name, good_until=_time(e.good_until), overdue=e.overdue) for e in found.endings]
    graces = [
        ForecastGrace(
            product=leave.product,
            asset=leave.asset,
            path=leave.path,
            leave=leave.leave,
            nodes=nodes[:_MOST_NODES],
            count=len(nodes),
        )
        for leave, nodes in found.leaves
    ]
    changes = [
        ForecastChange(
            family=change.coming.family,
            evaluation=change.coming.evaluation,
            event=_time(change.coming.event) if change.coming.event else None,
            platforms=change.platforms,
            refused=change.refused,
            refusals=_refusals(change.refusals),
        )
        for change in found.changes
    ]
    return PreflightCollateralResponse(
        at=_time(found.at),
        platforms=found.platforms,
        refused=found.refused,
        refusals=_refusals(found.refusals),
        endings=endings,
        graces=graces,
        changes=changes,
        missing=_refusals(found.missing),
        short_lived=found.short_lived,
    )


def _refusals(found: Sequence[tuple[Refusal, tuple[str, ...]]]) -> list[ForecastRefusal]:
    return [
        ForecastRefusal(
            product=r.product,
            asset=r.asset,
            check=r.check,
            path=r.path,
            expected=r.expected,
            got=r.got,
            nodes=nodes[:_MOST_NODES],
            count=len(nodes),
        )
        for r, nodes in found
    ]


def _time(ms: int) -> Timestamp:
    at = Timestamp()
    at.FromMilliseconds(ms)
    return at
