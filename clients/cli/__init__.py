"""The `sealgate` command. An interpreter that is too old is told so before anything it could not read is loaded."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # a clone may be run with whatever python3 is
    sys.exit(
        "sealgate: it needs Python 3.11 or later; this is %d.%d. Make an environment with a newer one: "  # noqa: UP031
        "make PYTHON=python3.12 .venv/run.stamp" % tuple(sys.version_info[:2])
    )
