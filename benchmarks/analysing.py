"""How fast the graph is loaded and analysed, against networkx, networkit and igraph used directly.

    python benchmarks/analysing.py [--edges N]… [--graph KIND]… [--peers PYTHON] [--without ENGINE]…
        [--folder F] [--rounds R] [--report]

Draws an R-MAT graph and a planted partition of each size (default 1e6), writes each into a database as a finished crawl
of all its accounts would leave it, and lets every engine do the same from that database: read, build, PageRank to an
L1 precision of 1e-10, weak components, core numbers, communities of the graph with its arrows taken off: by Leiden, and
against networkx, which has no Leiden, by Louvain. Each engine is
a process of its own, one thread each, the engines in turn, `--rounds` times; the table shows the median CPU seconds
(user and system) of each step, and ratios within this one run. Wall seconds stand beside them: on a shared machine only
the CPU's count.

The peers live in an environment of their own (benchmarks/requirements.txt), named by --peers. With --report the whole
`followgraph report` is made of each database instead, once: CPU seconds, peak memory, and their share of the follows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STEPS = ("read", "build", "pagerank", "components", "cores", "communities", "louvain")
REFERENCE = 1e-13


def main() -> None:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, action="append", help="repeat for several sizes")
    parser.add_argument("--peers", type=Path, help="the Python that has the peers")
    parser.add_argument("--graph", choices=("rmat", "planted"), action="append")
    parser.add_argument("--without", action="append", default=[], help="leave out an engine: networkx takes minutes")
    parser.add_argument("--folder", type=Path, help="where the databases stand, kept for the next time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", action="store_true", help="only what the whole report takes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for edges in options.edges or [1_000_000]:
            for kind in options.graph or ("rmat", "planted"):
                database = folder / f"{kind}-{edges}.db"
                if not database.exists():
                    subprocess.run([sys.executable, __file__, "--make", kind, str(edges), str(database)], check=True)
                if options.report:
                    whole_report(f"{kind}, {edges:,} follows", database)
                else:
                    report(f"{kind}, {edges:,} follows", database, options)


def whole_report(title: str, database: Path) -> None:
    """Make the report as a user would, and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "cli.main", "--db", str(database.resolve()), "report", "--output", folder]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
        )
        wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"the report failed:\n{done.stdout}{done.stderr}")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.html"))
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\n## {title}: the whole report\n\n| | taken | goal at 1e7 |\n| --- | --- | --- |")
    print(f"| CPU seconds (wall) | {cpu_s:.0f} ({wall:.0f}) | ≤ 240 |")
    print(f"| peak memory | {after.ru_maxrss / 1024:.0f} MB | ≤ 3,000 MB |")
    print(f"| size of the page | {size / 1e6:.1f} MB | |")


