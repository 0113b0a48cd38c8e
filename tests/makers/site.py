"""A whole simulated site in one directory: throwaway AMD, store, catalogue, TLS, an operator, a sealed model.

Everything but the vendor is the real thing. Roots are handed to the broker in code; there is no other way to do that.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from attest.anchors import Anchors
from attest.evidence import Collateral
from attest.tlog.keys import SignerKey
from clients.workload.age_recipient import KeyPair
from clients.workload.manifest import TREE_SUFFIX, Manifest
from clients.workload.sealed import seal_file
from kbs.catalog.register import key_version_document, put
from kbs.collateral.shelf import Shelf
from kbs.custody.secret import Secret
from kbs.guard.repeats import RepeatMeter
from kbs.log.bodies import change
from kbs.model.log import Draft
from kbs.model.names import AssetName
from kbs.model.tier import TIERS
from kbs.model.unit import Committed, Unit
from kbs.rpc.server import Listeners, Tls
from kbs.serve.service import serve
from kbs.serve.site import LOG, Site, initialise
from kbs.serve.wiring import Running, open_site, wall_clock
from kbs.store.port import Clock, Faults, no_fault
from tests.makers import amd, pki, safetensors
from tests.makers.entries import found_in_entries
from tests.makers.image import MEASUREMENT
from tests.makers.nvidia import Nvidia
from tests.makers.nvidia import mint as mint_nvidia
from tests.makers.nvidia_rim import manifests

__all__ = [
    "ASSET",
    "MEASUREMENT",
    "ORIGIN",
    "PURPOSE",
    "SimulatedSite",
    "copied",
    "make_site",
    "save_chip",
    "save_vendor",
    "unslowed",
]

ORIGIN = "demo.sealgate.example"
ASSET = "tenants/acme/assets/llm-weights"
PURPOSE = "training"


PROFILE = {"snp": {"products": ["milan"], "minimum_tcb": {"milan": {"bl": 3, "snp": 24, "ucode": 200}}}}
_REFERENCES = "tenants/acme/referenceSets/trainer-1-4"
_PROFILE = "tenants/acme/profiles/snp-default"


@dataclass(frozen=True, kw_only=True, repr=False)
class SimulatedSite:
    """Where it lies and who is who in it."""

    site: Site
    vendor: amd.Amd
    chip: amd.Chip
    broker_ca: pki.Authority
    server: pki.Pair
    people_ca: pki.Authority
    operator: pki.Pair
    key: KeyPair
    nvidia: Nvidia | None = None

    @property
    def directory(self) -> Path:
        return self.site.directory

    @property
    def anchors(self) -> Anchors:
        if self.nvidia is None:
            return self.vendor.anchors
        return replace(self.vendor.anchors, nvidia=self.nvidia.anchors.nvidia)

    @property
    def trust(self) -> Path:
        return self.directory / "trust.json"

    @property
    def sealed(self) -> Path:
        return self.directory / "sealed" / "model.safetensors"

    def shelf(self) -> Shelf:
        if self.nvidia is None:
            return Shelf(Collateral(crls=(self.vendor.crl(),)))
        return Shelf(Collateral(crls=(self.vendor.crl(), *self.nvidia.crls()), rims=manifests(self.nvidia)))

    def tls(self) -> Tls:
        return Tls(key=self.server.key, chain=self.server.certificate, people_ca=self.people_ca.pem)

    @contextlib.contextmanager
    def open(
        self, *, clock: Clock = wall_clock, faults: Faults = no_fault, repeats: RepeatMeter | None = None
    ) -> Iterator[Running]:
        """The broker. When it closes, its log is looked through for what no entry may hold."""
        with open_site(self.site, self.shelf(), self.anchors, clock=clock, faults=faults, repeats=repeats) as running:
            yield running
        unspeakable = {"a released key": self.key.seed, "a machine's identity": self.chip.chip_id}
        assert found_in_entries(self.site.store, unspeakable) == []

    @contextlib.asynccontextmanager
    async def serve(
        self, *, faults: Faults = no_fault, workload_port: int = 0, people_port: int = 0, share_ports: bool = False
    ) -> AsyncIterator[tuple[Running, Listeners]]:
        """Serves on loopback in this process."""
        with self.open(faults=faults) as running:
            async with serve(
                running,
                self.tls(),
                host="127.0.0.1",
                workload_port=workload_port,
                people_port=people_port,
                share_ports=share_ports,
                publish_every_s=0.2,
            ) as listeners:
                yield running, listeners


async def make_site(
    directory: Path, *, clock: Clock = wall_clock, gpu: Mapping[str, object] | None = None, origin: str = ORIGIN
) -> SimulatedSite:
    """Makes a site with one tier-2 asset that one measurement may have, and an operator who may explain.

    `gpu` is what its profile asks of GPUs; a throwaway NVIDIA comes with it.
    """
    now = dt.datetime.fromtimestamp(clock() / 1_000, dt.UTC)
    maker = amd.mint(now=now)
    broker_ca, people_ca = pki.authority("broker CA", now), pki.authority("people CA", now)
    made = SimulatedSite(
        site=Site(directory=directory, deployment=origin),
        vendor=maker,
        chip=maker.chip(),
        broker_ca=broker_ca,
        server=pki.issue(broker_ca, "broker", now, server=True),
        people_ca=people_ca,
        operator=pki.issue(people_ca, "operator", now, server=False),
        key=KeyPair.generate(os.urandom(32)),
        nvidia=None if gpu is None else mint_nvidia(now=now),
    )
    await initialise(made.site, clock, simulated=True)
    manifest = _seal_model(made)
    with made.open(clock=clock) as running:
        await register(running, _catalogue(made, manifest, running, {} if gpu is None else {"gpu": gpu}))
        seed = running.vault.broker_keys(LOG)[-1][1].reveal()
        log_key = SignerKey.from_seed(made.site.log_origin, seed).verifier_key
    trust = {
        "v": "sealgate.trust/1",
        "origin": origin,
        "broker_ca": broker_ca.pem.decode(),
        "log_keys": [log_key],
        "tenant": "acme",
        "simulated": True,
    }
    made.trust.write_text(json.dumps(trust, indent=1))
    _private(directory / "operator.key", made.operator.key)
    (directory / "operator.pem").write_bytes(made.operator.certificate)
    return made


def copied(made: SimulatedSite, directory: Path) -> SimulatedSite:
    """The same site in another directory, while nobody has it open: minting takes longer than most tests."""
    shutil.copytree(made.directory, directory)
    return replace(made, site=replace(made.site, directory=directory))


async def register(running: Running, units: Sequence[Unit]) -> None:
    """Puts each unit through the write door, and insists."""
    for unit in units:
        outcome = (await running.door.commit([unit]))[0]
        if not isinstance(outcome, Committed):
            raise TypeError(f"the catalogue's change was not written: {outcome}")


def draft_of(running: Running) -> partial[Draft]:
    """The log's entries for changes that the maker's own hand makes."""
    who = ("person", "person-maker")
    return partial(change, entry_id=os.urandom(16).hex(), actor=who, broker=running.broker.identity)


def asset_document(content_digest: str = "", **changed: object) -> dict[str, object]:
    """The demo's asset."""
    rule = TIERS[2]
    document: dict[str, object] = {
        "name": ASSET,
        "kind": "weights",
        "tier": 2,
        "owner": "groups/ml-platform",
        "size_bytes": 1 << 16,
        "purposes": [PURPOSE],
        "profile": _PROFILE,
        "references": [_REFERENCES],
        "content_digest": content_digest,
        "new_nodes_per_hour": rule.new_nodes_per_hour,
        "bytes_per_day": rule.bytes_per_day,
        "lease_seconds": 3_600,
    }
    return document | changed


