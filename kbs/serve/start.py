"""From a configuration to processes that serve it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attest.anchors import Anchors
from attest.tlog.entry import parse_leaf
from kbs.custody.root import HeldRoot
from kbs.custody.rotation import opens
from kbs.model.words import counted
from kbs.serve.child import Handoff
from kbs.serve.config.load import Loaded
from kbs.serve.config.sections import Config
from kbs.serve.first_run import site_for
from kbs.serve.lock import alone
from kbs.serve.root_life import settle
from kbs.serve.secrets import open_root
from kbs.serve.supervisor import ChildSpec, Supervisor
from kbs.serve.unfinished import refuse_unfinished
from kbs.store.errors import StoreUnusable
from kbs.store.read import Reader

if TYPE_CHECKING:
    from kbs.serve.commands import Doors

__all__ = ["ensure_kind", "supervise"]


async def supervise(loaded: Loaded, doors: Doors, say: Callable[[str], object], *, as_json: bool) -> int:
    """Serves until SIGTERM; the exit code.

    1. nobody else serves this site, and it is simulated exactly if the roots are  2. the root key, which opens what is
    stored  3. the ports, held for all workers  4. workers and web, until the end

    Raises Busy, RootUnusable, WrapInvalid, StoreUnusable, StoreUnavailable; OSError if a port is taken.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold the root key
    config = loaded.config
    site = site_for(config)
    if not site.directory.is_dir():
        raise StoreUnusable(f"{site.directory} is not there; make the deployment: sealgate-broker init --config ...")
    if doors.anchors.simulated and not ipaddress.ip_address(config.listen.host).is_loopback:
        raise StoreUnusable(f"a simulated deployment is served on loopback alone, not on {config.listen.host}")
    with alone(site.directory), contextlib.ExitStack() as held:
        refuse_unfinished(site.directory)
        with closing(Reader(site.store)) as reader:
            ensure_kind(reader, site.store, doors.anchors)  # 1
            root = _root(config, reader, doors)  # 2
        ports = [held.enter_context(_held_port(config.listen.host, port)) for port in _ports(config)]  # 3
        _clean(site.run)
        children = [*_workers(loaded, root, ports), _web(config, site.directory)]
        drain_s = config.processes.drain / 1_000
        supervisor = Supervisor(children, say, drain_s=drain_s, program=doors.program)

        def ready(announced: list[dict[str, Any]]) -> str:
            return _ready(config, announced, as_json=as_json)

        return await supervisor.run(ready)  # 4


def ensure_kind(reader: Reader, store: Path, anchors: Anchors) -> None:
    """Raises StoreUnusable for a store whose genesis entry says that it is simulated, which lasts for ever, and real
    roots, and for the reverse."""
    [(_, leaf, _)] = reader.entries(0, 1) or [(0, b"", b"")]
    if not leaf:
        raise StoreUnusable(f"{store} has no genesis entry; make the deployment: sealgate-broker init")
    simulated = parse_leaf(leaf).body["simulated"]
    if simulated and not anchors.simulated:
        raise StoreUnusable(f"{store} is of a simulated deployment, which this command never serves")
    if anchors.simulated and not simulated:
        raise StoreUnusable(f"{store} is of a real deployment, which is never served under simulated roots")


def _root(config: Config, reader: Reader, doors: Doors) -> HeldRoot:
    root = open_root(config, doors.credentials, doors.ask)
    if settle(config, reader, root, doors.credentials, doors.ask):
        root = open_root(config, doors.credentials, doors.ask)
    opens(root, reader)
    return root


def _ports(config: Config) -> tuple[int, int]:
    return config.listen.workload_port, config.listen.people_port


@contextlib.contextmanager
def _held_port(host: str, port: int) -> Iterator[int]:
    """The port's number, bound but not listening: it gets no connection, and keeps the number for the workers."""
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            holder.bind((host, port))
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"port {port} of {host}") from error
        yield holder.getsockname()[1]


def _clean(run: Path) -> None:
    """What an earlier start left there says nothing of this one."""
    run.mkdir(mode=0o700, exist_ok=True)
    for path in run.glob("worker-*.json"):
        path.unlink()


def _workers(loaded: Loaded, root: HeldRoot, ports: list[int]) -> Iterator[ChildSpec]:
    for index in range(loaded.config.processes.workers):
        handoff = Handoff(
            raw=loaded.raw,
            path=loaded.path.absolute(),
            root=root,
            index=index,
            workload_port=ports[0],
            people_port=ports[1],
        )
        yield ChildSpec(name=f"worker {index}", arguments=("worker",), line=handoff.line())


def _web(config: Config, directory: Path) -> ChildSpec:
    where = ("--directory", str(directory), "--host", config.web.host, "--port", str(config.web.port))
    return ChildSpec(name="web", arguments=("web", *where), line=b"\n")


def _ready(config: Config, announced: list[dict[str, Any]], *, as_json: bool) -> str:
    *workers, web = announced
    host = config.listen.host
    document = {
        "event": "serving",
        "deployment": config.deployment.name,
        "workload": f"{host}:{workers[0]['workload']}",
        "people": f"{host}:{workers[0]['people']}",
        "web": f"{web['host']}:{web['port']}",
        "workers": len(workers),
    }
    if as_json:
        return json.dumps(document)
    return (
        f"{config.deployment.name} is served by {counted(len(workers), 'worker')}: "
        f"workloads on {document['workload']}, "
        f"people on {document['people']}, web on http://{document['web']}"
    )
