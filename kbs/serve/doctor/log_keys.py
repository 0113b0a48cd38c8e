"""The note of log keys that is served: whether anybody who trusts the offline key will believe this log."""

from __future__ import annotations

from collections.abc import Iterator

from kbs.log.log_note import LogNote
from kbs.serve.doctor.symptom import FINE, PROBLEM, WARNING, Outcome, Patient, Symptom
from kbs.serve.log_keys import LogKeysRefused, open_kept, own_key, read_root

__all__ = ["log_keys"]


def log_keys(patient: Patient) -> Iterator[Symptom]:
    """Its version, the offline key's signature, and the present log key in it."""
    site, commands = patient.site, f"--config {patient.file}"
    note = LogNote(site.log_keys).current
    try:
        root = read_root(site)
        if root is None:
            if not note:
                yield _said(FINE, "no offline key was adopted: trust files list the log's key themselves")
                return
            yield _said(
                WARNING,
                f"{site.log_keys} is served, and no offline key was adopted here to tell whose it is: sealgate-broker "
                f"log-keys adopt ROOT.pub {commands}",
            )
            return
        if not note:
            yield _said(
                PROBLEM,
                f"the offline key {root.name} was adopted and no note is served: whoever trusts it believes no log. "
                f"sealgate-broker log-keys draft {commands}, sign it, and install it",
            )
            return
        found = open_kept(root.vkey.encode(), note, site.deployment, own := own_key(site.store))
    except LogKeysRefused as error:
        said = f"what is served as {site.log_keys} will be believed by nobody: {error}"
        yield _said(PROBLEM, f"{said}; sealgate-broker log-keys draft {commands}, sign it, and install it")
        return
    yield _said(
        FINE,
        f"version {found.version} is served, signed by the offline key {root.name} with id {root.key_id.hex()}, and "
        f"lists the present log key, id {own.key_id.hex()}",
    )


def _said(outcome: Outcome, sentence: str) -> Symptom:
    return Symptom(area="log keys", outcome=outcome, sentence=sentence)
