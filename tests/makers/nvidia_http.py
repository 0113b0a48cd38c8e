"""NVIDIA's services as a throwaway NVIDIA runs them, over real HTTP: manifests, revocation lists, an OCSP responder."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.x509 import ReasonFlags, ocsp

from tests.makers.nvidia import DRIVER, SWITCH_BIOS, VBIOS, Authority, Device, Nvidia
from tests.makers.nvidia_rim import manifests
from tests.makers.vendor_http import Answer

__all__ = ["FakeNvidia", "rim_answer"]

_PRODUCTS = {"GH100": "GH100", "GB100": "GB100", "GB20X": "GB202"}
_GOOD = (ocsp.OCSPCertStatus.GOOD, None)


def rim_answer(name: str, manifest: bytes, **changed: object) -> Answer:
    """The RIM service's JSON; `changed` members replace the right ones."""
    right = {"id": name, "rim": base64.b64encode(manifest).decode(), "sha256": hashlib.sha256(manifest).hexdigest()}
    document = {**right, "last_updated": "2026-05-01", "rim_format": "TCG", "request_id": "1", **changed}
    return Answer(body=json.dumps(document).encode())


class FakeNvidia:
    """Answers for one design of GPUs and for NVSwitches. `states` are by serial; `rims` and `lists` may be replaced."""

    def __init__(self, vendor: Nvidia, *devices: Device, chip: str = "GH100") -> None:
        self.vendor = vendor
        made, at = manifests(vendor), 2 * list(_PRODUCTS).index(chip)
        kind = "DRIVER" if chip == "GH100" else "CC_DRIVER"
        self.driver = f"NV_GPU_{kind}_{_PRODUCTS[chip]}_{DRIVER}"
        self.vbios = f"NV_GPU_VBIOS_1010_0200_882_{VBIOS.replace('.', '')}"
        self.switch = f"NV_SWITCH_BIOS_5612_0002_890_{SWITCH_BIOS.replace('.', '')}"
        self.rims = {self.driver: made[at], self.vbios: made[at + 1], self.switch: made[-1]}
        self.lists = {"/crl/l1-root.crl": vendor.crl(vendor.root), "/crl-corim/l1-corim": vendor.crl(vendor.rim_root)}
        for name, authority in vendor.identities.items():
            self.lists[f"/crl/l2-{name.lower()}.crl"] = vendor.crl(authority)
        self.states: dict[int, tuple[ocsp.OCSPCertStatus, ReasonFlags | None]] = {}
        self.known: dict[int, tuple[Authority, Authority]] = {}
        self._know(*(identity for identity in vendor.identities.values()), issuer=vendor.root)
        self._know(vendor.rim_authority, issuer=vendor.rim_root)
        self._know(vendor.rim_issuer, issuer=vendor.rim_authority)
        self._know(vendor.rim_signer, issuer=vendor.rim_issuer)
        for device in devices:
            for subject, issuer in zip(device.chain[1:], device.chain[2:], strict=False):
                self._know(subject, issuer=issuer)

    def __call__(self, path: str, headers: Mapping[str, str]) -> Answer:
        name = path.removeprefix("/v1/rim/")
        if name in self.rims:
            return rim_answer(name, self.rims[name])
        return Answer(body=self.lists[path]) if path in self.lists else Answer(status=404)

    def post(self, path: str, body: bytes) -> Answer:
        """The responder: good unless `states` say otherwise."""
        asked = ocsp.load_der_ocsp_request(body)
        if path != "/" or asked.serial_number not in self.known:
            return Answer(status=404)
        subject, issuer = self.known[asked.serial_number]
        status, reason = self.states.get(asked.serial_number, _GOOD)
        return Answer(body=self.vendor.ocsp(subject, issuer, status, reason, algorithm=SHA384()))

    def _know(self, *subjects: Authority, issuer: Authority) -> None:
        for subject in subjects:
            self.known[subject.certificate.serial_number] = (subject, issuer)
