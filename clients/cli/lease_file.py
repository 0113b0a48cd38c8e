"""The file that `sealgate keys get --lease` writes and `keys renew` reads: in memory, for its owner alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clients.errors import Usage, unwritten

if TYPE_CHECKING:
    from clients.workload.deliver import Owner
    from clients.workload.held import HeldLease, HolderKey
    from clients.workload.keys import Released

__all__ = ["holder_key", "keep_lease", "read_lease"]


def holder_key(lease: Path | None, *, disk: bool) -> HolderKey | None:
    """The key that the lease is to belong to, if it is to be kept."""
    from clients.workload.deliver import check_directory  # noqa: PLC0415

    if lease is None:
        return None
    check_directory(lease.absolute().parent, disk=disk)
    from clients.workload.held import HolderKey  # noqa: PLC0415

    return HolderKey.generate()


def keep_lease(args: argparse.Namespace, origin: str, released: Released, key: HolderKey, owner: Owner) -> None:
    """Writes it, before any key is written."""
    from clients.workload.deliver import deliver_to_directory  # noqa: PLC0415
    from clients.workload.held import HeldLease  # noqa: PLC0415

    held = HeldLease(
        origin=origin,
        lease_id=released.lease_id,
        end=released.lease_end,
        purpose=args.purpose,
        assets=tuple(args.asset),
        key=key,
    )
    try:
        deliver_to_directory({args.lease.name: held.encode()}, args.lease.absolute().parent, owner)
    except OSError as error:
        raise unwritten(f"the lease file {args.lease} cannot be written", error) from error


def read_lease(path: Path) -> HeldLease:
    """What was written there; raises Usage."""
    from clients.workload.held import HeldLease  # noqa: PLC0415

    try:
        return HeldLease.parse(path.read_bytes(), f"the lease file {path}")
    except OSError as error:
        raise Usage(f"the lease file {path} cannot be read: {error.strerror}") from error
