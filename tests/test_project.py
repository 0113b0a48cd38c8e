"""Rules of the whole project that no single room can hold."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import sealgate.v1
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, ServiceDescriptor

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("attest", "kbs", "clients", "deploy", "tests")


def _tracked() -> list[Path]:
    """Every file that is, or could be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


# --- the API ---

# Every field that can hold bytes, with what it holds. A new one is added here on purpose, and never for a key in the
# clear: what is wrapped, public, signed or a digest may travel.
BYTES = {
    "Attestation.challenge": "the broker's challenge",
    "Attestation.recipient_key": "a public key",
    "Attestation.holder_key": "a public key",
    "Attestation.init_data": "what the host gave at launch",
    "SnpEvidence.report": "signed evidence",
    "SnpEvidence.certificates": "certificates",
    "TdxEvidence.quote": "signed evidence",
    "TdxEvidence.event_log": "measurements of a boot",
    "GetGrantReceiptRequest.challenge": "the broker's challenge",
    "GetGrantReceiptRequest.holder_key": "a public key",
    "GetGrantReceiptRequest.signature": "a signature",
    "AzureEvidence.hcl_report": "signed evidence",
    "AzureEvidence.tpm_quote": "signed evidence",
    "AzureEvidence.tpm_signature": "a signature",
    "AzureEvidence.pcrs": "digests",
    "AzureEvidence.certificates": "certificates",
    "AzureEvidence.td_quote": "signed evidence",
    "DeviceEvidence.report": "signed evidence",
    "DeviceEvidence.chain": "certificates",
    "GetChallengeResponse.challenge": "the broker's challenge",
    "WrappedKey.wrapped": "a key under the recipient's public key",
    "WrappedKey.content_digest": "a digest",
    "ExportCollateralResponse.bundle": "what vendors publish",
    "CollateralPiece.data": "what a vendor publishes",
    "Receipt.leaf": "a log entry",
    "Receipt.hashes": "digests",
    "Receipt.checkpoint": "a signed checkpoint",
    "Receipt.signers": "a signed list of public keys",
    "Possession.challenge": "the broker's challenge",
    "Possession.public_key": "a public key",
    "Possession.signature": "a signature",
    "Credential.certificates": "certificates",
    "ExplainDecisionResponse.measurement": "a launch digest",
    "Change.digest": "a digest",
    "KeyVersion.public_key": "a public key",
    "ImportKeyVersionRequest.sealed": "a secret under the public key of the pair that it is imported through",
    "Register.value": "measurements of a boot",
}
SUSPECT = re.compile(
    r"(^|_)(key|keys|secret|secrets|plaintext|plain|clear|private|priv|dek|kek|seed|password|token)(_|$)"
)
PUBLIC_NAMES = {"key_name", "recipient_key", "holder_key", "public_key", "page_token", "next_page_token"}
MESSAGES_OF_KEYS = {
    "ReleaseKeysResponse.keys": "WrappedKey",
    "ListKeyVersionsResponse.key_versions": "KeyVersion",  # public halves
}
CARRIERS = {"google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.BytesValue"}


def _files() -> Iterator[FileDescriptor]:
    for module in pkgutil.iter_modules(sealgate.v1.__path__):
        if module.name.endswith("_pb2"):
            yield importlib.import_module(f"sealgate.v1.{module.name}").DESCRIPTOR


def _messages() -> Iterator[Descriptor]:
    waiting = [message for file in _files() for message in file.message_types_by_name.values()]
    while waiting:
        message = waiting.pop()
        yield message
        waiting += message.nested_types


def _fields() -> Iterator[tuple[str, FieldDescriptor]]:
    for message in _messages():
        for field in message.fields:
            yield f"{message.full_name.removeprefix('sealgate.v1.')}.{field.name}", field


def test_the_walk_sees_the_api() -> None:
    assert {file.package for file in _files()} == {"sealgate.v1"}
    assert {path.stem for path in (ROOT / "proto/sealgate/v1").glob("*.proto")} == {
        Path(file.name).stem for file in _files()
    }
    assert len(list(_fields())) > 40


def test_no_field_could_hold_a_plaintext_key() -> None:
    found = {name for name, field in _fields() if field.type == FieldDescriptor.TYPE_BYTES}
    assert found == set(BYTES)


def test_no_field_is_named_like_a_plaintext_key() -> None:
    for name, field in _fields():
        if SUSPECT.search(field.name) and field.name not in PUBLIC_NAMES:
            assert field.message_type is not None, name
            assert field.message_type.name == MESSAGES_OF_KEYS[name], name


def test_no_field_could_hold_anything_at_all() -> None:
    """Neither Any nor Struct, no map, no extension, nothing of another package but a time."""
    for name, field in _fields():
        kind = field.message_type
        if kind is None:
            continue
        assert kind.full_name not in CARRIERS, name
        assert not kind.GetOptions().map_entry, name
        assert kind.full_name.startswith("sealgate.v1.") or kind.full_name == "google.protobuf.Timestamp", name
    assert not [message.full_name for message in _messages() if message.is_extendable]


def test_what_holds_a_wrapped_key_is_in_one_reply_alone() -> None:
    holders = {
        name for name, field in _fields() if field.message_type is not None and field.message_type.name == "WrappedKey"
    }
    assert holders == {"ReleaseKeysResponse.keys"}
    services: list[ServiceDescriptor] = [s for file in _files() for s in file.services_by_name.values()]
    answers = [m.full_name for s in services for m in s.methods if m.output_type.name == "ReleaseKeysResponse"]
    assert answers == ["sealgate.v1.KeyRelease.ReleaseKeys"]


