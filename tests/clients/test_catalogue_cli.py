"""The operator's commands over the wire: plan and apply, assets, keys, reference values from a refused boot."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import io
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from clients.cli.main import Doors, main
from clients.cli.seal import _recipient
from clients.errors import Denied
from clients.operator.documents import read_documents
from clients.transport import connect
from clients.trust import read_trust
from clients.workload.keys import get_keys
from clients.workload.manifest import Listed, Manifest
from kbs.serve.wiring import Running
from tests.flow.test_wire import FakeTee
from tests.makers.site import ASSET, PURPOSE, SimulatedSite

ROOT = Path(__file__).resolve().parents[2]
LLM, LUKS = "tenants/acme/assets/llm", "tenants/acme/assets/luks"
SET = "tenants/acme/referenceSets/trainer-1"


@dataclass(frozen=True)
class Told:
    """What a command came to."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Desk:
    """An operator's desk: a served site, and the command line before it."""

    site: SimulatedSite
    running: Running
    workload: int
    people: int

    async def run(self, *arguments: str | Path, stdin: bytes = b"") -> Told:
        where = ["--trust", str(self.site.trust), "--broker", f"127.0.0.1:{self.people}"]
        who = ["--key", str(self.site.directory / "operator.key"), "--cert", str(self.site.directory / "operator.pem")]
        return await asyncio.to_thread(_run, [*map(str, arguments), *where, *who], stdin)

    def boot(self, measurement: bytes) -> Sequence[object]:
        trust = read_trust(self.site.trust, simulated=True)
        with connect(f"127.0.0.1:{self.workload}", trust.broker_ca) as channel:
            return get_keys(channel, trust, FakeTee(self.site, measurement), PURPOSE, [ASSET]).keys


def _run(arguments: list[str], stdin: bytes) -> Told:
    out, err, piped = io.StringIO(), io.StringIO(), io.TextIOWrapper(io.BytesIO(stdin))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr("sys.stdin", piped)
        code = main(arguments, Doors(now=dt.datetime.now(dt.UTC), simulated=True))
    return Told(code, out.getvalue(), err.getvalue())


