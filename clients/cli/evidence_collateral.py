"""What --collateral gives `sealgate evidence verify`: Intel's documents as JSON, and bundles of all vendors' pieces.

A bundle is signed by whoever gathered it: that says where it comes from and makes nothing in it true. So its signature
is checked if the caller names a key or a trust file, and is said not to be checked if not; the pieces are verified by
their vendors' signatures either way, like files that anybody handed over.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attest.evidence import Collateral
from clients.cli.evidence_files import read_file
from clients.cli.log_keys import read_informed
from clients.errors import Usage

if TYPE_CHECKING:
    from attest.evidence import TdxCollateral
    from attest.tlog.keys import VerifierKey
    from clients.cli.main import Doors

__all__ = ["Given", "bundle_keys", "bundle_lines", "read_given"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """All that --collateral named; `bundles` are told to the caller."""

    collateral: Collateral
    bundles: tuple[Mapping[str, Any], ...]

    def document(self) -> dict[str, Any]:
        """The members for --json: nothing where there is no bundle."""
        return {"collateral_bundles": list(self.bundles)} if self.bundles else {}

    def with_files(self, **more: tuple[bytes, ...]) -> Collateral:
        """The collateral, behind what other options named."""
        return _joined((Collateral(**more), self.collateral))  # type: ignore[arg-type]  # a kind of collateral each


def read_given(args: argparse.Namespace, doors: Doors, *, intel: bool) -> Given:
    """Reads every file of --collateral; JSON is for evidence that Intel's documents are about.

    Raises Usage, and AttestError for what is no collateral, or is not signed by a key that was named.
    """
    from kbs.model.bundle import MAX_BUNDLE, is_bundle, open_bundle, read_bundle  # noqa: PLC0415
    from kbs.model.pieces import collateral_of  # noqa: PLC0415

    keys = bundle_keys(args, doors)
    found, told, documents = [], [], []
    for path in args.collateral:
        raw = read_file(path, most=MAX_BUNDLE)
        if is_bundle(raw):
            bundle = read_bundle(raw) if keys is None else open_bundle(raw, keys)
            found.append(collateral_of(bundle.pieces))
            told.append(_told(path, bundle.origin, bundle.at, bundle.signed_by))
        elif intel:
            documents.append((path, raw))
        else:
            raise Usage(f"{path} is no bundle; JSON of Intel's documents is not for --type {args.type}")
    if documents:
        found.append(Collateral(tdx=_of_intel(documents)))
    if keys is not None and not told:
        raise Usage("--trust and --signed-by say who signed a bundle; --collateral names none")
    return Given(collateral=_joined(tuple(found)), bundles=tuple(told))


def _of_intel(files: Sequence[tuple[Path, bytes]]) -> tuple[TdxCollateral, ...]:
    """What JSON of QuoteCollateral holds, and what documents in files of their own are together."""
    from attest.tdx.collateral_json import read_collateral  # noqa: PLC0415
    from clients.cli.intel_documents import is_document, put_together  # noqa: PLC0415

    apart = [(path, raw) for path, raw in files if is_document(raw)]
    whole = tuple(read_collateral(raw) for _, raw in files if not is_document(raw))
    return (*whole, put_together(apart)) if apart else whole


def bundle_keys(args: argparse.Namespace, doors: Doors) -> tuple[VerifierKey, ...] | None:
    """Whose signature a bundle must carry; None if the caller named nobody. Raises Usage, AttestError."""
    from attest.tlog.keys import VerifierKey  # noqa: PLC0415

    if args.signed_by is not None:
        return (VerifierKey.parse(args.signed_by),)
    return None if args.trust is None else read_informed(args, doors).log_keys


def bundle_lines(document: Mapping[str, Any]) -> list[str]:
    """For people: what is said of each bundle."""
    return [f"  {'bundle':<20} {bundle['says']}" for bundle in document.get("collateral_bundles", ())]


def _told(path: Path, origin: str, at: int, signed_by: str) -> dict[str, Any]:
    when = datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    says = f"{path} was gathered by {origin} at {when}: its signature is good"
    if not signed_by:
        says = (
            f"{path} says that it was gathered by {origin} at {when}: its signature was not checked, since neither "
            "--trust nor --signed-by says whose it has to be; its pieces count as far as their vendors' signatures go"
        )
    return {
        "file": str(path),
        "origin": origin,
        "at": when,
        "signature": "verified" if signed_by else "not checked",
        "signed_by": signed_by or None,
        "says": says,
    }


def _joined(every: tuple[Collateral, ...]) -> Collateral:
    kinds = (kind.name for kind in fields(Collateral))
    return Collateral(**{kind: tuple(part for each in every for part in getattr(each, kind)) for kind in kinds})