# --- the repository ---

# In pieces, so that this file does not name what it looks for.
REGISTRIES = [
    ".".join(pieces)
    for pieces in (
        ("pypi", "org"), ("pythonhosted", "org"), ("pypi", "io"), ("npmjs", "org"), ("npmjs", "com"),
        ("yarnpkg", "com"), ("crates", "io"), ("rubygems", "org"), ("proxy", "golang", "org"),
        ("anaconda", "org"),
        ("jfrog", "io"),
        ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io"), ("pkg", "dev"),
        ("maven", "org"),
    )
]  # fmt: skip
OPTIONS = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host")


def test_no_file_names_a_package_registry() -> None:
    named: list[str] = []
    for path in _tracked():
        data = path.read_bytes()
        if b"\0" in data[:1_024]:
            continue
        text = data.decode("utf-8", "replace").lower()
        named += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRIES if host in text]
    assert named == []


def test_lock_files_pin_by_hash_and_name_no_index() -> None:
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert {"run.txt", "dev.txt"} <= {lock.name for lock in locks}
    for lock in locks:
        text = lock.read_text()
        assert not OPTIONS.search(text), lock.name
        assert "://" not in text, lock.name
        for requirement in re.sub(r"\\\n", " ", text).splitlines():
            if requirement.strip() and not requirement.strip().startswith("#"):
                assert "==" in requirement, requirement
                assert "--hash=sha256:" in requirement, requirement


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    readme = (folder / "README.md").read_text()
    pages = sorted(p.name for p in folder.glob("*.md") if p.name != "README.md")
    assert re.findall(r"\]\(([^)]+\.md)\)", readme) == pages
    numbers = [int(p[:4]) for p in pages]
    assert numbers == list(range(1, len(numbers) + 1))
    for page in pages:
        text = (folder / page).read_text()
        assert re.match(rf"# {page[:4]}:? ", text), page
        assert "accepted" in text.lower() or "superseded" in text.lower(), page


def _modules() -> list[Path]:
    return [p for p in _tracked() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in PACKAGES]


def test_every_module_says_what_it_is() -> None:
    """Ours, not the generated ones; of the tests every module that is not empty."""
    silent = []
    for path in _modules():
        text = path.read_text()
        if text.strip() and ast.get_docstring(ast.parse(text)) is None:
            silent.append(path.relative_to(ROOT).as_posix())
    assert len(_modules()) > 100
    assert silent == []


@pytest.mark.parametrize("package", ["attest", "kbs", "clients"])
def test_no_package_has_a_drawer_for_everything(package: str) -> None:
    names = {p.stem for p in _modules() if p.relative_to(ROOT).parts[0] == package}
    assert names & {"utils", "util", "common", "helpers", "misc", "types"} == set()


# --- the base installation ---

BASE = {"cryptography", "google", "grpc", "cffi", "_cffi_backend", "pycparser", "typing_extensions"}
ABSENT = """
import importlib.abc, json, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Absent())
sys.argv = ["sealgate"]
"""
WALK = """
import importlib, pkgutil
import attest, clients.workload, sealgate.v1
for package in (attest, clients.workload, sealgate.v1):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import clients.cli.main, clients.cli.keys, clients.cli.seal, clients.cli.unseal, clients.cli.evidence
from clients.cli.main import main
"""
WORKS = """
import datetime
from clients.cli.main import Doors
for line in ("", "--help", "keys get --help", "open --help", "seal --help", "evidence --help"):
    arguments = line.split()
    assert main(arguments, Doors(now=datetime.datetime.now(datetime.UTC))) == (0 if arguments else 2), arguments

from attest.ecdsa import AWS_EC
assert AWS_EC is None
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from attest.ecdsa import verify_p384
key = ec.generate_private_key(ec.SECP384R1())
spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
verify_p384(spki, b"m", *decode_dss_signature(key.sign(b"m", ec.ECDSA(hashes.SHA384()))), check="X", path="x")
from clients.workload.recipient import RecipientKey
assert len(RecipientKey().public) == 1216
"""
SHOW = "\nprint(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"


def _others() -> list[str]:
    """Every top-level module that is installed here and belongs to no base dependency."""
    ours = {"attest", "kbs", "clients", "deploy", "tests", "sealgate"}
    found = {m.name for m in pkgutil.iter_modules() if m.name not in ours | BASE | {"_distutils_hack"}}
    return sorted(found - sys.stdlib_module_names)


def _run(code: str, blocked: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", ABSENT + code, json.dumps(blocked)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_base_installation_boots_with_what_it_lists() -> None:
    """As if nothing else were installed: every module of it imports, and its commands and signatures work."""
    blocked = _others()
    assert {"awscrt", "cedarpy", "sqlalchemy", "uvloop", "pytest"} <= set(blocked)
    done = _run(WALK + WORKS + SHOW, blocked)
    assert done.returncode == 0, done.stderr[-3_000:]
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert loaded & set(blocked) == set()
    assert "kbs" not in loaded or not loaded & {"sqlalchemy", "cedarpy"}


def test_without_a_base_dependency_it_does_not() -> None:
    """The block blocks: else the test above could not fail."""
    for name in ("grpc", "cryptography"):
        done = _run(WALK, [name])
        assert done.returncode != 0
        assert f"No module named '{name}" in done.stderr


def test_what_the_base_lists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=~!\[; ]", line)[0] for line in project["dependencies"]}
    assert names == {"cryptography", "googleapis-common-protos", "grpcio", "protobuf"}
