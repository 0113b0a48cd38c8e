"""The pinned roots are those of the captured certificates, and real and simulated ones do not mix."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from attest.anchors import BUILT_IN, Anchors
from attest.x509 import load_certificate
from tests.vectors import VECTORS, needs_vectors

# SHA-256 of the DER certificates, as the KDS gives them.
ARK_SHA256 = {
    "Milan": "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
    "Genoa": "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
    "Turin": "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
}


def test_there_is_one_real_root_for_each_product() -> None:
    assert {root.product: (root.certificate_sha256 or b"").hex() for root in BUILT_IN.amd} == ARK_SHA256
    assert not BUILT_IN.simulated
    assert all(root.source.startswith("https://kdsintf.amd.com/") for root in BUILT_IN.amd)


@needs_vectors(3)
@pytest.mark.parametrize("root", BUILT_IN.amd, ids=lambda root: root.product)
def test_the_pins_are_those_of_amds_certificates(root: object) -> None:
    assert VECTORS is not None
    product = getattr(root, "product", "")
    pem = (VECTORS / f"snp/virtee-sev/builtin/{product.lower()}-ark.pem").read_bytes()
    ark = load_certificate(pem, path="ark")
    assert (ark.common_name, ark.spki_sha256) == (f"ARK-{product}", getattr(root, "spki_sha256", b""))
    ark.check_issued_by(ark, path="ark")


def test_real_and_simulated_roots_do_not_mix() -> None:
    simulated = dataclasses.replace(BUILT_IN.amd[0], simulated=True)
    with pytest.raises(ValueError, match="never trusted together"):
        Anchors(amd=(BUILT_IN.amd[1], simulated), simulated=True)
    with pytest.raises(ValueError, match="never trusted together"):
        Anchors(amd=BUILT_IN.amd, simulated=True)


def test_a_fingerprint_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        dataclasses.replace(BUILT_IN.amd[0], spki_sha256=b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        dataclasses.replace(BUILT_IN.amd[0], certificate_sha256=b"short")


def test_intels_root_is_pinned_as_a_key() -> None:
    (root,) = BUILT_IN.intel
    assert not root.simulated
    with pytest.raises(ValueError, match="never trusted together"):
        Anchors(amd=BUILT_IN.amd, intel=(dataclasses.replace(root, simulated=True),), simulated=False)
    with pytest.raises(ValueError, match="32 bytes"):
        dataclasses.replace(root, spki_sha256=b"short")


@needs_vectors(1)
def test_the_pin_is_that_of_intels_certificate() -> None:
    assert VECTORS is not None
    der = (VECTORS / "tdx/Phala-Network-dcap-qvl/TrustedRootCA.der").read_bytes()
    certificate, (root,) = load_certificate(der, path="root"), BUILT_IN.intel
    assert (certificate.common_name, certificate.spki_sha256) == (root.common_name, root.spki_sha256)
    assert hashlib.sha256(der).digest() == root.certificate_sha256
