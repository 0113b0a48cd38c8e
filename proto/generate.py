"""Generates the Python beside proto/sealgate/v1/*.proto, or checks that it is what it should be.

usage: generate.py [--check | --accept]     --accept makes the present schema the base of the breaking check
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
HOME = ROOT / "sealgate" / "v1"


def generate(into: Path) -> None:
    """Runs protoc for every schema, messages and services, with typed stubs."""
    bin_dir = Path(sys.executable).parent
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--proto_path={ROOT}",
        f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
        f"--python_out={into}",
        f"--grpc_python_out={into}",
        f"--mypy_out=quiet:{into}",
        f"--mypy_grpc_out=quiet:{into}",
        *sorted(str(p) for p in HOME.glob("*.proto")),
    ]
    subprocess.run(command, check=True)  # noqa: S603  # fixed arguments


def main(arguments: list[str]) -> int:
    """Writes, or with --check compares; returns the exit code."""
    if arguments == ["--accept"]:
        buf = Path(sys.executable).parent / "buf"
        subprocess.run([buf, "build", "-o", ROOT / "baseline.binpb"], check=True, cwd=ROOT.parent)  # noqa: S603
        return 0
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        made = {p.name: p.read_bytes() for p in (Path(directory) / "sealgate" / "v1").iterdir()}
    have = {p.name: p.read_bytes() for p in HOME.glob("*_pb2*.py*") if p.is_file()}
    if arguments == ["--check"]:
        stale = sorted(name for name in made.keys() | have.keys() if made.get(name) != have.get(name))
        for name in stale:
            print(f"proto/sealgate/v1/{name} is not what its schema generates; run: make proto")
        return 1 if stale else 0
    for name in have.keys() - made.keys():
        (HOME / name).unlink()
    for name, data in made.items():
        (HOME / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
