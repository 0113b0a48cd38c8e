"""An operator's word for an invitation: read first, then signed with the key that the operator is known by."""

from __future__ import annotations

from datetime import UTC, datetime

from attest.errors import AttestError
from clients.errors import NotTrusted, Usage
from clients.operator.enrolment import PersonKey
from clients.trust import Trust
from kbs.model.approval import Approval, Proposal

__all__ = ["approve", "read_proposal", "told"]


def read_proposal(raw: bytes, trust: Trust) -> Proposal:
    """An invitation of the trust file's deployment; raises Usage, NotTrusted ORIGIN."""
    try:
        found = Proposal.decode(raw)
    except AttestError as error:
        raise Usage(f"that is no invitation: {error}") from error
    if found.origin != trust.origin:
        raise NotTrusted("ORIGIN", f"the invitation is of {found.origin!r}, the trust file of {trust.origin}")
    return found


def approve(proposal: Proposal, key: PersonKey) -> bytes:
    """The file that says so."""
    return Approval(
        proposal=proposal.enrolment.name, public_key=key.public(), signature=key.sign(proposal.message)
    ).encode()


def told(proposal: Proposal) -> dict[str, object]:
    """What is asked for."""
    asked = proposal.enrolment
    ends = datetime.fromtimestamp(asked.expires // 1_000, UTC)
    return {
        "deployment": proposal.origin,
        "invitation": asked.name,
        "person": asked.principal,
        "roles": sorted(asked.roles),
        "tenants": sorted(asked.tenants),
        "ends": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
