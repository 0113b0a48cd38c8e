"""The story of a person: in with a code, once; then a certificate at a time, by proof of the key that was enrolled.

Both have the same steps:

1. the challenge is ours and fresh
2. the caller has the key; a challenge that was used for just this is answered with the same certificate again
3. enrolment: the code is open, and the key nobody's; login: the key is somebody's
4. certificate and entry, at enrolment the principal as well, in one transaction that uses the challenge
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from attest.tlog.entry import canonical
from kbs.access.port import Access
from kbs.access.reply import decode, encode
from kbs.model.asset import Principal, Snapshot
from kbs.model.credential import ENROL, LOGIN, Credential, Possession, possession_message
from kbs.model.effect import PutObject
from kbs.model.enrolment import Enrolment, code_digest, enrolment_name, retired_name
from kbs.model.refusal import Refused, Unavailable
from kbs.model.unit import AlreadyUsed, ChallengeUse, Committed, Expired, Stored, Unit, Verdict

__all__ = ["enrol", "login"]

_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proven:
    """Steps 1 and 2 done: the key, what the challenge is used for, and the answer if it was given before."""

    key: ec.EllipticCurvePublicKey
    use: ChallengeUse
    before: Credential | None


async def enrol(code: bytes, possession: Possession, access: Access) -> Credential:
    """Makes the key the person's whom the code is for. Raises Refused, Unavailable, StoreUnavailable."""
    digest = code_digest(access.deployment, code)
    proven = _prove(ENROL, digest, possession, access)  # 1, 2
    if proven.before is not None:
        return proven.before
    for _ in range(_TRIES):
        snapshot, now = access.catalogue.current(), access.now()
        invited = _invited(snapshot, digest, possession, now)  # 3
        document, effect = _principal(invited, possession)
        credential = _issue(invited.principal, proven.key, now, access)
        draft = access.entries.enrolled(invited.principal, effect.name, effect.digest)
        verdict = Verdict(draft=draft, blobs=(document,), effects=(effect,), reply=encode(credential))
        unit = Unit(verdict=verdict, challenge=proven.use, revision=snapshot.revision, expects=((effect.name, b""),))
        answer = await _commit(unit, credential, proven.use, access)  # 4
        if answer is not None:
            return answer
    raise Unavailable("STATE_MOVING")


async def login(possession: Possession, access: Access) -> Credential:
    """A fresh certificate for whoever has an enrolled key. Raises Refused, Unavailable, StoreUnavailable."""
    proven = _prove(LOGIN, b"", possession, access)  # 1, 2
    if proven.before is not None:
        return proven.before
    for _ in range(_TRIES):
        snapshot = access.catalogue.current()
        person = snapshot.principals.get(possession.key_digest)  # 3
        if person is None:
            raise Refused("CERTIFICATE_UNKNOWN")
        credential = _issue(person.id, proven.key, access.now(), access)
        certificate = hashlib.sha256(credential.certificates[0]).digest()
        draft = access.entries.issued(person.id, possession.key_digest, certificate, credential.expires)
        verdict = Verdict(draft=draft, reply=encode(credential))
        unit = Unit(verdict=verdict, challenge=proven.use, revision=snapshot.revision)
        answer = await _commit(unit, credential, proven.use, access)  # 4
        if answer is not None:
            return answer
    raise Unavailable("STATE_MOVING")


def _prove(action: str, digest: bytes, possession: Possession, access: Access) -> _Proven:
    stored = access.used.used_challenge(possession.challenge_digest)
    issued_at = access.challenges.check(possession.challenge, access.now(), used=stored is not None)
    key = _key(possession.public_key)
    message = possession_message(action, access.deployment, possession.challenge, digest, possession.public_key)
    try:
        key.verify(possession.signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise Refused(
            "POSSESSION", check="POSSESSION", expected="a signature by the key, over this challenge", got="another"
        ) from None
    use = ChallengeUse(digest=possession.challenge_digest, bound=hashlib.sha256(message).digest(), issued_at=issued_at)
    return _Proven(key=key, use=use, before=_again(stored, use) if stored else None)


def _key(data: bytes) -> ec.EllipticCurvePublicKey:
    """A P-256 key, exactly as TLS will show it: the digest of these bytes is who the person is."""
    try:
        key = load_der_public_key(data)
    except ValueError:
        raise _no_key(data) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _no_key(data)
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != data:
        raise _no_key(data)
    return key


def _no_key(data: bytes) -> Refused:
    expected = "DER SubjectPublicKeyInfo of a P-256 key"
    return Refused("REQUEST_MALFORMED", check="public_key", expected=expected, got=f"{len(data)} other bytes")


def _invited(snapshot: Snapshot, digest: bytes, possession: Possession, now: int) -> Enrolment:
    """The invitation behind the code. When none is open any more the door is closed, whatever the code."""
    taken = {person.id for person in snapshot.principals.values()}
    if not any(each.principal not in taken and now < each.expires for each in snapshot.enrolments.values()):
        raise Refused("ENROLMENT_CLOSED")
    invited = snapshot.enrolments.get(enrolment_name(digest))
    got = "another" if invited is None else "one that was used" if invited.principal in taken else "one of yesterday"
    if invited is None or invited.principal in taken or now >= invited.expires:
        raise Refused("ENROLMENT_CODE", check="ENROLMENT_CODE", expected="a code that was given out", got=got)
    if possession.key_digest in snapshot.principals:
        raise Refused("KEY_ENROLLED")
    if retired_name(possession.key_digest) in snapshot.objects:  # certificates of it may still be about
        raise Refused("KEY_RETIRED")
    return invited


def _principal(invited: Enrolment, possession: Possession) -> tuple[bytes, PutObject]:
    """The document of the person that the invitation makes, and its row. Names in the log are pseudonyms."""
    person = Principal(id=invited.principal, key=possession.key_digest, roles=invited.roles, tenants=invited.tenants)
    document = canonical(
        {
            "v": "sealgate.principal/1",
            "id": person.id,
            "key_sha256": person.key.hex(),
            "roles": sorted(person.roles),
            "tenants": sorted(person.tenants),
        }
    )
    name = f"principals/{person.id}"
    return document, PutObject(name=name, kind="principal", digest=hashlib.sha256(document).digest())


def _issue(principal: str, key: ec.EllipticCurvePublicKey, now: int, access: Access) -> Credential:
    issuer = access.issuer()
    certificate = issuer.issue_person(principal, key, now, access.certificate_life)
    return Credential(
        principal=principal, certificates=(certificate, issuer.der), expires=now + access.certificate_life
    )


async def _commit(unit: Unit, credential: Credential, use: ChallengeUse, access: Access) -> Credential | None:
    """Step 4; None if what it rests on moved meanwhile."""
    outcome = (await access.store.commit([unit]))[0]
    if isinstance(outcome, Committed):
        return credential
    if isinstance(outcome, AlreadyUsed):
        return _again(outcome.stored, use)
    if isinstance(outcome, Expired):
        raise Refused("CHALLENGE_EXPIRED", check="CHALLENGE_EXPIRED", expected="fresh", got=f"{outcome.age_ms} ms old")
    return None


def _again(stored: Stored, use: ChallengeUse) -> Credential:
    if stored.bound != use.bound:
        raise Refused("CHALLENGE_REUSED", check="CHALLENGE_REUSED", expected="a new challenge", got="a used one")
    return decode(stored.reply)
