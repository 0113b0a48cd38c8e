"""`sealgate-broker trust`: the trust file once more, or for another tenant."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.serve.commands import Doors

__all__ = ["register"]

_TEXT = """Writes a trust file as `init` did: the deployment's name, the CA that clients are to trust, the log's key,
the tenant. It goes into measured images and to auditors and holds no secret. The root key is opened for it."""
_EPILOG = """examples:
  sealgate-broker trust --config broker.toml --out trust.json
  sealgate-broker trust --config broker.toml --tenant globex --out trust-globex.json"""


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = argparse.RawDescriptionHelpFormatter
    trust = subparsers.add_parser(
        "trust", help="write a trust file", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    trust.add_argument("--config", type=Path, required=True, metavar="FILE", help="the TOML file")
    trust.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file; never written over")
    trust.add_argument("--tenant", metavar="TENANT", help="the tenant, if not the configured one")
    trust.add_argument("--json", action="store_true", help="print one JSON object")
    trust.set_defaults(run=_trust)


def _trust(args: argparse.Namespace, doors: Doors) -> int:
    from contextlib import closing  # noqa: PLC0415  # help must not load the broker

    from kbs.model.names import TENANT  # noqa: PLC0415
    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.first_run import site_for, trust_document  # noqa: PLC0415
    from kbs.serve.secrets import open_root  # noqa: PLC0415
    from kbs.serve.start import ensure_kind  # noqa: PLC0415
    from kbs.serve.unfinished import refuse_unfinished  # noqa: PLC0415
    from kbs.store.read import Reader  # noqa: PLC0415

    config = load(args.config).config
    tenant = args.tenant or config.deployment.tenant
    if TENANT.fullmatch(f"tenants/{tenant}") is None:
        raise Usage(f"--tenant {tenant!r} is not lower-case letters, digits and '-'")
    refuse_unfinished(site_for(config).directory)
    store = site_for(config).store
    with closing(Reader(store)) as reader:
        ensure_kind(reader, store, doors.anchors)
    document = trust_document(config, open_root(config, doors.credentials, doors.ask), tenant)
    try:
        with args.out.open("xb") as file:
            file.write(document)
    except FileExistsError as error:
        raise Usage(f"{args.out} exists and is not written over") from error
    told = {"file": str(args.out), "origin": config.deployment.name, "tenant": tenant}
    text = f"{args.out} is what workloads and auditors of {tenant} trust: {config.deployment.name}."
    doors.say(json.dumps(told) if args.json else text)
    return 0
