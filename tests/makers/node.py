"""A node with devices: the measured guest collects them and has the CPU sign; the host may change them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attest import binding
from attest.evidence import DeviceEvidence, SnpEvidence
from clients.workload.recipient import SUITE, RecipientKey
from kbs.model.release import Ask
from tests.makers.amd import Chip
from tests.makers.nvidia import Device
from tests.makers.site import ASSET, MEASUREMENT, ORIGIN, PURPOSE

__all__ = ["Change", "node_ask"]

Change = Callable[[list[DeviceEvidence], bytes], Sequence[DeviceEvidence]]


def node_ask(
    chip: Chip,
    devices: Sequence[Device],
    challenge: bytes,
    *,
    guest: Change = lambda devices, _nonce: devices,
    host: Change = lambda devices, _nonce: devices,
    recipient: RecipientKey | None = None,
    names: tuple[str, ...] = (ASSET,),
    renews: str = "",
    holder_key: bytes = b"",
    rehearsal: bool = False,
    audience: str = "",
) -> Ask:
    """An ask for the site's asset, or to renew the lease `renews`.

    `guest` changes what the guest collected, `host` what it sends, after it signed. Both are
    given the evidence of `devices` and the nonce that it was made for.
    """
    recipient = recipient or RecipientKey()
    nonce = binding.device_nonce(challenge, SUITE, recipient.public)
    collected = list(guest([device.evidence(nonce) for device in devices], nonce))
    action = "renew" if renews else "release"
    request = binding.Request(action=action, origin=ORIGIN, purpose=PURPOSE, names=names, lease_id=renews)
    digests = [binding.device_digest(d.kind, d.report, d.chain) for d in collected]
    transcript = binding.transcript(challenge, SUITE, recipient.public, holder_key, request.digest(), digests)
    report = chip.report(binding.bound(transcript), measurement=MEASUREMENT)
    return Ask(
        challenge=challenge,
        suite=SUITE,
        recipient_key=recipient.public,
        holder_key=holder_key,
        evidence=SnpEvidence(report=report, certificates=chip.certificates),
        devices=list(host(collected, nonce)),
        init_data=b"",
        purpose=PURPOSE,
        names=names,
        rehearsal=rehearsal,
        action=action,
        lease_id=renews,
        audience=audience,
    )
