"""A TPM that we did not write, swtpm, on loopback, driven by the tools that guests use; where both are installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

__all__ = ["SwTpm", "needs_swtpm", "running"]

_TOOLS = (
    "swtpm", "tpm2_startup", "tpm2_createek", "tpm2_createak", "tpm2_quote", "tpm2_pcrread", "tpm2_flushcontext",
    "tpm2_evictcontrol", "tpm2_nvdefine", "tpm2_nvwrite", "tpm2_pcrextend", "tpm2_changeauth",
)  # fmt: skip
_MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]


def needs_swtpm(cases: int) -> pytest.MarkDecorator:
    """Skips, and says how many cases did not run."""
    return pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}: {cases} cases not run")


class SwTpm:
    """swtpm with an attestation key of its own in `ak.ctx`, whose public half is `ak.pem`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def tool(self, name: str, *arguments: str) -> None:
        """One of tpm2-tools."""
        tcti = f"swtpm:host=127.0.0.1,port={self.port}"
        subprocess.run([name, "-T", tcti, *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60)
        if name.startswith("tpm2_create"):  # no resource manager stands between: what a tool leaves fills the TPM
            self.tool("tpm2_flushcontext", "-t")

    def transmit(self, command: bytes) -> bytes:
        """One command, as the kernel's device takes it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(command)
            data = connection.recv(4_096)
            while len(data) < 6 or len(data) < int.from_bytes(data[2:6], "big"):
                data += connection.recv(4_096)
        return data


def _two_free_ports() -> int:
    """The first of two in a row, for commands and control, of those that nobody is given who asks for any."""
    for port in range(10_000 + os.getpid() % 4_000 * 2, 1 << 16, 2):
        with closing(socket.socket()) as first, closing(socket.socket()) as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise OSError("no two ports in a row are free")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[SwTpm]:
    """Started, with its attestation key made."""
    port = _two_free_ports()
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--flags", "not-need-init",
               "--server", f"type=tcp,port={port}", "--ctrl", f"type=tcp,port={port + 1}"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            made = SwTpm(folder, port)
            _until_it_answers(made)
            made.tool("tpm2_createek", "-c", "ek.ctx", "-G", "rsa")
            made.tool("tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "rsa", "-g", "sha256", "-s", "rsassa",
                      "-u", "ak.pem", "-f", "pem")  # fmt: skip
            yield made
        finally:
            process.terminate()


def _until_it_answers(made: SwTpm) -> None:
    for attempt in range(50):
        try:
            made.tool("tpm2_startup", "-c")
        except subprocess.CalledProcessError:
            assert attempt < 49, "swtpm does not answer"
            time.sleep(0.1)
        else:
            return
