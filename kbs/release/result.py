"""What the broker attests of a workload to others: an EAT Attestation Result for one audience, for five minutes.

Source: draft-ietf-rats-ear-04. It is bound to the holder key (`cnf`, RFC 7800): without one there is none, and whoever
accepts it asks for a proof of that key. It says what was appraised, never what was released.
"""

from __future__ import annotations

import base64

from attest.ear import vector_of
from attest.finding import Finding
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
    issued = case.now // 1_000
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
        "submods": {"cpu0": _cpu(case, broker)},
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


def _cpu(case: Case, broker: Broker) -> dict[str, object]:
    findings: list[Finding] = [f for each in case.judgement.appraisals.values() for f in each.findings]
    vector = vector_of(findings)
    claims = case.authentic.claims
    return {
        "ear_status": vector.status.name.lower(),
        "ear_trustworthiness_vector": {name: value for name, value in vector.claims if value},
        "ear_appraisal_policy_ids": [_digest(case.judgement.references_digest), _digest(broker.digests.policy)],
        "sealgate": {
            "platform": claims.platform,
            "product": claims.product,
            "measurement": claims.measurement.hex(),
            "tcb": dict(claims.tcb),
        },
    }


def _digest(sha256: bytes) -> str:
    """RFC 6920."""
    return f"ni:///sha-256;{_text(sha256)}"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
