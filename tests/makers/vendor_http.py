"""A vendor's service over real HTTP on loopback: it answers what it is told to, right or wrong in one chosen way.

    async with VendorServer(answers) as server:
        ...  f"{server.base}/vcek/v1/Milan/crl"

`answers` maps a request to an Answer. A fault is set by a predicate over the path: one thing is wrong at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Answer", "VendorServer"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer. `half` sends half of the body and breaks off; `hang` sends nothing; `slow_s` waits first."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    half: bool = False
    hang: bool = False
    slow_s: float = 0.0


Handler = Callable[[str, Mapping[str, str]], Answer]
Post = Callable[[str, bytes], Answer]


class VendorServer:
    """HTTP/1.1, or HTTPS with `tls`. Counts requests by path, and the connections that are open.

    What is posted goes to `post`, and is counted by its path and its bytes.
    """

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, post: Post | None = None) -> None:
        self.handler = handler
        self.post = post
        self.fault: Callable[[str], Answer | None] = lambda path: None
        self.asked: Counter[str] = Counter()
        self.open = 0
        self._tls = tls
        self._idle = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def base(self) -> str:
        """The URL without a path."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"https://localhost:{port}" if self._tls else f"http://127.0.0.1:{port}"

    @property
    def host(self) -> str:
        """What an allow-list names."""
        return urlsplit(self.base).netloc

    async def idle(self) -> None:
        """Returns when no connection is open any more; raises TimeoutError if that takes too long."""
        async with asyncio.timeout(20):
            await self._idle.wait()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self._idle.clear()
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self.open -= 1
            if not self.open:
                self._idle.set()
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if method == "POST" and self.post is not None:
            self.asked[f"{path} {hashlib.sha256(body).hexdigest()[:16]}"] += 1
            answer = self.fault(path) or self.post(path, body)
        else:
            self.asked[path] += 1
            answer = self.fault(path) or self.handler(path, headers)
        await asyncio.sleep(answer.slow_s)
        if answer.hang:
            await reader.read()  # until the client goes away
            return False
        lines = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        sent = answer.body[: len(answer.body) // 2] if answer.half else answer.body
        writer.write("\r\n".join([*lines, "", ""]).encode() + sent)
        await writer.drain()
        return not answer.half
