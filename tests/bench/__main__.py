"""make bench"""

from __future__ import annotations

from tests.bench.release import bench
from tests.bench.snp import bench_snp


def main() -> None:
    print(f"release      {bench()}")
    for name, figure in bench_snp().items():
        print(f"snp          {name}: {figure}")


if __name__ == "__main__":
    main()
