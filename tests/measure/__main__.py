"""make measure TOPIC=... [LONG=1]"""

from __future__ import annotations

import argparse
import importlib
import sys

from tests.measure.table import run

TOPICS = ("skeleton", "snp", "log", "gpu", "tdx", "collateral", "product")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make measure", description="Takes an issue's measures.")
    parser.add_argument("topic", nargs="?", help=f"one of: {', '.join(TOPICS)}")
    parser.add_argument("--long", action="store_true", help="full counts")
    args = parser.parse_args()
    if args.topic not in TOPICS:
        print(f"name a topic: make measure TOPIC=... with one of: {', '.join(TOPICS)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"tests.measure.{args.topic}")
    return run(args.topic, module.MEASURES, long=args.long)


if __name__ == "__main__":
    sys.exit(main())
