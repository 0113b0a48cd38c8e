"""NVIDIA's own Python verifier on one report, in an environment of its own: how long one attestation takes.

    python gpu_peer.py REPORT CHAIN DRIVER_RIM VBIOS_RIM SECONDS_SINCE_1970 CALLS

It is started by the measures of GPUs with the interpreter of that environment and imports nothing of ours. Only what
would use the network is off (OCSP), the clock of its certificate store is set into the manifests' validity, and its
log goes nowhere. Prints JSON: the CPU seconds of each call, and whether each attestation succeeded.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any


class Evidence:
    """What the verifier asks a device for."""

    def __init__(self, report: bytes, chain: list[Any], nonce: str) -> None:
        self.report, self.chain, self.nonce = report, chain, nonce

    def get_gpu_architecture(self) -> int:
        return 9  # NVML_DEVICE_ARCH_HOPPER

    def get_uuid(self) -> str:
        return "GPU-0"

    def get_driver_version(self) -> str:
        return "550.90.07"

    def get_vbios_version(self) -> str:
        return "96.00.9F.00.01"

    def get_attestation_report(self) -> bytes:
        return self.report

    def get_attestation_cert_chain(self) -> list[Any]:
        return self.chain


def _offline(now: dt.datetime) -> Any:
    """The verifier's module with the network off and the time fixed."""
    crypto = importlib.import_module("OpenSSL.crypto")
    made = crypto.X509StoreContext.__init__

    def at_that_time(self: Any, store: Any, *arguments: Any) -> None:
        store.set_time(now)
        made(self, store, *arguments)

    crypto.X509StoreContext.__init__ = at_that_time
    utils = importlib.import_module("verifier.cc_admin_utils")
    utils.CcAdminUtils.ocsp_certificate_chain_validation = staticmethod(
        lambda _chain, _settings, _mode: (True, "", "good", None)
    )
    return importlib.import_module("verifier.cc_admin")


def main() -> None:
    report, chain, driver_rim, vbios_rim, seconds, calls = sys.argv[1:]
    admin = _offline(dt.datetime.fromtimestamp(int(seconds), dt.UTC))
    logging.disable(logging.CRITICAL)
    chains = importlib.import_module("verifier.nvml.gpu_cert_chains")
    data = bytes.fromhex(Path(report).read_text().strip())
    pem = Path(chain).read_bytes()
    nonce = data[4:36].hex()
    admin.BaseSettings.NONCE = data[4:36]
    settings = importlib.import_module("verifier.config").HopperSettings
    settings.set_driver_rim_path(driver_rim)
    settings.set_vbios_rim_path(vbios_rim)
    arguments = {
        "verbose": False, "test_no_gpu": False, "driver_rim": driver_rim, "vbios_rim": vbios_rim, "user_mode": True,
        "allow_hold_cert": True, "service_key": None, "rim_service_url": None, "ocsp_url": None,
        "ocsp_nonce_disabled": True, "claims_version": "2.0",
    }  # fmt: skip
    spent, results = [], []
    for _ in range(int(calls)):
        started = time.process_time()
        certificates = chains.GpuCertificateChains.extract_cert_chain(pem)
        result = admin.attest(arguments, nonce, [Evidence(data, certificates, nonce)])
        spent.append(time.process_time() - started)
        results.append(bool(result and result[0]))
    print(json.dumps({"seconds": spent, "succeeded": all(results)}))


if __name__ == "__main__":
    main()
