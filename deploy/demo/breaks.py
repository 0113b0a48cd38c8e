"""`make demo BREAK=...`: one thing is wrong; what the node sees, and beside it what the operator sees.

Each runs the real command against the real broker and insists on its exit code and on the name of what was found.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from attest.tlog.keys import SignerKey
from deploy.demo.beside import beside
from deploy.demo.broken_node import OLD_TCB
from deploy.demo.stage import DemoFailed, Ports, broker, command, edit, get, operator, say, sealgate, step, ticket
from kbs.serve.site import Site
from tests.makers.site import ASSET, MEASUREMENT, ORIGIN, SimulatedSite, make_site, save_chip, save_vendor

__all__ = ["BREAKS", "Break"]

_NAME = ASSET.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What each of the two was shown."""

    node: str
    operator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """`spoil` is done to the site before it serves; `act` finds out what happens. Both must show what `named` says."""

    what: str
    act: Callable[[Path, Ports], Seen]
    node_sees: str
    operator_sees: str
    spoil: Callable[[SimulatedSite], object] = lambda _made: None

    def tell(self, directory: Path) -> None:
        """The story in one directory, which must not exist; raises DemoFailed."""
        step(self.what)

        async def prepare() -> None:
            made = await make_site(directory)
            save_vendor(made)
            self.spoil(made)

        asyncio.run(prepare())
        with broker(directory) as ports:
            seen = self.act(directory, ports)
        say("")
        print(beside("the node sees", seen.node, "the operator sees", seen.operator))
        for word, text in ((self.node_sees, seen.node), (self.operator_sees, seen.operator)):
            if word not in text:
                raise DemoFailed(f"nobody was told of {word}:\n{text}")


def _boot(directory: Path, ports: Ports, broken: str, *, code: int, trust: str = "trust.json") -> str:
    (directory / "node").mkdir(exist_ok=True)
    arguments = get(directory, ports, directory / "node", trust=trust)
    command(directory, arguments)
    return sealgate("deploy.demo.broken_node", str(directory), broken, *arguments, code=code)


def _people(directory: Path, *arguments: str, code: int = 0) -> str:
    command(directory, arguments)
    return sealgate("deploy.demo.node", str(directory), MEASUREMENT.hex(), *arguments, code=code)


def _explained(broken: str) -> Callable[[Path, Ports], Seen]:
    """Refused by a decision: an entry, and a ticket that an operator may ask about."""

    def act(directory: Path, ports: Ports) -> Seen:
        refused = _boot(directory, ports, broken, code=3)
        return Seen(node=refused, operator=_people(directory, "explain", ticket(refused), *operator(directory, ports)))

    return act


def _listed(directory: Path) -> str:
    """What the published log has of releases."""
    arguments = ("audit", "list", str(_log(directory)))
    command(directory, arguments)
    lines: list[str] = []
    end = time.monotonic() + 10
    while not lines and time.monotonic() < end:  # it is published five times a second
        printed = sealgate("deploy.demo.node", str(directory), MEASUREMENT.hex(), *arguments)
        lines = [line for line in printed.splitlines() if " release." in line]
    return "the releases in the log:\n" + "\n".join(lines)


def _replay(directory: Path, ports: Ports) -> Seen:
    """Evidence that is genuine, of the right image, and of another challenge: refused before anything is decided."""
    _boot(directory, ports, "replay", code=0)
    refused = _boot(directory, ports, "replay", code=3)
    nothing = "nothing was decided: no entry, no ticket; the one entry is of the boot that was recorded"
    return Seen(node=refused, operator=f"{_listed(directory)}\n\n{nothing}")


def _other_log_key(made: SimulatedSite) -> None:
    """The node's image pins another log key: as seen from it, this broker is not the one that it knows."""
    trust = json.loads(made.trust.read_text())
    key = SignerKey.from_seed(made.site.log_origin, os.urandom(32)).verifier_key
    (made.directory / "node-trust.json").write_text(json.dumps({**trust, "log_keys": [key]}))


def _wrong_key(directory: Path, ports: Ports) -> Seen:
    refused = _boot(directory, ports, "replay", code=4, trust="node-trust.json")
    if any((directory / "node").iterdir()):
        raise DemoFailed("something was written, though the receipt did not hold")
    nothing = "the key left, wrapped for that node alone; the node opened nothing"
    return Seen(node=refused, operator=f"{_listed(directory)}\n\n{nothing}")


def _stale(made: SimulatedSite) -> None:
    day = dt.timedelta(days=1)
    crl = made.vendor.crl(this_update=made.vendor.now - 40 * day, next_update=made.vendor.now - day)
    (made.directory / "vendor" / "amd.crl").write_bytes(crl)


def _stale_crl(directory: Path, ports: Ports) -> Seen:
    refused = _boot(directory, ports, "replay", code=5)
    return Seen(node=refused, operator=f"in the broker's log:\n{(directory / 'broker.err').read_text().strip()}")


def _edited_log(directory: Path, ports: Ports) -> Seen:
    _boot(directory, ports, "replay", code=0)
    trust = ["--trust", str(directory / "trust.json")]
    receipt = str(directory / "node" / f"{_NAME}.tlog-proof")
    _listed(directory)  # what is read is published
    edited = edit(_log(directory), directory / "edited")
    node = _people(directory, "audit", "check-receipt", receipt, *trust)
    found = _people(directory, "audit", "verify", str(edited), *trust, "--receipt", receipt, code=10)
    return Seen(node=f"its receipt still proves what it was given, without this log:\n{node}", operator=found)


def _old_chip(made: SimulatedSite) -> None:
    """The same platform before its firmware was updated, with the certificate that AMD gave it then."""
    folder = made.directory / "old" / "vendor"
    folder.mkdir(parents=True)
    save_chip(folder, made.vendor.chip(tcb=OLD_TCB))


def _log(directory: Path) -> Path:
    return Site(directory=directory, deployment=ORIGIN).log


BREAKS: Mapping[str, Break] = {
    "debug": Break(
        what="The host launched the registered image with debugging on: it could read the guest's memory",
        act=_explained("debug"),
        node_sees="DEBUG",
        operator_sees="DEBUG",
    ),
    "old-tcb": Break(
        what="The platform's firmware is older than the profile's minimum",
        act=_explained("old-tcb"),
        spoil=_old_chip,
        node_sees="ACCESS_DENIED",
        operator_sees="TCB",
    ),
    "replay": Break(
        what="A node answers a new challenge with the evidence of an earlier one",
        act=_replay,
        node_sees="BINDING_MISMATCH",
        operator_sees="release.granted",
    ),
    "wrong-key": Break(
        what="A broker whose log is signed by a key that the node's image does not know",
        act=_wrong_key,
        spoil=_other_log_key,
        node_sees="NOTE_UNSIGNED",
        operator_sees="release.granted",
    ),
    "stale-crl": Break(
        what="AMD's revocation list has not been renewed in time",
        act=_stale_crl,
        spoil=_stale,
        node_sees="COLLATERAL_UNAVAILABLE",
        operator_sees="CRL_EXPIRED",
    ),
    "edited-log": Break(
        what="Somebody changes one byte of the log that the broker published",
        act=_edited_log,
        node_sees="entry",
        operator_sees="FAIL",
    ),
}
