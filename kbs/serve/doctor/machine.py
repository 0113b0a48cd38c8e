"""The machine: files and space, the clock, the processes."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing

from kbs.log.clock import log_time
from kbs.model.words import counted
from kbs.serve.doctor.symptom import FINE, PROBLEM, SKIPPED, WARNING, Patient, Symptom
from kbs.serve.lock import Busy, alone
from kbs.store.read import Reader
from kbs.web.samples import fresh_workers

__all__ = ["clock", "files", "kernel_synchronised", "processes"]

_LITTLE_SPACE, _NO_SPACE = 1 << 30, 100 << 20
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_LATE_MS = 60_000


def files(patient: Patient) -> Iterator[Symptom]:
    """The configuration's file, the directory's mode and owner, the space left."""
    yield Symptom(area="configuration", outcome=FINE, sentence=f"{patient.file} is fine")
    if stat.S_IMODE(patient.file.stat().st_mode) & 0o022:
        said = f"{patient.file} can be written by others than its owner: who can write it decides what is served"
        yield Symptom(area="configuration", outcome=WARNING, sentence=said)
    directory = patient.site.directory
    found = directory.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        said = f"{directory} has mode {mode:04o}; it is the broker's alone: chmod 0700 {directory}"
        yield Symptom(area="configuration", outcome=PROBLEM, sentence=said)
    if found.st_uid != os.geteuid():
        said = (
            f"{directory} belongs to user {found.st_uid} and this is user {os.geteuid()}: run it as the broker's user"
        )
        yield Symptom(area="configuration", outcome=WARNING, sentence=said)
    free = shutil.disk_usage(directory).free
    outcome = PROBLEM if free < _NO_SPACE else WARNING if free < _LITTLE_SPACE else FINE
    said = f"{free >> 20} MiB are free for the store and the log"
    yield Symptom(area="store", outcome=outcome, sentence=f"{said}; without space nothing is released")


def clock(patient: Patient) -> Iterator[Symptom]:
    """The clock against the log's own time, which never goes back, and what the kernel thinks of it."""
    with closing(Reader(patient.site.store)) as reader:
        found = log_time(reader.head().last_time, patient.now)
    late = PROBLEM if found.ahead_ms > _LATE_MS else WARNING
    yield Symptom(area="clock", outcome=late if found.ahead else FINE, sentence=found.sentence())
    synchronised = patient.synchronised()
    if synchronised is None:
        yield Symptom(area="clock", outcome=SKIPPED, sentence="the kernel does not say if the clock is synchronised")
    elif not synchronised:
        said = "the kernel says that the clock is not synchronised: evidence and certificates are judged by it; run NTP"
        yield Symptom(area="clock", outcome=WARNING, sentence=said)
    else:
        yield Symptom(area="clock", outcome=FINE, sentence="the clock is synchronised, says the kernel")


def processes(patient: Patient) -> Iterator[Symptom]:
    """Whether it serves now, and whether every worker told so lately."""
    try:
        with alone(patient.site.directory):
            yield Symptom(area="processes", outcome=FINE, sentence="it does not serve now")
            return
    except Busy:
        pass
    workers = fresh_workers(patient.site.run, patient.now)
    late = [name for name, fresh in workers.items() if not fresh]
    if late or not workers:
        said = (
            f"it serves, but nothing was heard of worker {', '.join(late)}" if late else "it serves, no worker reports"
        )
        yield Symptom(area="processes", outcome=PROBLEM, sentence=f"{said}: look at its log")
    else:
        yield Symptom(area="processes", outcome=FINE, sentence=f"it serves with {counted(len(workers), 'worker')}")


def kernel_synchronised() -> bool | None:
    """What adjtimex(2) says; None where it cannot be asked."""
    try:
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512)))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
