"""A fake Key Distribution Service of a throwaway AMD: AMD publication 57230 over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attest.snp.tcb import LAYOUT
from tests.makers.amd import Amd, Chip
from tests.makers.vendor_http import Answer

__all__ = ["FakeKds", "pem"]

_VCEK = re.compile(r"/vcek/v1/(\w+)/([0-9a-f]+)\?(.*)")
_OTHER = re.compile(r"/(vcek|vlek)/v1/(\w+)/(cert_chain|crl)")


def pem(*certificates: bytes) -> bytes:
    """Certificates in DER as one PEM file."""
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in certificates)


class FakeKds:
    """Answers for the chips it knows. `crl` may be replaced."""

    def __init__(self, vendor: Amd, *chips: Chip) -> None:
        self.vendor = vendor
        self.crl = vendor.crl()
        self._chips = {self._key(chip): chip.certificate for chip in chips}

    def know(self, *chips: Chip) -> None:
        """More chips."""
        self._chips |= {self._key(chip): chip.certificate for chip in chips}

    def __call__(self, path: str, headers: Mapping[str, str]) -> Answer:
        if found := _OTHER.fullmatch(path):
            return self._other(*found.groups())
        if (found := _VCEK.fullmatch(path)) and found[1] == self.vendor.product:
            query = dict(parse_qsl(urlsplit(path).query))
            if sorted(query) != sorted(f"{name}SPL" for name in LAYOUT[found[1]].names):
                return Answer(status=400)
            if any(not value.isdigit() or len(value) < 2 for value in query.values()):
                return Answer(status=400)
            tcb = tuple(sorted((name[:-3], int(value)) for name, value in query.items()))
            certificate = self._chips.get((found[2], tcb))
            return Answer(status=404) if certificate is None else Answer(body=certificate)
        return Answer(status=404)

    def _other(self, kind: str, product: str, what: str) -> Answer:
        if product != self.vendor.product:
            return Answer(status=404)
        if what == "crl":
            return Answer(body=self.crl)
        return Answer(body=pem((self.vendor.ask if kind == "vcek" else self.vendor.asvk).der, self.vendor.ark.der))

    @staticmethod
    def _key(chip: Chip) -> tuple[str, tuple[tuple[str, int], ...]]:
        hwid = chip.chip_id[: LAYOUT[chip.amd.product].hwid].hex()
        return hwid, tuple(sorted(chip.tcb.items()))
