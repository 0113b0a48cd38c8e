"""The sections, one dataclass each. A room gets its own and sees no other.

What is not here cannot be configured: vendor roots are pinned in attest/anchors.py, native invariants in kbs/decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kbs.serve.config.option import (
    SecretRef,
    address,
    base_url,
    bounded,
    choice,
    duration,
    host_names,
    option,
    path,
    paths,
    secret,
    text,
)

__all__ = ["SECTIONS", "Collateral", "Config", "Custody", "Deployment", "Listen", "People", "Processes", "Tls", "Web"]

_ID = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Who this is. The name is in every entry of the log and in every measured image: it never changes."""

    name: str = option(
        text(rf"{_ID}(?:\.{_ID})+", "a name with a dot in lower case, as a DNS name"),
        text="The deployment's constant name, the origin of its log and of every request.",
        example='"keys.example.com"',
    )
    tenant: str = option(
        text(_ID, "lower-case letters, digits and '-', at most 63"),
        text="The first tenant: of the founders, and of the trust file that `init` writes.",
        example='"acme"',
    )
    directory: Path = option(
        path,
        text="Where the store (store.db), the published log (log/) and the root key's file lie. The broker's alone.",
        example='"/var/lib/sealgate"',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """The two gRPC listeners: workloads with server TLS alone, people with client certificates."""

    host: str = option(address, "0.0.0.0", text="The address that both listen on.")  # noqa: S104  # TLS 1.3 on both
    workload_port: int = option(bounded(0, 65_535), 8_443, text="The workloads' port; 0 takes any.")
    people_port: int = option(bounded(0, 65_535), 8_444, text="The people's port; 0 takes any.")
    names: tuple[str, ...] = option(
        host_names,
        (),
        text="DNS names and addresses in the server's certificate. Needed unless [tls] gives one.",
        example='["keys.example.com"]',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A server certificate of your own. Without it the broker's own CA, made by `init`, issues one at every start."""

    certificate: Path | None = option(path, None, text="PEM: the certificate and its chain.", example='"server.pem"')
    key: SecretRef | None = option(
        secret(interactive=False), None, text="PEM: its key, not encrypted.", example='"credential:server.key"'
    )
    ca: Path | None = option(
        path, None, text="PEM: the CA that clients are to trust for it; goes into the trust file.", example='"ca.pem"'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """Where the root key lives, and the offline keys that can bring it back."""

    kind: str = option(
        choice("file", "passphrase"),
        "file",
        text='"file": 32 bytes in a file of mode 0600. "passphrase": that file is encrypted (scrypt, AES-256-GCM).',
    )
    root: Path | None = option(path, None, text="The root key's file; root.key in the directory if not given.")
    passphrase: SecretRef | None = option(
        secret(interactive=True),
        None,
        text='Where the passphrase comes from; "terminal" asks for it. Only with kind "passphrase".',
        example='"credential:root-passphrase"',
    )
    recovery: tuple[Path, ...] = option(
        paths,
        (),
        text="Public halves of offline recovery keys (`custody keygen`), at least two. Each alone opens the root.",
        example='["recovery-1.pub", "recovery-2.pub"]',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Enrolment, login and the certificates that come of them."""

    certificate_life: int = option(
        duration("5min", "24h"), 86_400_000, text="How long a person's certificate lives.", example='"8h"'
    )
    attempts_per_minute: int = option(
        bounded(1, 6_000), 60, text="Enrolments and logins that one worker looks at per minute; more are refused."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Collateral:
    """Vendors' certificates and revocation lists: what lies ready, and from where the rest is fetched."""

    directory: Path | None = option(
        path,
        None,
        text="Read at start: `*.crl` are revocation lists, `*.ocsp` OCSP responses, `*.xml` and `*.swidtag` NVIDIA's "
        "manifests, all else certificates, DER or PEM.",
    )
    fetch: str = option(
        choice("vendors", "nothing"),
        "vendors",
        text='"vendors": what is missing is fetched, once, and kept in the store. "nothing": no connection leaves.',
    )
    kds: str = option(
        base_url, "https://kdsintf.amd.com", text="AMD's Key Distribution Service, or a cache that answers as it does."
    )
    pcs: str = option(
        base_url,
        "https://api.trustedservices.intel.com",
        text="Intel's Provisioning Certification Service, or a PCCS that answers as it does.",
        example='"https://pccs.example.com:8081"',
    )
    pcs_key: SecretRef | None = option(
        secret(interactive=False),
        None,
        text="The subscription key of Intel's service (or of what answers in its place), for the PCK certificates of "
        "quotes that carry none. Sent to `pcs` with these requests alone, over TLS.",
        example='"credential:pcs-key"',
    )
    pcs_root_crl: str = option(
        base_url,
        "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der",
        text="Intel's root revocation list; of a PCCS its /sgx/certification/v4/rootcacrl.",
    )
    nvidia_rim: str = option(
        base_url,
        "https://rim.attestation.nvidia.com",
        text="NVIDIA's RIM service, or a cache that answers as it does: manifests of drivers and VBIOS.",
    )
    nvidia_ocsp: str = option(
        base_url, "https://ocsp.ndis.nvidia.com", text="NVIDIA's OCSP responder for devices and manifests."
    )
    nvidia_crl: str = option(
        base_url, "https://crl.ndis.nvidia.com", text="The host of NVIDIA's revocation lists for devices and manifests."
    )
    unused: int = option(
        duration("7d", "3650d"),
        30 * 86_400_000,
        text="How long what no decision uses is still renewed; then it is dropped, and fetched again if it is needed. "
        'With fetch = "nothing" all is kept.',
        example='"90d"',
    )
    proxy: str | None = option(
        text(r"http://[a-zA-Z0-9.\-\[\]:]+", "http://host:port, without credentials"),
        None,
        text="The HTTP proxy that connections to vendors go through.",
        example='"http://proxy.example.com:3128"',
    )
    ca_file: Path | None = option(
        path,
        None,
        text="PEM: the CAs of the vendors' servers, or of a proxy that looks inside, instead of the system's.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The workers that serve, and how they end."""

    workers: int = option(bounded(1, 64), 2, text="Processes that share both gRPC ports. One for each core or two.")
    drain: int = option(
        duration("1s", "5min"), 10_000, text="How long calls in flight may take to finish at SIGTERM.", example='"10s"'
    )
    loop_lag: int = option(
        duration("10ms", "10s"),
        250,
        text="A worker's event loop that is later than this is said in its log and counted as a stall.",
        example='"250ms"',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The web process: published log, JWKS, health, metrics. Plain HTTP; a proxy with TLS goes before it."""

    host: str = option(address, "127.0.0.1", text="The address to listen on.")
    port: int = option(bounded(0, 65_535), 8_080, text="The port; 0 takes any.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file. Only kbs/serve sees it; every room gets its section."""

    deployment: Deployment
    listen: Listen
    tls: Tls
    custody: Custody
    people: People
    collateral: Collateral
    processes: Processes
    web: Web


SECTIONS: dict[str, type] = {
    "deployment": Deployment,
    "listen": Listen,
    "tls": Tls,
    "custody": Custody,
    "people": People,
    "collateral": Collateral,
    "processes": Processes,
    "web": Web,
}
