"""make fuzz SECONDS=...: the suite's properties on fresh examples, then each target in turn, in a process of its own.

Exit 0 only if none found anything.
"""

from __future__ import annotations

import subprocess
import sys

from tests.fuzz.targets import TARGETS

__all__ = ["main"]


def main(seconds: int) -> int:
    """Shares `seconds` among the targets, after one pass of the properties."""
    print("the properties of the suite, on fresh examples", flush=True)
    command = [sys.executable, "-m", "pytest", "tests", "-m", "hypothesis", "--hypothesis-profile=fresh", "-n", "auto"]
    failed = [] if subprocess.run(command, check=False, timeout=600).returncode == 0 else ["the properties"]
    each = max(1, seconds // len(TARGETS))
    for name in TARGETS:
        print(f"fuzzing {name} for {each} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz.one", name, f"-max_total_time={each}", "-max_len=8192"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=each + 120)
        tail = [line for line in done.stderr.splitlines() if line.startswith(("Done", "==", "#")) or "Error" in line]
        print("  " + (tail[-1] if tail else "no output"), flush=True)
        if done.returncode != 0:
            failed.append(name)
            print(done.stderr[-3_000:], file=sys.stderr)
    print(f"found something in: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
