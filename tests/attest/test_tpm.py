"""Quotes of a TPM that we did not write: swtpm's, made and signed by the tools that guests use."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from attest.errors import AttestError
from attest.tpm import TpmQuote, verify_tpm_quote

NONCE = bytes(range(32))
TOOLS = ("swtpm", "tpm2_startup", "tpm2_createek", "tpm2_createak", "tpm2_quote", "tpm2_pcrread", "tpm2_flushcontext")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
needs_swtpm = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}: 2 cases not run")


class Tpm:
    """swtpm on loopback, with an attestation key of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def tool(self, name: str, *arguments: str) -> None:
        tcti = f"swtpm:host=127.0.0.1,port={self.port}"
        subprocess.run([name, "-T", tcti, *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60)
        if name.startswith("tpm2_create"):  # no resource manager stands between: what a tool leaves fills the TPM
            self.tool("tpm2_flushcontext", "-t")

    def quote(self, selection: str) -> tuple[bytes, bytes, tuple[bytes, ...], RSAPublicKey]:
        """(message, raw signature, PCRs, attestation key)."""
        self.tool("tpm2_quote", "-c", "ak.ctx", "-l", f"sha256:{selection}", "-q", NONCE.hex(), "-g", "sha256",
                  "-m", "quote.msg", "-s", "quote.sig", "-f", "plain")  # fmt: skip
        self.tool("tpm2_flushcontext", "-t")
        self.tool("tpm2_pcrread", f"sha256:{selection}", "-o", "pcrs.bin")
        pcrs = (self.folder / "pcrs.bin").read_bytes()
        key = load_pem_public_key((self.folder / "ak.pem").read_bytes())
        assert isinstance(key, RSAPublicKey)
        return (
            (self.folder / "quote.msg").read_bytes(),
            (self.folder / "quote.sig").read_bytes(),
            tuple(pcrs[start : start + 32] for start in range(0, len(pcrs), 32)),
            key,
        )


def _two_free_ports() -> int:
    """The first of two ports in a row that are free: commands, and control."""
    while True:
        with closing(socket.socket()) as first, closing(socket.socket()) as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tpm]:
    folder, port = tmp_path_factory.mktemp("tpm"), _two_free_ports()
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--flags", "not-need-init",
               "--server", f"type=tcp,port={port}", "--ctrl", f"type=tcp,port={port + 1}"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            made = Tpm(folder, port)
            _until_it_answers(made)
            made.tool("tpm2_createek", "-c", "ek.ctx", "-G", "rsa")
            made.tool("tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "rsa", "-g", "sha256", "-s", "rsassa",
                      "-u", "ak.pem", "-f", "pem")  # fmt: skip
            yield made
        finally:
            process.terminate()


def _until_it_answers(made: Tpm) -> None:
    for attempt in range(50):
        try:
            made.tool("tpm2_startup", "-c")
        except subprocess.CalledProcessError:
            assert attempt < 49, "swtpm does not answer"
            time.sleep(0.1)
        else:
            return


@needs_swtpm
def test_a_real_quote(tpm: Tpm) -> None:
    message, signature, pcrs, key = tpm.quote("0,4,7,11")
    found = verify_tpm_quote(message, signature, pcrs, key)
    assert isinstance(found, TpmQuote)
    assert (found.extra_data, dict(found.pcrs)) == (NONCE, dict(zip((0, 4, 7, 11), pcrs, strict=True)))


@needs_swtpm
def test_a_real_quote_that_was_touched(tpm: Tpm) -> None:
    message, signature, pcrs, key = tpm.quote("0,4")
    cases = {
        "TPM_SIGNATURE": (message[:-1] + bytes([message[-1] ^ 1]), signature, pcrs),
        "TPM_PCR": (message, signature, (pcrs[0], b"\x01" * 32)),
    }
    for check, (said, signed, values) in cases.items():
        with pytest.raises(AttestError) as caught:
            verify_tpm_quote(said, signed, values, key)
        assert caught.value.check == check
