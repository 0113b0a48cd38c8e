"""The statements, compiled once from the tables, with named parameters."""

from __future__ import annotations

from sqlalchemy import Integer, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement

from kbs.store import schema as s

__all__ = [
    "ADD_BLOB",
    "ADD_CHALLENGE",
    "ADD_ENTRY",
    "ADD_HEAD",
    "ADD_MEMBER",
    "ADD_ROOT",
    "ADD_STATE",
    "BROKER_KEYS",
    "GET_BLOB",
    "GET_CHAIN",
    "GET_CHALLENGE",
    "GET_ENTRIES",
    "GET_HEAD",
    "GET_KEY",
    "GET_MEMBER",
    "GET_METER",
    "GET_OBJECT",
    "GET_OBJECTS",
    "GET_ROOT",
    "GET_STATE",
    "GET_TICKET",
    "PRUNE_CHALLENGES",
    "PRUNE_MEMBERS",
    "PRUNE_METERS",
    "PUT_BROKER_KEY",
    "PUT_CHAIN",
    "PUT_KEY",
    "PUT_LEASE",
    "PUT_METER",
    "PUT_OBJECT",
    "PUT_TICKET",
    "SET_HEAD",
    "SET_STATE",
]


def _sql(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


def _add(table: Table, *prefixes: str) -> str:
    values = insert(table).values({c.name: bindparam(c.name) for c in table.columns})
    return _sql(values.prefix_with(*prefixes))


def _put(table: Table) -> str:
    """Insert, or replace the row with the same primary key."""
    return _add(table, "OR REPLACE")


def _get(table: Table, *columns: str, by: tuple[str, ...]) -> str:
    return _sql(select(*(table.c[name] for name in columns)).where(*(table.c[name] == bindparam(name) for name in by)))


def _prune(table: Table, column: str) -> str:
    return _sql(delete(table).where(table.c[column] < bindparam("before", type_=Integer)))


def _set(table: Table, key: str, *columns: str) -> str:
    changed: dict[str, object] = {c: bindparam(c) for c in columns}
    return _sql(update(table).where(table.c[key] == bindparam("key")).values(changed))


ADD_HEAD = _add(s.log_head)
ADD_STATE = _add(s.state)
ADD_ENTRY = _add(s.log_entry)
ADD_ROOT = _add(s.log_root)
ADD_BLOB = _add(s.blob, "OR IGNORE")
ADD_CHALLENGE = _add(s.challenge_used)
ADD_MEMBER = _add(s.meter_member)
PUT_CHAIN = _put(s.chain_head)
PUT_METER = _put(s.meter)
PUT_OBJECT = _put(s.object_)
PUT_KEY = _add(s.key_material)
PUT_BROKER_KEY = _add(s.broker_key)
PUT_LEASE = _add(s.lease)
PUT_TICKET = _add(s.ticket)
SET_HEAD = _set(s.log_head, "shard", "size", "root", "frontier", "last_time")
SET_STATE = _set(s.state, "id", "revision", "governance")
GET_HEAD = _get(s.log_head, "size", "root", "frontier", "last_time", by=("shard",))
GET_STATE = _get(s.state, "revision", "governance", by=("id",))
GET_ROOT = _get(s.log_root, "root", by=("size",))
GET_CHAIN = _get(s.chain_head, "idx", "seq", by=("chain",))
GET_OBJECT = _get(s.object_, "digest", by=("name",))
GET_METER = _get(s.meter, "total", by=("meter", "window"))
GET_MEMBER = _get(s.meter_member, "member", by=("meter", "window", "member"))
GET_BLOB = _get(s.blob, "data", by=("digest",))
GET_KEY = _get(s.key_material, "parent", "wrapped", by=("name",))
GET_TICKET = _get(s.ticket, "tenant", "idx", by=("ticket",))
BROKER_KEYS = _get(s.broker_key, "serial", "not_before", "wrapped", by=("purpose",))
GET_CHALLENGE = _sql(
    select(
        *(s.challenge_used.c[name] for name in ("bound", "reply", "idx", "size", "proof")),
        s.log_entry.c.leaf,
        s.log_root.c.root,
        s.log_root.c.committed_at,
    )
    .join(s.log_entry, s.log_entry.c.idx == s.challenge_used.c.idx)
    .join(s.log_root, s.log_root.c.size == s.challenge_used.c.size)
    .where(s.challenge_used.c.digest == bindparam("digest"))
)
GET_ENTRIES = _sql(
    select(s.log_entry.c.idx, s.log_entry.c.leaf, s.log_entry.c.leaf_hash)
    .where(s.log_entry.c.idx >= bindparam("start"), s.log_entry.c.idx < bindparam("end"))
    .order_by(s.log_entry.c.idx)
)
GET_OBJECTS = _sql(
    select(s.object_.c.name, s.object_.c.kind, s.object_.c.digest, s.blob.c.data)
    .join(s.blob, s.blob.c.digest == s.object_.c.digest)
    .order_by(s.object_.c.name)
)
PRUNE_CHALLENGES = _prune(s.challenge_used, "issued_at")
PRUNE_METERS = _prune(s.meter, "window")
PRUNE_MEMBERS = _prune(s.meter_member, "window")
