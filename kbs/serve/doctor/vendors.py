"""Collateral: what lies ready, what was kept, and whether more can come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from cryptography import x509

from kbs.collateral.shelf import Shelf
from kbs.model.words import counted
from kbs.serve.doctor.symptom import FINE, PROBLEM, WARNING, Patient, Symptom
from kbs.store.collateral import CollateralCache

__all__ = ["collateral"]


def collateral(patient: Patient) -> Iterator[Symptom]:
    """Revocation lists that have ended stop every release that needs them."""
    section = patient.config.collateral
    fetches = section.fetch == "vendors"
    lists = 0
    if section.directory is not None:
        shelf = Shelf.from_directory(section.directory).collateral
        lists = len(shelf.crls)
        for der in shelf.crls:
            yield _revocation(x509.load_der_x509_crl(der), patient)
    with closing(CollateralCache(patient.site.store)) as cache:
        pieces = [piece for name in cache.names() if (piece := cache.get(name)) is not None]
    ended = [piece.name for piece in pieces if piece.good_until <= patient.now]
    if ended:
        said = f"{len(ended)} of {len(pieces)} kept pieces have ended: {', '.join(ended[:3])}"
        ours = "they are fetched again when needed" if fetches else 'and fetch = "nothing" brings no others'
        yield Symptom(area="collateral", outcome=WARNING if fetches else PROBLEM, sentence=f"{said}; {ours}")
    elif pieces:
        yield Symptom(
            area="collateral",
            outcome=FINE,
            sentence=f"{counted(len(pieces), 'piece is', 'pieces are')} kept, none has ended",
        )
    if not lists and not pieces:
        if fetches:
            said = f"none is kept yet; it is fetched from {section.kds} when it is first needed"
            yield Symptom(area="collateral", outcome=FINE, sentence=said)
        else:
            said = 'no revocation list is at hand, and fetch = "nothing" brings none: nothing can be released'
            yield Symptom(area="collateral", outcome=PROBLEM, sentence=said)


def _revocation(found: x509.CertificateRevocationList, patient: Patient) -> Symptom:
    issuer, ends = found.issuer.rfc4514_string(), found.next_update_utc
    if ends is None or int(ends.timestamp() * 1_000) <= patient.now:
        when = ends.isoformat().replace("+00:00", "Z") if ends else "never valid"
        said = f"the revocation list of {issuer} ended ({when}): what it speaks for is refused; get a new one"
        return Symptom(area="collateral", outcome=PROBLEM, sentence=said)
    until = ends.isoformat().replace("+00:00", "Z")
    return Symptom(area="collateral", outcome=FINE, sentence=f"the revocation list of {issuer} is valid until {until}")
