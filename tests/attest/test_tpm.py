"""Quotes of a TPM that we did not write: swtpm's, made and signed by the tools that guests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from attest.errors import AttestError
from attest.tpm import TpmQuote, verify_tpm_quote
from tests.makers.swtpm import SwTpm, needs_swtpm, running

NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwTpm]:
    with running(tmp_path_factory.mktemp("tpm")) as made:
        yield made


def quoted(tpm: SwTpm, selection: str) -> tuple[bytes, bytes, tuple[bytes, ...], RSAPublicKey]:
    """(message, raw signature, PCRs, attestation key)."""
    tpm.tool("tpm2_quote", "-c", "ak.ctx", "-l", f"sha256:{selection}", "-q", NONCE.hex(), "-g", "sha256",
             "-m", "quote.msg", "-s", "quote.sig", "-f", "plain")  # fmt: skip
    tpm.tool("tpm2_flushcontext", "-t")
    tpm.tool("tpm2_pcrread", f"sha256:{selection}", "-o", "pcrs.bin")
    pcrs = (tpm.folder / "pcrs.bin").read_bytes()
    key = load_pem_public_key((tpm.folder / "ak.pem").read_bytes())
    assert isinstance(key, RSAPublicKey)
    return (
        (tpm.folder / "quote.msg").read_bytes(),
        (tpm.folder / "quote.sig").read_bytes(),
        tuple(pcrs[start : start + 32] for start in range(0, len(pcrs), 32)),
        key,
    )


@needs_swtpm(1)
def test_a_real_quote(tpm: SwTpm) -> None:
    message, signature, pcrs, key = quoted(tpm, "0,4,7,11")
    found = verify_tpm_quote(message, signature, pcrs, key)
    assert isinstance(found, TpmQuote)
    assert (found.extra_data, dict(found.pcrs)) == (NONCE, dict(zip((0, 4, 7, 11), pcrs, strict=True)))


@needs_swtpm(1)
def test_a_real_quote_that_was_touched(tpm: SwTpm) -> None:
    message, signature, pcrs, key = quoted(tpm, "0,4")
    cases = {
        "TPM_SIGNATURE": (message[:-1] + bytes([message[-1] ^ 1]), signature, pcrs),
        "TPM_PCR": (message, signature, (pcrs[0], b"\x01" * 32)),
    }
    for check, (said, signed, values) in cases.items():
        with pytest.raises(AttestError) as caught:
            verify_tpm_quote(said, signed, values, key)
        assert caught.value.check == check
