"""A guest under a throwaway paravisor: the real door, to a vTPM in memory and a metadata service on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from clients.workload.imds import Imds
from clients.workload.tee_azure import AzureGuest
from clients.workload.tpm import Tpm
from clients.workload.tpm_wire import TpmWire
from tests.makers import imds
from tests.makers.azure_site import AzureSite
from tests.makers.vtpm import FakeVtpm

__all__ = ["azure_guest"]


@contextlib.contextmanager
def azure_guest(made: AzureSite, platform: str, pcrs: Mapping[int, bytes] | None = None) -> Iterator[AzureGuest]:
    """On `azure-snp` or `azure-tdx`; `pcrs` are other than those of the registered image."""
    on_tdx = platform == "azure-tdx"
    report = (made.on_tdx if on_tdx else made.on_snp)(bytes(64)).hcl_report
    vtpm = FakeVtpm(report)
    for number, value in (pcrs or {}).items():
        vtpm.extend(number, value)
    quote = made.tdx.platform.quote if on_tdx else None
    with imds.service(imds.metadata(chain=made.site.chip.certificates, quote=quote)) as service:
        yield AzureGuest(Tpm(TpmWire(vtpm)), Imds(service))