@pytest_asyncio.fixture
async def desk(site: SimulatedSite) -> AsyncIterator[Desk]:
    async with site.serve() as (running, listeners):
        yield Desk(site, running, listeners.workload_port, listeners.people_port)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example of docs/catalogue.md."""
    [text] = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "catalogue.md").read_text(), re.DOTALL)
    path = tmp_path / "catalogue.yaml"
    path.write_text(text)
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def test_the_example_of_the_page_is_planned_applied_and_then_there(desk: Desk, example: Path) -> None:
    planned = await desk.run("plan", "-f", example)
    assert not [line for line in planned.out.splitlines() if "refused" in line or "yaml" in line]
    assert (planned.code, planned.out.splitlines()[-1]) == (0, "7 to create, 0 to change, 0 to delete, 0 as they are")
    head = desk.running.reader.head().size
    applied = await desk.run("apply", "-f", example)
    assert applied.code == 0, applied.err
    assert desk.running.reader.head().size == head + 7
    assert applied.err.count("applied: create") == 7
    for command in ("plan", "apply"):
        again = await desk.run(command, "-f", example, "--json")
        assert {step["action"] for step in json.loads(again.out)["steps"]} == {"unchanged"}
    assert desk.running.reader.head().size == head + 7
    edit(example, "size_bytes: 140000000000", "size_bytes: 150000000000")
    planned = await desk.run("plan", "-f", example)
    assert f"~ update   {LLM}\n      size_bytes: 140000000000 -> 150000000000\n" in planned.out
    assert planned.out.endswith("0 to create, 1 to change, 0 to delete, 6 as they are\n")


async def test_what_a_resource_is_shown_as_is_what_apply_reads(desk: Desk, example: Path) -> None:
    await desk.run("apply", "-f", example)
    for noun, name in (
        ("asset", LLM),
        ("refvalue", SET),
        ("profile", "tenants/acme/profiles/snp"),
        ("tenant", "tenants/acme"),
    ):
        shown = await desk.run(noun, "get", name)
        assert shown.code == 0, shown.err
        planned = await desk.run("plan", "-f", "-", stdin=shown.out.encode())
        assert planned.out == "0 to create, 0 to change, 0 to delete, 1 as they are\n", shown.out
    listed = await desk.run("asset", "list", "--filter", "kind = secret")
    assert [line.split()[0] for line in listed.out.splitlines()] == ["name", LUKS]
    assert json.loads((await desk.run("device", "list", "--json")).out)[0]["kind"] == "nvidia-gpu"


async def test_what_somebody_else_changed_is_not_overwritten(desk: Desk, example: Path, tmp_path: Path) -> None:
    await desk.run("apply", "-f", example)
    mine = tmp_path / "mine.yaml"
    mine.write_text((await desk.run("asset", "get", LLM)).out.replace("tier: 2", "tier: 1"))
    changed = await desk.run("asset", "set", LLM, "--size-bytes", "7", "--label", "new")
    assert changed.code == 0, changed.err
    for command in ("plan", "apply"):
        told = await desk.run(command, "-f", mine)
        assert told.code == 3
        assert "ETAG_MISMATCH" in told.out
    assert (await desk.run("asset", "get", LLM, "--json")).out.count('"tier": 2') == 1


async def test_nothing_is_applied_of_a_plan_with_a_refusal(desk: Desk, example: Path) -> None:
    head = desk.running.reader.head().size
    edit(example, "covers: [firmware, kernel, initrd, cmdline]\n    vcpus", "covers: [firmware]\n    vcpus")
    told = await desk.run("apply", "-f", example)
    assert told.code == 3
    assert "nothing was applied" in told.err
    assert "TIER_COVERAGE" in told.out
    assert f"{example}:" in told.out
    assert desk.running.reader.head().size == head


async def test_what_is_to_be_gone_is_said(desk: Desk, example: Path, tmp_path: Path) -> None:
    await desk.run("apply", "-f", example)
    gone = tmp_path / "gone.yaml"
    names = ("tenants/acme/profiles/snp", SET, "tenants/acme/referenceSets/trainer-0", LLM, LUKS)
    gone.write_text("\n---\n".join(f"name: {name}\ndelete: true" for name in names))
    told = await desk.run("apply", "-f", gone)  # in the order that works, whatever the file's
    assert (told.code, told.err.count("applied: delete")) == (0, 5), told.out
    again = await desk.run("apply", "-f", gone)
    assert again.out == "0 to create, 0 to change, 0 to delete, 5 as they are\n"


async def test_the_digest_of_a_manifest_of_this_asset_alone(desk: Desk, example: Path, tmp_path: Path) -> None:
    await desk.run("apply", "-f", example)
    line = Listed(path="model", size=1, header=bytes(32), root=b"")
    manifest, other, wrong = (tmp_path / name for name in ("manifest.json", "other.json", "wrong.json"))
    manifest.write_bytes(Manifest(asset=LLM, files=(line,)).encode())
    other.write_bytes(Manifest(asset="tenants/acme/assets/luks", files=(line,)).encode())
    wrong.write_bytes(manifest.read_bytes() + b" ")
    assert (await desk.run("asset", "set", LLM, "--manifest", manifest)).code == 0
    shown = await desk.run("asset", "get", LLM, "--json")
    assert json.loads(shown.out)["content_digest"] == hashlib.sha256(manifest.read_bytes()).hexdigest()
    for path, code, said in ((other, 2, "is of tenants/acme/assets/luks"), (wrong, 4, "MANIFEST_FORMAT")):
        refused = await desk.run("asset", "set", LLM, "--manifest", path)
        assert (refused.code, said in refused.err) == (code, True), refused.err


async def test_keys_by_command(desk: Desk, example: Path, tmp_path: Path) -> None:
    await desk.run("apply", "-f", example)
    public = tmp_path / "llm.pub"
    assert (await desk.run("key", "create", "--asset", LLM, "--out", public)).code == 0
    first = _recipient(public)
    assert (await desk.run("key", "rotate", "--asset", LLM)).code == 0
    written = await desk.run("asset", "public-key", "--asset", LLM, "--out", public)
    assert (written.code, written.out) == (0, "")
    assert _recipient(public) != first
    document = json.loads((await desk.run("asset", "public-key", "--asset", LLM, "--version", "1", "--json")).out)
    assert (document["version"], document["public_key"]) == (1, first.text())
    listed = json.loads((await desk.run("key", "list", "--asset", LLM, "--json")).out)
    assert [(v["version"], v["state"]) for v in listed] == [(1, "enabled"), (2, "enabled")]
    for verb, state in (("disable", "disabled"), ("destroy", "destroyed")):
        told = await desk.run("key", verb, f"{LLM}/keyVersions/1")
        assert told.out == f"{LLM}/keyVersions/1 is {state}\n"
    refused = await desk.run("key", "enable", f"{LLM}/keyVersions/1")
    assert (refused.code, "is destroyed" in refused.err) == (3, True)


async def test_a_secret_is_imported_and_is_nowhere_to_be_seen(
    desk: Desk, example: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.run("apply", "-f", example)
    secret = b"correct horse battery staple 0123456789"
    told = await desk.run("key", "import", "--asset", LUKS, "--file", "-", "--json", stdin=secret)
    assert (told.code, json.loads(told.out)["state"]) == (0, "enabled"), told.err
    assert desk.running.vault.key(f"{LUKS}/keyVersions/1").reveal() == secret
    everything = (told.out + told.err + caplog.text).encode()
    for path in desk.site.directory.rglob("*"):
        everything += path.read_bytes() if path.is_file() else b""
    assert secret not in everything
    wrong = await desk.run("key", "import", "--asset", LUKS, "--file", "-", stdin=b"")
    assert (wrong.code, "1 to 4096 bytes" in wrong.err) == (2, True)
    into_pair = await desk.run("key", "import", "--asset", LLM, "--file", "-", stdin=secret)
    assert (into_pair.code, "not of kind secret" in into_pair.err) == (4, True)


async def test_from_a_refused_boot_to_a_trusted_image_in_two_commands(desk: Desk, tmp_path: Path) -> None:
    measurement = b"\x07" * 48
    with pytest.raises(Denied) as denied:
        await asyncio.to_thread(desk.boot, measurement)
    ticket = denied.value.details["ticket"]
    covers = ["--covers", "firmware", "kernel", "initrd", "cmdline"]
    name = ["--name", "tenants/acme/referenceSets/next", "--value-name", "milan", "--asset", ASSET]
    drafted = await desk.run("refvalue", "draft", "--from", ticket, *name, *covers)
    assert drafted.code == 0, drafted.err
    assert "unproven machine" in drafted.err
    applied = await desk.run("apply", "-f", "-", stdin=drafted.out.encode())
    assert applied.code == 0, applied.out
    assert await asyncio.to_thread(desk.boot, measurement)
    taken = await desk.run("refvalue", "draft", "--from", ticket, *name, *covers)
    assert (taken.code, "--value-name" in taken.err) == (2, True)
    more = await desk.run("refvalue", "draft", "--from", ticket, "--name", name[1], "--value-name", "other", *covers)
    assert [v["name"] for v in json.loads(more.out)["values"]] == ["milan", "other"]


async def test_the_life_of_a_set_by_command(desk: Desk, example: Path) -> None:
    await desk.run("apply", "-f", example)
    told = await desk.run("refvalue", "deprecate", SET, "--sunset", "2027-03-31")
    assert told.out == f"{SET} is deprecated\n"
    assert json.loads((await desk.run("refvalue", "get", SET, "--json")).out)["sunset"] == "2027-03-31T00:00:00Z"
    assert (await desk.run("refvalue", "activate", SET)).code == 0
    assert (await desk.run("refvalue", "revoke", SET)).code == 0
    told = await desk.run("refvalue", "activate", SET)
    assert (told.code, "is revoked" in told.err) == (3, True)
    wrong = await desk.run("refvalue", "deprecate", SET, "--sunset", "soon")
    assert (wrong.code, "2027-03-31" in wrong.err) == (2, True)
    assert (await desk.run("asset", "set", LLM)).code == 2
    assert (await desk.run("asset", "get", "nothing")).code == 2
    assert (await desk.run("asset", "get", f"{LLM}-none")).code == 3


# name: (the file, the line, what the sentence says)
MISTAKES: dict[str, tuple[str, int, str]] = {
    "nothing": ("# no document\n", 0, "no document"),
    "not YAML": ("name: [\n", 2, "expected"),
    "a list": ("- a\n", 1, "a document is a mapping"),
    "no name": ("kind: weights\n", 1, "name must be"),
    "a name of nothing": ("name: tenants/acme/things/x\n", 1, "COLLECTION"),
    "a key twice": ("name: tenants/acme\nowner: a\nowner: b\n", 3, "owner stands there twice"),
    "a key nobody knows": ("name: tenants/acme\n\ndanger: true\n", 3, "danger is not a field of Tenant"),
    "a number for a text": ("name: tenants/acme\nowner: 7\n", 2, "owner must be a text, in quotes"),
    "a text for a number": (f"name: {LLM}\ntier: two\n", 2, "tier must be a whole number"),
    "a flag for a number": (f"name: {LLM}\ntier: true\n", 2, "tier must be a whole number"),
    "a number beyond its field": (f"name: {LLM}\ntier: {2**40}\n", 2, "tier cannot be"),
    "a text for a list": (f"name: {LLM}\npurposes: training\n", 2, "purposes must be a list of texts"),
    "a digest that is a number": (f"name: {SET}\nvalues:\n- measurement: {'1' * 96}\n", 3, "digests in quotes"),
    "a digest that is a fraction": (f"name: {SET}\nvalues:\n- measurement: 1.5\n", 3, "a fraction to YAML"),
    "an alias": (f"name: {LLM}\npurposes: &a [x]\nlabels: *a\n", 3, "alias"),
    "a merge": ("name: tenants/acme\n<<: {owner: x}\n", 2, "is not a key"),
    "a tag": ("name: tenants/acme\nowner: !!python/name:os.system x\n", 2, "tag"),
    "a state nobody knows": (f"name: {SET}\nstate: trusted\n", 2, "state must be one of"),
    "a sunset that is no time": (f"name: {SET}\nsunset: soon\n", 2, "2027-03-31"),
    "a date where a text belongs": ("name: tenants/acme\nowner: 2027-03-31\n", 2, "owner must be a text, in quotes"),
    "delete and more": ("name: tenants/acme\ndelete: true\nowner: x\n", 2, "stands with a name"),
    "delete maybe": ("name: tenants/acme\ndelete: perhaps\n", 2, "true or false"),
    "one name twice": ("name: tenants/acme\nowner: a\n---\nname: tenants/acme\nowner: b\n", 4, "stands at"),
    "too deep": (f"name: {SET}\nvalues: {'[' * 40}{']' * 40}\n", 2, "too deep"),
    "deeper than Python": (f"name: {SET}\nvalues: {'[' * 2_000}\n", 0, "file.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_line(name: str) -> None:
    text, line, sentence = MISTAKES[name]
    with pytest.raises(Exception, match=re.escape(sentence)) as error:
        read_documents({"file.yaml": text})
    assert type(error.value).__name__ == "Usage", error.value
    assert not line or str(error.value).startswith(f"file.yaml:{line}: "), str(error.value)


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a: &a [x, x]"] + [
        f"{n}: &{n} [*{p}, *{p}]" for p, n in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True)
    ]
    with pytest.raises(Exception, match="alias"):
        read_documents({"bomb": "name: tenants/acme\n" + "\n".join(lines)})
