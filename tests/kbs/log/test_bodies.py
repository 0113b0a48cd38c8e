"""What entries say, as a frozen contract. `sealgate.audit/1` can never change: what fails here is a new schema.

The golden schema is written from docs/log.md by hand. A test that fails is right; the code beside it is not.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest
import rfc8785

from attest.errors import Malformed
from attest.tlog.entry import MAX_BODY, Header, leaf, parse_canonical, parse_leaf
from clients.auditor import history
from deploy.verifier import sealgate_verify
from kbs.catalog.register import put
from kbs.log import bodies, calls
from kbs.log.bodies import Broker, KeyLine, ReleaseBody
from kbs.model.lease import BLOCKED, Holder, LeaseRecord
from kbs.model.log import Draft
from kbs.model.refusal import Refused
from kbs.model.unit import Unit, Verdict
from kbs.release.release import release
from tests.makers import site as maker
from tests.makers.site import ASSET, SimulatedSite
from tests.makers.workload import build

HEX16, HEX32, HEX48, HEX64 = "hex of 16 bytes", "hex of 32 bytes", "hex of 48 bytes", "hex of 64 bytes"
SIZES = {HEX16: 16, HEX32: 32, HEX48: 48, HEX64: 64}
NULL = None


class Or:
    """One of several."""

    def __init__(self, *choices: Any) -> None:
        self.choices = choices


COMMON: dict[str, Any] = {
    "actor": {"id": str, "kind": str},
    "broker": {"id": str, "measurement": str},
    "gov": Or(int, NULL),
    "id": HEX16,
    "priv": [],
    "simulated": bool,
    "tenant": str,
    "type": str,
}
CHANGE = {
    "approvals": [],
    "decision_digest": Or(HEX32, NULL),
    "new_digest": Or(HEX32, NULL),
    "object": str,
    "old_digest": Or(HEX32, NULL),
}
RELEASE = {
    "account": [{"add": int, "limit": int, "meter": str, "window": int}],
    "action": str,
    "bound": HEX64,
    "collateral_digest": HEX32,
    "decision_digest": HEX32,
    "devices": [str],
    "engine_digest": HEX32,
    "evidence_digest": HEX32,
    "keys": [{"asset": str, "version": Or(int, NULL), "wrapped_digest": Or(HEX32, NULL)}],
    "lease": Or({"end": int, "id": str, "start": int}, NULL),
    "measurement": HEX48,
    "now_used": int,
    "platform": str,
    "policy_digest": HEX32,
    "product": str,
    "purpose": str,
    "reason": str,
    "reasons": [str],
    "refvalues_digest": HEX32,
    "request_digest": HEX32,
    "suite": int,
    "tcb": {str: int},
    "transcript_digest": HEX32,
}
CHANGES = ("asset", "device", "key-version", "profile", "reference-set", "principal", "lock", "tenant")
GOLDEN: dict[str, dict[str, Any]] = {
    "log.genesis": COMMON | {"deployment": str, "log_key": str, "prev": NULL},
    "broker.joined": COMMON | {"collateral_digest": HEX32, "engine_digest": HEX32, "policy_digest": HEX32},
    "log.incident": COMMON | {"ahead_ms": Or(int, NULL), "at": int, "bundle_digest": Or(HEX32, NULL), "kind": str},
    "query.performed": COMMON | {"scope_digest": HEX32},
    "access.refused": COMMON | {"action": str, "decision_digest": HEX32, "object": str, "reason": str},
    "access.refused-batch": COMMON
    | {
        "counts": [{"count": int, "reason": str}],
        "decisions_root": HEX32,
        "total": int,
        "window": {"end": int, "start": int},
    },
    "lease.revoked": COMMON
    | {
        "decision_digest": HEX32,
        "keys": [{"asset": str, "version": int}],
        "lease": {"end": int, "id": str, "start": int},
        "node": str,
        "reason": str,
    },
    "refusal.batch": COMMON
    | {
        "counts": [{"count": int, "reason": str}],
        "requests_root": HEX32,
        "total": int,
        "window": {"end": int, "start": int},
    },
    **{f"{kind}.{what}": COMMON | CHANGE for kind in CHANGES for what in ("created", "changed", "deleted")},
    **{f"release.{what}": COMMON | RELEASE for what in ("granted", "refused", "rehearsed")},
    **{f"lease.{what}": COMMON | RELEASE for what in ("renewed", "refused", "ended")},
}


def fits(value: Any, schema: Any, path: str = "body") -> None:
    """Raises AssertionError with the path where `value` is not what `schema` says."""
    if isinstance(schema, Or):
        if value is not None or None not in schema.choices:
            [choice] = [c for c in schema.choices if c is not None]
            fits(value, choice, path)
    elif schema is None:
        assert value is None, path
    elif isinstance(schema, dict):
        assert type(value) is dict, path
        if set(schema) == {str}:
            for key, each in value.items():
                fits(each, schema[str], f"{path}.{key}")
            return
        assert value.keys() == schema.keys(), path
        for key, each in value.items():
            fits(each, schema[key], f"{path}.{key}")
    elif isinstance(schema, list):
        assert type(value) is list, path
        assert schema or not value, path
        for at, each in enumerate(value):
            fits(each, schema[0], f"{path}[{at}]")
    elif isinstance(schema, str):
        assert type(value) is str, path
        assert value == bytes.fromhex(value).hex(), path
        assert len(value) == 2 * SIZES[schema], path
    else:
        assert type(value) is schema, path


BROKER = Broker(id="broker-1", measurement="", simulated=True)
ID, OLD = "0" * 32, b"\1" * 32
RELEASED = ReleaseBody(
    type="release.granted",
    id=ID,
    tenant="acme",
    node="node-a",
    broker=BROKER,
    governance=3,
    action="release",
    purpose="training",
    suite=1,
    keys=[KeyLine(asset=ASSET, version=1, wrapped=bytes(32))],
    lease=("l", 1, 2),
    platform="snp",
    product="milan",
    measurement=bytes(48),
    tcb={"bl": 3, "tee": 0, "snp": 24, "ucode": 200},
    devices=("device-a",),
    bound=bytes(64),
    now=7,
    reason="ALLOWED",
    reasons=("ALLOWED",),
    account=[("nodes:a", 0, 1, 2)],
    transcript=bytes(32),
    request=bytes(32),
    evidence=bytes(32),
    collateral=bytes(32),
    policy=bytes(32),
    references=bytes(32),
    decision=bytes(32),
    engine=bytes(32),
)
REFUSED = dataclasses.replace(
    RELEASED,
    type="release.refused",
    keys=[KeyLine(asset="unknown-a", version=None, wrapped=None)],
    lease=None,
    devices=(),
    account=[],
)

REHEARSED = dataclasses.replace(RELEASED, type="release.rehearsed", lease=None)


def _change(entry_type: str, old: bytes, new: bytes) -> Draft:
    who = ("person", "person-a")
    return bodies.change(
        entry_type=entry_type, entry_id=ID, tenant="acme", actor=who, broker=BROKER, name="n", old=old, new=new
    )


def _joined() -> Draft:
    return bodies.joined(entry_id=ID, broker=BROKER, policy=bytes(32), engine=bytes(32), collateral=bytes(32))


def _refusals(counts: list[tuple[str, int]]) -> Draft:
    return bodies.refusals(entry_id=ID, broker=BROKER, start=1, end=2, counts=counts, root=bytes(32))


def _revoked() -> Draft:
    holder = Holder(tenant="acme", node="node-a", guest="guest-a", platform="snp", key=bytes(32), devices=())
    lease = LeaseRecord(
        lease_id="l", holder=holder, purpose="training", keys=((ASSET, 1),), start=1, end=9, granted=4, newest=4,
        ended=0, reason="",
    )  # fmt: skip
    return calls.lease_revoked(
        entry_id=ID, actor="p", broker=BROKER, lease=lease, ended=5, reason=BLOCKED, decision=bytes(32)
    )


# name: (entry type, the entry, if it is one of governance)
ENTRIES: dict[str, tuple[str, Draft, bool]] = {
    "genesis": (
        "log.genesis", bodies.genesis(entry_id=ID, broker=BROKER, deployment="d.example", log_key="k"), True,
    ),
    "a broker joins": ("broker.joined", _joined(), True),
    "a query": (
        "query.performed", calls.query(entry_id=ID, tenant="acme", actor="p", broker=BROKER, scope=bytes(32)), False,
    ),
    "a person is refused": (
        "access.refused",
        calls.access_refused(
            entry_id=ID, tenant="acme", actor="p", broker=BROKER, action="a", name="n", reason="R", decision=bytes(32)
        ),
        False,
    ),
    "a person is refused in a loop": (
        "access.refused-batch",
        calls.refused_calls(
            entry_id=ID, actor="p", broker=BROKER, start=1, end=2, counts=[("X", 1)], root=bytes(32)
        ),
        False,
    ),
    "a person ends a lease": ("lease.revoked", _revoked(), False),
    "a freeze that ended": (
        "log.incident",
        bodies.incident(entry_id=ID, broker=BROKER, kind="frozen", at=1, ahead_ms=None, bundle=bytes(32)),
        True,
    ),
    "a clock behind the log": (
        "log.incident",
        bodies.incident(entry_id=ID, broker=BROKER, kind="clock", at=1, ahead_ms=9_000, bundle=b""),
        True,
    ),
    "a flood": ("refusal.batch", _refusals([("X", 1), ("Y", 2)]), False),
    "a flood of nothing": ("refusal.batch", _refusals([]), False),
    "a grant": ("release.granted", RELEASED.draft((ASSET,)), False),
    "a refusal": ("release.refused", REFUSED.draft(()), False),
    "a rehearsal": ("release.rehearsed", REHEARSED.draft(()), False),
    "a renewal": ("lease.renewed", dataclasses.replace(RELEASED, type="lease.renewed").draft((ASSET,)), False),
    "no renewal": ("lease.refused", dataclasses.replace(REFUSED, type="lease.refused").draft(()), False),
    "a lease's end": ("lease.ended", dataclasses.replace(RELEASED, type="lease.ended").draft((ASSET,)), False),
    **{f"a new {kind}": (f"{kind}.created", _change(f"{kind}.created", b"", bytes(32)), True) for kind in CHANGES},
    **{f"no {kind} any more": (f"{kind}.deleted", _change(f"{kind}.deleted", OLD, b""), True) for kind in CHANGES},
    **{f"a {kind} again": (f"{kind}.changed", _change(f"{kind}.changed", OLD, bytes(32)), True) for kind in CHANGES},
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_as_the_schema_says(name: str) -> None:
    entry_type, draft, governance = ENTRIES[name]
    body: Any = parse_canonical(draft.body)
    assert body["type"] == entry_type
    fits(body, GOLDEN[entry_type])
    assert draft.governance is governance
    # An independent JCS writes the same bytes, and they read back below every header.
    assert rfc8785.dumps(body) == draft.body
    assert parse_leaf(leaf(draft.body, Header(i=0, t=0, log="l"))).body == body


def test_there_is_an_entry_of_every_type() -> None:
    assert {entry_type for entry_type, _, _ in ENTRIES.values()} == set(GOLDEN)


@pytest.mark.parametrize("name", ENTRIES)
def test_both_auditors_know_which_entries_govern(name: str) -> None:
    """An entry of governance outside its chain is tampering; so both must know each type that governs, and no other."""
    entry_type, _, governance = ENTRIES[name]
    assert history.governs(entry_type) is governance
    assert (re.fullmatch(sealgate_verify.GOVERNING, entry_type) is not None) is governance


def test_what_is_absent_is_null() -> None:
    new: Any = parse_canonical(_change("asset.created", b"", bytes(32)).body)
    gone: Any = parse_canonical(_change("asset.changed", bytes(32), b"").body)
    assert (new["old_digest"], gone["new_digest"]) == (None, None)
    refused: Any = parse_canonical(REFUSED.draft(()).body)
    assert (refused["lease"], refused["keys"][0]["version"], refused["keys"][0]["wrapped_digest"]) == (None, None, None)


def test_a_flood_adds_up() -> None:
    body: Any = parse_canonical(_refusals([("A", 3), ("B", 4)]).body)
    assert body["total"] == 7


# name: what no entry can hold
NOT_SAID: dict[str, dict[str, Any]] = {
    "a float": {"now": 1.5},
    "a number above 2**53 - 1": {"now": 2**53},
    "a lone surrogate": {"purpose": "\ud800"},
    "a text that is not in NFC": {"product": "e\u0301"},
    "a body over the limit": {"reasons": ("x" * MAX_BODY,)},
}


@pytest.mark.parametrize("name", NOT_SAID)
def test_what_cannot_be_said_is_not(name: str) -> None:
    with pytest.raises(Malformed):
        dataclasses.replace(RELEASED, **NOT_SAID[name]).draft((ASSET,))


def test_the_largest_release_has_room() -> None:
    """Sixteen assets with names as long as they come, every meter at its limit, every reason."""
    names = [f"tenants/{'t' * 63}/assets/{'a' * 61}{n:02}" for n in range(16)]
    keys = [KeyLine(asset=n, version=2**31, wrapped=bytes(32)) for n in names]
    account = [(f"{m}:{n}", 2**53 - 1, 2**53 - 1, 2**53 - 1) for n in names for m in ("nodes", "bytes")]
    largest = dataclasses.replace(RELEASED, keys=keys, account=account, reasons=["R" * 40] * 30, tenant="t" * 63)
    draft = largest.draft(tuple(names))
    assert len(draft.body) < MAX_BODY // 2


async def test_a_real_log_is_as_the_schema_says(site: SimulatedSite) -> None:
    with site.open() as running:
        await running.door.commit([running.joined])

        async def ask(**changed: Any) -> None:
            made = build(site.chip, running.broker.challenges, running.broker.clock(), **changed)
            await release(made.ask, running.broker)

        await ask()
        await ask(rehearsal=True)
        for changed in ({"measurement": bytes(48)}, {"names": (ASSET, "tenants/acme/assets/none")}):
            with pytest.raises(Refused, match="ACCESS_DENIED"):
                await ask(**changed)
        scope = b'{"q":1}'
        draft = calls.query(entry_id=ID, tenant="acme", actor="p", broker=running.broker.identity, scope=bytes(32))
        await running.door.commit([Unit(verdict=Verdict(draft=draft, blobs=(scope,)))])
        lock = put("lock", "locks/1", {"name": "locks/1", "target": ""}, entry=maker.draft_of(running))
        await maker.register(running, [lock])
        seen: set[str] = set()
        for raw in running.reader.leaves(0, running.reader.head().size):
            body: Mapping[str, Any] = parse_leaf(raw).body
            fits(body, GOLDEN[str(body["type"])])
            seen.add(str(body["type"]))
    assert {"log.genesis", "broker.joined", "asset.created", "lock.created", "query.performed"} <= seen
    assert {"release.granted", "release.refused", "release.rehearsed"} <= seen
