"""How a command ends when the world does not play along: nobody reads, the disk is full, somebody stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.cli.ending import ended, stoppable
from clients.cli.main import Doors, main
from clients.cli.output import check_output, write_new, write_over
from clients.errors import ClientError, Unavailable, Usage, unwritten
from clients.workload.age_recipient import KeyPair

ROOT = Path(__file__).resolve().parents[2]
SEALGATE = [sys.executable, "-c", "from clients.cli.main import run; run()"]
# A shell without job control starts what it puts into the background with SIGINT ignored, and so would the tests' own.
AT_A_TERMINAL = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from clients.cli.main import run; run()",
]
ASSET = "tenants/acme/assets/llm"


def run(arguments: list[str], stdout: int) -> tuple[int, str]:
    done = subprocess.run([*SEALGATE, *arguments], cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stderr.decode()


def test_a_verdict_that_nobody_reads_is_no_success() -> None:
    """Not 0, as if it had been said, and no word of the interpreter's."""
    reading, writing = os.pipe()
    os.close(reading)
    code, said = run(["completion", "bash"], writing)
    os.close(writing)
    assert (code, said) == (5, "")


def test_output_that_cannot_be_written_is_a_sentence() -> None:
    with open("/dev/full", "wb") as full:
        code, said = run(["completion", "bash"], full.fileno())
    assert code == 5
    assert said == "sealgate: what it prints cannot be written: No space left on device\n"


def test_what_is_printed_late_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    assert ended(lambda: 0) == 5
    monkeypatch.setattr(sys, "stdout", None)  # closed from the start: print says nothing then
    assert ended(lambda: 12) == 12


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xff.json")
    code, said = run(["trust", "show", "--trust", str(tmp_path / name)], subprocess.DEVNULL)
    assert code == 2
    assert "Traceback" not in said


def test_sigterm_is_as_ctrl_c_where_something_is_put_away(tmp_path: Path) -> None:
    def stopped() -> int:
        with stoppable():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert ended(stopped) == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_sealing_that_is_stopped_leaves_no_half(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "to.pub").write_text(KeyPair.generate(bytes(32)).recipient.text())
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(40 << 30)  # sparse: hours of sealing, no byte of disk
    out = tmp_path / "out"
    words = ["seal", "--asset", ASSET, "--recipient", str(tmp_path / "to.pub"), "--out", str(out), str(big)]
    words = [*AT_A_TERMINAL, *words, "--state", str(tmp_path / "state")]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            while not (out / ".big.half").exists():
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, said) == (code, b"sealgate: interrupted\n")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(("number", "kind"), [(28, Unavailable), (5, Unavailable), (13, Usage), (2, Usage)])
def test_a_full_disk_is_not_the_fault_of_who_asks(number: int, kind: type[ClientError]) -> None:
    error = unwritten("x cannot be written", OSError(number, os.strerror(number)))
    assert type(error) is kind
    assert str(error) == f"x cannot be written: {os.strerror(number)}"


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "receipt"
    write_new(path, b"one", mode=0o600)
    with pytest.raises(Usage, match="receipt exists and is not written over"):
        write_new(path, b"two")
    write_over(path, b"three")
    assert path.read_bytes() == b"three"
    link = tmp_path / "link"
    link.symlink_to(path)
    write_over(link, b"four")
    assert (link.is_symlink(), path.read_bytes()) == (True, b"four")
    with pytest.raises(Unavailable, match="No space left"):
        write_over(Path("/dev/full"), b"x")  # a device is written to, never replaced
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "receipt"]


@pytest.mark.parametrize(
    ("where", "said"), [("none/x", "there is no directory"), ("", "it is a directory"), ("../dev/stdout", "")]
)
def test_a_place_is_looked_at_before_anything_is_asked_for(tmp_path: Path, where: str, said: str) -> None:
    if where.endswith("stdout"):
        check_output(Path("/dev/stdout"))
        return
    with pytest.raises(Usage, match=said):
        check_output(tmp_path / where)


def test_wrong_words_are_refused_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = ["keys", "get", "--trust", "none", "--broker", "127.0.0.1:1", "--dir", str(tmp_path)]
    doors = Doors(now=datetime.now(UTC))
    assert main([*where, "--purpose", "BAD", "--asset", ASSET], doors) == 2
    assert "'BAD' is not a purpose" in capsys.readouterr().err
    assert main([*where, "--purpose", "training", "--asset", "llm"], doors) == 2
    assert "expected tenants/TENANT/assets/ASSET" in capsys.readouterr().err


NAMES = {
    "not a text": b"b\xff.bin",
    "a line of its own": b"a\nb",
    "not composed": "e\u0301.bin".encode(),
    "a backslash": b"a\\b",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_what_no_manifest_can_hold_is_refused_before_it_is_sealed(
    tmp_path: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sealing takes hours; that a name cannot be listed must not be found out at its end."""
    (tmp_path / "to.pub").write_text(KeyPair.generate(bytes(32)).recipient.text())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / os.fsdecode(name)).write_bytes(b"x")
    out = tmp_path / "out"
    words = ["seal", "--recipient", str(tmp_path / "to.pub"), "--state", str(tmp_path / "state"), "--out", str(out)]
    doors = Doors(now=datetime.now(UTC))
    assert main([*words, "--asset", ASSET, str(tmp_path / "set")], doors) == 2
    assert "this set can have no manifest" in capsys.readouterr().err
    assert main([*words, "--asset", "llm", str(tmp_path / "to.pub")], doors) == 2
    assert not out.exists()


def test_a_place_for_the_journal_is_made_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "to.pub").write_text(KeyPair.generate(bytes(32)).recipient.text())
    (tmp_path / "state").write_text("a file, not a folder")
    out = tmp_path / "out"
    words = ["seal", "--recipient", str(tmp_path / "to.pub"), "--state", str(tmp_path / "state"), "--out", str(out)]
    assert main([*words, "--asset", ASSET, str(tmp_path / "to.pub")], Doors(now=datetime.now(UTC))) == 2
    assert "--state DIR" in capsys.readouterr().err
    assert not out.exists()


def test_json_of_a_command_that_went_well_is_one_object(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "to.pub").write_text(KeyPair.generate(bytes(32)).recipient.text())
    words = ["seal", "--recipient", str(tmp_path / "to.pub"), "--state", str(tmp_path / "state"), "--json"]
    doors = Doors(now=datetime.now(UTC))
    assert main([*words, "--out", str(tmp_path / "out"), "--asset", ASSET, str(tmp_path / "to.pub")], doors) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["to.pub"]
