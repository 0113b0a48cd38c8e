"""The measurement to expect, against sev-snp-measure and against digests recorded from it and from real guests."""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sevsnpmeasure import guest, vcpu_types  # type: ignore[import-untyped]  # has no stubs
from sevsnpmeasure.sev_mode import SevMode  # type: ignore[import-untyped]  # has no stubs
from sevsnpmeasure.vmm_types import VMMType  # type: ignore[import-untyped]  # has no stubs
from sevsnpmeasure.vmsa import VMSA, VMSA_SVSM  # type: ignore[import-untyped]  # has no stubs

from attest.errors import AttestError
from attest.reference import COVERS, ReferenceSet
from attest.snp.launch import EMPTY, MAX_VCPUS, PageType, extend, normal_pages, unseen_pages
from attest.snp.measure import (
    KernelHashes,
    firmware_digest,
    launch_digests,
    measured_parts,
    place_svsm,
    svsm_launch_digests,
)
from attest.snp.ovmf import FOUR_GIB, Kind, read_firmware
from attest.snp.vmsa import BSP_EIP, VCPU_TYPES, Machine, Vmm, cpu_signature, svsm_page, vcpu_signature, vmsa_page
from tests.attest.refusal import refused
from tests.attest.snp.test_ovmf import HASHES, Ovmf
from tests.vectors import VECTORS, absent, needs_vectors

FILES = (VECTORS or Path()) / "snp" / "virtee-sev-snp-measure"
DERIVED = (VECTORS or Path()) / "snp" / "derived" / "launch_digest_expected.json"
RECORDED = 23
THEIR_VMM = {Vmm.QEMU: VMMType.QEMU, Vmm.EC2: VMMType.ec2, Vmm.GCE: VMMType.gce}
MILAN = Machine(signature=vcpu_signature("EPYC-Milan"))
REAL = ["ovmf_AmdSev_suffix.bin", "ovmf_OvmfX64_suffix.bin"]


def recorded() -> list[Any]:
    """The cases of launch_digest_expected.json; one that says how many there are if they are absent."""
    if VECTORS is None:
        return [pytest.param({}, marks=needs_vectors(RECORDED), id="no vectors")]
    cases = json.loads(DERIVED.read_bytes())
    assert len(cases) == RECORDED
    return [pytest.param(case, id=f"{n}-{case['name']}") for n, case in enumerate(cases)]


def measured(case: dict[str, Any]) -> bytes:
    firmware = read_firmware((FILES / case.get("ovmf", "fixtures/ovmf_AmdSev_suffix.bin")).read_bytes())
    if "mode" not in case:
        return firmware_digest(firmware)
    counts = [case["vcpus"]]
    signature = case.get("vcpu_sig") or (case["vcpu_type"] and vcpu_signature(case["vcpu_type"]))
    if case["mode"] == "SEV_SNP_SVSM":
        svsm, size = (FILES / case["svsm"]).read_bytes(), case["ovmf_vars_size"]
        found = svsm_launch_digests(firmware, place_svsm(svsm, firmware, vars_size=size), counts, signature=signature)
    else:
        kernel = case["kernel"] and KernelHashes.of(b"", b"", (case["append"] or "").encode())
        machine = Machine(
            vmm=Vmm(case.get("vmm_type", "qemu")), signature=signature, guest_features=case["guest_features"]
        )
        ahead = bytes.fromhex(case.get("snp_ovmf_hash_str", "")) or None
        found = launch_digests(firmware, machine, counts, kernel=kernel or None, ahead=ahead)
    return dict(found)[case["vcpus"]]


@pytest.mark.parametrize("case", recorded())
def test_recorded_digests(case: dict[str, Any]) -> None:
    if case["expected"].startswith("ERROR"):
        with refused("OVMF_HASH_TABLE"):
            measured(case)
        return
    assert measured(case).hex() == case["expected"]


