"""The first people: each is invited by the genesis entry, with a code of which only a hash is kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from attest.tlog.entry import canonical
from kbs.custody.pseudonym import Pseudonyms
from kbs.model.effect import PutObject
from kbs.model.enrolment import CODE_SIZE, ENROLMENT_LIFE_MS, Enrolment, code_digest, enrolment_name, format_code

__all__ = ["Founder", "Invitation", "invite"]


class Random(Protocol):
    """Random bytes."""

    def __call__(self, size: int, /) -> bytes:
        """`size` bytes nobody could guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Founder:
    """Who is to be let in, by a name that is printed once and stored nowhere."""

    name: str
    roles: frozenset[str]
    tenants: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Invitation:
    """A founder's code, in groups of four letters, with the document and the row that make it count."""

    founder: Founder
    code: str
    principal: str
    document: bytes
    effect: PutObject


def invite(founder: Founder, deployment: str, pseudonyms: Pseudonyms, now: int, random: Random) -> Invitation:
    """A code for `founder`, to be used once until a day from `now`."""
    code = random(CODE_SIZE)
    digest = code_digest(deployment, code)
    name = enrolment_name(digest)
    enrolment = Enrolment(
        name=name,
        code_sha256=digest,
        principal=pseudonyms.of("", "person", founder.name.encode()),
        roles=founder.roles,
        tenants=founder.tenants,
        expires=now + ENROLMENT_LIFE_MS,
    )
    document = canonical({"v": "sealgate.enrolment/1", **enrolment.document()})
    return Invitation(
        founder=founder,
        code=format_code(code),
        principal=enrolment.principal,
        document=document,
        effect=PutObject(name=name, kind="enrolment", digest=hashlib.sha256(document).digest()),
    )
