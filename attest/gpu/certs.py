"""A device's certificate chain: leaf, identity key, provisioner, identity CA and root, from five PEM blocks in order.

Source: NVIDIA's published chains (Hopper, Blackwell, NVSwitch LS10) and `nvtrust`. Exactly five, leaf first: nothing is
sorted, completed or left out. No CA has name constraints, and NVSwitch keys are issued below "NVIDIA GH100 Identity",
so what a device is is read from the names of all four certificates below the root, which must agree.

The leaf's serial is the device's UEID, 20 bytes. The identity key's serial is 0x41 (GPU) or 0x50 (NVSwitch) and the
PDI, 8 bytes, by which GPUs and NVSwitches name each other in their reports.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.x509.oid import NameOID

from attest.anchors import Anchors, NvidiaRoot
from attest.ecdsa import is_p384_spki
from attest.errors import Malformed, NotAuthentic
from attest.gpu.fwid import fwid_of
from attest.gpu.links import Window, check_chain, find_root, links_of, window_of
from attest.gpu.report import GPU, SWITCH
from attest.x509 import Certificate, load_certificate

__all__ = ["FAMILIES", "NAMES", "Family", "VerifiedDeviceChain", "authenticate"]

NAMES = ("leaf", "identity_key", "provisioner", "identity_ca", "root")
_MAX_CHAIN = 32_768
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----(?:\r?\n|$)")
_UEID_SIZE, _PDI_SIZE = 20, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What all chips of one design have in common, by the names in their chains.

    `products` match CHIP_INFO; `product` and `edition` are what manifests call a chip whose report has no CHIP_INFO.
    """

    chip: str
    architecture: str
    kind: str
    engine: str
    products: re.Pattern[str]
    identity: str
    serial: int
    product: str
    edition: str

    def names(self) -> tuple[re.Pattern[str], ...]:
        """Common names of leaf, identity key, provisioner and identity CA."""
        head = rf"{self.chip} [A-Z][0-9]{{2}} {self.engine}"
        provisioner = rf"NVIDIA ({self.products.pattern}|{self.chip}) Provisioner ICA [0-9]{{1,5}}"
        expressions = (rf"{head} FMC LF", rf"{head} BROM", provisioner, rf"NVIDIA {self.identity} Identity")
        return tuple(re.compile(expression) for expression in expressions)


def _family(chip: str, architecture: str, kind: str, products: str, identity: str) -> Family:
    return Family(
        chip=chip,
        architecture=architecture,
        kind=kind,
        engine="GSP" if kind == GPU else "FSP",
        products=re.compile(products),
        identity=identity,
        serial=0x41 if kind == GPU else 0x50,
        product=chip.replace("_", ""),
        edition="GPU" if kind == GPU else "SWITCH",
    )


