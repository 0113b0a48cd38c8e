"""`sealgate-broker web`: the published log over HTTP, in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.serve.commands import Doors
    from kbs.serve.site import Site

__all__ = ["register"]

_TEXT = """Serves checkpoint and hash tiles of the published log, and what the workers tell: /healthz, /metrics in
OpenMetrics form, and /.well-known/jwks.json. It reads files and nothing else: no key, no store. Entry bundles
are refused; auditors get them as files. `serve` runs it; alone it is for a machine that only publishes. It
listens on loopback unless told otherwise; put a web server with TLS before it, or let that server serve log/."""
_EPILOG = """example:
  sealgate-broker web --directory /var/lib/sealgate --port 8080
  curl http://127.0.0.1:8080/checkpoint"""


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = argparse.RawDescriptionHelpFormatter
    web = subparsers.add_parser(
        "web", help="serve the published log over HTTP", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    web.add_argument("--directory", type=Path, required=True, metavar="DIR", help="the site: log/ is in it")
    web.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    web.add_argument("--port", type=_port, default=8080, help="the port (default: 8080; 0 takes any)")
    web.add_argument("--json", action="store_true", help="print one JSON object when it serves")
    web.add_argument("--life-fd", type=int, help=argparse.SUPPRESS)
    web.add_argument("--status-fd", type=int, help=argparse.SUPPRESS)
    web.set_defaults(run=_web)


def _web(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415  # help must not load the web server

    from kbs.serve.commands import site_of  # noqa: PLC0415

    asyncio.run(_serve(site_of(args.directory), args, doors))
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError("0 to 65535")
    return int(text)


async def _serve(site: Site, args: argparse.Namespace, doors: Doors) -> None:
    """Until SIGTERM or SIGINT, or the end of the supervisor."""
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415

    from aiohttp import web  # noqa: PLC0415

    from kbs.serve.child import announce, watch_life  # noqa: PLC0415
    from kbs.web.status import add_status  # noqa: PLC0415
    from kbs.web.tiles import make_app  # noqa: PLC0415

    app = make_app(site.log)
    add_status(app, site.run, site.log, doors.clock)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, args.host, args.port).start()
    except OSError as error:
        await runner.cleanup()
        raise OSError(error.errno, os.strerror(error.errno or 0), f"{args.host}:{args.port}") from error
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bound = runner.addresses[0]
    if args.life_fd is None:
        url = f"http://{bound[0]}:{bound[1]}"
        doors.say(json.dumps({"log": str(site.log), "url": url}) if args.json else f"serving {site.log} on {url}")
    else:
        watch_life(args.life_fd, stop.set)
        announce(args.status_fd, {"host": bound[0], "port": bound[1]})
    await stop.wait()
    await runner.cleanup()
