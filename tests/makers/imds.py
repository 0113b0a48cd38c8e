"""The metadata service of an Azure host, on loopback: it answers as told, or not at all. It has a thread, no loop."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from clients.workload.link_local import LinkLocal

__all__ = ["Handler", "certificates", "http", "listening_on", "metadata", "service", "td_quotes"]

Handler = Callable[[bytes], bytes | None]


def http(body: bytes, status: int = 200, *headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def certificates(ders: Sequence[bytes]) -> bytes:
    """What THIM says: the chip's own, and those above it."""
    pems = [ssl.DER_cert_to_PEM_cert(der) for der in ders]
    said = {"vcekCert": pems[0], "tcbm": "DB18000000000004", "certificateChain": "".join(pems[1:]), "cacheTTL": "86400"}
    return http(json.dumps(said).encode())


def td_quotes(make: Callable[[bytes], bytes]) -> Handler:
    """Quotes that `make` makes of the REPORTDATA of a TDREPORT."""

    def answer(request: bytes) -> bytes | None:
        text = json.loads(request.partition(b"\r\n\r\n")[2])["report"]
        report = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        assert len(report) == 1_024
        quote = base64.urlsafe_b64encode(make(report[0x80:0xC0])).decode().rstrip("=")
        return http(json.dumps({"quote": quote}).encode())

    return answer


def metadata(
    *, chain: Sequence[bytes] = (), quote: Callable[[bytes], bytes] | None = None
) -> Callable[[bytes], bytes | None]:
    """Both questions; 404 for what is not given."""

    def answer(request: bytes) -> bytes | None:
        if request.startswith(b"GET /metadata/THIM/amd/certification HTTP/1.1\r\n") and chain:
            assert b"\r\nMetadata: true\r\n" in request
            return certificates(chain)
        if request.startswith(b"POST /acc/tdquote HTTP/1.1\r\n") and quote is not None:
            return td_quotes(quote)(request)
        return http(b"", 404)

    return answer


@contextlib.contextmanager
def service(handler: Handler, *, seconds: float = 10.0) -> Iterator[LinkLocal]:
    """A door to it; `handler` as in `listening_on`."""
    with listening_on(handler) as port:
        yield LinkLocal("127.0.0.1", port, seconds=seconds)


@contextlib.contextmanager
def listening_on(handler: Handler) -> Iterator[int]:
    """Its port. `handler` gets a whole request; None: silence, until the client goes away."""
    listening = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(listening, handler), daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _serve(listening: socket.socket, handler: Handler) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection: Any = listening.accept()[0]
            with connection, contextlib.suppress(OSError):
                answer = handler(_request(connection))
                if answer is None:
                    connection.recv(1)
                else:
                    connection.sendall(answer)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.decode().split("\r\n"):
        if line.lower().startswith("content-length:"):
            while len(body) < int(line.partition(":")[2]):
                body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body
