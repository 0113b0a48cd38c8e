"""What entries say. The schema is `sealgate.audit/1`; docs/log.md describes every field.

An entry never holds key material, an address or a personal name: people and platforms are pseudonyms, evidence and
documents are digests whose preimages are blobs of the store. What a person's call leaves is in kbs/log/calls.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attest.tlog.entry import MAX_BODY, canonical
from kbs.model.log import Draft

__all__ = [
    "Broker",
    "KeyLine",
    "ReleaseBody",
    "change",
    "common",
    "credential",
    "genesis",
    "incident",
    "joined",
    "refusals",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Who writes: a name for the process, what it measures to (empty outside a TEE), and if its anchors are real."""

    id: str
    measurement: str
    simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """One asset of a release. `wrapped` is the SHA-256 that stands for the wrapped bytes; None where nothing was."""

    asset: str
    version: int | None
    wrapped: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseBody:
    """The body of release.granted, release.refused and release.rehearsed. Digests are SHA-256, 32 bytes."""

    type: str
    id: str
    tenant: str
    node: str
    broker: Broker
    governance: int
    action: str
    purpose: str
    suite: int
    keys: Sequence[KeyLine]
    lease: tuple[str, int, int] | None
    platform: str
    product: str
    measurement: bytes
    tcb: Mapping[str, int]
    devices: Sequence[str]
    bound: bytes
    now: int
    reason: str
    reasons: Sequence[str]
    account: Sequence[tuple[str, int, int, int]]
    transcript: bytes
    request: bytes
    evidence: bytes
    collateral: bytes
    policy: bytes
    references: bytes
    decision: bytes
    engine: bytes

    def draft(self, assets: tuple[str, ...]) -> Draft:
        """The entry, continuing the chains of `assets`."""
        lease = None if self.lease is None else dict(zip(("id", "start", "end"), self.lease, strict=True))
        body = {
            **common(self.type, self.id, self.tenant, ("workload", self.node), self.broker, self.governance),
            "account": [dict(zip(("meter", "window", "add", "limit"), line, strict=True)) for line in self.account],
            "action": self.action,
            "bound": self.bound.hex(),
            "collateral_digest": self.collateral.hex(),
            "decision_digest": self.decision.hex(),
            "devices": list(self.devices),
            "engine_digest": self.engine.hex(),
            "evidence_digest": self.evidence.hex(),
            "keys": [
                {"asset": k.asset, "version": k.version, "wrapped_digest": k.wrapped.hex() if k.wrapped else None}
                for k in self.keys
            ],
            "lease": lease,
            "measurement": self.measurement.hex(),
            "now_used": self.now,
            "platform": self.platform,
            "policy_digest": self.policy.hex(),
            "product": self.product,
            "purpose": self.purpose,
            "reason": self.reason,
            "reasons": list(self.reasons),
            "refvalues_digest": self.references.hex(),
            "request_digest": self.request.hex(),
            "suite": self.suite,
            "tcb": dict(self.tcb),
            "transcript_digest": self.transcript.hex(),
        }
        return Draft(body=canonical(body, limit=MAX_BODY), assets=assets)


def genesis(*, entry_id: str, broker: Broker, deployment: str, log_key: str) -> Draft:
    """The first entry of a shard: the deployment's constant name and the key that signs this log."""
    shared = common("log.genesis", entry_id, "", ("broker", broker.id), broker, 0)
    body = {**shared, "deployment": deployment, "log_key": log_key, "prev": None}
    return Draft(body=canonical(body, limit=MAX_BODY), governance=True)


def change(  # everything that the entry states
    *,
    entry_type: str,
    entry_id: str,
    tenant: str,
    actor: tuple[str, str],
    broker: Broker,
    name: str,
    old: bytes,
    new: bytes,
    assets: tuple[str, ...] = (),
    decision: bytes = b"",
    approvals: Sequence[tuple[str, bytes]] = (),
) -> Draft:
    """A change of the catalogue, of policy, roles or locks: the object and its document's digest before and after.

    `approvals` are who approved it, by pseudonym, with the SHA-256 of what they signed.

    An empty digest stands for "none" and is written as null: also that of the decision that allowed it, which a change
    by the broker itself, or before anybody was enrolled, does not have.
    """
    body = {
        **common(entry_type, entry_id, tenant, actor, broker, None),
        "approvals": [{"approval_digest": digest.hex(), "person": person} for person, digest in approvals],
        "decision_digest": decision.hex() or None,
        "object": name,
        "old_digest": old.hex() or None,
        "new_digest": new.hex() or None,
    }
    return Draft(body=canonical(body, limit=MAX_BODY), assets=assets, governance=True)


def joined(*, entry_id: str, broker: Broker, policy: bytes, engine: bytes, collateral: bytes) -> Draft:
    """A broker process begins to serve, with this policy, this build and this collateral."""
    body = {
        **common("broker.joined", entry_id, "", ("broker", broker.id), broker, None),
        "collateral_digest": collateral.hex(),
        "engine_digest": engine.hex(),
        "policy_digest": policy.hex(),
    }
    return Draft(body=canonical(body, limit=MAX_BODY), governance=True)


def credential(*, entry_id: str, actor: str, broker: Broker, key: bytes, certificate: bytes, expires: int) -> Draft:
    """A person got a client certificate. `key` and `certificate` are SHA-256; `expires` in ms since 1970."""
    body = {
        **common("credential.issued", entry_id, "", ("person", actor), broker, None),
        "certificate_digest": certificate.hex(),
        "expires": expires,
        "key_digest": key.hex(),
    }
    return Draft(body=canonical(body, limit=MAX_BODY))


def incident(*, entry_id: str, broker: Broker, kind: str, at: int, ahead_ms: int | None, bundle: bytes) -> Draft:
    """Something happened to the log itself. `at` is when, by the clock that saw it.

    `frozen`: the log was frozen and is no longer; `bundle` is the SHA-256 of the evidence that was kept. `restored`:
    the store was put back from the backup whose list has the SHA-256 `bundle`. `clock`: the log's time was found
    `ahead_ms` ahead of the clock; there is no bundle, and an empty digest is written as null.
    """
    body = {
        **common("log.incident", entry_id, "", ("broker", broker.id), broker, None),
        "ahead_ms": ahead_ms,
        "at": at,
        "bundle_digest": bundle.hex() or None,
        "kind": kind,
    }
    return Draft(body=canonical(body, limit=MAX_BODY), governance=True)


def refusals(  # everything that the entry states
    *, entry_id: str, broker: Broker, start: int, end: int, counts: Sequence[tuple[str, int]], root: bytes
) -> Draft:
    """A window in which more was refused before a decision than the limit allows to pass unsaid.

    `root` is that of the RFC 6962 tree over the SHA-256 of each request, in order.
    """
    body = {
        **common("refusal.batch", entry_id, "", ("broker", broker.id), broker, None),
        "counts": [{"count": count, "reason": reason} for reason, count in counts],
        "requests_root": root.hex(),
        "total": sum(count for _, count in counts),
        "window": {"end": end, "start": start},
    }
    return Draft(body=canonical(body, limit=MAX_BODY))


def common(  # the fields of every entry
    entry_type: str, entry_id: str, tenant: str, actor: tuple[str, str], broker: Broker, governance: int | None
) -> dict[str, object]:
    """The fields that every entry has."""
    return {
        "actor": {"id": actor[1], "kind": actor[0]},
        "broker": {"id": broker.id, "measurement": broker.measurement},
        "gov": governance,
        "id": entry_id,
        "priv": [],
        "simulated": broker.simulated,
        "tenant": tenant,
        "type": entry_type,
    }
