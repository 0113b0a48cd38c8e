"""Two listeners: workloads with server TLS, people with client certificates. Nothing else in the broker listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
from grpc import aio

from kbs.rpc.parse import MAX_MESSAGE

__all__ = ["Listeners", "Tls", "start"]

_OPTIONS = (("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_concurrent_streams", 256))


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
        await asyncio.gather(self.workload.stop(grace), self.people.stop(grace))


async def start(
    workload_services: Sequence[grpc.GenericRpcHandler],
    people_services: Sequence[grpc.GenericRpcHandler],
    tls: Callable[[], Tls],
    *,
    host: str,
    workload_port: int,
    people_port: int,
    share_ports: bool = False,
) -> Listeners:
    """Binds both listeners and serves; raises RuntimeError if a port cannot be bound.

    `tls` is asked at every handshake, from a thread of gRPC's, and gives the same value again unless it changed.
    `share_ports` lets other processes of this user bind the same ports; connections are spread among them.
    """
    options = (*_OPTIONS, ("grpc.so_reuseport", int(share_ports)))
    at = f"[{host}]" if ":" in host else host
    workload = aio.server(options=options)
    workload.add_generic_rpc_handlers(tuple(workload_services))
    bound = workload.add_secure_port(f"{at}:{workload_port}", _credentials(tls, people=False))
    people = aio.server(options=options)
    people.add_generic_rpc_handlers(tuple(people_services))
    people_bound = people.add_secure_port(f"{at}:{people_port}", _credentials(tls, people=True))
    await workload.start()
    await people.start()
    return Listeners(workload=workload, people=people, workload_port=bound, people_port=people_bound)


def _credentials(tls: Callable[[], Tls], *, people: bool) -> grpc.ServerCredentials:
    """TLS that follows `tls`; for people it asks for a certificate of theirs, and refuses who has none."""
    served = tls()

    def configure(now: Tls) -> grpc.ServerCertificateConfiguration:
        roots = now.people_ca if people else None
        return grpc.ssl_server_certificate_configuration([(now.key, now.chain)], root_certificates=roots)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        now = tls()
        if now is served:
            return None
        served = now
        return configure(now)

    return grpc.dynamic_ssl_server_credentials(
        configure(served),
        fetch,  # type: ignore[arg-type]  # None for no change, as its documentation says
        require_client_authentication=people,
    )
