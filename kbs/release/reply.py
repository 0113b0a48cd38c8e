"""What is stored with a used challenge, so that a repeat gets the same bytes: a grant, or a refusal with its ticket."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from attest.tlog.entry import canonical, parse_canonical
from kbs.model.refusal import Refused
from kbs.model.release import Grant, Lease, WrappedKey

__all__ = ["decode", "encode_grant", "encode_refusal"]


def encode_grant(grant: Grant) -> bytes:
    """A grant, wrapped keys and all."""
    keys = [
        {"name": k.key_name, "wrapped": base64.b64encode(k.wrapped).decode(), "content": k.content_digest.hex()}
        for k in grant.keys
    ]
    held = grant.lease
    lease = {"id": held.lease_id, "start": held.start, "end": held.end} if held else None
    return canonical({"keys": keys, "lease": lease, "result": grant.result, "audience": grant.audience})


def encode_refusal(reason: str, ticket: str) -> bytes:
    """A refusal."""
    return canonical({"reason": reason, "ticket": ticket})


def decode(reply: bytes) -> Grant:
    """The grant; raises the Refused that it was."""
    document: Mapping[str, Any] = parse_canonical(reply)
    if "reason" in document:
        raise Refused(document["reason"], ticket=document["ticket"])
    keys = tuple(
        WrappedKey(
            key_name=k["name"], wrapped=base64.b64decode(k["wrapped"]), content_digest=bytes.fromhex(k["content"])
        )
        for k in document["keys"]
    )
    held = document["lease"]
    lease = Lease(lease_id=held["id"], start=held["start"], end=held["end"]) if held else None
    return Grant(keys=keys, lease=lease, result=document.get("result", ""), audience=document.get("audience", ""))
