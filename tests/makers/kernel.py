"""A guest kernel in memory: configfs-tsm as files, /dev/sev-guest as an ioctl. Evidence is whatever it is given."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clients.workload.tee_configfs import CCEL, ROOT
from clients.workload.tee_sev_guest import DEVICE, SNP_GET_EXT_REPORT

__all__ = ["FakeKernel", "FakeSevGuest"]

Quote = Callable[[bytes], tuple[bytes, bytes]]


@dataclass
class _Entry:
    generation: int = 0
    inblob: bytes = b""
    privlevel: int = 0


@dataclass
class FakeKernel:
    """The files of a guest. `quote` gives report and certificate table for 64 bytes; `raises` fails by operation.

    `interfere` is called before each read of an outblob, as another process that writes to the entry would be.
    """

    quote: Quote
    provider: str = "sev_guest"
    floor: int | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)
    raises: Mapping[str, OSError] = field(default_factory=dict)
    interfere: Callable[[_Entry], object] = lambda _: None
    answers: Mapping[str, bytes] = field(default_factory=dict)
    entries: dict[str, _Entry] = field(default_factory=dict)
    made: int = 0

    def exists(self, path: str) -> bool:
        """configfs and its interface are there; other files as `extra` says."""
        return path in self.extra or path in {"/sys/kernel/config", "/sys/kernel/config/tsm", ROOT}

    def mkdir(self, path: str) -> None:
        """A new entry."""
        self._fail("mkdir")
        if path in self.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.entries[path] = _Entry()
        self.made += 1

    def rmdir(self, path: str) -> None:
        """The entry is gone."""
        self._fail("rmdir")
        del self.entries[path]

    def read(self, path: str, limit: int) -> bytes:
        """An attribute as the kernel's documentation has it."""
        folder, _, name = path.rpartition("/")
        self._fail(name)
        if path in self.extra:
            return self.extra[path]
        entry = self.entries[folder]
        if name in self.answers:
            return self.answers[name]
        if name == "generation":
            return b"%d\n" % entry.generation
        if name == "provider":
            return self.provider.encode() + b"\n"
        if name == "privlevel_floor" and self.floor is not None:
            return b"%d\n" % self.floor
        if name in {"outblob", "auxblob"}:
            self.interfere(entry)
            if len(entry.inblob) != 64 or (self.floor or 0) > entry.privlevel:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
            return self.quote(entry.inblob)[name == "auxblob"]
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def write(self, path: str, data: bytes) -> None:
        """One write is one generation."""
        folder, _, name = path.rpartition("/")
        self._fail(name)
        entry = self.entries[folder]
        entry.generation += 1
        if name == "inblob":
            entry.inblob = data
        elif name == "privlevel" and self.floor is not None:
            entry.privlevel = int(data)
        else:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def _fail(self, name: str) -> None:
        if name in self.raises:
            raise self.raises[name]

    @staticmethod
    def ccel(log: bytes) -> dict[str, bytes]:
        """The event log where firmware puts it."""
        return {CCEL: log}


@dataclass
class FakeSevGuest:
    """The ioctl: reads and writes at the addresses in the request, as the kernel does.

    `errors` are raised first, one a call, each with firmware's and host's code; then the report is given.
    """

    quote: Quote
    errors: list[tuple[OSError, int, int]] = field(default_factory=list)
    status: int = 0
    size: int = 1184
    asked: list[int] = field(default_factory=list)
    vmpl: int = -1

    def __call__(self, device: str, request: int, data: bytearray) -> None:
        """SNP_GET_EXT_REPORT."""
        assert (device, request, len(data)) == (DEVICE, SNP_GET_EXT_REPORT, 32)
        version, asked, answer = struct.unpack_from("<B7xQQ", data)
        assert version == 1
        user_data, self.vmpl, certs_at, certs_size = struct.unpack("<64sI28xQI4x", ctypes.string_at(asked, 112))
        self.asked.append(certs_size)
        if self.errors:
            error, firmware, host = self.errors.pop(0)
            struct.pack_into("<II", data, 24, firmware, host)
            raise error
        report, table = self.quote(user_data)
        if len(table) > certs_size:
            ctypes.memmove(asked + 104, struct.pack("<I", len(table)), 4)
            struct.pack_into("<II", data, 24, 0, 1)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        ctypes.memmove(certs_at, table, len(table))
        response = struct.pack("<II24x", self.status, self.size) + report
        ctypes.memmove(answer, response, len(response))
