"""A simulated node with something wrong: python -m deploy.demo.broken_node DIRECTORY BREAK ARGUMENTS..."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attest.evidence import SnpEvidence
from attest.snp.tcb import encode
from clients.cli.main import Doors, main
from deploy.demo.node import SimulatedTee
from tests.makers.image import MEASUREMENT

if TYPE_CHECKING:
    from clients.workload.tee import Tee

__all__ = ["OLD_TCB", "run"]

OLD_TCB = {"bl": 3, "tee": 0, "snp": 20, "ucode": 200}
_DEBUG = 0x30000 | 1 << 19  # POLICY bit 19: the host may decrypt the guest's memory


class _Recorded:
    """Answers every challenge with the evidence that it gave for the first."""

    simulated = True

    def __init__(self, tee: SimulatedTee, file: Path) -> None:
        self._tee, self._file = tee, file

    def collect(self, report_data: bytes) -> SnpEvidence:
        fresh = self._tee.collect(report_data)
        if not self._file.exists():
            self._file.write_bytes(fresh.report)
            return fresh
        return SnpEvidence(report=self._file.read_bytes(), certificates=fresh.certificates)


def _tee(directory: Path, broken: str) -> Tee:
    if broken == "debug":
        return SimulatedTee(directory, MEASUREMENT, policy=_DEBUG)
    if broken == "old-tcb":
        names = ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb")
        return SimulatedTee(directory / "old", MEASUREMENT, **dict.fromkeys(names, encode("Milan", OLD_TCB)))
    return _Recorded(SimulatedTee(directory, MEASUREMENT), directory / "recorded.bin")


def run(directory: Path, broken: str, arguments: Sequence[str]) -> int:
    """One `sealgate` command on that node."""
    doors = Doors(now=dt.datetime.now(dt.UTC), simulated=True, tee=_tee(directory, broken))
    return main(arguments, doors)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
