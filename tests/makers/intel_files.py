"""A throwaway Intel as files, for a broker in another process: its root, and what it publishes. No key is saved."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest.anchors import IntelRoot
from attest.evidence import TdxCollateral
from tests.makers.intel import Intel

__all__ = ["load_intel", "save_intel"]

_ROOT = "root.der"


def save_intel(folder: Path, vendor: Intel) -> None:
    """Writes what a broker needs into `folder`, which must not exist."""
    folder.mkdir(mode=0o700)
    (folder / _ROOT).write_bytes(vendor.root.der)
    published = vendor.collateral()
    for part in dataclasses.fields(published):
        (folder / part.name).write_bytes(getattr(published, part.name))


def load_intel(folder: Path) -> tuple[tuple[IntelRoot, ...], tuple[TdxCollateral, ...]]:
    """The simulated root, and what is verified under it; nothing of either without `folder`."""
    if not folder.is_dir():
        return (), ()
    root = x509.load_der_x509_certificate((folder / _ROOT).read_bytes())
    spki = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pinned = IntelRoot(
        common_name="Intel SGX Root CA",
        spki_sha256=hashlib.sha256(spki).digest(),
        certificate_sha256=hashlib.sha256(root.public_bytes(Encoding.DER)).digest(),
        source="made for this demonstration",
        simulated=True,
    )
    parts = {part.name: (folder / part.name).read_bytes() for part in dataclasses.fields(TdxCollateral)}
    return (pinned,), (TdxCollateral(**parts),)