FAMILIES: tuple[Family, ...] = (
    _family("GH100", "hopper", GPU, "GH100", "GH100"),
    _family("GB100", "blackwell", GPU, "GB10[0-9]", "GB100"),
    _family("GB20X", "blackwell", GPU, "GB20[0-9]", "GB20X"),
    _family("LS_10", "ls10", SWITCH, "LS10", "GH100"),
)
_PATTERNS = {family.chip: family.names() for family in FAMILIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedDeviceChain:
    """A chain whose signatures, names and roles were verified up to `root`. Worth keeping, for the same bytes.

    `pem` is the chain as it was given; `spki` the leaf's key; `ueid` and `pdi` are big-endian, as in the certificates;
    `fwid` is None if the leaf states none. Validity and revocation are for every use: `window`.
    """

    pem: bytes
    root: NvidiaRoot
    family: Family
    model: str
    spki: bytes
    ueid: bytes
    pdi: bytes
    fwid: bytes | None
    window: Window


def authenticate(pem: bytes, kind: str, anchors: Anchors) -> VerifiedDeviceChain:
    """The chain in `pem`, of a device of `kind`, under a pinned device root.

    Raises Malformed GPU_CHAIN_LENGTH, CERT_MALFORMED, GPU_FWID_FORMAT or GPU_SERIAL, NotAuthentic
    CHAIN_ROOT_NOT_PINNED, CHAIN_NAME, CHAIN_ROLE, CHAIN_SIGNATURE or GPU_ARCHITECTURE.
    """
    certificates = _read(pem)
    chain = certificates[:-1]
    root = find_root(certificates[-1], (r for r in anchors.nvidia if r.role == "device"), path="chain.root")
    check_chain(chain, NAMES[:-1], root, path="chain")
    family = _family_of(chain, kind)
    return VerifiedDeviceChain(
        pem=pem,
        root=root,
        family=family,
        model=chain[1].common_name,
        spki=_key(chain[0]),
        ueid=_serial(chain[0], _UEID_SIZE, "leaf"),
        pdi=_pdi(chain[1], family),
        fwid=fwid_of(chain[0]),
        window=window_of(links_of(chain, NAMES[:-1], root)),
    )


def _read(pem: bytes) -> tuple[Certificate, ...]:
    if len(pem) > _MAX_CHAIN:
        raise _length(f"at most {_MAX_CHAIN} bytes", f"{len(pem)} bytes")
    body = pem.rstrip(b"\0\r\n")  # NVML's buffer may end like a C string
    blocks = [match.group() for match in _PEM.finditer(body)]
    if b"".join(blocks) != body:
        raise _length("PEM certificates with nothing around them", f"{len(body)} bytes, {len(blocks)} certificates")
    if len(blocks) != len(NAMES):
        raise _length(f"{len(NAMES)} certificates: {', '.join(NAMES)}", f"{len(blocks)}")
    return tuple(load_certificate(block, path=f"chain.{name}") for name, block in zip(NAMES, blocks, strict=True))


def _family_of(chain: Sequence[Certificate], kind: str) -> Family:
    """The one design that all four names are of; it must be one of `kind`."""
    names = [certificate.common_name for certificate in chain]
    for family in FAMILIES:
        patterns = _PATTERNS[family.chip]
        if all(pattern.fullmatch(name) for pattern, name in zip(patterns, names, strict=True)):
            if family.kind != kind:
                raise NotAuthentic("GPU_KIND", "chain", expected=f"the chain of an {kind}", got=f"one of {family.chip}")
            return family
    expected = f"four names of one design among {', '.join(family.chip for family in FAMILIES)}"
    raise NotAuthentic("GPU_ARCHITECTURE", "chain", expected=expected, got="; ".join(names))


def _key(leaf: Certificate) -> bytes:
    if not is_p384_spki(leaf.spki):
        raise NotAuthentic("GPU_SIGNATURE", "chain.leaf", expected="a P-384 public key", got=leaf.spki)
    return leaf.spki


def _serial(certificate: Certificate, size: int, name: str) -> bytes:
    """The serial in `size` bytes; the subject's serialNumber, for people, must be the same in hexadecimal."""
    named = [str(a.value) for a in certificate.handle.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    shown = f"{certificate.serial:0{2 * size}X}"
    if certificate.serial.bit_length() > 8 * size or named != [shown]:
        got = f"{certificate.serial:#x}, named {', '.join(named) or 'nothing'}"
        raise Malformed(
            "GPU_SERIAL", f"chain.{name}", expected=f"a serial of {size} bytes that its name repeats", got=got
        )
    return certificate.serial.to_bytes(size, "big")


def _pdi(identity_key: Certificate, family: Family) -> bytes:
    serial = _serial(identity_key, 1 + _PDI_SIZE, "identity_key")
    if serial[0] != family.serial:
        expected = f"{family.serial:#x} before the PDI"
        raise Malformed("GPU_SERIAL", "chain.identity_key", expected=expected, got=serial)
    return serial[1:]


def _length(expected: str, got: str) -> Malformed:
    return Malformed("GPU_CHAIN_LENGTH", "chain", expected=expected, got=got)
