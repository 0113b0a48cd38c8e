"""The doors to a TEE: what the kernel may answer, and the sentence for each answer that is no evidence."""

from __future__ import annotations

import datetime as dt
import errno
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from attest.anchors import Anchors
from attest.evidence import Collateral, SnpEvidence, TdxEvidence
from attest.tdx.ccel import read_ccel
from attest.verify import verify
from clients.errors import Unavailable
from clients.workload.tee_configfs import CCEL, ROOT, ConfigfsTsm, NoProvider
from clients.workload.tee_files import KernelFiles
from clients.workload.tee_find import find_tee
from clients.workload.tee_sev_guest import DEVICE, SevGuest, kernel_ioctl
from tests.attest.tdx.made import platform
from tests.makers import ccel
from tests.makers.amd import Amd, Chip, cert_table, mint
from tests.makers.kernel import FakeKernel, FakeSevGuest

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DATA = bytes(range(64))


@pytest.fixture(scope="module")
def vendor() -> Amd:
    return mint(now=NOW)


@pytest.fixture(scope="module")
def chip(vendor: Amd) -> Chip:
    return vendor.chip()


@pytest.fixture
def quote(chip: Chip) -> Any:
    table = cert_table(list(zip(("VCEK", "ASK", "ARK"), chip.certificates, strict=True)))
    return lambda data: (chip.report(data), table + bytes(-len(table) % 4096))


def refused(sentence: str) -> Any:
    return pytest.raises(Unavailable, match=sentence)


def authentic(evidence: Any, vendor: Amd) -> bool:
    anchors: Anchors = vendor.anchors
    collateral = Collateral(crls=(vendor.crl(),))
    verify(evidence, collateral, anchors, report_data=DATA, now=NOW, revocation="required")
    return True


# --- configfs-tsm ---


def test_a_report_of_snp(quote: Any, vendor: Amd, chip: Chip) -> None:
    kernel = FakeKernel(quote)
    evidence = ConfigfsTsm(kernel).collect(DATA)
    assert isinstance(evidence, SnpEvidence)
    assert evidence.certificates == tuple(chip.certificates)
    assert authentic(evidence, vendor)
    assert kernel.entries == {}


BOOT = [(0, b"\x01\x00"), (0, bytes(4)), (1, b"kernel"), (2, b"root=/dev/vda1"), (2, b"initrd")]
LOG = ccel.boot()


def _quote(data: bytes) -> bytes:
    rtmrs: Any = {f"rtmr{number}": value for number, value in enumerate(ccel.replayed(BOOT))}
    return platform().quote(data, **rtmrs)


def test_a_quote_of_tdx_with_its_log() -> None:
    """The whole area of the firmware, padding and all, is larger than what a broker takes."""
    kernel = FakeKernel(lambda data: (_quote(data), b""), provider="tdx_guest", extra={CCEL: LOG + b"\xff" * (1 << 20)})
    found = ConfigfsTsm(kernel).collect(DATA)
    assert isinstance(found, TdxEvidence)
    assert len(found.event_log) < len(LOG)
    assert read_ccel(found.event_log) == read_ccel(LOG)


@pytest.mark.parametrize("log", [b"events", LOG[:-100], ccel.boot(kernel=b"other"), ccel.ccel()])
def test_a_log_that_does_not_add_up_stays_at_home(log: bytes) -> None:
    kernel = FakeKernel(lambda data: (_quote(data), b""), provider="tdx_guest", extra={CCEL: log})
    assert ConfigfsTsm(kernel).collect(DATA).event_log == b""  # type: ignore[union-attr]


def test_a_quote_of_tdx_without_a_log() -> None:
    kernel = FakeKernel(lambda data: (data, b""), provider="tdx_guest")
    assert ConfigfsTsm(kernel).collect(DATA) == TdxEvidence(quote=DATA)


def test_the_lowest_level_allowed_is_asked_for(quote: Any) -> None:
    kernel = FakeKernel(quote, floor=2)
    seen: list[int] = []
    kernel.interfere = lambda entry: seen.append(entry.privlevel)
    ConfigfsTsm(kernel).collect(DATA)
    assert set(seen) == {2}
    ConfigfsTsm(FakeKernel(quote, floor=0)).collect(DATA)


@pytest.mark.parametrize("table", [b"", bytes(4096)])
def test_a_host_without_certificates(chip: Chip, table: bytes) -> None:
    evidence = ConfigfsTsm(FakeKernel(lambda data: (chip.report(data), table))).collect(DATA)
    assert isinstance(evidence, SnpEvidence)
    assert evidence.certificates == ()


def test_certificates_may_be_missing_altogether(quote: Any) -> None:
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory")
    evidence = ConfigfsTsm(FakeKernel(quote, raises={"auxblob": missing})).collect(DATA)
    assert isinstance(evidence, SnpEvidence)
    assert evidence.certificates == ()


