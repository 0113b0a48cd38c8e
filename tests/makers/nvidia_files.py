"""A throwaway NVIDIA as files, for a broker in another process: its roots, lists and manifests. No key is saved."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attest.anchors import NvidiaRoot
from attest.evidence import Collateral
from tests.makers.nvidia import Nvidia, anchors_of
from tests.makers.nvidia_rim import manifests

__all__ = ["load_nvidia", "save_nvidia"]

_ROOTS = ("device-root.der", "rim-root.der")


def save_nvidia(folder: Path, vendor: Nvidia) -> None:
    """Writes what a broker needs into `folder`, which must not exist."""
    folder.mkdir(mode=0o700)
    for name, root in zip(_ROOTS, (vendor.root, vendor.rim_root), strict=True):
        (folder / name).write_bytes(root.certificate.public_bytes(Encoding.DER))
    for number, crl in enumerate(vendor.crls()):
        (folder / f"{number}.crl").write_bytes(crl)
    for number, manifest in enumerate(manifests(vendor)):
        (folder / f"{number}.xml").write_bytes(manifest)


def load_nvidia(folder: Path) -> tuple[tuple[NvidiaRoot, ...], Collateral]:
    """Simulated roots, and what is verified with them; nothing of either without `folder`."""
    if not folder.is_dir():
        return (), Collateral()
    device, rim = (x509.load_der_x509_certificate((folder / name).read_bytes()) for name in _ROOTS)
    crls, rims = (tuple(p.read_bytes() for p in sorted(folder.glob(kind))) for kind in ("*.crl", "*.xml"))
    return anchors_of(device, rim), Collateral(crls=crls, rims=rims)
