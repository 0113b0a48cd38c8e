"""What the broker attests of a workload to others: an EAT Attestation Result for one audience, for five minutes.

Source: draft-ietf-rats-ear-04. It is bound to the holder key (`cnf`, RFC 7800): without one there is none, and whoever
accepts it asks for a proof of that key. It says what was appraised, never what was released. `ear_status` beside the
submodules is that of the worst of them, for whoever reads none.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping

from attest.ear import Status, Submodules, Vector, submodules_of
from attest.finding import Finding
from attest.gpu.claims import DeviceClaims
from kbs.custody.results import public_jwk
from kbs.release.case import Case
from kbs.release.holder import open_holder
from kbs.release.port import Broker

__all__ = ["LIFE_S", "attestation_result"]

LIFE_S = 300
_PROFILE = "tag:ietf.org,2026:rats/ear#04"
_DEVELOPER = "Sealgate"


def attestation_result(case: Case, broker: Broker) -> str:
    """The signed result of a request that was granted and asks for one; empty for any other."""
    key = open_holder(case.ask.holder_key) if case.ask.audience else None
    if key is None or not case.judgement.decision.allowed:
        return ""
    issued, parts = case.now // 1_000, _parts(case)
    claims = {
        "eat_profile": _PROFILE,
        "iss": broker.deployment,
        "aud": case.ask.audience,
        "iat": issued,
        "exp": issued + LIFE_S,
        "jti": case.entry_id,
        "eat_nonce": _text(case.ask.challenge),
        "ear_verifier_id": {"developer": _DEVELOPER, "build": broker.digests.engine.hex()},
        "cnf": {"jwk": public_jwk(key)},
        "ear_status": _status(parts.status),
        "submods": _submods(parts, case, broker),
        "sealgate": {
            "simulated": broker.identity.simulated,
            "tenant": case.tenant,
            "node": case.node,
            "purpose": case.ask.purpose,
            "assets": list(case.ask.names),
            "ticket": case.entry_id,
        },
    }
    return broker.results.sign(claims, case.now)


def _parts(case: Case) -> Submodules:
    """All findings of all assets: what was found of a device is the device's, everything else the node's."""
    findings: list[Finding] = [f for each in case.judgement.appraisals.values() for f in each.findings]
    return submodules_of(findings, len(case.authentic.claims.devices))


def _submods(parts: Submodules, case: Case, broker: Broker) -> dict[str, object]:
    """`cpu0`, then each device by its kind, numbered in the order of the evidence: `gpu0`, `gpu1`, `switch0`."""
    claims = case.authentic.claims
    policies = [_digest(case.judgement.references_digest), _digest(broker.digests.policy)]
    cpu = {
        "platform": claims.platform,
        "product": claims.product,
        "measurement": claims.measurement.hex(),
        "tcb": dict(claims.tcb),
    }
    named: dict[str, object] = {"cpu0": _submod(parts.node, policies, cpu)}
    numbers: Counter[str] = Counter()
    for device, vector, pseudonym in zip(claims.devices, parts.devices, case.holder.devices, strict=True):
        kind = device.kind.removeprefix("nvidia-")
        named[f"{kind}{numbers[kind]}"] = _submod(vector, policies, _device(device, pseudonym))
        numbers[kind] += 1
    return named


def _submod(vector: Vector, policies: list[str], about: Mapping[str, object]) -> dict[str, object]:
    return {
        "ear_status": _status(vector.status),
        "ear_trustworthiness_vector": {name: value for name, value in vector.claims if value},
        "ear_appraisal_policy_ids": policies,
        "sealgate": about,
    }


def _device(device: DeviceClaims, pseudonym: str) -> dict[str, object]:
    return {
        "device": pseudonym,
        "kind": device.kind,
        "architecture": device.architecture,
        "model": device.model,
        "mode": device.mode.name.lower(),
        "driver_version": device.driver_version,
        "vbios_version": device.vbios_version,
    }


def _status(status: Status) -> str:
    return status.name.lower()


def _digest(sha256: bytes) -> str:
    """RFC 6920."""
    return f"ni:///sha-256;{_text(sha256)}"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
