"""The note of log keys: one text for each value, and what is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import AttestError
from attest.tlog.keys import KeyType, SignerKey, VerifierKey
from attest.tlog.log_keys import MAX_KEYS, LogKeys, open_log_keys, root_name
from attest.tlog.note import sign_text
from tests.attest.tlog.refusal import refused

DEPLOYMENT = "keys.example"
ROOT = SignerKey.from_seed(root_name(DEPLOYMENT), bytes([1] * 32))


def log(shard: int) -> VerifierKey:
    return SignerKey.from_seed(f"{DEPLOYMENT}/audit/{shard}", bytes([10 + shard] * 32)).public


def witness(number: int) -> VerifierKey:
    key = SignerKey.from_seed(f"witness-{number}", bytes([50 + number] * 32)).public
    return replace(key, type=KeyType.ED25519_COSIGNATURE)


KEYS = LogKeys(deployment=DEPLOYMENT, version=3, logs=(log(1), log(2)), witnesses=(witness(1),))


def note(text: bytes, signer: SignerKey = ROOT) -> bytes:
    return sign_text(text, signer).encode()


def test_the_text() -> None:
    assert KEYS.text().decode().split("\n") == [
        "keys.example/log-keys",
        "3",
        f"log {log(1).vkey}",
        f"log {log(2).vkey}",
        f"witness witness-1 {witness(1).vkey}",
        "quorum none",
        "",
    ]
    assert LogKeys.parse(KEYS.text(), DEPLOYMENT) == KEYS


@pytest.mark.parametrize("at_least", [1, 2, 3])
def test_a_note_of_the_root(at_least: int) -> None:
    assert open_log_keys(note(KEYS.text()), ROOT.public, DEPLOYMENT, at_least=at_least) == KEYS


def text(change: Callable[[str], str]) -> bytes:
    return note(change(KEYS.text().decode()).encode())


OTHER = SignerKey.from_seed(ROOT.name, bytes([2] * 32))
FOREIGN = SignerKey.from_seed("other.example/log-keys", bytes([3] * 32))
CHECKPOINT = b"keys.example/audit/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
AS_LOG = replace(ROOT.public, name=f"{DEPLOYMENT}/audit/3")
BAD = {
    "an older version": (note(replace(KEYS, version=2).text()), "LOG_KEYS_VERSION"),
    "signed by another key of the name": (note(KEYS.text(), OTHER), "NOTE_UNSIGNED"),
    "signed by a log": (
        note(KEYS.text(), SignerKey.from_seed(f"{DEPLOYMENT}/audit/1", bytes([11] * 32))),
        "NOTE_UNSIGNED",
    ),
    "signed by another deployment's root": (note(KEYS.text(), FOREIGN), "NOTE_UNSIGNED"),
    "changed after it was signed": (note(KEYS.text()).replace(b"\n3\n", b"\n4\n"), "NOTE_SIGNATURE"),
    "of another deployment": (text(lambda t: t.replace("keys.example/log-keys", FOREIGN.name)), "LOG_KEYS_ORIGIN"),
    "a checkpoint": (note(CHECKPOINT), "LOG_KEYS_ORIGIN"),
    "no version": (text(lambda t: t.replace("\n3\n", "\n")), "LOG_KEYS_FORMAT"),
    "version zero": (text(lambda t: t.replace("\n3\n", "\n0\n")), "LOG_KEYS_FORMAT"),
    "a version that int would take": (text(lambda t: t.replace("\n3\n", "\n+3\n")), "LOG_KEYS_FORMAT"),
    "a leading zero": (text(lambda t: t.replace("\n3\n", "\n03\n")), "LOG_KEYS_FORMAT"),
    "a version too large": (text(lambda t: t.replace("\n3\n", f"\n{2**63}\n")), "LOG_KEYS_FORMAT"),
    "no log": (text(lambda t: "\n".join(x for x in t.split("\n") if not x.startswith("log "))), "LOG_KEYS_FORMAT"),
    "a log of another deployment": (text(lambda t: t.replace(log(2).vkey, FOREIGN.verifier_key)), "LOG_KEYS_FORMAT"),
    "a log under a cosigner's key": (
        text(lambda t: t.replace(log(2).vkey, replace(log(2), type=KeyType.ED25519_COSIGNATURE).vkey)),
        "LOG_KEYS_FORMAT",
    ),
    "a witness with a log's kind of key": (
        text(lambda t: t.replace(witness(1).vkey, replace(witness(1), type=KeyType.ED25519).vkey)),
        "LOG_KEYS_FORMAT",
    ),
    "a witness under another name": (text(lambda t: t.replace("witness witness-1", "witness w")), "LOG_KEYS_FORMAT"),
    "one key twice": (text(lambda t: t.replace(f"log {log(2).vkey}", f"log {log(1).vkey}")), "LOG_KEYS_FORMAT"),
    "one key under two names": (
        text(lambda t: t.replace(log(2).vkey, replace(log(1), name=log(2).name).vkey)),
        "VKEY_DUPLICATE",
    ),
    "the root as a log": (text(lambda t: t.replace(log(2).vkey, AS_LOG.vkey)), "VKEY_DUPLICATE"),
    "witnesses that are required": (text(lambda t: t.replace("quorum none", "quorum two")), "LOG_KEYS_QUORUM"),
    "no quorum": (text(lambda t: t.replace("quorum none\n", "")), "LOG_KEYS_QUORUM"),
    "a line of another kind": (text(lambda t: t.replace("quorum", "group g any\nquorum")), "LOG_KEYS_FORMAT"),
    "a line that is one word": (text(lambda t: t.replace("quorum", "log\nquorum")), "LOG_KEYS_FORMAT"),
    "two spaces": (text(lambda t: t.replace("log keys", "log  keys")), "LOG_KEYS_FORMAT"),
    "witnesses first": (
        text(lambda t: "\n".join([*t.split("\n")[:2], *reversed(t.split("\n")[2:5]), "quorum none", ""])),
        "LOG_KEYS_FORMAT",
    ),
    "a blank line": (text(lambda t: t.replace("quorum", "\nquorum")), "LOG_KEYS_FORMAT"),
    "a wrong key id": (text(lambda t: t.replace(log(2).key_id.hex(), "00000000")), "VKEY_ID"),
    "not a note": (b"log", "NOTE_FORMAT"),
    "nothing": (b"", "NOTE_FORMAT"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    raw, check = BAD[name]
    with refused(check):
        open_log_keys(raw, ROOT.public, DEPLOYMENT, at_least=3)


@pytest.mark.parametrize(
    "root",
    [
        replace(ROOT.public, name="keys.example/log-key"),
        FOREIGN.public,
        replace(ROOT.public, type=KeyType.ED25519_COSIGNATURE),
    ],
)
def test_a_root_that_is_not_this_deployments(root: VerifierKey) -> None:
    with refused("LOG_KEYS_ROOT"):
        open_log_keys(note(KEYS.text()), root, DEPLOYMENT, at_least=1)


def test_there_is_an_end_of_keys() -> None:
    many = tuple(
        SignerKey.from_seed(f"{DEPLOYMENT}/audit/{n}", n.to_bytes(32, "big")).public for n in range(1, MAX_KEYS + 2)
    )
    assert len(LogKeys(deployment=DEPLOYMENT, version=1, logs=many[:MAX_KEYS]).logs) == MAX_KEYS
    with refused("LOG_KEYS_FORMAT"):
        LogKeys(deployment=DEPLOYMENT, version=1, logs=many)


@given(st.binary(max_size=80), st.integers(0, 400))
def test_whatever_is_signed_is_the_one_text_or_refused(piece: bytes, at: int) -> None:
    whole = KEYS.text()
    try:
        changed = note(whole[:at] + piece + whole[at:] if whole[:at].endswith(b"\n") else piece + b"\n")
        found = open_log_keys(changed, ROOT.public, DEPLOYMENT, at_least=1)
    except AttestError:
        return
    assert note(found.text()) == changed


def test_a_private_half_as_text() -> None:
    assert SignerKey.parse(ROOT.skey()).verifier_key == ROOT.verifier_key
    secret = ROOT.skey().rpartition("+")[2]
    assert secret not in repr(ROOT)
    for wrong in ("", ROOT.verifier_key, ROOT.skey()[:-4], ROOT.skey().replace(ROOT.public.key_id.hex(), "00000000")):
        with pytest.raises(AttestError) as caught:
            SignerKey.parse(wrong)
        assert secret not in str(caught.value)
