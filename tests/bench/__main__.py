"""make bench"""

from __future__ import annotations

from tests.bench.append import append_share, latency_at_half_load
from tests.bench.audit import bench as bench_of_an_audit
from tests.bench.gpu import bench_gpu
from tests.bench.release import bench
from tests.bench.snp import bench_snp
from tests.bench.tdx import bench_tdx


def main() -> None:
    print(f"release      {bench()}")
    for name, figure in bench_snp().items():
        print(f"snp          {name}: {figure}")
    for name, figure in bench_tdx().items():
        print(f"tdx          {name}: {figure}")
    for name, figure in bench_gpu().items():
        print(f"gpu          {name}: {figure}")
    share, rate = append_share()
    print(f"append       {share:.1%} of the CPU of a release, {rate:.0f} releases per CPU second")
    offered, median, p99 = latency_at_half_load()
    print(f"latency      p50 {median:.1f} ms, p99 {p99:.1f} ms at {offered:.0f} per second")
    print(f"audit        {bench_of_an_audit()}")


if __name__ == "__main__":
    main()
