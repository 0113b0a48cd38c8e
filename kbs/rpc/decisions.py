"""sealgate.v1.Decisions: what an authorised operator may learn about a decision. The question itself is logged."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1.decisions_pb2 import (
    CHECK_OUTCOME_FAILED,
    CHECK_OUTCOME_PASSED,
    CHECK_OUTCOME_SKIPPED,
    Check,
    ExplainDecisionRequest,
    ExplainDecisionResponse,
    FieldDifference,
    NearestReference,
    Register,
)

from attest.registers import registers_of
from attest.tlog.entry import Leaf, parse_canonical, parse_leaf
from kbs.decide.canonical import MAX_DECISION
from kbs.model.asset import Principal, Snapshot
from kbs.model.names import Place
from kbs.model.refusal import Refused
from kbs.release.fleet import decode_evidence
from kbs.release.port import Broker
from kbs.rpc.handler import Method
from kbs.rpc.people import Allowed, Rpc, methods_of
from kbs.rpc.queries import log_query
from kbs.store.errors import StoreUnavailable

__all__ = ["NAME", "DecisionReader", "methods"]

NAME = "sealgate.v1.Decisions"
_OUTCOMES = {"passed": CHECK_OUTCOME_PASSED, "failed": CHECK_OUTCOME_FAILED, "skipped": CHECK_OUTCOME_SKIPPED}
_REMEDIES = {
    "POLICY_MEASUREMENT": "If this image is meant to have the key, add its measurement to one of the asset's sets: "
    "compute it (sealgate measure snp), or draft it from this ticket (sealgate refvalue draft --from TICKET) and apply "
    "the draft (sealgate apply -f FILE).",
    "REFERENCE_VALUE": "Activate a set for the asset (sealgate refvalue activate NAME), or boot an image that "
    "one of its sets lists.",
    "ASSET_UNKNOWN": "Ask for a name that the catalogue holds.",
    "PURPOSE": "Ask for a purpose that the asset lists, or let its owner add this one.",
    "TIER_COVERAGE": "Register a reference value whose measurement also covers kernel, initrd and command line.",
    "SECOND_FACT": "One of the asset's sets says that others can boot this image too (shared). Have every reference "
    "value of it, or the profile, ask for what only your guests have: host_data, mr_config_id or rtmr3.",
    "PROFILE_TIER": "Make the asset's profile ask for what its tier demands: docs/catalogue.md lists it.",
    "ROLE": "Ask for a role that may do this in that tenant; kbs/decide/authority.py lists which.",
    "LOCKED": "Wait until the lock is lifted.",
    "LEASE_UNKNOWN": "Get the keys anew on that machine: sealgate keys get --lease FILE.",
    "LEASE_GUEST": "Only the guest that got the keys can renew; after a restart: sealgate keys get --lease FILE.",
    "LEASE_HOLDER": "Renew with the lease file that the keys came with, or get the keys anew: sealgate keys get.",
    "LEASE_REQUEST": "Renew for the purpose and the assets that the lease is about: sealgate lease show NAME.",
    "LEASE_OVER": "Get the keys anew on that machine: sealgate keys get --lease FILE.",
    "DEVICE_LEASED_ELSEWHERE": "Wait until the other lease is over (sealgate lease list), then ask again. If "
    "nobody moved the device, one of the two machines shows another's: find out in which one it sits.",
    "LEASE_DEVICES": "The devices changed since the lease began; get the keys anew: sealgate keys get --lease FILE.",
}


class DecisionReader(Protocol):
    """Where decisions are looked up."""

    def ticket(self, ticket: str) -> tuple[str, int] | None:
        """(tenant, index) of the entry behind a ticket."""

    def entries(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf, leaf hash)."""

    def document(self, index: int, digest: bytes) -> bytes | None:
        """What a digest in the entry at `index` stands for."""


def methods(broker: Broker, reader: DecisionReader) -> dict[str, Method]:
    """The service's methods over one broker."""

    def locate(request: ExplainDecisionRequest, person: Principal) -> Place:
        """The same decision for every ticket, so that nobody learns from it which ones exist elsewhere."""
        found = reader.ticket(request.ticket)
        own = found is not None and found[0] in person.tenants
        return Place(tenant=found[0] if found and own else min(person.tenants), name=request.ticket[:64])

    async def explain_decision(request: ExplainDecisionRequest, allowed: Allowed) -> ExplainDecisionResponse:
        found = reader.ticket(request.ticket)
        if found is None or found[0] not in allowed.person.tenants:
            raise Refused("NOT_FOUND", check="TICKET", expected="a ticket of this deployment", got="another")
        tenant, index = found
        await log_query(broker, allowed, tenant, "ExplainDecision", ticket=request.ticket)
        _ensure_of(reader, index, request.ticket)
        return _explain(reader, index, allowed.snapshot)

    explain = Rpc(request=ExplainDecisionRequest, locate=locate, run=explain_decision)
    return methods_of(NAME, {"ExplainDecision": explain}, broker)


