"""Where keys go, and where never; and asking again, where it helps."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from clients.errors import Denied, Unavailable, Usage
from clients.workload.deliver import (
    Owner,
    check_descriptor,
    check_directory,
    deliver_to_descriptor,
    deliver_to_directory,
)
from clients.workload.patience import Patience


def mounts(place: Path, kind: str, folder: Path, *, lines: int = 1) -> Path:
    """A mountinfo in which the device of `place` is of this kind."""
    device = place.stat().st_dev
    file = folder / "mountinfo"
    line = f"36 35 {os.major(device)}:{os.minor(device)} / /x rw,noatime shared:1 - {{}} none rw\n"
    file.write_text(
        "21 1 0:999 / / rw - ext4 /dev/vda rw\n" + "".join(line.format(kind + "x" * n) for n in range(lines))
    )
    return file


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs", "rootfs"])
def test_memory_is_taken(tmp_path: Path, kind: str) -> None:
    info = mounts(tmp_path, kind, tmp_path)
    check_directory(tmp_path, disk=False, mountinfo=info)
    check_directory(tmp_path / "absent", disk=False, mountinfo=info)


@pytest.mark.parametrize("kind", ["ext4", "overlay", "nfs", "hugetlbfs"])
def test_a_disk_is_not(tmp_path: Path, kind: str) -> None:
    info = mounts(tmp_path, kind, tmp_path)
    with pytest.raises(Usage, match=f"lies on {kind}; keys are written to memory alone"):
        check_directory(tmp_path, disk=False, mountinfo=info)
    check_directory(tmp_path, disk=True, mountinfo=info)


def test_what_cannot_be_told_is_a_disk(tmp_path: Path) -> None:
    twice = mounts(tmp_path, "tmpfs", tmp_path, lines=2)
    for info in (tmp_path / "none", twice):
        with pytest.raises(Usage, match="does not tell"):
            check_directory(tmp_path, disk=False, mountinfo=info)
    (tmp_path / "file").touch()
    for place in (tmp_path / "a" / "b", tmp_path / "file"):
        with pytest.raises(Usage, match="is not a directory"):
            check_directory(place, disk=True)


def test_this_machine_tells_its_own(tmp_path: Path) -> None:
    if os.path.ismount("/dev/shm"):
        check_directory(Path("/dev/shm"), disk=False)
    with pytest.raises(Usage, match="lies on"):
        check_directory(Path("/proc/self"), disk=False)


def test_descriptors(tmp_path: Path) -> None:
    info = mounts(tmp_path, "ext4", tmp_path)
    reading, writing = os.pipe()
    check_descriptor(writing, disk=False)
    with pytest.raises(Usage, match="not open for writing"):
        check_descriptor(reading, disk=False)
    os.close(reading)
    os.close(writing)
    with pytest.raises(Usage, match="not open for writing"):
        check_descriptor(writing, disk=False)
    with (tmp_path / "f").open("wb") as file:
        with pytest.raises(Usage, match="lies on ext4"):
            check_descriptor(file.fileno(), disk=False, mountinfo=info)
        check_descriptor(file.fileno(), disk=True, mountinfo=info)
    master, terminal = os.openpty()
    with pytest.raises(Usage, match="is a terminal"):
        check_descriptor(terminal, disk=True)
    os.close(master)
    os.close(terminal)


def test_files_are_their_owners(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    deliver_to_directory({"a.key": b"secret"}, keys, Owner())
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert stat.S_IMODE((keys / "a.key").stat().st_mode) == 0o600
    deliver_to_directory({"a.key": b"newer"}, keys, Owner(user=os.getuid(), group=os.getgid(), mode=0o640))
    assert (keys / "a.key").read_bytes() == b"newer"
    assert stat.S_IMODE((keys / "a.key").stat().st_mode) == 0o640
    assert [p.name for p in keys.iterdir()] == ["a.key"]
    shared = tmp_path / "shared"
    deliver_to_directory({"a.key": b"secret"}, shared, Owner(mode=0o440))
    assert stat.S_IMODE(shared.stat().st_mode) == 0o750


def test_a_key_never_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    for name in ("a.key", ".a.key.half"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    deliver_to_directory({"a.key": b"secret"}, tmp_path, Owner())
    assert (tmp_path / "elsewhere").read_bytes() == b""
    assert not (tmp_path / "a.key").is_symlink()


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        deliver_to_directory({"a.key": b"secret"}, tmp_path, Owner())
    assert list(tmp_path.iterdir()) == []


def test_every_byte_reaches_a_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def few(_: int, data: memoryview) -> int:
        taken.append(bytes(data[:3]))
        return len(taken[-1])

    monkeypatch.setattr(os, "write", few)
    deliver_to_descriptor(b"eight by", 3)
    assert taken == [b"eig", b"ht ", b"by"]


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def patience(time: Time, wait: float, told: Any = lambda *_: None) -> Patience:
    return Patience(wait, clock=lambda: time.now, sleep=time.sleep, draw=lambda: 1.0, told=told)


def asking(*answers: Any) -> Any:
    left = list(answers)

    def ask() -> Any:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ask.left = left  # type: ignore[attr-defined]
    return ask


def test_it_asks_again_as_the_broker_says_and_ever_later() -> None:
    time, told = Time(), []
    later = [Unavailable("not now", retry_after=s) for s in (0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0)]
    assert patience(time, 600, lambda _, pause: told.append(pause)).until(asking(*later, "key")) == "key"
    assert time.slept == told == [1.0, 9.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_thousand_do_not_come_back_at_once() -> None:
    time = Time()
    drawn = Patience(60, clock=lambda: time.now, sleep=time.sleep, draw=lambda: 0.0)
    drawn.until(asking(Unavailable("x", retry_after=0.0), Unavailable("x", retry_after=0.0), 1))
    assert time.slept == [0.5, 1.0]


@pytest.mark.parametrize("error", [Denied("no", {}), Unavailable("no TEE"), Usage("what"), ValueError("bug")])
def test_what_asking_again_would_not_help_is_raised_at_once(error: Exception) -> None:
    time, ask = Time(), asking(error, "key")
    with pytest.raises(type(error)):
        patience(time, 600).until(ask)
    assert (time.slept, ask.left) == ([], ["key"])


def test_it_ends_when_the_time_is_over() -> None:
    time = Time()
    with pytest.raises(Unavailable, match="3"):
        patience(time, 3).until(asking(*(Unavailable(str(n), retry_after=0.0) for n in range(1, 9))))
    assert time.now <= 3
    time = Time()
    with pytest.raises(Unavailable):
        patience(time, 0).until(asking(Unavailable("x", retry_after=0.0), "key"))
    assert time.slept == []
