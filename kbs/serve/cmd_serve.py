"""`sealgate-broker serve`: the supervisor, and the workers that it execs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.serve.commands import Doors

__all__ = ["WORKER", "register", "worker_parser"]

WORKER = "worker"

_TEXT = """Serves until SIGTERM. A supervisor execs the configured number of workers, which share both gRPC ports, and
one web process; the root key is opened once and passes to the workers on an inherited pipe. A process that dies is
started again, later each time. At SIGTERM calls in flight are finished, the log is published whole, and all end.

Workloads come in on the workload port (server TLS), people on the people port (client certificates; sealgate
enrol, login). The web process serves checkpoint and hash tiles, /healthz, /metrics and /.well-known/jwks.json
on loopback unless told otherwise.

Evidence counts only under the vendor roots that are built in. No configuration makes simulated evidence count."""
_EPILOG = """examples:
  sealgate-broker serve --config /etc/sealgate/broker.toml
  sealgate-broker serve --config broker.toml --json     # one JSON object a line"""


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = argparse.RawDescriptionHelpFormatter
    serve = subparsers.add_parser(
        "serve", help="serve workloads and people until SIGTERM", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="the broker's configuration (TOML)")
    serve.add_argument("--json", action="store_true", help="print JSON objects, one a line")
    serve.set_defaults(run=_serve)


def worker_parser() -> argparse.ArgumentParser:
    """Of the command that `serve` execs: not for people, and named to nobody."""
    worker = argparse.ArgumentParser(prog=f"sealgate-broker {WORKER}", add_help=False)
    worker.add_argument("--life-fd", type=int, required=True)
    worker.add_argument("--status-fd", type=int, required=True)
    worker.set_defaults(run=_worker)
    return worker


def _serve(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415  # help must not load the broker

    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.start import supervise  # noqa: PLC0415

    def say(text: str) -> None:
        doors.say(json.dumps({"event": text}) if args.json and not text.startswith("{") else text)

    return asyncio.run(supervise(load(args.config), doors, say, as_json=args.json))


def _worker(args: argparse.Namespace, doors: Doors) -> int:
    import resource  # noqa: PLC0415

    import uvloop  # noqa: PLC0415

    from kbs.serve.child import receive  # noqa: PLC0415
    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.worker import work  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold the root key
    try:
        handoff = receive(args.life_fd)
    except (ValueError, OSError) as error:
        raise Usage("a worker is started by `sealgate-broker serve` alone") from error
    uvloop.run(work(handoff, args.life_fd, args.status_fd, doors.credentials, doors.anchors))
    return 0
