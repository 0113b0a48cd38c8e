"""kill -9 at each point of a release: never a key without its entry, never an entry twice, no stored reply lost."""

from __future__ import annotations

import os
from typing import Any

import pytest
from sealgate.v1.key_release_pb2 import (
    GetChallengeRequest,
    GetChallengeResponse,
    ReleaseKeysRequest,
    ReleaseKeysResponse,
)

from attest.tlog.entry import parse_leaf
from clients.errors import ClientError
from clients.transport import connect
from clients.trust import read_trust
from kbs.store.read import Reader
from tests.flow.nursery import PATIENCE_S, broker
from tests.makers.site import SimulatedSite, save_vendor
from tests.makers.workload import wire_request

# point: entries that the crash leaves behind
POINTS = {
    "challenged": 0,
    "verified": 0,
    "decided": 0,
    "after-wrap": 0,
    "begun": 0,
    "judged": 0,
    "placed": 0,
    "before-commit": 0,
    "after-commit": 1,
    "before-reply": 1,
    "signed": 1,
}


def _releases(site: SimulatedSite) -> list[Any]:
    reader = Reader(site.site.store)
    try:
        bodies = [parse_leaf(leaf).body for leaf in reader.leaves(0, reader.head().size)]
    finally:
        reader.close()
    return [body for body in bodies if str(body["type"]).startswith("release.")]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(site: SimulatedSite, point: str) -> None:
    save_vendor(site)
    trust = read_trust(site.trust, simulated=True)
    with broker(site.directory, point) as (ports, process):
        with connect(f"127.0.0.1:{ports.workload}", trust.broker_ca) as channel:
            challenge = channel.call(
                "/sealgate.v1.KeyRelease/GetChallenge", GetChallengeRequest(), GetChallengeResponse
            ).challenge
            request = ReleaseKeysRequest.FromString(wire_request(site.chip, challenge))
            with pytest.raises(ClientError):
                channel.call("/sealgate.v1.KeyRelease/ReleaseKeys", request, ReleaseKeysResponse)
        process.join(PATIENCE_S)
        assert process.exitcode == -9
    before = _releases(site)
    assert len(before) == POINTS[point]
    with broker(site.directory) as (ports, _), connect(f"127.0.0.1:{ports.workload}", trust.broker_ca) as channel:
        first = channel.call("/sealgate.v1.KeyRelease/ReleaseKeys", request, ReleaseKeysResponse)
        again = channel.call("/sealgate.v1.KeyRelease/ReleaseKeys", request, ReleaseKeysResponse)
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    after = _releases(site)
    assert [body["type"] for body in after] == ["release.granted"]
    if before:
        assert after == before
    assert first.receipt.leaf
    assert os.path.getsize(site.site.store) > 0
