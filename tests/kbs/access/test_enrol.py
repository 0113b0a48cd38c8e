"""Who gets in: once with a code, later with the key; over a real store, with a clock of our own."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from attest.anchors import BUILT_IN
from attest.evidence import Collateral
from attest.tlog.entry import parse_leaf
from kbs.access.enrol import enrol, login
from kbs.access.port import Access
from kbs.collateral.shelf import Shelf
from kbs.model.credential import ENROL, LOGIN, Credential, Possession, possession_message
from kbs.model.enrolment import code_digest, format_code, parse_code
from kbs.model.refusal import Refused
from kbs.serve.founders import Founder, Invitation
from kbs.serve.people import access_of
from kbs.serve.site import Site, initialise
from kbs.serve.wiring import Running, open_site

NOW = 1_790_000_000_000
DAY = 24 * 3_600_000
DEPLOYMENT = "keys.example.com"


@dataclass(kw_only=True)
class Door:
    """A deployment with two invitations, and its clock."""

    running: Running
    access: Access
    invitations: list[Invitation]
    now: list[int]

    def code(self, number: int = 0) -> bytes:
        return parse_code(self.invitations[number].code)

    def challenge(self) -> bytes:
        return self.running.broker.challenges.issue(self.now[0], os.urandom(16))

    def entries(self) -> list[str]:
        return [str(parse_leaf(leaf).body["type"]) for _, leaf, _ in self.running.reader.entries(0, 100)]


@dataclass(kw_only=True)
class Person:
    """A key, and proofs of it that may be wrong in one chosen way."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def proof(self, challenge: bytes, code: bytes = b"", *, action: str = "", origin: str = DEPLOYMENT) -> Possession:
        digest = code_digest(origin, code) if code else b""
        message = possession_message(action or (ENROL if code else LOGIN), origin, challenge, digest, self.spki)
        signature = self.key.sign(message, ec.ECDSA(SHA256()))
        return Possession(challenge=challenge, public_key=self.spki, signature=signature)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    now = [NOW]
    site = Site(directory=tmp_path / "site", deployment=DEPLOYMENT)
    roles = (frozenset({"operator"}), frozenset({"auditor"}))
    founders = [Founder(name=n, roles=r, tenants=frozenset({"acme"})) for n, r in zip("ab", roles, strict=True)]
    invitations = await initialise(site, lambda: now[0], simulated=False, founders=founders)
    with open_site(site, Shelf(Collateral()), BUILT_IN, clock=lambda: now[0]) as running:
        access = access_of(running.broker, running.reader, running.keyring.issuer, DAY)
        yield Door(running=running, access=access, invitations=invitations, now=now)


async def test_a_founder_comes_in_and_stays(door: Door) -> None:
    alice, code = Person(), door.code()
    first = await enrol(code, alice.proof(door.challenge(), code), door.access)
    person = door.access.catalogue.current().principals[alice.proof(b"").key_digest]
    assert (person.id, person.roles, person.tenants) == (first.principal, frozenset({"operator"}), frozenset({"acme"}))
    assert first.principal == door.invitations[0].principal
    door.now[0] += 3 * DAY  # the certificate is long over
    second = await login(alice.proof(door.challenge()), door.access)
    assert (second.principal, second.expires) == (first.principal, door.now[0] + DAY)
    assert door.entries() == ["log.genesis", "principal.created", "credential.issued"]


async def test_what_a_certificate_says(door: Door) -> None:
    alice, code = Person(), door.code()
    credential = await enrol(code, alice.proof(door.challenge(), code), door.access)
    leaf, issuer = (x509.load_der_x509_certificate(each) for each in credential.certificates)
    leaf.verify_directly_issued_by(issuer)
    [name] = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == credential.principal
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert life.total_seconds() <= 24 * 3_600 + 300
    assert int(leaf.not_valid_after_utc.timestamp() * 1_000) == credential.expires == NOW + DAY


async def _refused(door: Door, code: bytes, possession: Possession) -> Refused:
    with pytest.raises(Refused) as caught:
        await enrol(code, possession, door.access)
    assert code.hex() not in str(caught.value)
    return caught.value


async def test_a_code_lets_one_person_in_once(door: Door) -> None:
    alice, eve, code = Person(), Person(), door.code()
    await enrol(code, alice.proof(door.challenge(), code), door.access)
    for person in (eve, alice):
        refused = await _refused(door, code, person.proof(door.challenge(), code))
        assert (refused.reason, refused.got) == ("ENROLMENT_CODE", "one that was used")


async def test_two_who_use_one_code_at_once(door: Door) -> None:
    people, code = [Person() for _ in range(8)], door.code()
    tries = [enrol(code, person.proof(door.challenge(), code), door.access) for person in people]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, Credential) for each in results) == 1
    assert {each.reason for each in results if isinstance(each, Refused)} == {"ENROLMENT_CODE"}
    assert len(door.access.catalogue.current().principals) == 1


async def test_two_codes_for_one_key_at_once(door: Door) -> None:
    alice = Person()
    tries = [enrol(door.code(n), alice.proof(door.challenge(), door.code(n)), door.access) for n in (0, 1)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, Credential) for each in results) == 1
    assert [each.reason for each in results if isinstance(each, Refused)] == ["KEY_ENROLLED"]


