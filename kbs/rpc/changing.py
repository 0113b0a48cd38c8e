"""A change of the catalogue that was allowed: through the write door, with its entry and the decision behind it."""

from __future__ import annotations

from functools import partial

from sealgate.v1 import change_pb2 as pb

from kbs.catalog.change import Change
from kbs.log.bodies import change as change_entry
from kbs.model.effect import Effect
from kbs.model.refusal import Refused
from kbs.model.unit import Committed, Conflict, Moved
from kbs.release.port import Broker
from kbs.rpc.people import Allowed, StateMoved

__all__ = ["commit", "told"]


async def commit(
    broker: Broker, allowed: Allowed, change: Change, *, validate_only: bool, also: tuple[Effect, ...] = ()
) -> pb.Change:
    """Writes `change` and what belongs to it, unless it only is to be validated or changes nothing.

    Raises Refused ETAG_MISMATCH where somebody was faster, and StateMoved where the decision has to be made again.
    """
    if validate_only:
        return told(change, pb.CHANGE_STATE_VALIDATED)
    if change.old == change.new and not also:
        return told(change, pb.CHANGE_STATE_APPLIED)
    entry = partial(
        change_entry,
        entry_id=broker.random(16).hex(),
        actor=("person", allowed.person.id),
        broker=broker.identity,
        decision=allowed.decision_digest,
    )
    unit = change.unit(entry, revision=allowed.snapshot.revision, own=(allowed.decision,), also=also)
    match (await broker.store.commit([unit]))[0]:
        case Committed():
            return told(change, pb.CHANGE_STATE_APPLIED)
        case Moved():
            raise StateMoved
        case Conflict():
            raise Refused("ETAG_MISMATCH", check="etag", expected="what was there when it was decided", got="another")
        case outcome:
            raise TypeError(f"a change without a challenge came to {outcome}")


def told(change: Change, state: pb.ChangeState.ValueType) -> pb.Change:
    """The change as a message."""
    return pb.Change(name=change.name, state=state, digest=change.new, etag=change.new.hex())
