"""Two listeners: workloads with server TLS, people with client certificates. Nothing else in the broker listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from grpc import aio

from kbs.rpc.parse import MAX_MESSAGE

__all__ = ["Listeners", "Tls", "start"]

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 256),
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tls:
    """PEM: the server's key and certificate chain, and the CA of people's certificates."""

    key: bytes
    chain: bytes
    people_ca: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """What `start` started. Ports are those bound, also where 0 was asked for."""

    workload: aio.Server
    people: aio.Server
    workload_port: int
    people_port: int

    async def stop(self, grace: float) -> None:
        """Lets calls in flight finish for `grace` seconds."""
        await self.workload.stop(grace)
        await self.people.stop(grace)


async def start(
    workload_services: Sequence[grpc.GenericRpcHandler],
    people_services: Sequence[grpc.GenericRpcHandler],
    tls: Tls,
    *,
    host: str,
    workload_port: int,
    people_port: int,
) -> Listeners:
    """Binds both listeners and serves; raises RuntimeError if a port cannot be bound."""
    pair = [(tls.key, tls.chain)]
    workload = aio.server(options=_OPTIONS)
    workload.add_generic_rpc_handlers(tuple(workload_services))
    bound = workload.add_secure_port(f"{host}:{workload_port}", grpc.ssl_server_credentials(pair))
    people = aio.server(options=_OPTIONS)
    people.add_generic_rpc_handlers(tuple(people_services))
    credentials = grpc.ssl_server_credentials(pair, root_certificates=tls.people_ca, require_client_auth=True)
    people_bound = people.add_secure_port(f"{host}:{people_port}", credentials)
    await workload.start()
    await people.start()
    return Listeners(workload=workload, people=people, workload_port=bound, people_port=people_bound)
