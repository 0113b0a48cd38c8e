"""Ten things to try on a site that plays: commands to be pasted, each of which a test runs."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.demo.walk import ASSET, MEMORY, PEOPLE, WEB, WORKLOAD

__all__ = ["REFUSED", "Thing", "things"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What to look at, the command, the exit code that it ends with, and a word of what it prints."""

    what: str
    command: str
    shows: str
    code: int = 0


_ALICE = f"--trust site/trust.json --broker {PEOPLE} --key alice.key --cert alice.pem"
_BOOT = f"keys get --trust site/trust.json --broker {WORKLOAD} --purpose training --asset {ASSET} --dir {MEMORY}"
REFUSED = f"sealgate-other-image {_BOOT}"


def things(ticket: str) -> tuple[Thing, ...]:
    """In an order in which each works after those before it; `ticket` is of a refused `sealgate-other-image`."""
    return (
        Thing(what="boot a node: it proves itself and gets its key", command=f"sealgate {_BOOT}", shows="released"),
        Thing(
            what="check the sealed files with that key, writing nothing",
            command=f"sealgate open sealed --key {MEMORY}/llm.key --content {MEMORY}/llm.content --check",
            shows=ASSET,
        ),
        Thing(what="boot an image that nobody registered", command=REFUSED, shows="ACCESS_DENIED", code=3),
        Thing(
            what="ask why another such boot was refused",
            command=f"sealgate explain {ticket} {_ALICE}",
            shows="POLICY_MEASUREMENT",
        ),
        Thing(
            what="trust that image: draft a reference set from the refusal, and look at what it would change",
            command=f"sealgate refvalue draft --from {ticket} --name tenants/acme/referenceSets/trainer-2 "
            f"--value-name milan-16vcpu --covers firmware kernel initrd cmdline --asset {ASSET} {_ALICE} > draft.json "
            f"&& sealgate plan -f draft.json {_ALICE}",
            shows="trainer-2",
        ),
        Thing(
            what="make the next version of the asset's key",
            command=f"sealgate key rotate --asset {ASSET} {_ALICE}",
            shows="keyVersions/2",
        ),
        Thing(what="read the log", command="sealgate audit list site/log", shows="release.refused"),
        Thing(
            what="verify the log as an auditor does, and remember where it stood",
            command="sealgate audit verify site/log --trust site/trust.json "
            f"--receipt {MEMORY}/llm.tlog-proof --wait 10 --state audit.state",
            shows="verdict  ok",
        ),
        Thing(
            what="ask the doctor",
            command="sealgate-broker doctor --config broker.toml",
            shows="the store is sound",
        ),
        Thing(
            what="look at the metrics",
            command=f"curl -s http://{WEB}/metrics | grep sealgate_calls_total",
            shows="ReleaseKeys",
        ),
    )
