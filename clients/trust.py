"""The one file that a client believes: which deployment, which CA, which log keys. It lies inside the measured image.

`sealgate.trust/1` lists the log keys themselves. `sealgate.trust/2` names an offline key instead, whose signed note
lists them (`attest.tlog.log_keys`): then a new log key needs a new note, by any path, and no new image. Until it is
`informed` by a note such a trust knows no log at all.

No flag, variable or kernel argument overrides it. A file of a simulated deployment says so, and whoever reads it must
say that it wants one: the ordinary commands do not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attest.errors import AttestError
from clients.errors import NotTrusted, Usage

if TYPE_CHECKING:
    from attest.tlog.keys import VerifierKey

__all__ = [
    "ROOTED",
    "VERSION",
    "CaCertificate",
    "LogRoot",
    "Trust",
    "TrustFile",
    "ca_certificates",
    "read_trust",
    "read_trust_file",
]

VERSION, ROOTED = "sealgate.trust/1", "sealgate.trust/2"
_COMMON = {"v", "origin", "broker_ca", "tenant", "simulated"}
_FIELDS = {VERSION: _COMMON | {"log_keys"}, ROOTED: _COMMON | {"log_root"}}
_MAX_VERSION = 2**53 - 1
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRoot:
    """Who says which the log keys are, and the oldest note of theirs that is believed."""

    key: VerifierKey
    min_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What is believed. `broker_ca` is PEM; `log_keys` are those of this deployment's shards.

    With a `log_root` they are what `informed` takes from a note, and none before.
    """

    origin: str
    broker_ca: bytes
    log_keys: tuple[VerifierKey, ...]
    tenant: str
    simulated: bool
    log_root: LogRoot | None = None

    def informed(self, note: bytes) -> Trust:
        """With the log keys of a note, which may come by any path; a trust file that lists keys itself heeds none.

        Raises NotTrusted LOG_KEYS_MISSING for an empty note, and as `open_log_keys` names it for one that is not good.
        """
        if self.log_root is None:
            return self
        if not note:
            name = self.log_root.key.name
            message = (
                f"the trust file names the offline key {name}, and there is no note of log keys signed by it: the "
                "published log has it as log-keys; with a receipt alone give it with --log-keys FILE"
            )
            raise NotTrusted("LOG_KEYS_MISSING", message)
        from attest.tlog.log_keys import open_log_keys  # noqa: PLC0415  # most trust files need none

        try:
            keys = open_log_keys(note, self.log_root.key, self.origin, at_least=self.log_root.min_version)
        except AttestError as error:
            raise NotTrusted(error.check, f"the note of log keys is not to be believed: {error}") from error
        return replace(self, log_keys=keys.logs)

    def log_key(self, log: str) -> VerifierKey:
        """The key of the log named; raises NotTrusted LOG_UNKNOWN, also for a log of another deployment."""
        if log.startswith(f"{self.origin}/audit/"):
            for key in self.log_keys:
                if key.name == log:
                    return key
        known = ", ".join(key.name for key in self.log_keys) or "none"
        source = "trust file" if self.log_root is None else "note of log keys"
        raise NotTrusted("LOG_UNKNOWN", f"the {source} lists the log {known}, the receipt is of {log}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFile:
    """The file as it stands: all that a first call needs. Its keys are not read yet, for that takes loading.

    `log_root` is the offline key's text, empty where `log_keys` are listed.
    """

    path: Path
    origin: str
    broker_ca: bytes
    log_keys: tuple[str, ...]
    tenant: str
    simulated: bool
    log_root: str = ""
    min_version: int = 0

    def trust(self) -> Trust:
        """With its keys; raises Usage."""
        from attest.tlog.keys import VerifierKey  # noqa: PLC0415  # what boots asks for a challenge meanwhile

        try:
            parsed = tuple(VerifierKey.parse(key) for key in self.log_keys)
            root = self._root() if self.log_root else None
        except AttestError as error:
            raise Usage(f"the trust file {self.path}: {error}") from error
        return Trust(
            origin=self.origin,
            broker_ca=self.broker_ca,
            log_keys=parsed,
            tenant=self.tenant,
            simulated=self.simulated,
            log_root=root,
        )

    def _root(self) -> LogRoot:
        from attest.tlog.keys import VerifierKey  # noqa: PLC0415
        from attest.tlog.log_keys import check_root  # noqa: PLC0415

        key = VerifierKey.parse(self.log_root)
        check_root(key, self.origin)
        return LogRoot(key=key, min_version=self.min_version)


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
    if not isinstance(document, dict) or (version := document.get("v")) not in (VERSION, ROOTED):
        raise Usage(f"the trust file {path} is neither {VERSION} nor {ROOTED}")
    if document.keys() != _FIELDS[version]:
        raise Usage(f"the trust file {path} is not {version} with exactly {', '.join(sorted(_FIELDS[version]))}")
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
    keys, simulated = document.get("log_keys", []), document["simulated"]
    if not all(isinstance(value, str) and value for value in texts.values()) or not isinstance(simulated, bool):
        raise Usage(f"the trust file {path}: origin, broker_ca and tenant are texts, simulated is true or false")
    root, least = _log_root(path, document["log_root"]) if document["v"] == ROOTED else ("", 0)
    if not isinstance(keys, list) or (not keys and not root):
        raise Usage(f"the trust file {path}: log_keys is a list of verifier keys, not empty")
    return TrustFile(
        path=path,
        origin=str(texts["origin"]),
        broker_ca=str(texts["broker_ca"]).encode(),
        log_keys=tuple(map(str, keys)),
        tenant=str(texts["tenant"]),
        simulated=simulated,
        log_root=root,
        min_version=least,
    )


def _log_root(path: Path, value: object) -> tuple[str, int]:
    if isinstance(value, dict) and value.keys() == {"key", "min_version"}:
        key, least = value["key"], value["min_version"]
        if isinstance(key, str) and key and type(least) is int and 1 <= least <= _MAX_VERSION:
            return key, least
    raise Usage(f"the trust file {path}: log_root is a verifier key and the least version of its notes, from 1")