def test_a_report_that_others_wrote_to_is_asked_for_again(quote: Any) -> None:
    left = [2]

    def once(entry: Any) -> None:
        if left[0]:
            left[0] -= 1
            entry.generation += 1
            entry.inblob = bytes(64)

    kernel = FakeKernel(quote, interfere=once)
    evidence = ConfigfsTsm(kernel).collect(DATA)
    assert isinstance(evidence, SnpEvidence)
    assert DATA in evidence.report
    assert kernel.made > 1
    assert kernel.entries == {}


def _writing(entry: Any) -> None:
    entry.generation += 1


def _os(number: int) -> OSError:
    return OSError(number, os.strerror(number), f"{ROOT}/x/outblob")


CONFIGFS: dict[str, tuple[str, dict[str, Any]]] = {
    "no provider": ("no TEE driver", {"raises": {"mkdir": _os(errno.ENXIO)}}),
    "not allowed": ("run as root", {"raises": {"mkdir": _os(errno.EACCES)}}),
    "read-only": ("with configfs writable", {"raises": {"mkdir": _os(errno.EROFS)}}),
    "no entry": ("no entry could be made", {"raises": {"mkdir": _os(errno.ENOMEM)}}),
    "always busy": ("another process wrote", {"raises": {"inblob": _os(errno.EBUSY)}}),
    "always another writer": ("another process wrote", {"interfere": _writing}),
    "no quote service": ("quote generation service", {"raises": {"outblob": _os(errno.ETIMEDOUT)}}),
    "refused": ("did not take report data", {"raises": {"outblob": _os(errno.EINVAL)}}),
    "an I/O error": ("outblob could not be used", {"raises": {"outblob": _os(errno.EIO)}}),
    "no outblob": ("could not be used", {"raises": {"outblob": FileNotFoundError(2, "No such file or directory")}}),
    "another provider": ("'arm_cca_guest'; this version", {"provider": "arm_cca_guest"}),
    "an empty report": ("an empty report", {"answers": {"outblob": b""}}),
    "a generation that is no number": ("not a number", {"answers": {"generation": b"x"}}),
    "a table that is none": ("certificate table cannot be read", {"answers": {"auxblob": b"x" * 100}}),
}


@pytest.mark.parametrize(("sentence", "given"), CONFIGFS.values(), ids=CONFIGFS.keys())
def test_what_configfs_may_answer(quote: Any, sentence: str, given: dict[str, Any]) -> None:
    kernel = FakeKernel(quote, **given)
    with refused(sentence):
        ConfigfsTsm(kernel).collect(DATA)
    assert kernel.entries == {}


def test_a_log_that_cannot_be_read(quote: Any) -> None:
    kernel = FakeKernel(quote, provider="tdx_guest", extra={CCEL: b""}, raises={"CCEL": _os(errno.EACCES)})
    with refused("event log"):
        ConfigfsTsm(kernel).collect(DATA)


def test_an_entry_that_stays_is_no_failure(quote: Any) -> None:
    kernel = FakeKernel(quote, raises={"rmdir": _os(errno.EBUSY)})
    assert isinstance(ConfigfsTsm(kernel).collect(DATA), SnpEvidence)
    assert len(kernel.entries) == 1


@pytest.mark.parametrize("door", [lambda q: ConfigfsTsm(FakeKernel(q)), lambda q: SevGuest(FakeSevGuest(q))])
def test_report_data_have_their_length(quote: Any, door: Any) -> None:
    for data in (b"", DATA[:-1], DATA + b"x"):
        with pytest.raises(ValueError, match="64 bytes"):
            door(quote).collect(data)


def test_real_files_with_a_limit(tmp_path: Path) -> None:
    files, path = KernelFiles(), str(tmp_path / "entry" / "inblob")
    files.mkdir(str(tmp_path / "entry"))
    with pytest.raises(FileNotFoundError):
        files.write(path, b"x")
    Path(path).touch()
    files.write(path, DATA)
    assert files.read(path, 64) == DATA
    with pytest.raises(OSError, match="larger"):
        files.read(path, 63)
    assert files.exists(path)
    Path(path).unlink()
    files.rmdir(str(tmp_path / "entry"))
    assert not files.exists(path)


# --- /dev/sev-guest ---


def test_a_report_of_the_device(quote: Any, vendor: Amd, chip: Chip) -> None:
    fake = FakeSevGuest(quote)
    evidence = SevGuest(fake, vmpl=1).collect(DATA)
    assert evidence.certificates == tuple(chip.certificates)
    assert authentic(evidence, vendor)
    assert (fake.asked, fake.vmpl) == ([0x4000], 1)


def test_a_host_with_many_certificates(chip: Chip, quote: Any) -> None:
    fake = FakeSevGuest(lambda data: (chip.report(data), quote(data)[1] + bytes(0x4000)))
    assert SevGuest(fake).collect(DATA).certificates == tuple(chip.certificates)
    assert fake.asked[0] == 0x4000 < fake.asked[1]
    assert fake.asked[1] % 4096 == 0


