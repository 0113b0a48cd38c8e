"""Calls of people without a network: the real methods over a simulated site, and the key digest that TLS would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from kbs.catalog.register import put
from kbs.rpc import catalog, decisions, key_versions
from kbs.rpc.handler import Method
from kbs.serve.wiring import Running
from tests.makers import site as maker

__all__ = ["People", "enrol"]

R = TypeVar("R", bound=Message)


class _Call:
    def __init__(self, key_digest: bytes) -> None:
        self._key_digest = key_digest

    def key_digest(self) -> bytes:
        return self._key_digest


class People:
    """Whoever has the key of that digest, before an open site."""

    def __init__(self, running: Running, key_digest: bytes) -> None:
        self._key_digest = key_digest
        self._methods: Mapping[str, Method] = {
            **catalog.methods(running.broker),
            **key_versions.methods(running.broker),
            **decisions.methods(running.broker, running.reader),
        }

    async def __call__(self, method: str, request: Message, response: type[R]) -> R:
        call: Any = _Call(self._key_digest)
        return response.FromString(await self._methods[method](request.SerializeToString(), call))


async def enrol(running: Running, name: str, *roles: str, tenants: tuple[str, ...] = ("acme",)) -> People:
    """Somebody with these roles."""
    digest = name.encode().ljust(32, b"-")
    document = {"id": f"person-{name}", "key_sha256": digest.hex(), "roles": list(roles), "tenants": list(tenants)}
    await maker.register(running, [put("principal", f"principals/{name}", document, entry=maker.draft_of(running))])
    return People(running, digest)