def _catalogue(made: SimulatedSite, manifest: Manifest, running: Running, devices: Mapping[str, object]) -> list[Unit]:
    asset = AssetName.parse(ASSET)
    value = {"name": "milan-16vcpu", "measurement": MEASUREMENT.hex()}
    covers = ["cmdline", "firmware", "initrd", "kernel"]
    references = {"name": _REFERENCES, "state": "active", "shared": False, "values": [{**value, "covers": covers}]}
    operator = {
        "id": "person-operator",
        "key_sha256": made.operator.key_digest.hex(),
        "roles": ["operator"],
        "tenants": ["acme"],
    }
    keys = running.vault.new_key(asset, 1, Secret(made.key.seed))
    version = key_version_document(asset, 1, made.key.recipient.public)

    entry = draft_of(running)
    documents = asset_document(manifest.digest().hex())
    return [
        put("profile", _PROFILE, {"name": _PROFILE, "profile": {**PROFILE, **devices}}, entry=entry),
        put("reference-set", _REFERENCES, references, entry=entry),
        put("asset", ASSET, documents, entry=entry, assets=(ASSET,)),
        put("key-version", asset.key_version(1), version, entry=entry, keys=keys, assets=(ASSET,)),
        put("principal", "principals/operator", operator, entry=entry),
    ]


def _seal_model(made: SimulatedSite) -> Manifest:
    """Sealing needs the public half alone."""
    folder = made.sealed.parent
    folder.mkdir()
    name = made.sealed.name
    with made.sealed.open("xb") as sink, (folder / f"{name}{TREE_SUFFIX}").open("xb") as tree:
        source = io.BytesIO(safetensors.make())
        secret = {"file_key": os.urandom(16), "nonce": os.urandom(16)}
        listed = seal_file(source, sink, tree, made.key.recipient, path=name, **secret)
    manifest = Manifest(asset=ASSET, files=(listed,))
    (folder / "manifest.json").write_bytes(manifest.encode())
    return manifest


def _private(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)


def save_vendor(made: SimulatedSite) -> None:
    """Writes what the broker's and the node's own processes need: throwaway keys and certificates."""
    folder = made.directory / "vendor"
    folder.mkdir(mode=0o700)
    save_chip(folder, made.chip)
    _private(folder / "amd.crl", made.vendor.crl())
    _private(folder / "server.key", made.server.key)
    _private(folder / "server.pem", made.server.certificate)
    _private(folder / "people_ca.pem", made.people_ca.pem)


def save_chip(folder: Path, chip: amd.Chip) -> None:
    """Writes what a node's own process needs to be that chip."""
    vcek, ask, ark = chip.certificates
    pem = chip.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = {"ark.der": ark, "ask.der": ask, "vcek.der": vcek, "vcek.key": pem, "chip_id.bin": chip.chip_id}
    for name, data in files.items():
        _private(folder / name, data)


def unslowed() -> RepeatMeter:
    """For what must ask for the same thing thousands of times: a bench, a load."""
    return RepeatMeter(burst=1 << 40)
