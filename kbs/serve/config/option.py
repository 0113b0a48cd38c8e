"""What an option is: how its value is read, what is said of it. A reader raises Wrong with what would be right."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "Option",
    "Read",
    "SecretRef",
    "Wrong",
    "address",
    "base_url",
    "bounded",
    "choice",
    "duration",
    "host_names",
    "option",
    "option_of",
    "path",
    "paths",
    "secret",
    "text",
]

Read = Callable[[object, Path], Any]
_UNITS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([1-9][0-9]{0,8})(ms|s|min|h|d)", re.ASCII)
_DNS = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*", re.ASCII
)
_CREDENTIAL = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)
_DESCRIPTOR = re.compile(r"fd:(?:[3-9]|[1-9][0-9]{1,3})", re.ASCII)


class Wrong(Exception):
    """A value that cannot be used. Its text is what would have been right, as it follows "must be"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """Where a secret is: `file` with a path, `credential` with a name, `fd` with a number, `terminal`. Never what."""

    kind: str
    where: str

    def __str__(self) -> str:
        return self.kind if self.kind == "terminal" else f"{self.kind}:{self.where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How a field of a section is read, and what people are told of it."""

    read: Read
    text: str
    example: str


def option(read: Read, default: object = MISSING, *, text: str, example: str = "") -> Any:
    """A field of a section; one without a default must be given."""
    metadata = {"option": Option(read=read, text=text, example=example)}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def option_of(described: Field[Any]) -> Option:
    """What `option` attached to a dataclass's field."""
    found: Option = described.metadata["option"]
    return found


def text(pattern: str, rule: str) -> Read:
    """A text that matches; `rule` says what in words."""
    compiled = re.compile(pattern, re.ASCII)

    def read(value: object, _base: Path) -> str:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise Wrong(rule)
        return value

    return read


def choice(*allowed: str) -> Read:
    """One of these texts."""

    def read(value: object, _base: Path) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Wrong(" or ".join(f'"{each}"' for each in allowed))
        return value

    return read


def bounded(low: int, high: int) -> Read:
    """A whole number in [low, high]."""

    def read(value: object, _base: Path) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Wrong(f"a whole number from {low} to {high}")
        return value

    return read


def duration(low: str, high: str) -> Read:
    """A time with its unit, in ms, between two such."""
    bounds = (_ms(low), _ms(high))

    def read(value: object, _base: Path) -> int:
        rule = f'a time with its unit (ms, s, min, h, d) from "{low}" to "{high}"'
        ms = _ms(value) if isinstance(value, str) else -1
        if not bounds[0] <= ms <= bounds[1]:
            raise Wrong(rule)
        return ms

    return read


def _ms(value: str) -> int:
    match = _DURATION.fullmatch(value)
    return int(match[1]) * _UNITS[match[2]] if match else -1


def path(value: object, base: Path) -> Path:
    """A path; a relative one starts from the folder of the configuration file."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise Wrong("a path")
    return base / value


def base_url(value: object, _base: Path) -> str:
    """`https://host[:port][/path]`; plain `http` only to a loopback address."""
    rule = "https://host[:port][/path], or http:// to a loopback address; no credentials, no query, no slash at the end"
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        fine = parts is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise Wrong(rule) from None
    if not fine or parts is None or parts.username is not None or parts.query or parts.fragment:
        raise Wrong(rule)
    if parts.path.endswith("/") or parts.geturl() != str(value):
        raise Wrong(rule)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise Wrong(rule)
    return str(value)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def paths(value: object, base: Path) -> tuple[Path, ...]:
    """A list of paths, none twice."""
    if not isinstance(value, list):
        raise Wrong("a list of paths")
    found = tuple(path(each, base) for each in value)
    if len(set(found)) != len(found):
        raise Wrong("a list of paths, none of them twice")
    return found


def address(value: object, _base: Path) -> str:
    """An IP address to listen on."""
    try:
        return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        raise Wrong('an IP address, for example "127.0.0.1" or "::"') from None


def host_names(value: object, _base: Path) -> tuple[str, ...]:
    """DNS names and IP addresses by which clients reach the broker."""
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise Wrong("a list of DNS names or IP addresses, not empty")
    if not all(_DNS.fullmatch(each) or _is_address(each) for each in value) or len(set(value)) != len(value):
        raise Wrong("a list of DNS names in lower case or IP addresses, none of them twice")
    return tuple(value)


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def secret(*, interactive: bool) -> Read:
    """A reference to a secret, never the secret. `interactive` allows a terminal or an open descriptor, too."""
    rule = '"file:PATH" or "credential:NAME"' + (', "fd:N" or "terminal"' if interactive else "")

    def read(value: object, base: Path) -> SecretRef:
        kind, _, where = value.partition(":") if isinstance(value, str) else ("", "", "")
        if kind == "file" and where:
            return SecretRef(kind=kind, where=str(path(where, base)))
        if kind == "credential" and _CREDENTIAL.fullmatch(where) and where not in {".", ".."}:
            return SecretRef(kind=kind, where=where)
        if interactive and value == "terminal":
            return SecretRef(kind="terminal", where="")
        if interactive and isinstance(value, str) and _DESCRIPTOR.fullmatch(value):
            return SecretRef(kind=kind, where=where)
        raise Wrong(f"a reference to a secret, never the secret itself: {rule}")

    return read
