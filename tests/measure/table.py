"""What a measure is, and how a run of them is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measure", "Result", "run"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came out: a figure for people, and whether the target is met (None: printed, no target)."""

    figure: str
    met: bool | None


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One line of the table. `take` is given True for a long run; what it raises is a measure that is not met."""

    name: str
    target: str
    take: Callable[[bool], Result]


def run(topic: str, measures: Sequence[Measure], *, long: bool) -> int:
    """Takes every measure, shows each when it is there, writes build/measure-TOPIC.json; the exit code."""
    rows = []
    for measure in measures:
        try:
            result = measure.take(long)
        except Exception as error:  # noqa: BLE001  # what could not run is not met, and the others still run
            result = Result(figure=f"could not run: {type(error).__name__}: {error}", met=False)
        word = {True: "met", False: "NOT MET", None: "printed"}[result.met]
        print(
            f"{word:<8} {measure.name}\n         target {measure.target}\n         figure {result.figure}", flush=True
        )
        rows.append({"measure": measure.name, "target": measure.target, "figure": result.figure, "met": result.met})
    met = all(row["met"] is not False for row in rows)
    target = Path("build") / f"measure-{topic}.json"
    target.parent.mkdir(exist_ok=True)
    document = {"topic": topic, "long": long, "met": met, "measures": rows}
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"\n{'all met' if met else 'NOT all met'}; written to {target}")
    return 0 if met else 1
