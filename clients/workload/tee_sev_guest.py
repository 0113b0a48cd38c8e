"""Evidence from /dev/sev-guest, for kernels before 6.7 and images without configfs: the ioctl SNP_GET_EXT_REPORT.

Sources: Linux, include/uapi/linux/sev-guest.h; AMD publication 56860, MSG_REPORT_RSP; GHCB, "SNP Extended Guest
Request". The kernel reads and writes through addresses in the request, so buffers are arrays that stay where they are.
"""

from __future__ import annotations

import errno
import os
import struct
from array import array
from collections.abc import Callable

from attest.evidence import SnpEvidence
from clients.errors import Unavailable
from clients.workload.host_certificates import host_certificates
from clients.workload.tee import REPORT_DATA, SEV_GUEST

__all__ = ["DEVICE", "SNP_GET_EXT_REPORT", "Ioctl", "SevGuest", "kernel_ioctl"]

DEVICE = SEV_GUEST
SNP_GET_EXT_REPORT = 0xC0205302  # _IOWR('S', 2, struct snp_guest_request_ioctl)

_GUEST_REQUEST = struct.Struct("<B7xQQII")  # msg_version, req_data, resp_data, fw_error, vmm_error
_EXT_REQUEST = struct.Struct("<64sI28xQI4x")  # user_data, vmpl, certs_address, certs_len
_RESPONSE = 4000  # bytes
_RESPONSE_HEADER = struct.Struct("<II24x")  # status, report_size
_REPORT = 0x4A0  # bytes of an ATTESTATION_REPORT; what is in them is not read here
_CERTS = 0x4000  # bytes at first; a multiple of the page
_MAX_CERTS = 1 << 20
_INVALID_LENGTH, _BUSY = 1, 2  # vmm_error: GHCB's answers of the host
_TRIES = 4

Ioctl = Callable[[str, int, bytearray], None]


def kernel_ioctl(device: str, request: int, data: bytearray) -> None:
    """The real one; raises OSError, with `data` changed as the kernel left it."""
    import fcntl  # noqa: PLC0415  # only where there is a device

    descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, request, data, True)
    finally:
        os.close(descriptor)


class SevGuest:
    """The door. `vmpl` is the level the report is asked for; a guest under a paravisor sits above 0."""

    simulated = False

    def __init__(self, ioctl: Ioctl, *, device: str = DEVICE, vmpl: int = 0) -> None:
        self._ioctl = ioctl
        self._device = device
        self._vmpl = vmpl

    def collect(self, report_data: bytes) -> SnpEvidence:
        """The report over these 64 bytes with the host's certificates, if it has any; raises Unavailable."""
        if len(report_data) != REPORT_DATA:
            raise ValueError(f"report data are {REPORT_DATA} bytes")
        size = _CERTS
        for _ in range(_TRIES):
            response, certs, again = self._ask(report_data, size)
            if again is None:
                return self._evidence(response, certs)
            size = again
        raise Unavailable(f"{self._device}: the host was busy, or wanted ever more room for certificates")

    def _ask(self, report_data: bytes, size: int) -> tuple[bytes, bytes, int | None]:
        """One request: response and certificate table, or how much room to ask with again."""
        certs, response = array("B", bytes(size)), array("B", bytes(_RESPONSE))
        fields = _EXT_REQUEST.pack(report_data, self._vmpl, certs.buffer_info()[0], size)
        request = array("B", fields)
        message = bytearray(_GUEST_REQUEST.pack(1, request.buffer_info()[0], response.buffer_info()[0], 0, 0))
        try:
            self._ioctl(self._device, SNP_GET_EXT_REPORT, message)
        except OSError as error:
            return b"", b"", self._again(error, bytes(message), request.tobytes(), size)
        return response.tobytes(), certs.tobytes(), None

    def _again(self, error: OSError, message: bytes, request: bytes, size: int) -> int:
        """The room to ask with again; raises Unavailable where that would not help."""
        *_, fw_error, vmm_error = _GUEST_REQUEST.unpack(message)
        wanted: int = _EXT_REQUEST.unpack(request)[3]
        if vmm_error == _INVALID_LENGTH and size < wanted <= _MAX_CERTS:
            return -(-wanted // 4096) * 4096
        if vmm_error == _BUSY or error.errno in {errno.EAGAIN, errno.EINTR}:
            return size
        raise self._failed(error, fw_error, vmm_error) from error

    def _failed(self, error: OSError, fw_error: int, vmm_error: int) -> Unavailable:
        if error.errno in {errno.EACCES, errno.EPERM}:
            return Unavailable(f"{self._device} may not be opened: {error.strerror}; run as root")
        if error.errno == errno.ENOTTY:
            return Unavailable(f"{self._device} is no SEV-SNP guest device of a kernel that has extended reports")
        codes = f"firmware {fw_error:#x}, host {vmm_error:#x}"
        return Unavailable(f"{self._device} gave no report: {error.strerror} ({codes})")

    def _evidence(self, response: bytes, certs: bytes) -> SnpEvidence:
        status, size = _RESPONSE_HEADER.unpack_from(response)
        if status:
            raise Unavailable(f"{self._device}: the firmware refused the report with status {status:#x}")
        if size != _REPORT:
            raise Unavailable(f"{self._device}: the report has {size} bytes, it should have {_REPORT}")
        start = _RESPONSE_HEADER.size
        return SnpEvidence(report=response[start : start + size], certificates=host_certificates(certs))
