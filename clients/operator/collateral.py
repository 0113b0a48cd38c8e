"""Bundles of collateral and forecasts, as an operator asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1.collateral_pb2 import (
    CollateralPiece,
    ExportCollateralRequest,
    ExportCollateralResponse,
    ForecastRefusal,
    ImportCollateralRequest,
    ImportCollateralResponse,
    PreflightCollateralRequest,
    PreflightCollateralResponse,
    RefreshCollateralRequest,
    RefreshCollateralResponse,
)

from clients.transport import Channel
from kbs.model.bundle import Bundle
from kbs.model.collateral import Piece
from kbs.model.words import counted

__all__ = [
    "bundle_document",
    "bundle_text",
    "export_bundle",
    "forecast_document",
    "forecast_text",
    "import_bundle",
    "preflight",
    "refresh",
]

_SERVICE = "/sealgate.v1.Collateral"
_MOST_BYTES = 200 * 1_024  # of pieces in one message; the broker takes no message above 256 KiB


def export_bundle(channel: Channel, prefix: str) -> bytes:
    """Everything that the broker has and that is valid; raises Denied, Unavailable."""
    request = ExportCollateralRequest(prefix=prefix)
    return channel.call(f"{_SERVICE}/ExportCollateral", request, ExportCollateralResponse).bundle


def import_bundle(channel: Channel, bundle: Bundle, tell: Callable[[int, int], object]) -> list[tuple[str, str]]:
    """Hands a bundle's pieces over, as many at a time as fit; (name, outcome) of each. `tell` gets done and all."""
    outcomes: list[tuple[str, str]] = []
    for batch in _batches(_in_order(bundle.pieces)):
        answer = channel.call(
            f"{_SERVICE}/ImportCollateral",
            ImportCollateralRequest(pieces=[_message(piece) for piece in batch]),
            ImportCollateralResponse,
        )
        outcomes += [(each.name, each.outcome) for each in answer.outcomes]
        tell(len(outcomes), len(bundle.pieces))
    return outcomes


def refresh(channel: Channel) -> list[str]:
    """Names of what changed by a fetch now."""
    answer = channel.call(f"{_SERVICE}/RefreshCollateral", RefreshCollateralRequest(), RefreshCollateralResponse)
    return list(answer.changed)


def preflight(channel: Channel, at: datetime) -> PreflightCollateralResponse:
    """Who will be refused at `at`."""
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return channel.call(
        f"{_SERVICE}/PreflightCollateral", PreflightCollateralRequest(at=stamp), PreflightCollateralResponse
    )


def bundle_document(bundle: Bundle) -> dict[str, object]:
    """For --json."""
    return {
        "origin": bundle.origin,
        "at": _shown(bundle.at),
        "signed_by": bundle.signed_by,
        "good_until": _shown(min((p.good_until for p in bundle.pieces), default=bundle.at)),
        "pieces": [
            {
                "name": p.name,
                "bytes": len(p.data),
                "sha256": p.digest.hex(),
                "fetched_at": _shown(p.fetched_at),
                "good_until": _shown(p.good_until),
            }
            for p in bundle.pieces
        ],
    }


def bundle_text(bundle: Bundle, now: datetime) -> str:
    """For people: who, when, and each piece with its end."""
    lines = [f"{counted(len(bundle.pieces), 'piece')} gathered by {bundle.origin} at {_shown(bundle.at)}"]
    for piece in bundle.pieces:
        over = "  ENDED" if piece.good_until <= now.timestamp() * 1_000 else ""
        lines.append(f"  {piece.name:<60.60} until {_shown(piece.good_until)}{over}")
    return "\n".join(lines)


def forecast_document(answer: PreflightCollateralResponse) -> dict[str, object]:
    """For --json."""
    return {
        "at": answer.at.ToJsonString(),
        "platforms": answer.platforms,
        "refused": answer.refused,
        "refusals": [_refusal_document(refusal) for refusal in answer.refusals],
        "endings": [
            {"name": e.name, "good_until": e.good_until.ToJsonString(), "overdue": e.overdue} for e in answer.endings
        ],
        "short_lived": answer.short_lived,
        "graces": [
            {**{f: getattr(g, f) for f in ("product", "asset", "path", "leave", "count")}, "nodes": list(g.nodes)}
            for g in answer.graces
        ],
        "changes": [
            {
                **{f: getattr(c, f) for f in ("family", "evaluation", "platforms", "refused")},
                "event": c.event.ToJsonString() if c.HasField("event") else None,
                "refusals": [_refusal_document(refusal) for refusal in c.refusals],
            }
            for c in answer.changes
        ],
        "missing": [_refusal_document(refusal) for refusal in answer.missing],
    }


def _refusal_document(refusal: ForecastRefusal) -> dict[str, object]:
    fields = ("product", "asset", "check", "path", "expected", "got", "count")
    return {**{field: getattr(refusal, field) for field in fields}, "nodes": list(refusal.nodes)}


def forecast_text(answer: PreflightCollateralResponse) -> str:
    """For people: the sentence that matters first, then each reason, then what must be renewed."""
    day = answer.at.ToDatetime().strftime("%Y-%m-%d")
    lines = [f"On {day}, {answer.refused} of {answer.platforms} known platforms will be refused."]
    lines += [line for refusal in answer.refusals for line in _reason(f"on {day}", refusal)]
    for grace in answer.graces:
        lines.append(f"  on {day}, {grace.count} of {grace.product} for {grace.asset} pass {grace.leave}")
    for change in answer.changes:
        event = f" (TCB recovery of {change.event.ToDatetime():%Y-%m-%d})" if change.HasField("event") else ""
        lines.append(
            f"When Intel's tcbEvaluationDataNumber {change.evaluation}{event} is the standard, "
            f"{change.refused} of {change.platforms} known platforms of {change.family} will be refused besides."
        )
        lines += [line for refusal in change.refusals for line in _reason("then", refusal)]
    if answer.missing:
        lines.append("Cannot be judged until it is fetched or imported:")
        lines += [f"  {m.count} of {m.product}: {m.check} at {m.path}, {m.expected}" for m in answer.missing]
    if answer.endings:
        lines.append(f"Ends by then, and has to be renewed or imported ({len(answer.endings)}):")
        lines += [
            f"  {e.name}  at {e.good_until.ToJsonString()}{', and is overdue' * e.overdue}" for e in answer.endings
        ]
    if answer.short_lived:
        lines.append(
            f"{counted(answer.short_lived, 'more piece')} made for less time than that; renewed or imported before."
        )
    return "\n".join(lines)


def _reason(when: str, refusal: ForecastRefusal) -> Iterator[str]:
    about = f" for {refusal.asset}" if refusal.asset else ""
    yield f"  {when}, {refusal.count} of {refusal.product}{about}: {refusal.check} at {refusal.path}"
    yield f"      expected {refusal.expected}"
    yield f"      got      {refusal.got}"


def _in_order(pieces: Iterable[Piece]) -> list[Piece]:
    """Issuers before what they issued: a later message may need them."""
    return sorted(pieces, key=lambda p: ("/issuers/" not in p.name, "/crl/" not in p.name, p.name))


def _batches(pieces: list[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        if batch and size + len(piece.data) > _MOST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += len(piece.data)
    if batch:
        yield batch


def _message(piece: Piece) -> CollateralPiece:
    fetched = Timestamp()
    fetched.FromMilliseconds(piece.fetched_at)
    return CollateralPiece(name=piece.name, data=piece.data, fetched_at=fetched)


def _shown(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
