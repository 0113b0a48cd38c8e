"""The one file that a client believes: which deployment, which CA, which log keys. It lies inside the measured image.

No flag, variable or kernel argument overrides it. A file of a simulated deployment says so, and whoever reads it must
say that it wants one: the ordinary commands do not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attest.errors import AttestError
from clients.errors import NotTrusted, Usage

if TYPE_CHECKING:
    from attest.tlog.keys import VerifierKey

__all__ = ["VERSION", "CaCertificate", "Trust", "TrustFile", "ca_certificates", "read_trust", "read_trust_file"]

VERSION = "sealgate.trust/1"
_FIELDS = {"v", "origin", "broker_ca", "log_keys", "tenant", "simulated"}
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What is believed. `broker_ca` is PEM; `log_keys` are those of this deployment's shards."""

    origin: str
    broker_ca: bytes
    log_keys: tuple[VerifierKey, ...]
    tenant: str
    simulated: bool

    def log_key(self, log: str) -> VerifierKey:
        """The key of the log named; raises NotTrusted LOG_UNKNOWN, also for a log of another deployment."""
        if log.startswith(f"{self.origin}/audit/"):
            for key in self.log_keys:
                if key.name == log:
                    return key
        known = ", ".join(key.name for key in self.log_keys)
        raise NotTrusted("LOG_UNKNOWN", f"the trust file lists the log {known}, the receipt is of {log}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFile:
    """The file as it stands: all that a first call needs. Its keys are not read yet, for that takes loading."""

    path: Path
    origin: str
    broker_ca: bytes
    log_keys: tuple[str, ...]
    tenant: str
    simulated: bool

    def trust(self) -> Trust:
        """With its keys; raises Usage."""
        from attest.tlog.keys import VerifierKey  # noqa: PLC0415  # what boots asks for a challenge meanwhile

        try:
            parsed = tuple(VerifierKey.parse(key) for key in self.log_keys)
        except AttestError as error:
            raise Usage(f"the trust file {self.path}: {error}") from error
        return Trust(
            origin=self.origin,
            broker_ca=self.broker_ca,
            log_keys=parsed,
            tenant=self.tenant,
            simulated=self.simulated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaCertificate:
    """A CA certificate of a trust file, in words; `sha256` in hexadecimal, of its DER."""

    subject: str
    sha256: str
    starts: datetime
    ends: datetime


def ca_certificates(trust: Trust) -> list[CaCertificate]:
    """The certificates of `broker_ca`; raises Usage for anything else."""
    from cryptography import x509  # noqa: PLC0415  # what gets keys at boot does without
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    try:
        found = x509.load_pem_x509_certificates(trust.broker_ca)
    except ValueError as error:
        raise Usage(f"the trust file's broker_ca is not certificates in PEM: {error}") from error
    return [
        CaCertificate(
            subject=each.subject.rfc4514_string(),
            sha256=each.fingerprint(SHA256()).hex(),
            starts=each.not_valid_before_utc,
            ends=each.not_valid_after_utc,
        )
        for each in found
    ]


def read_trust(path: Path, *, simulated: bool) -> Trust:
    """Reads the file; raises Usage, and NotTrusted SIMULATED where it is for the other kind of deployment."""
    return read_trust_file(path, simulated=simulated).trust()


def read_trust_file(path: Path, *, simulated: bool) -> TrustFile:
    """As `read_trust`, with the keys still to be read."""
    try:
        data = path.read_bytes()
        document = json.loads(data) if len(data) <= _MAX_BYTES else None
    except OSError as error:
        raise Usage(f"the trust file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Usage(f"the trust file {path} is not JSON: {error}") from error
    if not isinstance(document, dict) or document.keys() != _FIELDS or document["v"] != VERSION:
        raise Usage(f"the trust file {path} is not {VERSION} with exactly the fields {', '.join(sorted(_FIELDS))}")
    trust = _trust_file(path, document)
    if trust.simulated and not simulated:
        raise NotTrusted(
            "SIMULATED",
            f"{path} is the trust file of a simulated deployment; its evidence, keys and log prove nothing about real "
            "machines, and this command does not work with them",
        )
    if simulated and not trust.simulated:
        raise NotTrusted("SIMULATED", f"{path} is not the trust file of a simulated deployment")
    return trust


def _trust_file(path: Path, document: dict[str, object]) -> TrustFile:
    texts = {name: document[name] for name in ("origin", "broker_ca", "tenant")}
    keys, simulated = document["log_keys"], document["simulated"]
    if not all(isinstance(value, str) and value for value in texts.values()) or not isinstance(simulated, bool):
        raise Usage(f"the trust file {path}: origin, broker_ca and tenant are texts, simulated is true or false")
    if not isinstance(keys, list) or not keys:
        raise Usage(f"the trust file {path}: log_keys is a list of verifier keys, not empty")
    return TrustFile(
        path=path,
        origin=str(texts["origin"]),
        broker_ca=str(texts["broker_ca"]).encode(),
        log_keys=tuple(map(str, keys)),
        tenant=str(texts["tenant"]),
        simulated=simulated,
    )
