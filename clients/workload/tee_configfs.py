"""Evidence from configfs-tsm, the kernel's one interface to every TEE: SEV-SNP reports and TDX quotes.

Source: Linux, Documentation/ABI/testing/configfs-tsm-report (6.7 and later). An entry below `tsm/report` is ours while
it exists; `generation` counts every write to it, so that a report that somebody else's write went into is noticed.
"""

from __future__ import annotations

import errno
import os

from attest.evidence import CpuEvidence, SnpEvidence, TdxEvidence
from clients.errors import Unavailable
from clients.workload.host_certificates import host_certificates
from clients.workload.tee import CONFIGFS_TSM, REPORT_DATA
from clients.workload.tee_files import Files

__all__ = ["CCEL", "ROOT", "ConfigfsTsm", "NoProvider"]

ROOT = CONFIGFS_TSM
CCEL = "/sys/firmware/acpi/tables/data/CCEL"

_TRIES = 3
_MAX_BLOB = 1 << 18  # bytes; the kernel's own limit is 32 KiB for a report
_MAX_LOG = 1 << 21
_MAX_TEXT = 4096


class NoProvider(Unavailable):
    """The interface is there, and no TEE behind it."""


class ConfigfsTsm:
    """The door; `root` is where the interface lies."""

    simulated = False

    def __init__(self, files: Files, *, root: str = ROOT, ccel: str = CCEL) -> None:
        self._files = files
        self._root = root
        self._ccel = ccel

    def collect(self, report_data: bytes) -> CpuEvidence:
        """Evidence over these 64 bytes.

        1. an entry of our own               3. report, certificates and provider are read
        2. the lowest privilege level        4. nobody else wrote to the entry meanwhile
           allowed, and the report data      5. the provider says what kind of evidence it is

        Raises NoProvider, Unavailable.
        """
        if len(report_data) != REPORT_DATA:
            raise ValueError(f"report data are {REPORT_DATA} bytes")
        for _ in range(_TRIES):
            blobs = self._attempt(report_data)
            if blobs is not None:
                return self._evidence(*blobs)
        raise Unavailable(f"{self._root}: another process wrote to our entry {_TRIES} times while it was read")

    def _attempt(self, report_data: bytes) -> tuple[str, bytes, bytes] | None:
        """Steps 1 to 4: provider, outblob, auxblob, or None if somebody else wrote."""
        entry = f"{self._root}/sealgate-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            self._files.mkdir(entry)  # 1
        except OSError as error:
            raise self._no_entry(error) from error
        try:
            before = self._generation(entry)
            writes = self._set(entry, report_data)  # 2
            outblob = self._read(entry, "outblob")  # 3
            auxblob = self._read(entry, "auxblob", missing=b"")
            provider = self._text(entry, "provider")
            return (provider, outblob, auxblob) if self._generation(entry) == before + writes else None  # 4
        except OSError as error:
            if error.errno in {errno.EBUSY, errno.EWOULDBLOCK}:
                return None
            raise self._no_report(error) from error
        finally:
            self._forget(entry)

    def _set(self, entry: str, report_data: bytes) -> int:
        floor = self._text(entry, "privlevel_floor", missing="0")
        level = floor.encode() if floor.isdecimal() and int(floor) else b""
        if level:
            self._files.write(f"{entry}/privlevel", level)
        self._files.write(f"{entry}/inblob", report_data)
        return 1 + bool(level)

    def _evidence(self, provider: str, outblob: bytes, auxblob: bytes) -> CpuEvidence:
        """Step 5. What the certificates are is for the broker to say; whether it is a table, is seen here."""
        if not outblob:
            raise Unavailable(f"{self._root}: the provider {provider} gave an empty report")
        if provider == "sev_guest":
            return SnpEvidence(report=outblob, certificates=host_certificates(auxblob))
        if provider == "tdx_guest":
            from clients.workload.event_log import sendable  # noqa: PLC0415  # of TDs alone: SNP guests start without it

            return TdxEvidence(quote=outblob, event_log=sendable(self._event_log(), outblob))
        known = "sev_guest and tdx_guest"
        raise Unavailable(f"{self._root}: the provider is {provider!r}; this version of sealgate knows {known}")

    def _event_log(self) -> bytes:
        """What was measured into the RTMRs. Firmware without one leaves it empty: the broker says if it needs one."""
        try:
            return self._files.read(self._ccel, _MAX_LOG) if self._files.exists(self._ccel) else b""
        except OSError as error:
            raise Unavailable(f"the event log {self._ccel} cannot be read: {error.strerror}") from error

    def _generation(self, entry: str) -> int:
        text = self._text(entry, "generation")
        if not text.isdecimal():
            raise Unavailable(f"{self._root}: the generation of our entry is not a number: {text[:20]!r}")
        return int(text)

    def _text(self, entry: str, name: str, *, missing: str | None = None) -> str:
        data = self._read(entry, name, missing=None if missing is None else missing.encode(), limit=_MAX_TEXT)
        return data.decode("ascii", "replace").strip()

    def _read(self, entry: str, name: str, *, missing: bytes | None = None, limit: int = _MAX_BLOB) -> bytes:
        try:
            return self._files.read(f"{entry}/{name}", limit)
        except FileNotFoundError:
            if missing is None:
                raise
            return missing

    def _forget(self, entry: str) -> None:
        try:
            self._files.rmdir(entry)
        except OSError:
            return  # an entry that stays holds nothing secret, and the evidence is no worse for it

    def _no_entry(self, error: OSError) -> Unavailable:
        if error.errno == errno.ENXIO:
            return NoProvider(
                f"{self._root} is there, but no TEE driver (sev-guest or tdx-guest) has registered with it"
            )
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return Unavailable(
                f"{self._root} may not be written to: {error.strerror}; run as root, with configfs writable"
            )
        return Unavailable(f"{self._root}: no entry could be made: {error.strerror}")

    def _no_report(self, error: OSError) -> Unavailable:
        where = os.path.basename(str(error.filename or "")) or "an attribute"
        hint = {
            errno.ETIMEDOUT: "; for TDX the host's quote generation service did not answer",
            errno.EINVAL: "; the kernel did not take report data or privilege level",
        }.get(error.errno or 0, "")
        return Unavailable(f"{self._root}: {where} could not be used: {error.strerror}{hint}")
