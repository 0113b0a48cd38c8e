"""HTTP to a service of the platform's own that only this machine can reach: one short exchange, bounded in everything.

Source: RFC 9112. The standard library's client brings TLS and a parser of mail along, 4 MiB of a boot, and bounds each
step but not the whole. What is needed of HTTP here is one request, and an answer that is small, whole and no redirect.
What comes back is as untrusted as the host: nothing rests on it until the broker has verified it.
"""

from __future__ import annotations

import socket
import time

from clients.errors import Unavailable

__all__ = ["LinkLocal"]

_HEAD = 16_384  # bytes of status and headers
_AGAIN_S = 2.0  # at least, where asking again helps
_LATER = {404, 408, 410, 429, 500, 502, 503, 504}  # as the metadata service documents them: ask again


class LinkLocal:
    """The service at `host` and `port`; an exchange is over within `seconds`, whatever it does."""

    def __init__(self, host: str = "169.254.169.254", port: int = 80, *, seconds: float = 15.0) -> None:
        self._address = (host, port)
        self._seconds = seconds

    def ask(self, path: str, *, body: bytes | None = None, limit: int) -> bytes:
        """The body of a 200: GET, or POST of JSON; at most `limit` bytes of it. Raises Unavailable."""
        url = f"http://{self._address[0]}{path}"
        try:
            answer = self._exchange(path, body, limit + _HEAD)
        except TimeoutError as error:
            sentence = f"{url} has not answered within {self._seconds:g} s"
            raise Unavailable(sentence, retry_after=_AGAIN_S) from error
        except OSError as error:
            sentence = f"{url} cannot be reached: {error.strerror or error}"
            raise Unavailable(sentence, retry_after=_AGAIN_S) from error
        head, found, rest = answer.partition(b"\r\n\r\n")
        if not found or len(head) > _HEAD:
            raise Unavailable(f"{url} gave no answer of HTTP", retry_after=_AGAIN_S)
        status, headers = _head(head, url)
        if status != 200:
            raise _refused(status, headers, url)
        data = _chunks(rest) if headers.get("transfer-encoding", "").lower() == "chunked" else _whole(rest, headers)
        if data is None:
            raise Unavailable(f"{url} broke off its answer", retry_after=_AGAIN_S)
        if len(data) > limit:
            raise Unavailable(f"{url} gave more than {limit} bytes")
        return data

    def _exchange(self, path: str, body: bytes | None, most: int) -> bytes:
        """All that is sent until the connection is closed, or the limit passed. Raises OSError."""
        end = time.monotonic() + self._seconds
        lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"Host: {self._address[0]}", "Metadata: true"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        request = "\r\n".join([*lines, "Accept: application/json", "Connection: close", "", ""]).encode()
        # An address needs no resolver; create_connection would load one, and tables for names in other scripts.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            _remaining(connection, end)
            connection.connect(self._address)
            _remaining(connection, end)
            connection.sendall(request + (body or b""))
            data = bytearray()
            while len(data) <= most:
                _remaining(connection, end)
                piece = connection.recv(16_384)
                data += piece
                if not piece or _complete(data):
                    break
        return bytes(data)


def _remaining(connection: socket.socket, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def _complete(data: bytearray) -> bool:
    """Whether all of a body with a length is there: some servers keep the connection though they were asked not to."""
    head, found, rest = bytes(data).partition(b"\r\n\r\n")
    if not found:
        return False
    headers = _fields(head)
    if "transfer-encoding" in headers:
        return rest.endswith(b"\r\n0\r\n\r\n") or rest == b"0\r\n\r\n"
    return headers.get("content-length", "").isdecimal() and len(rest) >= int(headers["content-length"][:9])


def _head(head: bytes, url: str) -> tuple[int, dict[str, str]]:
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or words[0] not in (b"HTTP/1.1", b"HTTP/1.0") or not (len(words[1]) == 3 and words[1].isdigit()):
        raise Unavailable(f"{url} gave no answer of HTTP/1.1", retry_after=_AGAIN_S)
    return int(words[1]), _fields(head)


def _fields(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _refused(status: int, headers: dict[str, str], url: str) -> Unavailable:
    if status not in _LATER:
        return Unavailable(f"{url} answered with status {status}" + ", and is not followed" * (300 <= status < 400))
    asked = headers.get("retry-after", "")
    after = float(asked) if asked.isdecimal() and len(asked) < 6 else 0.0
    return Unavailable(f"{url} answered with status {status}", retry_after=max(_AGAIN_S, after))


def _whole(rest: bytes, headers: dict[str, str]) -> bytes | None:
    """The body, None if it is not all there. Without a length it is what came until the end."""
    length = headers.get("content-length")
    if length is None:
        return rest
    return rest if length.isdecimal() and len(length) < 10 and len(rest) == int(length) else None


def _chunks(rest: bytes) -> bytes | None:
    """The body of a chunked answer, None if it is not all there."""
    data = b""
    while True:
        line, found, rest = rest.partition(b"\r\n")
        size = line.split(b";", 1)[0].strip()
        if not found or not size or len(size) > 6 or size.strip(b"0123456789abcdefABCDEF"):
            return None
        length = int(size, 16)
        if not length:
            return data
        if len(rest) < length + 2 or rest[length : length + 2] != b"\r\n":
            return None
        data, rest = data + rest[:length], rest[length + 2 :]