def report(title: str, database: Path, options: argparse.Namespace) -> None:
    """Run every engine in turn and print the tables of one graph."""
    python = {"ours": sys.executable, **dict.fromkeys(("networkit", "igraph", "networkx"), str(options.peers))}
    engines = [engine for engine in python if engine == "ours" or (options.peers and engine not in options.without)]
    results: dict[str, list[dict[str, Any]]] = {}
    for round_ in range(options.rounds):
        for engine in engines:
            if engine == "networkx" and round_:
                continue  # one run of minutes is enough
            results.setdefault(engine, []).append(measured(python[engine], engine, database))
    print(f"\n## {title}\n\nCPU seconds (median of {options.rounds}; networkx once), wall in brackets\n")
    columns = list(results)
    print("| | " + " | ".join(columns) + " |")
    print("| --- " * (len(columns) + 1) + "|")
    whole = {engine: in_all(runs, without="louvain") for engine, runs in results.items()}
    for step in STEPS:
        cells = (
            f"{cpu(runs, step):.3f} ({wall(runs, step):.2f})" if step in runs[0]["cpu"] else ""
            for runs in results.values()
        )
        print(f"| {step} | " + " | ".join(cells) + " |")
    with_louvain = {engine: in_all(runs, without="communities") for engine, runs in results.items()}
    for step, sums in (("communities", whole), ("louvain", with_louvain)):
        cells = (f"{sums[engine]:.2f}" if step in runs[0]["cpu"] else "" for engine, runs in results.items())
        print(f"| all, with {step} | " + " | ".join(cells) + " |")
    print(
        "| peak memory, MB | "
        + " | ".join(f"{median(run['mb'] for run in results[one]):.0f}" for one in columns)
        + " |"
    )
    ours = results["ours"][0]
    print("\n| | reached | goal |\n| --- | --- | --- |")
    if "networkx" in whole:
        ratio = with_louvain["networkx"] / with_louvain["ours"]
        print(f"| all with Louvain, networkx over ours | {ratio:.0f} | ≥ 60 at 1e6 |")
        found = f"ours {ours['louvain']:.4f}, networkx {results['networkx'][0]['modularity']:.4f}"
        print(f"| modularity by Louvain | {found} | |")
    peers = [engine for engine in ("networkit", "igraph") if engine in whole]
    if peers:
        best = min(peers, key=lambda engine: whole[engine])
        print(f"| all, ours over {best} | {whole['ours'] / whole[best]:.2f} | ≤ 1.0 at 1e7 |")
        for step in ("pagerank", "components", "cores"):
            best = min(peers, key=lambda engine: cpu(results[engine], step))
            print(f"| {step}, ours over {best} | {cpu(results['ours'], step) / cpu(results[best], step):.2f} | ≤ 1.5 |")
    rate = ours["follows"] / cpu(results["ours"], "read")
    print(f"| follows loaded a CPU second, accounts included | {rate / 1e6:.2f} million | ≥ 3 million |")
    print(
        f"| the same from the file kept beside the database | {ours['follows'] / ours['again'] / 1e6:.0f} million | |"
    )
    print(f"| bytes a follow after loading | {ours['bytes'] / ours['follows']:.1f} | ≤ 16 |")
    print(f"| L1 distance of PageRank to a reference of {REFERENCE:g} | {ours['distance']:.1e} | ≤ 1e-9 |")
    print(
        f"| communities found, modularity | {', '.join(quality(engine, results[engine][0]) for engine in columns)} | |"
    )
    if ours["nmi"] is not None:
        print(f"| NMI with the planted communities at resolution 1 | {ours['nmi']:.3f} | |")
        for resolution, communities, agreement, limit, below, found in ours["scan"]:
            print(
                f"| at resolution {resolution:g}: communities, agreement of runs, NMI | {communities:.0f}, "
                f"{agreement:.3f}, {found:.3f} | {below} below the limit of {limit:.0f} pairs |"
            )


def in_all(runs: list[dict[str, Any]], *, without: str) -> float:
    return median(sum(taken for step, taken in run["cpu"].items() if step != without) for run in runs)


def cpu(runs: list[dict[str, Any]], step: str) -> float:
    return max(median(run["cpu"][step] for run in runs), 1e-4)


def wall(runs: list[dict[str, Any]], step: str) -> float:
    return median(run["wall"][step] for run in runs)


def quality(engine: str, run: dict[str, Any]) -> str:
    return f"{engine} {run['communities']:,} {run['modularity']:.4f}"


def measured(python: str, engine: str, database: Path) -> dict[str, Any]:
    """Let one engine work in a process of its own."""
    done = subprocess.run(
        [python, str(ROOT / "benchmarks" / "engines.py"), engine, str(database)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{engine} failed on {database}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def make(kind: str, edges: int, database: Path) -> None:
    """Write a drawn network as a crawl of all its accounts leaves it; planted communities go beside it."""
    import networks  # noqa: PLC0415 - only the process that draws needs them
    import numpy as np  # noqa: PLC0415 - of its process only

    sys.path.insert(0, str(ROOT))
    from storage.database import Database  # noqa: PLC0415 - of its process only

    if kind == "rmat":
        src, dst = networks.rmat(edges)
    else:
        src, dst, truth = networks.planted(edges)
        np.save(database.with_suffix(".truth.npy"), truth)
    n = int(max(src.max(), dst.max())) + 1
    at = 1_793_000_000
    followers, following = np.bincount(dst, minlength=n).tolist(), np.bincount(src, minlength=n).tolist()
    ids = range(1, n + 1)
    rows = {
        "accounts (id, handle, followers, following, first_seen_at, updated_at)": (
            (key, f"u{key - 1}", followers[key - 1], following[key - 1], at, at) for key in ids
        ),
        "frontier (account_id, state, priority, depth, completeness)": ((key, 2, 0.0, 1, "complete") for key in ids),
        "visits (id, account_id, run_id, started_at, ended_at, completeness, pages)": (
            (key, key, 1, at, at, "complete", 1) for key in ids
        ),
        "follows (src, dst, first_visit)": zip((src + 1).tolist(), (dst + 1).tolist(), (src + 1).tolist(), strict=True),
    }
    with closing(Database.open(database, now=lambda: 0.0)) as opened:

        def fill(conn: Any) -> None:
            for table, values in rows.items():
                marks = ", ".join("?" * (table.count(",") + 1))
                conn.connection.dbapi_connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)

        opened.transact(fill)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
