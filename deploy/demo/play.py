"""`make play`: goes the walk of README.md with simulated nodes, then keeps the site up until Ctrl-C.

Everything but the TEE is the real thing: the ordinary commands, handed throwaway roots in code, on loopback.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.demo.stage import MEMORY, DemoFailed, say, step, ticket
from deploy.demo.things import REFUSED, things
from deploy.demo.walk import ROOT, Place, make_place, serving

__all__ = ["FOLDER", "invite", "main", "played"]

FOLDER = ROOT / "build" / "play"


@contextlib.contextmanager
def played(folder: Path, *, usual_ports: bool, say: Callable[[str], object] | None = None) -> Iterator[Place]:
    """A site in `folder`, made anew, with keys in memory, that serves until the block ends; raises DemoFailed."""
    if not MEMORY.is_dir():
        raise DemoFailed(f"there is no {MEMORY}: keys are written to memory alone, and this machine has no such place")
    with tempfile.TemporaryDirectory(prefix="sealgate-play-", dir=MEMORY) as memory:
        place = make_place(folder, Path(memory), usual_ports=usual_ports)
        with serving(place, say or _show):
            yield place


def invite(place: Place) -> str:
    """What there is to try, ready to be pasted."""
    refused = ticket(place.run(place.here(REFUSED), code=3))
    lines = ["In another terminal:", "", f"  cd {place.folder}; PATH=$PWD/bin:$PATH"]
    for number, thing in enumerate(things(refused), 1):
        lines += ["", f"  # {number}. {thing.what}", f"  {place.here(thing.command)}"]
    return "\n".join(lines)


def main() -> int:
    """Until Ctrl-C; 0 if all went well."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.parent.mkdir(exist_ok=True)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        step(f"A site of simulated machines in {FOLDER.relative_to(ROOT)}: the walk of README.md")
        with played(FOLDER, usual_ports=True) as place:
            step(f"It is up, after {time.monotonic() - started:.0f} s. Ten things to try")
            print(invite(place))
            print("\nCtrl-C ends it. Everything is simulated, and the ordinary commands refuse it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
            say("draining")
    except DemoFailed as error:
        print(f"\nThe site could not be played: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _show(command: str) -> None:
    print(f"  $ {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
