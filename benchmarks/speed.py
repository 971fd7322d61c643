"""How fast, how lean and how steady: followgraph beside a loop that stores nothing, Scrapy and crawlee.

    make bench                                   everything, three rounds: about an hour on two quiet cores
    make bench PARTS="crawl growth" ROUNDS=5
    python benchmarks/speed.py table             write the tables of the newest results into docs/performance.md

Programs that are compared run interleaved, each in a process of its own against the same server (`peers/api.py`), and
only ratios within a run say something. Results are kept in benchmarks/results/PART.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import pstats
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from meters import cpu_s

HERE = Path(__file__).parent
PEERS, RESULTS, DOCUMENT = HERE / "peers", HERE / "results", HERE.parent / "docs" / "performance.md"
OURS, OTHERS = Path(sys.executable), HERE / ".venv" / "bin" / "python"
SEED = "u00000000"

Row = dict[str, Any]


@contextmanager
def api(*options: str) -> Iterator[tuple[str, int]]:
    """Serve; the value is address and process id."""
    with subprocess.Popen([OURS, PEERS / "api.py", *options], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip(), server.pid
        finally:
            server.terminate()


class Unmeasured(Exception):
    """A program that could not be run to its end, and why."""


def measured(python: Path, script: str, *arguments: object) -> Row:
    """Run a program to its end and return what it says of itself. Raises Unmeasured."""
    if not python.exists():
        raise Unmeasured(f"there is no {python.relative_to(HERE.parent)}: make bench installs it")
    command = [python, PEERS / script, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=3600)
    if done.returncode:
        raise Unmeasured((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200])
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def keep(part: str, content: Row) -> None:
    """Store the results of a part with the conditions they were made under."""
    RESULTS.mkdir(exist_ok=True)
    conditions = {
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "load_after": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    (RESULTS / f"{part}.json").write_text(json.dumps({"conditions": conditions} | content, indent=1))


# What is compared: how it is called, and what share of the pages it gets: the slow ones show their pace in fewer.
PROGRAMS: dict[str, tuple[Path, str, tuple[str, ...], float]] = {
    "bare loop, orjson": (OTHERS, "bare.py", ("orjson",), 1),
    "bare loop, msgspec, uvloop": (OURS, "bare.py", ("msgspec",), 1),
    "the rows alone": (OURS, "floor.py", (), 1),
    "followgraph: bfs, archive off": (OURS, "ours.py", ("bfs", "off"), 1),
    "followgraph: defaults (flow, archive on)": (OURS, "ours.py", ("flow", "on"), 1),
    "Scrapy, JOBDIR": (OTHERS, "by_scrapy.py", (), 0.3),
    "crawlee, SQL": (OTHERS, "by_crawlee.py", (), 0.08),
}
BASE = "bare loop, orjson"


CELLS = ((0.0, 50), (0.0, 200), (0.05, 50), (0.05, 200))
"""Latency in seconds, and concurrency."""


def crawl(rounds: int, scale: float) -> None:
    """Compare the crawlers at both latencies and both concurrencies."""
    cells = []
    for latency_s, concurrency in CELLS:
        print(f"crawl: {1000 * latency_s:g} ms, concurrency {concurrency}", flush=True)
        runs: dict[str, list[Row]] = {name: [] for name in PROGRAMS}
        failures: dict[str, str] = {}
        with api("--latency", str(latency_s)) as (url, server):
            for _ in range(rounds):
                for name, program in PROGRAMS.items():
                    try:
                        row = one_crawl(program, url, concurrency, server, pages=int(5000 * scale))
                    except Unmeasured as error:
                        failures[name] = str(error)
                        print(f"  {name:42} not measured: {error}", flush=True)
                        continue
                    runs[name].append(row)
                    print(f"  {name:42} {row['pages'] / row['wall_s']:8.0f} pages/s", flush=True)
        cells.append({"latency_s": latency_s, "concurrency": concurrency, "runs": runs, "failures": failures})
        keep("crawl", {"cells": cells, "rounds": rounds, "pages": int(5000 * scale)})


def one_crawl(
    program: tuple[Path, str, tuple[str, ...], float], url: str, concurrency: int, server: int, *, pages: int
) -> Row:
    """Run one program once, in a folder of its own."""
    python, script, more, share = program
    before = cpu_s(server)
    with tempfile.TemporaryDirectory() as folder:
        place = [] if script == "bare.py" else [folder]
        row = measured(python, script, url, SEED, max(100, int(pages * share)), concurrency, *place, *more)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return row | {"disk": size, "server_cpu_s": cpu_s(server) - before}


GROUPS: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
    ("SQLite: statements", lambda _, name: "sqlite3.Cursor" in name),
    ("SQLite: commit (log, fsync, folding in)", lambda _, name: "sqlite3.Connection" in name),
    ("zstd", lambda _, name: "zstandard" in name),
    ("JSON (msgspec)", lambda _, name: "msgspec" in name),
    ("aiohttp and what it needs", lambda file, _: any(f"/{it}/" in file for it in ("aiohttp", "yarl", "multidict"))),
    ("SQLAlchemy", lambda file, _: "/sqlalchemy/" in file),
    ("followgraph: storage", lambda file, _: file.startswith(str(HERE.parent / "storage"))),
    ("followgraph: crawler", lambda file, _: file.startswith(str(HERE.parent / "crawler"))),
    ("followgraph: socialfetch", lambda file, _: file.startswith(str(HERE.parent / "socialfetch"))),
    ("Python's built-ins, for all of them", lambda file, _: file == "~"),
    ("the rest", lambda *_: True),
)
"""Whose time it is, first match; by file and name of a function."""


def profile(rounds: int, scale: float) -> None:
    """Profile a crawl with the defaults, thread by thread."""
    del rounds  # shares of one run
    pages = int(3000 * scale)
    shares = {group: [0.0, 0.0] for group, _ in GROUPS}
    own: list[tuple[float, int, str]] = []
    with api() as (url, _), tempfile.TemporaryDirectory() as folder:
        name = Path(folder) / "profile"
        measured(OURS, "ours.py", url, SEED, pages, 50, folder, "flow", "on", name)
        for thread, kind in enumerate(("loop", "writer")):
            figures: Any = pstats.Stats(f"{name}.{kind}")
            for (path, line, function), (_, calls, own_s, _, _) in figures.stats.items():
                group = next(group for group, matches in GROUPS if matches(path, function))
                shares[group][thread] += own_s
                where = function if path == "~" else f"{'/'.join(Path(path).parts[-2:])}:{line} {function}"
                own.append((own_s, calls, f"`{where}`, {kind}"))
    total_s = sum(chain.from_iterable(shares.values()))
    parts = {group: [s / total_s for s in of_threads] for group, of_threads in shares.items()}
    top = [[where, calls / pages, own_s / total_s] for own_s, calls, where in sorted(own, reverse=True)[:20]]
    keep("profile", {"pages": pages, "shares": parts, "top": top})


def growth(rounds: int, scale: float) -> None:
    """Measure what a page and a claim cost as the database grows."""
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, sizes in (("edges", (10**5, 10**6, 10**7, 3 * 10**7)), ("queued", (10**4, 10**5, 10**6, 10**7))):
            found[kind] = []
            for size in sizes:
                print(f"growth: {size:,} {kind}", flush=True)
                row = measured(OURS, "grown.py", kind, int(size * scale), folder, rounds)
                if kind == "queued":
                    row["resume"] = resumed(Path(row["file"]))
                Path(row["file"]).unlink()
                found[kind].append(row)
                keep("growth", {**found, "rounds": rounds})


def resumed(file: Path) -> list[Row]:
    """Crawl ten pages of a database made for `bfs`: the first time its queue is ranked, the second it goes on."""
    with api("--accounts", str(2**32)) as (url, _):
        return [measured(OURS, "ours.py", url, SEED, 10, 10, file.parent, "bfs", "off") for _ in range(2)]


def memory(rounds: int, scale: float) -> None:
    """Crawl until a million accounts are known."""
    del rounds  # memory is no matter of luck
    with api("--accounts", "4000000") as (url, _), tempfile.TemporaryDirectory() as folder:
        row = measured(OURS, "ours.py", url, SEED, int(75_000 * scale), 50, folder, "flow", "on")
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    keep("memory", {"run": row | {"disk": size}})
    print(f"memory: {row['peak_mb']:.0f} MB at {row['accounts']:,} accounts", flush=True)


def saturation(rounds: int, scale: float) -> None:
    """Hold a known rate, and find an unknown one."""
    cases: dict[str, list[Row]] = {"limit of 100 a second": [], "server that refuses above 100 a second": []}
    seconds = max(20, int(60 * scale))
    for _ in range(rounds):
        for name, server_options, options in (
            ("limit of 100 a second", (), ("--rate", "100")),
            ("server that refuses above 100 a second", ("--capacity", "100"), ()),
        ):
            with api("--latency", "1", *server_options) as (url, _):
                row = saturated(url, options, seconds)
            cases[name].append(row)
            print(f"saturation: {name}: {row['answered_per_s']:.1f} a second, {row['refused']:.1%} refused", flush=True)
    keep("saturation", {"cases": cases, "seconds": seconds, "rounds": rounds})


WARM_UP_S = 20


def saturated(url: str, options: Sequence[str], seconds: int) -> Row:
    """Crawl with 200 requests in flight at most, and count at the server after a warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        command = [OURS, "-m", "cli.main", "--db", "a.db", "crawl", "--seed", SEED, "--budget", "1000000"]
        command += ["--concurrency", "200", "--api-url", url, "--deadline", f"{WARM_UP_S + seconds + 30}s", *options]
        environment = os.environ | {"SOCIALFETCH_API_KEY": "sfk_bench", "PYTHONPATH": str(HERE.parent)}
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, cwd=folder, env=environment, **quiet) as crawling:
            while counts(url)["asked"] < 100:
                time.sleep(0.1)
            time.sleep(WARM_UP_S)
            before, began = counts(url), time.perf_counter()
            time.sleep(seconds)
            after, took = counts(url), time.perf_counter() - began
            crawling.terminate()
    asked, refused = after["asked"] - before["asked"], after["refused"] - before["refused"]
    return {"answered_per_s": (asked - refused) / took, "refused": refused / asked}


