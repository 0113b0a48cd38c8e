"""Reads of leases: the record of one, what a node holds, and lists for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, func, literal_column, or_, select
from sqlalchemy.dialects import sqlite

from kbs.model.lease import Elsewhere, Holder, LeaseRecord, Machine
from kbs.store import schema as s
from kbs.store.read import Reader

__all__ = ["Leases"]

_FIRST = 2**62  # before the newest lease
_ACTIVE = and_(s.lease.c.ended == literal_column("0"), s.lease.c.end > bindparam("now"))


def _sql(statement: Select[Any]) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


_ONE = _sql(select(s.lease).where(s.lease.c.lease_id == bindparam("lease_id")))
_KEYS = _sql(
    select(s.lease_key.c.asset, s.lease_key.c.version)
    .where(s.lease_key.c.lease_id == bindparam("lease_id"))
    .order_by(s.lease_key.c.place)
)
_DEVICES = _sql(
    select(s.lease_device.c.device)
    .where(s.lease_device.c.lease_id == bindparam("lease_id"))
    .order_by(s.lease_device.c.place)
)
_HELD = _sql(
    select(s.lease_key.c.asset)
    .join(s.lease, s.lease.c.lease_id == s.lease_key.c.lease_id)
    .where(
        s.lease.c.tenant == bindparam("tenant"),
        s.lease.c.node == bindparam("node"),
        s.lease_key.c.asset == bindparam("asset"),
        _ACTIVE,
    )
)
_DEVICES_ASKED = func.json_each(bindparam("devices")).table_valued("value", name="asked")
_ELSEWHERE = _sql(
    select(s.lease_device.c.serial, s.lease.c.tenant, s.lease.c.lease_id, s.lease.c.node)
    .select_from(_DEVICES_ASKED)
    .join(s.lease_device, s.lease_device.c.serial == _DEVICES_ASKED.c.value)
    .join(s.lease, s.lease.c.lease_id == s.lease_device.c.lease_id)
    .where(s.lease_device.c.until > bindparam("now"), s.lease_device.c.machine != bindparam("machine"))
)
_PAGE = (
    select(s.lease)
    .where(
        s.lease.c.tenant == bindparam("tenant"),
        or_(
            s.lease.c.start < bindparam("start"),
            and_(s.lease.c.start == bindparam("start"), s.lease.c.lease_id > bindparam("after")),
        ),
    )
    .order_by(s.lease.c.start.desc(), s.lease.c.lease_id)
)


def _page(*, asset: bool, active: bool) -> str:
    page = _PAGE
    if asset:
        page = page.join(s.lease_key, s.lease_key.c.lease_id == s.lease.c.lease_id)
        page = page.where(s.lease_key.c.asset == bindparam("asset"))
    if active:
        page = page.where(_ACTIVE, s.lease.c.start <= bindparam("now"))
    return _sql(page)


_PAGES = {(asset, active): _page(asset=asset, active=active) for asset in (False, True) for active in (False, True)}


class Leases:
    """The read side of leases, on a reader's connection. Raises StoreUnavailable if the database does not answer."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def lease(self, lease_id: str) -> LeaseRecord | None:
        """The record, or None."""
        rows = self._reader.rows(_ONE, lease_id=lease_id)
        return self._record(rows[0]) if rows else None

    def held(self, tenant: str, node: str, names: Sequence[str], now: int) -> frozenset[str]:
        """Those of the assets that a node holds under leases that are active."""
        found = f"{_HELD} LIMIT 1"  # a node that asked a thousand times has a thousand leases
        return frozenset(
            name for name in names if self._reader.rows(found, tenant=tenant, node=node, asset=name, now=now)
        )

    def elsewhere(self, machine: Machine, now: int) -> Sequence[Elsewhere]:
        """The devices of a machine that are under live leases of others, each with one such lease."""
        devices = json.dumps(machine.devices)
        rows = self._reader.rows(_ELSEWHERE, devices=devices, machine=machine.name, now=now)
        found = {
            device: Elsewhere(device=device, tenant=tenant, lease_id=lease_id, node=node)
            for device, tenant, lease_id, node in rows
        }
        return [found[device] for device in machine.devices if device in found]

    def page(
        self, tenant: str, *, asset: str, active_at: int | None, start: int, after: str, limit: int
    ) -> Sequence[LeaseRecord]:
        """Up to `limit` leases of a tenant, newest first, that come after (`start`, `after`) in that order.

        `asset` and `active_at`, if given, are what they must hold and when they must be active: granted by then, and
        neither over nor ended.
        """
        statement = f"{_PAGES[bool(asset), active_at is not None]} LIMIT {int(limit)}"
        given: dict[str, object] = {"tenant": tenant, "start": start, "after": after}
        if asset:
            given["asset"] = asset
        if active_at is not None:
            given["now"] = active_at
        return [self._record(row) for row in self._reader.rows(statement, **given)]

    def nodes(self, tenant: str, *, asset: str, active_at: int | None) -> int:
        """How many platforms there are among all leases that `page` would list."""
        given: dict[str, object] = {"tenant": tenant, "start": _FIRST, "after": ""}
        if asset:
            given["asset"] = asset
        if active_at is not None:
            given["now"] = active_at
        statement = f"SELECT COUNT(DISTINCT node) FROM ({_PAGES[bool(asset), active_at is not None]})"  # noqa: S608  # ours
        return int(self._reader.rows(statement, **given)[0][0])

    def _record(self, row: Sequence[Any]) -> LeaseRecord:
        named = dict(zip(s.lease.columns.keys(), row, strict=True))
        lease_id = named["lease_id"]
        holder = Holder(
            tenant=named["tenant"],
            node=named["node"],
            guest=named["guest"],
            platform=named["platform"],
            key=named["holder_key"],
            devices=tuple(device for (device,) in self._reader.rows(_DEVICES, lease_id=lease_id)),
        )
        return LeaseRecord(
            lease_id=lease_id,
            holder=holder,
            purpose=named["purpose"],
            keys=tuple((asset, version) for asset, version in self._reader.rows(_KEYS, lease_id=lease_id)),
            start=named["start"],
            end=named["end"],
            granted=named["idx"],
            newest=named["newest"],
            ended=named["ended"],
            reason=named["reason"],
        )
