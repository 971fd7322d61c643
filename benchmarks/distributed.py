"""The programs on Spark beside the local engine: how far apart, and CPU seconds per follow and round as graphs grow.

    PYTHONPATH=. python benchmarks/distributed.py 100000 1000000 10000000

One drawn graph of each size: popularity falls off as a power law, one account in twenty follows nobody, and one
account, the hub, is followed by a third of all. CPU seconds of Spark are those of its process, the start included.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.distributed import cluster, study
from analysis.engine import component_labels, matrix, power_iteration

PER_ACCOUNT = 10
"""Follows for each account."""


def drawn(size: int, rng: np.random.Generator) -> tuple[int, Any, Any]:
    """Draw about `size` distinct follows, sorted; returns the number of accounts, sources, targets."""
    n = size // PER_ACCOUNT
    src = rng.integers(0, n - n // 20, size)
    dst = np.minimum((n * rng.random(size) ** 4).astype(np.int64), n - 1)
    fans = rng.choice(n - n // 20, n // 3, replace=False)
    src, dst = np.concatenate((src, fans)), np.concatenate((dst, np.full(len(fans), n // 2)))
    keys = np.sort((src << 32 | dst)[src != dst])
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
    return n, (keys >> 32).astype(np.uint32), keys.astype(np.uint32)


def write(folder: Path, n: int, src: Any, dst: Any, parts: int = 8) -> None:
    """Write the graph as a partitioned export."""
    ids = pa.array(np.arange(n)).cast(pa.string())
    nothing = pa.nulls(n, pa.int64())
    words = {"label": ids, "role": pa.array(["expanded"] * n), "completeness": pa.array(["complete"] * n)}
    accounts = pa.table({"id": ids, **words, "followers_reported": nothing, "following_reported": nothing})
    follows = pa.table({"source": pa.array(src).cast(pa.string()), "target": pa.array(dst).cast(pa.string())})
    for name, table in (("accounts", accounts), ("follows", follows)):
        (folder / name).mkdir(parents=True)
        size = -(-len(table) // parts)
        for part in range(parts):
            pq.write_table(table.slice(part * size, size), folder / name / f"part-{part:05d}.parquet")


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, its ended children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> float:
    """Return the most memory a process ever held, in GB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6


def measure(size: int, programs: list[str], settled: float, memory: str, place: str | None) -> None:
    """Analyse one graph with both engines and print a line for each program."""
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        n, src, dst = drawn(size, np.random.default_rng(1))
        write(folder / "in", n, src, dst)
        settings = {
            "spark.driver.memory": memory,
            "spark.local.dir": str(folder / "spark"),
        }
        begun = time.monotonic()
        with cluster.opened("local[2]", settings) as spark:
            pid = spark.sparkContext._gateway.proc.pid
            spark.sparkContext.setLogLevel("ERROR")
            started = mark = cpu_seconds(pid)
            spent: dict[str, list[float]] = defaultdict(list)

            def progress(program: str, number: int, change: float) -> None:
                nonlocal mark
                spent[program].append(cpu_seconds(pid) - mark)
                mark = cpu_seconds(pid)

            asked = study.Asked(programs=programs, settled=settled)
            told = study.analyse(spark, str(folder / "in"), str(folder / "out"), asked, progress)
            total, peak = cpu_seconds(pid), peak_memory(pid)
        wall = time.monotonic() - begun
        print(f"{len(src):,} follows, {n:,} accounts: start {started:.1f}, all {total:.1f} CPU s, wall {wall:.0f} s,")
        print(f"  peak {peak:.2f} GB")
        found = pq.read_table(folder / "out" / "accounts").sort_by("id").to_pydict()
        order = np.argsort(np.array(found["id"]).astype(np.int64))
        for program in programs:
            before, rounds = spent[program][0], spent[program][1:]
            per = sum(rounds) / max(len(rounds), 1)
            print(
                f"  {program}: {told['programs'][program]['rounds']} rounds, {sum(spent[program]):.1f} CPU s, first"
                f" {before:.1f}, then {per:.2f} a round, {per / len(src) * 1e6:.2f} µs per follow and round;"
                f" {_beside(program, (n, src, dst), found, order, settled)}"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _beside(program: str, graph: tuple[int, Any, Any], found: dict[str, Any], order: Any, settled: float) -> str:
    n, src, dst = graph
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    if program == "pagerank":
        local = power_iteration(matrix(n, src, dst), damping=0.85, precision=settled, rounds=1_000)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun
        assert local is not None
        apart = np.abs(np.array(found["pagerank"])[order] - local).sum()
        return f"L1 {apart:.1e} from the local engine, which needs {used:.2f} CPU s"
    if program == "components":
        labels = component_labels(n, src, dst)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun
        lowest = np.full(labels.max() + 1, n)
        np.minimum.at(lowest, labels, np.arange(n))
        same = np.array_equal(np.array(found["component"]).astype(np.int64)[order], lowest[labels])
        return f"{'the same' if same else 'NOT THE SAME'} as the local engine's, which needs {used:.2f} CPU s"
    return "nothing local beside it"


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="+", help="follows")
    parser.add_argument("--programs", default="pagerank,components,communities")
    parser.add_argument("--settled", type=float, default=1e-9)
    parser.add_argument("--memory", default="4g", help="of Spark's process")
    parser.add_argument("--place", help="a folder with room for the graph and what is shuffled")
    given = parser.parse_args()
    for size in given.sizes:
        measure(size, given.programs.split(","), given.settled, given.memory, given.place)


if __name__ == "__main__":
    main()
