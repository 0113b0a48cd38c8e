"""What a person is told when no broker answers, and what a wrong identity is called before anything is sent."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from clients.errors import Usage
from clients.no_answer import no_answer
from clients.operator.identity import read_identity
from clients.transport import connect

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
_ALL = "failed to connect to all addresses; last error: "
TOLD = {
    "refused": (
        f"{_ALL}UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
        "no answer from b:1: Connection refused",
    ),
    "another CA": (
        (
            f"{_ALL}UNKNOWN: ipv4:127.0.0.1:1: Tls handshake failed (TSI): SSL_ERROR_SSL: 7d:"
            "SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: self signed certificate in certificate chain: OK"
        ),
        "no answer from b:1: its certificate is not of the CA that the trust file names",
    ),
    "another name": (
        (
            f"{_ALL}UNKNOWN: ipv4:127.0.0.1:1: Custom verification check failed with error: UNAUTHENTICATED: "
            "Hostname Verification Check failed."
        ),
        "no answer from b:1: its certificate is of the right CA, but for other names ([listen] names, of the broker)",
    ),
    "no TLS": (
        (
            f"{_ALL}UNKNOWN: ipv4:127.0.0.1:1: Tls handshake failed (TSI): SSL_ERROR_SSL: f7:"
            "SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid certificate verification context: OK"
        ),
        "no answer from b:1: what listens there does not speak TLS",
    ),
    "unheard of": ("something new", "no answer from b:1: something new"),
}


@pytest.mark.parametrize(("text", "sentence"), TOLD.values(), ids=TOLD)
def test_why_nobody_answers_is_a_sentence(text: str, sentence: str) -> None:
    assert no_answer("b:1", text, identified=True) == sentence


def test_a_closed_connection_names_the_likely_mistake() -> None:
    text = f"{_ALL}UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed"
    assert "Is it the workload port?" in no_answer("b:1", text, identified=False)
    assert "still valid (sealgate login)?" in no_answer("b:1", text, identified=True)


@pytest.mark.parametrize("address", ["", "localhost", ":8443", "b:", "b:port", "b:0", "b:65536", "b:-1"])
def test_an_address_has_a_port(address: str) -> None:
    with pytest.raises(Usage, match=r"is not HOST:PORT"), connect(address, b""):
        raise AssertionError("it connected")


@pytest.fixture
def minted(tmp_path: Path) -> Path:
    """alice.key and alice.pem, valid until NOW and a day; bob.key."""
    for name in ("alice", "bob"):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.key").write_bytes(pem)
        (tmp_path / f"{name}.key").chmod(0o600)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + dt.timedelta(days=1))
        (tmp_path / f"{name}.pem").write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return tmp_path


def test_key_and_certificate_belong_together(minted: Path) -> None:
    identity = read_identity(minted / "alice.key", minted / "alice.pem", NOW)
    assert identity.chain == (minted / "alice.pem").read_bytes()


def test_what_is_wrong_with_an_identity_is_said_before_anything_is_sent(minted: Path) -> None:
    (minted / "open.key").write_bytes((minted / "alice.key").read_bytes())
    (minted / "open.key").chmod(0o640)
    wrong = {
        ("bob.key", "alice.pem"): "not the certificate of .*bob.key, but of another key",
        ("alice.pem", "alice.pem"): "can be read by others",
        ("open.key", "alice.pem"): "can be read by others; make it 0600, and consider the key known",
        ("alice.key", "bob.key"): "is not a certificate in PEM",
        ("none.key", "alice.pem"): "none.key cannot be read",
        ("alice.key", "none.pem"): "none.pem cannot be read: .*; sealgate login makes a fresh one",
    }
    for (key, certificate), sentence in wrong.items():
        with pytest.raises(Usage, match=sentence):
            read_identity(minted / key, minted / certificate, NOW)
    with pytest.raises(Usage, match=r"was valid until 2026-11-25T00:00:00Z; sealgate login makes a fresh one"):
        read_identity(minted / "alice.key", minted / "alice.pem", NOW + dt.timedelta(days=1, seconds=1))
