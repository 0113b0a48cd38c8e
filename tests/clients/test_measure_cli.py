"""`sealgate measure snp`: what is printed, what is refused, and that a reference set made by it can be registered."""

from __future__ import annotations

import datetime as dt
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from attest.reference import COVERS, ReferenceSet
from attest.snp.measure import KernelHashes, firmware_digest, launch_digests, place_svsm, svsm_launch_digests
from attest.snp.ovmf import read_firmware
from attest.snp.vmsa import Machine, Vmm, vcpu_signature
from attest.tlog.canonical import canonical
from clients.cli import main as command
from kbs.catalog.documents import read_references
from tests.attest.snp.test_ovmf import Ovmf

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
OVMF = Ovmf(pages=2).image()
SVSM = Ovmf(svsm=16, sections=((0, 0x3000, 1), (0x3000, 0x1000, 2))).image()
FIRMWARE = read_firmware(OVMF)
MILAN = Machine(signature=vcpu_signature("EPYC-Milan"))


class Run:
    """The command, with files in a directory of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        for name, data in {"ovmf": OVMF, "svsm": SVSM, "kernel": b"kernel", "initrd": b"initrd"}.items():
            self.file(name, data)

    def file(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """`@name` stands for the path of a file."""
        placed = [str(self.folder / each[1:]) if each.startswith("@") else each for each in arguments]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code = command.main(["measure", *placed], command.Doors(now=NOW))
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def snp(self, *arguments: str) -> tuple[int, str, str]:
        return self("snp", "--firmware", "@ovmf", *arguments)

    def json(self, *arguments: str) -> dict[str, Any]:
        code, out, err = self.snp(*arguments, "--json")
        assert (code, err, out.count("\n")) == (0, "", 1)
        document = json.loads(out)
        assert isinstance(document, dict)
        return document


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setitem(command._COMMANDS, "measure", ("clients.cli.measure", "compute the measurement to expect"))
    return Run(tmp_path, capsys)


TYPE = ("--vcpu-type", "EPYC-Milan")
BOOT = ("--kernel", "@kernel", "--initrd", "@initrd", "--append", "console=ttyS0")
BOOTED = KernelHashes.of(b"kernel", b"initrd", b"console=ttyS0")


def test_digests_for_people(run: Run) -> None:
    code, out, err = run.snp("--vcpus", "8,1-2", *TYPE, *BOOT)
    expected = launch_digests(FIRMWARE, MILAN, [1, 2, 8], kernel=BOOTED)
    assert (code, err) == (0, "")
    assert out == "".join(f"{count}  {digest.hex()}\n" for count, digest in expected)


def test_digests_for_programs(run: Run) -> None:
    document = run.json("--vcpus", "2", *TYPE, *BOOT, "--guest-features", "0x21")
    machine = Machine(signature=MILAN.signature, guest_features=0x21)
    digest = dict(launch_digests(FIRMWARE, machine, [2], kernel=BOOTED))[2]
    assert document == {
        "vmm": "qemu", "svsm": False, "vcpu_signature": "0xa00f11", "guest_features": "0x21",
        "covers": ["firmware", "kernel", "initrd", "cmdline"], "firmware_digest": firmware_digest(FIRMWARE).hex(),
        "values": [{"vcpus": 2, "measurement": digest.hex()}],
    }  # fmt: skip


def measurement(document: dict[str, Any]) -> str:
    values = document["values"]
    assert len(values) == 1
    return str(values[0]["measurement"])


def only(machine: Machine = MILAN, kernel: KernelHashes | None = None) -> str:
    return dict(launch_digests(FIRMWARE, machine, [4], kernel=kernel))[4].hex()


def test_without_a_kernel_only_the_firmware_is_covered(run: Run) -> None:
    document = run.json("--vcpus", "4", *TYPE)
    assert document["covers"] == ["firmware"]
    assert measurement(document) == only()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"a b", b"a b"),
        (b"a b\n", b"a b"),
        (b"a b\r\n", b"a b"),
        (b"a b\n\n", b"a b\n"),
        (b"a \xff", b"a \xff"),
        (b"", b""),
    ],
)
def test_a_command_line_from_a_file(run: Run, written: bytes, read: bytes) -> None:
    run.file("cmdline", written)
    document = run.json("--vcpus", "4", *TYPE, "--kernel", "@kernel", "--append-file", "@cmdline")
    assert document["covers"] == ["firmware", "kernel", "initrd", "cmdline"]
    assert measurement(document) == only(kernel=KernelHashes.of(b"kernel", b"", read))


def test_the_other_monitors_ask_for_no_type(run: Run) -> None:
    for vmm in ("ec2", "gce"):
        document = run.json("--vcpus", "4", "--vmm", vmm)
        assert document["vcpu_signature"] is None
        assert measurement(document) == only(Machine(vmm=Vmm(vmm)))


def test_a_signature_in_place_of_a_type(run: Run) -> None:
    for text in ("0xa00f11", "A00F11"):
        assert measurement(run.json("--vcpus", "4", "--vcpu-signature", text)) == only()


def test_svsm(run: Run) -> None:
    document = run.json("--vcpus", "4", *TYPE, "--svsm", "@svsm", "--vars-size", "8192")
    placed = place_svsm(SVSM, FIRMWARE, vars_size=8_192)
    digests = svsm_launch_digests(FIRMWARE, placed, [4], signature=vcpu_signature("EPYC-Milan"))
    assert measurement(document) == dict(digests)[4].hex()
    assert (document["svsm"], document["covers"]) == (True, ["firmware"])


def test_a_firmware_digest_computed_before(run: Run) -> None:
    ahead = run.json("--vcpus", "4", *TYPE)["firmware_digest"]
    run.file("ovmf", OVMF[-4_096:])
    assert measurement(run.json("--vcpus", "4", *TYPE)) != only()
    document = run.json("--vcpus", "4", *TYPE, "--firmware-digest", ahead)
    assert (measurement(document), document["firmware_digest"]) == (only(), ahead)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("boot", [(), BOOT])
def test_a_reference_set_can_be_registered(run: Run, boot: tuple[str, ...], shared: bool, as_json: bool) -> None:
    name = "tenants/acme/referenceSets/trainer-1-5"
    options = [*boot, "--reference-set", name, *(["--shared"] if shared else []), *(["--json"] if as_json else [])]
    code, out, err = run.snp("--vcpus", "1-64,96", *TYPE, *options)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document.keys() == {"name", "state", "shared", "values"}
    read = read_references(canonical({"v": "sealgate.reference-set/1", **document}))
    assert (read.name, read.state, read.shared) == (name, "active", shared)
    assert read.references == ReferenceSet.parse({"name": name, "values": document["values"]})
    kernel = BOOTED if boot else None
    digests = dict(launch_digests(FIRMWARE, MILAN, [*range(1, 65), 96], kernel=kernel))
    assert {value.vcpus: value.measurement for value in read.references.values} == digests
    assert {value.covers for value in read.references.values} == {COVERS if boot else frozenset({"firmware"})}
    assert read.references.values[3].name == "EPYC-Milan-4vcpu"


def test_names_of_values_tell_machines_apart(run: Run) -> None:
    names = []
    for options in (TYPE, ("--vmm", "ec2"), (*TYPE, "--vmm", "gce"), ("--vcpu-signature", "0xa00f11"),
                    (*TYPE, "--svsm", "@svsm", "--vars-size", "0")):  # fmt: skip
        names += [value["name"] for value in run.json("--vcpus", "4", *options, "--reference-set", "s")["values"]]
    assert names == ["EPYC-Milan-4vcpu", "ec2-4vcpu", "gce-4vcpu", "0xa00f11-4vcpu", "svsm-EPYC-Milan-4vcpu"]


NOTHING = "@missing"
USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "no type": (("--vcpus", "1"), "type of the processors"),
    "an unknown type": (("--vcpus", "1", "--vcpu-type", "EPYC-Zurich"), "EPYC-Milan"),
    "a signature of no hex": (("--vcpus", "1", "--vcpu-signature", "milan"), "--vcpu-signature"),
    "a signature of zero": (("--vcpus", "1", "--vcpu-signature", "0"), "signature"),
    "no processors": (("--vcpus", "0", *TYPE), "1 to 4096"),
    "too many": (("--vcpus", "4097", *TYPE), "1 to 4096"),
    "many too many": (("--vcpus", "1-99999", *TYPE), "--vcpus"),
    "a range backwards": (("--vcpus", "4-2", *TYPE), "--vcpus"),
    "an empty part": (("--vcpus", "1,,2", *TYPE), "--vcpus"),
    "no number": (("--vcpus", "four", *TYPE), "--vcpus"),
    "other digits": (("--vcpus", "\u0664", *TYPE), "--vcpus"),
    "a sign": (("--vcpus=-4", *TYPE), "--vcpus"),
    "features of no hex": (("--vcpus", "1", *TYPE, "--guest-features", "1_0"), "--guest-features"),
    "features of 65 bits": (("--vcpus", "1", *TYPE, "--guest-features", "1" + "0" * 16), "--guest-features"),
    "features without SNPActive": (("--vcpus", "1", *TYPE, "--guest-features", "20"), "SNPActive"),
    "an initrd without a kernel": (("--vcpus", "1", *TYPE, "--initrd", "@initrd"), "--initrd needs --kernel"),
    "a command line without a kernel": (("--vcpus", "1", *TYPE, "--append", ""), "--append needs --kernel"),
    "its file without a kernel": (("--vcpus", "1", *TYPE, "--append-file", "@initrd"), "--append-file needs --kernel"),
    "a kernel that is not there": (("--vcpus", "1", *TYPE, "--kernel", NOTHING), "cannot be read"),
    "a kernel that is a directory": (("--vcpus", "1", *TYPE, "--kernel", "@"), "cannot be read"),
    "an SVSM that is not there": (
        ("--vcpus", "1", *TYPE, "--svsm", NOTHING, "--vars-size", "0"),
        "cannot be read",
    ),
    "an SVSM alone": (("--vcpus", "1", *TYPE, "--svsm", "@svsm"), "--vars-size"),
    "variables alone": (("--vcpus", "1", *TYPE, "--vars-size", "0"), "--svsm"),
    "variables of half a page": (
        ("--vcpus", "1", *TYPE, "--svsm", "@svsm", "--vars-size", "2048"),
        "vars_size: expected whole pages",
    ),
    "an SVSM and a kernel": (("--vcpus", "1", *TYPE, "--svsm", "@svsm", "--vars-size", "0", *BOOT), "--kernel"),
    "an SVSM on EC2": (("--vcpus", "1", "--svsm", "@svsm", "--vars-size", "0", "--vmm", "ec2"), "--vmm ec2"),
    "an SVSM and features": (
        ("--vcpus", "1", *TYPE, "--svsm", "@svsm", "--vars-size", "0", "--guest-features", "21"),
        "--guest-features",
    ),
    "an SVSM and a digest": (
        ("--vcpus", "1", *TYPE, "--svsm", "@svsm", "--vars-size", "0", "--firmware-digest", "00" * 48),
        "--firmware-digest",
    ),
    "a digest of no hex": (("--vcpus", "1", *TYPE, "--firmware-digest", "xy"), "--firmware-digest"),
    "shared without a set": (("--vcpus", "1", *TYPE, "--shared"), "--reference-set"),
    "a set without a name": (("--vcpus", "1", *TYPE, "--reference-set", ""), "name"),
    "a set too large": (("--vcpus", "1-1025", *TYPE, "--reference-set", "s"), "1024"),
}


@pytest.mark.parametrize(("arguments", "says"), USAGE.values(), ids=USAGE)
def test_what_cannot_be_meant(run: Run, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = run.snp(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("sealgate: ")
    assert says in err


@pytest.mark.parametrize("cmdline", [b"a\0b", b"a\0"])
def test_a_command_line_with_a_nul(run: Run, cmdline: bytes) -> None:
    run.file("cmdline", cmdline)
    code, _, err = run.snp("--vcpus", "1", *TYPE, "--kernel", "@kernel", "--append-file", "@cmdline")
    assert code == 2
    assert "without NUL" in err


def test_a_short_digest(run: Run) -> None:
    code, _, err = run.snp("--vcpus", "1", *TYPE, "--firmware-digest", "00" * 47)
    assert code == 2
    assert "48 bytes" in err


@pytest.mark.parametrize(
    ("image", "check"),
    [
        (b"", "OVMF_SIZE"),
        (bytes(4_096), "OVMF_FOOTER"),
        (OVMF[1:], "OVMF_SIZE"),
        (Ovmf(version=2).image(), "OVMF_METADATA"),
        (Ovmf(hashes=None).image(), "OVMF_HASH_TABLE"),
    ],
)
def test_firmware_that_is_none(run: Run, image: bytes, check: str) -> None:
    run.file("ovmf", image)
    code, out, err = run.snp("--vcpus", "1", *TYPE, *BOOT)
    assert (code, out) == (4, "")
    assert err.startswith(f"sealgate: {check}: ")


def test_an_svsm_that_is_none_is_named(run: Run) -> None:
    run.file("svsm", bytes(4_096))
    code, _, err = run.snp("--vcpus", "1", *TYPE, "--svsm", "@svsm", "--vars-size", "0")
    assert code == 4
    assert err.startswith(f"sealgate: OVMF_FOOTER: {run.folder / 'svsm'}: ")


def test_firmware_too_large(run: Run) -> None:
    with (run.folder / "ovmf").open("wb") as file:
        file.truncate((64 << 20) + 1)
    code, _, err = run.snp("--vcpus", "1", *TYPE)
    assert code == 2
    assert "is larger than" in err


@pytest.mark.parametrize("arguments", [("snp",), ("snp", "--firmware", "@ovmf"), ("tdx",), ()])
def test_incomplete(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, _ = run(*arguments)
    assert (code, out) == (2, "")


def test_help_has_examples(run: Run) -> None:
    code, out, _ = run("snp", "--help")
    assert code == 0
    assert out.count("sealgate measure snp --firmware") >= 5
    for option in ("--kernel", "--append-file", "--vcpu-type", "--svsm", "--reference-set", "--shared", "exit codes"):
        assert option in out


NO_INIT_DATA = {
    "no JSON": b"job",
    "a list": b"[]",
    "a fraction": b'{"a": 1.5}',
    "a key twice": b'{"a": "b", "a": "b"}',
    "too much of it": b'{"a": "' + b"b" * 16_384 + b'"}',
    "objects without end": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("case", NO_INIT_DATA)
def test_what_cannot_be_init_data(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "given").write_bytes(NO_INIT_DATA[case])
    arguments = ["measure", "init-data", str(tmp_path / "given"), "--out", str(tmp_path / "out")]
    assert command.main(arguments, command.Doors(now=dt.datetime(2026, 5, 1, tzinfo=dt.UTC))) == 2
    assert str(tmp_path / "given") in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