class Theirs:
    """sev-snp-measure on the same bytes; it reads files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def __call__(
        self, ovmf: bytes, machine: Machine, count: int, kernel: tuple[bytes, bytes, str] | None, ahead: str = ""
    ) -> bytes:
        booted = ("", "", "")
        if kernel is not None:
            booted = (self.file("kernel", kernel[0]), self.file("initrd", kernel[1]), kernel[2])
        return bytes(
            guest.calc_launch_digest(
                SevMode.SEV_SNP, count, machine.signature or 0, self.file("ovmf", ovmf), *booted,
                machine.guest_features, ahead, THEIR_VMM[machine.vmm],
            )
        )  # fmt: skip


@pytest.fixture
def theirs(tmp_path: Path) -> Theirs:
    return Theirs(tmp_path)


@pytest.fixture(params=["minted", *REAL])
def image(request: pytest.FixtureRequest) -> bytes:
    """Firmware: minted here, and the ends of two real builds (of which only the first takes kernel hashes)."""
    if request.param == "minted":
        return Ovmf(pages=3).image()
    if VECTORS is None:
        pytest.skip(absent(1))
    return (FILES / "fixtures" / str(request.param)).read_bytes()


KERNELS: list[tuple[bytes, bytes, str] | None] = [
    None,
    (b"kernel", b"initrd", "console=ttyS0 quiet"),
    (b"k" * 5_000, b"", ""),
    (b"", b"", "\u00e4 \u2192"),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=["no kernel", "all", "kernel alone", "not ASCII"])
@pytest.mark.parametrize("vmm", Vmm)
def test_equal_to_sev_snp_measure(
    image: bytes, vmm: Vmm, kernel: tuple[bytes, bytes, str] | None, theirs: Theirs
) -> None:
    firmware = read_firmware(image)
    counts = [1, 2, 3, 8, 64]
    hashes = kernel and KernelHashes.of(kernel[0], kernel[1], kernel[2].encode())
    for name, features in itertools.product(["EPYC-Rome", "EPYC-Milan", "EPYC-Genoa-v1", "EPYC-Turin"], [1, 0x21]):
        machine = Machine(vmm=vmm, signature=vcpu_signature(name), guest_features=features)
        if hashes and firmware.hash_table is None:
            with refused("OVMF_HASH_TABLE"):
                launch_digests(firmware, machine, counts, kernel=hashes)
            continue
        ours = dict(launch_digests(firmware, machine, counts, kernel=hashes))
        assert list(ours) == counts
        assert ours == {count: theirs(image, machine, count, kernel) for count in counts}


PLACES = st.sampled_from([(n * 0x4000, size, kind) for n in range(8) for size in (0x1000, 0x3000) for kind in Kind])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(PLACES, min_size=1, max_size=8, unique_by=lambda section: section[0]),
    st.integers(0, 0xFFFF_FFFF),
    st.tuples(st.sampled_from([n * 0x4000 for n in range(8)]), st.integers(0, 0xFFF)),
    st.sampled_from(Vmm),
    st.booleans(),
)
def test_whatever_is_accepted_is_equal(
    places: list[tuple[int, int, int]], reset: int, table: tuple[int, int], vmm: Vmm, booted: bool
) -> None:
    """Minted firmware of any layout: refused here, or the digest of sev-snp-measure."""
    image = Ovmf(sections=tuple(places), reset=reset, hashes=(sum(table), 0x400)).image()
    machine = Machine(vmm=vmm, signature=MILAN.signature)
    try:
        hashes = KernelHashes.of(b"kernel", b"", b"a") if booted else None
        ours = dict(launch_digests(read_firmware(image), machine, [1, 3], kernel=hashes))
    except AttestError:
        return
    with tempfile.TemporaryDirectory() as folder:
        theirs = Theirs(Path(folder))
        assert ours == {n: theirs(image, machine, n, (b"kernel", b"", "a") if booted else None) for n in ours}


@needs_vectors(1)
@pytest.mark.parametrize("count", [1, 3, 16])
def test_svsm_equal_to_sev_snp_measure(count: int) -> None:
    ovmf, svsm = FILES / "fixtures" / "svsm_ovmf.fd", FILES / "fixtures" / "svsm.bin"
    signature = vcpu_signature("EPYC-Genoa")
    theirs = guest.calc_launch_digest(
        SevMode.SEV_SNP_SVSM, count, signature, str(ovmf), "", "", "", 1, svsm_file=str(svsm), ovmf_vars_size=0x8_4000
    )
    firmware = read_firmware(ovmf.read_bytes())
    placed = place_svsm(svsm.read_bytes(), firmware, vars_size=0x8_4000)
    ours = svsm_launch_digests(firmware, placed, [count], signature=signature)
    assert dict(ours) == {count: theirs}


@pytest.mark.parametrize("entry", [0, 16, 4_095])
def test_minted_svsm_equal_to_sev_snp_measure(tmp_path: Path, entry: int) -> None:
    """Its table has no hashes of a kernel; sections lie below it."""
    ovmf = Ovmf().image()
    svsm = Ovmf(pages=2, sections=((0, 0x3000, 1), (0x3000, 0x1000, 2), (0x4000, 0x1000, 3)), svsm=entry).image()
    (tmp_path / "ovmf").write_bytes(ovmf)
    (tmp_path / "svsm").write_bytes(svsm)
    signature = vcpu_signature("EPYC-Milan")
    theirs = guest.calc_launch_digest(
        SevMode.SEV_SNP_SVSM, 5, signature, str(tmp_path / "ovmf"), "", "", "", 1,
        svsm_file=str(tmp_path / "svsm"), ovmf_vars_size=0x2000,
    )  # fmt: skip
    firmware = read_firmware(ovmf)
    ours = svsm_launch_digests(firmware, place_svsm(svsm, firmware, vars_size=0x2000), [5], signature=signature)
    assert dict(ours) == {5: theirs}


def test_a_digest_computed_ahead(theirs: Theirs) -> None:
    """Of the firmware only its end is then needed."""
    whole, end = Ovmf(pages=6).image(), Ovmf(pages=6).image()[-4_096:]
    ahead = firmware_digest(read_firmware(whole))
    expected = dict(launch_digests(read_firmware(whole), MILAN, [1, 4]))
    assert dict(launch_digests(read_firmware(end), MILAN, [1, 4], ahead=ahead)) == expected
    assert theirs(end, MILAN, 4, None, ahead.hex()) == expected[4]
    with refused("FIRMWARE_DIGEST"):
        launch_digests(read_firmware(end), MILAN, [1], ahead=ahead[:-1])


@pytest.mark.parametrize("eip", [BSP_EIP, 0x80_B004, 1, 0xFFFF_FFFF])
@pytest.mark.parametrize("vmm", Vmm)
def test_save_areas(vmm: Vmm, eip: int) -> None:
    for signature, features in [(0x0080_0F12, 1), (0x00B0_0F00, 0xFFFF_FFFF_FFFF_FFFF)]:
        machine = Machine(vmm=vmm, signature=signature, guest_features=features)
        assert vmsa_page(machine, eip) == bytes(VMSA.build_save_area(eip, features, signature, THEIR_VMM[vmm]))
        assert svsm_page(signature, eip) == bytes(VMSA_SVSM.build_save_area(eip, 1, signature))


def test_signatures() -> None:
    assert vcpu_types.CPU_SIGS.items() <= VCPU_TYPES.items()
    for family, model, stepping in itertools.product(
        [0, 15, 16, 23, 25, 26, 270], [0, 1, 17, 49, 0xA0, 255], [0, 2, 15]
    ):
        assert cpu_signature(family, model, stepping) == vcpu_types.cpu_sig(family, model, stepping)


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (271, 0, 0), (25, 256, 0), (25, -1, 0), (25, 1, 16), (25, 1, -1)])
def test_signature_out_of_range(numbers: tuple[int, int, int]) -> None:
    with refused("VCPU_TYPE"):
        cpu_signature(*numbers)


@pytest.mark.parametrize("name", ["", "EPYC-Zurich", "epyc-milan", "EPYC-Milan-v0", "EPYC-Milan-v4", "Opteron_G5"])
def test_unknown_types(name: str) -> None:
    with refused("VCPU_TYPE"):
        vcpu_signature(name)


def test_machines_that_are_none() -> None:
    for signature in (None, 0, -1, 1 << 32):
        with refused("VCPU_TYPE"):
            Machine(signature=signature)
    for features in (0, 2, -1, 1 << 64 | 1):
        with refused("GUEST_FEATURES"):
            Machine(signature=1, guest_features=features)
    assert Machine(vmm=Vmm.EC2).signature is None
    firmware = read_firmware(Ovmf().image())
    with refused("VCPU_TYPE"):
        svsm_launch_digests(firmware, place_svsm(Ovmf(svsm=0).image(), firmware, vars_size=0), [1], signature=0)


@pytest.mark.parametrize("counts", [[], [0], [1, -1], [MAX_VCPUS + 1], range(2, MAX_VCPUS + 2)], ids=str)
def test_numbers_of_processors(counts: list[int]) -> None:
    with refused("VCPU_COUNT"):
        launch_digests(read_firmware(Ovmf().image()), MILAN, counts)


def test_kernel_hashes() -> None:
    assert KernelHashes.of(b"k", cmdline=b"a").cmdline == hashlib.sha256(b"a\0").digest()
    assert KernelHashes.of(b"k").cmdline == hashlib.sha256(b"\0").digest()
    assert KernelHashes.of(b"k").initrd == hashlib.sha256(b"").digest()
    for cmdline in (b"\0", b"a\0", b"a\0b"):
        with refused("CMDLINE"):
            KernelHashes.of(b"k", cmdline=cmdline)
    with refused("KERNEL_HASHES"):
        KernelHashes(kernel=bytes(32), initrd=bytes(31), cmdline=bytes(32))


def test_what_changes_the_digest() -> None:
    """Each input that the result claims to cover, and the two that QEMU's rivals do not measure."""
    firmware = read_firmware(Ovmf().image())
    base = KernelHashes.of(b"kernel", b"initrd", b"cmdline")

    def digest(machine: Machine = MILAN, kernel: KernelHashes | None = base) -> bytes:
        return dict(launch_digests(firmware, machine, [2], kernel=kernel))[2]

    others = [
        digest(kernel=None),
        digest(kernel=KernelHashes.of(b"kernel2", b"initrd", b"cmdline")),
        digest(kernel=KernelHashes.of(b"kernel", b"initrd2", b"cmdline")),
        digest(kernel=KernelHashes.of(b"kernel", b"initrd", b"cmdline2")),
        digest(Machine(signature=vcpu_signature("EPYC-Genoa"))),
        digest(Machine(signature=MILAN.signature, guest_features=3)),
        digest(Machine(vmm=Vmm.EC2)),
        digest(Machine(vmm=Vmm.GCE)),
    ]
    assert len({digest(), *others}) == len(others) + 1
    for vmm in (Vmm.EC2, Vmm.GCE):
        assert digest(Machine(vmm=vmm)) == digest(Machine(vmm=vmm, signature=1))


