"""A simulated site whose asset may also be released to a guest under a throwaway paravisor, on SNP or on TDX."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from attest.evidence import AzureEvidence
from kbs.catalog.register import put
from tests.makers import azure
from tests.makers import site as sites
from tests.makers.site import SimulatedSite
from tests.makers.tdx_site import MRTD, TdxSite, tdx_site

__all__ = ["PARAVISOR", "AzureSite", "azure_site"]

PARAVISOR = hashlib.sha384(b"the paravisor, the same for every guest").digest()
_COVERS = ["cmdline", "firmware", "initrd", "kernel"]
_PCRS = (4, 7, 11)


@dataclass(frozen=True, kw_only=True, repr=False)
class AzureSite:
    """The site, and one guest of each kind under its paravisor."""

    tdx: TdxSite

    @property
    def site(self) -> SimulatedSite:
        return self.tdx.site

    def on_snp(self, bound: bytes, *, measurement: bytes = PARAVISOR, **changed: Any) -> AzureEvidence:
        """`changed` is the nonce, or what `azure.quote` takes."""
        data = azure.variable_data()
        report = self.site.chip.report(azure.report_data_of(data), measurement=measurement)
        made = azure.quote(changed.pop("nonce", hashlib.sha256(bound).digest()), **changed)
        return AzureEvidence(
            hcl_report=azure.hcl_report(report, data),
            tpm_quote=made.message,
            tpm_signature=made.signature,
            pcrs=made.pcrs,
            certificates=self.site.chip.certificates,
        )

    def on_tdx(self, bound: bytes, **changed: Any) -> AzureEvidence:
        data = azure.variable_data()
        fixed = azure.report_data_of(data)
        tdreport = b"\x81" + bytes(0x7F) + fixed + bytes(1_024 - 0xC0)
        made = azure.quote(changed.pop("nonce", hashlib.sha256(bound).digest()), **changed)
        return AzureEvidence(
            hcl_report=azure.hcl_report(tdreport, data, kind=4),
            tpm_quote=made.message,
            tpm_signature=made.signature,
            pcrs=made.pcrs,
            td_quote=self.tdx.platform.quote(fixed),
        )


async def azure_site(made: SimulatedSite) -> AzureSite:
    """Names both platforms in the asset's profile, and pins PCR 4, 7 and 11 in its reference set."""
    found = AzureSite(tdx=await tdx_site(made))
    common: dict[str, Any] = {
        "covers": _COVERS,
        "pcrs": {str(number): azure.PCR_VALUES[number].hex() for number in _PCRS},
    }
    values = [
        {"name": "azure-snp", "platform": "azure-snp", "measurement": PARAVISOR.hex(), **common},
        {"name": "azure-tdx", "platform": "azure-tdx", "measurement": MRTD.hex(), **common},
    ]
    with found.tdx.open() as running:
        for name, kind, digest, data in running.reader.objects()[2]:
            document: Any = {k: v for k, v in json.loads(data).items() if k != "v"}
            if kind == "profile":
                profile = document["profile"]
                for cpu in ("snp", "tdx"):
                    profile[f"azure_{cpu}"] = {"cpu": profile[cpu], "pcrs": list(_PCRS)}
            elif kind == "reference-set":
                document["values"] += values
            else:
                continue
            unit = put(kind, name, document, entry=sites.draft_of(running), replaces=digest)
            await sites.register(running, [unit])
    return found
