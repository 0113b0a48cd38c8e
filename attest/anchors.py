"""Which roots are trusted. Nothing in evidence or collateral ever adds to them.

Roots (AMD's ARK by product, Intel's SGX Root CA) are pinned as public keys: SHA-256 of the DER SubjectPublicKeyInfo. A
re-issued certificate of the same key is the same root; the same name with another key is none. `certificate_sha256`
says which certificate the key was read from; it decides nothing, but spares Intel's root the check of its signature
over itself if it is that very certificate. NVIDIA's two roots are pinned as name and whole key, with which the last
link of a chain is checked.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BUILT_IN", "AmdRoot", "Anchors", "IntelRoot", "NvidiaRoot"]


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
class NvidiaRoot:
    """A root of NVIDIA's, by name (DER) and whole key (DER SubjectPublicKeyInfo): the last link is checked with it.

    `role` is `device`, for what GPUs and NVSwitches sign, or `rim`, for reference integrity manifests.
    """

    role: str
    common_name: str
    subject: bytes
    spki: bytes
    certificate_sha256: bytes | None
    source: str
    simulated: bool

    def __post_init__(self) -> None:
        if self.role not in ("device", "rim") or not self.subject or not self.spki:
            raise ValueError(f"{self.common_name}: a root has the role device or rim, a name and a key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """A set of roots, all real or all simulated: what verified under it is marked accordingly for ever."""

    amd: tuple[AmdRoot, ...]
    simulated: bool
    intel: tuple[IntelRoot, ...] = ()
    nvidia: tuple[NvidiaRoot, ...] = ()

    def __post_init__(self) -> None:
        marks = {root.simulated for root in self.amd} | {root.simulated for root in self.intel}
        marks |= {root.simulated for root in self.nvidia}
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


def _nvidia(role: str, common_name: str, subject: str, spki: str, certificate_sha256: str, source: str) -> NvidiaRoot:
    return NvidiaRoot(
        role=role,
        common_name=common_name,
        subject=bytes.fromhex(subject),
        spki=bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004" + spki),
        certificate_sha256=bytes.fromhex(certificate_sha256),
        source=source,
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
    nvidia=(
        _nvidia(
            "device",
            "NVIDIA Device Identity CA",
            "30353122302006035504030c194e564944494120446576696365204964656e74697479204341310f300d060355040a0c06"
            "4e5649444941",
            "0e4c14a33bf8a5626658db4129607e4cbf4519c4412716f4d0d917c4978005bdeabeaefd57bc66082d718a4f8b6052e1"
            "516ee8a7c422b84de857071bb58fd395bea0cfa1c63ee7c80d6bd63901d91cbbd187d3857dc16b5cceaf238ff8c27dbd",
            "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48",
            "https://github.com/NVIDIA/nvtrust, verifier_device_root.pem",
        ),
        _nvidia(
            "rim",
            "NVIDIA CoRIM signing Root CA",
            "3045310b3009060355040613025553310f300d060355040a0c064e56494449413125302306035504030c1c4e564944494120"
            "436f52494d207369676e696e6720526f6f74204341",
            "b840b28bdbcd33e230da57d4cf2065747030682d4717b4c2829d7641c1325139b74da831c2be3c779e7e2b6548956608"
            "0e4ecd94021075c57f15fedeb862c8f906ae8fddc7b12238597dbdf0fa56e78453833f6d0be43af3871a47f057584799",
            "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1",
            "https://github.com/NVIDIA/nvtrust, verifier_RIM_root.pem",
        ),
    ),
    simulated=False,
)
