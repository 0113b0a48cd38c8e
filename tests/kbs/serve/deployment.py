"""A deployment made by the commands alone, as an operator makes one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kbs.serve.commands import Doors, main
from kbs.store.port import Faults, no_fault

__all__ = ["Hands", "Made", "make"]


@dataclass(kw_only=True)
class Hands:
    """The broker's command line, with a clock and a keyboard of our own."""

    now: int
    typed: tuple[str, ...] = ()
    credentials: Path | None = None
    faults: Faults = no_fault

    def run(self, *arguments: str) -> tuple[int, str]:
        """(exit code, what was printed)."""
        said: list[str] = []
        keys = iter(self.typed)
        doors = Doors(
            clock=lambda: self.now,
            say=said.append,
            credentials=self.credentials,
            ask=lambda prompt: next(keys),
            faults=self.faults,
        )
        return main(arguments, doors), "\n".join(said)

    def json(self, *arguments: str) -> dict[str, Any]:
        """What a command printed with --json; it must have gone well."""
        code, said = self.run(*arguments, "--json")
        assert code == 0, said
        document: dict[str, Any] = json.loads(said)
        return document


@dataclass(frozen=True, kw_only=True)
class Made:
    """What `init` made."""

    config: Path
    directory: Path
    told: dict[str, Any]

    def code(self, founder: str) -> str:
        return next(str(each["code"]) for each in self.told["founders"] if each["name"] == founder)


def configure(folder: Path, more: str = "") -> Path:
    """A configuration on loopback with any free ports."""
    config = folder / "broker.toml"
    config.write_text(
        f"""[deployment]
name = "keys.example.com"
tenant = "acme"
directory = "{folder / "site"}"

[listen]
host = "127.0.0.1"
workload_port = 0
people_port = 0
names = ["localhost", "127.0.0.1"]

[web]
port = 0

{more}
"""
    )
    return config


def make(folder: Path, hands: Hands, more: str = "", *founders: str) -> Made:
    """Two recovery keys and a deployment that two founders may enter."""
    for number in (1, 2):
        hands.json("custody", "keygen", "--out", str(folder / f"recovery-{number}"))
    custody = f'[custody]\nrecovery = ["recovery-1.pub", "recovery-2.pub"]\n{more}'
    config = configure(folder, custody)
    arguments = [part for each in founders or ("alice:operator,auditor", "bob:auditor") for part in ("--founder", each)]
    told = hands.json("init", "--config", str(config), *arguments)
    return Made(config=config, directory=folder / "site", told=told)
