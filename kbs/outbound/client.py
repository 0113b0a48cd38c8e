"""HTTPS to hosts that are listed, and to nobody else: no redirects, no cookies, no environment, limits on every answer.

What an answer says is as untrusted as anything else from outside; its caller verifies it under pinned roots. This room
only sees to it that the broker is not sent elsewhere, is not kept waiting and does not fill its memory.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import aiohttp

from kbs.outbound.errors import OutboundError

__all__ = ["Egress", "Outbound", "Response"]

_HEADER_BYTES: Final = 16_384  # Intel sends certificate chains in headers
_CHUNK: Final = 16_384
_CONNECTIONS: Final = 16
_PER_HOST: Final = 4
_CONNECT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """Where the broker may connect to, and through what.

    `hosts` are `name` (port 443) or `name:port`. `proxy` is the URL of an HTTP proxy without credentials. `ca_file`
    (PEM) stands in for the system's CAs. With `loopback` plain HTTP is allowed to a listed host that is a loopback
    address, for a cache on the same machine. Raises ValueError for what cannot be meant.
    """

    hosts: frozenset[str]
    proxy: str | None = None
    ca_file: Path | None = None
    loopback: bool = False

    def __post_init__(self) -> None:
        for host in self.hosts:
            if host != host.lower() or "/" in host or "*" in host or not host:
                raise ValueError(f"{host!r} is not a host: name, or name:port, in lower case, no pattern")
        if self.proxy is not None:
            parts = urlsplit(self.proxy)
            if parts.scheme != "http" or not parts.hostname or parts.username or parts.path.strip("/"):
                raise ValueError("the proxy must be http://host:port, without credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer, whole. Names of headers are in lower case; of one that came twice the last is kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outbound:
    """The client. One for a process; `close` it in the loop that used it."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def get(self, url: str, *, limit: int, seconds: float, secret: Mapping[str, str] | None = None) -> Response:
        """GET `url`; at most `limit` bytes of body, all of it within `seconds`. Raises OutboundError.

        `secret` are headers that say who asks: they go to that host alone, and nowhere but over TLS.
        """
        if secret and urlsplit(url).scheme != "https":
            raise OutboundError("OUTBOUND_SCHEME", self._allowed(url), expected="https, for a secret", got="http")
        return await self._request("GET", url, None, secret or {}, limit=limit, seconds=seconds)

    async def post(self, url: str, body: bytes, *, content_type: str, limit: int, seconds: float) -> Response:
        """POST `body` to `url`, with the same limits. Raises OutboundError."""
        return await self._request("POST", url, body, {"Content-Type": content_type}, limit=limit, seconds=seconds)

    async def close(self) -> None:
        """Ends every connection."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, limit: int, seconds: float
    ) -> Response:
        shown = self._allowed(url)
        try:
            async with self._open().request(
                method,
                url,
                data=body,
                headers={"Accept-Encoding": "identity", **headers},
                allow_redirects=False,
                proxy=self._egress.proxy,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(_CONNECT_S, seconds)),
            ) as answer:
                return Response(
                    status=answer.status,
                    headers={name.lower(): value for name, value in answer.headers.items()},
                    body=await _body(answer, shown, limit),
                )
        except TimeoutError as error:
            raise OutboundError("OUTBOUND_TIMEOUT", shown, expected=f"within {seconds:g} s", got="no answer") from error
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise OutboundError(
                "OUTBOUND_TLS", shown, expected="a server that proves its name", got=str(error)
            ) from error
        except aiohttp.ClientResponseError as error:  # its text names the URL with its query
            raise OutboundError("OUTBOUND_INCOMPLETE", shown, expected="an answer", got=error.message[:120]) from None
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            raise OutboundError("OUTBOUND_INCOMPLETE", shown, expected="a whole answer", got=str(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise OutboundError("OUTBOUND_UNREACHABLE", shown, expected="a connection", got=str(error)) from error

    def _allowed(self, url: str) -> str:
        """The URL for people, without its query; raises OutboundError if nothing may be sent there."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise OutboundError("OUTBOUND_HOST", "a URL", expected="host and port", got=str(error)) from error
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        listed = f"{host}:{port}" if port is not None else host
        if parts.username is not None or listed not in self._egress.hosts:
            got = "credentials in the URL" if parts.username is not None else listed
            raise OutboundError("OUTBOUND_HOST", shown, expected=", ".join(sorted(self._egress.hosts)), got=got)
        if parts.scheme != "https" and not self._is_plain_loopback(parts):
            raise OutboundError("OUTBOUND_SCHEME", shown, expected="https", got=parts.scheme)
        return shown

    def _is_plain_loopback(self, parts: SplitResult) -> bool:
        if not self._egress.loopback or parts.scheme != "http":
            return False
        try:
            return ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            return False

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise OutboundError("OUTBOUND_CLOSED", "-", expected="a broker that serves", got="one that is closing")
        if self._session is None:
            tls = ssl.create_default_context(cafile=str(self._egress.ca_file) if self._egress.ca_file else None)
            tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=_CONNECTIONS, limit_per_host=_PER_HOST),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
                headers={"User-Agent": "sealgate"},
            )
        return self._session


async def _body(answer: aiohttp.ClientResponse, shown: str, limit: int) -> bytes:
    """Every byte of the body, if it is one and not too large."""
    if 300 <= answer.status < 400:
        raise OutboundError("OUTBOUND_REDIRECT", shown, expected="an answer", got=f"status {answer.status}")
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise OutboundError("OUTBOUND_ENCODED", shown, expected="no Content-Encoding", got=encoding[:40])
    if (answer.content_length or 0) > limit:
        raise OutboundError("OUTBOUND_TOO_LARGE", shown, expected=f"at most {limit}", got=f"{answer.content_length}")
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            raise OutboundError("OUTBOUND_TOO_LARGE", shown, expected=f"at most {limit} bytes", got="more")
    return bytes(body)
