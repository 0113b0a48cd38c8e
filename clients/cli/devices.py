"""Options of `sealgate keys` for the machine's devices: whether they are attested, and when programs may use them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clients.errors import Unavailable, Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.workload.devices import Devices

__all__ = ["add_devices", "add_ready", "check_ready", "devices_of", "gpus_ready"]


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Which devices are attested with the CPU."""
    parser.add_argument(
        "--devices",
        choices=("auto", "nvidia", "none"),
        default="auto",
        help="auto: GPUs in confidential mode if there are any; nvidia: insist on some; none: leave them out",
    )


def add_ready(parser: argparse.ArgumentParser) -> None:
    """When programs may use the GPUs."""
    parser.add_argument(
        "--gpu-ready", action="store_true", help="once keys are granted, let programs use the machine's GPUs"
    )


def devices_of(args: argparse.Namespace, doors: Doors) -> Devices:
    """The door to the devices that are to be attested; raises Unavailable."""
    from clients.workload.devices import NO_DEVICES  # noqa: PLC0415
    from clients.workload.devices_find import find_devices  # noqa: PLC0415

    if args.devices == "none":
        return NO_DEVICES
    if doors.tee is not None or doors.devices is not None:
        if doors.devices is None and args.devices == "nvidia":
            raise Unavailable("this machine's devices are simulated, and there are none")
        return doors.devices or NO_DEVICES
    return find_devices(insist=args.devices == "nvidia", told=_say)


def check_ready(args: argparse.Namespace, doors: Doors) -> None:
    """Before anything is asked for: GPUs that nobody attested are not made ready; raises Usage, Unavailable."""
    if not args.gpu_ready:
        return
    if args.devices != "nvidia":
        raise Usage("--gpu-ready is for GPUs that were attested: say --devices nvidia with it")
    _ready(doors)


@contextmanager
def gpus_ready(args: argparse.Namespace, doors: Doors) -> Iterator[None]:
    """The GPUs are ready inside, if that was asked for, so that whoever waits for the keys can use them.

    To be entered when keys were granted and the receipt was checked. Keys that were granted are delivered even if the
    driver then refuses; that is raised afterwards.
    """
    failed = None
    if args.gpu_ready:
        try:
            _ready(doors)()
        except Unavailable as error:
            failed = error
    yield
    if failed is not None:
        raise Unavailable(f"the keys were released and delivered, but the GPUs are not ready: {failed}") from failed


def _ready(doors: Doors) -> Callable[[], None]:
    if doors.ready is not None:
        return doors.ready
    from clients.workload.devices_find import load_nvml  # noqa: PLC0415
    from clients.workload.devices_nvml import make_ready  # noqa: PLC0415

    nvml = load_nvml()
    return lambda: make_ready(nvml)


def _say(text: str) -> None:
    print(f"sealgate: {text}", file=sys.stderr, flush=True)
