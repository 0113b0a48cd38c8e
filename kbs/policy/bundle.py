"""A policy bundle: schema and policies as one content-addressed document, validated when loaded, never while used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from attest.tlog.entry import canonical

__all__ = ["Bundle", "default_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The texts that the engine runs."""

    schema: str
    policies: str

    def document(self) -> bytes:
        """Canonical JSON; what `policy_digest` in a log entry stands for."""
        return canonical({"v": "sealgate.policy/1", "schema": self.schema, "policies": self.policies})

    def digest(self) -> bytes:
        """SHA-256 of the document."""
        return hashlib.sha256(self.document()).digest()


def default_bundle() -> Bundle:
    """The bundle that comes with the product."""
    here = resources.files("kbs.policy")
    return Bundle(
        schema=here.joinpath("schema.cedarschema").read_text(encoding="utf-8"),
        policies=here.joinpath("default.cedar").read_text(encoding="utf-8"),
    )
