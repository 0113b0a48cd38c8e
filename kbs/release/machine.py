"""Which machine asks, with which devices, and is one of them under a live lease of another machine?

Nothing in a device's evidence says in which machine it sits, so that one device of two nodes at a time was either moved
or is relayed. Tenants have pseudonyms of their own, and a device may be leased to several of them; therefore machines
and devices are compared by names of the whole deployment. These stay in the store: entries hold the tenant's.

What is found here is read before the transaction, for the decision and whoever asks why; that it still holds is a guard
of the unit (`Unit.machine`), under the head's lock. If it does not, it is decided anew.
"""

from __future__ import annotations

from attest.finding import Finding, Outcome
from attest.profile import Claims
from kbs.model.lease import Elsewhere, Holder, Machine
from kbs.release.port import Broker

__all__ = ["findings", "machine_of"]

_ALL = ""  # in place of a tenant
_EXPECTED = "no live lease of another machine"


def machine_of(claims: Claims, broker: Broker) -> Machine:
    """Who asks, for all tenants alike."""
    return Machine(
        name=broker.pseudonyms.of(_ALL, "node", claims.platform_id),
        devices=tuple(broker.pseudonyms.device(_ALL, d.kind, d.pdi) for d in claims.devices),
    )


def findings(machine: Machine, holder: Holder, broker: Broker, now: int) -> tuple[Finding, ...]:
    """Part of step 4: DEVICE_LEASED_ELSEWHERE, once for each device that is, or passed; nothing without devices."""
    if not machine.devices:
        return ()
    elsewhere = {each.device: each for each in broker.leases.elsewhere(machine, now)}
    failed = tuple(
        _finding(
            f"devices[{n}]", Outcome.FAILED, f"{holder.devices[n]} under {_told(elsewhere[device], holder.tenant)}"
        )
        for n, device in enumerate(machine.devices)
        if device in elsewhere
    )
    return failed or (_finding("devices", Outcome.PASSED, "none"),)


def _told(other: Elsewhere, tenant: str) -> str:
    """Of another tenant's lease nobody learns more than that there is one."""
    if other.tenant != tenant:
        return "a lease of another tenant"
    return f"tenants/{tenant}/leases/{other.lease_id} of {other.node}"


def _finding(path: str, outcome: Outcome, got: str) -> Finding:
    return Finding(check="DEVICE_LEASED_ELSEWHERE", path=path, outcome=outcome, expected=_EXPECTED, got=got)