def test_a_host_that_is_busy(quote: Any) -> None:
    busy = (_os(errno.EIO), 0, 2), (_os(errno.EAGAIN), 0, 0), (_os(errno.EINTR), 0, 0)
    SevGuest(FakeSevGuest(quote, errors=[*busy])).collect(DATA)
    with refused("the host was busy"):
        SevGuest(FakeSevGuest(quote, errors=[*busy, busy[0]])).collect(DATA)


SEV_GUEST: dict[str, tuple[str, dict[str, Any]]] = {
    "not allowed": ("run as root", {"errors": [(_os(errno.EACCES), 0, 0)]}),
    "another device": ("no SEV-SNP guest device", {"errors": [(_os(errno.ENOTTY), 0, 0)]}),
    "the firmware fails": ("firmware 0x16, host 0x0", {"errors": [(_os(errno.EIO), 0x16, 0)]}),
    "room asked for, and none named": ("host 0x1", {"errors": [(_os(errno.EIO), 0, 1)]}),
    "a status": ("status 0x27", {"status": 0x27}),
    "a report of another size": ("1183 bytes", {"size": 1183}),
}


@pytest.mark.parametrize(("sentence", "given"), SEV_GUEST.values(), ids=SEV_GUEST.keys())
def test_what_the_device_may_answer(quote: Any, sentence: str, given: dict[str, Any]) -> None:
    with refused(sentence):
        SevGuest(FakeSevGuest(quote, **given)).collect(DATA)


def test_room_without_end_is_not_given(chip: Chip) -> None:
    fake = FakeSevGuest(lambda data: (chip.report(data), bytes(1 << 21)))
    with refused("gave no report"):
        SevGuest(fake).collect(DATA)


def test_a_table_of_the_device_that_is_none(chip: Chip) -> None:
    with refused("certificate table cannot be read"):
        SevGuest(FakeSevGuest(lambda data: (chip.report(data), b"x" * 100))).collect(DATA)


def test_the_real_ioctl_on_what_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        kernel_ioctl(str(tmp_path / "f"), 0xC0205302, bytearray(32))


# --- which ---


class Machine(FakeKernel):
    """Only these paths exist."""

    def exists(self, path: str) -> bool:
        return path in self.extra


def machine(quote: Any, *paths: str, **given: Any) -> Machine:
    return Machine(quote, extra=dict.fromkeys(paths, b""), **given)


def test_configfs_comes_first(quote: Any) -> None:
    device = FakeSevGuest(quote)
    find_tee(machine(quote, ROOT, DEVICE), device).collect(DATA)
    assert device.asked == []
    find_tee(machine(quote, DEVICE), device).collect(DATA)
    assert device.asked == [0x4000]


def test_the_device_stands_in_where_nothing_registered(quote: Any) -> None:
    nobody = {"mkdir": _os(errno.ENXIO)}
    device = FakeSevGuest(quote)
    tee = find_tee(machine(quote, ROOT, DEVICE, raises=nobody), device)
    assert not tee.simulated
    tee.collect(DATA)
    assert device.asked == [0x4000]
    with pytest.raises(NoProvider):
        find_tee(machine(quote, ROOT, raises=nobody), device).collect(DATA)


NOTHING: dict[str, tuple[str, tuple[str, ...]]] = {
    "nothing at all": ("modprobe configfs", ()),
    "configfs empty": ("mount -t configfs none", ("/sys/kernel/config",)),
    "tsm without reports": (f"neither {ROOT}", ("/sys/kernel/config", "/sys/kernel/config/tsm")),
    "a TDX guest": ("this is a TDX guest", ("/dev/tdx_guest", "/sys/kernel/config")),
}


@pytest.mark.parametrize(("sentence", "paths"), NOTHING.values(), ids=NOTHING.keys())
def test_a_machine_that_shows_none_says_what_was_looked_for(quote: Any, sentence: str, paths: tuple[str, ...]) -> None:
    with refused(sentence) as caught:
        find_tee(machine(quote, *paths))
    assert DEVICE in str(caught.value)


def test_this_machine_is_none() -> None:
    if os.path.exists(ROOT) or os.path.exists(DEVICE):
        find_tee()
    else:
        with refused("shows no TEE"):
            find_tee()


def test_certificates_in_pem_are_taken_apart(chip: Chip) -> None:
    pem = [ssl.DER_cert_to_PEM_cert(der).encode() for der in chip.certificates]
    kernel = FakeKernel(lambda data: (chip.report(data), cert_table([("VCEK", pem[0]), ("ASK", pem[1] + pem[2])])))
    evidence = ConfigfsTsm(kernel).collect(DATA)
    assert isinstance(evidence, SnpEvidence)
    assert evidence.certificates == tuple(chip.certificates)
    broken = FakeKernel(lambda data: (chip.report(data), cert_table([("VCEK", b"-----BEGIN nothing")])))
    with refused("certificate table cannot be read"):
        ConfigfsTsm(broken).collect(DATA)
