"""The log keys of a deployment, as a note that an offline key signed: what a rollover changes instead of an image.

Sources: C2SP signed-note v1.0.0; the lines are those of C2SP tlog-policy; docs/log.md, section "Log keys". The text:

    <deployment>/log-keys
    <version>
    log <vkey>
    witness <name> <vkey>
    quorum none

in this order, one line at least for a log, any number for witnesses. The first line is also the name of the key that
signs, and can be no checkpoint's: a log's name has a shard in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from attest.errors import Malformed, NotLogged
from attest.tlog.fields import parse_decimal
from attest.tlog.keys import KeyType, VerifierKey
from attest.tlog.merkle import MAX_SIZE
from attest.tlog.note import check_keys, open_note

__all__ = ["MAX_KEYS", "LogKeys", "check_root", "open_log_keys", "root_name"]

MAX_KEYS = 100
_WITNESSES = (KeyType.ED25519_COSIGNATURE, KeyType.ML_DSA_44_COSIGNATURE)


def root_name(deployment: str) -> str:
    """The name of a deployment's offline key, and the first line of what it signs."""
    return f"{deployment}/log-keys"


def check_root(root: VerifierKey, deployment: str) -> None:
    """Raises Malformed LOG_KEYS_ROOT unless `root` is an Ed25519 key under the name that this deployment's has."""
    if root.name != root_name(deployment) or root.type is not KeyType.ED25519:
        expected = f"an Ed25519 key (type 0x01) named {root_name(deployment)}"
        raise Malformed("LOG_KEYS_ROOT", "root", expected=expected, got=f"type 0x{root.type:02x}, {root.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeys:
    """Which keys sign the deployment's logs. Raises Malformed LOG_KEYS_FORMAT; VKEY_DUPLICATE for a key in two parts.

    Logs of former shards stay listed, since their receipts are to verify. No witness is required yet: `quorum none`.
    """

    deployment: str
    version: int
    logs: tuple[VerifierKey, ...]
    witnesses: tuple[VerifierKey, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.version <= MAX_SIZE:
            raise _wrong("version", "1 to 2**63 - 1", self.version)
        if not self.logs or len(self.logs) + len(self.witnesses) > MAX_KEYS:
            raise _wrong("log", f"one log at least, and at most {MAX_KEYS} keys", len(self.logs) + len(self.witnesses))
        for key in self.logs:
            if key.type is not KeyType.ED25519 or not key.name.startswith(f"{self.deployment}/audit/"):
                expected = f"an Ed25519 key (type 0x01) of a log {self.deployment}/audit/<shard>"
                raise _wrong("log", expected, f"type 0x{key.type:02x}, {key.name}")
        for key in self.witnesses:
            if key.type not in _WITNESSES:
                raise _wrong("witness", "a cosigner's key (type 0x04 or 0x06)", f"type 0x{key.type:02x}, {key.name}")
        every = [*self.logs, *self.witnesses]
        if len(set(every)) != len(every):
            raise _wrong("log", "each key once", "one twice")
        check_keys(every)

    def text(self) -> bytes:
        """What is signed. There is one text for each value."""
        lines = [root_name(self.deployment), str(self.version), *(f"log {key.vkey}" for key in self.logs)]
        lines += [f"witness {key.name} {key.vkey}" for key in self.witnesses]
        return "".join(f"{line}\n" for line in [*lines, "quorum none"]).encode()

    @classmethod
    def parse(cls, text: bytes, deployment: str) -> LogKeys:
        """Reads what `text` gave, and nothing else.

        Raises NotLogged LOG_KEYS_ORIGIN for another deployment's; Malformed LOG_KEYS_QUORUM where witnesses are
        required, which this program cannot check; LOG_KEYS_FORMAT; and as the class and `VerifierKey.parse`.
        """
        origin, *lines = text.decode("utf-8", "replace").split("\n")
        if origin != root_name(deployment):
            raise NotLogged("LOG_KEYS_ORIGIN", "note", expected=root_name(deployment), got=repr(origin))
        if len(lines) < 4 or lines.pop():
            raise _wrong("note", "a version, keys and a quorum, each a line", f"{len(lines)} lines")
        version, *listed = lines
        quorum = listed.pop()
        if quorum != "quorum none":
            raise Malformed("LOG_KEYS_QUORUM", "quorum", expected="quorum none: no witness is required", got=quorum)
        words = [line.split(" ") for line in listed]
        found = cls(
            deployment=deployment,
            version=parse_decimal(version) or 0,
            logs=tuple(VerifierKey.parse(rest[-1]) for kind, *rest in words if kind == "log" and rest),
            witnesses=tuple(VerifierKey.parse(rest[-1]) for kind, *rest in words if kind == "witness" and rest),
        )
        if found.text() != text:
            raise _wrong("note", found.text(), text)
        return found


def open_log_keys(raw: bytes, root: VerifierKey, deployment: str, *, at_least: int) -> LogKeys:
    """The log keys of a note that came by any path.

    1. `root` is this deployment's kind of root  2. it signed the note  3. the text is of this deployment, and whole
    4. `root` is none of the keys that it lists  5. the version is not below `at_least`

    A note that is older than another, but not below `at_least`, is good: who keeps nothing cannot tell. Raises as
    `check_root`, `open_note` and `LogKeys.parse`; NotLogged LOG_KEYS_VERSION.
    """
    check_root(root, deployment)  # 1
    found = LogKeys.parse(open_note(raw, [root]).text, deployment)  # 2, 3
    check_keys([root, *found.logs, *found.witnesses])  # 4
    if found.version < at_least:  # 5
        raise NotLogged("LOG_KEYS_VERSION", "note", expected=f"version {at_least} or later", got=found.version)
    return found


def _wrong(path: str, expected: object, got: object) -> Malformed:
    return Malformed("LOG_KEYS_FORMAT", path, expected=expected, got=got)