def counts(url: str) -> dict[str, int]:
    """Ask the server what it was asked."""
    with urllib.request.urlopen(f"{url}/counts", timeout=30) as answer:
        found: dict[str, int] = json.load(answer)
    return found


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Return the median and the range."""
    if not values:
        return "–"
    if len(values) == 1:
        return format(values[0], form)
    return f"{median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def table(lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; its first line is the head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rest))


def conditions(found: Row) -> str:
    """Say when and where."""
    of = found["conditions"]
    where = f"{of['cores']} cores, Python {of['python']}"
    return f"Measured {of['at']} UTC on {where}, load {of['load_after']:.1f} at the end."


def shown_crawl(found: Row) -> str:
    """Return the tables of the comparison."""
    parts = [f"{conditions(found)} {found['rounds']} rounds, medians and ranges; {found['pages']:,} pages."]
    for cell in found["cells"]:
        runs: dict[str, list[Row]] = cell["runs"]
        base = [row["pages"] / row["wall_s"] for row in runs[BASE]]
        head = ["", "pages/s", "share of the bare loop", "CPU s per 1,000 pages", "of them the loop's thread"]
        lines = [[*head, "peak MB", "disk kB a page"]]
        for name, rows in runs.items():
            if not rows:
                lines.append([name, f"not measured: {cell['failures'][name]}", *[""] * (len(lines[0]) - 2)])
                continue
            paces = [row["pages"] / row["wall_s"] for row in rows]
            lines.append(
                [
                    name,
                    spread(paces),
                    f"{median(paces) / median(base):.2f}" if base else "–",
                    spread([1000 * row["cpu_s"] / row["pages"] for row in rows], ".2f"),
                    spread([1000 * row["loop_cpu_s"] / row["pages"] for row in rows], ".2f"),
                    spread([row["peak_mb"] for row in rows]),
                    f"{median(row['disk'] / row['pages'] for row in rows) / 1000:.1f}",
                ]
            )
        busy = max(row["server_cpu_s"] / row["wall_s"] for rows in runs.values() for row in rows)
        parts += [
            f"**{1000 * cell['latency_s']:g} ms, concurrency {cell['concurrency']}** "
            f"(server at most {busy:.0%} of a core)",
            table(lines),
        ]
    return "\n\n".join(parts)


def shown_profile(found: Row) -> str:
    """Return the tables of the profile."""
    shares = [["share of the CPU time", "the loop's thread", "the writer's"]]
    every = found["shares"] | {"all": [sum(of) for of in zip(*found["shares"].values(), strict=True)]}
    shares += [[group, *(f"{share:.0%}" for share in of_threads)] for group, of_threads in every.items()]
    top = [["function, thread", "calls a page", "share of its own"]]
    top += [[where, f"{calls:.1f}", f"{share:.1%}"] for where, calls, share in found["top"]]
    return f"{conditions(found)} {found['pages']:,} pages.\n\n{table(shares)}\n\n{table(top)}"


def shown_growth(found: Row) -> str:
    """Return the tables of growth."""
    lines = [["edges", "bfs: CPU ms a page", "flow: CPU ms a page", "bytes a follow", "bytes a follow, all in all"]]
    lines += [
        [
            f"{row['size']:,}",
            spread(row["bfs"], ".2f"),
            spread(row["flow"], ".2f"),
            f"{row['follow_bytes']:.1f}",
            f"{row['file_bytes'] / row['size']:.0f}",
        ]
        for row in found.get("edges", ())
    ]
    queue = [["queued", "claim one", "claim 50, each", "give back", "rank anew", "start and ranking", "resume", "MB"]]
    queue += [
        [
            f"{row['size']:,}",
            *(f"{spread(row[name])} µs" for name in ("claim", "claim_50", "give_back", "rank")),
            *(f"{resume['wall_s']:.1f} s" for resume in row["resume"]),
            f"{max(resume['peak_mb'] for resume in row['resume']):.0f}",
        ]
        for row in found.get("queued", ())
    ]
    return f"{conditions(found)} CPU time; {found['rounds']} rounds.\n\n{table(lines)}\n\n{table(queue)}"


def shown_memory(found: Row) -> str:
    """Return the line of memory."""
    row = found["run"]
    return (
        f"{conditions(found)} {row['pages']:,} pages with the defaults brought {row['accounts']:,} accounts and "
        f"{row['edges']:,} follows: **{row['peak_mb']:.0f} MB** at most, {row['disk'] / 1e6:.0f} MB on the disk, "
        f"{1000 * row['cpu_s'] / row['pages']:.2f} CPU s per 1,000 pages."
    )


def shown_saturation(found: Row) -> str:
    """Return the table of saturation."""
    lines = [["1 s latency, 200 in flight at most", "answered a second", "refused"]]
    for name, rows in found["cases"].items():
        paces = spread([row["answered_per_s"] for row in rows], ".1f")
        lines.append([name, paces, spread([100 * row["refused"] for row in rows], ".2f") + " %"])
    return f"{conditions(found)} {found['seconds']} s after {WARM_UP_S} s of warm-up.\n\n{table(lines)}"


PARTS: dict[str, tuple[Callable[[int, float], None], Callable[[Row], str]]] = {
    "crawl": (crawl, shown_crawl),
    "profile": (profile, shown_profile),
    "growth": (growth, shown_growth),
    "memory": (memory, shown_memory),
    "saturation": (saturation, shown_saturation),
}


def write_tables() -> None:
    """Print every part that was measured, and put it between its marks in the document."""
    text = DOCUMENT.read_text()
    for part, (_, show) in PARTS.items():
        file = RESULTS / f"{part}.json"
        if not file.exists():
            print(f"{part}: not measured yet")
            continue
        shown = show(json.loads(file.read_text()))
        print(f"\n## {part}\n\n{shown}")
        begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{shown}\n{end}{rest.partition(end)[2]}" if rest else text
    DOCUMENT.write_text(text)


def main() -> None:
    """Run parts, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}; or: table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of pages and sizes, for a quick look")
    asked = parser.parse_args()
    for part in asked.parts:
        if part == "table":
            continue
        try:
            PARTS[part][0](asked.rounds, asked.scale)
        except Unmeasured as error:
            print(f"{part}: not measured: {error}", flush=True)
    write_tables()


if __name__ == "__main__":
    main()
