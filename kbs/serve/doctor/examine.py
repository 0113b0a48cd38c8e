"""Looks at everything. An examination that cannot be made is a problem with a sentence, and stops no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence

from attest.errors import AttestError
from kbs.catalog.documents import DocumentInvalid
from kbs.collateral.shelf import CollateralUnreadable
from kbs.custody.envelope import WrapInvalid
from kbs.custody.root import RootUnusable
from kbs.serve.doctor.keys import certificates, custody
from kbs.serve.doctor.log_keys import log_keys
from kbs.serve.doctor.machine import clock, files, processes
from kbs.serve.doctor.state import log, people, store
from kbs.serve.doctor.symptom import FROZEN, PROBLEM, Patient, Symptom
from kbs.serve.doctor.vendors import collateral
from kbs.serve.unfinished import refuse_unfinished
from kbs.store.errors import LogFrozen, StoreUnavailable, StoreUnusable

__all__ = ["examine"]

_EXAMINATIONS: Sequence[tuple[str, Callable[[Patient], Iterator[Symptom]]]] = (
    ("configuration", files),
    ("clock", clock),
    ("store", store),
    ("log", log),
    ("log keys", log_keys),
    ("custody", custody),
    ("certificates", certificates),
    ("collateral", collateral),
    ("people", people),
    ("processes", processes),
)


def examine(patient: Patient) -> list[Symptom]:
    """Every symptom, in a fixed order."""
    try:
        refuse_unfinished(patient.site.directory)
    except StoreUnusable as error:
        return [Symptom(area="store", outcome=PROBLEM, sentence=str(error))]
    if not patient.site.store.exists():
        said = f"there is no deployment in {patient.site.directory}: sealgate-broker init --config {patient.file}"
        return [Symptom(area="store", outcome=PROBLEM, sentence=said)]
    return [symptom for area, look in _EXAMINATIONS for symptom in _look(area, look, patient)]


def _look(area: str, look: Callable[[Patient], Iterator[Symptom]], patient: Patient) -> list[Symptom]:
    found: list[Symptom] = []
    try:
        for symptom in look(patient):
            found.append(symptom)  # noqa: PERF402  # what was found before a failure is kept
    except LogFrozen as error:
        found.append(Symptom(area=area, outcome=FROZEN, sentence=f"it cannot be told while the log is frozen: {error}"))
    except OSError as error:
        said = f"{error.filename or 'a file'}: {error.strerror}"
        found.append(Symptom(area=area, outcome=PROBLEM, sentence=said))
    except (
        AttestError,
        CollateralUnreadable,
        DocumentInvalid,
        RootUnusable,
        StoreUnavailable,
        StoreUnusable,
        ValueError,
        WrapInvalid,
        sqlite3.Error,
    ) as error:
        found.append(Symptom(area=area, outcome=PROBLEM, sentence=str(error)))
    return found
