"""`sealgate-broker people list | remove | invite | admit`: who is in, out with a stolen key, in by approval."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.model.asset import Principal
    from kbs.serve.commands import Doors
    from kbs.serve.site import Site

__all__ = ["register"]

_TEXT = """The people who are enrolled, by pseudonym; the broker knows no names. `init` and `sealgate enrol` printed who
has which.

`remove` is for a key that was stolen, or somebody who has left. From the next call on, in every process, the key is
nobody's, for ever: it may do nothing, gets no certificate, and lets nobody in again. It is an entry of the log.

`invite` makes an invitation and its code, for somebody new or for somebody who comes back; neither counts yet. Two
operators look at it and sign it on their own machines (`sealgate approve`), and `admit` takes it with both signatures:
an entry that commits to them. Then `sealgate enrol` with the code, within a day of `invite`. Whoever comes back has a
new key and a new pseudonym."""
_EPILOG = """examples:
  sealgate-broker people list --config broker.toml
  sealgate-broker people remove person-fz4zc424toctnl62o524ws5mom --config broker.toml
  sealgate-broker people invite --roles operator --out eve.invitation --code eve.code --config broker.toml
  sealgate-broker people admit eve.invitation --approval alice.approval bob.approval --config broker.toml"""


def register(subparsers: Any) -> None:
    """Adds the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    people = subparsers.add_parser(
        "people",
        help="who is enrolled; remove somebody, let somebody in",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    verbs = people.add_subparsers(metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="who is enrolled", description=_TEXT, epilog=_EPILOG, formatter_class=raw)
    listing.set_defaults(run=_list)
    remove = verbs.add_parser(
        "remove", help="take somebody out", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    remove.add_argument("person", metavar="PSEUDONYM", help="as `people list` shows it")
    remove.add_argument("--last", action="store_true", help="also if no operator is left then")
    remove.set_defaults(run=_remove)
    invite = verbs.add_parser(
        "invite", help="make an invitation to be approved", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    invite.add_argument("--roles", required=True, metavar="ROLE,ROLE", help="operator, auditor, or both")
    invite.add_argument("--tenants", metavar="T,T", help="of these tenants, if not of the configured one")
    invite.add_argument("--out", type=Path, required=True, metavar="FILE", help="the invitation; never written over")
    invite.add_argument("--code", type=Path, required=True, metavar="FILE", help="its code, mode 0600, for that person")
    invite.set_defaults(run=_invite)
    admit = verbs.add_parser(
        "admit", help="let in whom operators approved", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    admit.add_argument("invitation", type=Path, metavar="FILE", help="what `invite` wrote")
    admit.add_argument(
        "--approval", type=Path, nargs="+", action="extend", required=True, metavar="FILE", help="what `approve` wrote"
    )
    admit.add_argument("--alone", action="store_true", help="one approval, of the only operator that there is")
    admit.set_defaults(run=_admit)
    for verb in (listing, remove, invite, admit):
        verb.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="the broker's configuration (TOML)"
        )
        verb.add_argument("--json", action="store_true", help="print one JSON object")


def _site(args: argparse.Namespace) -> Site:
    from kbs.serve.config.load import load  # noqa: PLC0415  # help must not load the broker
    from kbs.serve.first_run import site_for  # noqa: PLC0415
    from kbs.serve.unfinished import refuse_unfinished  # noqa: PLC0415

    site = site_for(load(args.config).config)
    refuse_unfinished(site.directory)
    return site


def _list(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.removal import people  # noqa: PLC0415

    found = people(_site(args))
    lines = [f"{p.id}  {','.join(sorted(p.roles))}  of {','.join(sorted(p.tenants))}" for p in found]
    told = {"people": [_document(p) for p in found]}
    doors.say(json.dumps(told) if args.json else "\n".join(lines) or "Nobody is enrolled.")
    return 0


def _remove(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415

    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.removal import LastOperator, NoSuchPerson, remove  # noqa: PLC0415

    try:
        person = asyncio.run(remove(_site(args), args.person, doors.clock, last=args.last))
    except (LastOperator, NoSuchPerson) as error:
        raise Usage(str(error)) from error
    text = f"{person.id} is removed: the key that it had may do nothing from now on, and gets no certificate."
    doors.say(json.dumps(_document(person)) if args.json else text)
    return 0


def _invite(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.custody.file import write_private  # noqa: PLC0415
    from kbs.model.enrolment import ROLES  # noqa: PLC0415
    from kbs.model.names import TENANT  # noqa: PLC0415
    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.invite import QUORUM, propose  # noqa: PLC0415

    roles = frozenset(args.roles.split(","))
    if not roles <= ROLES:
        raise Usage(f"--roles is among {' and '.join(sorted(ROLES))}, not {args.roles!r}")
    deployment = load(args.config).config.deployment
    tenants = frozenset((args.tenants or deployment.tenant).split(","))
    if not all(TENANT.fullmatch(f"tenants/{tenant}") for tenant in tenants):
        raise Usage(f"--tenants {args.tenants!r} is not tenants of lower-case letters, digits and '-'")
    proposal, code = propose(_site(args).deployment, roles, tenants, doors.clock())
    for path in (args.code, args.out):
        if path.exists():
            raise Usage(f"{path} exists and is not written over")
    write_private(args.code, f"{code}\n".encode())
    write_private(args.out, proposal.encode() + b"\n")
    told = {"invitation": str(args.out), "code_file": str(args.code), "person": proposal.enrolment.principal}
    text = (
        f"{args.out} asks to let in {proposal.enrolment.principal}. It counts once {QUORUM} operators have approved it "
        f"(sealgate approve) and it was admitted, within a day. {args.code} is for that person alone, and worth "
        "nothing until then."
    )
    doors.say(json.dumps(told) if args.json else text)
    return 0


def _admit(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415

    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.invite import NotAdmitted, admit  # noqa: PLC0415

    invitation, *approvals = (_read(path) for path in (args.invitation, *args.approval))
    try:
        made = asyncio.run(admit(_site(args), invitation, approvals, doors.clock, alone=args.alone))
    except NotAdmitted as error:
        raise Usage(str(error)) from error
    text = f"{made.principal} may enrol with the code of {args.invitation} until its day is over: sealgate enrol."
    told = {"person": made.principal, "roles": sorted(made.roles), "tenants": sorted(made.tenants)}
    doors.say(json.dumps(told) if args.json else text)
    return 0


def _read(path: Path) -> bytes:
    from kbs.model.approval import MAX_FILE  # noqa: PLC0415
    from kbs.serve.commands import Usage  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error


def _document(person: Principal) -> dict[str, object]:
    return {
        "person": person.id,
        "roles": sorted(person.roles),
        "tenants": sorted(person.tenants),
        "key_sha256": person.key.hex(),
    }
