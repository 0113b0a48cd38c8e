"""The statements, compiled once from the tables, with named parameters."""

from __future__ import annotations

from sqlalchemy import Integer, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement

from kbs.store import schema as s
from kbs.store.many import Delete, Find, Insert, Update

__all__ = [
    "ADD_BLOB",
    "ADD_CHALLENGE",
    "ADD_DOCUMENTS",
    "ADD_ENTRY",
    "ADD_HEAD",
    "ADD_MEMBER",
    "ADD_ROOT",
    "ADD_STATE",
    "ALL_BROKER_KEYS",
    "BROKER_KEYS",
    "COUNT_OBJECTS",
    "DROP_BROKER_KEY",
    "DROP_KEY",
    "DROP_OBJECT",
    "END_LEASE",
    "FIND_CHAINS",
    "FIND_CHALLENGES",
    "FIND_HOLDERS",
    "FIND_LEASES",
    "FIND_MEMBERS",
    "FIND_METERS",
    "FIND_OBJECTS",
    "FREE_DEVICES",
    "GET_BLOB",
    "GET_CHALLENGE",
    "GET_DOCUMENTS",
    "GET_ENTRIES",
    "GET_HEAD",
    "GET_KEY",
    "GET_KEYS_BELOW",
    "GET_OBJECTS",
    "GET_OBJECTS_SINCE",
    "GET_OBJECT_NAMES",
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
    "PUT_LEASE_DEVICE",
    "PUT_LEASE_KEY",
    "PUT_METER",
    "PUT_OBJECT",
    "PUT_TICKET",
    "RENEW_LEASE",
    "REPLACE_BROKER_KEY",
    "REPLACE_KEY",
    "SET_HEAD",
    "SET_STATE",
]


def _sql(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


def _add(table: Table) -> str:
    return _sql(insert(table).values({c.name: bindparam(c.name) for c in table.columns}))


def _get(table: Table, *columns: str, by: tuple[str, ...]) -> str:
    return _sql(select(*(table.c[name] for name in columns)).where(*(table.c[name] == bindparam(name) for name in by)))


def _prune(table: Table, column: str) -> str:
    return _sql(delete(table).where(table.c[column] < bindparam("before", type_=Integer)))


def _drop(table: Table, key: str) -> str:
    return _sql(delete(table).where(table.c[key] == bindparam(key)))


def _set(table: Table, key: str, *columns: str) -> str:
    changed: dict[str, object] = {c: bindparam(c) for c in columns}
    return _sql(update(table).where(table.c[key] == bindparam("key")).values(changed))


ADD_HEAD = _add(s.log_head)
ADD_STATE = _add(s.state)
ADD_ROOT = _add(s.log_root)
ADD_ENTRY = Insert(s.log_entry)
ADD_DOCUMENTS = Insert(s.entry_document)
ADD_BLOB = Insert(s.blob, "OR IGNORE")
ADD_CHALLENGE = Insert(s.challenge_used)
ADD_MEMBER = Insert(s.meter_member)
PUT_CHAIN = Insert(s.chain_head, "OR REPLACE")
PUT_METER = Insert(s.meter, "OR REPLACE")
PUT_OBJECT = Insert(s.object_, "OR REPLACE")
PUT_KEY = Insert(s.key_material)
DROP_OBJECT = _drop(s.object_, "name")
DROP_KEY = _drop(s.key_material, "name")
PUT_BROKER_KEY = Insert(s.broker_key)
REPLACE_KEY = Insert(s.key_material, "OR REPLACE")
REPLACE_BROKER_KEY = Insert(s.broker_key, "OR REPLACE")
DROP_BROKER_KEY = Delete(s.broker_key, "purpose", "serial")
PUT_LEASE = Insert(s.lease)
PUT_LEASE_KEY = Insert(s.lease_key)
PUT_LEASE_DEVICE = Insert(s.lease_device, "OR REPLACE")
RENEW_LEASE = Update(s.lease, "end", "newest", key="lease_id")
FREE_DEVICES = Update(s.lease_device, "until", key="lease_id")
END_LEASE = Update(s.lease, "ended", "reason", "newest", key="lease_id")
PUT_TICKET = Insert(s.ticket)
FIND_CHALLENGES = Find(s.challenge_used, "digest", keys=("digest",))
FIND_LEASES = Find(s.lease, "lease_id", "newest", keys=("lease_id",))
FIND_HOLDERS = Find(s.lease_device, "serial", "machine", keys=("serial",), since="until", distinct=True)
FIND_OBJECTS = Find(s.object_, "name", "digest", keys=("name",))
FIND_METERS = Find(s.meter, "meter", "window", "total", keys=("meter",), since="window")
FIND_MEMBERS = Find(s.meter_member, "meter", "member", "window", keys=("meter", "member"), since="window")
FIND_CHAINS = Find(s.chain_head, "chain", "idx", "seq", keys=("chain",))
SET_HEAD = _set(s.log_head, "shard", "size", "root", "frontier", "last_time")
SET_STATE = _set(s.state, "id", "revision", "governance")
GET_HEAD = _get(s.log_head, "size", "root", "frontier", "last_time", by=("shard",))
GET_STATE = _get(s.state, "revision", "governance", by=("id",))
GET_ROOT = _get(s.log_root, "root", by=("size",))
GET_BLOB = _get(s.blob, "data", by=("digest",))
GET_DOCUMENTS = _get(s.entry_document, "data", by=("idx",))
GET_KEY = _get(s.key_material, "parent", "wrapped", by=("name",))
GET_TICKET = _get(s.ticket, "tenant", "idx", by=("ticket",))
GET_KEYS_BELOW = _get(s.key_material, "name", "wrapped", by=("parent",))
ALL_BROKER_KEYS = _get(s.broker_key, "purpose", "serial", "not_before", "wrapped", by=())
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
GET_OBJECTS_SINCE = _sql(
    select(s.object_.c.name, s.object_.c.kind, s.object_.c.digest, s.blob.c.data)
    .join(s.blob, s.blob.c.digest == s.object_.c.digest)
    .where(s.object_.c.idx > bindparam("idx"))
)
COUNT_OBJECTS = _sql(select(func.count()).select_from(s.object_))
GET_OBJECT_NAMES = _sql(select(s.object_.c.name))
PRUNE_CHALLENGES = _prune(s.challenge_used, "issued_at")
PRUNE_METERS = _prune(s.meter, "window")
PRUNE_MEMBERS = _prune(s.meter_member, "window")