def test_coverage_is_said_in_the_words_of_profiles() -> None:
    assert measured_parts(None) == ("firmware",)
    assert set(measured_parts(KernelHashes.of(b""))) == COVERS
    value = {"name": "a", "measurement": EMPTY.hex(), "covers": list(measured_parts(KernelHashes.of(b"")))}
    assert ReferenceSet.parse({"name": "s", "values": [value]}).values[0].covers == COVERS


def test_a_firmware_without_a_reset_block_starts_no_processors() -> None:
    with refused("OVMF_RESET_BLOCK"):
        launch_digests(read_firmware(Ovmf(reset=None).image()), MILAN, [1])


def test_hashes_where_the_firmware_would_not_look() -> None:
    kernel = KernelHashes.of(b"")
    for wrong in (
        Ovmf(hashes=None),
        Ovmf(hashes=(0, 0)),
        Ovmf(hashes=(HASHES[0] + 0x1000, 0x400)),
        Ovmf(sections=((0x80_0000, 0x1000, Kind.SNP_SEC_MEM),)),
    ):
        firmware = read_firmware(wrong.image())
        assert dict(launch_digests(firmware, MILAN, [1]))
        with refused("OVMF_HASH_TABLE"):
            launch_digests(firmware, MILAN, [1], kernel=kernel)


