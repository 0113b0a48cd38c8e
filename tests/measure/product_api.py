"""The measures of the API: hostile bytes to every method, and key bytes that must be nowhere."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import io
import logging
import os
import pkgutil
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import sealgate.v1
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from sealgate.v1 import catalog_pb2, key_versions_pb2
from sealgate.v1.change_pb2 import Change

from clients.operator.key_versions import seal_import
from clients.transport import connect
from clients.trust import read_trust
from clients.workload.keys import get_keys
from kbs.decide.authority import WORKLOAD_SERVICES
from kbs.rpc.server import Listeners
from kbs.rpc.status import DETAILS_KEY, DOMAIN, REASONS
from kbs.serve.collateral import looked_after, open_collateral
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.service import serve
from kbs.serve.wiring import Running, wall_clock
from tests.kbs.rpc.called import People
from tests.makers.site import ASSET, MEASUREMENT, ORIGIN, PURPOSE, SimulatedSite, asset_document, make_site
from tests.measure.table import Measure, Result

__all__ = ["MEASURES", "key_bytes", "methods", "spellings"]

_MOST = 256 * 1_024
_OWN = {"RESOURCE_EXHAUSTED"}  # gRPC's own answer above the message limit: the bytes never reach us


def methods() -> Iterator[tuple[str, str, type[Message]]]:
    """(port, method, request) of every method of the API."""
    for module in pkgutil.iter_modules(sealgate.v1.__path__):
        if not module.name.endswith("_pb2"):
            continue
        file = importlib.import_module(f"sealgate.v1.{module.name}").DESCRIPTOR
        for service in file.services_by_name.values():
            port = "workload" if service.full_name in WORKLOAD_SERVICES else "people"
            for method in service.methods:
                yield port, f"/{service.full_name}/{method.name}", GetMessageClass(method.input_type)


def _filled(kind: type[Any], rng: random.Random, depth: int = 0) -> Any:
    """A message with something in every field, as deep as it goes."""
    message = kind()
    for each in kind.DESCRIPTOR.fields:
        value: Any
        if each.message_type is not None:
            if depth > 4:
                continue
            inner: Any = each.message_type
            value = _filled(GetMessageClass(inner), rng, depth + 1)
            target = getattr(message, each.name).add() if each.is_repeated else getattr(message, each.name)
            target.CopyFrom(value)
            continue
        value = {
            FieldDescriptor.CPPTYPE_STRING: rng.choice(("tenants/acme/assets/x", "tenants/acme", "\u0000", "a" * 300)),
            FieldDescriptor.CPPTYPE_BOOL: True,
            FieldDescriptor.CPPTYPE_ENUM: 1,
        }.get(each.cpp_type, rng.randrange(1 << 31))
        if each.type == FieldDescriptor.TYPE_BYTES:
            value = rng.randbytes(rng.choice((1, 57, 1_216)))
        if each.is_repeated:
            getattr(message, each.name).append(value)
        else:
            setattr(message, each.name, value)
    return message


def _payloads(kind: type[Message], rng: random.Random, count: int) -> list[bytes]:
    """Empty, oversized, truncated, random."""
    whole: bytes = _filled(kind, rng).SerializeToString()
    cuts = sorted({rng.randrange(len(whole) + 1) for _ in range(count)})
    noise = [rng.randbytes(n) for n in (1, 2, 7, 60, 1_000, 60_000)] + [
        rng.randbytes(rng.randrange(400)) for _ in range(count)
    ]
    return [b"", whole, bytes(_MOST + 1), rng.randbytes(2 * _MOST), *(whole[:cut] for cut in cuts), *noise]


@dataclass
class _Seen:
    calls: int = 0
    unnamed: list[str] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)


async def _send(channel: grpc.aio.Channel, method: str, payload: bytes, seen: _Seen) -> None:
    seen.calls += 1
    call: Any = channel.unary_unary(method)
    try:
        await call(payload, timeout=20)
    except grpc.aio.AioRpcError as error:
        details: Any = dict(error.trailing_metadata() or ())
        reason = _reason(details.get(DETAILS_KEY, b""))
        told = error.details() or ""
        if reason:
            seen.reasons.add(reason)
        named = (reason in REASONS and reason != "INTERNAL") or (not reason and error.code().name in _OWN)
        if not named or "Traceback" in told:
            seen.unnamed.append(f"{method}: {error.code().name} {told[:80]} for {len(payload)} bytes")


def _reason(details: bytes) -> str:
    for detail in Status.FromString(details).details:
        info = ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            return str(info.reason)
    return ""


async def _hostile(count: int) -> Result:
    rng, seen, log = random.Random(11), _Seen(), _Log()
    with tempfile.TemporaryDirectory() as name, log.listening():
        site = await make_site(Path(name) / "site")
        async with _served(site) as (running, listeners):
            ports = {"workload": listeners.workload_port, "people": listeners.people_port}
            who = grpc.ssl_channel_credentials(site.broker_ca.pem, site.operator.key, site.operator.certificate)
            found = list(methods())
            for port, method, kind in found:
                async with grpc.aio.secure_channel(f"127.0.0.1:{ports[port]}", who) as channel:
                    for payload in _payloads(kind, rng, count):
                        await _send(channel, method, payload, seen)
            released = await asyncio.to_thread(_boot, site, listeners.workload_port)
            running.recheck()
    harmed = [] if released else ["a node no longer gets its key"]
    harmed += [line for line in log.text().splitlines() if "Traceback" in line or "failed" in line][:3]
    figure = f"{len(found)} methods, {seen.calls} calls, {len(seen.reasons)} reasons, {len(seen.unnamed)} unnamed"
    wrong = [*seen.unnamed[:3], *harmed]
    return Result(figure="; ".join([figure, *wrong]), met=not wrong and len(found) > 30)


@contextlib.asynccontextmanager
async def _served(site: SimulatedSite) -> AsyncIterator[tuple[Running, Listeners]]:
    """Every service, also the one over collateral, which fetches nothing."""
    nothing = Section(directory=None, fetch="nothing", kds="https://kds.example", proxy=None, ca_file=None)
    with site.open() as running:
        async with (
            open_collateral(
                nothing,
                site.site.store,
                site.anchors,
                clock=wall_clock,
                monotonic=wall_clock,
                chance=random.Random(1).random,
            ) as keeper,
            looked_after(running, keeper, lambda _days, _forecast: None) as over_collateral,
            serve(
                running, site.tls(), host="127.0.0.1", workload_port=0, people_port=0, people=[over_collateral]
            ) as listeners,
        ):
            yield running, listeners


def _boot(site: SimulatedSite, port: int) -> Any:
    trust = read_trust(site.trust, simulated=True)
    with connect(f"127.0.0.1:{port}", trust.broker_ca) as channel:
        return get_keys(channel, trust, _Tee(site), PURPOSE, [ASSET]).keys


class _Tee:
    simulated = True

    def __init__(self, site: SimulatedSite) -> None:
        self._site = site

    def collect(self, report_data: bytes) -> Any:
        return self._site.chip.evidence(report_data, measurement=MEASUREMENT)


class _Log:
    """Everything that is logged, at every level, and everything that is printed."""

    def __init__(self) -> None:
        self._stream = io.StringIO()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        root, handler = logging.getLogger(), logging.StreamHandler(self._stream)
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            with contextlib.redirect_stdout(self._stream), contextlib.redirect_stderr(self._stream):
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(before)

    def text(self) -> str:
        return self._stream.getvalue()


def spellings(secret: bytes) -> Iterator[bytes]:
    """The ways in which bytes come to stand in a file: as they are, in hexadecimal, in base64 at each alignment."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):
        whole = secret[shift : shift + (len(secret) - shift) // 3 * 3]
        yield base64.b64encode(whole)
        yield base64.urlsafe_b64encode(whole)
    yield repr(secret)[2:-1].encode()


async def key_bytes(directory: Path) -> tuple[int, int, list[str]]:
    """A site's busy day: (secrets, bytes looked through, where a secret stands), but for the root key's own file."""
    log = _Log()
    with log.listening():
        site = await make_site(directory)
        async with site.serve() as (running, listeners):
            operator = People(running, site.operator.key_digest)
            names = await _busy(operator, imported := os.urandom(32))
            await asyncio.to_thread(_boot, site, listeners.workload_port)
            secrets = _secrets(running, names, site) | {"the imported secret": imported}
    places = {"what was logged and printed": log.text().encode()}
    places |= {str(p.relative_to(directory)): p.read_bytes() for p in _files(directory, site)}
    found = [
        f"{what} in {where}"
        for what, secret in secrets.items()
        for where, data in places.items()
        if any(spelling in data for spelling in spellings(secret))
    ]
    return len(secrets), sum(map(len, places.values())), found


async def _busy(operator: People, secret: bytes) -> list[str]:
    """Rotates, imports, and is refused twice."""
    rotated = await operator("CreateKeyVersion", key_versions_pb2.CreateKeyVersionRequest(parent=ASSET), Change)
    document: Any = asset_document(kind="secret", name=f"{ASSET}-luks")
    await operator("CreateAsset", catalog_pb2.CreateAssetRequest(asset=catalog_pb2.Asset(**document)), Change)
    request = key_versions_pb2.CreateKeyVersionRequest(parent=f"{ASSET}-luks")
    name = (await operator("CreateKeyVersion", request, Change)).name
    awaiting = await operator(
        "GetKeyVersion", key_versions_pb2.GetKeyVersionRequest(name=name), key_versions_pb2.KeyVersion
    )
    for sealed in (secret, b"\x00" * 2_000, seal_import(awaiting.public_key, ORIGIN, name, secret)):
        with contextlib.suppress(Exception):
            await operator(
                "ImportKeyVersion", key_versions_pb2.ImportKeyVersionRequest(name=name, sealed=sealed), Change
            )
    return [rotated.name, name]


def _secrets(running: Running, names: list[str], site: SimulatedSite) -> dict[str, bytes]:
    found = {name: running.vault.key(name).reveal() for name in names}
    found["the first key version"] = site.key.seed
    found["the root key"] = site.site.root_key.read_bytes()
    for purpose in ("challenge", "log", "pseudonym"):
        found |= {f"{purpose} key {n}": key.reveal() for n, (_, key) in enumerate(running.vault.broker_keys(purpose))}
    return found


def _files(directory: Path, site: SimulatedSite) -> Iterator[Path]:
    yield from (p for p in sorted(directory.rglob("*")) if p.is_file() and p != site.site.root_key)


def _take_hostile(long: bool) -> Result:
    return asyncio.run(_hostile(400 if long else 12))


def _take_key_bytes(_long: bool) -> Result:
    with tempfile.TemporaryDirectory() as name:
        secrets, looked, found = asyncio.run(key_bytes(Path(name) / "site"))
    figure = f"{secrets} secrets looked for in {looked / 1e6:.1f} MB of files, logs and output: {len(found)} found"
    return Result(figure="; ".join([figure, *found[:3]]), met=not found and secrets >= 7)


MEASURES = (
    Measure(
        name="empty, oversized, truncated and random bytes to every gRPC method",
        target="a named error for each, no traceback, and a node still gets its key",
        take=_take_hostile,
    ),
    Measure(
        name="key bytes in anything printed, logged or stored",
        target="none, in any spelling",
        take=_take_key_bytes,
    ),
)
