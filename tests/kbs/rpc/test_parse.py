"""Bytes from the wire: every limit, one above and at it, and the field that is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sealgate.v1.attestation_pb2 import Attestation, DeviceEvidence, HpkeSuite, SnpEvidence
from sealgate.v1.key_release_pb2 import GetChallengeRequest, ReleaseKeysRequest

from attest import evidence as attest_evidence
from kbs.model.refusal import Refused
from kbs.rpc.parse import parse, parse_ask

NAME = "tenants/acme/assets/llm"
Change = Callable[[ReleaseKeysRequest], object]


def _good() -> ReleaseKeysRequest:
    snp = SnpEvidence(report=b"r" * 1_184, certificates=[b"c"])
    attestation = Attestation(
        challenge=b"c" * 57,
        suite=HpkeSuite.HPKE_SUITE_MLKEM768_X25519,
        recipient_key=b"k" * 1_216,
        holder_key=b"h",
        snp=snp,
    )
    return ReleaseKeysRequest(attestation=attestation, purpose="training", names=[NAME])


def _set(**fields: Any) -> Change:
    """Sets fields of the attestation."""

    def change(message: ReleaseKeysRequest) -> None:
        for name, value in fields.items():
            setattr(message.attestation, name, value)

    return change


def _names(*names: str) -> Change:
    def change(message: ReleaseKeysRequest) -> None:
        message.ClearField("names")
        message.names.extend(names)

    return change


def _purpose(text: str) -> Change:
    return lambda message: setattr(message, "purpose", text)


def _devices(count: int) -> Change:
    return lambda message: message.attestation.devices.extend([DeviceEvidence(kind="nvidia-gpu")] * count)


def _certificates(count: int) -> Change:
    return lambda message: message.attestation.snp.certificates.extend([b"c"] * (count - 1))


LONG = f"tenants/{'t' * 63}/assets/{'a' * 63}"
# name: what is done to a good request
FINE: dict[str, Change] = {
    "nothing": lambda message: None,
    "a challenge of 57 bytes": _set(challenge=bytes(57)),
    "no challenge": _set(challenge=b""),
    "a recipient key of 1216 bytes": _set(recipient_key=bytes(1_216)),
    "a holder key of 256 bytes": _set(holder_key=bytes(256)),
    "init-data of 16 KiB": _set(init_data=bytes(16_384)),
    "16 names": _names(*(f"{NAME}-{n}" for n in range(16))),
    "the longest name": _names(LONG),
    "16 devices": _devices(16),
    "16 certificates": _certificates(16),
    "a purpose of 32 letters": _purpose("a" * 32),
    "a suite that nobody knows": _set(suite=99),
}
# name: (what is done, the field that is named)
BAD: dict[str, tuple[Change, str]] = {
    "a challenge of 58 bytes": (_set(challenge=bytes(58)), "challenge"),
    "a recipient key of 1217 bytes": (_set(recipient_key=bytes(1_217)), "recipient_key"),
    "a holder key of 257 bytes": (_set(holder_key=bytes(257)), "holder_key"),
    "init-data above 16 KiB": (_set(init_data=bytes(16_385)), "init_data"),
    "17 devices": (_devices(17), "devices"),
    "17 certificates": (_certificates(17), "attestation.snp.certificates"),
    "no evidence": (lambda message: message.attestation.ClearField("snp"), "attestation.cpu"),
    "no attestation": (lambda message: message.ClearField("attestation"), "attestation.cpu"),
    "no name": (_names(), "names"),
    "17 names": (_names(*(f"{NAME}-{n}" for n in range(17))), "names"),
    "a name twice": (_names(NAME, NAME), "names"),
    "two tenants": (_names(NAME, "tenants/umbrella/assets/llm"), "names"),
    "a name in capitals": (_names("tenants/acme/assets/LLM"), "names"),
    "a name with a newline": (_names(NAME + "\n"), "names"),
    "a name that climbs": (_names("tenants/acme/assets/../x"), "names"),
    "a name of another kind": (_names("tenants/acme/profiles/p"), "names"),
    "a key version's name": (_names(NAME + "/keyVersions/1"), "names"),
    "a name that is too long": (_names(LONG + "a"), "names"),
    "an empty name": (_names(""), "names"),
    "a name in other digits": (_names("tenants/acme/assets/llm\u0663"), "names"),
    "a name that ends in a hyphen": (_names(NAME + "-"), "names"),
    "no purpose": (_purpose(""), "purpose"),
    "a purpose of 33 letters": (_purpose("a" * 33), "purpose"),
    "a purpose in capitals": (_purpose("Training"), "purpose"),
    "a purpose with a newline": (_purpose("training\n"), "purpose"),
    "a purpose with a digit first": (_purpose("1a"), "purpose"),
    "a purpose of other letters": (_purpose("tr\u00e4ining"), "purpose"),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine(name: str) -> None:
    message = _good()
    FINE[name](message)
    ask = parse_ask(message.SerializeToString())
    assert ask.names == tuple(message.names)
    assert ask.challenge == message.attestation.challenge
    snp = message.attestation.snp
    assert ask.evidence == attest_evidence.SnpEvidence(report=snp.report, certificates=tuple(snp.certificates))
    assert ask.suite == message.attestation.suite
    assert not ask.rehearsal


@pytest.mark.parametrize("name", BAD)
def test_what_is_not(name: str) -> None:
    change, field = BAD[name]
    message = _good()
    change(message)
    with pytest.raises(Refused) as refused:
        parse_ask(message.SerializeToString())
    assert (refused.value.reason, refused.value.check) == ("REQUEST_MALFORMED", field)
    assert len(str(refused.value)) < 400
    assert refused.value.expected != refused.value.got


GOOD = _good().SerializeToString()
NOT_ONE = {
    "cut short": GOOD[:-1],
    "noise": b"\xff" * 40,
    "a group that never ends": b"\x0b" * 200,
    "a length beyond the end": b"\x0a\xff\xff\xff\xff\x07",
    "a name that is no UTF-8": ReleaseKeysRequest(purpose="a").SerializeToString() + b"\x1a\x01\xff",
    "nested without end": b"\x0a\x7e" * 120,
}


@pytest.mark.parametrize("name", NOT_ONE)
def test_bytes_that_are_no_message(name: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_ask(NOT_ONE[name])
    assert refused.value.reason == "REQUEST_MALFORMED"


def test_every_prefix_is_refused_or_an_ask() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(Refused):
            parse_ask(GOOD[:length])


def test_what_comes_after_us_is_passed_over() -> None:
    """A field of a later version does not stop an older broker; what it binds is not among what we know."""
    assert parse(GetChallengeRequest, b"\xfa\x3f\x01x") is not None
    assert parse_ask(GOOD + b"\xfa\x3f\x01x") == parse_ask(GOOD)
