"""Which roots are trusted. Nothing in evidence or collateral ever adds to them.

Roots (AMD's ARK by product, Intel's SGX Root CA) are pinned as public keys: SHA-256 of the DER SubjectPublicKeyInfo. A
re-issued certificate of the same key is the same root; the same name with another key is none. `certificate_sha256`
says which certificate the key was read from and is for people: it is not compared.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BUILT_IN", "AmdRoot", "Anchors", "IntelRoot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AmdRoot:
    """One AMD Root Key. `simulated` roots belong to throwaway vendors of tests and demonstrations."""

    product: str
    spki_sha256: bytes
    certificate_sha256: bytes | None
    source: str
    simulated: bool

    def __post_init__(self) -> None:
        _check_fingerprints(f"ARK-{self.product}", self.spki_sha256, self.certificate_sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntelRoot:
    """The key of an Intel SGX Root CA, under which PCK certificates, TCB signers and revocation lists are issued."""

    common_name: str
    spki_sha256: bytes
    certificate_sha256: bytes | None
    source: str
    simulated: bool

    def __post_init__(self) -> None:
        _check_fingerprints(self.common_name, self.spki_sha256, self.certificate_sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """A set of roots, all real or all simulated: what verified under it is marked accordingly for ever."""

    amd: tuple[AmdRoot, ...]
    simulated: bool
    intel: tuple[IntelRoot, ...] = ()

    def __post_init__(self) -> None:
        marks = {root.simulated for root in self.amd} | {root.simulated for root in self.intel}
        if marks - {self.simulated}:
            raise ValueError("real and simulated roots are never trusted together")


def _check_fingerprints(name: str, spki_sha256: bytes, certificate_sha256: bytes | None) -> None:
    if len(spki_sha256) != 32 or len(certificate_sha256 or bytes(32)) != 32:
        raise ValueError(f"{name}: a fingerprint is not 32 bytes")


def _amd(product: str, spki_sha256: str, certificate_sha256: str) -> AmdRoot:
    return AmdRoot(
        product=product,
        spki_sha256=bytes.fromhex(spki_sha256),
        certificate_sha256=bytes.fromhex(certificate_sha256),
        source=f"https://kdsintf.amd.com/vcek/v1/{product}/cert_chain",
        simulated=False,
    )


BUILT_IN = Anchors(
    amd=(
        _amd(
            "Milan",
            "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
            "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        ),
        _amd(
            "Genoa",
            "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
            "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        ),
        _amd(
            "Turin",
            "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",
            "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
        ),
    ),
    intel=(
        IntelRoot(
            common_name="Intel SGX Root CA",
            spki_sha256=bytes.fromhex("a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"),
            certificate_sha256=bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"),
            source="https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer",
            simulated=False,
        ),
    ),
    simulated=False,
)
