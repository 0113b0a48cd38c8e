"""Attestation results: for whoever asked, for one audience, for the holder key, for five minutes."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sealgate.v1.key_release_pb2 import ReleaseKeysRequest, RenewLeaseRequest

from kbs.custody.results import ResultSigner, public_jwk, thumbprint
from kbs.custody.secret import Secret
from kbs.model.refusal import Refused
from kbs.release.release import release
from kbs.rpc.parse import parse_ask, parse_renewal
from kbs.serve.site import EAR
from kbs.serve.wiring import Running
from tests.flow.test_renewal import GUEST, HOLDER, record
from tests.makers.site import ASSET, ORIGIN, SimulatedSite
from tests.makers.workload import build, wire_request

AUDIENCE = "https://data.example"
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()


async def answered(site: SimulatedSite, running: Running, **changed: Any) -> Any:
    given = {"holder_key": HOLDER, "report_id": GUEST, "audience": AUDIENCE, **changed}
    audience = given.pop("audience")
    workload = build(site.chip, running.broker.challenges, running.broker.clock(), **given)
    return workload, await release(dataclasses.replace(workload.ask, audience=audience), running.broker)


def keys(running: Running) -> dict[str, Any]:
    """The published keys by their names."""
    made = [ResultSigner([row]) for row in running.vault.broker_keys(EAR)]
    publics = [public_jwk(signer._keys[0][1].public_key()) for signer in made]
    return {thumbprint(jwk): jwk for jwk in publics}


def verified(running: Running, token: str, **changed: Any) -> dict[str, Any]:
    """As a relying party does it: key by its name, one algorithm, its own audience and issuer, the type."""
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("ES256", "ear+jwt")
    key = jwt.PyJWK.from_dict(keys(running)[header["kid"]], algorithm="ES256")
    given: dict[str, Any] = {"algorithms": ["ES256"], "audience": AUDIENCE, "issuer": ORIGIN, **changed}
    return jwt.decode(token, key, options={"require": ["exp", "iat", "aud", "iss", "cnf"]}, **given)


async def test_a_result_says_what_was_appraised_and_whose_it_is(site: SimulatedSite) -> None:
    with site.open() as running:
        workload, answer = await answered(site, running)
        claims = verified(running, answer.grant.result)
        assert claims["exp"] - claims["iat"] == 300
        assert claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
        assert base64.urlsafe_b64decode(claims["eat_nonce"] + "==") == workload.ask.challenge
        cpu = claims["submods"]["cpu0"]
        assert cpu["ear_status"] == "affirming"
        assert cpu["ear_trustworthiness_vector"]["executables"] == 3
        assert 0 not in cpu["ear_trustworthiness_vector"].values()
        assert claims["sealgate"]["simulated"] is True
        assert claims["sealgate"]["assets"] == [ASSET]
        holder = ec.derive_private_key(7, ec.SECP256R1()).public_key()
        assert claims["cnf"]["jwk"] == public_jwk(holder)
        text = json.dumps(claims) + answer.grant.result
        for needle in (site.key.seed.hex(), base64.urlsafe_b64encode(site.key.seed).decode().rstrip("=")):
            assert needle not in text
        # A repeat gets the very same; a renewal gets one of its own.
        assert (await release(dataclasses.replace(workload.ask, audience=AUDIENCE), running.broker)) == answer
        lease = record(running, answer.grant.lease.lease_id)
        _, renewal = await answered(site, running, renews=lease.lease_id)
        assert verified(running, renewal.grant.result)["jti"] != claims["jti"]


async def test_an_ed25519_holder(site: SimulatedSite) -> None:
    with site.open() as running:
        key = ED25519.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        _, answer = await answered(site, running, holder_key=key)
        assert verified(running, answer.grant.result)["cnf"]["jwk"] == public_jwk(ED25519)


async def test_without_being_asked_for_there_is_none(site: SimulatedSite) -> None:
    with site.open() as running:
        for changed in ({"audience": ""}, {"audience": "", "holder_key": b""}, {"rehearsal": True}):
            _, answer = await answered(site, running, **changed)
            assert answer.grant.result == ""


async def test_without_a_holder_key_none_is_made(site: SimulatedSite) -> None:
    with site.open() as running:
        before = running.reader.head().size
        with pytest.raises(Refused) as refused:
            await answered(site, running, holder_key=b"")
        assert (refused.value.reason, refused.value.check) == ("REQUEST_MALFORMED", "HOLDER_KEY")
        assert running.reader.head().size == before


async def test_it_is_for_one_audience_and_one_issuer(site: SimulatedSite) -> None:
    with site.open() as running:
        _, answer = await answered(site, running)
        for changed, error in (
            ({"audience": "https://other.example"}, jwt.InvalidAudienceError),
            ({"issuer": "other.example"}, jwt.InvalidIssuerError),
            ({"algorithms": ["HS256"]}, jwt.InvalidAlgorithmError),
        ):
            with pytest.raises(error):
                verified(running, answer.grant.result, **changed)
        signed, _, signature = answer.grant.result.rpartition(".")
        with pytest.raises(jwt.InvalidSignatureError):
            verified(running, f"{signed}.{signature[:-8]}AAAAAAAA")


def test_the_key_whose_time_has_come_signs() -> None:
    made = [ec.derive_private_key(n, ec.SECP256R1()) for n in (2, 3)]
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat  # noqa: PLC0415

    secrets = [Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())) for key in made]
    signer = ResultSigner(list(zip((0, 1_000), secrets, strict=True)))
    names = [thumbprint(public_jwk(key.public_key())) for key in made]
    told = [jwt.get_unverified_header(signer.sign({}, now))["kid"] for now in (0, 999, 1_000)]
    assert told == [names[0], names[0], names[1]]
    with pytest.raises(ValueError, match="no key"):
        ResultSigner([])
    other = ec.derive_private_key(2, ec.SECP384R1())
    with pytest.raises(TypeError, match="P-256"):
        ResultSigner([(0, Secret(other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())))])


def test_a_thumbprint_as_rfc_7638_makes_it() -> None:
    """RFC 8037, appendix A.3: the example of an Ed25519 key."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("audience", ["a b", "ü", "x" * 256, "\n", "a\0"])
def test_what_is_no_audience(site: SimulatedSite, audience: str) -> None:
    message = ReleaseKeysRequest.FromString(wire_request(site.chip, bytes(57)))
    message.result_audience = audience
    with pytest.raises(Refused) as refused:
        parse_ask(message.SerializeToString())
    assert refused.value.check == "result_audience"
    renewal = RenewLeaseRequest(
        attestation=message.attestation, purpose="p", names=[ASSET], lease_id="0" * 32, result_audience=audience
    )
    with pytest.raises(Refused):
        parse_renewal(renewal.SerializeToString())
