"""Somebody is let in after the first day, or again after they were removed: proposed, approved by two, admitted.

The broker's host proposes and admits; it cannot approve. Approvals are signatures by the keys of enrolled operators,
made on their own machines (`sealgate approve`), over the very enrolment that is admitted.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from attest.errors import AttestError
from attest.tlog.entry import parse_leaf
from kbs.catalog.documents import DocumentInvalid
from kbs.catalog.governance import read_enrolment
from kbs.catalog.snapshot import load
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import change
from kbs.log.sequence import LogSequencer
from kbs.model.approval import Approval, Proposal
from kbs.model.asset import Principal, Snapshot
from kbs.model.effect import PutObject
from kbs.model.enrolment import CODE_SIZE, ENROLMENT_LIFE_MS, Enrolment, code_digest, enrolment_name, format_code
from kbs.model.unit import Committed, Conflict, Moved, Unit, Verdict
from kbs.serve.check import ensure_sound
from kbs.serve.site import Site
from kbs.store.door import WriteDoor
from kbs.store.errors import StoreUnavailable
from kbs.store.port import Clock
from kbs.store.read import Reader

__all__ = ["QUORUM", "NotAdmitted", "admit", "propose"]

QUORUM: Final = 2
_ATTEMPTS = 3


class NotAdmitted(Exception):
    """The invitation is not one that may be admitted, or not enough operators approved it. Nothing was changed."""


def propose(deployment: str, roles: frozenset[str], tenants: frozenset[str], now: int) -> tuple[Proposal, str]:
    """An invitation for a day from `now`, and its code. Nobody is let in by it yet, and nothing is stored.

    The pseudonym is new whoever it is for: who was removed comes back as somebody else to the log.
    """
    code = os.urandom(CODE_SIZE)
    digest = code_digest(deployment, code)
    enrolment = Enrolment(
        name=enrolment_name(digest),
        code_sha256=digest,
        principal=f"person-{base64.b32encode(os.urandom(16)).decode().rstrip('=').lower()}",
        roles=roles,
        tenants=tenants,
        expires=now + ENROLMENT_LIFE_MS,
    )
    return Proposal(origin=deployment, enrolment=enrolment), format_code(code)


async def admit(site: Site, invitation: bytes, approvals: Sequence[bytes], clock: Clock, *, alone: bool) -> Enrolment:
    """Opens the door for whoever has the invitation's code. The broker may serve.

    1. it is an invitation of this deployment, and its day is not over  2. it is new: code, pseudonym  3. each approval
    is by an enrolled operator of all its tenants, over this very invitation  4. they are two, or with `alone` the only
    one there is  5. the entry, which commits to the approvals

    Raises NotAdmitted, LogFrozen, StoreUnavailable.
    """
    try:
        proposal = Proposal.decode(invitation)
        words = [Approval.decode(each) for each in approvals]
        read_enrolment(proposal.document)
    except (AttestError, DocumentInvalid) as error:
        raise NotAdmitted(str(error)) from error
    ensure_sound(site.store, site.log, clock)
    with (
        closing(Reader(site.store)) as reader,
        closing(WriteDoor(site.store, LogSequencer(site.log_origin), clock)) as door,
    ):
        for _ in range(_ATTEMPTS):
            snapshot, now = load(reader), max(clock(), reader.head().last_time)
            _check_invitation(proposal, site, snapshot, now)  # 1, 2
            people = [_approver(word, proposal, snapshot) for word in words]  # 3
            _check_quorum(people, snapshot, alone=alone)  # 4
            match (await door.commit([_unit(reader, snapshot, proposal, words, people)]))[0]:  # 5
                case Committed():
                    return proposal.enrolment
                case Moved() | Conflict():
                    continue
                case outcome:
                    raise StoreUnavailable(f"the invitation was not admitted: {outcome}")
    raise StoreUnavailable("the invitation was not admitted: the catalogue changes all the time; try again")


def _check_invitation(proposal: Proposal, site: Site, snapshot: Snapshot, now: int) -> None:
    asked = proposal.enrolment
    if proposal.origin != site.deployment:
        raise NotAdmitted(f"the invitation is of {proposal.origin}, this is {site.deployment}")
    if not now < asked.expires <= now + ENROLMENT_LIFE_MS:
        raise NotAdmitted("the invitation's day is over, or is not to end within a day from now: make a new one")
    known = {person.id for person in snapshot.principals.values()} | {e.principal for e in snapshot.enrolments.values()}
    if asked.name in snapshot.objects or asked.principal in known:
        raise NotAdmitted("this invitation was admitted already, or its pseudonym is somebody's: make a new one")


def _approver(word: Approval, proposal: Proposal, snapshot: Snapshot) -> Principal:
    """Whose word it is; raises NotAdmitted unless it is an operator's, of every tenant that is asked for, over this."""
    person = snapshot.principals.get(word.key_digest)
    if person is None:
        raise NotAdmitted("an approval is by a key that is nobody's who is enrolled")
    if "operator" not in person.roles or not proposal.enrolment.tenants <= person.tenants:
        wanted = ", ".join(sorted(proposal.enrolment.tenants))
        raise NotAdmitted(f"{person.id} is no operator of {wanted}, and cannot let anybody in there")
    try:
        key = load_der_public_key(word.public_key)
        if word.proposal != proposal.enrolment.name or not isinstance(key, ec.EllipticCurvePublicKey):
            raise NotAdmitted(f"the approval of {person.id} is of another invitation")
        key.verify(word.signature, proposal.message, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise NotAdmitted(f"the approval of {person.id} does not sign this invitation as it stands") from error
    return person


def _check_quorum(people: Sequence[Principal], snapshot: Snapshot, *, alone: bool) -> None:
    approved = {person.id for person in people}
    operators = {person.id for person in snapshot.principals.values() if "operator" in person.roles}
    if len(approved) >= QUORUM or (alone and len(approved) == len(operators) == 1):
        return
    need = f"{QUORUM} operators have to approve it, and {len(approved)} did"
    if len(operators) < QUORUM:
        need += f"; there is only {len(operators)} in this deployment: if that one is to decide alone, say --alone"
    raise NotAdmitted(need)


def _unit(
    reader: Reader, snapshot: Snapshot, proposal: Proposal, words: Sequence[Approval], people: Sequence[Principal]
) -> Unit:
    asked, document = proposal.enrolment, proposal.document
    digest = hashlib.sha256(document).digest()
    files = {person.id: word.encode() for person, word in zip(people, words, strict=True)}
    [(_, genesis, _)] = reader.entries(0, 1)
    draft = change(
        entry_type="enrolment.created",
        entry_id=os.urandom(16).hex(),
        tenant="",
        actor=("broker", "people"),
        broker=Identity(id="people", measurement="", simulated=parse_leaf(genesis).body["simulated"] is not False),
        name=asked.name,
        old=b"",
        new=digest,
        approvals=[(person, hashlib.sha256(file).digest()) for person, file in sorted(files.items())],
    )
    effect = PutObject(name=asked.name, kind="enrolment", digest=digest)
    verdict = Verdict(draft=draft, effects=(effect,), blobs=(document, *files.values()))
    return Unit(verdict=verdict, revision=snapshot.revision, expects=((asked.name, b""),))
