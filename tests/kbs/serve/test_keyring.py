"""The broker's keys grow old: successors come in time, and every process knows them before one is used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from attest.anchors import BUILT_IN
from attest.evidence import Collateral
from attest.tlog.entry import parse_leaf
from kbs.collateral.shelf import Shelf
from kbs.model.refusal import Refused
from kbs.serve.config.load import parse
from kbs.serve.duties import look_after_keys
from kbs.serve.jwks import jwks
from kbs.serve.keyring import LOOK_EVERY_S, ROTATIONS
from kbs.serve.site import CHALLENGE, EAR, PEOPLE_CA, Site, initialise
from kbs.serve.tls import Certificates, own_tls
from kbs.serve.wiring import Running, open_site
from tests.kbs.serve.config.test_load import LEAST

NOW = 1_790_000_000_000
DAY = 24 * 3_600_000


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    made = Site(directory=tmp_path / "site", deployment="keys.example.com")
    await initialise(made, lambda: NOW, simulated=False)
    return made


@contextmanager
def _open(site: Site, now: list[int], processes: int = 1) -> Iterator[list[Running]]:
    with ExitStack() as held:
        yield [
            held.enter_context(open_site(site, Shelf(Collateral()), BUILT_IN, clock=lambda: now[0]))
            for _ in range(processes)
        ]


def _issue(running: Running, now: int) -> bytes:
    return running.broker.challenges.issue(now, os.urandom(16))


def test_every_process_looks_before_a_new_secret_is_used_and_120_s_more() -> None:
    assert ROTATIONS[CHALLENGE].lead >= 120_000 + 2 * LOOK_EVERY_S * 1_000
    assert ROTATIONS[CHALLENGE].period == DAY


async def test_two_processes_through_a_rotation(site: Site) -> None:
    """Each issues what the other takes, at any moment, though they look at different times."""
    now = [NOW]
    with _open(site, now, processes=2) as (one, two):
        now[0] = NOW + DAY
        await look_after_keys(one, site)
        serials = [serial for serial, _, _ in one.reader.broker_keys(CHALLENGE)]
        assert serials == [1, 2]
        for step in range(0, 600_000, 5_000):
            now[0] = NOW + DAY + step
            if step == LOOK_EVERY_S * 1_000:  # the other one looks as late as it may
                await look_after_keys(two, site)
            for issuer, taker in ((one, two), (two, one), (one, one)):
                challenge = _issue(issuer, now[0])
                assert taker.broker.challenges.check(challenge, now[0] + 59_000, used=False) == now[0]
                assert taker.broker.challenges.check(challenge, now[0] + 120_000, used=True) == now[0]
        assert [serial for serial, _, _ in one.reader.broker_keys(CHALLENGE)] == serials


async def test_a_secret_that_was_replaced_ends(site: Site) -> None:
    now = [NOW]
    with _open(site, now) as (running,):
        now[0] = NOW + DAY
        await look_after_keys(running, site)
        start = running.reader.broker_keys(CHALLENGE)[-1][1]
        assert start == NOW + DAY + ROTATIONS[CHALLENGE].lead
        last = _issue(running, start - 1)  # with the old one
        assert running.broker.challenges.check(last, start + 100_000, used=True) == start - 1
        forged = last[:1] + (start + 130_000).to_bytes(8, "big") + last[9:]
        with pytest.raises(Refused, match="CHALLENGE_INVALID"):
            running.broker.challenges.check(forged, start + 130_000, used=False)
        with pytest.raises(Refused, match="CHALLENGE_INVALID"):
            running.broker.challenges.check(last, start + 126_000, used=True)


async def test_two_processes_that_find_it_due_at_once_add_one(site: Site) -> None:
    now = [NOW]
    with _open(site, now, processes=2) as (one, two):
        now[0] = NOW + DAY
        late = two.keyring.due(dict.fromkeys(ROTATIONS, (1, NOW)), two.broker.identity)
        await look_after_keys(one, site)
        assert len(late) == 1
        with pytest.raises(Exception, match="could not be written"):
            await two.door.commit(late)
        await look_after_keys(two, site)
        assert [serial for serial, _, _ in two.reader.broker_keys(CHALLENGE)] == [1, 2]
        types = [parse_leaf(leaf).body["type"] for _, leaf, _ in one.reader.entries(0, 10)]
        assert types == ["log.genesis", "broker-key.added"]


async def test_a_year_of_keys(site: Site) -> None:
    """Every key has a successor in time, and the CA never ends before the last certificate that it issued."""
    now = [NOW]
    with _open(site, now) as (running,):
        for day in range(0, 400, 5):
            now[0] = NOW + day * DAY
            await look_after_keys(running, site)
            now[0] += 3_600_001
            await look_after_keys(running, site)
            issuer = running.keyring.issuer()
            ends = int(issuer.certificate.not_valid_after_utc.timestamp() * 1_000)
            assert ends > now[0] + DAY
            assert issuer.pem in running.keyring.people_ca
        counts = {purpose: len(running.reader.broker_keys(purpose)) for purpose in ROTATIONS}
    assert counts == {CHALLENGE: 80, EAR: 13, PEOPLE_CA: 2}


async def test_the_published_keys_are_public_and_named(site: Site) -> None:
    now = [NOW]
    with _open(site, now) as (running,):
        [first] = json.loads(jwks(running.vault))["keys"]
        now[0] = NOW + 31 * DAY
        await look_after_keys(running, site)
        keys = json.loads((site.run / "jwks.json").read_bytes())["keys"]
    assert [set(key) for key in keys] == [{"crv", "kty", "x", "y", "use", "alg", "kid"}] * 2
    assert first in keys
    assert len({key["kid"] for key in keys}) == 2


async def test_what_the_listeners_show(site: Site, tmp_path: Path) -> None:
    now = [NOW]
    with _open(site, now) as (running,):
        config = parse(LEAST.encode(), tmp_path / "broker.toml")
        shown = Certificates(config, running.keyring, None, lambda: now[0])
        first = shown.current()
        leaf, ca = x509.load_pem_x509_certificates(first.chain)
        leaf.verify_directly_issued_by(ca)
        assert ca == running.keyring.server_ca.certificate
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["keys.example.com"]
        key = load_pem_private_key(first.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        shown.renew()
        assert shown.current() is first
        now[0] += DAY
        shown.renew()
        assert shown.current() is not first
        assert shown.current().key != first.key


async def test_a_configured_certificate_follows_its_files(site: Site, tmp_path: Path) -> None:
    now = [NOW]
    with _open(site, now) as (running,):
        made = [own_tls(running.keyring, ["a.example"], NOW) for _ in range(2)]
        text = LEAST.replace('names = ["keys.example.com", "10.0.0.7"]\n', "")
        text += '[tls]\ncertificate = "server.pem"\nkey = "file:server.key"\nca = "ca.pem"\n'
        config = parse(text.encode(), tmp_path / "broker.toml")

        def put(number: int) -> None:
            (tmp_path / "server.pem").write_bytes(made[number].chain)
            (tmp_path / "server.key").write_bytes(made[number].key)
            (tmp_path / "server.key").chmod(0o600)

        put(0)
        shown = Certificates(config, running.keyring, None, lambda: now[0])
        first = shown.current()
        assert (first.key, first.chain) == (made[0].key, made[0].chain)
        shown.renew()
        assert shown.current() is first
        put(1)
        shown.renew()
        assert shown.current().chain == made[1].chain
