"""The tables. Defined once, with SQLAlchemy Core; the statements of the hot path are compiled from them.

Digests and keys are raw bytes, times ms since 1970. `log_entry` and `log_root` refuse update and delete: protection
against mistakes; what protects against people is the log itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

__all__ = ["SCHEMA_VERSION", "append_only_triggers", "ddl", "tables"]

SCHEMA_VERSION = 7

tables = MetaData()


def _table(name: str, *items: Column[object] | Index, rowid: bool = True) -> Table:
    return Table(name, tables, *items, sqlite_strict=True, sqlite_with_rowid=rowid)


def _bytes(name: str, *, key: bool = False) -> Column[object]:
    return Column(name, LargeBinary, primary_key=key, nullable=False)


def _int(name: str, *, key: bool = False) -> Column[object]:
    return Column(name, Integer, primary_key=key, nullable=False, autoincrement=False)


def _given(name: str, kind: type[TypeEngine[Any]], default: str) -> Column[object]:
    """A column that a later schema added to a table that had rows."""
    return Column(name, kind, nullable=False, server_default=text(default))


def _text(name: str, *, key: bool = False) -> Column[object]:
    return Column(name, Text, primary_key=key, nullable=False)


log_head = _table(
    "log_head", _int("shard", key=True), _int("size"), _bytes("root"), _bytes("frontier"), _int("last_time")
)
log_entry = _table("log_entry", _int("idx", key=True), _bytes("leaf"), _bytes("leaf_hash"))
log_root = _table("log_root", _int("size", key=True), _bytes("root"), _int("committed_at"))
chain_head = _table("chain_head", _text("chain", key=True), _int("idx"), _int("seq"), rowid=False)
blob = _table("blob", _bytes("digest", key=True), _bytes("data"), _int("idx"))
entry_document = _table("entry_document", _int("idx", key=True), _bytes("data"))
state = _table("state", _int("id", key=True), _int("revision"), _int("governance"))
object_ = _table(
    "object",
    _text("name", key=True),
    _text("kind"),
    Column("digest", LargeBinary, ForeignKey("blob.digest"), nullable=False),
    _int("idx"),
)
key_material = _table("key_material", _text("name", key=True), _text("parent"), _bytes("wrapped"))
broker_key = _table(
    "broker_key", _text("purpose", key=True), _int("serial", key=True), _int("not_before"), _bytes("wrapped")
)
challenge_used = _table(
    "challenge_used",
    _bytes("digest", key=True),
    _bytes("bound"),
    _int("issued_at"),
    _bytes("reply"),
    _int("idx"),
    _int("size"),
    _bytes("proof"),
    Index("challenge_used_issued_at", "issued_at"),
)
meter = _table("meter", _text("meter", key=True), _int("window", key=True), _int("total"), rowid=False)
meter_member = _table(
    "meter_member",
    _text("meter", key=True),
    _int("window", key=True),
    _text("member", key=True),
    Index("meter_member_seen", "meter", "member", "window"),
    rowid=False,
)
lease = _table(
    "lease",
    _text("lease_id", key=True),
    _text("tenant"),
    _text("node"),
    _int("start"),
    _int("end"),
    _int("idx"),
    _given("purpose", Text, "''"),
    _given("platform", Text, "''"),
    _given("guest", Text, "''"),
    _given("holder_key", LargeBinary, "x''"),
    _given("newest", Integer, "0"),
    _given("ended", Integer, "0"),
    _given("reason", Text, "''"),
    Index("lease_node", "tenant", "node"),
    Index("lease_start", "tenant", "start", "lease_id"),
)
lease_key = _table(
    "lease_key",
    _text("lease_id", key=True),
    _text("asset", key=True),
    _int("version"),
    _int("place"),
    Index("lease_key_asset", "asset", "lease_id"),
    rowid=False,
)
lease_device = _table(
    "lease_device",
    _text("lease_id", key=True),
    _text("device", key=True),
    _int("place"),
    _given("serial", Text, "''"),
    _given("machine", Text, "''"),
    _given("until", Integer, "0"),
    Index("lease_device_device", "device", "lease_id"),
    Index("lease_device_serial", "serial", "until", "machine"),
    rowid=False,
)
ticket = _table("ticket", _text("ticket", key=True), _text("tenant"), _int("idx"))

# Outside the write door, since nothing rests on it: what vendors publish, as it was fetched and verified.
collateral_blob = _table("collateral_blob", _bytes("digest", key=True), _bytes("data"))
collateral_item = _table(
    "collateral_item",
    _text("name", key=True),
    Column("digest", LargeBinary, ForeignKey("collateral_blob.digest"), nullable=False),
    _int("fetched_at"),
    _int("good_until"),
)
collateral_use = _table("collateral_use", _text("name", key=True), _int("used_at"))


def ddl() -> list[str]:
    """The statements that make an empty database of this schema."""
    dialect = sqlite.dialect()
    statements = []
    for table in tables.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in sorted(table.indexes, key=str)]
    statements += append_only_triggers().values()
    statements.append(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return statements


def append_only_triggers(*, without: Collection[str] = ()) -> dict[str, str]:
    """Name and statement of each trigger that refuses to change what is only ever added to.

    `without` are tables that a store does not have, since its schema is older.
    """
    return {
        f"{name}_no_{verb.lower()}": f"CREATE TRIGGER {name}_no_{verb.lower()} BEFORE {verb} ON {name} "
        f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
        for name in (log_entry.name, log_root.name, blob.name, entry_document.name)
        if name not in without
        for verb in ("UPDATE", "DELETE")
    }
