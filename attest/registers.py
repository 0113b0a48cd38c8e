"""What evidence says of a launch besides its measurement, under the names that a reference value has for it.

For drafts that people compare and register. Nothing here verifies: what comes from evidence that was not verified
before is anybody's word.
"""

from __future__ import annotations

from attest.azure.verify import hardware_of
from attest.evidence import AzureEvidence, CpuEvidence, HardwareEvidence, SnpEvidence
from attest.snp.report import parse as parse_report
from attest.tdx.quote import parse as parse_quote
from attest.tpm import inspect_tpm_quote

__all__ = ["registers_of"]


def registers_of(evidence: CpuEvidence) -> dict[str, bytes]:
    """`host_data` of SNP, 32 bytes; of TDX `mr_config_id` and, without a paravisor, `rtmr0` to `rtmr3`, 48 bytes each.

    Under a paravisor, whose own the RTMRs are, `pcr[N]` of every PCR that was quoted, 32 bytes. Raises AttestError.
    """
    found = _of_cpu(hardware_of(evidence))
    if not isinstance(evidence, AzureEvidence):
        return found
    own = {name: value for name, value in found.items() if not name.startswith("rtmr")}
    pcrs = inspect_tpm_quote(evidence.tpm_quote, evidence.pcrs).pcrs
    return own | {f"pcr[{number}]": value for number, value in sorted(pcrs.items())}


def _of_cpu(evidence: HardwareEvidence) -> dict[str, bytes]:
    if isinstance(evidence, SnpEvidence):
        return {"host_data": parse_report(evidence.report).host_data}
    td = parse_quote(evidence.quote).td
    if td is None:
        return {}
    return {"mr_config_id": td.mr_config_id} | {f"rtmr{number}": value for number, value in enumerate(td.rtmrs)}
