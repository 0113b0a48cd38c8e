"""A boot is small: what it does without, and that it does without it only where nobody else is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOADED = "\nimport json, sys; print(json.dumps(sorted(n for n, m in sys.modules.items() if m)))"


def loaded(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code + LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


LEAN = "from clients.cli.lean import load_lean; load_lean()\n"
USE = "import clients.transport, clients.workload.keys, clients.workload.tee_find, hashlib, hmac\n"


def test_grpc_and_digests_without_an_event_loop() -> None:
    names = loaded(LEAN + USE + "assert hashlib.sha384(b'').digest() and hashlib.shake_256(b'').digest(9)")
    assert names & {"asyncio", "ssl", "_ssl", "_hashlib", "cryptography.x509", "asyncio.events"} == set()
    assert {"grpc", "grpc._cython.cygrpc"} <= names


def test_a_machine_without_a_gpu_driver_loads_nothing_for_devices() -> None:
    code = (
        "from clients.workload.devices_find import find_devices; find_devices(insist=False, told=print, files=Bare())"
    )
    bare = "class Bare:\n    exists = staticmethod(lambda path: False)\n"
    more = loaded(LEAN + USE + bare + code) - loaded(LEAN + USE)
    assert more == {"clients.workload.devices_find"}


def test_what_is_left_out_can_still_be_loaded() -> None:
    names = loaded(LEAN + USE + "import asyncio, ssl; asyncio.run(asyncio.sleep(0)); ssl.create_default_context()")
    assert {"asyncio.events", "_ssl"} <= names


def test_a_program_that_has_them_keeps_them() -> None:
    names = loaded("import asyncio\n" + LEAN + USE)
    assert {"ssl", "_hashlib", "asyncio.events"} <= names
    assert "grpc.aio._base_call" in names


def test_a_grpc_that_will_not_have_it_is_loaded_as_ever() -> None:
    """As one that needs more of asyncio than names of exceptions."""
    broken = """
import clients.cli.lean as lean
def fails(name):
    raise ImportError(name)
real, lean.importlib.import_module = lean.importlib.import_module, fails
lean.load_lean()
lean.importlib.import_module = real
"""
    names = loaded(broken + USE)
    assert {"grpc", "ssl", "asyncio.events"} <= names


def test_only_the_command_for_keys_starts_so() -> None:
    code = """
import sys; sys.argv = ['sealgate', {!r}, '--help']
from clients.cli.main import run
try: run()
except SystemExit: pass
"""
    assert "grpc" in loaded(code.format("keys"))
    assert "grpc" not in loaded(code.format("seal"))
