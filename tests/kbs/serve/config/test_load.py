"""What a configuration may say, and how it is said that it may not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbs.serve.config.load import ConfigInvalid, load, parse
from kbs.serve.config.sections import SECTIONS

LEAST = """[deployment]
name = "keys.example.com"
tenant = "acme"
directory = "/var/lib/sealgate"

[listen]
names = ["keys.example.com", "10.0.0.7"]
"""
FILE = Path("/etc/sealgate/broker.toml")


def _said(text: str) -> list[str]:
    with pytest.raises(ConfigInvalid) as caught:
        parse(text.encode(), FILE)
    return str(caught.value).splitlines()


def test_the_least_that_can_be_said() -> None:
    config = parse(LEAST.encode(), FILE)
    assert config.listen.names == ("keys.example.com", "10.0.0.7")
    assert (config.listen.workload_port, config.listen.people_port) == (8443, 8444)
    assert (config.web.host, config.processes.workers, config.custody.kind) == ("127.0.0.1", 2, "file")
    assert config.people.certificate_life == 24 * 3_600_000


def test_values_are_frozen_and_lists_become_tuples() -> None:
    config = parse(LEAST.encode(), FILE)
    for name in SECTIONS:
        section = getattr(config, name)
        field = dataclasses.fields(section)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(section, field, "other")
        assert not any(isinstance(getattr(section, f.name), list | dict) for f in dataclasses.fields(section))


def test_relative_paths_start_from_the_folder_of_the_file() -> None:
    more = '[custody]\nkind = "passphrase"\npassphrase = "file:pass"\nrecovery = ["a.pub", "/b.pub"]\n'
    custody = parse((LEAST + more).encode(), FILE).custody
    assert custody.recovery == (Path("/etc/sealgate/a.pub"), Path("/b.pub"))
    assert str(custody.passphrase) == "file:/etc/sealgate/pass"


# name: (text after LEAST, or instead of a line of it, what is said)
WRONG: dict[str, tuple[str, str]] = {
    "an unknown key": ("[web]\nprot = 1\n", "10: [web] has no key prot; the nearest is port"),
    "an unknown key like none": ("[web]\nzzz = 1\n", "10: [web] has no key zzz; there are host, port"),
    "an unknown section": ("[wep]\nport = 1\n", "9: there is no section [wep]; the nearest is web"),
    "a key above": (
        "[web]\n\n[processes]\nworkers = 0\n",
        "12: [processes] workers must be a whole number from 1 to 64; it is 0",
    ),
    "a truth for a number": (
        "[web]\nport = true\n",
        "10: [web] port must be a whole number from 0 to 65535; it is True",
    ),
    "a time without a unit": (
        "[people]\ncertificate_life = 3600\n",
        '[people] certificate_life must be a time with its unit (ms, s, min, h, d) from "5min" to "24h"; it is 3600',
    ),
    "a time of another unit": ('[people]\ncertificate_life = "8hours"\n', "it is '8hours'"),
    "a life beyond a day": ('[people]\ncertificate_life = "25h"\n', "it is '25h'"),
    "vendor roots": ('[anchors]\namd = "x"\n', "9: there is no section [anchors]: vendor roots are pinned in the code"),
    "simulated": ("[web]\nsimulated = true\n", "10: [web] has no key simulated: vendor roots are pinned in the code"),
    "a vendor's server in the clear": (
        '[collateral]\nkds = "http://kds.example"\n',
        "[collateral] kds must be https://",
    ),
    "a vendor's server with credentials": (
        '[collateral]\nkds = "https://me:hunter2@kds.example"\n',
        "[collateral] kds must be https://",
    ),
    "a vendor's server with a query": ('[collateral]\nkds = "https://kds.example?x"\n', "[collateral] kds must be"),
    "a vendor root": ('[collateral]\namd_root = "x.pem"\n', "[collateral] has no key amd_root: vendor roots"),
    "a secret in the file": (
        '[custody]\nkind = "passphrase"\npassphrase = "hunter2-hunter2"\n',
        "11: [custody] passphrase must be a reference to a secret, never the secret itself",
    ),
    "a credential with a path": (
        '[custody]\nkind = "passphrase"\npassphrase = "credential:../x"\n',
        "11: [custody] passphrase must be",
    ),
    "standard input": ('[custody]\nkind = "passphrase"\npassphrase = "fd:0"\n', "11: [custody] passphrase must be"),
    "a passphrase for nothing": (
        '[custody]\npassphrase = "terminal"\n',
        '10: [custody] passphrase has no effect with kind "file"',
    ),
    "no passphrase": ('[custody]\nkind = "passphrase"\n', '10: [custody] kind "passphrase" needs passphrase'),
    "one recovery key": ('[custody]\nrecovery = ["a"]\n', "10: [custody] recovery needs at least two keys"),
    "the same key twice": (
        '[custody]\nrecovery = ["a", "a"]\n',
        "10: [custody] recovery must be a list of paths, none of them twice",
    ),
    "a web port that is taken": ("[web]\nport = 8443\n", "10: [web] port is one of [listen]'s"),
    "half of TLS": (
        '[tls]\ncertificate = "c"\nkey = "file:k"\n',
        "10: [tls] needs certificate, key and ca together; missing: ca",
    ),
    "names beside TLS": (
        '[tls]\ncertificate = "c"\nkey = "file:k"\nca = "a"\n',
        "7: [listen] names has no effect beside [tls]",
    ),
    "a host name to listen on": ('[web]\nhost = "localhost"\n', "10: [web] host must be an IP address"),
    "no TOML": ("[web\n", "9: not TOML"),
    "a key twice": ("[web]\nport = 1\nport = 2\n", "11: not TOML"),
    "a section that is none": ("[[web]]\nport = 1\n", "9: web must be a section: [web]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_line(name: str) -> None:
    text, said = WRONG[name]
    lines = _said(LEAST + "\n" + text)
    assert all(line.startswith(f"{FILE}:") for line in lines)
    assert any(said in line.removeprefix(f"{FILE}:") for line in lines), lines


# name: (line of LEAST, what stands there instead, what is said)
INSTEAD: dict[str, tuple[str, str, str]] = {
    "no tenant": ('tenant = "acme"\n', "", "1: [deployment] tenant is missing"),
    "no dot": ('"keys.example.com"\n', '"keys"\n', "2: [deployment] name must be a name with a dot"),
    "upper case": ('"keys.example.com"\n', '"Keys.example.com"\n', "2: [deployment] name must be"),
    "a line's end": ('"keys.example.com"\n', '"keys.example.com\\n"\n', "2: [deployment] name must be"),
    "no names": ('names = ["keys.example.com", "10.0.0.7"]\n', "", "6: [listen] names is missing"),
    "one port": ("names =", "people_port = 8443\nnames =", "7: [listen] workload_port and people_port are the same"),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_is_missing_or_contradicts(name: str) -> None:
    line, other, said = INSTEAD[name]
    assert line in LEAST
    lines = _said(LEAST.replace(line, other, 1))
    assert any(said in text for text in lines), lines


def test_everything_wrong_is_said_at_once_and_no_secret_is() -> None:
    lines = _said('[deployment]\nname = 1\n[web]\nprot = 1\n[tls]\nkey = "BEGIN PRIVATE KEY MIIE"\n')
    assert len(lines) == 5
    assert "MIIE" not in "".join(lines)


def test_a_file_beyond_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "big.toml"
    file.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigInvalid, match="larger than"):
        load(file)
    file.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigInvalid, match=":1: not UTF-8"):
        load(file)


@given(st.text(alphabet='[]a=".\n1# {}', max_size=60))
def test_whatever_is_there_is_read_or_refused_with_a_line(text: str) -> None:
    lines = _said(text)  # deployment is always missing
    assert all(line.startswith(f"{FILE}:") and line.split(":")[1].isdigit() for line in lines)
