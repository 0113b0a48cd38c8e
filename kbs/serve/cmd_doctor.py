"""`sealgate-broker doctor`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.serve.commands import Doors

__all__ = ["register"]

_TEXT = """Says in sentences what is wrong with a deployment: configuration, clock, store, log, log keys, custody,
certificates, collateral, people, processes. It changes nothing, and the broker may serve meanwhile.

What could not be looked at is shown as skipped, never as fine. Exit codes: 0 nothing is wrong (there may be
warnings), 2 the configuration cannot be used, 5 there is a problem, 10 the log is frozen."""
_EPILOG = """examples:
  sealgate-broker doctor --config /etc/sealgate/broker.toml
  sealgate-broker doctor --config /etc/sealgate/broker.toml --json"""


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = argparse.RawDescriptionHelpFormatter
    doctor = subparsers.add_parser(
        "doctor",
        help="say what is wrong with a deployment, in sentences",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    doctor.add_argument("--config", type=Path, required=True, metavar="FILE", help="the broker's configuration (TOML)")
    doctor.add_argument("--ask", action="store_true", help="ask for the root key's passphrase if it is typed")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.config.load import load  # noqa: PLC0415  # help must not load the broker
    from kbs.serve.doctor.examine import examine  # noqa: PLC0415
    from kbs.serve.doctor.machine import kernel_synchronised  # noqa: PLC0415
    from kbs.serve.doctor.symptom import FROZEN, PROBLEM, Patient  # noqa: PLC0415
    from kbs.serve.first_run import site_for  # noqa: PLC0415

    config = load(args.config).config
    patient = Patient(
        file=args.config,
        config=config,
        site=site_for(config),
        now=doors.clock(),
        credentials=doors.credentials,
        ask=doors.ask if args.ask else None,
        synchronised=kernel_synchronised,
    )
    symptoms = examine(patient)
    outcomes = {symptom.outcome for symptom in symptoms}
    code = 10 if FROZEN in outcomes else 5 if PROBLEM in outcomes else 0
    lines = [f"{s.outcome.value:<8}{s.area}: {s.sentence}" for s in symptoms]
    told = [{"area": s.area, "outcome": s.outcome.value, "sentence": s.sentence} for s in symptoms]
    doors.say(json.dumps({"fine": code == 0, "symptoms": told}) if args.json else "\n".join(lines))
    return code
