"""The middleware of every call: TLS 1.3, bytes, one mapping of errors. Handlers behind it hold no such thing."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from grpc import aio

from attest.errors import AttestError
from kbs.model.refusal import Refused, Unavailable
from kbs.rpc.status import DETAILS_KEY, reason_of, status_of

__all__ = ["Call", "Method", "Observe", "Service", "check_tls", "service", "unobserved"]

_log = logging.getLogger("sealgate.rpc")
_AGAIN_S = 60.0
Service = grpc.GenericRpcHandler
Context = aio.ServicerContext[bytes, bytes]


class Call:
    """Who calls, as far as TLS knows."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def tls_version(self) -> str:
        """For example `TLSv1.3`; empty if the connection is not TLS."""
        return b"".join(self._context.auth_context().get("ssl_tls_version", [])).decode()

    def peer(self) -> str:
        """The caller's address without its port, as gRPC writes it."""
        return self._context.peer().rpartition(":")[0]

    def certificate_pem(self) -> bytes:
        """The verified client certificate, or empty."""
        return b"".join(self._context.auth_context().get("x509_pem_cert", []))

    def key_digest(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo of the client's key, by which people are known; empty without one."""
        pem = self.certificate_pem()
        if not pem:
            return b""
        key = x509.load_pem_x509_certificate(pem).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


Method = Callable[[bytes, Call], Awaitable[bytes]]


Observe = Callable[[str, str, float], object]


def unobserved(_method: str, _reason: str, _seconds: float) -> None:
    """Nobody counts."""


def service(name: str, methods: Mapping[str, Method], observe: Observe = unobserved) -> grpc.GenericRpcHandler:
    """A gRPC service over bytes: generated stubs would answer UNKNOWN with an exception's text.

    `observe` is told of each call: method, reason (OK, or that of the refusal), seconds.
    """
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        method: grpc.unary_unary_rpc_method_handler(_guarded(f"{name}/{method}", call, observe))
        for method, call in methods.items()
    }
    return grpc.method_handlers_generic_handler(name, handlers)


def check_tls(version: str) -> None:
    """Raises Refused TLS_VERSION for anything but TLS 1.3."""
    if version != "TLSv1.3":
        raise Refused("TLS_VERSION", check="TLS_VERSION", expected="TLSv1.3", got=version or "none")


class _Teller:
    """Tells the operator why a call was unavailable, which is theirs to mend."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told: dict[str, float] = {}  # by check: as many as there are

    def tell(self, reason: str, refusal: AttestError | Refused, now: float) -> None:
        """The cause, of which the caller learns the reason alone; once a minute what any caller can bring about."""
        if isinstance(refusal, AttestError):
            if now - self._told.get(refusal.check, -_AGAIN_S) >= _AGAIN_S:
                self._told[refusal.check] = now
                _log.error("%s was answered with %s: %s", self._name, reason, refusal)
        elif isinstance(refusal, Unavailable) and refusal.__cause__ is not None:
            _log.error("%s was answered with %s: %s", self._name, reason, refusal.__cause__)


def _guarded(name: str, method: Method, observe: Observe = unobserved) -> Callable[[bytes, Context], Awaitable[bytes]]:
    teller = _Teller(name)

    async def handle(data: bytes, context: Context) -> bytes:
        call, began = Call(context), time.perf_counter()
        try:
            check_tls(call.tls_version())
            answer = await method(data, call)
        except (AttestError, Refused) as error:
            refusal: AttestError | Refused = error
        except Exception:  # noqa: BLE001  # our own bug: the caller learns nothing of it, the operator everything
            _log.exception("%s failed", name)
            refusal = Refused("INTERNAL")
        else:
            observe(name, "OK", time.perf_counter() - began)
            return answer
        reason = reason_of(refusal) if isinstance(refusal, AttestError) else refusal.reason
        observe(name, reason, time.perf_counter() - began)
        code, message, details = status_of(refusal)
        if code is grpc.StatusCode.UNAVAILABLE:
            teller.tell(reason, refusal, began)
        context.set_trailing_metadata(((DETAILS_KEY, details),))
        return await context.abort(code, message)

    return handle
