"""Steps 6 and 7, and the entry of step 8: what a decision becomes before it goes through the write door."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attest import binding
from kbs.guard.ceilings import counts
from kbs.log.bodies import KeyLine
from kbs.model.asset import Asset, KeyVersion, Snapshot
from kbs.model.effect import Effect, PutLease, PutLeaseDevice, PutLeaseKey, PutTicket
from kbs.model.refusal import Unavailable
from kbs.model.release import Grant, Lease, WrappedKey
from kbs.model.unit import ChallengeUse, Count, LeaseUse, Unit, Verdict
from kbs.release import reply
from kbs.release.case import Case, blobs, body, own
from kbs.release.port import Broker
from kbs.release.recipient import Recipient
from kbs.release.result import attestation_result

__all__ = ["account", "device_rows", "granted", "refused", "unit", "wrap"]


def account(case: Case) -> tuple[Count, ...]:
    """Step 6: what this release adds to which meters.

    A rehearsal and a renewal hand out nothing and count nothing, nor does what the node holds already.
    """
    if case.ask.rehearsal or case.ask.action != "release" or not case.judgement.decision.allowed:
        return ()
    fresh = (asset for asset in case.assets() if str(asset.name) not in case.held)
    return tuple(count for asset in fresh for count in counts(asset, case.node, case.now))


def wrap(case: Case, recipient: Recipient, lease: Lease, broker: Broker) -> tuple[WrappedKey, ...]:
    """Step 7: each key under the recipient's, all context in `info`. Raises Unavailable for an asset without a key."""
    return tuple(
        _wrap(asset, _version(asset, case.snapshot), case, recipient, lease, broker) for asset in case.assets()
    )


def _wrap(
    asset: Asset, version: KeyVersion, case: Case, recipient: Recipient, lease: Lease, broker: Broker
) -> WrappedKey:
    info = binding.key_info(case.authentic.bound, version.name, case.ask.purpose, lease.lease_id, asset.content_digest)
    wrapped = recipient.wrap(broker.vault.key(version.name), info)
    return WrappedKey(key_name=version.name, wrapped=wrapped, content_digest=asset.content_digest)


def _version(asset: Asset, snapshot: Snapshot) -> KeyVersion:
    version = snapshot.key_versions.get(str(asset.name))
    if version is None:
        raise Unavailable("KEY_UNAVAILABLE")
    return version


def granted(
    case: Case, keys: Sequence[WrappedKey], lease: Lease | None, counted: Sequence[Count], broker: Broker
) -> Verdict:
    """The grant with its entry; for a rehearsal, which has no lease, the entry alone."""
    preimages = [_preimage(case, key, lease) for key in keys if lease is not None]
    lines = [
        KeyLine(
            asset=str(asset.name),
            version=_version(asset, case.snapshot).version,
            wrapped=hashlib.sha256(preimages[n]).digest() if preimages else None,
        )
        for n, asset in enumerate(case.assets())
    ]
    written = body(
        case,
        broker,
        entry_type="release.granted" if lease else "release.rehearsed",
        keys=lines,
        lease=lease,
        reason="ALLOWED",
        reasons=("ALLOWED",),
        counted=counted,
    )
    return Verdict(
        draft=written.draft(tuple(line.asset for line in lines)),
        blobs=blobs(case),
        own=(*own(case), *preimages),
        effects=(PutTicket(ticket=case.entry_id, tenant=case.tenant), *_lease_rows(case, lease, lines)),
        reply=reply.encode_grant(
            Grant(
                keys=tuple(keys),
                lease=lease,
                result=attestation_result(case, broker) if lease else "",
                audience=case.ask.audience,
            )
        ),
    )


def _lease_rows(case: Case, lease: Lease | None, lines: Sequence[KeyLine]) -> list[Effect]:
    """The record of a new lease: whose, of what, until when."""
    if lease is None:
        return []
    holder, lease_id = case.holder, lease.lease_id
    rows: list[Effect] = [
        PutLease(
            lease_id=lease_id,
            tenant=holder.tenant,
            node=holder.node,
            start=lease.start,
            end=lease.end,
            purpose=case.ask.purpose,
            platform=holder.platform,
            guest=holder.guest,
            holder_key=holder.key,
        )
    ]
    for place, line in enumerate(lines):
        rows.append(PutLeaseKey(lease_id=lease_id, asset=line.asset, version=line.version or 0, place=place))
    return [*rows, *device_rows(case, lease)]


def device_rows(case: Case, lease: Lease) -> list[Effect]:
    """Which devices the machine holds until the lease's end."""
    pairs = zip(case.holder.devices, case.machine.devices, strict=True)
    return [
        PutLeaseDevice(
            lease_id=lease.lease_id,
            device=device,
            place=place,
            serial=serial,
            machine=case.machine.name,
            until=lease.end,
        )
        for place, (device, serial) in enumerate(pairs)
    ]


def _preimage(case: Case, key: WrappedKey, lease: Lease) -> bytes:
    info = binding.key_info(case.authentic.bound, key.key_name, case.ask.purpose, lease.lease_id, key.content_digest)
    return binding.wrapped_preimage(info, key.wrapped)


def refused(  # what differs between refusals
    case: Case,
    reason: str,
    reasons: Sequence[str],
    counted: Sequence[Count],
    broker: Broker,
    *,
    entry_type: str = "release.refused",
) -> Verdict:
    """The refusal with its entry and ticket. A name that is no asset's is a pseudonym there: it may be anything."""
    known = {str(asset.name) for asset in case.assets()}
    lines = [
        KeyLine(
            asset=name if name in known else broker.pseudonyms.of(case.tenant, "unknown", name.encode()),
            version=None,
            wrapped=None,
        )
        for name in case.ask.names
    ]
    written = body(
        case,
        broker,
        entry_type=entry_type,
        keys=lines,
        lease=None,
        reason=reason,
        reasons=reasons,
        counted=counted,
    )
    return Verdict(
        draft=written.draft(tuple(sorted(known))),
        blobs=blobs(case),
        own=own(case),
        effects=(PutTicket(ticket=case.entry_id, tenant=case.tenant),),
        reply=reply.encode_refusal(reason, case.entry_id),
    )


def unit(case: Case, verdict: Verdict, counted: tuple[Count, ...], issued_at: int, broker: Broker) -> Unit:
    """What goes through the write door."""
    budget = ("EXPOSURE_BUDGET",)
    leases = case.judgement.decision.allowed and not case.ask.rehearsal
    return Unit(
        verdict=verdict,
        challenge=ChallengeUse(digest=case.ask.challenge_digest, bound=case.authentic.bound, issued_at=issued_at),
        revision=case.snapshot.revision,
        lease=LeaseUse(lease_id=case.lease.lease_id, newest=case.lease.newest) if case.lease else None,
        machine=case.machine if leases and case.machine.devices else None,
        counts=counted,
        over_budget=refused(case, budget[0], budget, counted, broker) if counted else None,
    )
