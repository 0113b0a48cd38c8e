"""gRPC, and what a refusal looks like on this side. Protobuf messages stop here and in the modules that fill them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from clients.errors import ClientError, Denied, Locked, Unavailable, Usage

__all__ = ["Channel", "Identity", "connect"]

_DETAILS_KEY = "grpc-status-details-bin"
_DEADLINE_S = 30.0
_AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Identity:
    """A person's client key and certificate chain, PEM."""

    key: bytes
    chain: bytes


class Channel:
    """One connection to a broker."""

    def __init__(self, channel: grpc.Channel, address: str, *, identified: bool) -> None:
        self._channel = channel
        self._address = address
        self._identified = identified

    def call(self, method: str, request: Message, response: type[R]) -> R:
        """One unary call of `/service/method`; raises Denied, Locked or Unavailable with what the broker told.

        Raises Usage where the other side has no such method.
        """
        stub: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        try:
            data = stub(request.SerializeToString(), timeout=_DEADLINE_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                port = "workload" if self._identified else "people"
                raise Usage(
                    f"{self._address} has no {method}: it may be a {port} port, or the broker is of another version"
                ) from error
            raise self._translate(error) from error
        return response.FromString(data)

    def _translate(self, error: grpc.RpcError) -> ClientError:
        code = error.code()
        details, retry_after = _told(error)
        if code in _AGAIN and not details:  # no broker of ours said this: there was no answer, or none came through
            from clients.no_answer import no_answer  # noqa: PLC0415  # a boot that is answered has no use for it

            why = no_answer(self._address, error.details() or code.name, identified=self._identified)
            return Unavailable(f"{code.name}: {why}", retry_after=0.0, lost=True)
        reason = details.get("reason", code.name)
        message = f"{reason}: {error.details()}"
        if details.get("expected"):
            message += f" ({details.get('check', '')}: expected {details['expected']}, got {details.get('got', '')})"
        elif details.get("got"):
            message += f" {details['got']} ({details.get('check', '')})"
        if details.get("ticket"):
            message += f" Ticket: {details['ticket']}"
        if reason == "LOCKED":
            return Locked(message, details)
        if code not in _AGAIN:
            return Denied(message, details)
        return Unavailable(message, retry_after=retry_after)


@contextmanager
def connect(address: str, ca: bytes, identity: Identity | None = None) -> Iterator[Channel]:
    """A TLS connection to `host:port` that accepts certificates of `ca` (PEM) alone; raises Usage."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise Usage(f"{address!r} is not HOST:PORT, such as broker.example:8443")
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca,
        private_key=identity.key if identity else None,
        certificate_chain=identity.chain if identity else None,
    )
    channel = grpc.secure_channel(address, credentials, options=(("grpc.enable_http_proxy", 0),))
    try:
        yield Channel(channel, address, identified=identity is not None)
    finally:
        channel.close()


def _told(error: grpc.RpcError) -> tuple[dict[str, str], float | None]:
    """What google.rpc.Status holds: the reason with what belongs to it, and after how long to ask again."""
    from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # noqa: PLC0415  # nothing went wrong yet at a start
    from google.rpc.status_pb2 import Status  # noqa: PLC0415

    metadata: Any = error.trailing_metadata() or ()  # (key, value) pairs; the stubs say nothing of them
    data = next((value for key, value in metadata if key == _DETAILS_KEY), b"")
    told: dict[str, str] = {}
    retry_after = None
    for detail in Status.FromString(data).details:
        info, retry = ErrorInfo(), RetryInfo()
        if detail.Unpack(info):
            told = {**info.metadata, "reason": info.reason}
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return told, retry_after
