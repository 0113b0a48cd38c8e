"""What is stored: the store, the published log, who is enrolled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from kbs.catalog.snapshot import load
from kbs.model.words import counted
from kbs.serve.check import check_site
from kbs.serve.doctor.symptom import FINE, FROZEN, PROBLEM, WARNING, Patient, Symptom
from kbs.store.freeze import read_mark
from kbs.store.migrate import version_of
from kbs.store.read import Reader
from kbs.store.schema import SCHEMA_VERSION

__all__ = ["log", "people", "store"]

_BEHIND_MS = 60_000


def store(patient: Patient) -> Iterator[Symptom]:
    """Its schema, its mark, its self-check."""
    site = patient.site
    version = version_of(site.store)
    if version != SCHEMA_VERSION:
        said = f"{site.store} has schema {version}, this Sealgate needs {SCHEMA_VERSION}"
        yield Symptom(
            area="store", outcome=PROBLEM, sentence=f"{said}: sealgate-broker migrate --directory {site.directory}"
        )
        return
    mark = read_mark(site.store)
    if mark is not None:
        said = f"the log is frozen: {mark.reason}. docs/operations.md, section Frozen, says what can be done"
        yield Symptom(area="store", outcome=FROZEN, sentence=said)
    found = check_site(site.store, site.log).store
    if not found.passed:
        said = f"the self-check found that {found.sentence()}; sealgate-broker incident keeps the evidence"
        yield Symptom(area="store", outcome=FROZEN, sentence=said)
    elif found.head is not None:
        said = f"the store is sound, with {counted(found.head.size, 'entry', 'entries')}"
        yield Symptom(area="store", outcome=FINE, sentence=said)


def log(patient: Patient) -> Iterator[Symptom]:
    """Whether what is stored was published."""
    checkpoint = patient.site.log / "checkpoint"
    if not checkpoint.exists():
        said = f"nothing has been published in {patient.site.log} yet; it is, as soon as the broker serves"
        yield Symptom(area="log", outcome=WARNING, sentence=said)
        return
    with closing(Reader(patient.site.store)) as reader:
        head = reader.head()
    size = int(checkpoint.read_bytes().split(b"\n")[1])
    age = patient.now - checkpoint.stat().st_mtime_ns // 1_000_000
    if size < head.size and age > _BEHIND_MS:
        waiting = counted(head.size - size, "entry has", "entries have")
        said = f"{waiting} not been published for {age // 1_000} s: look at the broker's log"
        yield Symptom(area="log", outcome=WARNING, sentence=said)
    else:
        yield Symptom(
            area="log", outcome=FINE, sentence=f"{size} of {counted(head.size, 'entry is', 'entries are')} published"
        )


def people(patient: Patient) -> Iterator[Symptom]:
    """Whether anybody is in, or can still come in."""
    with closing(Reader(patient.site.store)) as reader:
        snapshot = load(reader)
        now = max(patient.now, reader.head().last_time)
    taken = {person.id for person in snapshot.principals.values()}
    waiting = [e for e in snapshot.enrolments.values() if e.principal not in taken and now < e.expires]
    if not taken and not waiting:
        said = "nobody is enrolled and every founder's code has expired: nobody can come in any more; make it anew"
        yield Symptom(area="people", outcome=PROBLEM, sentence=said)
    elif waiting:
        hours = max(0, (max(e.expires for e in waiting) - now) // 3_600_000)
        said = f"codes that were not used yet: {len(waiting)}; the last expires in {counted(hours, 'hour')}"
        yield Symptom(area="people", outcome=WARNING if not taken else FINE, sentence=said)
    if taken:
        yield Symptom(area="people", outcome=FINE, sentence=f"enrolled: {len(taken)}")