@pytest.mark.parametrize("size", [-4_096, 1, 1 << 40, FOUR_GIB - 4_096, FOUR_GIB - 3 * 4_096 + 1])
def test_variables_of_an_impossible_size(size: int) -> None:
    with refused("VARS_SIZE"):
        place_svsm(Ovmf(svsm=0).image(), read_firmware(Ovmf().image()), vars_size=size)


def test_a_module_that_is_no_svsm() -> None:
    firmware = read_firmware(Ovmf().image())
    with refused("OVMF_SVSM_INFO"):
        svsm_launch_digests(firmware, place_svsm(Ovmf().image(), firmware, vars_size=0), [1], signature=1)


def test_a_guest_with_fewer_processors_is_a_prefix() -> None:
    """512 counts cost what 512 processors cost, far below what a run for each would."""
    firmware = read_firmware(Ovmf(pages=64).image())
    started = time.process_time()
    found = dict(launch_digests(firmware, MILAN, range(1, 513)))
    spent = time.process_time() - started
    assert list(found) == list(range(1, 513))
    assert len(set(found.values())) == 512
    assert all(dict(launch_digests(firmware, MILAN, [n])) == {n: found[n]} for n in (1, 2, 17, 512))
    assert spent < 0.5  # some 2 ms where this was written


def test_pages_in_a_row() -> None:
    """By hand: the chain of 56860 over two pages of each sort."""
    data = bytes(4_096) + b"\1" * 4_096
    by_hand = EMPTY
    for offset in (0, 4_096):
        contents = hashlib.sha384(data[offset : offset + 4_096]).digest()
        info = by_hand + contents + bytes.fromhex("7000 01 00 00 00 00 00") + (0x1000 + offset).to_bytes(8, "little")
        assert len(info) == 0x70
        by_hand = hashlib.sha384(info).digest()
    assert normal_pages(EMPTY, 0x1000, data) == by_hand
    twice = extend(extend(EMPTY, PageType.ZERO, 0x5000), PageType.ZERO, 0x6000)
    assert unseen_pages(EMPTY, PageType.ZERO, 0x5000, 0x2000) == twice
