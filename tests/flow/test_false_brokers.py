"""False brokers: whatever they hold but the log's key, no wrapped key is opened."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sealgate.v1.key_release_pb2 import ReleaseKeysResponse

from clients.errors import NotTrusted
from clients.transport import connect
from clients.trust import read_trust
from clients.workload.keys import get_keys
from clients.workload.recipient import RecipientKey
from tests.flow.test_wire import FakeTee
from tests.makers.false_broker import Between, impostor, own_key, replay
from tests.makers.site import ASSET, PURPOSE, SimulatedSite

__all__ = ["LIARS", "told"]

Same = Callable[[Any], Any]


def _get(site: SimulatedSite, port: int, between: Same = lambda channel: channel) -> Any:
    trust = read_trust(site.trust, simulated=True)
    with connect(f"127.0.0.1:{port}", trust.broker_ca) as channel:
        return get_keys(between(channel), trust, FakeTee(site), PURPOSE, [ASSET])


async def _another_log(site: SimulatedSite, directory: Path) -> None:
    async with impostor(site, directory) as listeners:
        await asyncio.to_thread(_get, site, listeners.workload_port)


async def _another_deployment(site: SimulatedSite, directory: Path) -> None:
    async with impostor(site, directory, origin="other.sealgate.example") as listeners:
        await asyncio.to_thread(_get, site, listeners.workload_port)


async def _its_receipt_on_another_key(site: SimulatedSite, _directory: Path) -> None:
    async with site.serve() as (_, listeners):
        await asyncio.to_thread(_get, site, listeners.workload_port, lambda channel: Between(channel, own_key))


async def _replayed(site: SimulatedSite, _directory: Path) -> None:
    kept: list[ReleaseKeysResponse] = []
    async with site.serve() as (_, listeners):
        between: Same = lambda channel: Between(channel, replay(kept))  # noqa: E731
        before = await asyncio.to_thread(_get, site, listeners.workload_port, between)
        assert [key.secret for key in before.keys] == [site.key.seed]
        opened.clear()
        await asyncio.to_thread(_get, site, listeners.workload_port, between)


# name: (what happens, the check by which the client refuses)
LIARS: dict[str, tuple[Callable[[SimulatedSite, Path], Any], str]] = {
    "the right CA and name, another log key": (_another_log, "NOTE_"),
    "another deployment's genuine receipt": (_another_deployment, "LOG_UNKNOWN"),
    "a genuine receipt, another key wrapped": (_its_receipt_on_another_key, "RECEIPT_KEYS"),
    "a genuine reply of before": (_replayed, "RECEIPT_BOUND"),
}
opened: list[bytes] = []


async def told(name: str, site: SimulatedSite) -> tuple[str, int]:
    """The check by which the client refused, and how many wrapped keys it had opened by then."""
    happens, _ = LIARS[name]
    genuine = RecipientKey.open

    def counted(self: RecipientKey, wrapped: bytes, info: bytes) -> bytes:
        opened.append(wrapped)
        return genuine(self, wrapped, info)

    opened.clear()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        patch.setattr(RecipientKey, "open", counted)
        try:
            await happens(site, Path(directory) / "other")
        except NotTrusted as error:
            return error.check, len(opened)
    return "nothing", len(opened)


@pytest.mark.parametrize("name", LIARS)
async def test_no_key_is_opened(site: SimulatedSite, name: str) -> None:
    check, keys = await told(name, site)
    assert check.startswith(LIARS[name][1])
    assert keys == 0
