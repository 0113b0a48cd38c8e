"""The `sealgate` command on a simulated node: python -m deploy.demo.node DIRECTORY MEASUREMENT-HEX ARGUMENTS...

The real command with another door to the TEE. The ordinary `sealgate` has no such door and refuses what comes from it.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from attest.evidence import SnpEvidence
from clients.cli.main import Doors, main
from tests.makers import amd

__all__ = ["SimulatedTee", "run"]


class SimulatedTee:
    """A chip of the throwaway AMD, whose guest measures to what we say."""

    simulated = True

    def __init__(self, directory: Path, measurement: bytes, **fields: int | bytes) -> None:
        vendor = directory / "vendor"
        key = load_pem_private_key((vendor / "vcek.key").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the chip's key is not one on an elliptic curve")
        self._key = key
        chip_id = (vendor / "chip_id.bin").read_bytes()
        self._healthy = amd.healthy("Milan", version=3, kind="VCEK", chip_id=chip_id, tcb=amd.TCB["Milan"])
        self._certificates = tuple((vendor / f"{name}.der").read_bytes() for name in ("vcek", "ask", "ark"))
        self._fields: dict[str, int | bytes] = {"measurement": measurement, **fields}

    def collect(self, report_data: bytes) -> SnpEvidence:
        """A signed report over these 64 bytes, with the chip's certificates."""
        fields = {**self._fields, "report_data": report_data}
        report = amd.sign(self._key, amd.pack({**self._healthy, **fields}))
        return SnpEvidence(report=report, certificates=self._certificates)


def run(directory: Path, measurement: bytes, arguments: Sequence[str]) -> int:
    """One `sealgate` command on a node of the site in `directory` whose image measures to `measurement`."""
    tee = SimulatedTee(directory, measurement)
    return main(arguments, Doors(now=dt.datetime.now(dt.UTC), simulated=True, tee=tee))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3:]))
