"""Custody, and everything with a certificate: does it open, and how long does it last?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from kbs.custody.authority import Authority
from kbs.custody.root import HeldRoot, root_id
from kbs.custody.rotation import opens
from kbs.custody.vault import Vault
from kbs.model.words import counted
from kbs.serve.doctor.symptom import DAY_MS, FINE, PROBLEM, SKIPPED, WARNING, Outcome, Patient, Symptom
from kbs.serve.first_run import read_recovery_keys
from kbs.serve.secrets import open_root, read_secret, root_path
from kbs.serve.server_ca import ServerCa, server_cas
from kbs.serve.site import PEOPLE_CA
from kbs.store.read import Reader

__all__ = ["certificates", "custody"]

_SOON_MS = 14 * DAY_MS
_NOTICE_DAYS = 30
_SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def custody(patient: Patient) -> Iterator[Symptom]:
    """The root key opens everything; the recovery keys would bring it back."""
    path = root_path(patient.config)
    if path.with_name(f"{path.name}.new").exists():
        said = "a rotation of the root key was cut short; the next start of the broker finishes it"
        yield Symptom(area="custody", outcome=WARNING, sentence=said)
    root = _root(patient)
    if root is None:
        said = "the root key is under a passphrase that is typed; --ask lets the doctor ask for it"
        yield Symptom(area="custody", outcome=SKIPPED, sentence=said)
    else:
        with closing(Reader(patient.site.store)) as reader:
            count = opens(root, reader)
        yield Symptom(area="custody", outcome=FINE, sentence=f"the root key opens all {count} keys below it")
    yield _recovery(patient, root)


def _root(patient: Patient) -> HeldRoot | None:
    ref = patient.config.custody.passphrase
    if ref is not None and ref.kind in {"terminal", "fd"} and patient.ask is None:
        return None
    return open_root(patient.config, patient.credentials, patient.ask or (lambda _prompt: ""))


def _recovery(patient: Patient, root: HeldRoot | None) -> Symptom:
    path = patient.site.recovery
    if not path.exists():
        said = f"{path} is not there: if the root key is lost, every key is lost"
        return Symptom(area="custody", outcome=WARNING, sentence=said)
    document = json.loads(path.read_bytes())
    wrapped = {str(each["key"]) for each in document["wraps"]}
    if root is not None and document["root"] != root_id(root.key):
        said = f"{path} is of another root key than the one in use, and brings nothing back"
        return Symptom(area="custody", outcome=PROBLEM, sentence=said)
    if wrapped != {key.id for key in read_recovery_keys(patient.config)}:
        keys = ", ".join(sorted(wrapped))
        said = f"{path} was made for the recovery keys {keys}, [custody] recovery names others: rotate"
        return Symptom(area="custody", outcome=WARNING, sentence=said)
    named = counted(len(wrapped), "recovery key is", "recovery keys are")
    said = f"{named} named; only `custody drill` with each proves that it is still there"
    return Symptom(area="custody", outcome=FINE, sentence=said)


def certificates(patient: Patient) -> Iterator[Symptom]:
    """When each ends; of a configured one also if key and certificate are a pair."""
    root = _root(patient)
    if root is None:
        said = "the broker's CAs are under the root key, whose passphrase is typed; --ask lets the doctor ask for it"
        yield Symptom(area="certificates", outcome=SKIPPED, sentence=said)
    else:
        with closing(Reader(patient.site.store)) as reader:
            vault = Vault(root, reader)
            people = Authority.of(vault.broker_keys(PEOPLE_CA)[-1][1]).certificate
            servers = server_cas(vault, patient.now)
        yield from _servers(servers, patient)
        yield _ends("the CA of people's certificates", people, patient, _SOON_MS)
    tls = patient.config.tls
    if tls.certificate is not None and tls.key is not None:
        chain = x509.load_pem_x509_certificates(tls.certificate.read_bytes())
        yield _ends(f"the server certificate {tls.certificate}", chain[0], patient, _SOON_MS)
        yield _pair(patient, chain)


def _servers(cas: Sequence[ServerCa], patient: Patient) -> Iterator[Symptom]:
    """The CA in force, and the one that takes over: who has not got it in a trust file by then is shut out."""
    for ca in cas:
        if ca.state == "in force":
            yield _ends("the CA of the broker's servers", ca.authority.certificate, patient, 365 * DAY_MS)
        if ca.state == "next":
            days = (ca.since - patient.now) // DAY_MS
            said = f"another server CA takes over in {counted(days, 'day')}: by then every trust file has to list it"
            outcome = WARNING if days < _NOTICE_DAYS else FINE
            yield Symptom(area="certificates", outcome=outcome, sentence=said)


def _ends(what: str, certificate: x509.Certificate, patient: Patient, soon_ms: int) -> Symptom:
    left = int(certificate.not_valid_after_utc.timestamp() * 1_000) - patient.now
    begun = int(certificate.not_valid_before_utc.timestamp() * 1_000) <= patient.now
    outcome: Outcome = PROBLEM if left <= 0 or not begun else WARNING if left < soon_ms else FINE
    until = certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z")
    ended = "ended on" if left <= 0 else "is valid until" if begun else "is not valid yet; it will be until"
    return Symptom(area="certificates", outcome=outcome, sentence=f"{what} {ended} {until}")


def _pair(patient: Patient, chain: Sequence[x509.Certificate]) -> Symptom:
    tls = patient.config.tls
    if tls.key is None:
        raise ValueError("a configured certificate has a key")
    key = load_pem_private_key(read_secret(tls.key, patient.credentials).reveal(), None)
    if key.public_key().public_bytes(*_SPKI) != chain[0].public_key().public_bytes(*_SPKI):
        said = f"[tls] key is not that of the certificate {tls.certificate}"
        return Symptom(area="certificates", outcome=PROBLEM, sentence=said)
    return Symptom(area="certificates", outcome=FINE, sentence="[tls] key and certificate are a pair")
