"""/dev/tpmrm0: a TPM behind the kernel's resource manager, one command and one answer at a time, none waited for ever.

Source: Linux, drivers/char/tpm/tpm-dev-common.c: with O_NONBLOCK a command is carried out meanwhile, and the answer
polled for (5.0 and later; before that the write itself waits, for as long as the driver lets it).
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable

from clients.errors import Unavailable
from clients.workload.tee import TPM

__all__ = ["KernelTpm"]

_SECONDS = 20.0  # for one command: a quote takes a second of a slow TPM
_MOST = 4_096  # bytes: the kernel's own buffer
_AGAIN_S = 5.0


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)


class KernelTpm:
    """The device, opened for one command and closed again. Whoever else has a TPM open is not kept waiting by us."""

    def __init__(
        self, device: str = TPM, *, seconds: float = _SECONDS, open_device: Callable[[str], int] = _open
    ) -> None:
        self._device = device
        self._seconds = seconds
        self._open = open_device

    def __call__(self, command: bytes) -> bytes:
        """Carries one command there and its answer back; raises Unavailable."""
        try:
            descriptor = self._open(self._device)
        except OSError as error:
            raise self._closed(error) from error
        finished = False
        try:
            answer = self._exchange(descriptor, command)
            finished = answer is not None
        except OSError as error:
            finished = True
            sentence = f"{self._device} did not carry a command to the TPM: {error.strerror}"
            raise Unavailable(sentence, retry_after=_AGAIN_S) from error
        finally:
            if finished:  # else closing would wait for the TPM, as long as its driver does
                os.close(descriptor)
        if answer is None:
            sentence = f"{self._device}: the TPM has not answered within {self._seconds:g} s"
            raise Unavailable(sentence, retry_after=_AGAIN_S)
        return answer

    def _exchange(self, descriptor: int, command: bytes) -> bytes | None:
        """The answer, None if there is none in time."""
        if os.write(descriptor, command) != len(command):
            raise OSError(errno.EIO, "it took a part of what was written")
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return os.read(descriptor, _MOST) if waiting.poll(self._seconds * 1_000) else None

    def _closed(self, error: OSError) -> Unavailable:
        if error.errno in {errno.EACCES, errno.EPERM}:
            hint = "run as root, or in the group that owns it (tss)"
            return Unavailable(f"{self._device} may not be opened: {error.strerror}; {hint}")
        retry = _AGAIN_S if error.errno in {errno.EBUSY, errno.ENODEV} else None
        return Unavailable(f"{self._device} cannot be opened: {error.strerror}", retry_after=retry)