def _ensure_of(reader: DecisionReader, index: int, ticket: str) -> None:
    """The index of tickets is derived; the entry says whose it is. Raises StoreUnavailable if it is another's."""
    [(_, leaf, _)] = reader.entries(index, index + 1) or [(index, b"", b"")]
    if not leaf or parse_leaf(leaf).body.get("id") != ticket:
        raise StoreUnavailable(f"a ticket leads to entry {index}, which has another id: the store was changed")


def _explain(reader: DecisionReader, index: int, snapshot: Snapshot) -> ExplainDecisionResponse:
    leaf = parse_leaf(reader.entries(index, index + 1)[0][1])
    body: Mapping[str, Any] = leaf.body
    document = reader.document(index, bytes.fromhex(body["decision_digest"]))
    if document is None:
        raise StoreUnavailable(f"the decision behind entry {index} is gone")
    decision: Mapping[str, Any] = parse_canonical(document, limit=MAX_DECISION)
    checks = decision["findings"]
    response = ExplainDecisionResponse(
        index=index,
        entry_type=body["type"],
        time=_time(leaf),
        reason=body["reason"],
        checks=[_check(c) for c in checks],
        remedies=_remedies(checks),
        simulated=body["simulated"],
        measurement=bytes.fromhex(body.get("measurement", "")),
        platform=body.get("platform", ""),
        product=body.get("product", ""),
        action=decision["question"]["action"],
    )
    resources = decision["question"]["resources"]
    if "evidence_digest" in body:
        evidence = reader.document(index, bytes.fromhex(body["evidence_digest"]))
        required = _required(response.platform, [r["name"] for r in resources], snapshot)
        response.registers.extend(_registers(evidence, required))
    near = next((r for r in resources if r["nearest"]), None)
    if near is not None:
        differences = [FieldDifference(**d) for d in near["differences"]]
        response.nearest.CopyFrom(NearestReference(name=near["nearest"], differences=differences))
    asked = resources if decision["question"]["workload"] else ()  # a person's call need not be about an asset
    unknown = next((r["name"] for r in asked if not r["known"]), None)
    if unknown is not None:
        response.nearest_name = next(iter(difflib.get_close_matches(unknown, snapshot.assets, n=1, cutoff=0.0)), "")
        if response.nearest_name:
            response.remedies.append(f"If it is meant: sealgate keys get --asset {response.nearest_name} ...")
    return response


def _registers(evidence: bytes | None, required: Sequence[str]) -> list[Register]:
    """What the evidence has for a reference value, and what one has to hold; none if the evidence is gone."""
    decoded = decode_evidence(evidence) if evidence is not None else None
    if decoded is None:
        return []
    found = registers_of(decoded[0])
    return [
        Register(name=name, value=found.get(name, b""), required=name in required)
        for name in dict.fromkeys((*found, *required))
    ]


def _required(platform: str, names: Sequence[str], snapshot: Snapshot) -> list[str]:
    """What every reference value has to hold for a TD, and under a paravisor as the profiles of the assets say."""
    if platform == "tdx":
        return ["rtmr0", "rtmr1", "rtmr2"]
    assets = (snapshot.assets[name] for name in names if name in snapshot.assets)
    profiles = [found.profile for asset in assets if (found := snapshot.profiles.get(asset.profile)) is not None]
    asked = (profile.azure_snp if platform == "azure-snp" else profile.azure_tdx for profile in profiles)
    pcrs = {number for each in asked if each is not None for number in each.pcrs}
    return [f"pcr[{number}]" for number in sorted(pcrs)] if platform.startswith("azure") else []


def _check(document: Mapping[str, str]) -> Check:
    return Check(**{**document, "outcome": _OUTCOMES[document["outcome"]]})  # type: ignore[arg-type]


def _remedies(checks: Sequence[Mapping[str, str]]) -> list[str]:
    failed = dict.fromkeys(c["check"] for c in checks if c["outcome"] == "failed")
    return [_REMEDIES[check] for check in failed if check in _REMEDIES]


def _time(leaf: Leaf) -> Timestamp:
    ms = leaf.header.t
    return Timestamp(seconds=ms // 1_000, nanos=ms % 1_000 * 1_000_000)