async def test_the_door_closes_when_all_are_in(door: Door) -> None:
    for number in (0, 1):
        code = door.code(number)
        await enrol(code, Person().proof(door.challenge(), code), door.access)
    for code in (door.code(), os.urandom(20)):
        assert (await _refused(door, code, Person().proof(door.challenge(), code))).reason == "ENROLMENT_CLOSED"


async def test_the_door_closes_after_a_day_and_no_clock_opens_it(door: Door) -> None:
    code = door.code()
    door.now[0] = NOW + DAY - 1
    await enrol(door.code(1), Person().proof(door.challenge(), door.code(1)), door.access)
    door.now[0] = NOW + DAY
    assert (await _refused(door, code, Person().proof(door.challenge(), code))).reason == "ENROLMENT_CLOSED"
    door.now[0] = NOW + DAY + 1
    await door.running.door.commit([door.running.joined])  # the log has seen the day end
    door.now[0] = NOW
    refused = await _refused(door, code, Person().proof(door.challenge(), code))
    assert refused.reason in {"ENROLMENT_CLOSED", "CHALLENGE_EXPIRED"}
    challenge = door.running.broker.challenges.issue(NOW + DAY + 1, os.urandom(16))
    assert (await _refused(door, code, Person().proof(challenge, code))).reason == "ENROLMENT_CLOSED"


async def test_proofs_that_are_none(door: Door) -> None:
    alice, code = Person(), door.code()
    challenge = door.challenge()
    good = alice.proof(challenge, code)
    other = Person().proof(challenge, code)
    compressed = alice.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    ed = ed25519.Ed25519PrivateKey.generate().public_key()
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    cases = {
        "another key's": (dataclasses.replace(good, signature=other.signature), "POSSESSION"),
        "another's key": (dataclasses.replace(other, signature=good.signature), "POSSESSION"),
        "for a login": (alice.proof(challenge, code, action=LOGIN), "POSSESSION"),
        "for another deployment": (alice.proof(challenge, code, origin="other.example"), "POSSESSION"),
        "for another code": (alice.proof(challenge, door.code(1)), "POSSESSION"),
        "over another challenge": (
            dataclasses.replace(alice.proof(door.challenge(), code), challenge=challenge),
            "POSSESSION",
        ),
        "no signature": (dataclasses.replace(good, signature=b""), "POSSESSION"),
        "no key": (dataclasses.replace(good, public_key=b""), "REQUEST_MALFORMED"),
        "a point": (dataclasses.replace(good, public_key=compressed), "REQUEST_MALFORMED"),
        "P-384": (dataclasses.replace(good, public_key=p384.public_bytes(*spki)), "REQUEST_MALFORMED"),
        "Ed25519": (dataclasses.replace(good, public_key=ed.public_bytes(*spki)), "REQUEST_MALFORMED"),
        "a byte more": (dataclasses.replace(good, public_key=alice.spki + b"\0"), "REQUEST_MALFORMED"),
        "a made-up challenge": (alice.proof(bytes(57), code), "CHALLENGE_INVALID"),
    }
    for name, (possession, reason) in cases.items():
        assert (await _refused(door, code, possession)).reason == reason, name
    assert door.entries() == ["log.genesis"]
    assert (await enrol(code, good, door.access)).principal  # none of them used anything up


async def test_a_lost_reply_is_answered_again_and_another_is_not(door: Door) -> None:
    alice, code = Person(), door.code()
    possession = alice.proof(door.challenge(), code)
    first = await enrol(code, possession, door.access)
    door.now[0] += 100_000
    assert await enrol(code, possession, door.access) == first
    refused = await _refused(door, code, alice.proof(possession.challenge, door.code(1)))
    assert refused.reason == "POSSESSION"
    refused = await _refused(door, door.code(1), alice.proof(possession.challenge, door.code(1)))
    assert refused.reason == "CHALLENGE_REUSED"
    door.now[0] += 30_000
    assert (await _refused(door, code, possession)).reason == "CHALLENGE_EXPIRED"
    assert door.entries().count("principal.created") == 1


async def test_nobody_logs_in_who_is_not_enrolled(door: Door) -> None:
    with pytest.raises(Refused, match="CERTIFICATE_UNKNOWN"):
        await login(Person().proof(door.challenge()), door.access)
    alice, code = Person(), door.code()
    await enrol(code, alice.proof(door.challenge(), code), door.access)
    with pytest.raises(Refused, match="POSSESSION"):
        await login(alice.proof(door.challenge(), code, action=ENROL), door.access)
    stale = door.challenge()
    door.now[0] += 61_000
    with pytest.raises(Refused, match="CHALLENGE_EXPIRED"):
        await login(alice.proof(stale), door.access)


def _typed(code: str) -> Iterator[str]:
    yield code
    yield code.upper()
    yield code.replace("-", "")
    yield code.replace("-", " ") + "\n"


def test_codes_as_people_type_them() -> None:
    code = os.urandom(20)
    assert all(parse_code(text) == code for text in _typed(format_code(code)))
    for wrong in ("", "a", format_code(code)[:-1], format_code(code) + "a", "0" * 32, "é" * 32, "a" * 10_000):
        with pytest.raises(ValueError, match="32 letters") as caught:
            parse_code(wrong)
        assert len(wrong) < 2 or wrong not in str(caught.value)
