"""grpc.health.v1.Health: whether this process answers, for load balancers. `Check` alone; `Watch` is not offered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from kbs.model.refusal import Refused
from kbs.rpc.handler import Call, Method
from kbs.rpc.parse import parse

__all__ = ["NAME", "methods"]

NAME = "grpc.health.v1.Health"


def methods(serving: Callable[[], bool], services: Sequence[str]) -> dict[str, Method]:
    """The service's methods. The empty name asks for the whole server."""

    async def check(data: bytes, _call: Call) -> bytes:
        asked = parse(HealthCheckRequest, data).service
        if asked and asked not in services:
            raise Refused("NOT_FOUND")
        status = HealthCheckResponse.SERVING if serving() else HealthCheckResponse.NOT_SERVING
        answer: bytes = HealthCheckResponse(status=status).SerializeToString()
        return answer

    return {"Check": check}
